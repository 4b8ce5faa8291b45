"""Registries of the objects that a config selects by name: scorers, embedders, datasets, tools, methods.

An entry maps a name to the place of its code, ``module:attribute``. The code is imported only when the entry is loaded,
so a table is cheap to build, and an entry may need packages that are not installed. Other packages add entries through
entry points whose group is the table's name::

    [project.entry-points."memupdate.scorers"]
    my_scorer = "my_package.scoring:MyScorer"
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from memupdate.errors import FieldError
from memupdate.extras import MissingExtraError, missing_extras_named

Entry = TypeVar("Entry")


class Table(Mapping[str, str], Generic[Entry]):
    """A mapping from names to ``module:attribute``: the project's own entries, then those of installed packages.

    Attributes:
        group: the table's name and entry-point group, such as ``memupdate.scorers``.
        field: the config field that selects an entry. Error messages start with it.
    """

    def __init__(self, group: str, field: str, entries: Mapping[str, str]) -> None:
        self.group = group
        self.field = field
        self._own = dict(entries)

    def _added(self) -> dict[str, EntryPoint]:
        """Returns the entries of installed packages by name.

        Raises:
            FieldError: two entries with different code have the same name.
        """
        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=self.group):
            other = self._own.get(entry.name) or (found[entry.name].value if entry.name in found else entry.value)
            if other != entry.value:
                raise FieldError(
                    f"entry point {entry.name!r} of {self.group}", entry.value, f"another name; {other} has this one"
                )
            found[entry.name] = entry
        return found

    def __getitem__(self, name: str) -> str:
        return self._own[name] if name in self._own else self._added()[name].value

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from sorted(set(self._added()) - set(self._own))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def check(self, name: object, field: str | None = None) -> str:
        """Returns ``name`` if the table has an entry of this name.

        Args:
            name: the value in the config.
            field: the config field that holds it; None for the table's ``field``.

        Raises:
            FieldError: no entry has this name. The message lists the existing names.
        """
        if not isinstance(name, str) or name not in self:
            raise FieldError(field or self.field, name, "one of " + ", ".join(self))
        return name

    def load(self, name: object, field: str | None = None) -> Entry:
        """Imports and returns the object of an entry.

        Args:
            name: the value in the config.
            field: the config field that holds it; None for the table's ``field``.

        Raises:
            FieldError: no entry has this name, its module or another that it needs is not installed, or the module does
                not have the attribute.
            MissingExtraError: the module needs a package of an extra that is not installed.
        """
        place = self[self.check(name, field)]
        module_name, _, attribute = place.partition(":")
        title = f"entry {name!r} of {self.group}"
        try:
            with missing_extras_named():
                module = importlib.import_module(module_name)
        except MissingExtraError:
            raise
        except ModuleNotFoundError as error:
            raise FieldError(title, place, f"module:attribute, where the module can be imported ({error})") from error
        if not attribute or not hasattr(module, attribute):
            raise FieldError(title, place, "module:attribute, where the module has it")
        return cast(Entry, getattr(module, attribute))

"""Helpers for stub modules in which every name exists and does nothing."""

import importlib.abc
import importlib.machinery


class Inert:
    """An object that can be called, indexed, and used as a decorator or a base class, without any effect."""

    def __init__(self, *args, **kwargs):
        pass

    def __call__(self, *args, **kwargs):
        return args[0] if len(args) == 1 and callable(args[0]) and not kwargs else Inert()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert()

    def __getitem__(self, key):
        return self

    def __or__(self, other):
        return self

    __ror__ = __or__

    def __mro_entries__(self, bases):
        return (object,)


class _InertType(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


def inert_attribute(name):
    """Returns an inert class for a capitalised name and an inert object for any other name."""
    if name.startswith("__"):
        raise AttributeError(name)
    return _InertType(name, (Inert,), {}) if name[0].isupper() else Inert()


class SubmoduleFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes every submodule of a package importable."""

    def __init__(self, package, attribute_of, without=()):
        self.prefix = package + "."
        self.attribute_of = attribute_of
        self.without = without

    def find_spec(self, fullname, path=None, target=None):
        if fullname.startswith(self.prefix) and fullname not in self.without:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__getattr__ = self.attribute_of(module.__name__)

"""What a tool is: parameters that the model reads, the operation that a call asks for, and the text of the reply.

A tool is one class in one file. It knows no framework. verl's class, the tool file, and the tools of MCP and LangGraph
are derived from it.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from memupdate.broker.results import Outcome
from memupdate.errors import FieldError
from memupdate.memory import JSON, Operation
from memupdate.tools.parameter import Parameter


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a call knows besides its arguments.

    Attributes:
        namespace: the bank that the call is about.
        number: the call's place in the trajectory, from 0; None if calls are not counted.
    """

    namespace: str
    number: int | None = None

    @property
    def key(self) -> str:
        """The call's idempotency key: a call that is delivered twice edits once. Empty without a number."""
        return "" if self.number is None else f"{self.namespace}#{self.number}"

    @property
    def seed(self) -> int:
        """The seed of the call's random choices. It depends on the namespace and the number alone."""
        named = f"{self.namespace}#{self.number or 0}".encode()
        return int.from_bytes(hashlib.blake2b(named, digest_size=4).digest(), "little")


class Tool(ABC):
    """One tool that a model may call.

    Attributes:
        name: what the model calls it; also its name in the table ``TOOLS``.
        description: what the model reads about it.
        parameters: its parameters, in the order in which the model reads them.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]]

    def parse(self, arguments: object, context: CallContext) -> Operation:
        """Returns the operation that a call asks for.

        An optional parameter that is null counts as not given.

        Args:
            arguments: what the model gave, as parsed JSON.
            context: which call of which bank it is.

        Raises:
            FieldError: a parameter is missing, unknown, or has a value that is not allowed.
        """
        return self.operation(self._checked(arguments), context)

    @abstractmethod
    def operation(self, given: dict[str, JSON], context: CallContext) -> Operation:
        """Returns the operation for these arguments.

        Args:
            given: the arguments that were given. Each is known and allowed, and none that is required is missing.
            context: which call of which bank it is.

        Raises:
            FieldError: the arguments do not go together.
        """

    @abstractmethod
    def reply(self, operation: Operation, outcome: Outcome) -> str:
        """Returns the text that the model reads after a call that worked.

        Args:
            operation: what ``operation`` returned.
            outcome: what the bank answered; it is no error.
        """

    def _checked(self, arguments: object) -> dict[str, JSON]:
        names = [parameter.name for parameter in self.parameters]
        listed = ", ".join(names)
        if not isinstance(arguments, dict):
            raise FieldError("arguments", arguments, f"a JSON object with {listed}")
        for name in arguments:
            if name not in names:
                raise FieldError(str(name), arguments[name], f"{self.name} takes {listed}")
        given: dict[str, JSON] = {}
        for parameter in self.parameters:
            value = arguments.get(parameter.name)
            if value is None and not parameter.required:
                continue
            if not parameter.accepts(value):
                raise FieldError(parameter.name, value, parameter.allowed)
            given[parameter.name] = value
        return given

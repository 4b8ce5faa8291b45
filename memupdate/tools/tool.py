"""The base class of tools: parameters for the model, the operation of a call, and the reply text.

A tool is one class in one file, independent of any framework. The class for verl, verl's tool file, and the tools of
MCP and LangGraph are derived from it.
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
    """The context of a call in addition to its arguments.

    Attributes:
        namespace: the namespace of the bank.
        number: the call's index in the trajectory, from 0; None if calls are not counted.
    """

    namespace: str
    number: int | None = None

    @property
    def key(self) -> str:
        """The call's idempotency key: a call that is delivered twice is applied once. Empty if there is no number."""
        return "" if self.number is None else f"{self.namespace}#{self.number}"

    @property
    def seed(self) -> int:
        """The seed of the call's random choices, a hash of the namespace and the number."""
        named = f"{self.namespace}#{self.number or 0}".encode()
        return int.from_bytes(hashlib.blake2b(named, digest_size=4).digest(), "little")


class Tool(ABC):
    """One tool that a model may call.

    Attributes:
        name: the tool's name, for the model and in the table ``TOOLS``.
        description: the description that the model reads.
        parameters: the tool's parameters, in the order in which the model reads them.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]]

    def parse(self, arguments: object, context: CallContext) -> Operation:
        """Checks a call's arguments and returns its operation.

        An optional parameter that is null counts as not given.

        Args:
            arguments: the model's arguments, as parsed JSON.
            context: the call's bank and number.

        Raises:
            FieldError: a parameter is missing, unknown, or has a value that is not allowed.
        """
        return self.operation(self._checked(arguments), context)

    @abstractmethod
    def operation(self, given: dict[str, JSON], context: CallContext) -> Operation:
        """Returns the operation for these arguments.

        Args:
            given: the arguments, already checked one by one. All required ones are present.
            context: the call's bank and number.

        Raises:
            FieldError: the arguments are inconsistent with each other.
        """

    @abstractmethod
    def reply(self, operation: Operation, outcome: Outcome) -> str:
        """Returns the text that the model reads after a successful call.

        Args:
            operation: the operation of the call.
            outcome: the bank's outcome, which is not a refusal.
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

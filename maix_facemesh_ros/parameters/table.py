"""Tables of parameters: default, description, range, and whether each changes at run time."""

from __future__ import annotations

import dataclasses
import difflib
import math
import reprlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeVar

from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.mesh.landmark_subsets import LANDMARKS

#: Parameters that every ROS node has; `qos_overrides.<topic>...` has one group per topic.
PARAMETERS_OF_EVERY_NODE = ("use_sim_time", "start_type_description_service", "qos_overrides")


class ParameterError(FaceMeshError, ValueError):
    """A parameter has an unknown name, a wrong type, or a value outside its range."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """The declaration of one parameter, without its value."""

    name: str
    default: Any
    description: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...]
    changeable: bool

    def check(self, value: Any) -> Any:
        """Return the value, converted to the parameter's type.

        Raises:
            ParameterError: wrong type or out of range; the message names the valid values.
        """
        value = self._in_type(value)
        if self.choices and value not in self.choices:
            raise ParameterError(
                f"{self.name} is {reprlib.repr(value)}: give {_one_of(self.choices)}"
            )
        if self.minimum is not None and value < self.minimum:
            raise ParameterError(f"{self.name} is {value}: give {self._range()}")
        if self.maximum is not None and value > self.maximum:
            raise ParameterError(f"{self.name} is {value}: give {self._range()}")
        return value

    @property
    def type_name(self) -> str:
        """The type in words, for errors and the documentation."""
        return _TYPE_NAMES[type(self.default)]

    def range_text(self) -> str:
        """The range in words; empty when every value of the type is valid."""
        if self.choices:
            return " | ".join('""' if choice == "" else str(choice) for choice in self.choices)
        return self._range() if self.minimum is not None or self.maximum is not None else ""

    def _range(self) -> str:
        if self.minimum is None:
            return f"at most {self.maximum:g}"
        if self.maximum is None:
            return f"at least {self.minimum:g}"
        return f"{self.minimum:g} to {self.maximum:g}"

    def _in_type(self, value: Any) -> Any:
        wanted = type(self.default)
        if wanted is float and isinstance(value, Real) and not isinstance(value, bool):
            if not math.isfinite(value):
                raise ParameterError(f"{self.name} is {value}: give a finite number")
            return float(value)
        if wanted is int and isinstance(value, Integral) and not isinstance(value, bool):
            return int(value)
        if wanted is tuple:
            return self._index_tuple(value)
        if wanted in (bool, str) and isinstance(value, wanted):
            return value
        if wanted is str and isinstance(value, bool):
            # YAML parses these words as booleans, also in `-p smoothing:=off`.
            for word in ("yes", "on") if value else ("no", "off"):
                if word in self.choices:
                    return word
        raise ParameterError(
            f"{self.name} is {reprlib.repr(value)}, a {type(value).__name__}: give {self.type_name}"
            + (f", such as {self.default!r}" if self.default != "" else "")
        )

    def _index_tuple(self, value: Any) -> tuple[int, ...]:
        if isinstance(value, str | bytes | bytearray) or not isinstance(value, Iterable):
            raise ParameterError(f"{self.name} is {reprlib.repr(value)}: give {self.type_name}")
        items = tuple(value)
        if len(items) > LANDMARKS:
            raise ParameterError(f"{self.name} has {len(items)} entries: give at most {LANDMARKS}")
        for item in items:
            if isinstance(item, bool) or not hasattr(item, "__index__"):
                raise ParameterError(
                    f"{self.name} contains {reprlib.repr(item)}: give {self.type_name}"
                )
            if not 0 <= item < LANDMARKS:
                raise ParameterError(
                    f"{self.name} contains {item}: mesh indices are 0 to {LANDMARKS - 1}"
                )
        return tuple(int(item) for item in items)


_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list of whole numbers",
}


def _one_of(choices: tuple[Any, ...]) -> str:
    return "one of " + ", ".join(repr(choice) for choice in choices)


def description_of(table: type, name: str) -> str:
    """Return the description of a parameter of another table, to reuse it."""
    (description,) = (
        field.metadata["description"] for field in dataclasses.fields(table) if field.name == name
    )
    return str(description)


def parameter(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] = (),
    changeable: bool = False,
) -> Any:
    """Declare a parameter as a field of a `ParameterTable`.

    Args:
        default: its type is the parameter's type.
        description: the parameter's documentation.
        minimum, maximum: the range of a number, ends included.
        choices: the valid values; empty: every value in the range.
        changeable: whether the parameter may change at run time.
    """
    facts = {
        "description": description,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "changeable": changeable,
    }
    return dataclasses.field(default=default, metadata=facts)


Parameters = TypeVar("Parameters", bound="ParameterTable")


@dataclass(frozen=True, kw_only=True)
class ParameterTable:
    """Parameters that are checked together: an instance holds valid values only.

    Raises:
        ParameterError: names every wrong parameter and its valid values.
    """

    def __post_init__(self) -> None:
        wrong = []
        for parameter in parameters_of(type(self)):
            try:
                object.__setattr__(
                    self, parameter.name, parameter.check(getattr(self, parameter.name))
                )
            except ParameterError as error:
                wrong.append(str(error))
        wrong += [] if wrong else self._contradictions()
        if wrong:
            raise ParameterError("; ".join(wrong))

    @classmethod
    def from_values(
        cls: type[Parameters],
        values: Mapping[str, Any],
        *,
        ignored: Container[str] = PARAMETERS_OF_EVERY_NODE,
    ) -> Parameters:
        """Return parameters from values by name, as from a command line or a file.

        Args:
            values: those that differ from the defaults.
            ignored: names, or their first parts, that are skipped.

        Raises:
            ParameterError: names every unknown parameter and every wrong value.
        """
        names = {parameter.name for parameter in parameters_of(cls)}
        wrong = [
            unknown_parameter(name, names)
            for name in values
            if name not in names and name.partition(".")[0] not in ignored
        ]
        try:
            parameters = cls(**{name: value for name, value in values.items() if name in names})
        except ParameterError as error:
            wrong.append(str(error))
        if wrong:
            raise ParameterError("; ".join(wrong))
        return parameters

    def _contradictions(self) -> list[str]:
        """Return an error text for each combination of valid values that is invalid."""
        return []

    def changed(self: Parameters, **changes: Any) -> Parameters:
        """Return a copy with changes applied, as at run time.

        Raises:
            ParameterError: an unknown name, a bad value, or one that is fixed at the start; nothing
                changes.
        """
        known = {parameter.name: parameter for parameter in parameters_of(type(self))}
        wrong = [unknown_parameter(name, known) for name in changes if name not in known]
        wrong += [
            f"{name} is fixed at the start: set it there and restart"
            for name, value in changes.items()
            if name in known and not known[name].changeable and value != getattr(self, name)
        ]
        if wrong:
            raise ParameterError("; ".join(wrong))
        return dataclasses.replace(self, **changes)


def parameters_of(table: type[ParameterTable]) -> tuple[Parameter, ...]:
    """Return the parameters that a table declares, in order."""
    return tuple(
        Parameter(name=field.name, default=field.default, **field.metadata)
        for field in dataclasses.fields(table)
    )


def unknown_parameter(name: str, known: Iterable[str]) -> str:
    """Return the error text for an unknown parameter, with the nearest known name."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"there is no parameter {name!r}" + (f": did you mean {near[0]!r}?" if near else "")

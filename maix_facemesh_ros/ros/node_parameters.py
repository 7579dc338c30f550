"""The parameter table as ROS parameters."""

from __future__ import annotations

from typing import TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from maix_facemesh_ros.parameters import (
    Parameter,
    ParameterTable,
    parameters_of,
    unknown_parameter,
)

#: Ends of a ROS range where the table has none.
_INTEGER_LIMIT = 2**31 - 1

Table = TypeVar("Table", bound=ParameterTable)


def declare_parameters(node: Node, table: type[Table]) -> Table:
    """Declare every parameter of a table on the node and return their values, checked together.

    The values are checked here and not by rclpy, so that an error names all that is wrong and what
    would be right, and a whole number will do where a fraction is expected.

    Raises:
        ParameterError: a value of a wrong type or out of range, or values that contradict each
            other.
    """
    declared = parameters_of(table)
    values = {
        parameter.name: node.declare_parameter(
            parameter.name,
            list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default,
            ParameterDescriptor(description=parameter.description, dynamic_typing=True),
        ).value
        for parameter in declared
    }
    _warn_of_unknown(node, {parameter.name for parameter in declared})
    parameters = table(**values)
    for parameter in declared:
        node.set_descriptor(parameter.name, _descriptor(parameter))
    return parameters


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=parameter.description,
        additional_constraints=parameter.range_text(),
        read_only=not parameter.changeable,
        dynamic_typing=True,
    )
    if isinstance(parameter.default, float):
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=parameter.minimum, to_value=parameter.maximum, step=0.0)
        ]
    elif parameter.minimum is not None and isinstance(parameter.default, int):
        descriptor.integer_range = [
            IntegerRange(
                from_value=int(parameter.minimum),
                to_value=int(parameter.maximum or _INTEGER_LIMIT),
                step=1,
            )
        ]
    return descriptor


def _warn_of_unknown(node: Node, known: set[str]) -> None:
    for name in node._parameter_overrides:
        if (
            name not in known
            and not node.has_parameter(name)
            and not name.startswith("qos_overrides")
        ):
            node.get_logger().warning(f"{unknown_parameter(name, known)} It is ignored.")

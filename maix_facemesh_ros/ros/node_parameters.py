"""The parameter table as ROS parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from maix_facemesh_ros.parameters import (
    Parameter,
    ParameterError,
    ParameterTable,
    parameters_of,
    unknown_parameter,
)

#: Ends of a ROS range where the table has none.
_INTEGER_LIMIT = 2**31 - 1

#: ROS types by the type of a parameter's default. They are explicit, because rclpy would infer a
#: list of bytes from an empty list.
_ROS_TYPES = {
    bool: RosParameter.Type.BOOL,
    int: RosParameter.Type.INTEGER,
    float: RosParameter.Type.DOUBLE,
    str: RosParameter.Type.STRING,
    tuple: RosParameter.Type.INTEGER_ARRAY,
}

Table = TypeVar("Table", bound=ParameterTable)


class ParameterNode(Node):
    """A node with the parameters of a table."""

    #: What to do about a parameter that is fixed at the start.
    advice_on_fixed = "set it there and restart"

    #: By name; empty until `declare_table`.
    _table: Mapping[str, Parameter] = {}

    def declare_table(self, table: type[Table]) -> Table:
        """Declare every parameter of a table and return their values, checked together.

        The values are checked here and not by rclpy, so that an error names all that is wrong and
        what would be right, and a whole number will do where a fraction is expected.

        Raises:
            ParameterError: an unknown name, a value of a wrong type or out of range, or values that
                contradict each other.
        """
        # An empty list in a file or on the command line has neither type nor value.
        given = {
            name: [] if override.type_ == RosParameter.Type.NOT_SET else override.value
            for name, override in self._parameter_overrides.items()
            if not self.has_parameter(name)
        }
        parameters = table.from_values(given)
        self._table = {parameter.name: parameter for parameter in parameters_of(table)}
        for name, parameter in self._table.items():
            self.declare_parameter(name, _ros_type(parameter), ignore_override=True)
            self.set_parameters([_ros_parameter(parameter, getattr(parameters, name))])
            self.set_descriptor(name, _descriptor(parameter))
        return parameters

    def read_table(self, table: type[Table]) -> Table:
        """Return the current values of the declared table, checked together.

        Raises:
            ParameterError: values that contradict each other.
        """
        return table.from_values({name: self.get_parameter(name).value for name in self._table})

    def fix_parameters(self, fixed: bool) -> None:
        """Fix the parameters that do not change at run time, or let them change."""
        for name, parameter in self._table.items():
            if not parameter.changeable:
                # `set_descriptor` refuses to change the descriptor of a read-only parameter.
                self.describe_parameter(name).read_only = fixed

    def set_parameters_atomically(self, parameter_list: list[RosParameter]) -> SetParametersResult:
        """Set the parameters of a request to the parameter services: all, or none of them.

        This runs before rclpy's own checks, so that an integer is converted to a float, and an
        error names the valid values. A parameter that is fixed at the start may be set to its
        current value: `ros2 param load` sets every parameter of its file.
        """
        accepted, wrong = [], []
        for given in parameter_list:
            try:
                parameter = self._in_own_type(given)
            except ParameterError as error:
                wrong.append(str(error))
                continue
            # A fixed one has its current value here, and rclpy would refuse to set it.
            if not self._is_fixed(parameter.name):
                accepted.append(parameter)
        if wrong:
            return SetParametersResult(successful=False, reason="; ".join(wrong))
        if not accepted:
            return SetParametersResult(successful=True)
        return super().set_parameters_atomically(accepted)

    def _in_own_type(self, given: RosParameter) -> RosParameter:
        """Return a parameter with its value in the type of the table.

        Raises:
            ParameterError: there is no such parameter, or it cannot have this value.
        """
        name = given.name
        if not self.has_parameter(name):
            raise ParameterError(unknown_parameter(name, self._table))
        parameter = self._table.get(name)
        if given.type_ == RosParameter.Type.NOT_SET:
            default = "" if parameter is None else f"; the default is {parameter.default!r}"
            raise ParameterError(f"{name} cannot be deleted: it always has a value{default}")
        if parameter is None:
            return given
        value = parameter.check(given.value)
        if self._is_fixed(name) and value != self.get_parameter(name).value:
            raise ParameterError(f"{name} is fixed at the start: {self.advice_on_fixed}")
        return _ros_parameter(parameter, value)

    def _is_fixed(self, name: str) -> bool:
        return name in self._table and self.describe_parameter(name).read_only


def _ros_type(parameter: Parameter) -> RosParameter.Type:
    return _ROS_TYPES[type(parameter.default)]


def _ros_parameter(parameter: Parameter, value: Any) -> RosParameter:
    kind = _ros_type(parameter)
    is_list = kind is RosParameter.Type.INTEGER_ARRAY
    return RosParameter(parameter.name, kind, list(value) if is_list else value)


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    kind = _ros_type(parameter)
    descriptor = ParameterDescriptor(
        type=kind.value,
        description=parameter.description,
        additional_constraints=parameter.range_text(),
        read_only=not parameter.changeable,
    )
    if kind is RosParameter.Type.DOUBLE:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=parameter.minimum, to_value=parameter.maximum, step=0.0)
        ]
    elif parameter.minimum is not None and kind is RosParameter.Type.INTEGER:
        descriptor.integer_range = [
            IntegerRange(
                from_value=int(parameter.minimum),
                to_value=int(parameter.maximum or _INTEGER_LIMIT),
                step=1,
            )
        ]
    return descriptor

"""What `ros2 param` does with the node's parameters: list, describe, dump, set, load, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParameters,
)
from rclpy.parameter import parameter_value_to_python

from dumped_parameters import DUMPED
from maix_facemesh_ros.parameters import NodeParameters, parameters_of
from running_node import Robot, StartNode, boolean, double, integer

pytest_plugins = ["running_node"]

#: Types by that of the default.
TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
    tuple: ParameterType.PARAMETER_INTEGER_ARRAY,
}


def dumped(robot: Robot) -> dict[str, Any]:
    """Return what `ros2 param dump` asks for (ros2param/verb/dump.py)."""
    listed = robot.call("list_parameters", ListParameters, ListParameters.Request()).result
    names = sorted(listed.names)
    request = GetParameters.Request(names=names)
    values = robot.call("get_parameters", GetParameters, request).values
    assert len(values) == len(names)
    return dict(zip(names, map(parameter_value_to_python, values), strict=True))


def as_file(values: dict[str, Any], folder: Path) -> Path:
    """Write parameters as `ros2 param dump` prints them."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    file = folder / "dump.yaml"
    content = {"/facemesh": {"ros__parameters": nested}}
    file.write_text(yaml.dump(content, default_flow_style=False))
    return file


def test_a_dump_starts_the_node_again(start: StartNode, robot: Robot, tmp_path: Path) -> None:
    first = start(files=[DUMPED], remaps=["image_raw:=/cam/image_raw"])
    before = dumped(robot)
    assert before["landmarks_indices"] == []
    assert before["detect_conf_th"] == 0.33
    first.stop()
    start(files=[as_file(before, tmp_path)], remaps=["image_raw:=/cam/image_raw"])
    robot.wait_until(lambda: robot.count_publishers("/faces") == 1, "the second node alone")
    assert dumped(robot) == before


def test_each_parameter_has_the_type_of_the_table(start: StartNode, robot: Robot) -> None:
    """Also where the value at the start was a whole number for a fraction, or an empty list."""
    start("detect_conf_th:=1", "landmarks_indices:=[]", "smoothing:=off")
    table = parameters_of(NodeParameters)
    request = DescribeParameters.Request(names=[parameter.name for parameter in table])
    descriptors = robot.call("describe_parameters", DescribeParameters, request).descriptors
    for parameter, descriptor in zip(table, descriptors, strict=True):
        assert descriptor.type == TYPES[type(parameter.default)], parameter.name
        assert descriptor.read_only is not parameter.changeable, parameter.name

    assert set_one(robot, "detect_conf_th", integer(1)) == (True, "")
    assert value_of(robot, "detect_conf_th") == double(1.0)
    no_indices = ParameterValue(type=ParameterType.PARAMETER_BOOL_ARRAY)  # as `[]` is sent
    assert set_one(robot, "landmarks_indices", no_indices) == (True, "")
    assert value_of(robot, "landmarks_indices").type == ParameterType.PARAMETER_INTEGER_ARRAY
    assert set_one(robot, "smoothing", boolean(False)) == (True, "")  # as `off` is sent
    assert value_of(robot, "smoothing").string_value == "off"

    deleted = ParameterValue(type=ParameterType.PARAMETER_NOT_SET)
    for name, value, reason in (
        ("detect_conf_th", deleted, "it always has a value; the default is 0.5"),
        ("tracking", deleted, "it always has a value; the default is True"),
        ("use_sim_time", deleted, "use_sim_time cannot be deleted: it always has a value"),
        ("detect_conf", double(0.4), "no parameter 'detect_conf': did you mean 'detect_conf_th'?"),
        ("detect_conf_th", double(7.0), "detect_conf_th is 7.0: give 0 to 1"),
        ("tracking", boolean(False), "tracking is fixed at the start: set it there and restart"),
    ):
        successful, said = set_one(robot, name, value)
        assert not successful
        assert reason in said
    # `ros2 param load` sets every parameter of a file, the fixed ones too.
    assert set_one(robot, "tracking", boolean(True)) == (True, "")
    assert value_of(robot, "detect_conf_th") == double(1.0)


def set_one(robot: Robot, name: str, value: ParameterValue) -> tuple[bool, str]:
    """Do what `ros2 param set` and, with a value that is not set, `ros2 param delete` do."""
    request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
    (result,) = robot.call("set_parameters", SetParameters, request).results
    return result.successful, result.reason


def value_of(robot: Robot, name: str) -> ParameterValue:
    request = GetParameters.Request(names=[name])
    return robot.call("get_parameters", GetParameters, request).values[0]

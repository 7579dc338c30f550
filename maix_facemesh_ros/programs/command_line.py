"""Command lines of the programs with ROS arguments: help, version, and refused arguments.

rcl ignores everything outside `--ros-args ... --`, so a program whose parameter was given without
`--ros-args` would silently run with another value.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.parameters import Parameter, ParameterTable, parameters_of

#: Start and end of ROS's arguments (https://design.ros2.org/articles/ros_command_line_arguments.html).
BEGIN, END = "--ros-args", "--"

#: Options of ROS that take a value, and those that do not.
ROS_OPTIONS_WITH_VALUE = ("-p", "--param", "-r", "--remap", "--params-file", "-e", "--enclave") + (
    *("--log-level", "--log-config-file", "--external-lib-logs-file"),
)

#: The parameter that the one positional argument of a program sets.
POSITIONAL = "source"

WIDTH = 96


class UsageError(FaceMeshError, ValueError):
    """An invalid command line; the message gives the correct one."""


def ros_arguments(program: str, table: type[ParameterTable], arguments: Sequence[str]) -> list[str]:
    """Return the arguments for rclpy.

    Args:
        program: name of the program.
        table: its parameters.
        arguments: the command line, without the program's name.

    Raises:
        UsageError: an unknown argument outside `--ros-args`.
    """
    own, ros = _split(arguments)
    names = {parameter.name for parameter in parameters_of(table)}
    takes_source = POSITIONAL in names
    if takes_source and own and not own[0].startswith("-") and ":=" not in own[0]:
        # Quoted, so that `0` stays a string.
        ros += [BEGIN, "-p", f"{POSITIONAL}:={json.dumps(own.pop(0))}"]
    if own:
        raise UsageError(_advice(program, own, names))
    return ros


def help_text(program: str, table: type[ParameterTable], description: str) -> str:
    """Return the text of `--help`: usage, examples, and all parameters with their defaults."""
    parameters = parameters_of(table)
    has_source = any(parameter.name == POSITIONAL for parameter in parameters)
    example = next(p for p in parameters if p.changeable and p.default not in ("", ()))
    lines = [
        f"usage: {program} {'[SOURCE] ' if has_source else ''}[--help] [--version] "
        f"[{BEGIN} [-p NAME:=VALUE]... [-r OLD:=NEW]... [--params-file FILE]]",
        "",
        *textwrap.wrap(description, WIDTH),
        "",
        "examples:",
        *([f"  {program} /dev/video0"] if has_source else []),
        f"  {program} {BEGIN} -r image_raw:=/camera/image_raw -p {example.name}:={example.default}",
        "",
        "parameters, with their defaults:",
    ]
    for parameter in parameters:
        lines += _described(parameter)
    return "\n".join(lines)


def _described(parameter: Parameter) -> list[str]:
    default = json.dumps(parameter.default)
    about = parameter.range_text()
    text = f"{parameter.description}{f' Range: {about}.' if about else ''}"
    if not parameter.changeable:
        text += " Fixed at the start."
    body = textwrap.wrap(text, WIDTH, initial_indent="      ", subsequent_indent="      ")
    return [f"  {parameter.name}:={default}", *body]


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the arguments outside of ROS's, and ROS's with their `--ros-args`."""
    own: list[str] = []
    ros: list[str] = []
    inside = False
    for argument in arguments:
        if argument == BEGIN:
            inside = True
        if inside:
            ros.append(argument)
        else:
            own.append(argument)
        if argument == END:
            inside = False
    return own, ros


def _advice(program: str, own: Sequence[str], names: set[str]) -> str:
    """Return an error text for arguments outside `--ros-args`, with the correct spelling."""
    first = own[0]
    name, separator, value = first.lstrip("-").partition("=")
    if first in ROS_OPTIONS_WITH_VALUE:
        right = f"{program} {BEGIN} {' '.join(own)}"
    elif ":=" in first:
        option = "-p" if first.partition(":=")[0].lstrip("-") in names else "-r"
        right = f"{program} {BEGIN} {option} {first.lstrip('-')}"
    elif first.startswith("--") and name.replace("-", "_") in names:
        value = value if separator else (own[1] if len(own) > 1 else "VALUE")
        right = f"{program} {BEGIN} -p {name.replace('-', '_')}:={value}"
    else:
        return f"{program} has no argument {first!r}: see {program} --help"
    return f"{program} has no argument {first!r} here: give {right}"

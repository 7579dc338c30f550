"""Shared code of the launch files: the node's parameters as arguments, and failing on errors.

It does not import `launch`, which passes in its context and events.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.parameters import NodeParameters, parameters_of

PACKAGE = "maix_facemesh_ros"

#: Arguments that `ros2 launch` adds to those of a launch file.
ARGUMENTS_OF_LAUNCH = ("launch-prefix", "launch-prefix-filter")

#: A string stays a string, also when it looks like a number; an empty list needs a type. Values of
#: other types are parsed as YAML, and the node reports wrong ones.
_VALUE_TYPES: dict[type, Any] = {str: str, tuple: list[int]}


class LaunchError(FaceMeshError, RuntimeError):
    """Ends a launch with an error; `ros2 launch` prints the message and returns 1."""


class ParameterArgument(NamedTuple):
    """A parameter of the node as an argument of a launch file."""

    name: str
    #: For `launch_ros.parameter_descriptions.ParameterValue`; None: as in YAML.
    value_type: Any
    description: str


def parameter_arguments() -> list[ParameterArgument]:
    """Return an argument for each parameter of the node; its default is empty."""
    return [
        ParameterArgument(
            parameter.name,
            _VALUE_TYPES.get(type(parameter.default)),
            f"{parameter.description} Empty: as in params_file.",
        )
        for parameter in parameters_of(NodeParameters)
    ]


def refuse_unknown_arguments(context: Any, launch_file: str, known: Iterable[str]) -> None:
    """Refuse unknown arguments on the command line, which `launch` ignores.

    Where another launch file includes this one, the command line belongs to that file and is not
    checked.

    Args:
        context: the launch.LaunchContext.
        launch_file: path of the launch file.
        known: the arguments that the launch file and the files it includes declare.

    Raises:
        LaunchError: names the unknown arguments and the nearest known ones.
    """
    if not is_started(launch_file):
        return
    names = [*known, *ARGUMENTS_OF_LAUNCH]
    wrong = []
    for argument in context.argv:
        name = argument.partition(":=")[0]
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            advice = f"did you mean {near[0]!r}?" if near else "see --show-args"
            wrong.append(f"there is no argument {name!r}: {advice}")
    if wrong:
        raise LaunchError("; ".join(wrong))


def fail_with_process(launch_file: str, advice: str = "") -> Callable[[Any, Any], None]:
    """Return an `on_exit` handler that ends the launch with an error when a process fails.

    It raises LaunchError for an exit code other than 0, but only if `ros2 launch` was called with a
    launch file of this package: a robot whose launch file includes one keeps running without faces.

    Args:
        launch_file: path of the launch file that starts the process.
        advice: what to do about it, appended to the message.
    """

    def on_exit(event: Any, context: Any) -> None:
        if event.returncode and not context.is_shutdown and is_any_started(launch_file):
            message = f"{event.process_name} ended with code {event.returncode}"
            raise LaunchError(f"{message}: {advice}" if advice else message)

    return on_exit


def refuse_missing_bag(context: Any, launch_file: str) -> None:
    """Refuse a bag that does not exist, before any process starts.

    Args:
        context: the launch.LaunchContext.
        launch_file: path of the launch file, whose argument `bag` is the path of the bag.

    Raises:
        LaunchError: names the path; only if `ros2 launch` was called with one of our launch files.
    """
    bag = Path(context.launch_configurations["bag"])
    if not bag.exists() and is_any_started(launch_file):
        where = "" if bag.is_absolute() else f" in {Path.cwd()}"
        raise LaunchError(f"the bag {str(bag)!r} does not exist{where}: give bag:=FOLDER or FILE")


def is_any_started(launch_file: str) -> bool:
    """Whether `ros2 launch` was called with a launch file in the folder of this one."""
    return any(is_started(str(file)) for file in Path(launch_file).parent.glob("*.launch.py"))


def is_started(launch_file: str, command: Sequence[str] | None = None) -> bool:
    """Whether `ros2 launch` was called with this file, by its package or by its path.

    Args:
        launch_file: path of the launch file.
        command: the command line; None: that of this process.
    """
    file = Path(launch_file)
    given = [Path(each) for each in (sys.argv if command is None else command)]
    by_package = any(each.name == PACKAGE for each in given)
    return any(
        each.name == file.name and (by_package or each.resolve() == file.resolve())
        for each in given
    )

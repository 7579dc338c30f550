"""What the launch files share: the node's parameters as arguments, and ends with an error.

It imports nothing of `launch`, which passes its context and events in.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from maix_facemesh_ros.parameters import NodeParameters, parameters_of

PACKAGE = "maix_facemesh_ros"

#: Arguments that `ros2 launch` itself adds to those of a launch file.
ARGUMENTS_OF_LAUNCH = ("launch-prefix", "launch-prefix-filter")

#: A text stays a text, whatever it looks like; an empty list needs a type. Values of other types
#: are as in YAML, and the node names those that are wrong.
_VALUE_TYPES: dict[type, Any] = {str: str, tuple: list[int]}


class LaunchError(RuntimeError):
    """Ends a launch with an error; `ros2 launch` prints the message and returns 1."""


class ParameterArgument(NamedTuple):
    """A parameter of the node as an argument of a launch file."""

    name: str
    #: For `launch_ros.parameter_descriptions.ParameterValue`; None: as in YAML.
    value_type: Any
    description: str


def parameter_arguments() -> list[ParameterArgument]:
    """Return an argument for each parameter of the node, without a value by default."""
    return [
        ParameterArgument(
            parameter.name,
            _VALUE_TYPES.get(type(parameter.default)),
            f"{parameter.description} Empty: as params_file says.",
        )
        for parameter in parameters_of(NodeParameters)
    ]


def refuse_unknown_arguments(context: Any, launch_file: str, known: Iterable[str]) -> None:
    """Make sure that all arguments of the command line exist; `launch` takes any.

    Where another launch file includes this one, the command line is that file's.

    Args:
        context: the launch.LaunchContext.
        launch_file: the file's own path.
        known: the arguments that it and the files which it includes declare.

    Raises:
        LaunchError: names the arguments that do not exist, and those that they may mean.
    """
    if not is_started(launch_file):
        return
    names = [*known, *ARGUMENTS_OF_LAUNCH]
    wrong = []
    for argument in context.argv:
        name = argument.partition(":=")[0]
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            advice = f"do you mean {near[0]!r}?" if near else "see --show-args"
            wrong.append(f"there is no argument {name!r}: {advice}")
    if wrong:
        raise LaunchError("; ".join(wrong))


def fail_with_process(launch_file: str) -> Callable[[Any, Any], None]:
    """Return an `on_exit` handler that ends the launch with an error after a process has.

    It raises LaunchError for a code that is not 0, but only where `ros2 launch` was called with one
    of the files here: a robot whose launch file includes them goes on without its face node.

    Args:
        launch_file: path of the launch file that starts the process.
    """

    def on_exit(event: Any, context: Any) -> None:
        ours = Path(launch_file).parent.glob("*.launch.py")
        if event.returncode and not context.is_shutdown and any(map(is_started, map(str, ours))):
            raise LaunchError(f"{event.process_name} ended with code {event.returncode}")

    return on_exit


def is_started(launch_file: str, command: Sequence[str] | None = None) -> bool:
    """Whether `ros2 launch` was called with this very file, by its package or by its path.

    Args:
        launch_file: its path.
        command: the command line; None: this process's own.
    """
    file = Path(launch_file)
    given = [Path(each) for each in (sys.argv if command is None else command)]
    by_package = any(each.name == PACKAGE for each in given)
    return any(
        each.name == file.name and (by_package or each.resolve() == file.resolve())
        for each in given
    )

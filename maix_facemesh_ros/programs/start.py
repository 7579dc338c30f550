"""Starts the programs by name; first handles help, version, wrong arguments, missing packages.

A program is imported last, and imports libraries when its command line is parsed, so that `--help`
is fast and works without ROS.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NamedTuple

from maix_facemesh_ros import __version__
from maix_facemesh_ros.missing_packages import how_to_install
from maix_facemesh_ros.parameters import NodeParameters, ParameterTable, ViewParameters
from maix_facemesh_ros.programs.command_line import UsageError, help_text, ros_arguments


class _Program(NamedTuple):
    module: str
    #: Optional modules that it needs.
    needs: tuple[str, ...] = ()
    #: Its parameters, if it has ROS arguments; None: it parses its arguments itself.
    parameters: type[ParameterTable] | None = None
    description: str = ""


#: Modules that read and write recordings.
BAGS = ("apsw", "lz4", "mcap", "rosbags", "zstandard")

#: A shell's exit codes for a program that was ended by SIGINT, as by Ctrl-C, or by SIGPIPE.
INTERRUPTED, BROKEN_PIPE = 130, 141

PROGRAMS = {
    "facemesh": _Program("maix_facemesh_ros.programs.facemesh"),
    "facemesh_bag": _Program("maix_facemesh_ros.offline.main", (*BAGS, "onnxruntime")),
    "facemesh_node": _Program(
        "maix_facemesh_ros.ros.facemesh_node",
        parameters=NodeParameters,
        description="Publish the faces of images: of the topic image_raw, or of SOURCE, which is a "
        "camera (0, /dev/video0), a video, an image, a folder of images or a URL.",
    ),
    "facemesh_replay": _Program("maix_facemesh_ros.ros.replay.main", BAGS),
    "facemesh_rviz": _Program("maix_facemesh_ros.ros.facemesh_rviz"),
    "facemesh_view": _Program(
        "maix_facemesh_ros.ros.view.main",
        parameters=ViewParameters,
        description="Show the images and faces of a facemesh_node in a browser.",
    ),
}


def start(name: str, arguments: list[str] | None = None) -> int:
    """Run a program.

    Args:
        name: of `PROGRAMS`.
        arguments: its command line without its name; None: that of this process.

    Returns:
        the exit code.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = _start(name, PROGRAMS[name], given)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:  # before the program handles it, such as while it is imported
        return INTERRUPTED
    except ImportError as error:
        # A compiled module, such as onnxruntime, makes one of Ctrl-C while it is imported.
        if isinstance(error.__cause__, KeyboardInterrupt):
            return INTERRUPTED
        raise
    except BrokenPipeError:
        # The reader of the output, such as `head`, has ended. Flushing the rest of the buffer would
        # fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _start(name: str, program: _Program, given: list[str]) -> int:
    if "--version" in given:
        print(f"{name} {__version__}")
        return 0
    if program.parameters is not None:
        if "--help" in given or "-h" in given:
            print(help_text(name, program.parameters, program.description))
            return 0
        try:
            given = ros_arguments(name, program.parameters, given)
        except UsageError as error:
            print(error, file=sys.stderr)
            return 2
    sys.argv[1:] = given
    try:
        return int(import_module(program.module).main())
    except ModuleNotFoundError as error:
        missing = error.name or ""
        own = missing == "maix_facemesh_ros.msg"
        advice = how_to_install(missing if own else missing.partition(".")[0], program.needs)
        if advice is None:
            raise
        print(f"{name} needs {missing}, which is not installed: {advice}", file=sys.stderr)
        return 1


def facemesh() -> int:
    """Run `facemesh`."""
    return start("facemesh")


def facemesh_bag() -> int:
    """Run `facemesh_bag`."""
    return start("facemesh_bag")


def facemesh_node() -> int:
    """Run `facemesh_node`."""
    return start("facemesh_node")


def facemesh_replay() -> int:
    """Run `facemesh_replay`."""
    return start("facemesh_replay")


def facemesh_view() -> int:
    """Run `facemesh_view`."""
    return start("facemesh_view")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        sys.exit(f"usage: python -m maix_facemesh_ros.programs.start {'|'.join(PROGRAMS)} ...")
    sys.exit(start(sys.argv.pop(1)))

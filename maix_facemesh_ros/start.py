"""Starts the programs; says in one line which package is missing, and how to install it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NamedTuple

from maix_facemesh_ros.missing_packages import how_to_install


class _Program(NamedTuple):
    module: str
    #: Optional modules that it cannot do without.
    needs: tuple[str, ...] = ()


#: What reads and writes recordings.
BAGS = ("apsw", "lz4", "mcap", "rosbags", "zstandard")

PROGRAMS = {
    "facemesh_bag": _Program("maix_facemesh_ros.offline.main", (*BAGS, "onnxruntime")),
    "facemesh_node": _Program("maix_facemesh_ros.ros.facemesh_node"),
    "facemesh_replay": _Program("maix_facemesh_ros.ros.replay.main", BAGS),
    "facemesh_rviz": _Program("maix_facemesh_ros.ros.facemesh_rviz"),
    "facemesh_view": _Program("maix_facemesh_ros.ros.view.main"),
}


def start(name: str) -> int:
    """Run a program with the command line of this process; returns its exit code."""
    program = PROGRAMS[name]
    try:
        module = import_module(program.module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        own = missing == "maix_facemesh_ros.msg"
        advice = how_to_install(missing if own else missing.partition(".")[0], program.needs)
        if advice is None:
            raise
        print(f"{name} needs {missing}, which is not installed: {advice}", file=sys.stderr)
        return 1
    return int(module.main())


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
        sys.exit(f"usage: python -m maix_facemesh_ros.start {'|'.join(PROGRAMS)} ...")
    sys.exit(start(sys.argv.pop(1)))

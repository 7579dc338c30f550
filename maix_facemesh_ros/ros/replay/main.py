"""`facemesh_replay`: plays a bag into facemesh_node and compares its faces with golden ones."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from maix_facemesh_ros.ros.replay.tolerances import Tolerances

#: From here on the command line is for ROS.
ROS_ARGUMENTS = "--ros-args"

#: The values that each tolerance applies to.
TOLERANCES = {
    "pixels": "boxes, points and depths, in pixels",
    "scores": "scores",
    "distances": "3D positions, as a fraction of the distance from the camera",
    "degrees": "head and gaze directions, in degrees",
}
TOLERANCE = Tolerances()


def main(arguments: Sequence[str] | None = None) -> int:
    """Play a bag with the options of the command line; returns the exit code."""
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    # Not by rclpy: it would parse `-p name:=value`, which is for the node, as a remap.
    own = given[: given.index(ROS_ARGUMENTS)] if ROS_ARGUMENTS in given else given
    parser = _parser()
    options = parser.parse_args(own)
    _check_options(parser, options)
    remaps = [part for rule in options.remap for part in ("-r", rule)]
    # Not with the module: `--help` and a wrong command line need no ROS.
    from maix_facemesh_ros.ros.replay.run import run

    return run(options, [*given[len(own) :], ROS_ARGUMENTS, *remaps])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facemesh_replay",
        description="Play a bag into facemesh_node. Each image is published when the faces of the "
        "previous image have arrived: no image is dropped, and every run gives the same faces.",
        epilog="Exit code: 0: all faces are equal, or no --check; 1: faces differ from the golden "
        "ones; 2: no comparison, because the bag, the node or this program failed; 3: no usable "
        "image; 130: interrupted.",
    )
    parser.add_argument("bag", type=Path, help="bag: folder or file")
    playing = parser.add_argument_group("playing")
    playing.add_argument(
        "--rate",
        type=_positive,
        metavar="R",
        help="play in real time; 1: as recorded, 2: twice as fast; the node may then drop images",
    )
    playing.add_argument(
        "--clock",
        type=_positive,
        nargs="?",
        const=40.0,
        metavar="HZ",
        help="publish the bag's time on /clock; HZ: its rate with --rate (default: 40)",
    )
    playing.add_argument(
        "--loop",
        type=_whole,
        nargs="?",
        const=0,
        default=1,
        metavar="N",
        help="play the bag N times; without N endlessly",
    )
    playing.add_argument(
        "--exclude-topics", nargs="+", default=[], metavar="TOPIC", help="do not play these topics"
    )
    playing.add_argument(
        "-m",
        "--remap",
        nargs="+",
        default=[],
        metavar="OLD:=NEW",
        help="publish topics under other names",
    )
    nodes = parser.add_argument_group(
        "node", "Without --start-node: a node that is already running."
    )
    nodes.add_argument("--start-node", action="store_true", help="start one node per camera")
    nodes.add_argument(
        "--topics",
        nargs="+",
        default=[],
        metavar="TOPIC",
        help="image topics to process (default: all that a node subscribes to; with --start-node "
        "all images except depth images)",
    )
    nodes.add_argument(
        "-p", "--param", action="append", default=[], metavar="NAME:=VALUE", help="parameter"
    )
    nodes.add_argument(
        "--params-file",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="parameter file (YAML), such as one of ros2 param dump",
    )
    nodes.add_argument(
        "--timeout",
        type=_positive,
        default=60.0,
        metavar="SECONDS",
        help="maximum time to wait for the node, and for the faces of an image (default: 60)",
    )
    faces = parser.add_argument_group("faces")
    faces.add_argument("--record", type=Path, metavar="BAG", help="write the faces to a new bag")
    faces.add_argument(
        "--check", type=Path, metavar="BAG", help="compare the faces with those in a bag"
    )
    for field in fields(Tolerances):
        faces.add_argument(
            f"--{field.name}",
            type=float,
            default=getattr(TOLERANCE, field.name),
            metavar="TOLERANCE",
            help=f"with --check: tolerance of {TOLERANCES[field.name]} "
            f"(default: {getattr(TOLERANCE, field.name):g})",
        )
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is out of range: give a number above 0")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range: give 1 or more")
    return value


def _check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with an error if options contradict each other."""
    for name in ("param", "params_file"):
        if getattr(options, name) and not options.start_node:
            parser.error(f"--{name.replace('_', '-')} needs --start-node")
    if options.loop == 0 and (options.check or options.record):
        parser.error("--loop without a number cannot be used with --check or --record")
    if options.loop != 1 and options.record:
        parser.error("--record writes the faces of one pass: remove --loop")


if __name__ == "__main__":
    sys.exit(main())

"""`facemesh see`: the faces of a camera, video, image or URL in a browser, without ROS."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from maix_facemesh_ros.library_messages import keep_quiet

EXAMPLES = """\
examples:
  facemesh see                      the first camera of this machine
  facemesh see talk.mp4 --gaze
  facemesh see rtsp://camera/stream --blendshapes -p max_face_num:=8

Ctrl-C ends it.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the faces of a source until it ends or is interrupted; returns the exit code."""
    given = _parser().parse_args(arguments)
    keep_quiet()
    # Not with the module: `--help` and a wrong command line need no library.
    from maix_facemesh_ros.browser.watching import run

    return run(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facemesh see",
        description="Show the faces of a camera, video, image or URL in a browser, without ROS.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "source",
        nargs="?",
        default="0",
        metavar="SOURCE",
        help="camera (0, /dev/video0), video, image, folder of images or URL (default: camera 0)",
    )
    add("--gaze", action="store_true", help="compute head poses and gaze")
    add("--blendshapes", action="store_true", help="compute the 52 expression scores")
    add(
        "--field-of-view",
        type=float,
        default=60.0,
        metavar="DEGREES",
        help="horizontal field of view of the camera, for poses (default: %(default)s)",
    )
    add("--port", type=int, default=8478, help="port of the page (default: %(default)s)")
    add("--no-browser", action="store_true", help="print the address only, open no browser")
    add("--once", action="store_true", help="end with the file; without it, files start again")
    add("--params-file", type=Path, action="append", default=[], metavar="YAML")
    add(
        *("-p", "--param"),
        action="append",
        default=[],
        metavar="NAME:=VALUE",
        help="a parameter of facemesh_node",
    )
    return parser

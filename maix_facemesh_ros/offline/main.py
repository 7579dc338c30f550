"""`facemesh_bag`: find the faces in bags, videos and folders of images, faster than real time.

Parameters and results are those of `facemesh_node`. ROS is not needed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maix_facemesh_ros.bags.storage import MIB, STORAGES, UnpackLimits
from maix_facemesh_ros.library_messages import keep_quiet
from maix_facemesh_ros.offline.options import FACES_TOPIC
from maix_facemesh_ros.processors import usable_processors

EXAMPLES = """\
examples:
  facemesh_bag kitchen -o kitchen_faces --copy
  facemesh_bag monday tuesday -o faces -p max_face_num:=4 --annotated
  facemesh_bag talk.mp4 -o talk.csv -o talk_faces.mp4
  facemesh_bag 0 -o me.mp4 --seconds 10
  facemesh_bag photos/*.jpg -o faces.csv -o annotated/

exit code: 0: done; 1: error; 2: wrong command line; 3: no usable image; 130: interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job of the command line; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    keep_quiet()
    # Not with the module: `--help` and a wrong command line need no library.
    from maix_facemesh_ros.offline.run import run

    return run(parsed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facemesh_bag",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="bag, video, image file or folder of image files; or one camera (0, /dev/video0) or "
        "URL (rtsp://...), until Ctrl-C",
    )
    add(
        *("-o", "--output"),
        action="append",
        required=True,
        help="new bag; or a table, which ends in .csv or .parquet; an annotated video, which "
        "ends in .mp4; or a folder of annotated JPEGs, which ends in /. May be given several "
        "times. With several inputs a bag is a folder with one bag per input",
    )
    add(
        "--stream",
        action="store_true",
        help="process image files as the frames of a 30 Hz video, with tracking, ids and "
        "smoothing; without it each file is processed alone",
    )
    add(
        "--rows-without-faces",
        action=argparse.BooleanOptionalAction,
        help="whether tables have a row for an image without faces (default: of videos and image "
        "files, not of bags)",
    )
    add(
        "--seconds",
        type=float,
        metavar="S",
        help="of a camera or URL: end after S seconds (default: with Ctrl-C)",
    )
    add("--topics", nargs="+", default=[], metavar="TOPIC", help="image topics (default: all)")
    add(
        "--faces-topic",
        default=FACES_TOPIC,
        metavar="PATTERN",
        help="topic of the faces; {namespace} and {topic} are those of the images "
        "(default: %(default)s)",
    )
    add("--copy", action="store_true", help="also copy every message of the input to the bag")
    add(
        "--blur",
        action="store_true",
        help="like --copy, with the faces of all camera images blurred; other topics with images "
        "are left out",
    )
    add(
        "--annotated",
        action="store_true",
        help="also write the annotated images to the bag, as JPEG",
    )
    add(
        "--image-annotations",
        action="store_true",
        help="also write foxglove_msgs/ImageAnnotations; same as -p foxglove_msgs:=true",
    )
    add(
        "--storage",
        choices=STORAGES,
        default="mcap",
        help="format of the bag (default: %(default)s)",
    )
    add("--params-file", type=Path, metavar="YAML", help="parameter file of facemesh_node")
    add(
        *("-p", "--param"),
        action="append",
        default=[],
        metavar="NAME:=VALUE",
        help="a parameter of facemesh_node",
    )
    add(
        "--workers",
        type=int,
        default=usable_processors(),
        metavar="N",
        help="number of worker processes (default: %(default)s, one per processor)",
    )
    add(
        "--cluster",
        default="",
        metavar="ADDRESS",
        help="run on a Dask cluster instead: address of its scheduler, such as "
        "tcp://10.0.0.5:8786, or local",
    )
    add(
        "--max-unpacked",
        type=int,
        default=UnpackLimits().chunk // MIB,
        metavar="MIB",
        help="maximum unpacked size of a compressed chunk or message (default: %(default)s MiB)",
    )
    add(
        "--max-unpacked-file",
        type=int,
        default=0,
        metavar="MIB",
        help="maximum unpacked size of a compressed file (default: 256 MiB, or 100 times its size)",
    )
    add("--restart", action="store_true", help="discard the checkpoint of an interrupted job")
    add("--quiet", action="store_true", help="print warnings and errors only")
    return parser


if __name__ == "__main__":
    sys.exit(main())

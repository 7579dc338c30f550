"""`facemesh_bag`: find the faces in bags, videos and folders of images, faster than real time.

Parameters and results are those of `facemesh_node`. ROS is not needed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.bags.storage import MIB, BagError, UnpackLimits
from maix_facemesh_ros.bags.writer import STORAGES
from maix_facemesh_ros.messages import decoder_warnings
from maix_facemesh_ros.model_files import ModelError
from maix_facemesh_ros.offline.job import Job, Report
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.offline.outputs import FACES_TOPIC
from maix_facemesh_ros.offline.recordings import NoImagesError
from maix_facemesh_ros.parameters import NodeParameters, ParameterError
from maix_facemesh_ros.parameters.files import given_parameters

EXAMPLES = """\
examples:
  facemesh_bag kitchen -o kitchen_faces --copy
  facemesh_bag monday tuesday -o faces -p max_face_num:=4 --annotated
  facemesh_bag talk.mp4 -o talk.csv

exit code: 0: done; 1: error; 2: wrong command line; 3: no usable image; 130: interrupted
"""

#: Exit codes: an error, images of which none can be used, interrupted by the user. argparse ends
#: with 2.
FAILED, NO_IMAGES, INTERRUPTED = 1, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job of the command line; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    decoder_warnings.limit()
    try:
        options = _options(parsed)
        with Job(options) as job:
            if job.is_resumed:
                _say("resuming an interrupted job", quiet=parsed.quiet)
            with tqdm(
                total=job.images,
                unit=" images",
                dynamic_ncols=True,
                # None: no bar without a terminal, as in a log.
                disable=True if parsed.quiet else None,
            ) as bar:
                report = job.run(bar.update)
    except NoImagesError as error:
        print(f"facemesh_bag: {error}", file=sys.stderr)
        return NO_IMAGES
    except (BackendError, BagError, ParameterError, ModelError) as error:
        print(f"facemesh_bag: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("facemesh_bag: interrupted; the same command resumes", file=sys.stderr)
        return INTERRUPTED
    finally:
        decoder_warnings.release()
    _tell(report, options, quiet=parsed.quiet)
    return 0


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
        type=Path,
        nargs="+",
        metavar="INPUT",
        help="bag, video, image file or folder of image files",
    )
    add(
        *("-o", "--output"),
        type=Path,
        action="append",
        required=True,
        help="new bag, or table that ends in .csv or .parquet; may be given several times. "
        "With several inputs: a folder with one bag per input",
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
    add("--annotated", action="store_true", help="also write the annotated images as JPEG")
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
        default=len(os.sched_getaffinity(0)),
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


def _options(parsed: argparse.Namespace) -> JobOptions:
    files = [parsed.params_file] if parsed.params_file else []
    values = given_parameters(files, parsed.param)
    if parsed.image_annotations:
        values["foxglove_msgs"] = True
    return JobOptions(
        inputs=tuple(parsed.inputs),
        outputs=tuple(parsed.output),
        parameters=NodeParameters.from_values(values),
        stream=parsed.stream,
        all_faces_of_stills="max_face_num" not in values,
        rows_without_faces=parsed.rows_without_faces,
        topics=tuple(parsed.topics),
        faces_topic=parsed.faces_topic,
        annotated=parsed.annotated,
        copy=parsed.copy,
        blur=parsed.blur,
        storage=parsed.storage,
        workers=parsed.workers,
        cluster=parsed.cluster,
        restart=parsed.restart,
        limits=UnpackLimits(parsed.max_unpacked * MIB, parsed.max_unpacked_file * MIB),
    )


def _tell(report: Report, options: JobOptions, *, quiet: bool) -> None:
    """Print the summary, and always the warnings."""
    outputs = ", ".join(str(path) for path in options.outputs)
    rate = report.images / report.seconds if report.seconds else 0.0
    times = report.recorded_seconds / report.seconds if report.seconds else 0.0
    images = report.images - report.unusable.total()
    speed = f"{rate:.0f} images per second"
    if not report.stills:
        speed += f", {times:.1f} times as fast as recorded"
    _say(
        f"{images} images, {report.faces} faces in {report.seconds:.1f} s ({speed}): {outputs}",
        quiet=quiet,
    )
    if report.stills:
        _say(
            f"{report.stills} still images were processed one by one, without tracks, ids and "
            "smoothing; --stream processes them as a video",
            quiet=quiet,
        )
    if report.stills_with_more_faces:
        _say(
            f"in {report.stills_with_more_faces} of them the detector found more faces than "
            f"max_face_num, which is {options.parameters.max_face_num}; "
            "-p max_face_num:=0 keeps all",
            quiet=quiet,
        )
    if options.parameters.depth_topic:
        print("depth_topic is not used: the sizes of the heads are assumed", file=sys.stderr)
    if report.retried:
        print(f"{report.retried} tasks had to be repeated", file=sys.stderr)
    for reason, count in report.unusable.most_common():
        print(f"{count} images skipped: {reason}", file=sys.stderr)
    for remark in report.remarks:
        print(remark, file=sys.stderr)


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        print(text)


if __name__ == "__main__":
    sys.exit(main())

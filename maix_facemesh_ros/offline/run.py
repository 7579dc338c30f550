"""Runs the job of a command line of `facemesh_bag`, and prints its progress and summary."""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.bags.storage import MIB, BagError, UnpackLimits
from maix_facemesh_ros.messages import decoder_warnings
from maix_facemesh_ros.model_files import ModelError
from maix_facemesh_ros.offline.job import Job, Report
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.offline.recordings import NoImagesError
from maix_facemesh_ros.parameters import NodeParameters, ParameterError
from maix_facemesh_ros.parameters.files import given_parameters

#: Exit codes: an error, images of which none can be used, interrupted by the user. argparse ends
#: with 2.
FAILED, NO_IMAGES, INTERRUPTED = 1, 3, 130


def run(parsed: argparse.Namespace) -> int:
    """Run the job; returns the exit code.

    Args:
        parsed: the command line, parsed by `main`.
    """
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
    if report.retried:
        print(f"{report.retried} tasks had to be repeated", file=sys.stderr)
    for reason, count in report.unusable.most_common():
        print(f"{count} images skipped: {reason}", file=sys.stderr)
    for remark in report.remarks:
        print(remark, file=sys.stderr)


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        print(text)

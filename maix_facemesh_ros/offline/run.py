"""Runs the job of a command line of `facemesh_bag`, and prints its progress and summary."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.bags.storage import MIB, BagError, UnpackLimits
from maix_facemesh_ros.messages import decoder_warnings
from maix_facemesh_ros.model_files import ModelError
from maix_facemesh_ros.offline.job import Job, Report
from maix_facemesh_ros.offline.live import LiveJob
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.offline.recordings import NoImagesError
from maix_facemesh_ros.parameters import NodeParameters, ParameterError
from maix_facemesh_ros.parameters.files import given_parameters
from maix_facemesh_ros.progress import progress_of_images
from maix_facemesh_ros.sources.base import SourceError
from maix_facemesh_ros.sources.names import URL, public_name
from maix_facemesh_ros.wording import counted

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
        report = (_run_recordings if options.inputs else _run_live)(options, parsed)
    except NoImagesError as error:
        print(f"facemesh_bag: {error}", file=sys.stderr)
        return NO_IMAGES
    except (BackendError, BagError, ParameterError, ModelError, SourceError) as error:
        print(f"facemesh_bag: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("facemesh_bag: interrupted; the same command resumes", file=sys.stderr)
        return INTERRUPTED
    finally:
        decoder_warnings.release()
    _tell(report, options, quiet=parsed.quiet)
    return 0


def _run_recordings(options: JobOptions, parsed: argparse.Namespace) -> Report:
    with Job(options) as job:
        if job.is_resumed:
            _say("resuming an interrupted job", quiet=parsed.quiet)
        with progress_of_images(job.images, quiet=parsed.quiet) as progress:
            return job.run(progress)


def _run_live(options: JobOptions, parsed: argparse.Namespace) -> Report:
    with LiveJob(options, parsed.seconds) as job:
        end = "Ctrl-C ends this" if parsed.seconds is None else f"for {parsed.seconds:g} s"
        _say(
            f"finding faces in {public_name(options.parameters.source)} ({end})", quiet=parsed.quiet
        )
        with progress_of_images(None, quiet=parsed.quiet) as progress:
            return job.run(progress)


def _is_live(source: str) -> bool:
    """Tell cameras and URLs from files."""
    if source.isdigit():
        return not os.path.lexists(source)
    return source.startswith("/dev/") or URL.match(source) is not None


def _options(parsed: argparse.Namespace) -> JobOptions:
    files = [parsed.params_file] if parsed.params_file else []
    values = given_parameters(files, parsed.param)
    if parsed.image_annotations:
        values["foxglove_msgs"] = True
    live = [source for source in parsed.inputs if _is_live(source)]
    if live:
        if len(parsed.inputs) > 1:
            raise BagError(f"{public_name(live[0])} is a live source: give it as the only input")
        values["source"] = live[0]
    elif parsed.seconds is not None:
        raise BagError("--seconds is for a camera or URL: recordings end by themselves")
    return JobOptions(
        inputs=() if live else tuple(map(Path, parsed.inputs)),
        outputs=tuple(map(Path, parsed.output)),
        image_folders=tuple(Path(output) for output in parsed.output if _is_image_folder(output)),
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
    images = counted(report.images - report.unusable.total(), "image")
    faces = counted(report.faces, "face")
    _say(f"{images}, {faces} in {report.seconds:.1f} s{_speed(report)}: {outputs}", quiet=quiet)
    if report.stills > 1:
        _say(
            f"{report.stills} still images were processed one by one, without tracks, ids and "
            "smoothing; --stream processes them as a video",
            quiet=quiet,
        )
    if report.stills_with_more_faces:
        _say(
            f"in {counted(report.stills_with_more_faces, 'image')} the detector found more faces "
            f"than max_face_num, which is {options.parameters.max_face_num}; "
            "-p max_face_num:=0 keeps all",
            quiet=quiet,
        )
    if options.parameters.depth_topic:
        print("depth_topic is not used: the sizes of the heads are assumed", file=sys.stderr)
    if report.retried:
        print(f"{counted(report.retried, 'task')} had to be repeated", file=sys.stderr)
    for reason, count in report.unusable.most_common():
        print(f"{counted(count, 'image')} skipped: {reason}", file=sys.stderr)
    for remark in report.remarks:
        print(remark, file=sys.stderr)


def _speed(report: Report) -> str:
    """Return the speed in brackets; of stills nothing, as most of the time goes into the start."""
    if report.stills or not report.seconds:
        return ""
    speed = f"{report.images / report.seconds:.0f} images per second"
    if report.recorded_seconds:
        times = report.recorded_seconds / report.seconds
        speed += f", {times:.1f} times as fast as recorded"
    return f" ({speed})"


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        print(text)


def _is_image_folder(output: str) -> bool:
    """Tell a folder of JPEGs from that of a bag."""
    return output.endswith(("/", os.sep))

"""What `facemesh maixcam-check` prints: the device, its rate, its faces and some images."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

from maix_facemesh_ros import __version__
from maix_facemesh_ros.face import FaceFrame, JpegFrame
from maix_facemesh_ros.face_stream import FaceStream
from maix_facemesh_ros.model_files import ModelError
from maix_facemesh_ros.parameters import NodeParameters, ParameterError
from maix_facemesh_ros.sources.base import SourceError
from maix_facemesh_ros.wording import counted

#: Images that are saved.
IMAGES = 3

#: Least frames per second, and the longest time between two, of a device that is well.
LEAST_RATE = 5.0
LONGEST_GAP = 1.0


def run(given: argparse.Namespace) -> int:
    """Check a device and print a report; returns 0 if all is well, 1 if not.

    Args:
        given: the command line, parsed by `maixcam_check.main`.
    """
    print(f"facemesh {__version__} checks the MaixCAM at {given.address}, {given.seconds:g} s")
    try:
        problems = list(_check(given))
    except (ModelError, ParameterError, SourceError) as error:
        print(f"facemesh maixcam-check: {error}", file=sys.stderr)
        return 1
    for problem in problems:
        print(f"NOT WELL: {problem}")
    if not problems:
        print("all is well")
    return 1 if problems else 0


def _check(given: argparse.Namespace) -> Iterator[str]:
    """Print what is found; yields the problems.

    Raises:
        ParameterError: the token file cannot be read.
        SourceError: no device answers, or it refuses the token.
    """
    parameters = NodeParameters(
        backend="maixcam",
        maixcam_address=given.address,
        maixcam_token_file=given.token_file,
        maixcam_token=given.token,
        maixcam_certificate=given.certificate,
        maixcam_jpeg=True,
        maixcam_reconnect=False,
    )
    started = time.monotonic()
    with FaceStream(parameters) as stream:
        frames: list[tuple[float, FaceFrame]] = []
        images: list[bytes] = []
        for frame in stream.frames():
            now = time.monotonic()
            if isinstance(frame, JpegFrame):
                images.append(frame.jpeg)
                continue
            if not frames:
                print(f"connected, token accepted, first frame after {now - started:.1f} s")
            frames.append((now, frame))
            if now - frames[0][0] >= given.seconds:
                break
        for name, fact in stream.facts.items():
            print(f"  {name}: {fact}")
    yield from _rate(frames)
    yield from _images(images, given.output)


def _rate(frames: Sequence[tuple[float, FaceFrame]]) -> Iterator[str]:
    """Print the rate and the faces; yields the problems."""
    seconds = frames[-1][0] - frames[0][0]
    rate = (len(frames) - 1) / seconds if seconds else 0.0
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(frames)]
    delays = [1000 * (arrived - frame.taken_at) for arrived, frame in frames]
    longest = max(gaps, default=0.0)
    print(
        f"rate: {counted(len(frames), 'frame')} in {seconds:.1f} s, {rate:.1f} Hz; longest gap "
        f"{1000 * longest:.0f} ms; from the camera to here {median(delays):.0f} ms (median)"
    )
    with_face = [frame for _, frame in frames if frame.faces]
    size = f"{frames[-1][1].width}x{frames[-1][1].height}"
    print(f"faces: in {len(with_face)} of {counted(len(frames), 'frame')} of {size}")
    if rate < LEAST_RATE:
        yield f"{rate:.1f} frames per second, where {LEAST_RATE:g} are the least"
    if longest > LONGEST_GAP:
        yield f"no frame for {longest:.1f} s: is the network slow?"
    if not with_face:
        yield "no face was found: stand before the camera, in light, while it runs"
    elif not any(len(face.points) for frame in with_face for face in frame.faces):
        yield "no face has landmarks"


def _images(images: Sequence[bytes], folder: Path) -> Iterator[str]:
    """Save some of the images, from the first to the last one; yields the problems."""
    if not images:
        yield "no image came with the faces"
        return
    folder.mkdir(parents=True, exist_ok=True)
    steps = max(IMAGES - 1, 1)
    for number in range(min(IMAGES, len(images))):
        path = folder / f"maixcam_{number + 1}.jpg"
        path.write_bytes(images[number * (len(images) - 1) // steps])
        print(f"image: {path}")

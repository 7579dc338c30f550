"""Time saved by `landmarks_interval`, and the distance from the landmarks of every image."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import cv2
import numpy as np

from benchmarks.clips import faces_clip, single_face_clip
from benchmarks.downloads import DownloadError
from benchmarks.face_meshes import distance_to_nearest
from benchmarks.measurement import WARM_UP, Figure
from benchmarks.options import Options
from benchmarks.report import Row, Section
from benchmarks.shared_image import RATE, Clip, Pixels
from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarksNetwork
from maix_facemesh_ros.face import FloatArray

INTERVALS = (2, 3, 10)
#: Images whose mean is one sample: a multiple of each interval.
BLOCK = 30
#: A camera's noise, in gray levels.
NOISE = 2.0
#: Function that counts as a run of the network.
LOOK: Callable[..., Any] = FaceLandmarksNetwork.find


@dataclass
class Outcome:
    """What was measured with one interval: of each image, but for `looks`."""

    #: Seconds computed.
    computed: list[float] = field(default_factory=list)
    points: list[FloatArray] = field(default_factory=list)
    #: How often the network looked.
    looks: int = 0

    def figure(self) -> Figure:
        """Sum up the computing time: a mean, because images differ by design."""
        blocks = np.array(self.computed[: len(self.computed) // BLOCK * BLOCK]).reshape(-1, BLOCK)
        return Figure.milliseconds(blocks.mean(axis=1).tolist())


def measure(options: Options) -> Section:
    """One face, by its motion and by intervals, compared with the network on every image."""
    cv2.setNumThreads(1)
    skipped: list[str] = []
    rows = []
    for title, clip in _clips(skipped).items():
        outcomes = _follow(clip, max(options.rounds, 2 * BLOCK))
        every = outcomes[1]
        for interval in INTERVALS:
            outcome = outcomes[interval]
            apart = [
                distance_to_nearest(full, [points])
                for full, points in zip(every.points, outcome.points, strict=True)
            ]
            rows.append(
                Row(
                    f"{title}: landmarks_interval {interval}",
                    outcome.figure(),
                    "every image",
                    every.figure(),
                    remark=f"the network runs on {100 * outcome.looks / every.looks:.0f} % "
                    f"of images; apart {np.mean(apart):.2f} %, in the worst image "
                    f"{max(apart):.2f} %",
                )
            )
    title = "landmarks that move along with a face: computing an image, mean of a second"
    return Section("interval", title, rows, skipped)


def _clips(skipped: list[str]) -> dict[str, Clip]:
    clips = {}
    try:
        clips["a filmed face, 640x360"] = single_face_clip()
    except DownloadError as error:
        skipped.append(f"a filmed face: {error}")
    still = faces_clip(640, 480, movement=0.0)
    return {
        **clips,
        "moving, 640x480": faces_clip(640, 480),
        "moving, 1920x1080": faces_clip(1920, 1080),
        "three times as fast": faces_clip(640, 480, movement=3.0),
        "still": still,
        f"still, noise of {NOISE:g} gray levels": _with_noise(still),
    }


def _with_noise(clip: Clip) -> Clip:
    random = np.random.default_rng(0)

    def noisy(number: int) -> Pixels:
        image = clip(number)
        return np.clip(image + random.normal(0, NOISE, image.shape), 0, 255).astype(np.uint8)

    return noisy


def _follow(clip: Clip, images: int) -> dict[int, Outcome]:
    """Track the face with each interval, interleaved image by image."""
    meshes = {
        interval: FaceMesh(
            tracking=True,
            max_face_num=1,
            detector="short_range",
            smoothing="off",
            threads=1,
            landmarks_interval=interval,
        )
        for interval in (1, *INTERVALS)
    }
    outcomes = {interval: Outcome() for interval in meshes}
    for number in range(WARM_UP + images):
        image = clip(number)
        turns = list(meshes.items())
        for interval, mesh in reversed(turns) if number % 2 else turns:
            with mock.patch.object(FaceLandmarksNetwork, "find", autospec=True) as find:
                find.side_effect = LOOK
                start = time.process_time()
                (face,) = mesh.process(image, number / RATE)
                computed = time.process_time() - start
            if number >= WARM_UP:
                outcome = outcomes[interval]
                outcome.computed.append(computed)
                outcome.points.append(face.points)
                outcome.looks += find.call_count
    return outcomes

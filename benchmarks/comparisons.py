"""What `make bench` compares: the rows of its table, and who does the work in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from benchmarks import ours, peers
from benchmarks.clips import astronaut_clip, single_face_clip
from benchmarks.downloads import (
    FACE_LANDMARKER_TASK,
    FULL_RANGE_TFLITE,
    DownloadError,
    read_from_task,
)
from benchmarks.measurement import Contender, Measurement, Spread
from benchmarks.report import Row, Target, Times
from maix_facemesh_ros.face import FloatArray, Picture
from maix_facemesh_ros.roi import OUTER_EYE_CORNERS

VIDEO = "one face, 640x360, video with tracking; peer: MediaPipe FaceLandmarker"
PICTURE = "one face, 640x360, picture by picture; peer: MediaPipe FaceLandmarker"
NETWORK = "networks alone; peer: the same in TFLite (XNNPACK)"
STAGES = "stages"

#: Networks of models/ and the sizes of their input; the last two are those with which the default
#: detector looks at a 640x360 picture.
NETWORKS = (
    ("face_landmarks", 256, 256),
    ("face_detection_short_range", 128, 128),
    ("face_detection_full_range", 192, 192),
    ("face_detection_full_range", 512, 288),
    ("face_detection_full_range", 96, 96),
)
#: Sizes that a TFLite network takes too.
PUBLISHED_SIZES = ((256, 256), (128, 128), (192, 192))

#: The most that our time for a video may be of MediaPipe's.
VIDEO_LIMIT = 0.75


@dataclass(frozen=True)
class Comparison:
    """A row of the table before it is measured; who competes is given by name."""

    section: str
    title: str
    ours: str
    peer: str | None


@dataclass(frozen=True)
class Plan:
    """What will be measured."""

    contenders: dict[str, Contender] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    #: What cannot be measured, and why.
    skipped: list[str] = field(default_factory=list)

    def compare(self, section: str, title: str, contender: Contender, peer: str | None) -> None:
        """Add a row. The peer is a contender by itself, because it may stand in several rows."""
        name = f"{section}: {title}"
        self.contenders[name] = contender
        self.comparisons.append(Comparison(section, title, name, peer))


def make_plan() -> Plan:
    """Open everything that takes part.

    Raises:
        DownloadError: MediaPipe's model cannot be had.
    """
    plan = Plan()
    task = FACE_LANDMARKER_TASK.fetch()
    clips = {"astronaut": astronaut_clip()}
    try:
        clips["single_face"] = single_face_clip()
    except DownloadError as error:
        plan.skipped.append(f"the video single_face: {error}")

    with peers.quiet():
        for name, clip in clips.items():
            _compare_face_meshes(plan, VIDEO, name, clip, task)
        _compare_face_meshes(plan, PICTURE, "astronaut", clips["astronaut"], task)
        _compare_networks(plan, task)
    plan.contenders[STAGES] = ours.StageTimes(clips["astronaut"], "short_range").contender()
    return plan


def make_rows(plan: Plan, measurements: Mapping[str, Measurement]) -> list[Row]:
    """Turn the measurements into the rows of the table."""
    rows = []
    for comparison in plan.comparisons:
        own = measurements[comparison.ours]
        peer = measurements[comparison.peer] if comparison.peer else None
        rows.append(
            Row(
                section=comparison.section,
                title=comparison.title,
                ours=Times.of(own),
                peer=Times.of(peer) if peer else None,
                distance=_landmark_distance(own.answers, peer.answers) if peer else None,
                no_face=(_missed(own), _missed(peer)) if peer else (0, 0),
            )
        )
    return rows


def stage_spreads(measurements: Mapping[str, Measurement]) -> dict[str, Spread]:
    """Return the times of the stages of one tracked face."""
    answers = measurements[STAGES].answers
    return {stage: Spread.of([answer[stage] for answer in answers]) for stage in answers[0]}


def video_target(rows: Sequence[Row]) -> Target:
    """Return how the videos stand against the target."""
    return Target(
        title="video, 640x360, one face: ours/MediaPipe",
        limit=VIDEO_LIMIT,
        rows=[row for row in rows if row.section == VIDEO],
    )


def _compare_face_meshes(
    plan: Plan, section: str, name: str, clip: Sequence[Picture], task: Path
) -> None:
    tracking = section == VIDEO
    peer = f"{section}: {name}, MediaPipe"
    plan.contenders[peer] = peers.face_landmarker(clip, task, video=tracking)
    for detector, remark in (("short_range", "MediaPipe's own"), ("full_range", "our default")):
        contender = ours.face_mesh(clip, detector, tracking=tracking)
        plan.compare(section, f"{name}, {detector} ({remark})", contender, peer)


def _compare_networks(plan: Plan, task: Path) -> None:
    models = {
        "face_landmarks": read_from_task(task, "face_landmarks_detector.tflite"),
        "face_detection_short_range": read_from_task(task, "face_detector.tflite"),
    }
    try:
        models["face_detection_full_range"] = FULL_RANGE_TFLITE.fetch().read_bytes()
    except DownloadError as error:
        plan.skipped.append(f"the full-range network in TFLite: {error}")
    for model, width, height in NETWORKS:
        title = f"{model} {width}x{height}"
        tensor = _picture_tensor(width, height)
        peer = None
        # TFLite's networks run at the size that they were published with.
        if (width, height) in PUBLISHED_SIZES and model in models:
            peer = _add_tflite(plan, title, models[model], tensor)
        plan.compare(NETWORK, title, ours.network(f"{model}.onnx", tensor), peer)


def _add_tflite(plan: Plan, title: str, model: bytes, tensor: FloatArray) -> str | None:
    name = f"{title}, TFLite"
    try:
        plan.contenders[name] = peers.tflite_network(model, tensor)
    except ImportError as error:
        plan.skipped.append(f"{name}: {error}")
        return None
    return name


def _picture_tensor(width: int, height: int) -> FloatArray:
    """Return a picture with a face in it as (1, 3, height, width), 0..1."""
    picture = cv2.resize(skimage.data.astronaut(), (width, height), interpolation=cv2.INTER_AREA)
    values = np.asarray(picture, np.float32) / 255
    return np.ascontiguousarray(values.transpose(2, 0, 1)[np.newaxis])


def _landmark_distance(
    own: Sequence[FloatArray | None], peer: Sequence[FloatArray | None]
) -> float | None:
    """Return the mean distance in percent of the distance between the outer eye corners."""
    right_eye, left_eye = OUTER_EYE_CORNERS
    distances = []
    for points, reference in zip(own, peer, strict=True):
        if points is not None and reference is not None:
            eyes = np.linalg.norm(reference[left_eye] - reference[right_eye])
            distances.append(np.linalg.norm(points - reference, axis=1).mean() / eyes)
    return 100 * float(np.mean(distances)) if distances else None


def _missed(measurement: Measurement) -> int:
    return sum(answer is None for answer in measurement.answers)

"""What ids, smoothing, pose, gaze and expressions add to a face, and what smoothing does to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.measurement import Contender, Spread, measure_by_turns
from maix_facemesh_ros import Face, FaceMeshParameters
from maix_facemesh_ros.camera_model import CameraModel
from maix_facemesh_ros.enrichment import Enrichment
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.one_euro import LandmarkSmoother
from maix_facemesh_ros.roi import bounding_box

#: MediaPipe's answers for a video of one face; only its landmarks are needed.
VIDEO = Path(__file__).resolve().parent.parent / "test/data/mediapipe/single_face_video.npz"
SIZE = (640, 360)
RATE = 30.0
CAMERA = CameraModel.from_calibration(
    *SIZE, (560.0, 0, 320, 0, 560, 180, 0, 0, 1), (-0.2, 0.05, 0.001, 0, 0), "plumb_bob"
)

_OFF = {"smoothing": "off"}
#: What is switched on beside what `FaceMesh` does anyway.
PARTS: dict[str, dict[str, object]] = {
    "nothing": {},
    "ids": {"ids": True, **_OFF},
    "ids and smoothing": {"ids": True},
    "pose, distorted lens": {"pose": True},
    "pose and gaze": {"pose": True, "gaze": True},
    "ids, smoothing, pose and gaze": {"ids": True, "pose": True, "gaze": True},
    "blendshapes": {"blendshapes": True},
}

#: Pixels of noise on each coordinate of a still face, and widths of the face a second of a moving
#: one.
NOISE = 0.3
SPEED = 1.0


def measure_parts(rounds: int) -> dict[str, Spread]:
    """Return what each of `PARTS` takes for one face, measured by turns."""
    faces = _video()
    contenders = {name: _contender(values, faces) for name, values in PARTS.items()}
    measurements = measure_by_turns(contenders, rounds)
    return {name: Spread.of(measured.wall) for name, measured in measurements.items()}


def measure_smoothing() -> dict[str, str]:
    """Return how much a still face trembles and how late a moving one is, in words."""
    return {
        "a still face trembles": f"{_trembling():.2f} of the {NOISE} px that it does without",
        f"a face that moves {SPEED:g} width a second lags": f"{1000 * _lag():.1f} ms behind",
    }


def _video() -> list[tuple[FloatArray, FloatArray]]:
    """Return (478, 2) pixels and (478,) depths of each frame."""
    landmarks = np.load(VIDEO)["landmarks"]
    return [
        ((frame[:, :2] * SIZE).astype(np.float32), (-frame[:, 2] * SIZE[0]).astype(np.float32))
        for frame in landmarks
    ]


def _contender(values: dict[str, object], frames: list[tuple[FloatArray, FloatArray]]) -> Contender:
    parameters = FaceMeshParameters(**values)  # type: ignore[arg-type]
    enrichment = Enrichment(parameters)

    def step(number: int) -> None:
        points, points_z = frames[number % len(frames)]
        face = Face(points=points, points_z=points_z, box=bounding_box(points))
        enrichment.enrich([face], number / RATE, SIZE, CAMERA, parameters)

    return Contender(step)


def _smoothed(frames: list[FloatArray], points_z: FloatArray) -> list[npt.NDArray[np.float64]]:
    smoother, results = LandmarkSmoother(), []
    for number, points in enumerate(frames):
        face = Face(id=1, points=points, points_z=points_z)
        smoother.smooth([face], number / RATE)
        results.append(face.points.astype(np.float64))
    return results


def _trembling() -> float:
    """Return the standard deviation of the landmarks of a still face in pixels."""
    points, points_z = _video()[0]
    random = np.random.default_rng(0)
    frames = [points + random.normal(0, NOISE, points.shape).astype(np.float32) for _ in range(150)]
    return float(np.std(_smoothed(frames, points_z)[30:], axis=0).mean())


def _lag() -> float:
    """Return the seconds by which a face that moves evenly is behind."""
    points, points_z = _video()[0]
    step = SPEED * float(np.ptp(points[:, 0])) / RATE
    frames = [points + np.array([step * number, 0], np.float32) for number in range(60)]
    behind = frames[-1] - _smoothed(frames, points_z)[-1]
    return float(behind[:, 0].mean()) / (step * RATE)

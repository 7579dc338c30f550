"""Cost of ids, smoothing, pose, gaze and expressions per face, and the effect of smoothing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.measurement import Contender, Figure, measure_by_turns, timed
from benchmarks.options import Options
from benchmarks.report import Row, Section
from maix_facemesh_ros import Face, FaceMeshParameters
from maix_facemesh_ros.analysis.enrichment import Enrichment
from maix_facemesh_ros.backends.onnx.roi import bounding_box
from maix_facemesh_ros.backends.registry import open_blendshapes
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.depth_image import DepthImage
from maix_facemesh_ros.face import DoubleArray, FloatArray

# The heads are put before the camera as those of the tests.
sys.path.append(str(Path(__file__).resolve().parent.parent / "test/support"))

from posed_faces import degrees_between, head_at, rotation, see

#: MediaPipe's answers for a video of one face; only its landmarks are needed.
VIDEO = Path(__file__).resolve().parent.parent / "test/data/mediapipe/single_face_video.npz"
SIZE = (640, 360)
RATE = 30.0
CAMERA = CameraModel.from_calibration(
    *SIZE, (560.0, 0, 320, 0, 560, 180, 0, 0, 1), (-0.2, 0.05, 0.001, 0, 0), "plumb_bob"
)

_OFF = {"smoothing": "off"}
#: Features switched on in addition to the defaults of `FaceMesh`.
PARTS: dict[str, dict[str, object]] = {
    "nothing": {},
    "ids": {"ids": True, **_OFF},
    "ids and smoothing": {"ids": True},
    "pose, distorted lens": {"pose": True},
    "pose and gaze": {"pose": True, "gaze": True},
    "ids, smoothing, pose and gaze": {"ids": True, "pose": True, "gaze": True},
    "blendshapes": {"blendshapes": True},
}

#: Pixels of noise on each coordinate of a still face, and how fast moving ones are: widths of the
#: face, meters and degrees a second.
NOISE = 0.3
SPEED = 1.0
METERS_A_SECOND = 0.2
DEGREES_A_SECOND = 90.0
SMOOTHINGS = ("off", "one_euro")

#: (478, 2) pixels and (478,) depths.
Landmarks = tuple[FloatArray, FloatArray]


def measure(options: Options) -> Section:
    """Time of each of `PARTS` for one face, and the effect of smoothing."""
    faces = _video()
    contenders = {name: _contender(values, faces) for name, values in PARTS.items()}
    contenders["pose, and size from depth"] = _contender({"pose": True}, faces, _depth())
    measured = measure_by_turns(contenders, options.rounds)
    rows = [Row(name, Figure.milliseconds(times.wall)) for name, times in measured.items()]
    rows += [*_jitter_rows(), *_lag_rows()]
    return Section("enrichment", "what is done with the landmarks of one face", rows)


def _jitter_rows() -> list[Row]:
    """Return the jitter of a still face, without and with the filter."""
    points = [_points_jitter(smoothing) for smoothing in SMOOTHINGS]
    poses = [_pose_jitter(smoothing) for smoothing in SMOOTHINGS]
    return [
        Row(
            f"a still face, {NOISE} px of noise: {what} jitters",
            Figure.of([smoothed], unit),
            "without smoothing",
            Figure.of([at_once], unit),
        )
        for what, unit, (at_once, smoothed) in (
            ("a landmark", "px", points),
            ("the head's place", "mm", [millimeters for millimeters, _ in poses]),
            ("the head's direction", "degrees", [degrees for _, degrees in poses]),
        )
    ]


def _lag_rows() -> list[Row]:
    """Return the lag that smoothing causes for a moving face."""
    return [
        Row(f"{what} lags by smoothing", Figure.milliseconds([seconds]))
        for what, seconds in (
            (f"a landmark that moves {SPEED:g} face width a second", _lag()),
            (f"a head that moves {METERS_A_SECOND:g} m/s", _pose_lag()),
            (f"a head that turns {DEGREES_A_SECOND:g} degrees/s", _turn_lag()),
        )
    ]


def _video() -> list[Landmarks]:
    """Return the landmarks of each frame."""
    landmarks = np.load(VIDEO)["landmarks"]
    return [
        ((frame[:, :2] * SIZE).astype(np.float32), (-frame[:, 2] * SIZE[0]).astype(np.float32))
        for frame in landmarks
    ]


def _depth() -> DepthImage:
    """Return a depth image of a wall, with its camera model: every landmark is measured."""
    return DepthImage(np.full((SIZE[1], SIZE[0]), 700, np.uint16), camera=CAMERA)


def _contender(
    values: dict[str, object], frames: list[Landmarks], depth: DepthImage | None = None
) -> Contender:
    parameters = FaceMeshParameters(**values)  # type: ignore[arg-type]
    enrichment = Enrichment(parameters, open_blendshapes)

    def step(number: int) -> None:
        points, points_z = frames[number % len(frames)]
        face = Face(points=points, points_z=points_z, box=bounding_box(points))
        find_depth = None if depth is None else lambda: depth
        enrichment.enrich([face], number / RATE, SIZE, CAMERA, parameters, find_depth)

    return timed(step)


def _enriched(smoothing: str, frames: list[Landmarks], camera: CameraModel) -> list[Face]:
    """Return the face of each frame after it went through `Enrichment`."""
    parameters = FaceMeshParameters(ids=True, pose=True, smoothing=smoothing)
    enrichment, faces = Enrichment(parameters, open_blendshapes), []
    for number, (points, points_z) in enumerate(frames):
        face = Face(points=points, points_z=points_z, box=bounding_box(points))
        size = (camera.width, camera.height)
        enrichment.enrich([face], number / RATE, size, camera, parameters)
        faces.append(face)
    return faces


def _still(smoothing: str) -> list[Face]:
    """Return a face that keeps still before a camera with noise, from when the filter has settled.

    Each landmark and depth has independent noise.
    """
    points, points_z = _video()[0]
    random = np.random.default_rng(0)
    frames = [
        (
            points + random.normal(0, NOISE, points.shape).astype(np.float32),
            points_z + random.normal(0, NOISE, points_z.shape).astype(np.float32),
        )
        for _ in range(150)
    ]
    return _enriched(smoothing, frames, CAMERA)[30:]


def _points_jitter(smoothing: str) -> float:
    """Return the standard deviation of the landmarks of a still face in pixels."""
    return float(np.std([face.points for face in _still(smoothing)], axis=0).mean())


def _pose_jitter(smoothing: str) -> tuple[float, float]:
    """Return the standard deviation of a still head in millimeters and degrees."""
    poses = _poses(_still(smoothing))
    forwards = poses[:, :3, 0]
    off = np.linalg.norm(forwards - forwards.mean(axis=0), axis=1)
    return (
        float(1000 * np.linalg.norm(poses[:, :3, 3].std(axis=0))),
        float(np.degrees(np.sqrt((off * off).mean()))),
    )


def _lag() -> float:
    """Return the seconds by which a landmark that moves evenly is behind."""
    points, points_z = _video()[0]
    step = SPEED * float(np.ptp(points[:, 0])) / RATE
    frames = [(points + np.array([step * at, 0], np.float32), points_z) for at in range(60)]
    face = _enriched("one_euro", frames, CAMERA)[-1]
    return float((frames[-1][0] - face.points)[:, 0].mean()) / (step * RATE)


def _pose_lag() -> float:
    """Return the seconds by which the place of a head that moves evenly is behind."""
    step = METERS_A_SECOND / RATE
    heads = [head_at((-0.15 + step * at, 0.0, 0.7), rotation(0, 0, 0)) for at in range(40)]
    at_once, smoothed = _last_pose("off", heads), _last_pose("one_euro", heads)
    return float(at_once[0, 3] - smoothed[0, 3]) / METERS_A_SECOND


def _turn_lag() -> float:
    """Return the seconds by which the direction of a head that turns evenly is behind."""
    step = DEGREES_A_SECOND / RATE
    heads = [head_at((0.0, 0.0, 0.7), rotation(-30 + step * at, 0, 0)) for at in range(20)]
    at_once, smoothed = _last_pose("off", heads), _last_pose("one_euro", heads)
    return degrees_between(at_once[:3, :3], smoothed[:3, :3]) / DEGREES_A_SECOND


def _last_pose(smoothing: str, heads: list[DoubleArray]) -> DoubleArray:
    """Return the (4, 4) that is found for the last of these poses."""
    last: DoubleArray = _poses(_enriched(smoothing, _seen(heads), CAMERA))[-1]
    return last


def _seen(heads: list[DoubleArray]) -> list[Landmarks]:
    """Return the landmarks of heads with these poses."""
    seen = [see(CAMERA, pose) for pose in heads]
    return [(points.astype(np.float32), depths.astype(np.float32)) for points, depths in seen]


def _poses(faces: list[Face]) -> DoubleArray:
    """Return (N, 4, 4)."""
    return np.array([face.pose for face in faces if face.pose is not None])

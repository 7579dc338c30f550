"""Head pose: position and orientation in meters, from the landmarks and a camera model.

The canonical face, that of an average adult, is fitted to the landmarks, both in the image (x and
y, through the camera model) and in depth (the network's z). A landmark's weight depends on how
little it moves with the expression.

Frames. The camera's optical frame has x to the right, y down and z forwards (REP-103). The head's
frame has x out of the face, y to the person's left and z towards the scalp (REP-155). Its origin is
the sellion, "the deepest midline point of the angle formed between the nose and forehead"
(REP-155): of the canonical face's midline vertices there, 8, 168 and 6, number 168 is the deepest.

The network's z. The network's input is a crop around the face, without its position in the image: z
is along the line from the camera to the face, and a person who looks into the camera has a
symmetric z anywhere in the image. `Method.PERSPECTIVE` therefore turns the camera towards the face
before it compares depths. MediaPipe compares them along the optical axis, which turns a face by two
thirds of its angle to that axis (`Method.MEDIAPIPE`; the tests measure it).

Size. An image does not distinguish a small near head from a large far one. Distances are correct
for a head of the canonical size; everything scales with `face_scale`.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.errors import ArgumentError
from maix_facemesh_ros.face import DoubleArray, FloatArray
from maix_facemesh_ros.mesh.canonical_face import VERTICES, WEIGHTED_LANDMARKS
from maix_facemesh_ros.mesh.landmark_subsets import LANDMARKS, MESH_LANDMARKS

#: The vertex that is the origin of the head's frame (see above).
SELLION: Final = 168

#: Weight of a depth relative to a position in the image. The network's depths are less exact
#: than its positions, but without them a far face's tilt is lost in the noise of a pixel. With 0.3
#: to 0.5 the poses of a video jitter least, and a face turns least when the camera is turned away
#: from it.
DEPTH_WEIGHT: Final = 0.5

#: The fit ends with a step smaller than this (radians, and fractions of the size), or after this
#: number of steps. Each step is about a twentieth of the previous one.
SMALLEST_STEP: Final = 2e-3
MOST_STEPS: Final = 10

_IDENTITY: Final = np.eye(4)
_METERS: Final = 0.01
_USED: Final = WEIGHTED_LANDMARKS[:, 0].astype(np.intp)
_WEIGHTS: Final = WEIGHTED_LANDMARKS[:, 1] / WEIGHTED_LANDMARKS[:, 1].sum()
_CENTER: Final = _WEIGHTS @ VERTICES[_USED] * _METERS
#: (33, 3) meters from the weighted center, which makes many sums below vanish.
_MODEL: Final = VERTICES[_USED] * _METERS - _CENTER
_SELLION: Final = VERTICES[SELLION] * _METERS - _CENTER
_SPREAD: Final = float(_WEIGHTS @ (_MODEL * _MODEL).sum(axis=1))
#: (33, 13): factors for weighted sums over the landmarks: weight, weight times model point, and
#: weight times outer product of the model point.
_SUMMED: Final = np.column_stack(
    [
        _WEIGHTS,
        _WEIGHTS[:, np.newaxis] * _MODEL,
        (
            _WEIGHTS[:, np.newaxis, np.newaxis]
            * _MODEL[:, :, np.newaxis]
            * _MODEL[:, np.newaxis, :]
        ).reshape(-1, 9),
    ]
)
_MODEL_SQUARED: Final = _SUMMED[:, 4:].sum(axis=0).reshape(3, 3)
#: (9, 9): the part of `_fit_in_sight`'s squares that is the same for all faces.
_QUADRATIC: Final = np.kron(np.diag([1.0, 1.0, DEPTH_WEIGHT**2]), _MODEL_SQUARED)
#: x and y of the landmarks, and their depths.
_ROWS_OF_A_FAR_CAMERA: Final = [0, 1, 3]
#: (12, 3): the derivatives of a rotation about x, y and z and of a growth, one below the other.
_MOTIONS: Final = np.array(
    [
        [[0, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[0, 0, 1], [0, 0, 0], [-1, 0, 0]],
        [[0, -1, 0], [1, 0, 0], [0, 0, 0]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    ],
    np.float64,
).reshape(12, 3)
#: The head's x, y and z are the canonical face's z, x and y.
_HEAD_AXES: Final = [2, 0, 1]


class Method(enum.Enum):
    """Method to fit the canonical face."""

    #: The landmarks are on their viewing rays, and depths are along the line to the face.
    PERSPECTIVE = "perspective"
    #: MediaPipe's `facial_transformation_matrixes`: depths along the optical axis, and the face
    #: nearest in space (mediapipe/tasks/cc/vision/face_geometry/libs/geometry_pipeline.cc).
    MEDIAPIPE = "mediapipe"


@dataclass(frozen=True, slots=True, eq=False)
class HeadPose:
    """One head in the camera's optical frame."""

    #: (4, 4) float64: transforms points from the head's frame to the camera's, meters.
    pose: DoubleArray
    #: (478, 3) float32 meters: each landmark on its viewing ray, at the distance given by the fit
    #: and its z (MediaPipe's metric landmarks). Their projections are the landmarks.
    points_3d: FloatArray


class _Sight(NamedTuple):
    """The landmarks in a virtual camera that is turned towards the face."""

    #: (3, 3): rotates directions from the turned camera to the real one.
    turn: DoubleArray
    #: (478, 2): x / z and y / z in the turned camera.
    rays: DoubleArray
    #: (478,): depth relative to that of the weighted center: z / z_center - 1.
    depths: DoubleArray


class _Fit(NamedTuple):
    """The canonical face in the turned camera, in units of the distance of its weighted center."""

    #: (3, 3): rotation times size.
    shape: DoubleArray
    #: Size of one meter of the canonical face at the distance 1.
    size: float
    #: x and y of the weighted center; its z is 1.
    x: float
    y: float


class HeadPoseEstimator:
    """Computes head poses."""

    def __init__(
        self,
        camera: CameraModel,
        face_scale: float = 1.0,
        method: Method = Method.PERSPECTIVE,
    ) -> None:
        """Prepare for a camera and a size.

        Args:
            camera: model of the camera of the landmarks' images.
            face_scale: the heads' size; 1 is the canonical face, an average adult's. All distances
                are proportional to it. The range is that of the parameter.
            method: how the canonical face is fitted.
        """
        self.camera = camera
        self.face_scale = face_scale
        self.method = method

    def estimate(
        self,
        points: npt.NDArray[np.floating],
        points_z: npt.NDArray[np.floating],
        rays: DoubleArray | None = None,
    ) -> HeadPose | None:
        """Compute the pose of one head.

        Args:
            points: (478, 2) pixels, all landmarks.
            points_z: (478,) pixels, larger = closer.
            rays: (478, 2) `camera.rays(points)`, if already computed.

        Returns:
            The head, or None if the landmarks are not a face in front of the camera: not finite,
            all at one position, or outside the valid range of the camera model.

        Raises:
            ArgumentError: not 478 landmarks.
        """
        if points.shape != (LANDMARKS, 2) or points_z.shape != (LANDMARKS,):
            raise ArgumentError(
                f"points are {points.shape} and points_z {points_z.shape}: the pose needs all "
                f"{LANDMARKS} landmarks, ({LANDMARKS}, 2) and ({LANDMARKS},)"
            )
        with np.errstate(all="ignore"):
            try:
                rays = self.camera.rays(points) if rays is None else rays
                return self._estimate(points, points_z, rays)
            except np.linalg.LinAlgError:
                return None

    def _estimate(
        self,
        points: npt.NDArray[np.floating],
        points_z: npt.NDArray[np.floating],
        rays: DoubleArray,
    ) -> HeadPose | None:
        sight = self._look(points, points_z, rays)
        if sight is None:
            return None
        rays, depths = sight.rays.take(_USED, axis=0), sight.depths.take(_USED)
        if self.method is Method.MEDIAPIPE:
            fit = _fit_in_space(rays, depths)
        else:
            fit = _fit_in_sight(rays, depths)
        if fit is None:
            return None
        distance = self.face_scale / fit.size
        pose = _IDENTITY.copy()
        rotation = sight.turn @ (fit.shape / fit.size)
        pose[:3, :3] = rotation[:, _HEAD_AXES]
        center = sight.turn @ (fit.x * distance, fit.y * distance, distance)
        pose[:3, 3] = center + rotation @ (_SELLION * self.face_scale)
        if not math.isfinite(pose.sum()):
            return None
        return HeadPose(pose, _points_in_space(sight, distance))

    def _look(
        self,
        points: npt.NDArray[np.floating],
        points_z: npt.NDArray[np.floating],
        rays: DoubleArray,
    ) -> _Sight | None:
        if not math.isfinite(rays.sum()):
            return None
        turn = _IDENTITY[:3, :3]
        if self.method is Method.PERSPECTIVE:
            turn = _turn_towards(*(_WEIGHTS @ rays.take(_USED, axis=0)).tolist())
            turned = rays @ turn[:2] + turn[2]
            if not turned[:, 2].min() > 0.0:
                return None
            rays = turned[:, :2] / turned[:, 2:]
        # z is in the scale of x and y. The angle of a pixel depends on the lens and on the position
        # in the image; it is computed from the spread of the landmarks.
        scale = _scale(points.take(_USED, axis=0), rays.take(_USED, axis=0))
        middle = float(points_z[:MESH_LANDMARKS].sum()) / MESH_LANDMARKS
        depths: DoubleArray = (middle - points_z.astype(np.float64)) * scale
        # Zero is at the mean depth so far, as in MediaPipe; then at that of the weighted center.
        offset = float(_WEIGHTS @ depths.take(_USED))
        return _Sight(turn, rays, (depths - offset) / (1.0 + offset))


def _turn_towards(x: float, y: float) -> DoubleArray:
    """Return the smallest rotation from the z axis to the direction (x, y, 1)."""
    length = math.sqrt(x * x + y * y + 1.0)
    x, y, z = x / length, y / length, 1.0 / length
    return np.array(
        [
            [1.0 - x * x / (1.0 + z), -x * y / (1.0 + z), x],
            [-x * y / (1.0 + z), 1.0 - y * y / (1.0 + z), y],
            [-x, -y, z],
        ]
    )


def _scale(points: npt.NDArray[np.floating], rays: DoubleArray) -> float:
    """Return the scale from pixels to rays: the ratio of the spreads of (33, 2) of each."""
    columns = np.concatenate([points.T, rays.T])
    means = columns @ _WEIGHTS
    pixels_x, pixels_y, rays_x, rays_y = ((columns * columns) @ _WEIGHTS - means * means).tolist()
    pixels, directions = pixels_x + pixels_y, rays_x + rays_y
    return math.sqrt(directions / pixels) if pixels > 0.0 < directions else math.nan


def _procrustes(targets: DoubleArray) -> tuple[DoubleArray, float]:
    """Return the rotation times size that fits the model best to 3D points.

    D. Akca, Generalized Procrustes analysis and its applications in photogrammetry, 2003, section
    2.4, as in mediapipe/tasks/cc/vision/face_geometry/libs/procrustes_solver.cc.

    Args:
        targets: (3, 3): weighted sum of the outer products of target and model point.
    """
    # OpenCV's is several times as fast as numpy's for a matrix this small.
    values, left, right = map(np.asarray, cv2.SVDecomp(targets))
    if cv2.determinant(targets) < 0.0:
        # The best would be a mirror image.
        left[:, 2] = -left[:, 2]
        values[2] = -values[2]
    size = float(values.sum()) / _SPREAD
    return size * np.asarray(left @ right, np.float64), size


def _fit_in_space(rays: DoubleArray, depths: DoubleArray) -> _Fit | None:
    """Fit the model to the landmarks' 3D positions."""
    stretched = rays * (1.0 + depths)[:, np.newaxis]
    places = np.column_stack([stretched, depths])
    shape, size = _procrustes(places.T @ _SUMMED[:, 1:4])
    x, y = (_WEIGHTS @ stretched).tolist()
    return _Fit(shape, size, x, y) if size > 0.0 else None


def _fit_in_sight(rays: DoubleArray, depths: DoubleArray) -> _Fit | None:
    """Fit the model to the viewing rays of the landmarks, and to their depths.

    With M the rotation times size, m a model point and (x, y, 1) its center, the model is seen at
    (x + M_x m, y + M_y m) / (1 + M_z m) and has the depth M_z m. The fit minimizes the weighted sum
    of the squares of

        x + M_x m - ray_x (1 + M_z m),  y + M_y m - ray_y (1 + M_z m),  DEPTH_WEIGHT (M_z m - depth)

    They are linear in x, y and the nine numbers of M, so the sums over the landmarks are computed
    once; x and y are eliminated. Gauss-Newton steps then rotate and scale M, starting at the
    Procrustes solution for a far camera.
    """
    ray_x, ray_y = rays.T
    sums = np.array([ray_x, ray_y, ray_x * ray_x + ray_y * ray_y, depths]) @ _SUMMED
    mean_x, mean_y = sums[:2, 0].tolist()
    directions, of_squares, of_depths = sums[:2, 1:4], sums[2, 1:4], sums[3, 1:4]
    shape, size = _procrustes(sums[_ROWS_OF_A_FAR_CAMERA, 1:4])

    quadratic = _QUADRATIC.copy()
    quadratic[:6, 6:] -= sums[:2, 4:].reshape(6, 3)
    quadratic[6:, :6] = quadratic[:6, 6:].T
    quadratic[6:, 6:] += sums[2, 4:].reshape(3, 3) - directions.T @ directions
    linear = np.empty(9)
    linear[:6] = directions.reshape(6)
    linear[6:] = sums[:2, 0] @ directions - of_squares + DEPTH_WEIGHT**2 * of_depths

    for _ in range(MOST_STEPS):
        motions = (_MOTIONS @ shape).reshape(4, 9)
        weighted = motions @ quadratic
        # As a column: OpenCV 5 refuses an array of one dimension.
        right_side = motions @ linear - weighted @ shape.reshape(9)
        solved, step = cv2.solve(weighted @ motions.T, right_side[:, np.newaxis])
        turn_x, turn_y, turn_z, growth = step.ravel().tolist()
        if not (solved and size > 0.0 and abs(growth) < 1.0):
            return None
        shape = _rotation(turn_x, turn_y, turn_z) @ shape * (1.0 + growth)
        size *= 1.0 + growth
        if max(abs(turn_x), abs(turn_y), abs(turn_z), abs(growth)) < SMALLEST_STEP:
            break
    x, y = (directions @ shape[2]).tolist()
    return _Fit(shape, size, mean_x + x, mean_y + y)


def _rotation(x: float, y: float, z: float) -> DoubleArray:
    """Return a rotation by nearly this vector of angles: equal to the second order (Cayley)."""
    x, y, z = x / 2, y / 2, z / 2
    squares = x * x + y * y + z * z
    part = 2.0 / (1.0 + squares)
    rest = part * (1.0 - squares) / 2.0
    return np.array(
        [
            [rest + part * x * x, part * (x * y - z), part * (x * z + y)],
            [part * (x * y + z), rest + part * y * y, part * (y * z - x)],
            [part * (x * z - y), part * (y * z + x), rest + part * z * z],
        ]
    )


def _points_in_space(sight: _Sight, distance: float) -> FloatArray:
    depths = distance * (1.0 + sight.depths)
    places = np.column_stack([sight.rays * depths[:, np.newaxis], depths])
    return (places @ sight.turn.T).astype(np.float32)

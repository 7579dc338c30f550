"""`Face`: the result for one face, from the backends through enrichment to the ROS messages."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
#: x, y, width, height.
Box = tuple[float, float, float, float]
#: Origin of the size of a head: `face_scale`, or depth images.
ScaleSource = Literal["assumed", "depth"]


def _no_points() -> FloatArray:
    return np.zeros((0, 2), np.float32)


def _no_depths() -> FloatArray:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Gaze:
    """Gaze of one face, in the camera's optical frame."""

    #: (3,) meters: the point between the eyes.
    origin: DoubleArray
    #: (3,) unit vector: both eyes together.
    direction: DoubleArray
    #: (3,) unit vector: the person's right eye; zeros while it is closed or not visible.
    right: DoubleArray
    #: (3,) unit vector: the person's left eye, like `right`.
    left: DoubleArray


@dataclass(slots=True, eq=False, repr=False)
class Face:
    """One face in one image.

    Pixels are those of the source image, sub-pixel, x to the right and y down, (0, 0) the top
    left corner of the top left pixel.
    """

    #: Number of this face, from 1, which it keeps from image to image; 0: ids are off.
    id: int = 0
    #: Score of the detector, 0..1. A tracked face keeps its last score while the detector pauses.
    score: float = 0.0
    #: x, y, width, height in pixels: the detector's box or, with tracking, the bounding box of the
    #: landmarks.
    box: Box = (0.0, 0.0, 0.0, 0.0)
    #: (K, 2) pixels: the detector's key points; (0, 2) on an image that the detector did not run
    #: on.
    box_keypoints: FloatArray = field(default_factory=_no_points)
    #: Presence score of the landmark network, 0..1.
    landmarks_score: float = 0.0
    #: (N, 2) pixels; (0, 2) without landmarks or with `landmarks_abs` off.
    points: FloatArray = field(default_factory=_no_points)
    #: (N,) depth in pixels (the scale of x and y), 0 at the face's center, larger = closer.
    points_z: FloatArray = field(default_factory=_no_depths)
    #: (N, 2) pixels of the landmark network's input; (0, 2) unless `landmarks_rel` is on.
    points_rel: FloatArray = field(default_factory=_no_points)
    #: (N,) uint16 mesh index of each point; None means 0..N-1.
    indices: npt.NDArray[np.uint16] | None = None
    #: (52,) expression scores 0..1, in the order of `BLENDSHAPE_NAMES`.
    blendshapes: FloatArray | None = None
    #: (4, 4) head in the camera's optical frame, meters.
    pose: DoubleArray | None = None
    #: (N, 3) landmarks in the camera's optical frame, meters.
    points_3d: FloatArray | None = None
    #: Contrast of the white of the person's right and left eye with the iris, -1 to 1, near 0 for
    #: an eye that is not visible; None: unknown (gaze is off, landmarks from a
    #: MaixCAM).
    eye_contrast: tuple[float, float] | None = None
    #: Gaze; None if it is not computed, and while both eyes are closed or hidden.
    gaze: Gaze | None = None
    #: Size of the head with which `pose` and `points_3d` were computed, relative to an average
    #: adult; 0 without a pose.
    head_scale: float = 0.0
    #: Whether this size is assumed (`face_scale`) or was measured in depth images.
    scale_source: ScaleSource = "assumed"

    def points_at(self, landmarks: Sequence[int]) -> FloatArray | None:
        """Return the (N, 2) pixels of some landmarks of the mesh; None if one of them is missing.

        Args:
            landmarks: N indices of the mesh.
        """
        if not len(self.points):
            return None
        if self.indices is None:
            return self.points[list(landmarks)]
        rows = {index: row for row, index in enumerate(self.indices.tolist())}
        if not rows.keys() >= {*landmarks}:
            return None
        return self.points[[rows[index] for index in landmarks]]

    def __repr__(self) -> str:
        """Return one short line: id, score, box, number of points, and the other values' names."""
        box = ", ".join(f"{number:.1f}" for number in self.box)
        also = [name for name in ("blendshapes", "pose", "gaze") if getattr(self, name) is not None]
        facts = (
            f"id={self.id}",
            f"score={self.score:.2f}",
            f"box=({box})",
            f"points={len(self.points)}",
        )
        return f"Face({', '.join((*facts, *also))})"


@dataclass(frozen=True, slots=True, eq=False)
class FaceFrame:
    """The faces of an image that another machine took and processed."""

    #: Seconds on this machine's `time.monotonic` clock.
    taken_at: float
    #: Pixels of the image.
    width: int
    height: int
    #: Largest first, with all their landmarks.
    faces: list[Face]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JpegFrame:
    """A JPEG of another machine, unchanged; it follows the `FaceFrame` of the same time."""

    #: Seconds on this machine's `time.monotonic` clock.
    taken_at: float
    jpeg: bytes

    def __repr__(self) -> str:
        return f"JpegFrame(taken_at={self.taken_at}, jpeg={len(self.jpeg)} bytes)"


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Provide the former names of this module, for one release."""
        from maix_facemesh_ros import image

        moved = {"Picture": "Pixels", "PictureError": "ImageError"}
        if name not in moved:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        warnings.warn(
            f"{__name__}.{name} is {image.__name__}.{moved[name]} now",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(image, moved[name])

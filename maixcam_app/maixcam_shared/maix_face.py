"""MaixPy's result for one face: whole numbers, unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: MaixPy's x and y of a key point that is not visible.
NOT_SEEN = -1


class Crop(NamedTuple):
    """The square that was cut out of the image for the landmarks of one face."""

    #: Pixels of the image.
    center_x: int
    center_y: int
    #: Length of a side in pixels of the image.
    side: int
    #: Radians, from x (right) towards y (down).
    angle: float


class MaixFace(NamedTuple):
    """One face with its landmarks; pixels are those of the image unless stated otherwise."""

    #: The detector's box, cut off at the image's edge.
    x: int
    y: int
    width: int
    height: int
    #: The detector's confidence, 0..1.
    score: float
    #: x0, y0, .. of the eye on the image's left, the other eye, nose, the corner of the mouth on
    #: the image's left, the other corner; `NOT_SEEN` twice for one that is not seen.
    keypoints: Sequence[int]
    #: Presence of a face in the crop, 0..1.
    landmarks_score: float
    crop: Crop
    #: x0, y0, ..; empty when `landmarks_score` is below its threshold.
    points: Sequence[int]
    #: x0, y0, .. in pixels of the landmark network's input; empty like `points`.
    points_rel: Sequence[int]
    #: Depth in pixels of the landmark network's input, larger = closer; empty like `points`.
    points_z: Sequence[int]


class Thresholds(NamedTuple):
    """Thresholds for faces, under the names of MaixPy's examples."""

    detect_conf_th: float = 0.5
    detect_iou_th: float = 0.45
    landmarks_conf_th: float = 0.5
    #: Maximum number of faces, the largest; 0 or less: no limit.
    max_face_num: int = 2
    #: Drop faces without landmarks.
    require_landmarks: bool = True

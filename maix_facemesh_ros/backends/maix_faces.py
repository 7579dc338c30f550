"""From MaixPy's face in whole numbers to a `Face`, the same for MaixPy here and on the link."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from maix_facemesh_ros.face import Face, FloatArray
from maix_facemesh_ros.maixcam_shared.maix_face import NOT_SEEN, Crop, MaixFace

#: MaixPy cuts the fractions off x and y (and rounds z), so the best guess is the middle of what
#: they can have been (MaixCDK, maix_nn_face_landmarks.hpp).
MIDDLE_OF_PIXEL = 0.5


def face_of(found: MaixFace, crop_size: tuple[int, int]) -> Face:
    """Return the face with all its landmarks, or with none if MaixPy has none.

    Args:
        found: of MaixPy, with its landmarks in the image and in the crop.
        crop_size: width and height of the landmark network's input in pixels.
    """
    face = Face(
        score=found.score,
        box=(float(found.x), float(found.y), float(found.width), float(found.height)),
        box_keypoints=_keypoints(found),
        landmarks_score=found.landmarks_score,
    )
    if found.points:
        face.points_rel = _places(found.points_rel)
        # A pixel of the crop is smaller than one of the image when the crop was enlarged.
        crop_is_finer = found.crop.side < crop_size[0]
        face.points = (
            _from_crop(face.points_rel, found.crop, crop_size)
            if crop_is_finer
            else _places(found.points)
        )
        face.points_z = np.asarray(found.points_z, np.float32) * (found.crop.side / crop_size[0])
    return face


def _keypoints(found: MaixFace) -> FloatArray:
    """Return (5, 2) pixels, NaN where a key point is not seen."""
    keypoints = _places(found.keypoints)
    seen = np.asarray(found.keypoints).reshape(-1, 2) != NOT_SEEN
    keypoints[~seen.any(axis=1)] = math.nan
    return keypoints


def _places(numbers: Sequence[int]) -> FloatArray:
    """Return (N, 2) places of x0, y0, .. whose fractions were cut off towards zero."""
    cut_off: FloatArray = np.asarray(numbers, np.float32).reshape(-1, 2)
    cut_off += MIDDLE_OF_PIXEL * np.sign(cut_off)
    return cut_off


def _from_crop(points_rel: FloatArray, crop: Crop, crop_size: tuple[int, int]) -> FloatArray:
    """Return (N, 2) pixels of the image for (N, 2) pixels of the crop."""
    cos, sin = math.cos(crop.angle), math.sin(crop.angle)
    turned = np.array([[cos, sin], [-sin, cos]]) * crop.side
    center = np.array([crop.center_x, crop.center_y])
    points: FloatArray = ((points_rel / crop_size - 0.5) @ turned + center).astype(np.float32)
    return points

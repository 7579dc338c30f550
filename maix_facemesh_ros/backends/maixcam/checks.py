"""Checks the values of a device's frames before they are used."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from maix_facemesh_ros.maixcam_shared import link
from maix_facemesh_ros.maixcam_shared.maix_face import MaixFace
from maix_facemesh_ros.mesh.landmark_subsets import LANDMARKS

#: Maximum side of an image in pixels; a MaixCAM's sensors have up to 2592.
LARGEST_SIDE = 8192

#: A face may reach beyond the image, or a landmark beyond its crop, by this many sizes of it.
BEYOND = 2

#: Radians: a crop's angle comes from atan2.
LARGEST_ANGLE = math.pi + 0.01


def fault_of(frame: link.Faces) -> str:
    """Return the fault of a frame; empty if it is valid."""
    if not (0 < frame.width <= LARGEST_SIDE and 0 < frame.height <= LARGEST_SIDE):
        return f"faces of an image of {frame.width}x{frame.height} pixels"
    if not (0 < frame.crop_width <= LARGEST_SIDE and 0 < frame.crop_height <= LARGEST_SIDE):
        return f"faces of a landmark network for {frame.crop_width}x{frame.crop_height} pixels"
    return next(filter(None, (_fault_of_face(face, frame) for face in frame.faces)), "")


def _fault_of_face(face: MaixFace, frame: link.Faces) -> str:
    # Written so that NaN is refused.
    if not (0 <= face.score <= 1 and 0 <= face.landmarks_score <= 1):
        return f"a face with scores of {face.score:g} and {face.landmarks_score:g}, not 0 to 1"
    size = (frame.width, frame.height)
    corners = (face.x, face.y, face.x + face.width, face.y + face.height)
    if face.width < 0 or face.height < 0 or not _lie_near(corners, size):
        return f"a face with a box at {face.x}, {face.y} of {face.width}x{face.height} pixels"
    if not _lie_near(face.keypoints, size):
        return f"a face with key points {list(face.keypoints)}"
    return _fault_of_landmarks(face, frame) if face.points else ""


def _fault_of_landmarks(face: MaixFace, frame: link.Faces) -> str:
    if len(face.points_z) != LANDMARKS:
        return (
            f"{len(face.points_z)} landmarks instead of {LANDMARKS} (leave its landmarks_model "
            "empty)"
        )
    crop, size = face.crop, (frame.width, frame.height)
    if not (
        abs(crop.angle) <= LARGEST_ANGLE
        and 0 < crop.side <= (1 + 2 * BEYOND) * max(size)
        and _lie_near((crop.center_x, crop.center_y), size)
    ):
        return (
            f"a crop of {crop.side} pixels at {crop.center_x}, {crop.center_y}, turned by "
            f"{crop.angle:g}"
        )
    network = (frame.crop_width, frame.crop_height)
    if not (_lie_near(face.points, size) and _lie_near(face.points_rel, network)):
        return "landmarks far outside of its image"
    depths = np.asarray(face.points_z)
    if np.abs(depths).max() > (1 + BEYOND) * network[0]:
        return f"landmarks with depths of {depths.min()} to {depths.max()} pixels"
    return ""


def _lie_near(numbers: Sequence[int], size: tuple[int, int]) -> bool:
    """Tell whether x0, y0, .. are in an image or not far outside."""
    places = np.asarray(numbers).reshape(-1, 2)
    return bool(
        (places >= np.multiply(size, -BEYOND)).all()
        and (places <= np.multiply(size, 1 + BEYOND)).all()
    )

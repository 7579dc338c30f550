"""Images turned by quarter turns, and what was found in them brought back.

Positions are counted from the corner of the image, as everywhere in this package: the left edge of
a row is at x = 0, its right edge at x = width, so a half turn brings x to width - x.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from maix_facemesh_ros.face import Box, Face, FloatArray
from maix_facemesh_ros.image import Image

#: Clockwise quarter turns: OpenCV's name of the rotation.
_ROTATIONS = {
    1: cv2.ROTATE_90_CLOCKWISE,
    2: cv2.ROTATE_180,
    3: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


def turn_image(image: Image, quarters: int) -> Image:
    """Return the image turned clockwise.

    Args:
        image: only read.
        quarters: number of quarter turns, 0 to 3; 0 returns the image itself.
    """
    if quarters == 0:
        return image
    turned = cv2.rotate(image.pixels, _ROTATIONS[quarters])
    return replace(image, pixels=np.asarray(turned, np.uint8))


def turn_points_back(points: FloatArray, quarters: int, size: tuple[int, int]) -> FloatArray:
    """Bring points of a turned image back into the image as it was.

    Args:
        points: (N, 2) pixels of the turned image.
        quarters: clockwise quarter turns of the image, 0 to 3.
        size: width and height in pixels of the image as it was.

    Returns:
        (N, 2) float32 pixels.
    """
    width, height = size
    x, y = points[:, 0], points[:, 1]
    turned = {
        0: (x, y),
        1: (y, height - x),
        2: (width - x, height - y),
        3: (width - y, x),
    }
    return np.stack(turned[quarters], axis=1).astype(np.float32)


def turn_points(points: FloatArray, quarters: int, size: tuple[int, int]) -> FloatArray:
    """Bring points of an image into the turned image: the inverse of `turn_points_back`.

    Args:
        points: (N, 2) pixels of the image.
        quarters: clockwise quarter turns of the image, 0 to 3.
        size: width and height in pixels of the image before it is turned.
    """
    turned_size = size if quarters % 2 == 0 else (size[1], size[0])
    return turn_points_back(points, -quarters % 4, turned_size)


def turn_box_back(box: Box, quarters: int, size: tuple[int, int]) -> Box:
    """Bring a box of a turned image back; arguments as those of `turn_points_back`."""
    x, y, width, height = box
    corners = np.array([[x, y], [x + width, y + height]])
    (x1, y1), (x2, y2) = turn_points_back(corners, quarters, size).tolist()
    return min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1)


def turn_keypoints_back(keypoints: FloatArray, quarters: int, size: tuple[int, int]) -> FloatArray:
    """Bring a detector's key points back; those not seen stay at (-1, -1), as MaixPy has them."""
    turned = turn_points_back(keypoints, quarters, size)
    turned[(keypoints == -1).all(axis=1)] = -1
    return turned


def turn_face_back(face: Face, quarters: int, size: tuple[int, int]) -> None:
    """Bring a face that was found in a turned image back, in place.

    `points_rel` stays as it is: it is in pixels of the landmark network's input.

    Args:
        face: with box, key points and landmarks only.
        quarters: clockwise quarter turns of the image, 0 to 3.
        size: width and height in pixels of the image as it was.
    """
    if quarters == 0:
        return
    face.box = turn_box_back(face.box, quarters, size)
    face.box_keypoints = turn_keypoints_back(face.box_keypoints, quarters, size)
    if len(face.points):
        face.points = turn_points_back(face.points, quarters, size)

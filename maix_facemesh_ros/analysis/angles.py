"""Directions and rotations as angles in degrees, as a person reads them."""

from __future__ import annotations

import math

from maix_facemesh_ros.face import DoubleArray


def head_angles(pose: DoubleArray) -> tuple[float, float, float]:
    """Return yaw, pitch and roll of a head, as the camera sees it, in degrees.

    Args:
        pose: (4, 4), x out of the face, y to the person's left, z up.

    Returns:
        yaw: the face turns to the right of the image; pitch: it looks up; roll: its top leans to
        the right of the image. All are 0 for a face that looks along the camera's axis into it.
    """
    out, left = pose[:3, 0], pose[:3, 1]
    yaw, pitch = direction_angles(out)
    return yaw, pitch, math.degrees(math.atan2(left[1], left[0]))


def direction_angles(direction: DoubleArray) -> tuple[float, float]:
    """Return the angles of a direction to the right of the image, and up, in degrees.

    Args:
        direction: (3,) in the camera's optical frame; (0, 0, -1) points into the camera.
    """
    x, y, z = direction.tolist()
    return math.degrees(math.atan2(x, -z)), math.degrees(math.atan2(-y, math.hypot(x, z)))

"""Heads put in front of cameras: where each landmark is seen, and how deep the network finds it."""

from __future__ import annotations

import math

import numpy as np

from maix_facemesh_ros.analysis.head_pose import SELLION
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.face import DoubleArray
from maix_facemesh_ros.mesh.canonical_face import VERTICES

#: The head's axes in the camera's optical frame for a face that looks straight into the camera.
FACING: DoubleArray = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])

#: (468, 3) meters: the canonical face in the head's frame.
HEAD: DoubleArray = ((VERTICES - VERTICES[SELLION]) / 100)[:, [2, 0, 1]]


def rotation(yaw: float, pitch: float, roll: float) -> DoubleArray:
    """Return the turn of a head in its own frame, in degrees: left, down, to its right shoulder."""
    a, b, c = np.radians([yaw, pitch, roll])
    turn_z = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    turn_y = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    turn_x = np.array([[1, 0, 0], [0, math.cos(c), -math.sin(c)], [0, math.sin(c), math.cos(c)]])
    turned: DoubleArray = turn_z @ turn_y @ turn_x
    return turned


def head_at(place: tuple[float, float, float], turn: DoubleArray) -> DoubleArray:
    """Return the (4, 4) pose of a head whose sellion is at a place, in meters.

    Args:
        place: in the camera's optical frame.
        turn: from a face that looks along the optical axis towards the camera.
    """
    pose = np.eye(4)
    pose[:3, :3] = FACING @ turn
    pose[:3, 3] = place
    return pose


def see(
    camera: CameraModel,
    pose: DoubleArray,
    irises: DoubleArray | None = None,
    face_scale: float = 1.0,
) -> tuple[DoubleArray, DoubleArray]:
    """Return (478, 2) pixels and (478,) depths of the canonical face, as the network would give.

    The network sees a crop around the face, so its depths run along the line from the camera to the
    face, relative to the mean of the 468 vertices, in the scale of x and y: with a pixel there that
    many pixels long as it is across.

    Args:
        camera: that sees the head.
        pose: (4, 4) of the head.
        irises: (10, 3) meters in the head's frame; None: at the inner corners of the eyes.
        face_scale: the size of the head relative to the canonical one.
    """
    if irises is None:
        irises = HEAD[[133] * 5 + [362] * 5]
    places = np.concatenate([HEAD * face_scale, irises]) @ pose[:3, :3].T + pose[:3, 3]
    pixels = camera.project(places)
    middle = places[:468].mean(axis=0)
    distance = float(np.linalg.norm(middle))
    sight = middle / distance
    depths = places @ sight
    # How many pixels a millimeter across the line of sight is there, on the mean of two directions.
    across = np.cross(sight, (0.0, 1.0, 0.0))
    across /= np.linalg.norm(across)
    ends = middle + 0.0005 * np.array([across, -across, np.cross(sight, across)])
    steps = camera.project(np.concatenate([ends, middle - 0.0005 * np.cross(sight, across)[None]]))
    scale = math.sqrt((np.sum((steps[0] - steps[1]) ** 2) + np.sum((steps[2] - steps[3]) ** 2)) / 2)
    return pixels, (depths[:468].mean() - depths) * scale / 0.001


def degrees_between(one: DoubleArray, other: DoubleArray) -> float:
    """Return the angle of the rotation from one (3, 3) rotation to another, in degrees."""
    off = one.T @ other
    # From the skew part, which is exact for small angles.
    sine = np.linalg.norm([off[2, 1] - off[1, 2], off[0, 2] - off[2, 0], off[1, 0] - off[0, 1]])
    return math.degrees(math.atan2(float(sine), float(np.trace(off)) - 1.0))

"""Gaze directions, from the landmarks of the irises and the pose of the head.

Each eye is modeled as a ball that rotates about a center behind the corners of the eye. The viewing
ray of the iris's center intersects the ball at the iris; the optical axis of the eye is the
direction from the ball's center to that point (the geometric model of Ishikawa, Baker, Matthews,
Kanade: «Passive driver gaze tracking with active appearance models», 2004). The gaze is the visual
axis, which is `KAPPA` off the optical axis.

Accuracy: the iris moves by 0.17 mm per degree, which in a face of 100 pixels is a tenth of a pixel.
Landmark noise of 0.3 pixels is 3 degrees there, and 1 degree in a face of 300 pixels (measured by
the tests; smoothing reduces it). In addition there is a constant error per person: the position of
the center is an average, where a millimeter is 6 degrees, and so is kappa. This is enough to tell a
person who faces the robot from one who does not, and left from right, but not to tell which button
a person reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.analysis.head_pose import SELLION
from maix_facemesh_ros.face import DoubleArray, Gaze
from maix_facemesh_ros.mesh.canonical_face import VERTICES
from maix_facemesh_ros.mesh.landmark_subsets import LEFT_IRIS, RIGHT_IRIS

#: Distance from an eye's center of rotation to its iris, in meters: the center is 13.5 mm behind
#: the cornea (Fry, Hill: «The center of rotation of the eye», 1962), the iris 3.6 mm.
IRIS_DISTANCE = 0.0099

#: Offset of that center from the middle between the corners of an eye, in meters: back, up and
#: outwards. The cornea of an adult is about 9 mm in front of the middle of the corners. Up and
#: outwards are fitted, with `KAPPA` as it is, to 132 photographed faces that look into the camera,
#: and to the median angle between the eyes of 271 frontal ones. Fitted to either half of the 132,
#: and with fields of view of the unknown cameras from 30 to 63 degrees, they are 2.2 to 2.4 and 0.9
#: to 1.1 mm.
CENTER_DEPTH = 0.0045
CENTER_HEIGHT = 0.0022
CENTER_OUTWARDS = 0.0009

#: Angles from the optical to the visual axis, in degrees, towards the nose and up: the fovea of an
#: adult is about 5 degrees towards the temple and 1.5 degrees below the optical axis (Guestrin,
#: Eizenman: «General theory of remote gaze estimation using the pupil center and corneal
#: reflections», 2006).
KAPPA = (5.0, 1.5)

#: An eye is closed if the distance of its lids is less than this fraction of the iris's width. For
#: 98 of 100 open eyes the ratio is more than 0.52, for closed ones 0.1 to 0.4.
CLOSED = 0.42
#: An eye is hidden if its contrast, see `Face.eye_contrast`, is less.
LEAST_CONTRAST = 0.12


class _Eye(NamedTuple):
    """Mesh indices of an eye's landmarks, and its position in the average face."""

    #: Outer and inner corner.
    corners: tuple[int, int]
    #: Middle of the upper and of the lower lid.
    lids: tuple[int, int]
    iris: int
    #: Two points of the iris's rim, across from each other.
    rim: tuple[int, int]

    @property
    def middle(self) -> DoubleArray:
        """(3,) meters in the head's frame: the middle between the corners."""
        place: DoubleArray = VERTICES[list(self.corners)].mean(axis=0) - VERTICES[SELLION]
        return place[[2, 0, 1]] / 100


RIGHT = _Eye(corners=(33, 133), lids=(159, 145), iris=RIGHT_IRIS, rim=(469, 471))
LEFT = _Eye(corners=(263, 362), lids=(386, 374), iris=LEFT_IRIS, rim=(474, 476))

#: Both eyes: indices for one lookup, and the two middles (2, 3).
_CORNERS_AND_IRISES = [*RIGHT.corners, RIGHT.iris, *LEFT.corners, LEFT.iris]
_LIDS_AND_RIMS = [*RIGHT.lids, *RIGHT.rim, *LEFT.lids, *LEFT.rim]
_MIDDLES = np.array([RIGHT.middle, LEFT.middle])
#: (2, 3) meters in the head's frame, in which y is to the person's left: from the middles to the
#: centers.
_TO_CENTERS = np.array(
    [[-CENTER_DEPTH, side * CENTER_OUTWARDS, CENTER_HEIGHT] for side in (-1.0, 1.0)]
)

_NO_EYE = (0.0, 0.0, 0.0)


def _optical_to_visual_axis(side: float) -> DoubleArray:
    """Return the (3, 3) rotation by kappa in the head's frame.

    Args:
        side: 1 for the left eye, -1 for the right one.
    """
    inwards, up = (math.radians(angle) for angle in KAPPA)
    turn, rise = -side * inwards, -up
    turn_z = np.array(
        [[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]]
    )
    turn_y = np.array(
        [[math.cos(rise), 0, math.sin(rise)], [0, 1, 0], [-math.sin(rise), 0, math.cos(rise)]]
    )
    return np.asarray(turn_z @ turn_y, np.float64)


#: (2, 3, 3): of the right and the left eye.
TO_VISUAL_AXIS = np.array([_optical_to_visual_axis(-1.0), _optical_to_visual_axis(1.0)])


def estimate_gaze(
    points: npt.NDArray[np.floating],
    rays: DoubleArray,
    pose: DoubleArray,
    face_scale: float,
    contrast: tuple[float, float] | None = None,
) -> Gaze | None:
    """Compute the gaze of one face.

    Args:
        points: (478, 2) pixels.
        rays: (478, 2) x / z and y / z of their viewing rays, see `CameraModel.rays`.
        pose: (4, 4) of the head, see `head_pose`.
        face_scale: the one used for the pose.
        contrast: `Face.eye_contrast`; None: no eye is taken for hidden.

    Returns:
        The gaze in the camera's optical frame, or None if no eye is open and visible.
    """
    sights = rays.take(_CORNERS_AND_IRISES, axis=0).tolist()
    places = points.take(_CORNERS_AND_IRISES, axis=0).tolist()
    lids_and_rims = points.take(_LIDS_AND_RIMS, axis=0).tolist()
    # The corners on their viewing rays, at the depth of the pose: a person's eyes are not exactly
    # where the average face has them, and a millimeter counts.
    depths = (_MIDDLES @ pose[2, :3] * face_scale + pose[2, 3]).tolist()
    rotation = pose[:3, :3]
    to_centers = (face_scale * _TO_CENTERS @ rotation.T).tolist()
    to_visual_axes = rotation @ TO_VISUAL_AXIS @ rotation.T
    radius = IRIS_DISTANCE * face_scale
    centers, directions, widths = [], [], []
    for at, depth in enumerate(depths):
        outer, inner, iris = sights[3 * at : 3 * at + 3]
        lid, other_lid, rim, other_rim = lids_and_rims[4 * at : 4 * at + 4]
        center = (
            depth * (outer[0] + inner[0]) / 2 + to_centers[at][0],
            depth * (outer[1] + inner[1]) / 2 + to_centers[at][1],
            depth + to_centers[at][2],
        )
        is_open = math.dist(lid, other_lid) > CLOSED * math.dist(rim, other_rim)
        is_hidden = contrast is not None and contrast[at] < LEAST_CONTRAST
        axis = _direction(center, iris, radius) if is_open and not is_hidden else _NO_EYE
        directions.append((to_visual_axes[at] @ axis).tolist())
        centers.append(center)
        # An eye on the far side of a turned head appears narrow and is less reliable.
        widths.append(math.dist(places[3 * at], places[3 * at + 1]))
    both = [widths[0] * right + widths[1] * left for right, left in zip(*directions, strict=True)]
    length = math.hypot(*both)
    # Also where a value is NaN.
    if not 0 < length < math.inf:
        return None
    return Gaze(
        origin=np.array([(right + left) / 2 for right, left in zip(*centers, strict=True)]),
        direction=np.array([part / length for part in both]),
        right=np.array(directions[0]),
        left=np.array(directions[1]),
    )


def _direction(
    center: tuple[float, float, float], ray: Sequence[float], radius: float
) -> tuple[float, float, float]:
    """Return the direction from a ball's center to the first intersection with a viewing ray.

    If the ray misses the ball, the nearest point of the ball is used.

    Args:
        center: center of the ball, in meters.
        ray: x / z and y / z of the viewing ray.
        radius: of the ball in meters.
    """
    length = math.hypot(ray[0], ray[1], 1.0)
    sight = (ray[0] / length, ray[1] / length, 1.0 / length)
    along = sum(part * of_center for part, of_center in zip(sight, center, strict=True))
    offset = [along * part - of_center for part, of_center in zip(sight, center, strict=True)]
    into = math.sqrt(max(radius * radius - sum(part * part for part in offset), 0.0))
    x, y, z = (off - into * part for off, part in zip(offset, sight, strict=True))
    length = math.hypot(x, y, z)
    return (x / length, y / length, z / length) if length else _NO_EYE

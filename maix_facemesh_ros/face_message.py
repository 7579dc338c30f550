"""What of a `Face` goes where in the message: for the node's messages and for those of bags.

Neither kind of message is named here. Both take their fields as keywords, so the functions here get
the types, and say which field is what.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.face import Face, FloatArray


class FaceMessageTypes(NamedTuple):
    """The message types that faces are made of; each takes its fields as keywords."""

    face_array: Callable[..., Any]
    face: Callable[..., Any]
    bounding_box: Callable[..., Any]
    pose: Callable[..., Any]
    point: Callable[..., Any]
    quaternion: Callable[..., Any]
    vector3: Callable[..., Any]
    #: Makes a field float32[].
    floats: Callable[[FloatArray], Any]
    #: Makes a field uint16[].
    indices: Callable[[npt.NDArray[np.uint16]], Any]


def face_array_of(
    types: FaceMessageTypes, header: Any, picture_size: tuple[int, int], faces: Sequence[Face]
) -> Any:
    """Return the FaceArray of one picture.

    Args:
        types: of the messages.
        header: the picture's own.
        picture_size: width, height in pixels.
        faces: in the order they shall have.
    """
    width, height = picture_size
    return types.face_array(
        header=header,
        image_width=width,
        image_height=height,
        faces=[_face_of(types, face) for face in faces],
    )


def pose_of(types: FaceMessageTypes, pose: npt.NDArray[np.float64]) -> Any:
    """Return a (4, 4) matrix, a rotation and a translation, as position and quaternion."""
    x, y, z, w = _quaternion(pose[:3, :3])
    return types.pose(
        position=types.point(**_xyz(pose[:3, 3])), orientation=types.quaternion(x=x, y=y, z=z, w=w)
    )


def _face_of(types: FaceMessageTypes, face: Face) -> Any:
    x, y, width, height = face.box
    floats = types.floats
    # Only what there is: the others have their defaults, and cost no time.
    more: dict[str, Any] = {}
    if face.indices is not None:
        more["indices"] = types.indices(face.indices)
    if face.blendshapes is not None:
        more["blendshapes"] = floats(face.blendshapes)
    if face.pose is not None and face.points_3d is not None:
        more["pose_valid"] = True
        more["pose"] = pose_of(types, face.pose)
        more["points_3d"] = floats(face.points_3d)
    if face.gaze is not None:
        more["gaze_valid"] = True
        more["gaze_origin"] = types.point(**_xyz(face.gaze.origin))
        more["gaze"] = types.vector3(**_xyz(face.gaze.direction))
        more["gaze_right"] = types.vector3(**_xyz(face.gaze.right))
        more["gaze_left"] = types.vector3(**_xyz(face.gaze.left))
    return types.face(
        id=face.id,
        score=face.score,
        box=types.bounding_box(x=x, y=y, width=width, height=height),
        box_keypoints=floats(face.box_keypoints),
        landmarks_score=face.landmarks_score,
        points=floats(face.points),
        points_z=floats(face.points_z),
        points_rel=floats(face.points_rel),
        **more,
    )


def _quaternion(rotation: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return x, y, z, w of a (3, 3) rotation.

    The largest of the four is found from the diagonal and the others by it, so that nothing is
    divided by a small number (S. W. Shepperd, Quaternion from rotation matrix, 1978).
    """
    r = rotation.tolist()
    xx, yy, zz = r[0][0], r[1][1], r[2][2]
    # 4 times the products of each component with the four, in the order x, y, z, w.
    x_with = (1 + xx - yy - zz, r[1][0] + r[0][1], r[0][2] + r[2][0], r[2][1] - r[1][2])
    y_with = (x_with[1], 1 - xx + yy - zz, r[2][1] + r[1][2], r[0][2] - r[2][0])
    z_with = (x_with[2], y_with[2], 1 - xx - yy + zz, r[1][0] - r[0][1])
    w_with = (x_with[3], y_with[3], z_with[3], 1 + xx + yy + zz)
    largest = max(enumerate((x_with, y_with, z_with, w_with)), key=lambda row: row[1][row[0]])[1]
    length = math.sqrt(sum(component * component for component in largest))
    # The same rotation twice: the one with w of 0 or more.
    sign = -1.0 if largest[3] < 0 else 1.0
    x, y, z, w = (sign * component / length for component in largest)
    return x, y, z, w


def _xyz(vector: npt.NDArray[np.float64]) -> dict[str, float]:
    x, y, z = vector.tolist()
    return {"x": x, "y": y, "z": z}

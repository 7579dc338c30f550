"""Faces as messages, and messages as faces."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import Header

from maix_facemesh_ros.face import Face, FloatArray, Gaze
from maix_facemesh_ros.msg import BoundingBox, FaceArray
from maix_facemesh_ros.msg import Face as FaceMessage


def face_array(header: Header, picture_size: tuple[int, int], faces: Sequence[Face]) -> FaceArray:
    """Return the FaceArray of one picture.

    Args:
        header: the picture's own.
        picture_size: width, height in pixels.
        faces: in the order they shall have.
    """
    width, height = picture_size
    return FaceArray(
        header=header,
        image_width=width,
        image_height=height,
        faces=[_face_message(face) for face in faces],
    )


def faces_of(message: FaceArray) -> list[Face]:
    """Return the faces of a message, for drawing them or working on with numpy."""
    return [_face(face) for face in message.faces]


def _face_message(face: Face) -> FaceMessage:
    x, y, width, height = face.box
    message = FaceMessage(
        id=face.id,
        score=face.score,
        box=BoundingBox(x=x, y=y, width=width, height=height),
        box_keypoints=_floats(face.box_keypoints),
        landmarks_score=face.landmarks_score,
        points=_floats(face.points),
        points_z=_floats(face.points_z),
        points_rel=_floats(face.points_rel),
    )
    if face.indices is not None:
        message.indices = array("H", face.indices.astype("uint16").tobytes())
    if face.blendshapes is not None:
        message.blendshapes = _floats(face.blendshapes)
    if face.pose is not None and face.points_3d is not None:
        message.pose_valid = True
        message.pose = pose_message(face.pose)
        message.points_3d = _floats(face.points_3d)
    if face.gaze is not None:
        message.gaze_valid = True
        message.gaze_origin = Point(**_xyz(face.gaze.origin))
        message.gaze = Vector3(**_xyz(face.gaze.direction))
        message.gaze_right = Vector3(**_xyz(face.gaze.right))
        message.gaze_left = Vector3(**_xyz(face.gaze.left))
    return message


def pose_message(pose: npt.NDArray[np.float64]) -> Pose:
    """Return a (4, 4) matrix, a rotation and a translation, as position and quaternion."""
    x, y, z, w = _quaternion(pose[:3, :3])
    return Pose(position=Point(**_xyz(pose[:3, 3])), orientation=Quaternion(x=x, y=y, z=z, w=w))


def _face(message: FaceMessage) -> Face:
    box = message.box
    has_pose, has_gaze = message.pose_valid, message.gaze_valid
    return Face(
        id=message.id,
        score=message.score,
        box=(box.x, box.y, box.width, box.height),
        box_keypoints=_pairs(message.box_keypoints),
        landmarks_score=message.landmarks_score,
        points=_pairs(message.points),
        points_z=np.array(message.points_z, np.float32),
        points_rel=_pairs(message.points_rel),
        indices=np.array(message.indices, np.uint16) if message.indices else None,
        blendshapes=np.array(message.blendshapes, np.float32) if message.blendshapes else None,
        pose=_matrix(message.pose) if has_pose else None,
        points_3d=np.array(message.points_3d, np.float32).reshape(-1, 3) if has_pose else None,
        gaze=_gaze(message) if has_gaze else None,
    )


def _gaze(message: FaceMessage) -> Gaze:
    return Gaze(
        *(
            np.array([vector.x, vector.y, vector.z])
            for vector in (
                message.gaze_origin,
                message.gaze,
                message.gaze_right,
                message.gaze_left,
            )
        )
    )


def _matrix(pose: Pose) -> npt.NDArray[np.float64]:
    """Return the (4, 4) matrix of a position and a quaternion of length 1."""
    matrix = np.eye(4)
    matrix[:3, 3] = pose.position.x, pose.position.y, pose.position.z
    vector = np.array([pose.orientation.x, pose.orientation.y, pose.orientation.z])
    w = pose.orientation.w
    # Rodrigues' formula with the half angle.
    cross = np.cross(np.eye(3), vector)
    matrix[:3, :3] = (w * w - vector @ vector) * np.eye(3) + 2 * np.outer(vector, vector)
    matrix[:3, :3] += 2 * w * cross
    return matrix


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


def _pairs(values: array[float]) -> FloatArray:
    return np.array(values, np.float32).reshape(-1, 2)


def _floats(values: FloatArray) -> array[float]:
    """Return a float32[] field: an `array` is taken at once, a list costs twenty times more."""
    return array("f", values.astype("float32").tobytes())

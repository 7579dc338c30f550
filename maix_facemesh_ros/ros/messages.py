"""Faces as messages, and messages as faces."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from std_msgs.msg import Header

from maix_facemesh_ros.face import Face, FloatArray
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
    return message


def _face(message: FaceMessage) -> Face:
    box = message.box
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
    )


def _pairs(values: array[float]) -> FloatArray:
    return np.array(values, np.float32).reshape(-1, 2)


def _floats(values: FloatArray) -> array[float]:
    """Return a float32[] field: an `array` is taken at once, a list costs twenty times more."""
    return array("f", values.astype("float32").tobytes())

"""Messages as faces, and poses and images as messages."""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Point, Pose, Quaternion
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

from maix_facemesh_ros.analysis.attention import Attention, FaceAttention
from maix_facemesh_ros.face import Face, FloatArray, Gaze, ScaleSource
from maix_facemesh_ros.image import ChannelOrder, ImageError, Pixels
from maix_facemesh_ros.messages.cdr import CdrReader
from maix_facemesh_ros.messages.faces import (
    SCALE_SOURCES,
    check_faces,
    quaternion_of,
    upgraded_faces,
)
from maix_facemesh_ros.msg import Face as FaceMessage
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.wording import counted

_SCALE_SOURCES: dict[int, ScaleSource] = {
    number: source for source, number in SCALE_SOURCES.items()
}


#: Bytes of a FaceAttention.
LEAST_ATTENTION = 12


def read_faces(message: bytes) -> FaceArray:
    """Deserialize a FaceArray, of which anybody on the network may be the publisher.

    It may be of an older version, such as from a bag that is played.

    Raises:
        ImageError: it is cut short or damaged.
    """
    check_faces(message)
    try:
        return deserialize_message(upgraded_faces(message), FaceArray)
    except Exception as error:  # rclpy names no narrower one
        raise ImageError(f"the middleware cannot read it: {error}") from error


def faces_of(message: FaceArray) -> list[Face]:
    """Return the faces of a message, for drawing them or working on with numpy.

    Raises:
        ImageError: an array that is not made of whole points.
    """
    return [_face(face) for face in message.faces]


def read_attention(message: bytes) -> Attention:
    """Read a serialized FaceAttentionArray, of which anybody on the network may be the publisher.

    Raises:
        ImageError: it is cut short or damaged.
    """
    reader = CdrReader(message)
    reader.header()
    main_id, nearest_id, count = reader.numbers("III")
    if count * LEAST_ATTENTION > reader.left:
        raise ImageError(
            f"{reader.left} bytes cannot hold the attention of {counted(count, 'face')}"
        )
    faces = [FaceAttention(*reader.numbers("I"), *reader.numbers("ff")) for _ in range(count)]
    return Attention(main_id, nearest_id, faces)


def pose_message(pose: npt.NDArray[np.float64]) -> Pose:
    """Return a (4, 4) matrix, a rotation and a translation, as position and quaternion."""
    x, y, z = pose[:3, 3].tolist()
    qx, qy, qz, qw = quaternion_of(pose[:3, :3])
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def image_message(header: Header, pixels: Pixels, order: ChannelOrder = "rgb") -> ImageMessage:
    """Return uint8 (H, W, 3) pixels as sensor_msgs/Image, rgb8 or bgr8."""
    height, width = pixels.shape[:2]
    return ImageMessage(
        header=header,
        height=height,
        width=width,
        encoding=f"{order}8",
        step=3 * width,
        data=array("B", pixels.tobytes()),
    )


def _face(message: FaceMessage) -> Face:
    box = message.box
    has_pose, has_gaze = message.pose_valid, message.gaze_valid
    return Face(
        id=message.id,
        score=message.score,
        box=(box.x, box.y, box.width, box.height),
        box_keypoints=_points(message.box_keypoints, 2),
        landmarks_score=message.landmarks_score,
        points=_points(message.points, 2),
        points_z=np.array(message.points_z, np.float32),
        points_rel=_points(message.points_rel, 2),
        indices=np.array(message.indices, np.uint16) if message.indices else None,
        blendshapes=np.array(message.blendshapes, np.float32) if message.blendshapes else None,
        pose=_matrix(message.pose) if has_pose else None,
        points_3d=_points(message.points_3d, 3) if has_pose else None,
        gaze=_gaze(message) if has_gaze else None,
        head_scale=message.head_scale,
        scale_source=_SCALE_SOURCES.get(message.scale_source, "assumed"),
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


def _points(values: array[float], dimensions: int) -> FloatArray:
    if len(values) % dimensions:
        raise ImageError(
            f"a face has {counted(len(values), 'number')} for points of {dimensions} each"
        )
    return np.array(values, np.float32).reshape(-1, dimensions)

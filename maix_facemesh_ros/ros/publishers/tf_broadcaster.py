"""Frames of heads and gazes for tf2, with the names and axes of REP-155."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from geometry_msgs.msg import Transform, TransformStamped, Vector3
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from maix_facemesh_ros.face import DoubleArray, Face, Gaze
from maix_facemesh_ros.ros.messages import pose_message
from maix_facemesh_ros.ros.publishers.human_faces import hri_id
from maix_facemesh_ros.ros.result import Result

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

#: Queue depth of tf2's own broadcaster (tf2_ros, qos.hpp).
QUEUED_MESSAGES = 100


class FaceFrames:
    """Publishes `face_<id>` and `gaze_<id>`, all of one image in one message."""

    def __init__(self, node: Node) -> None:
        """Prepare; the topic exists from the first frame on."""
        self._node = node
        self._publisher: Publisher | None = None

    def publish(self, result: Result) -> None:
        """Publish the frames of one image's faces, see `frames_of_image`, where `tf` is on."""
        frames = frames_of_image(result) if result.parameters.tf else []
        if not frames:
            return
        if TFMessage is None:
            self._node.get_logger().warning(
                "tf is on, but no frames are published, because tf2 is not installed: install "
                "tf2_msgs, or switch tf off",
                once=True,
            )
            return
        if self._publisher is None:
            depth = QoSProfile(depth=QUEUED_MESSAGES)
            self._publisher = self._node.create_publisher(TFMessage, "/tf", depth)
        self._publisher.publish(TFMessage(transforms=frames))


def frames_of_image(result: Result) -> list[TransformStamped]:
    """Return the frames of one image's faces, under the image's own frame.

    Faces without pose or id have no frame. With a `frame_limit` of 100 the face with id 101 has
    face_1; of two faces with one number the newer has no frame. With `hri_msgs` there are also the
    names that go with its topics: REP-155 has a face's identifier in its frame, and an identifier
    that is unique, so these have no limit.
    """
    limit, prefix = result.parameters.frame_limit, result.parameters.frame_prefix
    frames: list[TransformStamped] = []
    taken: set[int] = set()
    for face in sorted(result.faces, key=lambda face: face.id):
        number = (face.id - 1) % limit + 1 if limit and face.id else face.id
        names = [str(number)] if number not in taken else []
        taken.add(number)
        if result.parameters.hri_msgs:
            names.append(hri_id(face.id))
        frames += (
            frame for name in names for frame in _frames_of(face, prefix, name, result.header)
        )
    return frames


def _frames_of(face: Face, prefix: str, name: str, header: Header) -> Iterator[TransformStamped]:
    if face.id and face.pose is not None:
        yield _frame(f"{prefix}face_{name}", face.pose, header)
        if face.gaze is not None:
            yield _frame(f"{prefix}gaze_{name}", _gaze_pose(face.gaze, face.pose), header)


def _gaze_pose(gaze: Gaze, head: DoubleArray) -> DoubleArray:
    """Return the (4, 4) optical frame of the gaze: z forward, y towards the chin."""
    pose = np.eye(4)
    up = head[:3, 2]
    right = np.cross(gaze.direction, up)
    right /= np.linalg.norm(right)
    pose[:3, 0], pose[:3, 1] = right, np.cross(gaze.direction, right)
    pose[:3, 2], pose[:3, 3] = gaze.direction, gaze.origin
    return pose


def _frame(name: str, pose: DoubleArray, header: Header) -> TransformStamped:
    place = pose_message(pose)
    position = place.position
    return TransformStamped(
        header=header,
        child_frame_id=name,
        transform=Transform(
            translation=Vector3(x=position.x, y=position.y, z=position.z),
            rotation=place.orientation,
        ),
    )

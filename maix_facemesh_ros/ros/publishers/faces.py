"""The faces of each image as a FaceArray on `faces`."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from maix_facemesh_ros.messages.faces import serialized_faces
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.result import Result

QUEUED_MESSAGES = 10


class FacePublisher:
    """Publishes one FaceArray for each image, also without faces and without subscribers."""

    def __init__(self, node: Node) -> None:
        """Announce the topic."""
        self._publisher = node.create_publisher(
            FaceArray,
            "faces",
            QoSProfile(depth=QUEUED_MESSAGES),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        #: With its namespace.
        self.topic_name: str = self._publisher.topic_name

    def publish(self, result: Result) -> None:
        """Publish the faces under the image's own stamp and frame."""
        self._publisher.publish(
            serialized_faces(result.stamp, result.frame_id, result.size, result.faces)
        )

    def wait_for_subscribers(self, seconds: float) -> None:
        """Wait until reliable subscribers have all that was published, or this time is over."""
        self._publisher.wait_for_all_acked(Duration(seconds=seconds))

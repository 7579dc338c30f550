"""Who looks into the camera, who speaks, and the main person, on ~/attention."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSProfile

from maix_facemesh_ros.analysis.attention import AttentionEstimator
from maix_facemesh_ros.msg import FaceAttention, FaceAttentionArray
from maix_facemesh_ros.ros.result import Result


class AttentionPublisher:
    """Publishes the attention of the faces of an image."""

    def __init__(self, node: Node) -> None:
        """Announce the topic."""
        self._publisher = node.create_publisher(
            FaceAttentionArray, "~/attention", QoSProfile(depth=10)
        )
        self._estimator = AttentionEstimator()

    def publish(self, result: Result) -> None:
        """Publish one image's attention; nothing is computed without subscribers."""
        if not self._publisher.get_subscription_count():
            return
        attention = self._estimator.update(result.faces, result.stamp.seconds)
        self._publisher.publish(
            FaceAttentionArray(
                header=result.header,
                main_id=attention.main_id,
                nearest_id=attention.nearest_id,
                faces=[FaceAttention(**face._asdict()) for face in attention.faces],
            )
        )

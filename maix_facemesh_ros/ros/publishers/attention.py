"""Who looks into the camera, who speaks, and the main person, on ~/attention and ~/markers."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSProfile

from maix_facemesh_ros.analysis.attention import Attention, AttentionEstimator
from maix_facemesh_ros.msg import FaceAttention, FaceAttentionArray
from maix_facemesh_ros.ros.result import Result


class AttentionOfResults:
    """The attention in each result, estimated once for all publishers that show it."""

    def __init__(self) -> None:
        self._estimator = AttentionEstimator()
        self._result: Result | None = None
        self._attention = Attention(0, 0, [])

    def of(self, result: Result) -> Attention:
        """Return the attention in the latest result."""
        if result is not self._result:
            self._result = result
            self._attention = self._estimator.update(result.faces, result.stamp.seconds)
        return self._attention


class AttentionPublisher:
    """Publishes the attention of the faces of an image."""

    def __init__(self, node: Node, attention: AttentionOfResults) -> None:
        """Announce the topic."""
        self._publisher = node.create_publisher(
            FaceAttentionArray, "~/attention", QoSProfile(depth=10)
        )
        self._attention = attention

    def publish(self, result: Result) -> None:
        """Publish one image's attention; nothing is computed without subscribers."""
        if not self._publisher.get_subscription_count():
            return
        attention = self._attention.of(result)
        self._publisher.publish(
            FaceAttentionArray(
                header=result.header,
                main_id=attention.main_id,
                nearest_id=attention.nearest_id,
                faces=[FaceAttention(**face._asdict()) for face in attention.faces],
            )
        )

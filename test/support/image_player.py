"""A camera and a robot in one: sends images to a node one by one, and waits for each answer."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.replay.golden import stamp_of
from replay_bags import image_message

#: Seconds to wait for anything. Generous: the machine may have other work.
TIMEOUT = 60.0


class ImagePlayer(Node):
    """Publishes images on one topic, and collects the faces that come back."""

    def __init__(
        self,
        topic: str,
        message_type: type[Image] | type[CompressedImage],
        faces: str = "/faces",
    ) -> None:
        super().__init__("player")
        self._is_jpeg = message_type is CompressedImage
        self._images = self.create_publisher(message_type, topic, QoSProfile(depth=10))
        #: Serialized answers that have come since `wait_for_node`.
        self.serialized: list[bytes] = []
        self.create_subscription(
            FaceArray, faces, self.serialized.append, QoSProfile(depth=100), raw=True
        )

    @property
    def answers(self) -> list[FaceArray]:
        """The faces that have come since `wait_for_node`."""
        return [deserialize_message(message, FaceArray) for message in self.serialized]

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Take what comes until a condition holds."""
        end = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < end, f"no {what} within {TIMEOUT:.0f} s"
            rclpy.spin_once(self, timeout_sec=0.1)

    def wait_for_node(self) -> None:
        """Send black images until node and player have found each other, both ways.

        They leave no trace in the node: there is no face in them, and a stamp close to zero.
        """
        end = time.monotonic() + TIMEOUT
        number = 0
        while not self.serialized:
            assert time.monotonic() < end, f"the node gave no answer within {TIMEOUT:.0f} s"
            number += 1
            self._send_black(number)
            rclpy.spin_once(self, timeout_sec=0.5)
        # Answers keep their order: after the one to this image comes no other.
        self._send_black(number + 1)
        self.wait_until(lambda: stamp_of(self.answers[-1]) == number + 1, "last black answer")
        self.serialized.clear()

    def ask(self, image: bytes) -> None:
        """Publish a serialized image and wait for its answer, so that none is dropped."""
        expected = len(self.serialized) + 1
        self._images.publish(image)
        self.wait_until(lambda: len(self.serialized) >= expected, f"answer to image {expected}")

    def _send_black(self, stamp: int) -> None:
        black = np.zeros((8, 8, 3), np.uint8)
        self._images.publish(image_message(black, stamp, jpeg=self._is_jpeg))

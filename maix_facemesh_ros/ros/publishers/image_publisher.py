"""Publishes images raw and, for slow networks, as JPEG."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

from maix_facemesh_ros.image import ChannelOrder, Pixels
from maix_facemesh_ros.messages.compressed_image import JPEG_FORMAT, encode_jpeg
from maix_facemesh_ros.ros.image_topics import compressed_topic
from maix_facemesh_ros.ros.messages import image_message


class ImagePublisher:
    """A topic with images, and its compressed twin; each message is made if it has subscribers."""

    def __init__(self, node: Node, topic: str) -> None:
        """Announce `topic` and `topic/compressed`."""
        depth = QoSProfile(depth=2)
        self._raw = node.create_publisher(ImageMessage, topic, depth)
        self._jpeg = node.create_publisher(CompressedImage, compressed_topic(node, topic), depth)

    @property
    def is_wanted(self) -> bool:
        """Whether one of the topics has subscribers."""
        return bool(self._raw.get_subscription_count() or self._jpeg.get_subscription_count())

    def publish(self, header: Header, pixels: Pixels, order: ChannelOrder) -> None:
        """Publish an image on the topics that have subscribers.

        Args:
            header: of the messages.
            pixels: uint8 (H, W, 3).
            order: of the channels.
        """
        if self._raw.get_subscription_count():
            self._raw.publish(image_message(header, pixels, order))
        if self._jpeg.get_subscription_count():
            bgr = pixels if order == "bgr" else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
            data = array("B", encode_jpeg(np.asarray(bgr, np.uint8)))
            self._jpeg.publish(CompressedImage(header=header, format=JPEG_FORMAT, data=data))

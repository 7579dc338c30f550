"""Images with their faces blurred, for recordings and screens that may show no faces."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node

from maix_facemesh_ros.blur import FaceBlur
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.ros.publishers.image_publisher import ImagePublisher
from maix_facemesh_ros.ros.result import Result


class BlurredImage:
    """Blurs the faces in the very image that they were found in."""

    def __init__(self, node: Node) -> None:
        """Announce the topics."""
        self._publisher = ImagePublisher(node, "~/image_blurred")
        self._blur = FaceBlur()

    @property
    def is_wanted(self) -> bool:
        """Whether the topics have subscribers."""
        return self._publisher.is_wanted

    def publish(self, result: Result) -> None:
        """Publish one image with its faces blurred in a copy, if the topics have subscribers."""
        if result.image is None or not self.is_wanted:
            return
        pixels: Pixels = np.array(result.image.pixels, np.uint8, order="C")
        self._blur.apply(pixels, result.faces, result.stamp.seconds)
        self._publisher.publish(result.header, pixels, result.image.order)

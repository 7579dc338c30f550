"""The images of a `source`, which come from no topic: as a camera driver publishes them."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node

from maix_facemesh_ros.ros.publishers.image_publisher import ImagePublisher
from maix_facemesh_ros.ros.result import Result


class SourceImage:
    """Publishes the images on `image_raw`, with the stamps of their faces."""

    def __init__(self, node: Node) -> None:
        """Announce the topics."""
        self._publisher = ImagePublisher(node, "image_raw")

    def publish(self, result: Result) -> None:
        """Publish one image, if the topics have subscribers."""
        if result.image is None or not self._publisher.is_wanted:
            return
        pixels = np.ascontiguousarray(result.image.pixels)
        self._publisher.publish(result.header, pixels, result.image.order)

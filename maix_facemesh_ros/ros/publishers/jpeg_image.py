"""The JPEGs of a MaixCAM: unchanged, annotated and blurred."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage

from maix_facemesh_ros.image import Image
from maix_facemesh_ros.messages.compressed_image import check_jpeg, decode_compressed
from maix_facemesh_ros.ros.image_topics import compressed_topic
from maix_facemesh_ros.ros.publishers.annotated_image import AnnotatedImage
from maix_facemesh_ros.ros.publishers.blurred_image import BlurredImage
from maix_facemesh_ros.ros.result import Result


class JpegImages:
    """Publishes JPEGs on `image_raw/compressed`, with the stamps of their faces."""

    def __init__(self, node: Node, views: Sequence[AnnotatedImage | BlurredImage]) -> None:
        """Announce the topic.

        Args:
            node: publishes.
            views: publish the decoded images with known faces.
        """
        self._publisher = node.create_publisher(
            CompressedImage, compressed_topic(node, "image_raw"), QoSProfile(depth=2)
        )
        self._views = views

    def publish(self, result: Result) -> None:
        """Publish the JPEG; also annotated and blurred, where those topics have subscribers.

        Raises:
            ImageError: the JPEG is damaged, or of another size than its faces.
        """
        if result.jpeg is None:
            return
        file = check_jpeg(result.jpeg, result.size)
        self._publisher.publish(
            CompressedImage(header=result.header, format="jpeg", data=array("B", result.jpeg))
        )
        if result.has_faces and any(view.is_wanted for view in self._views):
            image = Image(decode_compressed(file).pixels, "bgr", result.stamp, result.frame_id)
            for view in self._views:
                view.publish(replace(result, image=image))

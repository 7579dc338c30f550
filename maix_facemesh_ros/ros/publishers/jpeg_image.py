"""The JPEGs of a MaixCAM, unchanged and annotated."""

from __future__ import annotations

from array import array
from dataclasses import replace

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage

from maix_facemesh_ros.image import Image
from maix_facemesh_ros.messages.compressed_image import check_jpeg, decode_compressed
from maix_facemesh_ros.ros.image_topics import compressed_topic
from maix_facemesh_ros.ros.publishers.annotated_image import AnnotatedImage
from maix_facemesh_ros.ros.result import Result


class JpegImages:
    """Publishes JPEGs on `image_raw/compressed`, with the stamps of their faces."""

    def __init__(self, node: Node, annotated: AnnotatedImage) -> None:
        """Announce the topic.

        Args:
            node: publishes.
            annotated: publishes the decoded images with known faces.
        """
        self._publisher = node.create_publisher(
            CompressedImage, compressed_topic(node, "image_raw"), QoSProfile(depth=2)
        )
        self._annotated = annotated

    def publish(self, result: Result) -> None:
        """Publish the JPEG; also annotated, if that topic has subscribers.

        Raises:
            ImageError: the JPEG is damaged, or of another size than its faces.
        """
        if result.jpeg is None:
            return
        file = check_jpeg(result.jpeg, result.size)
        self._publisher.publish(
            CompressedImage(header=result.header, format="jpeg", data=array("B", result.jpeg))
        )
        if result.has_faces and self._annotated.is_wanted:
            image = Image(decode_compressed(file).pixels, "bgr", result.stamp, result.frame_id)
            self._annotated.publish(replace(result, image=image))

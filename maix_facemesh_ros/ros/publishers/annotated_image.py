"""Images with their faces drawn into them: raw, and as JPEG for thin links."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from maix_facemesh_ros.drawing import draw_face
from maix_facemesh_ros.event_rate import EventRate
from maix_facemesh_ros.image import Image, Pixels
from maix_facemesh_ros.messages.compressed_image import JPEG_FORMAT, JPEG_QUALITY
from maix_facemesh_ros.ros.image_topics import compressed_topic
from maix_facemesh_ros.ros.messages import rgb8_message
from maix_facemesh_ros.ros.result import Result

_FONT = cv2.FONT_HERSHEY_SIMPLEX


class AnnotatedImage:
    """Draws faces into the very image that they were found in."""

    def __init__(self, node: Node) -> None:
        """Announce the topics."""
        depth = QoSProfile(depth=2)
        self._raw = node.create_publisher(ImageMessage, "~/image_annotated", depth)
        compressed = compressed_topic(node, "~/image_annotated")
        self._jpeg = node.create_publisher(CompressedImage, compressed, depth)
        self._drawn = EventRate()

    @property
    def is_wanted(self) -> bool:
        """Whether anybody has subscribed."""
        return bool(self._raw.get_subscription_count() or self._jpeg.get_subscription_count())

    def publish(self, result: Result) -> None:
        """Publish one image with its faces drawn into a copy, if the topic has subscribers."""
        if result.image is None:
            return
        if not self.is_wanted:
            # The rate is counted from zero with the next subscriber.
            self._drawn.clear()
            return
        self._drawn.count()
        drawn = _rgb_copy(result.image)
        for face in result.faces:
            draw_face(drawn, face, mesh=True, box=True, label=True)
        self._write_rate(drawn)
        if self._raw.get_subscription_count():
            self._raw.publish(rgb8_message(result.header, drawn))
        if self._jpeg.get_subscription_count():
            bgr_image = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
            _, data = cv2.imencode(".jpg", bgr_image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            self._jpeg.publish(
                CompressedImage(
                    header=result.header,
                    format=JPEG_FORMAT,
                    data=array("B", data.tobytes()),
                )
            )

    def _write_rate(self, drawn: Pixels) -> None:
        rate = self._drawn.per_second()
        if not rate:
            return
        text = f"{rate:.0f} Hz"
        scale = max(0.4, drawn.shape[1] / 1280)
        place = (int(8 * scale), drawn.shape[0] - int(10 * scale))
        # Dark below light, to be read on any image.
        for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(drawn, text, place, _FONT, scale, color, thickness, cv2.LINE_AA)


def _rgb_copy(image: Image) -> Pixels:
    if image.order == "bgr":
        # Several times faster than numpy's copy of reversed channels.
        pixels = np.ascontiguousarray(image.pixels)
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    return np.array(image.pixels, np.uint8, order="C")

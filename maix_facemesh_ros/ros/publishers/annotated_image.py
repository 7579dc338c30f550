"""Images with their faces drawn into them."""

from __future__ import annotations

import cv2
import numpy as np
from rclpy.node import Node

from maix_facemesh_ros.drawing import draw_face
from maix_facemesh_ros.event_rate import EventRate
from maix_facemesh_ros.image import Image, Pixels
from maix_facemesh_ros.ros.publishers.image_publisher import ImagePublisher
from maix_facemesh_ros.ros.result import Result

_FONT = cv2.FONT_HERSHEY_SIMPLEX


class AnnotatedImage:
    """Draws faces into the very image that they were found in."""

    def __init__(self, node: Node) -> None:
        """Announce the topics."""
        self._publisher = ImagePublisher(node, "~/image_annotated")
        self._drawn = EventRate()

    @property
    def is_wanted(self) -> bool:
        """Whether the topics have subscribers."""
        return self._publisher.is_wanted

    def publish(self, result: Result) -> None:
        """Publish one image with its faces drawn into a copy, if the topics have subscribers."""
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
        self._publisher.publish(result.header, drawn, "rgb")

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

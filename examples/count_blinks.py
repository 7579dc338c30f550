#!/usr/bin/env python3
"""Counts the blinks of each face: publishes the total of the nearest one on the topic blinks.

ros2 launch maix_facemesh_ros facemesh.launch.py image:=/camera/image_raw
ros2 param set /facemesh blendshapes true
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import UInt32

from maix_facemesh_ros import BLENDSHAPE_NAMES
from maix_facemesh_ros.msg import FaceArray

EYES = [BLENDSHAPE_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]

#: Both eyes count as closed above the one score and as open again below the other, so that a score
#: that jitters around one value is not a blink.
CLOSED = 0.5
OPEN = 0.3


class CountBlinks(Node):
    """Counts how often both eyes have closed and opened again."""

    def __init__(self) -> None:
        super().__init__("count_blinks")
        self.closed: set[int] = set()
        self.count: Counter[int] = Counter()
        self.blinks = self.create_publisher(UInt32, "blinks", 10)
        self.create_subscription(FaceArray, "faces", self.on_faces, 10)

    def on_faces(self, message: FaceArray) -> None:
        """Check the eyes of an image's faces."""
        for face in message.faces:
            if not face.blendshapes:
                continue
            scores = [face.blendshapes[eye] for eye in EYES]
            if min(scores) > CLOSED:
                self.closed.add(face.id)
            elif max(scores) < OPEN and face.id in self.closed:
                self.closed.remove(face.id)
                self.count[face.id] += 1
        if message.faces:
            self.blinks.publish(UInt32(data=self.count[message.faces[0].id]))


if __name__ == "__main__":
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(CountBlinks())

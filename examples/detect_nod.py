#!/usr/bin/env python3
"""Reports nods: publishes the id of the face on the topic nods. Needs the pose of the head."""

from __future__ import annotations

import math
from contextlib import suppress

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import UInt32

from maix_facemesh_ros.msg import Face, FaceArray

#: A nod lowers the pitch by this angle and raises it by half of that again, within this time.
DEPTH = math.radians(8)
SECONDS = 1.2


class DetectNod(Node):
    """Keeps the recent pitch of each face, and detects a dip in it."""

    def __init__(self) -> None:
        super().__init__("detect_nod")
        self.pitches: dict[int, list[tuple[float, float]]] = {}
        self.nods = self.create_publisher(UInt32, "nods", 10)
        self.create_subscription(FaceArray, "faces", self.on_faces, 10)

    def on_faces(self, message: FaceArray) -> None:
        """Add the pitches of an image's faces, and detect dips."""
        now = message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
        seen = {face.id: face for face in message.faces if face.pose_valid and face.id}
        for number in self.pitches.keys() - seen.keys():
            del self.pitches[number]
        for number, face in seen.items():
            kept = [p for p in self.pitches.get(number, []) if 0 < now - p[0] < SECONDS]
            pitches = [*kept, (now, pitch_of(face))]
            lowest = min(range(len(pitches)), key=lambda at: pitches[at][1])
            down = max(pitch for _, pitch in pitches[: lowest + 1]) - pitches[lowest][1]
            if down > DEPTH and pitches[-1][1] - pitches[lowest][1] > DEPTH / 2:
                self.nods.publish(UInt32(data=number))
                pitches = []
            self.pitches[number] = pitches


def pitch_of(face: Face) -> float:
    """Return the upward pitch of the face in radians: x of the head's frame points out of it."""
    q = face.pose.orientation
    down = 2 * (q.x * q.y + q.w * q.z)  # The y component, in the optical frame, of that direction.
    return -math.asin(max(-1.0, min(1.0, down)))


if __name__ == "__main__":
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(DetectNod())

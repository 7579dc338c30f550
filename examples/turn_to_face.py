#!/usr/bin/env python3
"""Turns a robot towards the nearest face.

    ros2 launch maix_facemesh_ros facemesh.launch.py image:=/camera/image_raw
    python3 examples/turn_to_face.py --ros-args -r cmd_vel:=/my_robot/cmd_vel

It needs the pose of the head (parameter pose, and the camera's calibration), and a camera that
looks where the robot does.
"""

from __future__ import annotations

import math
from contextlib import suppress

import rclpy
from geometry_msgs.msg import Twist
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from maix_facemesh_ros.msg import FaceArray

#: Turning speed per radian between the face and the image center, its maximum, in radians per
#: second; and the tolerance in radians.
GAIN = 1.5
FASTEST = 1.0
NEAR_ENOUGH = math.radians(3)


class TurnToFace(Node):
    """Publishes a turning speed for every image: 0 without a face, so the robot stops."""

    def __init__(self) -> None:
        super().__init__("turn_to_face")
        self.speed = self.create_publisher(Twist, "cmd_vel", 1)
        self.create_subscription(FaceArray, "faces", self.on_faces, 1)

    def on_faces(self, message: FaceArray) -> None:
        """Turn towards the nearest face of an image."""
        places = [face.pose.position for face in message.faces if face.pose_valid]
        command = Twist()
        if places:
            nearest = min(places, key=lambda place: place.z)
            # In the optical frame x is to the right; a robot turns left with a positive speed.
            to_the_left = -math.atan2(nearest.x, nearest.z)
            if abs(to_the_left) > NEAR_ENOUGH:
                command.angular.z = max(-FASTEST, min(FASTEST, GAIN * to_the_left))
        self.speed.publish(command)


if __name__ == "__main__":
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(TurnToFace())

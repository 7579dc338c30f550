#!/usr/bin/env python3
r"""Turns a robot towards the main person: who is near, looks into the camera and speaks.

    ros2 launch maix_facemesh_ros facemesh.launch.py image:=/camera/image_raw \
        max_face_num:=4 gaze:=true
    python3 examples/look_at_main_person.py --ros-args -r cmd_vel:=/my_robot/cmd_vel

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

from maix_facemesh_ros.msg import FaceArray, FaceAttentionArray

#: Turning speed per radian between the face and the image center, and its maximum, in radians per
#: second.
GAIN, FASTEST = 1.5, 1.0


class LookAtMainPerson(Node):
    """Publishes a turning speed for every image: 0 without a main person, so the robot stops."""

    def __init__(self) -> None:
        super().__init__("look_at_main_person")
        self.main_id = 0
        self.speed = self.create_publisher(Twist, "cmd_vel", 1)
        self.create_subscription(FaceAttentionArray, "facemesh/attention", self.on_attention, 1)
        self.create_subscription(FaceArray, "faces", self.on_faces, 1)

    def on_attention(self, message: FaceAttentionArray) -> None:
        """Remember the main person."""
        self.main_id = message.main_id

    def on_faces(self, message: FaceArray) -> None:
        """Turn towards the main person of an image."""
        command = Twist()
        for face in message.faces:
            if face.pose_valid and face.id == self.main_id:
                place = face.pose.position
                # In the optical frame x is to the right; a robot turns left with a positive speed.
                to_the_left = -math.atan2(place.x, place.z)
                command.angular.z = max(-FASTEST, min(FASTEST, GAIN * to_the_left))
        self.speed.publish(command)


if __name__ == "__main__":
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(LookAtMainPerson())

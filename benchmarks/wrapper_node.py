"""A ROS 2 node around MediaPipe as others write it: message → image → MediaPipe → publish.

It does what the existing wrappers do (mediapipe_ros2, mediapipe_ros2_suite, media_pipe_ros2), and
nothing else that slows them down: docs/performance.md lists what it omits.
"""

from __future__ import annotations

import sys
from typing import Any

import mediapipe
import numpy as np
import numpy.typing as npt
import rclpy
from geometry_msgs.msg import Point32, PolygonStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image


class WrapperNode(Node):
    """Answers each image with the landmarks of all its faces."""

    def __init__(self) -> None:
        super().__init__("face_landmarker")
        for name, default in (("task", ""), ("num_faces", 1), ("everything", False)):
            self.declare_parameter(name, default)
        everything = bool(self.get_parameter("everything").value)
        vision = mediapipe.tasks.vision
        self._landmarker = vision.FaceLandmarker.create_from_options(
            vision.FaceLandmarkerOptions(
                base_options=mediapipe.tasks.BaseOptions(
                    model_asset_path=self.get_parameter("task").value
                ),
                running_mode=vision.RunningMode.VIDEO,
                num_faces=self.get_parameter("num_faces").value,
                output_face_blendshapes=everything,
                output_facial_transformation_matrixes=everything,
            )
        )
        self._faces = self.create_publisher(PolygonStamped, "faces", 10)
        self.create_subscription(
            Image,
            "image_raw",
            self._on_image,
            QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT),
        )

    def _on_image(self, message: Any) -> None:
        # As cv_bridge's imgmsg_to_cv2(message, "rgb8") with an rgb8 message: a view.
        shape = (message.height, message.width, 3)
        rgb: npt.NDArray[np.uint8] = np.ndarray(shape, np.uint8, message.data)
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb)
        stamp = message.header.stamp
        result = self._landmarker.detect_for_video(
            image, stamp.sec * 1000 + stamp.nanosec // 1_000_000
        )
        answer = PolygonStamped(header=message.header)
        answer.polygon.points = [
            Point32(x=point.x * message.width, y=point.y * message.height, z=point.z)
            for face in result.face_landmarks
            for point in face
        ]
        self._faces.publish(answer)


def main() -> None:
    """Run the node until it is stopped."""
    rclpy.init(args=sys.argv)
    node = WrapperNode()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

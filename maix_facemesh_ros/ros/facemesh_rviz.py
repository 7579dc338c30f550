"""`facemesh_rviz`: starts RViz with all that the node shows, in the frame of the node's pictures.

RViz shows nothing of a frame that it does not know, and every camera's has another name. So this
waits for the first faces, takes the name from them, and becomes RViz.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import rclpy
from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from rclpy.qos import QoSProfile

from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.node_process import end_node, start_ros

#: Where pictures come without the name of a frame.
NO_FRAME = "camera_optical_frame"

#: Seconds between two looks at whether it is time to go.
LOOK_INTERVAL = 0.2


def main(arguments: list[str] | None = None) -> int:
    """Wait for faces and become RViz; returns the exit code only where that does not happen.

    Args:
        arguments: such as `--ros-args -r __ns:=/left`: they are RViz's too.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        rviz = Path(get_package_prefix("rviz2"), "lib", "rviz2", "rviz2")
    except PackageNotFoundError:
        distro = os.environ.get("ROS_DISTRO", "<distro>")
        print(
            f"RViz is not installed: sudo apt install ros-{distro}-rviz2, or start without rviz",
            file=sys.stderr,
        )
        return 1
    frame = _frame_of_the_faces(arguments)
    if frame is not None:
        config = Path(get_package_share_directory("maix_facemesh_ros"), "rviz", "facemesh.rviz")
        os.execv(rviz, [str(rviz), "-d", str(config), "-f", frame, *arguments])
    return 0


def _frame_of_the_faces(arguments: list[str]) -> str | None:
    """Return the frame of the first faces that come; None when it is time to go."""
    frames: list[str] = []
    stop_request = start_ros(["facemesh_rviz", *arguments])
    try:
        node = rclpy.create_node("facemesh_rviz")
        faces = node.create_subscription(
            FaceArray,
            "faces",
            lambda message: frames.append(message.header.frame_id),
            QoSProfile(depth=1),
        )
        node.get_logger().info(
            f"RViz starts with the first faces on {faces.topic_name}, in their frame"
        )
        while not frames and not stop_request.made:
            rclpy.spin_once(node, timeout_sec=LOOK_INTERVAL)
        end_node(node)
    finally:
        rclpy.try_shutdown()
    return (frames[0] or NO_FRAME) if frames else None


if __name__ == "__main__":
    sys.exit(main())

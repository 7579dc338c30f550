"""One more robot that subscribes to `/ours/faces` while `/subscribe` says so."""

from __future__ import annotations

from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Bool

from maix_facemesh_ros.msg import FaceArray


class Subscriber(Node):
    """Receives faces and does nothing with them."""

    def __init__(self) -> None:
        super().__init__("subscriber")
        self._faces: Any = None
        self.create_subscription(Bool, "/subscribe", self._on_subscribe, QoSProfile(depth=1))

    def _on_subscribe(self, subscribe: Any) -> None:
        if subscribe.data and self._faces is None:
            self._faces = self.create_subscription(
                FaceArray, "/ours/faces", lambda _: None, QoSProfile(depth=10), raw=True
            )
        elif not subscribe.data and self._faces is not None:
            self.destroy_subscription(self._faces)
            self._faces = None


def main() -> None:
    """Run until it is stopped."""
    rclpy.init()
    node = Subscriber()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

"""The camera's calibration, from `camera_info` beside the pictures."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo

#: Seconds between two warnings of the same kind.
WARNING_INTERVAL = 30.0


class Calibration:
    """Listens to `camera_info` and tells whether the calibration is the pictures' own.

    A calibration for another picture size gives wrong directions without anything looking wrong, so
    it is said on the log and on /diagnostics.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._latest: CameraInfo | None = None
        self._picture_size: tuple[int, int] | None = None
        self.topic: str = node.create_subscription(
            CameraInfo,
            "camera_info",
            self._on_camera_info,
            QoSProfile(depth=1, reliability=qos_profile_sensor_data.reliability),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        ).topic_name

    def picture_size_is(self, width: int, height: int) -> None:
        """Take note of the size of the pictures, in pixels."""
        self._picture_size = (width, height)

    def state(self) -> str:
        """What is known, in words."""
        if self._latest is None:
            return f"none on {self.topic}"
        if self._latest.k[0] == 0.0:
            return f"the camera on {self.topic} says that it is not calibrated"
        width, height = _calibrated_size(self._latest)
        fits = self._picture_size in (None, (width, height))
        return (
            f"{width}x{height}, focal length {self._latest.k[0]:.1f} and {self._latest.k[4]:.1f} "
            f"pixels, {self._latest.distortion_model or 'no distortion model'}"
            + ("" if fits else f"; does not fit the pictures of {_text(self._picture_size)}")
        )

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._latest = message
        size = _calibrated_size(message)
        if self._picture_size is not None and message.k[0] != 0.0 and size != self._picture_size:
            self._node.get_logger().warning(
                f"{self.topic} is for pictures of {_text(size)}, but these are "
                f"{_text(self._picture_size)}: use the calibration of this camera and resolution",
                throttle_duration_sec=WARNING_INTERVAL,
            )


def _calibrated_size(message: CameraInfo) -> tuple[int, int]:
    """Return the size of the pictures that belong to a calibration, in pixels.

    Binning makes them smaller, and a region of interest, given in unbinned pixels, makes them a
    part (sensor_msgs/msg/CameraInfo).
    """
    part = message.roi
    width = part.width or message.width
    height = part.height or message.height
    return width // max(message.binning_x, 1), height // max(message.binning_y, 1)


def _text(size: tuple[int, int] | None) -> str:
    return "unknown size" if size is None else f"{size[0]}x{size[1]}"

"""Log lines about results, each once: missing poses and frames, assumed cameras."""

from __future__ import annotations

import time

from rclpy.node import Node

from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.ros.calibration import Calibration
from maix_facemesh_ros.ros.result import Result

#: Seconds in which a calibration may come before its absence is worth a line.
CALIBRATION_PATIENCE = 2.0


class ResultNotices:
    """Explains results that may be other than expected."""

    def __init__(self, node: Node, calibration: Calibration, images_from: str) -> None:
        """Start without a notice.

        Args:
            node: logs.
            calibration: of the images.
            images_from: topic or source, as it may be shown.
        """
        self._node = node
        self._calibration = calibration
        self._images_from = images_from
        self._without_pose_since: float | None = None
        self._said_why_no_pose = False

    def say_what_is_assumed(self, now: NodeParameters, before: NodeParameters | None) -> None:
        """Log it at the start, and after a change of parameters."""
        assumed = now.assumed_field_of_view
        was = before.assumed_field_of_view if before is not None and before.pose else 0.0
        if now.pose and assumed and assumed != was:
            self._node.get_logger().info(
                "until there is a calibration, poses are those of an assumed field of view of "
                f"{assumed:g}°"
            )

    def pose_state(self, parameters: NodeParameters) -> str:
        """How poses come about, in words."""
        if not parameters.pose:
            return "off"
        if self._calibration.camera is not None:
            fits = self._calibration.fits
            return "with the calibration" if fits else "none: the calibration does not fit"
        assumed = parameters.assumed_field_of_view
        return (
            f"with an assumed field of view of {assumed:g}°" if assumed else "none: no calibration"
        )

    def note(self, result: Result) -> None:
        """Log the missing requirements of poses, markers and frames."""
        self._note_missing_pose(result)
        if not result.frame_id:
            self._node.get_logger().warning(
                f"images on {self._images_from} have an empty frame_id: markers, points and frames "
                f"are in {result.parameters.frame_id!r}, the parameter frame_id; set the frame of "
                "the camera driver",
                once=True,
            )

    def _note_missing_pose(self, result: Result) -> None:
        """Log the requirements of poses, unless the calibration may still arrive."""
        if self._said_why_no_pose or not result.parameters.pose:
            return
        if not any(len(face.points) and face.pose is None for face in result.faces):
            return
        now = time.monotonic()
        self._without_pose_since = self._without_pose_since or now
        if now - self._without_pose_since > CALIBRATION_PATIENCE:
            self._said_why_no_pose = True
            self._node.get_logger().info(
                f"faces come without pose, because the calibration is missing or does not fit "
                f"({self._calibration.state()}): publish camera_info with the images, or set "
                "calibration_file, or assumed_field_of_view"
            )

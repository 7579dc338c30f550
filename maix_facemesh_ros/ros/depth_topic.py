"""The depth images on a topic, for the sizes of the heads in the images of another topic."""

from __future__ import annotations

import time
from dataclasses import replace

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image as ImageMessage

from maix_facemesh_ros.camera.calibration import is_rectified
from maix_facemesh_ros.depth_image import STAMP_TOLERANCE, DepthBuffer
from maix_facemesh_ros.image import Image, ImageError
from maix_facemesh_ros.messages.depth_image import read_depth_image
from maix_facemesh_ros.ros.adaptive_subscription import AdaptiveSubscription
from maix_facemesh_ros.ros.calibration import Calibration
from maix_facemesh_ros.ros.message_reader import MessageReader
from maix_facemesh_ros.ros.topic_watch import describe_publisher
from maix_facemesh_ros.wording import counted

#: Seconds between two checks of the topic's publishers.
INTERVAL = 0.5

#: Seconds without a depth image after which the reason is logged.
PATIENCE = 5.0

#: Number of images without a depth image of their time after which it is logged.
UNMATCHED_IMAGES = 50

#: Seconds between two warnings about messages that cannot be used.
WARNING_INTERVAL = 30.0


class DepthTopic:
    """Keeps the latest depth images with their camera model, and logs why none is used."""

    def __init__(self, node: Node, topic: str, reader: MessageReader) -> None:
        """Subscribe to the depth images, and to `camera_info` in their namespace.

        Args:
            node: subscribes.
            topic: name of the topic, before remapping.
            reader: receives the messages.
        """
        self._node = node
        self._images = DepthBuffer()
        self._subscription = AdaptiveSubscription(
            node, ImageMessage, topic, self.on_message, reader
        )
        self.topic_name = self._subscription.topic_name
        self._calibration = Calibration(
            node,
            "",
            topic=f"{self.topic_name.rpartition('/')[0]}/camera_info",
            own_camera=False,
            rectified=is_rectified(self.topic_name, "auto"),
            callback_group=reader.callback_group,
        )
        #: Why the depth images are not used; empty when they are.
        self._problem = ""
        self._said_unmatched = False
        self._silent_since = time.monotonic()
        # Not the node's clock: with use_sim_time it may be the clock that is missing.
        self._timer = node.create_timer(
            INTERVAL, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    @property
    def state(self) -> str:
        """The depth images and their use, in words."""
        latest = self._images.latest
        if latest is None:
            return f"none on {self.topic_name}"
        width, height = latest.size
        return f"{self.topic_name}, {width}x{height}" + (
            f", not used: {self._problem}" if self._problem else ""
        )

    def on_message(self, message: bytes) -> None:
        """Keep a serialized depth image; it is a view of the message."""
        try:
            image = read_depth_image(message)
        except ImageError as error:
            self._node.get_logger().warning(
                f"depth image on {self.topic_name} not used: {error}",
                throttle_duration_sec=WARNING_INTERVAL,
            )
            return
        camera = self._calibration.camera
        if camera is not None and (camera.width, camera.height) == image.size:
            image = replace(image, camera=camera)
        self._images.add(image)

    def images_for(self, image: Image) -> DepthBuffer | None:
        """Return the depth images for an image; None if they are of another camera."""
        latest = self._images.latest
        self._problem = ""
        if latest is None or not latest.frame_id or not image.frame_id:
            return self._images
        if latest.frame_id != image.frame_id:
            self._problem = (
                f"their frame is {latest.frame_id!r} and that of the images is {image.frame_id!r}"
            )
            self._node.get_logger().warning(
                f"the depth images on {self.topic_name} are not used: {self._problem}. They must "
                "be aligned with the images (docs/depth.md)",
                once=True,
            )
            return None
        return self._images

    def rest(self) -> None:
        """Receive nothing for now, from the executor's thread."""
        if not self._subscription.rests:
            self._timer.cancel()
            self._calibration.rest()
            self._subscription.rest()
            self._images.clear()

    def wake(self) -> None:
        """Subscribe again."""
        if self._subscription.rests:
            self._calibration.wake()
            self._subscription.wake()
            self._silent_since = time.monotonic()
            self._timer.reset()

    def close(self) -> None:
        """Unsubscribe, on the executor's thread."""
        self.rest()
        self._node.destroy_timer(self._timer)
        self._calibration.close()

    def _check(self) -> None:
        publishers = self._node.get_publishers_info_by_topic(self.topic_name)
        self._subscription.follow(publishers)
        if self._images.latest is None and time.monotonic() - self._silent_since > PATIENCE:
            self._silent_since = float("inf")
            named = ", ".join(map(describe_publisher, publishers))
            self._node.get_logger().warning(
                f"no depth image on {self.topic_name} for {PATIENCE:.0f} s, so the sizes of the "
                f"heads are assumed: it has {counted(len(publishers), 'publisher')}"
                + (f", {named}" if named else "")
            )
        if self._images.unmatched >= UNMATCHED_IMAGES and not self._said_unmatched:
            self._said_unmatched = True
            self._node.get_logger().warning(
                f"the depth images on {self.topic_name} are {self._images.gap:.3g} s from the "
                f"images, where {STAMP_TOLERANCE:g} s are allowed: are both stamped by one clock?"
            )

"""The camera's calibration, from `camera_info` in the images' namespace or from a file."""

from __future__ import annotations

import math
import time

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    QoSDurabilityPolicy,
    QoSProfile,
    QoSReliabilityPolicy,
    qos_profile_sensor_data,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from maix_facemesh_ros.backends.registry import FACE_SOURCES
from maix_facemesh_ros.camera import calibration as camera_info
from maix_facemesh_ros.camera.model import CalibrationError, CameraModel
from maix_facemesh_ros.messages.cdr import STAMP_END
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.ros.diagnostic_keys import CALIBRATION, CALIBRATION_PUBLISHERS
from maix_facemesh_ros.ros.image_topics import camera_info_topic
from maix_facemesh_ros.ros.qos_events import SubscriptionEventCallbacks
from maix_facemesh_ros.ros.result import Result
from maix_facemesh_ros.ros.topic_watch import describe_publisher

#: Seconds between two warnings of the same kind.
WARNING_INTERVAL = 30.0

#: Seconds with images, but without a calibration, after which its publishers are named.
PATIENCE = 5.0

#: Seconds between two searches for publishers that keep their calibration for late subscribers,
#: and their quality of service.
KEPT_INTERVAL = 1.0
KEPT = QoSProfile(
    depth=1,
    reliability=QoSReliabilityPolicy.RELIABLE,
    durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
)


class Calibration:
    """Holds the calibration and checks that it fits the images.

    A calibration for another image size gives wrong directions that are hard to notice, so
    it is reported in the log and on /diagnostics.
    """

    def __init__(
        self,
        node: Node,
        file: str,
        *,
        topic: str = "camera_info",
        own_camera: bool,
        rectified: bool = False,
        callback_group: CallbackGroup | None = None,
    ) -> None:
        """Read the file or listen to `camera_info`.

        Args:
            node: its log and topics.
            file: of camera_calibration; empty: the calibration is received on the topic.
            topic: with the calibration, see `image_topics`.
            own_camera: the images come from no topic, so the file's calibration is published with
                each.
            rectified: the images are without distortion, as the calibration's P describes them.
            callback_group: of the subscription; None: the node's own.

        Raises:
            ParameterError: the file cannot be read, or is not a calibration.
        """
        self._node = node
        self._topic = topic
        self._callback_group = callback_group
        self._rectified = rectified
        self._latest: CameraInfo | None = None
        self._latest_but_stamp = b""
        #: The camera model; None while no valid calibration has arrived.
        self.camera: CameraModel | None = None
        self._problem = ""
        self._image_size: tuple[int, int] | None = None
        self._publisher: Publisher | None = None
        self._subscription: Subscription | None = None
        self._timer: Timer | None = None
        self._first_image_at: float | None = None
        self._kept: Subscription | None = None
        self._kept_came = False
        #: Publishers that keep their calibration, and have been asked for it.
        self._asked: set[bytes] = set()
        self._is_subscribed = not file
        if file:
            self._take(read_calibration(file))
            self.origin = file
            if own_camera:
                self._publisher = node.create_publisher(CameraInfo, topic, QoSProfile(depth=2))
            return
        self.origin = node.resolve_topic_name(topic)
        self._subscribe()
        self._timer = node.create_timer(
            KEPT_INTERVAL, self._ask_for_kept, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def close(self) -> None:
        """Unsubscribe, on the executor's thread."""
        self.rest()
        if self._timer is not None:
            self._node.destroy_timer(self._timer)

    def rest(self) -> None:
        """Unsubscribe until `wake`, on the executor's thread; the latest calibration stays."""
        for subscription in (self._subscription, self._kept):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        self._subscription = self._kept = None
        if self._timer is not None:
            self._timer.cancel()

    def wake(self) -> None:
        """Subscribe again after `rest`, where it is received on a topic."""
        if self._timer is None or self._subscription is not None:
            return
        self._subscribe()
        # What is kept may have changed.
        self._asked.clear()
        self._timer.reset()

    def publish(self, result: Result) -> None:
        """Compare the calibration with an image's size; publish one from a file with the image."""
        if self._image_size != result.size:
            self._image_size = result.size
            self._check_size()
        if self._latest is None:
            self._name_publishers()
        if self._publisher is not None and self._latest is not None:
            self._latest.header = result.header
            self._publisher.publish(self._latest)

    @property
    def fits(self) -> bool:
        """Whether there is a calibration that can be used, and of images of this size."""
        camera = self.camera
        return camera is not None and self._image_size in (None, (camera.width, camera.height))

    @property
    def facts(self) -> dict[str, str]:
        """Values for /diagnostics."""
        facts = {CALIBRATION: self.state()}
        if self._is_subscribed:
            facts[CALIBRATION_PUBLISHERS] = str(self._node.count_publishers(self.origin))
        return facts

    def state(self) -> str:
        """State of the calibration as a text."""
        if self._latest is None:
            return f"none on {self.origin}"
        camera = self.camera  # Another thread may receive one at this moment.
        if camera is None:
            return f"{self.origin} cannot be used: {self._problem}"
        return (
            f"{_text((camera.width, camera.height))}, focal length {camera.matrix[0, 0]:.1f} and "
            f"{camera.matrix[1, 1]:.1f} pixels, {camera.model or 'no distortion'}"
            + ("" if self.fits else f"; does not fit the images of {_text(self._image_size)}")
        )

    def _subscribe(self) -> None:
        self._subscription = self._node.create_subscription(
            CameraInfo,
            self._topic,
            self._on_camera_info,
            QoSProfile(depth=1, reliability=qos_profile_sensor_data.reliability),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            callback_group=self._callback_group,
            raw=True,
        )

    def _ask_for_kept(self) -> None:
        """Receive the calibration that a publisher sent before this node started, and keeps.

        This uses a temporary subscription, because publishers that keep nothing would warn of it.
        Later messages arrive by the other subscription.
        """
        if self._kept is not None and self._kept_came:
            self._node.destroy_subscription(self._kept)
            self._kept = None
        keeping = {
            bytes(publisher.endpoint_gid)
            for publisher in self._node.get_publishers_info_by_topic(self.origin)
            if publisher.qos_profile.durability == KEPT.durability
            and publisher.qos_profile.reliability == KEPT.reliability
        }
        if self._kept is None and keeping - self._asked:
            self._asked, self._kept_came = keeping, False
            self._kept = self._node.create_subscription(
                CameraInfo,
                self._topic,
                self._on_kept,
                KEPT,
                event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
                raw=True,
            )

    def _on_kept(self, message: bytes) -> None:
        self._kept_came = True
        self._on_camera_info(message)

    def _name_publishers(self) -> None:
        """Once, after a while: warn of publishers whose calibration does not arrive."""
        now = time.monotonic()
        if self._first_image_at is None:
            self._first_image_at = now
        if now - self._first_image_at < PATIENCE:
            return
        self._first_image_at = math.inf
        publishers = self._node.get_publishers_info_by_topic(self.origin)
        if publishers:
            self._node.get_logger().warning(
                f"no calibration arrives on {self.origin}, though there is "
                f"{' and '.join(map(describe_publisher, publishers))}. A publisher that sends it "
                "only once needs the quality of service RELIABLE TRANSIENT_LOCAL; every other one "
                "sends it with each image"
            )

    def _on_camera_info(self, message: bytes) -> None:
        # Most drivers send one with every image: parse it only if it has changed.
        if message[STAMP_END:] == self._latest_but_stamp:
            return
        self._latest_but_stamp = message[STAMP_END:]
        try:
            camera_info.check_camera_info(message)
            info = deserialize_message(message, CameraInfo)
        except Exception as error:
            # ImageError, and the middleware's for a text that is not UTF-8: each has its own.
            self._node.get_logger().warning(
                f"a message on {self.origin} cannot be read: {error}",
                throttle_duration_sec=WARNING_INTERVAL,
            )
            return
        info.header = Header()
        # Bytes may also differ in the frame's name, or between the fields, where they mean nothing.
        if info != self._latest:
            self._take(info)
            self._check_size()

    def _take(self, message: CameraInfo) -> None:
        self._latest = message
        try:
            self.camera = camera_info.camera_of(message, rectified=self._rectified)
        except CalibrationError as error:
            self.camera = None
            self._problem = str(error)

    def _check_size(self) -> None:
        if self.camera is not None and not self.fits:
            size = (self.camera.width, self.camera.height)
            self._node.get_logger().warning(
                f"{self.origin} is for images of {_text(size)}, but these are "
                f"{_text(self._image_size)}: use the calibration of this camera and resolution",
                throttle_duration_sec=WARNING_INTERVAL,
            )


def open_calibration(
    node: Node, parameters: NodeParameters, images: str, callback_group: CallbackGroup
) -> Calibration:
    """Return the calibration of a node's images, from the file or topic that the parameters name.

    Args:
        node: subscribes.
        parameters: those of the start.
        images: full name of the topic with the images.
        callback_group: of the subscription.

    Raises:
        ParameterError: the file cannot be read, or is not a calibration.
    """
    own_camera = parameters.source != "" or parameters.backend in FACE_SOURCES
    return Calibration(
        node,
        parameters.calibration_file,
        topic=camera_info_topic(node, images),
        own_camera=own_camera,
        rectified=not own_camera and camera_info.is_rectified(images, parameters.rectified),
        callback_group=callback_group,
    )


def read_calibration(file: str) -> CameraInfo:
    """Read a calibration as camera_calibration writes it.

    Raises:
        ParameterError: the file cannot be read, or is not a calibration.
    """
    read = camera_info.read_calibration(file)
    return CameraInfo(
        width=read.width,
        height=read.height,
        distortion_model=read.distortion_model,
        d=read.d,
        k=read.k,
        r=read.r,
        p=read.p,
    )


def _text(size: tuple[int, int] | None) -> str:
    return "unknown size" if size is None else f"{size[0]}x{size[1]}"

"""`facemesh_node`: pictures from a topic or a source in, `faces` out.

One picture's way: `_on_image` puts the message into the slot → `_work` takes the latest → `_answer`
finds its faces and publishes them under the picture's own header.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Iterator

import numpy as np
from builtin_interfaces.msg import Time
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from maix_facemesh_ros.backends import BackendError
from maix_facemesh_ros.face import PictureError
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.latest import LatestSlot
from maix_facemesh_ros.model_files import ModelError
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.parameters import NodeParameters, ParameterError, parameters_of
from maix_facemesh_ros.picture_sources import (
    PictureSource,
    SourceError,
    SourceNotice,
    open_source,
)
from maix_facemesh_ros.ros.calibration import Calibration
from maix_facemesh_ros.ros.diagnostics import Diagnostics
from maix_facemesh_ros.ros.image_message import ImageMessage, read_compressed_image, read_image
from maix_facemesh_ros.ros.messages import face_array
from maix_facemesh_ros.ros.node_parameters import declare_parameters
from maix_facemesh_ros.ros.node_process import run_node

#: Seconds without a picture after which the node says so, again and again.
SILENCE = 5.0

#: Seconds that a camera or URL may take to end its last read when the node stops.
READER_TIMEOUT = 0.5

#: Seconds between two warnings of the same kind.
WARNING_INTERVAL = 5.0

#: Messages the middleware keeps until this process takes them. With one, a picture that comes
#: while the processor is busy elsewhere would be lost uncounted; the slot has the latest anyway.
QUEUED_MESSAGES = 5

#: image_transport: the topic, its type, and what reads its messages.
TRANSPORTS = {
    "raw": ("image_raw", Image, read_image),
    "compressed": ("image_raw/compressed", CompressedImage, read_compressed_image),
}

#: What can be wrong at the start: said in one line, without a traceback.
START_ERRORS = (ParameterError, BackendError, ModelError, SourceError)


class FaceMeshNode(Node):
    """Answers every picture with one FaceArray or, when they come too fast, always the latest.

    One worker thread does the work, so that messages are taken off the middleware at once and the
    latest picture is always the next.
    """

    def __init__(self) -> None:
        super().__init__("facemesh")
        self.failed = False
        parameters = declare_parameters(self)
        self._mesh = FaceMesh(parameters)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._faces = self.create_publisher(
            FaceArray,
            "faces",
            QoSProfile(depth=10),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._frame_id = parameters.frame_id
        self._slot: LatestSlot[bytes | ImageMessage] = LatestSlot()
        self._closing = threading.Event()
        self._source: PictureSource | None = None
        self._reader: threading.Thread | None = None
        if parameters.source:
            self._source = open_source(
                parameters.source, loop=parameters.source_loop, report=self._on_source_notice
            )
            self._origin = self._source.name
        else:
            self._subscribe(parameters.image_transport)
            self._origin = self._subscription.topic_name
        self._calibration = Calibration(self)
        self._diagnostics = Diagnostics(
            self,
            lambda: {
                **self._mesh.facts,
                "pictures from": self._origin,
                "calibration": self._calibration.state(),
            },
        )
        self.get_logger().info(
            f"backend {self._mesh.backend_name}, detector {parameters.detector}; "
            f"pictures from {self._origin}, faces on {self._faces.topic_name}"
        )
        self._worker = threading.Thread(target=self._work, name="facemesh worker")
        self._worker.start()

    def _subscribe(self, transport: str) -> None:
        topic, message_type, self._read = TRANSPORTS[transport]
        self._subscription = self.create_subscription(
            message_type,
            topic,
            self._on_image,
            QoSProfile(
                depth=QUEUED_MESSAGES,
                reliability=qos_profile_sensor_data.reliability,
                durability=qos_profile_sensor_data.durability,
            ),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible_qos),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            raw=True,
        )
        self._arrived_at_last_check = 0
        # Not the node's clock: with use_sim_time it may be the clock that is missing.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(SILENCE, self._warn_of_silence, clock=steady)

    def _on_image(self, message: bytes) -> None:
        self._diagnostics.arrived(replaced_another=self._slot.put(message))

    def _work(self) -> None:
        try:
            for item in self._pictures():
                self._answer(item)
        except SourceError as error:
            self.failed = True
            self.get_logger().error(str(error))
        finally:
            # A source has ended (or the node is on its way out): let the executor return.
            self.context.try_shutdown()

    def _pictures(self) -> Iterator[bytes | ImageMessage]:
        """Give what is to be answered: all of a file, the latest of anything live."""
        if self._source is not None and not self._source.is_live:
            for image in self._source_pictures(self._source):
                self._diagnostics.arrived(replaced_another=False)
                yield image
            self._say_ended()
            return
        if self._source is not None:
            self._reader = threading.Thread(
                target=self._read_live, args=(self._source,), name="source reader", daemon=True
            )
            self._reader.start()
        while (item := self._slot.take()) is not None:
            yield item

    def _answer(self, item: bytes | ImageMessage) -> None:
        """Find the faces of one picture and publish them; a bad one is named and passed over."""
        times = [time.perf_counter()]
        try:
            image = self._read(item) if isinstance(item, bytes) else item
            times.append(time.perf_counter())
            seconds = image.stamp.sec + image.stamp.nanosec * 1e-9
            faces = self._mesh.process(image.picture, seconds, bgr=image.bgr)
            times.append(time.perf_counter())
            height, width = image.picture.shape[:2]
            self._calibration.picture_size_is(width, height)
            header = Header(stamp=image.stamp, frame_id=image.frame_id)
            self._faces.publish(face_array(header, (width, height), faces))
            times.append(time.perf_counter())
            self._diagnostics.answered(len(faces), np.diff(times))
        except PictureError as error:
            self._diagnostics.lost("a picture that cannot be used")
            self.get_logger().warning(
                f"picture on {self._origin} not used: {error}",
                throttle_duration_sec=WARNING_INTERVAL,
            )
        except Exception:
            # A fault of ours with one picture must not cost the robot the pictures after it.
            if not self._stopping():
                self._diagnostics.lost("a fault of the node")
                self.get_logger().error(
                    f"picture not answered: {traceback.format_exc()}",
                    throttle_duration_sec=WARNING_INTERVAL,
                )

    def _source_pictures(self, source: PictureSource) -> Iterator[ImageMessage]:
        for picture in source.pictures():
            if self._stopping():
                return
            stamp = self._stamp(picture.taken_at)
            yield ImageMessage(stamp, self._frame_id, picture.bgr, bgr=True)

    def _stamp(self, taken_at: float) -> Time:
        """Return the node's time at a moment of `time.monotonic`'s clock."""
        age = round(1e9 * (time.monotonic() - taken_at))
        # Simulated time is zero until the first message on /clock.
        nanoseconds = max(0, self.get_clock().now().nanoseconds - age)
        return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)

    def _say_ended(self) -> None:
        """Say that the source has ended, and let its last faces arrive before the node goes."""
        if self._stopping():
            return
        self.get_logger().info(f"source ended after {self._diagnostics.total('arrived')} pictures")
        try:
            self._faces.wait_for_all_acked(Duration(seconds=1))
        except Exception:
            if not self._stopping():
                raise

    def _stopping(self) -> bool:
        """Whether the node is on its way out; rclpy's signal handler ends the context at once."""
        return self._closing.is_set() or not self.context.ok()

    def _read_live(self, source: PictureSource) -> None:
        for image in self._source_pictures(source):
            self._diagnostics.arrived(replaced_another=self._slot.put(image))

    def _on_source_notice(self, notice: SourceNotice) -> None:
        if self._stopping():
            return
        self._diagnostics.trouble(notice.text if notice.warning else "")
        if notice.warning:
            self.get_logger().warning(notice.text)
        else:
            self.get_logger().info(notice.text)

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        names = {parameter.name for parameter in parameters_of(NodeParameters)}
        changes = {p.name: p.value for p in parameters if p.name in names}
        try:
            self._mesh.change(**changes)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _warn_of_silence(self) -> None:
        arrived = self._diagnostics.total("arrived")
        if arrived == self._arrived_at_last_check:
            topic = self._subscription.topic_name
            publishers = self.get_publishers_info_by_topic(topic)
            self.get_logger().warning(
                f"no image on {topic} for {SILENCE:.0f} s: {len(publishers)} publishers"
                + "".join(f", {_describe(publisher)}" for publisher in publishers)
            )
        self._arrived_at_last_check = arrived

    def _on_incompatible_qos(self, event: QoSRequestedIncompatibleQoSInfo) -> None:
        self.get_logger().warning(
            f"a publisher of {self._subscription.topic_name} offers a quality of service that this "
            f"node does not accept ({event.last_policy_kind.name}): nothing of it arrives. Change "
            "the publisher, or this node's qos_overrides parameters"
        )

    def stop(self) -> None:
        """Answer the picture in hand, then stop the worker and free the backend and the source."""
        self._closing.set()
        if self._source is not None:
            self._source.close()
        self._slot.close()
        self._worker.join()
        if self._reader is not None:
            self._reader.join(READER_TIMEOUT)
        self._mesh.close()
        self.destroy_node()

    @property
    def source_blocks(self) -> bool:
        """Whether, after `stop`, a camera or URL is still being opened or read."""
        return self._reader is not None and self._reader.is_alive()


def _describe(publisher: TopicEndpointInfo) -> str:
    quality = publisher.qos_profile
    return (
        f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name} with {publisher.topic_type} "
        f"{quality.reliability.name} {quality.durability.name}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is stopped or its source ends; returns the exit code."""
    return run_node(FaceMeshNode, START_ERRORS, arguments)


if __name__ == "__main__":
    sys.exit(main())

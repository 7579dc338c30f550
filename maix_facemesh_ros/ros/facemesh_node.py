"""`facemesh_node`: images from a topic or a source in, `faces` out.

One image's way: `_on_image` puts the message into the slot → `_work` takes the latest → `_answer`
finds its faces → `_publish` sends them under the image's own header → `_show` makes of them what
somebody wants to look at. With a MaixCAM, `_pass_on` stands in the place of `_answer`: the faces
have been found on the way.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from builtin_interfaces.msg import Time
from rcl_interfaces.msg import SetParametersResult
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

from maix_facemesh_ros.analysis.enrichment import camera_of_images
from maix_facemesh_ros.analysis.stream_stamps import StampCheck
from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.backends.registry import FACE_SOURCES, open_image_source
from maix_facemesh_ros.camera.calibration import is_rectified
from maix_facemesh_ros.face import Face, FaceFrame, JpegFrame
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.face_stream import FaceStream
from maix_facemesh_ros.image import Image, ImageError, Levels, Stamp
from maix_facemesh_ros.messages.compressed_image import check_jpeg, decode_compressed
from maix_facemesh_ros.messages.faces import serialized_faces
from maix_facemesh_ros.messages.image import read_compressed_image
from maix_facemesh_ros.model_files import ModelError
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.parameters import NodeParameters, ParameterError, parameters_of
from maix_facemesh_ros.ros.adaptive_subscription import AdaptiveSubscription
from maix_facemesh_ros.ros.calibration import Calibration
from maix_facemesh_ros.ros.cv_bridge_encodings import read_image_of_any_encoding
from maix_facemesh_ros.ros.dds_profile import NODE_PROFILE, advice_on_receive_buffer
from maix_facemesh_ros.ros.diagnostics import (
    CALIBRATION_PUBLISHERS,
    FACES_SUBSCRIBERS,
    IMAGE_PUBLISHERS,
    Diagnostics,
)
from maix_facemesh_ros.ros.image_topics import camera_info_topic, compressed_topic
from maix_facemesh_ros.ros.message_reader import MessageReader
from maix_facemesh_ros.ros.node_parameters import ParameterNode
from maix_facemesh_ros.ros.node_process import (
    COMPILE_TIMEOUT,
    START_TIMEOUT,
    WORKER_TIMEOUT,
    end_node,
    run_node,
    start_bound,
)
from maix_facemesh_ros.ros.own_stamps import OwnStamps
from maix_facemesh_ros.ros.publishers.annotated_image import AnnotatedImage
from maix_facemesh_ros.ros.publishers.cloud import FaceCloud
from maix_facemesh_ros.ros.publishers.interop import open_other_packages
from maix_facemesh_ros.ros.publishers.markers import FaceMarkers
from maix_facemesh_ros.ros.publishers.tf_broadcaster import FaceFrames
from maix_facemesh_ros.ros.topic_watch import TopicWatch
from maix_facemesh_ros.sources.base import ImageSource, SourceError, SourceNotice
from maix_facemesh_ros.sources.latest import LatestSlot

#: Seconds that a camera or URL may take to end its last read when the node stops.
READER_TIMEOUT = 0.5

#: Seconds between two warnings of the same kind.
WARNING_INTERVAL = 5.0

#: Images of a MaixCAM that may come before the JPEG of one of them.
JPEGS_LATE = 16

#: Seconds in which a calibration may come before its absence is worth a line.
CALIBRATION_PATIENCE = 2.0


class Transport(NamedTuple):
    """How images come on a topic."""

    message_type: type
    #: Reads a serialized message.
    read: Callable[[bytes], Image]


#: By the values of `image_transport`.
TRANSPORTS = {
    "raw": Transport(ImageMessage, read_image_of_any_encoding),
    "compressed": Transport(CompressedImage, read_compressed_image),
}

#: What can be wrong at the start: said in one line, without a traceback.
START_ERRORS = (ParameterError, BackendError, ModelError, SourceError)


class FaceMeshNode(ParameterNode):
    """Answers every image with one FaceArray or, when they come too fast, always the latest.

    One worker thread does the work, so that messages are taken off the middleware at once and the
    latest image is always the next.
    """

    def __init__(self) -> None:
        super().__init__("facemesh")
        self.failed = False
        self._in_force = parameters = self.declare_table(NodeParameters)
        self._closing = threading.Event()
        self._frame_id = parameters.frame_id
        self._stamps = OwnStamps(self, parameters.camera_delay)
        self._stamp_check = StampCheck()
        self._slot: LatestSlot[bytes | Image] = LatestSlot()
        self._diagnostics = Diagnostics(
            self,
            lambda: {
                **self._mesh.facts,
                "pictures from": self._origin,
                "calibration": self._calibration.state(),
                "pose": self._pose_state(),
                **self._levels_state(),
                **self._connections(),
            },
        )
        self._reader_of_topics = MessageReader(self)
        own_camera = parameters.source != "" or parameters.backend in FACE_SOURCES
        images = self._image_topic(parameters)
        # Taken in turn with the images: a calibration is there before the image after it.
        self._calibration = Calibration(
            self,
            parameters.calibration_file,
            topic=camera_info_topic(self, self.resolve_topic_name(images)),
            own_camera=own_camera,
            rectified=not own_camera
            and is_rectified(self.resolve_topic_name(images), parameters.rectified),
            callback_group=self._reader_of_topics.callback_group,
        )
        self._face_frames = FaceFrames(self)
        self._markers = FaceMarkers(self)
        self._cloud = FaceCloud(self)
        self._annotated = AnnotatedImage(self)
        self._other_packages = open_other_packages(self, parameters)
        # With a MaixCAM: the faces of the last images, whose JPEGs may follow.
        self._faces_at: dict[float, FaceFrame] = {}
        self._levels: Levels | None = None
        self._without_pose_since: float | None = None
        self._said_why_no_pose = False
        self._faces = self.create_publisher(
            FaceArray,
            "faces",
            QoSProfile(depth=10),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._mesh: FaceMesh | FaceStream
        self._source: ImageSource | None = None
        self._reader: threading.Thread | None = None
        if parameters.backend in FACE_SOURCES:
            self._mesh = FaceStream(parameters, self._on_source_notice)
            self._images_out = self.create_publisher(
                CompressedImage, compressed_topic(self, "image_raw"), QoSProfile(depth=2)
            )
            self._origin = self._mesh.name
        else:
            if parameters.execution_provider != "cpu":
                start_bound.give(COMPILE_TIMEOUT)
            self._mesh = FaceMesh(parameters)
            start_bound.give(START_TIMEOUT)
            self._origin = self._take_images_from(parameters)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._say_what_is_assumed(None)
        self.get_logger().info(
            f"backend {self._mesh.facts['backend']}; images from {self._origin}, "
            f"faces on {self._faces.topic_name}"
        )
        self._worker = threading.Thread(target=self._work, name="facemesh worker")
        self._worker.start()
        self._reader_of_topics.start()

    def _take_images_from(self, parameters: NodeParameters) -> str:
        """Open the source or subscribe to the topic; returns its name."""
        if parameters.source:
            self._source = open_image_source(parameters, self._on_source_notice)
            return self._source.name
        self._transport = TRANSPORTS[parameters.image_transport]
        images = AdaptiveSubscription(
            self,
            self._transport.message_type,
            self._image_topic(parameters),
            self._on_image,
            self._reader_of_topics,
        )
        TopicWatch(
            self,
            images,
            arrived=lambda: self._diagnostics.total("arrived"),
            lost=self._diagnostics.lost_in_transport,
        )
        limit = advice_on_receive_buffer() if parameters.image_transport == "raw" else ""
        if limit:
            self.get_logger().info(f"images of best-effort publishers may be lost: {limit}")
        return images.topic_name

    def _connections(self) -> dict[str, str]:
        """The numbers of publishers and subscribers on this node's topics, as this node knows them.

        A program that sends images knows from them that they will arrive, and their faces too.
        """
        numbers = {FACES_SUBSCRIBERS: self.count_subscribers(self._faces.topic_name)}
        if self._source is None and isinstance(self._mesh, FaceMesh):
            numbers[IMAGE_PUBLISHERS] = self.count_publishers(self._origin)
        if not self._in_force.calibration_file:
            numbers[CALIBRATION_PUBLISHERS] = self.count_publishers(self._calibration.origin)
        return {name: str(number) for name, number in numbers.items()}

    def _image_topic(self, parameters: NodeParameters) -> str:
        """Return the topic with the images, before remaps where they have not been followed."""
        is_compressed = parameters.image_transport == "compressed"
        if is_compressed or parameters.backend in FACE_SOURCES:
            return compressed_topic(self, "image_raw")
        return "image_raw"

    def _on_image(self, message: bytes) -> None:
        self._diagnostics.arrived(replaced_another=self._slot.put(message))

    def _work(self) -> None:
        try:
            for item in self._items():
                self._handle(item)
        except SourceError as error:
            self.failed = True
            self.get_logger().error(str(error))
        except Exception:
            self.failed = True
            raise
        finally:
            # A source has ended (or the node is on its way out): let the executor return.
            self.context.try_shutdown()

    def _items(self) -> Iterator[bytes | Image | FaceFrame | JpegFrame]:
        """Give what is to be answered: all of a file, the latest of anything live."""
        if isinstance(self._mesh, FaceStream):
            self._mesh.camera = self._calibration.camera
            yield from self._mesh.frames()
            return
        if self._source is not None and not self._source.is_live:
            for image in self._source_images(self._source):
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

    def _handle(self, item: bytes | Image | FaceFrame | JpegFrame) -> None:
        """Answer one item; a bad one is named and passed over."""
        try:
            if isinstance(item, FaceFrame):
                self._pass_on(item)
            elif isinstance(item, JpegFrame):
                self._publish_image(item)
            else:
                self._answer(item)
        except ImageError as error:
            self._diagnostics.lost("an image that cannot be used")
            self.get_logger().warning(
                f"image on {self._origin} not used: {error}",
                throttle_duration_sec=WARNING_INTERVAL,
            )
        except Exception:
            # A fault of ours with one image must not cost the robot the images after it.
            if not self._stopping():
                self._diagnostics.lost("a fault of the node")
                self.get_logger().error(
                    f"image not answered: {traceback.format_exc()}",
                    throttle_duration_sec=WARNING_INTERVAL,
                )

    def _answer(self, item: bytes | Image) -> None:
        """Find the faces of one image and publish them."""
        assert isinstance(self._mesh, FaceMesh)
        started = time.perf_counter()
        image = self._transport.read(item) if isinstance(item, bytes) else item
        read = time.perf_counter()
        if notice := self._stamp_check.notice(image.stamp.seconds, started):
            self.get_logger().warning(f"{self._origin}: {notice}")
        self._levels = image.levels
        self._mesh.camera = self._calibration.camera
        faces = self._mesh.process(image)
        found = time.perf_counter()
        stamp = Time(sec=image.stamp.sec, nanosec=image.stamp.nanosec)
        header = Header(stamp=stamp, frame_id=image.frame_id)
        self._publish(header, image.size, faces)
        self._diagnostics.took({"read the message": read - started, "find faces": found - read})
        self._show(header, image.size, faces, image)

    def _pass_on(self, frame: FaceFrame) -> None:
        """Publish the faces that a MaixCAM has found in one image."""
        self._diagnostics.arrived(replaced_another=False)
        header = Header(stamp=self._stamps.at(frame.taken_at), frame_id=self._frame_id)
        size = (frame.width, frame.height)
        self._publish(header, size, frame.faces)
        self._show(header, size, frame.faces)
        self._faces_at[frame.taken_at] = frame
        if len(self._faces_at) > JPEGS_LATE:
            del self._faces_at[next(iter(self._faces_at))]
        # For the next frame: this one came with the calibration of before.
        self._mesh.camera = self._calibration.camera

    def _publish(self, header: Header, size: tuple[int, int], faces: Sequence[Face]) -> None:
        """Publish the faces of one image: it is answered."""
        started = time.perf_counter()
        stamp = Stamp(header.stamp.sec, header.stamp.nanosec)
        self._faces.publish(serialized_faces(stamp, header.frame_id, size, faces))
        self._diagnostics.answered(len(faces))
        self._diagnostics.took({"publish": time.perf_counter() - started})
        self._calibration.image_is(header, size)
        if self._in_force.pose and not self._said_why_no_pose:
            self._explain_missing_pose(faces)

    def _show(
        self,
        header: Header,
        size: tuple[int, int],
        faces: Sequence[Face],
        image: Image | None = None,
    ) -> None:
        """Make of the faces what somebody has asked for, when they are out.

        Args:
            header: the image's own.
            size: its width and height in pixels.
            faces: in it.
            image: the image; None where the faces come without.
        """
        started = time.perf_counter()
        header = self._with_frame(header)
        try:
            if self._in_force.tf:
                self._face_frames.publish(
                    header,
                    faces,
                    prefix=self._in_force.frame_prefix,
                    limit=self._in_force.frame_limit,
                    for_hri=self._in_force.hri_msgs,
                )
            self._cloud.publish(header, faces)
            camera = camera_of_images(size, self._mesh.camera, self._in_force)
            self._markers.publish(header, size, faces, camera, self._in_force)
            for package in self._other_packages:
                package.publish(header, size, faces, None if image is None else image.rgb)
            if image is not None:
                self._annotated.publish(header, image, faces)
        except Exception:
            # The image has been answered, whatever is wrong here.
            if not self._stopping():
                self.get_logger().error(
                    f"not all that was asked for could be shown: {traceback.format_exc()}",
                    throttle_duration_sec=WARNING_INTERVAL,
                )
        self._diagnostics.took({"views": time.perf_counter() - started})

    def _with_frame(self, header: Header) -> Header:
        """Return an image's header, with the parameter `frame_id` where it has no frame.

        RViz and tf2 refuse what is in no frame. The faces keep the header of their image.
        """
        if header.frame_id:
            return header
        frame_id = self._in_force.frame_id
        self.get_logger().warning(
            f"images on {self._origin} have an empty frame_id: markers, points and frames are in "
            f"{frame_id!r}, the parameter frame_id; set the frame of the camera driver",
            once=True,
        )
        return Header(stamp=header.stamp, frame_id=frame_id)

    def _say_what_is_assumed(self, before: NodeParameters | None) -> None:
        """Say it at the start, and when a change of parameters has made it so."""
        now = self._in_force
        assumed = now.assumed_field_of_view
        was = before.assumed_field_of_view if before is not None and before.pose else 0.0
        if now.pose and assumed and assumed != was:
            self.get_logger().info(
                "until there is a calibration, poses are those of an assumed field of view of "
                f"{assumed:g}°"
            )

    def _pose_state(self) -> str:
        """How poses come about, in words."""
        if not self._in_force.pose:
            return "off"
        if self._calibration.camera is not None:
            fits = self._calibration.fits
            return "with the calibration" if fits else "none: the calibration does not fit"
        assumed = self._in_force.assumed_field_of_view
        return (
            f"with an assumed field of view of {assumed:g}°" if assumed else "none: no calibration"
        )

    def _levels_state(self) -> dict[str, str]:
        """Of 16-bit images: which values become black and white in the last one."""
        return {} if self._levels is None else {"black and white of 16 bits": str(self._levels)}

    def _explain_missing_pose(self, faces: Sequence[Face]) -> None:
        """Say once what pose needs, unless its calibration may still be on its way."""
        if not any(len(face.points) and face.pose is None for face in faces):
            return
        now = time.monotonic()
        self._without_pose_since = self._without_pose_since or now
        if now - self._without_pose_since > CALIBRATION_PATIENCE:
            self._said_why_no_pose = True
            self.get_logger().info(
                f"faces come without pose, because the calibration is missing or does not fit "
                f"({self._calibration.state()}): publish camera_info beside the images, or set "
                "calibration_file, or assumed_field_of_view"
            )

    def _publish_image(self, frame: JpegFrame) -> None:
        """Pass on a JPEG of a MaixCAM, and draw the faces into it."""
        try:
            # Its own faces may have been replaced by later ones.
            latest = next(reversed(self._faces_at.values()), None)
            announced = self._faces_at.get(frame.taken_at, latest)
            size = (0, 0) if announced is None else (announced.width, announced.height)
            file = check_jpeg(frame.jpeg, size)
            header = Header(stamp=self._stamps.at(frame.taken_at), frame_id=self._frame_id)
            self._images_out.publish(
                CompressedImage(header=header, format="jpeg", data=array("B", frame.jpeg))
            )
            found = self._faces_at.get(frame.taken_at)
            if found is None or not self._annotated.is_wanted:
                return
            started = time.perf_counter()
            stamp = Stamp(header.stamp.sec, header.stamp.nanosec)
            image = Image(decode_compressed(file).pixels, "bgr", stamp)
            self._annotated.publish(header, image, found.faces)
            self._diagnostics.took({"views of JPEGs": time.perf_counter() - started})
        except ImageError as error:
            # Its faces have been answered, so the image is not counted as lost.
            self.get_logger().warning(
                f"a JPEG of {self._origin} cannot be used: {error}",
                throttle_duration_sec=WARNING_INTERVAL,
            )

    def _source_images(self, source: ImageSource) -> Iterator[Image]:
        for image in source.images():
            if self._stopping():
                return
            stamp = self._stamps.at(image.stamp.seconds)
            yield replace(image, stamp=Stamp(stamp.sec, stamp.nanosec), frame_id=self._frame_id)

    def _say_ended(self) -> None:
        """Say that the source has ended, and let its last faces arrive before the node goes."""
        if self._stopping():
            return
        self.get_logger().info(f"source ended after {self._diagnostics.total('arrived')} images")
        try:
            self._faces.wait_for_all_acked(Duration(seconds=1))
        except Exception:
            if not self._stopping():
                raise

    def _stopping(self) -> bool:
        """Whether the node is on its way out; rclpy's signal handler ends the context at once."""
        return self._closing.is_set() or not self.context.ok()

    def _read_live(self, source: ImageSource) -> None:
        for image in self._source_images(source):
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
        before = self._in_force
        try:
            self._mesh.change(**changes)
            self._in_force = before.changed(**changes)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._say_what_is_assumed(before)
        return SetParametersResult(successful=True)

    def stop(self) -> None:
        """Answer the image in hand, unless it takes long, and free the backend and the source."""
        self._closing.set()
        self._reader_of_topics.stop()
        if self._source is not None:
            self._source.close()
        if isinstance(self._mesh, FaceStream):
            self._mesh.close()
        self._slot.close()
        self._worker.join(WORKER_TIMEOUT)
        if self._reader is not None:
            self._reader.join(READER_TIMEOUT)
        if not self._worker.is_alive():
            self._mesh.close()
        end_node(self)

    @property
    def source_blocks(self) -> bool:
        """Whether, after `stop`, an image is still being decoded, or a camera or URL read."""
        return self._worker.is_alive() or (self._reader is not None and self._reader.is_alive())


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is stopped or its source ends; returns the exit code."""
    return run_node(FaceMeshNode, START_ERRORS, arguments, profile=NODE_PROFILE)


if __name__ == "__main__":
    sys.exit(main())

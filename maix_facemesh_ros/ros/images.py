"""The images of a topic, a file or a live source, for `FaceMeshInput` (inputs.py)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rclpy.node import Node

from maix_facemesh_ros.backends.registry import FACE_SOURCES, open_image_source
from maix_facemesh_ros.image import Image, ImageError
from maix_facemesh_ros.messages.video import NoKeyFrameError
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.ros.adaptive_subscription import AdaptiveSubscription
from maix_facemesh_ros.ros.calibration import Calibration
from maix_facemesh_ros.ros.dds_profile import advice_on_receive_buffer
from maix_facemesh_ros.ros.demand import DemandWatch
from maix_facemesh_ros.ros.depth_topic import DepthTopic
from maix_facemesh_ros.ros.diagnostic_keys import (
    ARRIVED,
    DEACTIVATED,
    DEPTH,
    IMAGE_PUBLISHERS,
    NO_KEY_FRAME,
    UNUSABLE,
)
from maix_facemesh_ros.ros.diagnostics import Diagnostics
from maix_facemesh_ros.ros.image_topics import compressed_topic, transport_topic
from maix_facemesh_ros.ros.message_reader import MessageReader
from maix_facemesh_ros.ros.own_stamps import OwnStamps
from maix_facemesh_ros.ros.topic_watch import TopicWatch
from maix_facemesh_ros.ros.transports import open_transport
from maix_facemesh_ros.sources.base import ImageSource, SourceNotice
from maix_facemesh_ros.sources.latest import LatestSlot
from maix_facemesh_ros.sources.names import public_name

#: Seconds between two warnings about images that cannot be used.
WARNING_INTERVAL = 5.0

#: Maximum seconds for a camera or URL to end its last read when the node stops.
READER_TIMEOUT = 0.5


@dataclass(frozen=True)
class InputContext:
    """The parts of the node that inputs use."""

    node: Node
    #: Those of the start.
    parameters: NodeParameters
    calibration: Calibration
    diagnostics: Diagnostics
    #: Reader of the topics' messages.
    topic_reader: MessageReader
    #: Whether the node is shutting down.
    is_stopping: Callable[[], bool]

    def report(self, notice: SourceNotice) -> None:
        """Log a notice of a source, and show its fault on /diagnostics."""
        if self.is_stopping():
            return
        self.diagnostics.trouble(notice.text if notice.warning else "")
        if notice.warning:
            self.node.get_logger().warning(notice.text)
        else:
            self.node.get_logger().info(notice.text)


class Images(Protocol):
    """Yields images in order; each is decoded when it is processed. See also `Input`."""

    name: str
    is_blocked: bool = False
    #: Depth images of the same camera.
    depth: DepthTopic | None = None

    @property
    def facts(self) -> dict[str, str]:
        """Values for /diagnostics, by key."""
        return {}

    def items(self) -> Iterator[Any]:
        """Yield items with one image each."""
        ...

    def read(self, item: Any) -> Image:
        """Return the image of an item, with its stamp and frame.

        Raises:
            ImageError: it cannot be used.
        """
        ...

    def stop(self) -> None:
        """End the iteration, from any thread."""
        ...

    def close(self) -> None:
        """Unsubscribe, or wait a moment for a read that has begun."""
        return


def image_topic(node: Node, parameters: NodeParameters) -> str:
    """Return the topic with the images, before any remaps that are not resolved."""
    if parameters.backend in FACE_SOURCES:
        return compressed_topic(node, "image_raw")
    if parameters.image_transport == "raw":
        return "image_raw"
    return transport_topic(node, "image_raw", f"/{parameters.image_transport}")


def name_of_images(context: InputContext) -> str:
    """Return the full name of the topic, or the source as it may be shown."""
    parameters = context.parameters
    if parameters.source:
        return public_name(parameters.source)
    return context.node.resolve_topic_name(image_topic(context.node, parameters))


def open_images(context: InputContext) -> Images:
    """Subscribe to the topic or open the source that the parameters name.

    Raises:
        SourceError: the source does not exist, or contains no readable image; or a package that the
            topic's transport needs is missing.
    """
    if not context.parameters.source:
        return TopicImages(context)
    source = open_image_source(context.parameters, context.report)
    return LiveImages(context, source) if source.is_live else FileImages(context, source)


class TopicImages(Images):
    """Images of a topic, by any transport: the latest is always the next.

    While no output of the node has a subscriber, neither this topic nor camera_info is subscribed
    to: receiving messages that are not needed costs processor time.
    """

    def __init__(self, context: InputContext) -> None:
        """Subscribe."""
        self._node = context.node
        self._diagnostics = context.diagnostics
        self._calibration = context.calibration
        self._slot: LatestSlot[Any] = LatestSlot()
        self._transport = open_transport(context.parameters.image_transport)
        #: Messages that had been lost when the last one arrived.
        self._lost = 0
        self._subscription = AdaptiveSubscription(
            context.node,
            self._transport.message_type,
            image_topic(context.node, context.parameters),
            self.on_message,
            context.topic_reader,
        )
        self.name = self._subscription.topic_name
        if context.parameters.depth_topic:
            self.depth = DepthTopic(
                context.node, context.parameters.depth_topic, context.topic_reader
            )
        self._demand = (
            None
            if context.parameters.always_process
            else DemandWatch(context.node, self._on_demand)
        )
        self._watch = TopicWatch(
            context.node,
            self._subscription,
            arrived=lambda: context.diagnostics.total(ARRIVED),
            lost=context.diagnostics.lost_in_transport,
        )
        limit = advice_on_receive_buffer() if context.parameters.image_transport == "raw" else ""
        if limit:
            context.node.get_logger().info(f"images of best-effort publishers may be lost: {limit}")

    @property
    def facts(self) -> dict[str, str]:
        """See `Images`."""
        depth = {} if self.depth is None else {DEPTH: self.depth.state}
        return {IMAGE_PUBLISHERS: str(self._node.count_publishers(self.name)), **depth}

    def _on_demand(self, is_needed: bool) -> None:
        """Rest while no output has a subscriber, and subscribe again for the first one."""
        if is_needed and self._subscription.rests:
            self._calibration.wake()
            self._transport.restart()
            self._subscription.wake()
            self._watch.wake()
            if self.depth is not None:
                self.depth.wake()
        elif not is_needed and not self._subscription.rests:
            self._calibration.rest()
            self._subscription.rest()
            self._watch.rest()
            if self.depth is not None:
                self.depth.rest()
        self._diagnostics.rests = self._subscription.rests

    def on_message(self, message: bytes) -> None:
        """Put a serialized message into the slot, in place of one that still waits there."""
        if self._lost != self._subscription.lost:
            self._lost = self._subscription.lost
            self._transport.restart()
        try:
            item = self._transport.receive(message)
        except NoKeyFrameError as error:
            self._not_received(NO_KEY_FRAME)
            self._node.get_logger().info(f"{self.name}: {error}", once=True)
        except ImageError as error:
            self._not_received(UNUSABLE)
            self._node.get_logger().warning(
                f"image on {self.name} not used: {error}", throttle_duration_sec=WARNING_INTERVAL
            )
        else:
            self._diagnostics.arrived(replaced_another=self._slot.put(item))

    def _not_received(self, reason: str) -> None:
        self._diagnostics.arrived(replaced_another=False)
        self._diagnostics.lost(reason)

    def items(self) -> Iterator[Any]:
        """Take messages out of the slot."""
        return self._slot.items()

    def read(self, item: Any) -> Image:
        """See `Images`."""
        return self._transport.read(item)

    def stop(self) -> None:
        """See `Images`."""
        if self._demand is not None:
            self._demand.stop()
        if self._slot.close():
            self._diagnostics.lost(DEACTIVATED)

    def close(self) -> None:
        """See `Images`."""
        if self._demand is not None:
            self._demand.close()
        self._watch.close()
        if not self._subscription.rests:
            self._subscription.rest()
        if self.depth is not None:
            self.depth.close()
        self._diagnostics.rests = False


class FileImages(Images):
    """All images of a file or folder, each when it is due; the worker reads them itself."""

    def __init__(self, context: InputContext, source: ImageSource) -> None:
        self.name = source.name
        self._context = context
        self._source = source

    def items(self) -> Iterator[Image]:
        """See `Input`."""
        for image in _stamped(self._source, self._context):
            self._context.diagnostics.arrived(replaced_another=False)
            yield image

    def read(self, item: Image) -> Image:
        """See `Images`."""
        return item

    def stop(self) -> None:
        """See `Images`."""
        self._source.close()


class LiveImages(Images):
    """Images of a camera or URL, read in a separate thread: the latest is always the next."""

    def __init__(self, context: InputContext, source: ImageSource) -> None:
        self.name = source.name
        self._context = context
        self._source = source
        self._slot: LatestSlot[Image] = LatestSlot()
        self._is_stopped = False
        self._reader = threading.Thread(target=self._read_source, name="source reader", daemon=True)

    def items(self) -> Iterator[Image]:
        """See `Input`."""
        self._reader.start()
        return self._slot.items()

    def read(self, item: Image) -> Image:
        """See `Images`."""
        return item

    def stop(self) -> None:
        """See `Images`."""
        self._source.close()
        self._is_stopped = True
        if self._slot.close():
            self._context.diagnostics.lost(DEACTIVATED)

    def close(self) -> None:
        """See `Images`."""
        if self._reader.is_alive():
            self._reader.join(READER_TIMEOUT)

    @property
    def is_blocked(self) -> bool:  # type: ignore[override]
        """See `Input`."""
        return self._reader.is_alive()

    def _read_source(self) -> None:
        for image in _stamped(self._source, self._context):
            if self._is_stopped:  # While the image was being read.
                return
            self._context.diagnostics.arrived(replaced_another=self._slot.put(image))


def _stamped(source: ImageSource, context: InputContext) -> Iterator[Image]:
    """Yield a source's images with the node's clock and `frame_id`, until the node stops."""
    stamps = OwnStamps(context.node, context.parameters.camera_delay)
    for image in source.images():
        if context.is_stopping():
            return
        stamp = stamps.at(image.stamp.seconds)
        yield replace(image, stamp=stamp, frame_id=context.parameters.frame_id)

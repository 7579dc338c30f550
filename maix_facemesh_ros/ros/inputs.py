"""Where the node's results come from: a topic, a file, a live source or a MaixCAM.

An `Input` gives items in order and makes a `Result` of each. Images, whatever brings them, go
through `FaceMeshInput`: `Images.items` → `Images.read` → `FaceMesh.process` → `Result`. A MaixCAM
has found the faces itself: `FaceStreamInput` makes a `Result` of what it sends.

An input is made when the node is configured, and has its networks then. It is opened when the node
is activated, stopped and closed when it is deactivated, and may be opened again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from maix_facemesh_ros.analysis.enrichment import camera_of_images
from maix_facemesh_ros.analysis.stream_stamps import StampCheck
from maix_facemesh_ros.backends.registry import FACE_SOURCES, open_image_source
from maix_facemesh_ros.face import Face, FaceFrame, JpegFrame
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.face_stream import FaceStream
from maix_facemesh_ros.image import Image, Levels
from maix_facemesh_ros.messages.image import read_compressed_image
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.ros.adaptive_subscription import AdaptiveSubscription
from maix_facemesh_ros.ros.calibration import Calibration
from maix_facemesh_ros.ros.cv_bridge_encodings import read_image_of_any_encoding
from maix_facemesh_ros.ros.dds_profile import advice_on_receive_buffer
from maix_facemesh_ros.ros.demand import DemandWatch
from maix_facemesh_ros.ros.diagnostic_keys import (
    ARRIVED,
    DEACTIVATED,
    FIND,
    IMAGE_PUBLISHERS,
    LEVELS,
    READ,
)
from maix_facemesh_ros.ros.diagnostics import Diagnostics
from maix_facemesh_ros.ros.image_topics import compressed_topic
from maix_facemesh_ros.ros.message_reader import MessageReader
from maix_facemesh_ros.ros.node_process import COMPILE_TIMEOUT, START_TIMEOUT, start_bound
from maix_facemesh_ros.ros.own_stamps import OwnStamps
from maix_facemesh_ros.ros.result import Result
from maix_facemesh_ros.ros.topic_watch import TopicWatch
from maix_facemesh_ros.sources.base import ImageSource, SourceNotice
from maix_facemesh_ros.sources.latest import LatestSlot
from maix_facemesh_ros.sources.names import public_name

#: Maximum seconds for a camera or URL to end its last read when the node stops.
READER_TIMEOUT = 0.5

#: Images of a MaixCAM that may come before the JPEG of one of them.
JPEGS_LATE = 16

Item = TypeVar("Item")


class Input(Protocol[Item]):
    """Yields the results of one stream of images, in order."""

    #: The topic or source, as it may be shown.
    name: str
    #: Those in force.
    parameters: NodeParameters

    @property
    def facts(self) -> dict[str, str]:
        """Values for /diagnostics, by key."""
        ...

    def open(self) -> None:
        """Subscribe to the topic or open the source; a new stream of images begins.

        Raises:
            SourceError: there is no such source, or nothing in it that can be read.
        """
        ...

    def items(self) -> Iterator[Item]:
        """Yield the items to process, until the input ends or is stopped.

        All of a file; the latest of anything live. To be iterated once after `open`, in one thread.

        Raises:
            SourceError: the source has ended, or is unreadable.
        """
        ...

    def result(self, item: Item) -> Result:
        """Return the result of one item; in the thread of `items`.

        Raises:
            ImageError: the item is an image that cannot be used.
        """
        ...

    def change(self, **changes: Any) -> None:
        """Change parameters while running: all of them, or with a bad one none.

        Raises:
            ParameterError: a bad value, or a parameter that is fixed at the start.
        """
        ...

    def reset(self) -> None:
        """Start a new stream with the next item, from any thread."""
        ...

    def stop(self) -> None:
        """End the iteration, from any thread."""
        ...

    def close(self) -> None:
        """Unsubscribe or close the source, when the last item has been answered."""
        ...

    def free(self) -> None:
        """Free the networks of a closed input; it cannot be opened any more."""
        ...

    @property
    def is_blocked(self) -> bool:
        """Whether, after `close`, a camera or URL is still being read."""
        ...


class Images(Protocol):
    """Yields images in order; each is decoded when it is processed. See also `Input`."""

    name: str
    is_blocked: bool = False

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


def image_topic(node: Node, parameters: NodeParameters) -> str:
    """Return the topic with the images, before any remaps that are not resolved."""
    is_compressed = parameters.image_transport == "compressed"
    if is_compressed or parameters.backend in FACE_SOURCES:
        return compressed_topic(node, "image_raw")
    return "image_raw"


def make_input(context: InputContext) -> Input[Any]:
    """Make the input that the parameters name, with its networks loaded.

    Raises:
        BackendError: the backend cannot run here.
        ModelError: a model file is missing, damaged, or not the network it should be.
        SourceError: a MaixCAM's address or file that cannot be right.
    """
    if context.parameters.backend in FACE_SOURCES:
        return FaceStreamInput(context)
    if context.parameters.execution_provider != "cpu":
        start_bound.give(COMPILE_TIMEOUT)
    mesh = FaceMesh(context.parameters)
    start_bound.give(START_TIMEOUT)
    return FaceMeshInput(context, mesh)


def name_of_images(context: InputContext) -> str:
    """Return the full name of the topic, or the source as it may be shown."""
    parameters = context.parameters
    if parameters.source:
        return public_name(parameters.source)
    return context.node.resolve_topic_name(image_topic(context.node, parameters))


def _open_images(context: InputContext) -> Images:
    if not context.parameters.source:
        return TopicImages(context)
    source = open_image_source(context.parameters, context.report)
    return LiveImages(context, source) if source.is_live else FileImages(context, source)


class FaceMeshInput:
    """Finds the faces of images with `FaceMesh`."""

    def __init__(self, context: InputContext, mesh: FaceMesh) -> None:
        self.name = name_of_images(context)
        self.parameters = context.parameters
        self._context = context
        self._mesh = mesh
        #: None until `open`.
        self._images: Images | None = None
        #: Closed images whose camera or URL was still being read.
        self._blocked: list[Images] = []
        self._calibration = context.calibration
        self._diagnostics = context.diagnostics
        self._logger = context.node.get_logger()
        self._stamp_check = StampCheck()
        self._levels: Levels | None = None

    @property
    def facts(self) -> dict[str, str]:
        """See `Input`."""
        levels = {} if self._levels is None else {LEVELS: str(self._levels)}
        of_images = {} if self._images is None else self._images.facts
        return {**self._mesh.facts, **levels, **of_images}

    def open(self) -> None:
        """See `Input`."""
        self._images = _open_images(self._context)
        self.reset()

    def items(self) -> Iterator[Any]:
        """See `Input`."""
        assert self._images is not None, "opened before"
        return self._images.items()

    def result(self, item: Any) -> Result:
        """See `Input`."""
        assert self._images is not None, "opened before"
        started = time.perf_counter()
        image = self._images.read(item)
        read = time.perf_counter()
        if notice := self._stamp_check.notice(image.stamp.seconds, started):
            self._logger.warning(f"{self.name}: {notice}")
        self._levels = image.levels
        self._mesh.camera = self._calibration.camera
        parameters = self.parameters
        faces = self._mesh.process(image)
        found = time.perf_counter()
        self._diagnostics.took({READ: read - started, FIND: found - read})
        camera = camera_of_images(image.size, self._mesh.camera, parameters)
        return Result(
            image.stamp, image.frame_id, image.size, faces, camera, parameters, image=image
        )

    def change(self, **changes: Any) -> None:
        """See `Input`."""
        self._mesh.change(**changes)
        self.parameters = self.parameters.changed(**changes)

    def reset(self) -> None:
        """See `Input`."""
        self._mesh.reset()

    def stop(self) -> None:
        """See `Input`."""
        if self._images is not None:
            self._images.stop()

    def close(self) -> None:
        """See `Input`."""
        if self._images is not None:
            self._images.close()
            self._blocked = [each for each in (*self._blocked, self._images) if each.is_blocked]
            self._images = None

    def free(self) -> None:
        """See `Input`."""
        self._mesh.close()

    @property
    def is_blocked(self) -> bool:
        """See `Input`."""
        return any(images.is_blocked for images in self._blocked)


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


class TopicImages(Images):
    """Images of a topic, raw or compressed: the latest is always the next.

    While no output of the node has a subscriber, the topic is not subscribed to: receiving
    messages that are not needed costs processor time.
    """

    def __init__(self, context: InputContext) -> None:
        """Subscribe."""
        self._node = context.node
        self._diagnostics = context.diagnostics
        self._slot: LatestSlot[bytes] = LatestSlot()
        self._transport = TRANSPORTS[context.parameters.image_transport]
        self._subscription = AdaptiveSubscription(
            context.node,
            self._transport.message_type,
            image_topic(context.node, context.parameters),
            self.on_message,
            context.topic_reader,
        )
        self.name = self._subscription.topic_name
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
        return {IMAGE_PUBLISHERS: str(self._node.count_publishers(self.name))}

    def _on_demand(self, is_needed: bool) -> None:
        """Rest while no output has a subscriber, and subscribe again for the first one."""
        if is_needed and self._subscription.rests:
            self._subscription.wake()
            self._watch.wake()
        elif not is_needed and not self._subscription.rests:
            self._subscription.rest()
            self._watch.rest()
        self._diagnostics.rests = self._subscription.rests

    def on_message(self, message: bytes) -> None:
        """Put a serialized message into the slot, in place of one that still waits there."""
        self._diagnostics.arrived(replaced_another=self._slot.put(message))

    def items(self) -> Iterator[bytes]:
        """Take messages out of the slot."""
        return self._slot.items()

    def read(self, item: bytes) -> Image:
        """See `Images`; the pixels are a view of the message where nothing has to be converted."""
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


class FaceStreamInput:
    """The faces that a MaixCAM has found, and JPEGs of some of their images."""

    is_blocked = False

    def __init__(self, context: InputContext) -> None:
        """Prepare; `items` connects.

        Raises:
            SourceError: an address or file that cannot be right.
        """
        self.parameters = context.parameters
        self._report = context.report
        self._stream = FaceStream(context.parameters, context.report)
        self._is_used = False
        self.name = self._stream.name
        self._calibration = context.calibration
        self._diagnostics = context.diagnostics
        self._stamps = OwnStamps(context.node, context.parameters.camera_delay)
        #: The last results by capture time: their JPEGs may follow.
        self._recent: dict[float, Result] = {}
        self._result_of = {FaceFrame: self._result_of_faces, JpegFrame: self._result_of_jpeg}

    @property
    def facts(self) -> dict[str, str]:
        """See `Input`."""
        return self._stream.facts

    def open(self) -> None:
        """See `Input`; a stream that has ended is made again, with the parameters of now."""
        if self._is_used:
            self._stream = FaceStream(self.parameters, self._report)
        self._is_used = True
        self._recent.clear()

    def items(self) -> Iterator[FaceFrame | JpegFrame]:
        """See `Input`."""
        self._stream.camera = self._calibration.camera
        return self._stream.frames()

    def result(self, item: FaceFrame | JpegFrame) -> Result:
        """See `Input`."""
        return self._result_of[type(item)](item)

    def change(self, **changes: Any) -> None:
        """See `Input`."""
        self._stream.change(**changes)
        self.parameters = self.parameters.changed(**changes)

    def reset(self) -> None:
        """See `Input`."""
        self._stream.reset()

    def stop(self) -> None:
        """See `Input`."""
        self._stream.close()

    def close(self) -> None:
        """See `Input`."""

    def free(self) -> None:
        """See `Input`."""
        self._stream.close()

    def _result_of_faces(self, frame: Any) -> Result:
        self._diagnostics.arrived(replaced_another=False)
        result = self._result(frame.taken_at, (frame.width, frame.height), frame.faces)
        self._recent[frame.taken_at] = result
        if len(self._recent) > JPEGS_LATE:
            del self._recent[next(iter(self._recent))]
        # For the next frame: this one was enriched with the previous calibration.
        self._stream.camera = self._calibration.camera
        return result

    def _result_of_jpeg(self, frame: Any) -> Result:
        if found := self._recent.get(frame.taken_at):
            return replace(found, jpeg=frame.jpeg)
        # Its own faces were replaced by later ones.
        latest = next(reversed(self._recent.values()), None)
        result = self._result(frame.taken_at, (0, 0) if latest is None else latest.size, [])
        return replace(result, jpeg=frame.jpeg, has_faces=False)

    def _result(self, taken_at: float, size: tuple[int, int], faces: Sequence[Face]) -> Result:
        camera = camera_of_images(size, self._stream.camera, self.parameters)
        stamp, frame_id = self._stamps.at(taken_at), self.parameters.frame_id
        return Result(stamp, frame_id, size, faces, camera, self.parameters)

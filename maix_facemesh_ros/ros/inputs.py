"""Where the node's results come from: a topic, a file, a live source or a MaixCAM.

An `Input` gives items in order and makes a `Result` of each. Images (images.py), whatever brings
them, go through `FaceMeshInput`: `Images.items` → `Images.read` → `FaceMesh.process` → `Result`.
A MaixCAM has found the faces itself: `FaceStreamInput` makes a `Result` of what it sends.

An input is made when the node is configured, and has its networks then. It is opened when the node
is activated, stopped and closed when it is deactivated, and may be opened again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from maix_facemesh_ros.analysis.enrichment import camera_of_images
from maix_facemesh_ros.analysis.stream_stamps import StampCheck
from maix_facemesh_ros.backends.registry import FACE_SOURCES
from maix_facemesh_ros.face import Face, FaceFrame, JpegFrame
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.face_stream import FaceStream
from maix_facemesh_ros.image import Levels
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.ros.diagnostic_keys import (
    FIND,
    LEVELS,
    READ,
)
from maix_facemesh_ros.ros.images import Images, InputContext, name_of_images, open_images
from maix_facemesh_ros.ros.node_process import COMPILE_TIMEOUT, START_TIMEOUT, start_bound
from maix_facemesh_ros.ros.own_stamps import OwnStamps
from maix_facemesh_ros.ros.result import Result

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
            SourceError: the source does not exist, or contains no readable image.
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
        levels, images = self._levels, self._images  # `close` may come at this moment.
        of_levels = {} if levels is None else {LEVELS: str(levels)}
        of_images = {} if images is None else images.facts
        return {**self._mesh.facts, **of_levels, **of_images}

    def open(self) -> None:
        """See `Input`."""
        self._calibration.wake()
        self._images = open_images(self._context)
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
        depth = None if self._images.depth is None else self._images.depth.images_for(image)
        faces = self._mesh.process(image, depth=depth)
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
            self._calibration.rest()
            self._blocked = [each for each in (*self._blocked, self._images) if each.is_blocked]
            self._images = None

    def free(self) -> None:
        """See `Input`."""
        self._mesh.close()

    @property
    def is_blocked(self) -> bool:
        """See `Input`."""
        return any(images.is_blocked for images in self._blocked)


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

"""The protocols of backends.

A `FaceDetector` processes images; a `FaceSource` delivers faces of its own camera's images.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.face import Face, FaceFrame, JpegFrame
from maix_facemesh_ros.image import Image
from maix_facemesh_ros.parameters import FaceMeshParameters, NodeParameters


class BackendError(FaceMeshError, RuntimeError):
    """A backend cannot run here; the message gives its requirements."""


class FaceDetector(Protocol):
    """Finds the faces of an image with their 478 landmarks."""

    @property
    def facts(self) -> dict[str, str]:
        """Facts about the backend by name, for diagnostics."""
        ...

    def detect(self, image: Image, parameters: FaceMeshParameters) -> list[Face]:
        """Return the faces of an image, largest first, with all their landmarks.

        With `parameters.tracking` the image follows the one of the last call, and each face
        carries its id.
        """
        ...

    def forget(self) -> None:
        """Reset: the next image starts a new stream."""
        ...

    def close(self) -> None:
        """Free the backend's resources."""
        ...


class FaceSource(Protocol):
    """Delivers the faces of its own camera's images."""

    #: The source as it may be shown.
    name: str

    @property
    def facts(self) -> dict[str, str]:
        """Facts about the backend and its connection by name, for diagnostics."""
        ...

    def frames(self) -> Iterator[FaceFrame | JpegFrame]:
        """Yield frames until the source is closed; iterate once, in one thread.

        Raises:
            SourceError: it is lost, and shall not be waited for.
        """
        ...

    def change(self, parameters: NodeParameters) -> None:
        """Let the following frames be found with these parameters; from any thread."""
        ...

    def close(self) -> None:
        """End the iteration, from any thread."""
        ...


class OpenedBackend(NamedTuple):
    """A face detector, and the reason for its choice."""

    #: Of `FACE_DETECTORS`.
    name: str
    #: Why `auto` has chosen it, in words; empty when the parameters name it.
    reason: str
    detector: FaceDetector

    @property
    def description(self) -> str:
        """The name and, if there is one, the reason, for people to read."""
        return f"{self.name} ({self.reason})" if self.reason else self.name

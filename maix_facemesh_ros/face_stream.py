"""`FaceStream`: faces from another machine, with the same enrichment as in `FaceMesh`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from maix_facemesh_ros.analysis.enrichment import Enrichment
from maix_facemesh_ros.analysis.stream_stamps import StreamClock
from maix_facemesh_ros.backends.registry import open_blendshapes, open_face_source
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.face import FaceFrame, JpegFrame
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.sources.base import Report

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from maix_facemesh_ros.parameters.keywords import StreamChanges


class FaceStream:
    """Yields the faces of a MaixCAM, frame by frame.

    Without ROS::

        parameters = NodeParameters(
            backend="maixcam", maixcam_address="maixcam-1a2b.local", maixcam_token="ABCD-..."
        )
        with FaceStream(parameters) as stream:
            for frame in stream.frames():
                ...
    """

    def __init__(
        self,
        parameters: NodeParameters,
        report: Report = lambda _notice: None,
    ) -> None:
        """Prepare the stream; `frames` connects.

        Args:
            parameters: those of a `backend` that is a face source.
            report: called with each fault, and when it is over.

        Raises:
            ParameterError: the `backend` is not a face source.
            SourceError: an invalid address or file.
            ModelError: a model file is missing or damaged.
        """
        self._parameters = parameters
        self.backend_name = parameters.backend
        self._source = open_face_source(parameters, report)
        self._enrichment = Enrichment(parameters, open_blendshapes)
        #: Camera model of the images, for `pose`; None: unknown. Used from the next image on.
        self.camera: CameraModel | None = None
        self._clock = StreamClock()

    @property
    def parameters(self) -> NodeParameters:
        """The parameters in force."""
        return self._parameters

    @property
    def name(self) -> str:
        """Name of the source of the faces."""
        return self._source.name

    @property
    def facts(self) -> dict[str, str]:
        """Facts about the backend and its connection by name, for diagnostics."""
        return {"backend": self.backend_name, **self._source.facts}

    def change(self, **changes: Unpack[StreamChanges]) -> None:
        """Change parameters at run time: all of them, or none if one is invalid.

        Raises:
            ParameterError: an unknown name, a bad value, or a parameter that is fixed at the start.
        """
        self._parameters = self._parameters.changed(**changes)
        self._source.change(self._parameters)

    def reset(self) -> None:
        """Start a new stream with the next frame, from any thread; see `FaceMesh.reset`."""
        self._clock.restart()

    def frames(self) -> Iterator[FaceFrame | JpegFrame]:
        """Yield frames until the stream is closed, always the latest.

        Raises:
            SourceError: the source is lost, and `maixcam_reconnect` is off.
        """
        for frame in self._source.frames():
            if isinstance(frame, FaceFrame):
                self._enrich(frame)
            yield frame

    def close(self) -> None:
        """End the stream; may be called from any thread."""
        self._source.close()

    def __enter__(self) -> FaceStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _enrich(self, frame: FaceFrame) -> None:
        time = self._clock.advance(frame.taken_at, self._parameters.id_timeout)
        if time.is_new_stream:
            self._enrichment.forget()
        size = (frame.width, frame.height)
        self._enrichment.enrich(frame.faces, time.seconds, size, self.camera, self._parameters)

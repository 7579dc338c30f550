"""Backends: where the networks run.

A `FaceDetector` answers pictures; a `FaceSource` gives faces of pictures that it takes itself. Each
backend is one module with a class that is one of the two, and one line in the tables here.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple, Protocol, cast

from maix_facemesh_ros.face import Face, FaceFrame, JpegFrame, Picture
from maix_facemesh_ros.missing_packages import how_to_install
from maix_facemesh_ros.parameters import FaceMeshParameters, NodeParameters
from maix_facemesh_ros.sources.open import Report


class _Backend(NamedTuple):
    """Where a backend's class is; imported only when it is chosen."""

    module: str
    class_name: str
    #: What it needs that this package does not bring, and how to get it.
    needs: str


FACE_DETECTORS = {
    "onnx": _Backend(
        "maix_facemesh_ros.backends.onnx",
        "OnnxFaceDetector",
        needs="onnxruntime and OpenCV",
    ),
    "maix": _Backend(
        "maix_facemesh_ros.backends.maix",
        "MaixFaceDetector",
        needs="numpy, OpenCV and MaixPy, which the system image of a MaixCAM2 has",
    ),
}
#: backend: its module and class, imported only when it is chosen.
FACE_SOURCES = {
    "maixcam": ("maix_facemesh_ros.backends.maixcam", "MaixCamFaceSource"),
}


class BackendError(RuntimeError):
    """A backend cannot run here; the message says what it needs."""


class FaceDetector(Protocol):
    """Finds the faces of a picture with their 478 landmarks."""

    @property
    def facts(self) -> dict[str, str]:
        """What runs where, by name, for people to read."""
        ...

    def detect(self, picture: Picture, parameters: FaceMeshParameters, *, bgr: bool) -> list[Face]:
        """Return the faces of a uint8 (H, W, 3) picture, largest first, with all their landmarks.

        With `parameters.tracking` the picture follows the one of the last call, and each face
        carries its id.
        """
        ...

    def forget(self) -> None:
        """Forget the pictures before: the next one starts a new stream."""
        ...

    def close(self) -> None:
        """Free what the backend holds."""
        ...


class FaceSource(Protocol):
    """Gives the faces of pictures that it takes itself."""

    #: The source as it may be shown.
    name: str

    @property
    def facts(self) -> dict[str, str]:
        """What runs where, and how well it is connected, by name, for people to read."""
        ...

    def frames(self) -> Iterator[FaceFrame | JpegFrame]:
        """Give frames as they come until the source is closed; to be iterated once, in one thread.

        Raises:
            SourceError: it is lost, and shall not be waited for.
        """
        ...

    def change(self, parameters: NodeParameters) -> None:
        """Let the following frames be found with these parameters; from any thread."""
        ...

    def close(self) -> None:
        """Give no more frames, from any thread."""
        ...


class OpenedBackend(NamedTuple):
    """A face detector, and how it came to be chosen."""

    #: Of `FACE_DETECTORS`.
    name: str
    #: Why `auto` has chosen it, in words; empty when the parameters name it.
    reason: str
    detector: FaceDetector

    @property
    def description(self) -> str:
        """The name and, if there is one, the reason, for people to read."""
        return f"{self.name} ({self.reason})" if self.reason else self.name


def open_backend(parameters: FaceMeshParameters) -> OpenedBackend:
    """Open the backend that the parameters ask for.

    `auto` is maix on a MaixCAM and onnx elsewhere. On a MaixCAM where maix cannot run, it does not
    become onnx: that takes the processor of the device many times as long, so it is for the user to
    say.

    Raises:
        BackendError: it cannot run here, or it takes no pictures.
        ModelError: a model file is missing, damaged, or not the network it should be.
    """
    name, reason = parameters.backend, ""
    if name in FACE_SOURCES:
        raise BackendError(
            f"backend {name!r} takes no pictures: it gives the faces of a device's own camera. "
            "Open it with FaceStream or facemesh_node"
        )
    if name == "auto":
        name, reason = _choose()
    backend = FACE_DETECTORS[name]
    try:
        backend_class = getattr(import_module(backend.module), backend.class_name)
        return OpenedBackend(name, reason, cast(FaceDetector, backend_class(parameters)))
    except ImportError as error:
        raise BackendError(
            f"{_chosen(name, reason)} cannot run here: {error}. It needs {backend.needs}"
            + _advice(error)
        ) from error
    except BackendError as error:
        instead = ""
        if reason and name != "onnx":
            instead = "; to compute on the processor instead, set backend to onnx"
        raise BackendError(f"{_chosen(name, reason)} cannot run here: {error}{instead}") from error


def _advice(error: ImportError) -> str:
    advice = how_to_install((error.name or "").partition(".")[0])
    return f": {advice}" if advice else ""


def _chosen(name: str, reason: str) -> str:
    return f"backend {name!r}" + (f", chosen because {reason}," if reason else "")


def _choose() -> tuple[str, str]:
    """Return the backend for this machine, and why.

    Raises:
        BackendError: it can be told on the main thread only.
    """
    if find_spec("maix") is None:
        return "onnx", "this is no MaixCAM: there is no module maix"
    # Imported late, as it imports from here.
    from maix_facemesh_ros.backends.maix.import_maix import check_thread, import_maix, words_of

    check_thread()
    try:
        device = str(import_maix().sys.device_name())
    except BackendError as error:
        words = words_of(error.__cause__ or error)
        return "onnx", f"this is taken for no MaixCAM: module maix cannot be imported ({words})"
    if not device.lower().startswith("maixcam"):
        return "onnx", f"this is no MaixCAM: MaixPy calls it {device!r}"
    return "maix", f"this is a {device}"


def open_face_source(parameters: NodeParameters, report: Report) -> FaceSource:
    """Open the face source that the parameters ask for.

    Args:
        parameters: with a `backend` of `FACE_SOURCES`.
        report: is told of what goes wrong while the source runs, and when it is right again.

    Raises:
        SourceError: an address or file that cannot be right.
    """
    module, class_name = FACE_SOURCES[parameters.backend]
    return cast(FaceSource, getattr(import_module(module), class_name)(parameters, report))

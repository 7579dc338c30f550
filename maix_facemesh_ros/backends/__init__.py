"""Backends: where the networks run. Each is one module with a class that is a `FaceDetector`."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from maix_facemesh_ros.face import Face, Picture
from maix_facemesh_ros.parameters import FaceMeshParameters

#: backend: its module and class, imported only when it is chosen.
BACKENDS = {"onnx": ("maix_facemesh_ros.backends.onnx", "OnnxFaceDetector")}


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


def open_backend(parameters: FaceMeshParameters) -> tuple[str, FaceDetector]:
    """Open the backend that the parameters ask for; returns its name and the backend.

    Raises:
        BackendError: it cannot run here.
        ModelError: a model file is missing, damaged, or not the network it should be.
    """
    name = "onnx" if parameters.backend == "auto" else parameters.backend
    module, class_name = BACKENDS[name]
    try:
        backend_class = getattr(import_module(module), class_name)
    except ImportError as error:
        raise BackendError(
            f"backend {name!r} cannot run here: {error}. It needs onnxruntime and OpenCV: "
            "pip install onnxruntime opencv-python-headless"
        ) from error
    return name, cast(FaceDetector, backend_class(parameters))

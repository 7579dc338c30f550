"""The backends by name: each is one class of a module, imported only when it is chosen."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple, cast

from maix_facemesh_ros.analysis.enrichment import ExpressionScorer
from maix_facemesh_ros.backends.base import BackendError, FaceDetector, FaceSource, OpenedBackend
from maix_facemesh_ros.backends.maix.import_maix import check_thread, import_maix, words_of
from maix_facemesh_ros.missing_packages import how_to_install
from maix_facemesh_ros.parameters import FaceMeshParameters, NodeParameters, ParameterError
from maix_facemesh_ros.sources.base import ImageSource, Report
from maix_facemesh_ros.sources.open import open_source


class _Backend(NamedTuple):
    """Where a backend's class is; imported only when it is chosen."""

    module: str
    class_name: str
    #: Its requirements beyond this package, and how to install them.
    needs: str


FACE_DETECTORS = {
    "onnx": _Backend(
        "maix_facemesh_ros.backends.onnx.tracker",
        "FaceTracker",
        needs="onnxruntime and OpenCV",
    ),
    "maix": _Backend(
        "maix_facemesh_ros.backends.maix.detector",
        "MaixFaceDetector",
        needs="numpy, OpenCV and MaixPy, which the system image of a MaixCAM2 has",
    ),
}

#: backend: its module and class, imported only when it is chosen.
FACE_SOURCES = {
    "maixcam": ("maix_facemesh_ros.backends.maixcam.source", "MaixCamFaceSource"),
}


def open_backend(parameters: FaceMeshParameters) -> OpenedBackend:
    """Open the backend that the parameters ask for.

    `auto` selects maix on a MaixCAM and onnx elsewhere. On a MaixCAM where maix cannot run, `auto`
    fails instead of selecting onnx: the device's CPU is many times slower, so the user has to
    choose.

    Raises:
        BackendError: the backend cannot run here, or does not process images.
        ModelError: a model file is missing, damaged, or of another network.
    """
    name, reason = parameters.backend, ""
    if name in FACE_SOURCES:
        raise BackendError(
            f"backend {name!r} takes no images: it gives the faces of a device's own camera. "
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
    """Return the backend for this machine, and why; no reason where there is no MaixPy at all.

    Raises:
        BackendError: called on another thread than the main thread.
    """
    if find_spec("maix") is None:
        return "onnx", ""
    check_thread()
    try:
        device = str(import_maix().sys.device_name())
    except BackendError as error:
        words = words_of(error.__cause__ or error)
        return "onnx", f"this is taken for no MaixCAM: module maix cannot be imported ({words})"
    if not device.lower().startswith("maixcam"):
        return "onnx", f"this is not a MaixCAM: MaixPy calls it {device!r}"
    return "maix", f"this is a {device}"


def open_face_source(parameters: NodeParameters, report: Report) -> FaceSource:
    """Open the face source that the parameters ask for.

    Args:
        parameters: with a `backend` of `FACE_SOURCES`.
        report: called with each fault while the source runs, and when it is over.

    Raises:
        ParameterError: `backend` is not one of them.
        SourceError: an address or file that cannot be right.
    """
    if parameters.backend not in FACE_SOURCES:
        raise ParameterError(
            f"backend is {parameters.backend!r}: give {' or '.join(FACE_SOURCES)} for a stream of "
            "faces from a device, or use FaceMesh for images"
        )
    module, class_name = FACE_SOURCES[parameters.backend]
    return cast(FaceSource, getattr(import_module(module), class_name)(parameters, report))


def open_image_source(parameters: NodeParameters, report: Report) -> ImageSource:
    """Open the image source that the parameters name; `maix` is the camera of this MaixCAM.

    Raises:
        SourceError: the source does not exist, or contains no readable image.
    """
    if parameters.source == "maix":
        # Imported here, because a MaixCAM is the only machine that has this camera.
        from maix_facemesh_ros.backends.maix.camera import MaixCamera

        return MaixCamera(report)
    return open_source(parameters.source, loop=parameters.source_loop, report=report)


def open_blendshapes() -> ExpressionScorer:
    """Load the blendshape network; it runs on onnxruntime with every backend.

    Raises:
        BackendError: onnxruntime cannot run here.
        ModelError: its file is missing or damaged.
    """
    # Imported at its first use: onnxruntime takes time and memory.
    from maix_facemesh_ros.backends.onnx.blendshapes import BlendshapesNetwork

    return BlendshapesNetwork()

"""Face detection and face mesh for robots: boxes and 478 landmarks, with or without ROS 2.

The ROS 2 node is in `maix_facemesh_ros.ros`, which this package does not import.
"""

from importlib import import_module
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

# In a checkout this folder stands before the installed package, which alone has the messages.
__path__ = extend_path(__path__, __name__)

from maix_facemesh_ros.version import read_version

if TYPE_CHECKING:
    from maix_facemesh_ros.public_names import *
else:
    # Imported with their first use (PEP 562): help and version of a program need none of them.
    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.public_names"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__version__ = read_version()

__all__ = [
    "BLENDSHAPE_NAMES", "SUB_5", "SUB_68", "SUB_146", "ArgumentError", "ArgumentTypeError",
    "BackendError", "CalibrationError", "CameraModel", "ClosedError", "DepthImage", "Face",
    "FaceFrame", "FaceMesh", "FaceMeshError", "FaceMeshParameters", "FaceStream", "Gaze", "Image",
    "ImageError", "JpegFrame", "LandmarkIndexError", "ModelError", "NodeParameters",
    "ParameterError", "SourceError", "Stamp", "__version__", "draw_face", "get_sub_landmarks",
]  # fmt: skip

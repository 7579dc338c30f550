"""Face detection and face mesh for robots: boxes and 478 landmarks, with or without ROS 2.

The ROS 2 node is in `maix_facemesh_ros.ros`, which this package does not import.
"""

from pkgutil import extend_path

# In a checkout this folder stands before the installed package, which alone has the messages.
__path__ = extend_path(__path__, __name__)

from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.camera.model import CalibrationError, CameraModel
from maix_facemesh_ros.depth_image import DepthImage
from maix_facemesh_ros.drawing import draw_face
from maix_facemesh_ros.errors import (
    ArgumentError,
    ArgumentTypeError,
    ClosedError,
    FaceMeshError,
    LandmarkIndexError,
)
from maix_facemesh_ros.face import Face, FaceFrame, Gaze, JpegFrame
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.face_stream import FaceStream
from maix_facemesh_ros.image import Image, ImageError, Stamp
from maix_facemesh_ros.mesh.blendshape_names import BLENDSHAPE_NAMES
from maix_facemesh_ros.mesh.landmark_subsets import SUB_5, SUB_68, SUB_146, get_sub_landmarks
from maix_facemesh_ros.model_files import ModelError
from maix_facemesh_ros.parameters import FaceMeshParameters, NodeParameters, ParameterError
from maix_facemesh_ros.sources.base import SourceError
from maix_facemesh_ros.version import read_version

__version__ = read_version()
__all__ = [
    "BLENDSHAPE_NAMES", "SUB_5", "SUB_68", "SUB_146", "ArgumentError", "ArgumentTypeError",
    "BackendError", "CalibrationError", "CameraModel", "ClosedError", "DepthImage", "Face",
    "FaceFrame", "FaceMesh", "FaceMeshError", "FaceMeshParameters", "FaceStream", "Gaze", "Image",
    "ImageError", "JpegFrame", "LandmarkIndexError", "ModelError", "NodeParameters",
    "ParameterError", "SourceError", "Stamp", "__version__", "draw_face", "get_sub_landmarks",
]  # fmt: skip

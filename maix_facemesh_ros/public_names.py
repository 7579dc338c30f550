"""The public names, each from the module that it is defined in.

The package imports this module with the first use of one of them. A program that prints its help or
its version needs none, and starts without NumPy and OpenCV.
"""

from __future__ import annotations

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
from maix_facemesh_ros.mesh.landmark_subsets import SUB_5, SUB_68, SUB_146
from maix_facemesh_ros.mesh.sub_landmarks import get_sub_landmarks
from maix_facemesh_ros.model_files import ModelError
from maix_facemesh_ros.parameters import FaceMeshParameters, NodeParameters, ParameterError
from maix_facemesh_ros.sources.base import SourceError

__all__ = [
    "BLENDSHAPE_NAMES", "SUB_5", "SUB_68", "SUB_146", "ArgumentError", "ArgumentTypeError",
    "BackendError", "CalibrationError", "CameraModel", "ClosedError", "DepthImage", "Face",
    "FaceFrame", "FaceMesh", "FaceMeshError", "FaceMeshParameters", "FaceStream", "Gaze", "Image",
    "ImageError", "JpegFrame", "LandmarkIndexError", "ModelError", "NodeParameters",
    "ParameterError", "SourceError", "Stamp", "draw_face", "get_sub_landmarks",
]  # fmt: skip

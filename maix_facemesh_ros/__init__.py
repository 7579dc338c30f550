"""Faces for robots: boxes and 478 landmarks with depth, from any image, with or without ROS 2.

`FaceMesh` is the way in. The ROS 2 node is in `maix_facemesh_ros.ros`, which this package does not
import.
"""

from pkgutil import extend_path

# In a checkout this folder stands before the installed package, which alone has the generated
# messages.
__path__ = extend_path(__path__, __name__)

from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.drawing import draw_face
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.mesh.blendshape_names import BLENDSHAPE_NAMES
from maix_facemesh_ros.mesh.landmark_subsets import (
    SUB_5,
    SUB_68,
    SUB_146,
    get_sub_landmarks,
)
from maix_facemesh_ros.model_files import ModelError
from maix_facemesh_ros.parameters import FaceMeshParameters, ParameterError

__all__ = [
    "BLENDSHAPE_NAMES",
    "SUB_5",
    "SUB_68",
    "SUB_146",
    "BackendError",
    "Face",
    "FaceMesh",
    "FaceMeshParameters",
    "ModelError",
    "ParameterError",
    "draw_face",
    "get_sub_landmarks",
]

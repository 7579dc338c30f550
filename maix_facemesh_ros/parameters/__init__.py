"""Every parameter, declared once: default, description, range, and whether it changes at run time.

The Python API, the node, `config/facemesh.yaml` and the block in the README use these tables.
"""

from maix_facemesh_ros.parameters.face_mesh import FaceMeshParameters
from maix_facemesh_ros.parameters.node import NodeParameters, ViewParameters
from maix_facemesh_ros.parameters.table import (
    Parameter,
    ParameterError,
    ParameterTable,
    parameters_of,
    unknown_parameter,
)

__all__ = [
    "FaceMeshParameters",
    "NodeParameters",
    "Parameter",
    "ParameterError",
    "ParameterTable",
    "ViewParameters",
    "parameters_of",
    "unknown_parameter",
]

"""Every parameter, declared once: default, meaning, range, and whether it may change while running.

The Python API, the node, `config/facemesh.yaml` and the table in the README all come from here.
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

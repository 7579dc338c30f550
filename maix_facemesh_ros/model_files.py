"""Where the package's model files are: in a checkout, a colcon install or a wheel."""

from __future__ import annotations

import sys
from pathlib import Path

from maix_facemesh_ros.errors import FaceMeshError

PACKAGE = "maix_facemesh_ros"


class ModelError(FaceMeshError, RuntimeError):
    """A model file is missing, damaged, or not the network it should be."""


def find_share_file(*relative: str) -> Path | None:
    """Return a file of `share/maix_facemesh_ros`, such as ("models", "x.onnx"); None if absent.

    Looks upwards from this package, because an install has `<prefix>/share` above its Python folder
    and a checkout has `models/`, `launch/` and `config/` next to it; then in this interpreter's
    prefix.
    """
    above = Path(__file__).absolute().parents
    for folder in (
        *above[1:2],
        *(parent / "share" / PACKAGE for parent in (*above[1:], Path(sys.prefix))),
    ):
        candidate = folder.joinpath(*relative)
        if candidate.is_file():
            return candidate
    return None


def find_model(name: str) -> Path:
    """Return the path of a model file of this package.

    Raises:
        ModelError: the file is not installed.
    """
    found = find_share_file("models", name)
    if found is None:
        raise ModelError(
            f"the model file models/{name} is not installed with {PACKAGE}: install the package "
            "again, or in a checkout restore it with 'git checkout -- models' or 'make models'"
        )
    return found

"""What landmarks tell beyond where they are, the same for every backend: no picture is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maix_facemesh_ros.face import Face
from maix_facemesh_ros.one_euro import LandmarkSmoother
from maix_facemesh_ros.parameters import FaceMeshParameters

if TYPE_CHECKING:
    from maix_facemesh_ros.backends.onnx.blendshapes import BlendshapesNetwork


class Enrichment:
    """Fills in the faces of one stream of pictures, and keeps what is wanted of them."""

    def __init__(self, parameters: FaceMeshParameters) -> None:
        """Load what the parameters ask for.

        Raises:
            ModelError: a model file is missing or damaged.
        """
        self._smoother = LandmarkSmoother()
        self._blendshapes: BlendshapesNetwork | None = None
        if parameters.blendshapes:
            self._load_blendshapes()

    def forget(self) -> None:
        """Forget the pictures before: the next one starts a new stream."""
        self._smoother.forget()

    def enrich(self, faces: list[Face], stamp: float, parameters: FaceMeshParameters) -> None:
        """Work on the faces of the next picture, in place.

        Args:
            faces: with all 478 landmarks, or none.
            stamp: the picture's time in seconds.
            parameters: those in force for this picture.
        """
        if parameters.tracking and parameters.smoothing == "one_euro":
            self._smoother.smooth(faces, stamp)
        if parameters.blendshapes:
            network = self._load_blendshapes()
            for face in faces:
                face.blendshapes = network.score(face.points) if len(face.points) else None
        for face in faces:
            _keep_wanted_points(face, parameters)

    def _load_blendshapes(self) -> BlendshapesNetwork:
        if self._blendshapes is None:
            # Loaded when it is first wanted, and from the onnx backend's module, the home of
            # onnxruntime.
            from maix_facemesh_ros.backends.onnx.blendshapes import BlendshapesNetwork

            self._blendshapes = BlendshapesNetwork()
        return self._blendshapes


def _keep_wanted_points(face: Face, parameters: FaceMeshParameters) -> None:
    wanted = parameters.landmark_indices
    if wanted is not None and len(face.points):
        face.indices = np.array(wanted, np.uint16)
        face.points = face.points[face.indices]
        face.points_z = face.points_z[face.indices]
        face.points_rel = face.points_rel[face.indices]
    if not parameters.landmarks_abs:
        face.points = face.points[:0]
    if not parameters.landmarks_rel:
        face.points_rel = face.points_rel[:0]

"""MediaPipe's blendshape network: landmarks in, 52 expression scores out; it needs no image."""

from __future__ import annotations

import numpy as np

from maix_facemesh_ros.backends.onnx.network import Network
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.mesh.landmark_subsets import SUB_146
from maix_facemesh_ros.model_files import find_model


class BlendshapesNetwork:
    """face_blendshapes of MediaPipe's FaceLandmarker (face_blendshapes_graph.cc)."""

    def __init__(self) -> None:
        self._network = Network(find_model("face_blendshapes.onnx"), kind="blendshapes")
        self._indices = np.array(SUB_146)

    def score(self, points: FloatArray) -> FloatArray:
        """Return (52,) float32 scores, 0..1, in the order of `BLENDSHAPE_NAMES`.

        Args:
            points: (478, 2) landmarks in pixels of the image.
        """
        (scores,) = self._network.run(points[self._indices][np.newaxis])
        return scores.reshape(-1)

"""MediaPipe's face landmark network: a ROI of the image in, 478 landmarks with depth out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from maix_facemesh_ros.backends.onnx.network import CPU, Network, image_bytes
from maix_facemesh_ros.backends.onnx.roi import Roi, crop, project_landmarks
from maix_facemesh_ros.backends.onnx.variants import model_file
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Image


@dataclass(frozen=True, slots=True, eq=False)
class FaceLandmarks:
    """Result of the landmark network for one ROI."""

    #: Presence score: the ROI contains a face, 0..1.
    presence: float
    #: (478, 2) pixels of the source image.
    points: FloatArray
    #: (478,) depth in pixels, larger = closer.
    points_z: FloatArray
    #: (478, 2) pixels of the network's input.
    points_rel: FloatArray


class FaceLandmarksNetwork:
    """The landmark network of MediaPipe's FaceLandmarker; may be called from several threads."""

    #: Width and height of the input in pixels.
    SIZE = 256

    def __init__(self, provider: str = CPU) -> None:
        path = model_file("face_landmarks", provider)
        self._network = Network(path, kind="face_landmarks", provider=provider)
        #: Name of the model's file.
        self.file_name = path.name
        #: onnxruntime's name of the execution provider.
        self.provider = self._network.provider
        # From now on the networks' memory grows in blocks that can be freed.
        self.give_back_memory()

    def find(self, image: Image, roi: Roi) -> FaceLandmarks:
        """Find the landmarks of the face in a ROI of an image."""
        # A face at the image's edge keeps its landmarks only with the edge's pixels repeated
        # outwards.
        face_crop = crop(image.pixels, roi, (self.SIZE, self.SIZE), cv2.BORDER_REPLICATE)
        output, presence = self._network.run(image_bytes(face_crop, image.order))
        landmarks = output.reshape(-1, 3)
        points, points_z = project_landmarks(landmarks, self.SIZE, roi)
        return FaceLandmarks(
            presence=_probability(float(presence[0, 0])),
            points=points,
            points_z=points_z,
            points_rel=landmarks[:, :2].copy(),
        )

    def give_back_memory(self) -> None:
        """Free the memory of other networks' runs; takes as long as one run of this network."""
        self._network.run_and_give_back_memory(np.zeros((1, self.SIZE, self.SIZE, 3), np.uint8))


def _probability(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(logit, -80.0), 80.0)))

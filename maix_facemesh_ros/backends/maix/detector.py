"""The maix backend: MaixPy's networks on the NPU of the MaixCAM that this process runs on."""

from __future__ import annotations

from typing import Any

import numpy as np

from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.backends.maix.import_maix import import_maix, words_of
from maix_facemesh_ros.backends.maix_faces import face_of
from maix_facemesh_ros.errors import ClosedError
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Image, ImageError, Pixels
from maix_facemesh_ros.maixcam_shared.maix_face import Thresholds
from maix_facemesh_ros.maixcam_shared.npu_faces import NpuError, NpuFaces
from maix_facemesh_ros.parameters import FaceMeshParameters


class MaixFaceDetector:
    """Finds faces and their landmarks on the NPU, for images of any size.

    MaixPy has its own face detector and its own rules, so some parameters mean nothing here:
    `detector` and `min_face_size` (it is MaixPy's YOLO face network, with a fixed input),
    `tracking` and `detect_interval` (the detector runs on every image, and its faces have no id),
    `threads` (the NPU does one network at a time).
    """

    def __init__(self, parameters: FaceMeshParameters) -> None:
        """Import MaixPy and load both networks; on the main thread.

        Raises:
            BackendError: this is not a MaixCAM, MaixPy is too old, or a model file is missing or
                cannot be loaded.
        """
        self._maix = import_maix()
        try:
            self._npu: NpuFaces | None = NpuFaces(
                self._maix, parameters.detector_model, parameters.landmarks_model
            )
        except NpuError as error:
            raise BackendError(str(error)) from error
        self.facts = self._npu.facts

    def forget(self) -> None:
        """See `backends.FaceDetector`: each image is independent here."""

    def close(self) -> None:
        """See `backends.FaceDetector`."""
        # MaixPy frees a network with the last reference to it.
        self._npu = None

    def detect(self, image: Image, parameters: FaceMeshParameters) -> list[Face]:
        """See `backends.FaceDetector`.

        Raises:
            ImageError: MaixPy has failed on this image; the next one may do.
            ClosedError: the backend is closed.
        """
        if self._npu is None:
            raise ClosedError("the maix backend is closed")
        # MaixPy works in these very bytes, and would take a copy of its own, gone too early, if
        # they did not lie side by side.
        pixels = np.ascontiguousarray(image.pixels)
        try:
            maix_image = self._image(pixels, self._npu, bgr=image.order == "bgr")
            found = self._npu.find(maix_image, _thresholds(parameters))
        except RuntimeError as error:
            raise ImageError(f"MaixPy has failed on it: {words_of(error)}") from error
        return [face_of(face, self._npu.crop_size) for face in found]

    def _image(self, pixels: Pixels, npu: NpuFaces, *, bgr: bool) -> Any:
        """Return a `maix.image.Image` for the networks; `pixels` must outlive it."""
        maix_image = self._maix.image.cv2image(pixels, bgr=bgr, copy=False)
        # Asked for its own format, `to_format` raises.
        if maix_image.format() == npu.image_format:
            return maix_image
        return maix_image.to_format(npu.image_format)


def _thresholds(parameters: FaceMeshParameters) -> Thresholds:
    return Thresholds(
        detect_conf_th=parameters.detect_conf_th,
        detect_iou_th=parameters.detect_iou_th,
        landmarks_conf_th=parameters.landmarks_conf_th,
        max_face_num=parameters.max_face_num,
        require_landmarks=parameters.require_landmarks,
    )

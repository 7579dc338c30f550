"""Everything computed from landmarks alone (ids, smoothing, pose, gaze, expression).

All backends share it. A depth image, where there is one, gives the size of the heads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np

from maix_facemesh_ros.analysis.gaze import estimate_gaze
from maix_facemesh_ros.analysis.head_pose import HeadPoseEstimator
from maix_facemesh_ros.analysis.head_scale import FindDepth, HeadScales
from maix_facemesh_ros.analysis.identity import FaceIds
from maix_facemesh_ros.analysis.smoothing import LandmarkSmoother, OneEuro
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.face import Face, FloatArray
from maix_facemesh_ros.image_rotation import turn_points
from maix_facemesh_ros.parameters import FaceMeshParameters


class ExpressionScorer(Protocol):
    """Computes expression scores from landmarks."""

    def score(self, points: FloatArray) -> FloatArray:
        """Return (52,) scores, 0 to 1, of (478, 2) landmarks in pixels of the image."""
        ...


class Enrichment:
    """Adds computed values to the faces of one stream of images, and selects their output."""

    def __init__(
        self, parameters: FaceMeshParameters, open_blendshapes: Callable[[], ExpressionScorer]
    ) -> None:
        """Prepare the features that are on.

        Args:
            parameters: those of the start.
            open_blendshapes: loads the blendshape network; called when `blendshapes` is first on.

        Raises:
            ModelError: a model file is missing or damaged.
        """
        self._ids: FaceIds | None = FaceIds() if parameters.has_ids else None
        self._smoother = LandmarkSmoother()
        self._pose: HeadPoseEstimator | None = None
        self._head_scales = HeadScales()
        self._open_blendshapes = open_blendshapes
        self._blendshapes: ExpressionScorer | None = None
        if parameters.blendshapes:
            self._load_blendshapes()

    def forget(self) -> None:
        """Reset: the next image starts a new stream."""
        if self._ids is not None:
            self._ids.forget()
        self._smoother.forget()
        self._head_scales.forget()

    def enrich(
        self,
        faces: list[Face],
        stamp: float,
        size: tuple[int, int],
        camera: CameraModel | None,
        parameters: FaceMeshParameters,
        find_depth: FindDepth | None = None,
    ) -> None:
        """Add the computed values to the faces of the next image, in place.

        Args:
            faces: with all 478 landmarks, or none.
            stamp: the image's time in seconds.
            size: the image's width and height in pixels.
            camera: model of the camera that took the image; None: unknown.
            parameters: those in force for this image.
            find_depth: returns the image's depth image, now or later; None: there is none.
        """
        if parameters.has_ids:
            self._ids = self._ids or FaceIds()
            self._ids.assign(faces, stamp, parameters.id_timeout)
            if parameters.smoothing == "one_euro":
                self._smoother.smooth(faces, stamp, OneEuro.from_parameters(parameters))
        if parameters.pose:
            self._find_poses(faces, size, camera, parameters)
            if find_depth is not None:
                self._head_scales.apply(faces, size, find_depth)
        if parameters.blendshapes:
            network = self._load_blendshapes()
            quarters = parameters.rotation // 90
            for face in faces:
                # The network knows upright faces.
                upright = turn_points(face.points, quarters, size) if quarters else face.points
                face.blendshapes = network.score(upright) if len(face.points) else None
        for face in faces:
            _keep_wanted_points(face, parameters)

    def _find_poses(
        self,
        faces: list[Face],
        size: tuple[int, int],
        camera: CameraModel | None,
        parameters: FaceMeshParameters,
    ) -> None:
        camera = camera_of_images(size, camera, parameters)
        if camera is None:
            return
        if (
            self._pose is None
            or self._pose.camera is not camera
            or self._pose.face_scale != parameters.face_scale
        ):
            self._pose = HeadPoseEstimator(camera, parameters.face_scale)
        for face in faces:
            if len(face.points):
                _find_head(face, self._pose, with_gaze=parameters.gaze)

    def _load_blendshapes(self) -> ExpressionScorer:
        if self._blendshapes is None:
            self._blendshapes = self._open_blendshapes()
        return self._blendshapes


def camera_of_images(
    size: tuple[int, int], camera: CameraModel | None, parameters: FaceMeshParameters
) -> CameraModel | None:
    """Return the camera model for this image size: the calibrated or the assumed one.

    None without both, and for a calibration of another image size, which would give wrong
    directions.
    """
    if camera is None and parameters.assumed_field_of_view:
        return _assumed_camera(*size, parameters.assumed_field_of_view)
    if camera is None or (camera.width, camera.height) != size:
        return None
    return camera


def _find_head(face: Face, estimator: HeadPoseEstimator, *, with_gaze: bool) -> None:
    rays = estimator.camera.rays(face.points)
    head = estimator.estimate(face.points, face.points_z, rays)
    if head is not None:
        face.pose, face.points_3d = head.pose, head.points_3d
        face.head_scale = estimator.face_scale
        if with_gaze:
            face.gaze = estimate_gaze(
                face.points, rays, head.pose, estimator.face_scale, face.eye_contrast
            )


@lru_cache(maxsize=1)
def _assumed_camera(width: int, height: int, field_of_view: float) -> CameraModel:
    return CameraModel.from_field_of_view(width, height, field_of_view)


def _keep_wanted_points(face: Face, parameters: FaceMeshParameters) -> None:
    wanted = parameters.landmark_indices
    if wanted is not None and len(face.points):
        face.indices = np.array(wanted, np.uint16)
        face.points = face.points[face.indices]
        face.points_z = face.points_z[face.indices]
        face.points_rel = face.points_rel[face.indices]
        if face.points_3d is not None:
            face.points_3d = face.points_3d[face.indices]
    if not parameters.landmarks_abs:
        face.points = face.points[:0]
    if not parameters.landmarks_rel:
        face.points_rel = face.points_rel[:0]

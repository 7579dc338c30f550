"""The keywords of `FaceMesh` and of `change`, for type checkers and editors.

Written by tools/write_parameter_docs.py from the parameter tables, which have their meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict


class FaceMeshChanges(TypedDict, total=False):
    """Keywords of `FaceMesh.change`."""

    detect_conf_th: float
    detect_iou_th: float
    landmarks_conf_th: float
    max_face_num: int
    min_face_size: float
    any_roll: bool
    detect_interval: int
    landmarks_interval: int
    ids: bool
    id_timeout: float
    smoothing: str
    one_euro_min_cutoff: float
    one_euro_beta: float
    one_euro_derivate_cutoff: float
    require_landmarks: bool
    landmarks_abs: bool
    landmarks_rel: bool
    landmarks_num: int
    landmarks_indices: Iterable[int]
    blendshapes: bool
    pose: bool
    gaze: bool
    face_scale: float
    assumed_field_of_view: float


class FaceMeshKeywords(FaceMeshChanges, total=False):
    """Keywords of `FaceMesh`."""

    backend: str
    detector: str
    detector_model: str
    landmarks_model: str
    rotation: int
    tracking: bool
    execution_provider: str
    threads: int


class StreamChanges(FaceMeshChanges, total=False):
    """Keywords of `FaceStream.change`."""

    tf: bool
    frame_prefix: str
    frame_limit: int
    marker_lifetime: float
    marker_depth: float
    maixcam_jpeg: bool
    maixcam_jpeg_rate: float
    maixcam_jpeg_quality: int

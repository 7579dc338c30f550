"""The true size of heads, from depth images.

An image does not distinguish a small near head from a large far one, so `head_pose` assumes the
size. All of its lengths are proportional to that size: where a depth image shows a landmark at 0.9
of the distance that the pose has, the head has 0.9 of the assumed size.

Each reliable landmark that faces the camera gives such a ratio. Hair, hands, glasses and the
background at the edges of the face have other ratios than the face, which is where most of them
agree: the middle of the densest interval is taken. A head keeps its size, so the ratios of the last
images are averaged, and an image without depth has the size of the images before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.depth_image import DepthImage
from maix_facemesh_ros.face import DoubleArray, Face
from maix_facemesh_ros.mesh.canonical_face import VERTICES
from maix_facemesh_ros.mesh.connections import (
    FACEMESH_FACE_OVAL,
    FACEMESH_LEFT_EYE,
    FACEMESH_LEFT_EYEBROW,
    FACEMESH_LIPS,
    FACEMESH_RIGHT_EYE,
    FACEMESH_RIGHT_EYEBROW,
    FACEMESH_TESSELATION,
    FACEMESH_TRIANGLES,
)

#: Returns the depth image of one image; None while it may still come, and where there is none.
FindDepth = Callable[[], DepthImage | None]

#: Least cosine of the angle between a landmark's normal and the line to the camera: 60 degrees.
LEAST_FACING: Final = 0.5

#: Half of the interval of ratios that are the face: twice the noise of a depth camera, and the
#: meters by which the mesh and a face differ.
NOISE: Final = 0.04
RELIEF: Final = 0.005

#: Least number of pixels in that interval, and least part of all that were measured.
LEAST_PIXELS: Final = 12
LEAST_PART: Final = 0.4

#: Sizes of heads, as in the parameter `face_scale`; others are errors of the measurement.
SMALLEST, LARGEST = 0.3, 3.0

#: Number of images in the running average of a head's size.
AVERAGED: Final = 15
#: A size that differs from the average by more than this part is not used, unless there are so
#: many in a row.
OUTLIER: Final = 0.15
OUTLIERS: Final = 5

#: Number of images that wait for their depth image, and of heads whose size is known.
WAITING_IMAGES: Final = 4
KNOWN_HEADS: Final = 100


def _normals() -> DoubleArray:
    """Return the (468, 3) unit normals of the canonical face, in the head's frame."""
    corners = VERTICES[FACEMESH_TRIANGLES]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros(VERTICES.shape)
    for corner in range(3):
        np.add.at(normals, FACEMESH_TRIANGLES[:, corner], across)
    # z points out of the face; the triangles go round either way.
    normals *= np.sign(normals[:, 2].sum())
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals[:, [2, 0, 1]], np.float64)


def _reliable() -> npt.NDArray[np.intp]:
    """Return the landmarks on skin: not at the eyes, lips and brows, nor near the outline."""
    eyes_and_outline = np.concatenate([FACEMESH_FACE_OVAL, FACEMESH_LEFT_EYE, FACEMESH_RIGHT_EYE])
    others = np.concatenate([FACEMESH_LIPS, FACEMESH_LEFT_EYEBROW, FACEMESH_RIGHT_EYEBROW])
    is_near = np.isin(FACEMESH_TESSELATION, eyes_and_outline).any(axis=1)
    excluded = np.concatenate([FACEMESH_TESSELATION[is_near].ravel(), others.ravel()])
    return np.setdiff1d(np.arange(len(VERTICES)), excluded)


#: (n,) mesh indices, and (n, 3) their normals in the head's frame.
RELIABLE: Final = _reliable()
_NORMALS: Final = _normals()[RELIABLE]


class _Head(NamedTuple):
    """The reliable landmarks of one head that face the camera."""

    id: int
    #: The size with which the places were computed.
    assumed_scale: float
    #: (n, 3) meters in the camera's optical frame.
    places: DoubleArray
    #: (n, 2) parts of the image's width and height.
    in_image: DoubleArray

    def measured(self, depth: DepthImage) -> float | None:
        """Return the size of the head, 1 for an average adult; None if the depth does not tell."""
        if len(self.places) < LEAST_PIXELS:
            return None
        if depth.camera is None:
            pixels = self.in_image * depth.size
        else:
            pixels = depth.camera.project(self.places)
        # Of landmarks in one pixel the first: it is one measurement.
        _, kept = np.unique(np.floor(pixels) @ (1.0, 65536.0), return_index=True)
        ratios = depth.meters_at(pixels[kept]) / self.places[kept, 2]
        ratio = _ratio_of_face(ratios, NOISE + RELIEF / float(self.places[0, 2]))
        scale = None if ratio is None else ratio * self.assumed_scale
        return scale if scale is not None and SMALLEST <= scale <= LARGEST else None


def _ratio_of_face(ratios: DoubleArray, tolerance: float) -> float | None:
    """Return the mean of the densest interval of (n,) ratios; 0: not measured."""
    ratios = np.sort(ratios[ratios > 0.0])
    if len(ratios) < LEAST_PIXELS:
        return None
    counts = np.searchsorted(ratios, ratios * (1 + 2 * tolerance)) - np.arange(len(ratios))
    start = int(counts.argmax())
    ratio = float(ratios[start : start + counts[start]].mean())
    for _ in range(3):
        is_face = np.abs(ratios - ratio) < tolerance * ratio
        count = int(is_face.sum())
        if count < max(LEAST_PIXELS, LEAST_PART * len(ratios)):
            return None
        ratio = float(ratios[is_face].mean())
    return ratio


@dataclass
class _KnownScale:
    """Running average of the size of one head."""

    scale: float
    count: int = 1
    outliers: int = 0

    def add(self, scale: float) -> None:
        if abs(scale / self.scale - 1.0) > OUTLIER:
            self.outliers += 1
            if self.outliers >= OUTLIERS:
                self.scale, self.count, self.outliers = scale, 1, 0
            return
        self.outliers = 0
        self.count = min(self.count + 1, AVERAGED)
        self.scale += (scale - self.scale) / self.count


class HeadScales:
    """Measures the heads of one stream of images, and sets their poses to the true size."""

    def __init__(self) -> None:
        self._known: dict[int, _KnownScale] = {}
        self._waiting: deque[tuple[FindDepth, list[_Head]]] = deque(maxlen=WAITING_IMAGES)

    def forget(self) -> None:
        """Reset: the next image starts a new stream."""
        self._known.clear()
        self._waiting.clear()

    def apply(self, faces: Iterable[Face], size: tuple[int, int], find_depth: FindDepth) -> None:
        """Set poses, 3D points and the origins of gazes to the true size, in place.

        A face whose size is not known keeps the assumed one. Depth images may come later than the
        next images; they then measure the faces of their own image.

        Args:
            faces: those of the next image, with all 478 landmarks.
            size: the image's width and height in pixels.
            find_depth: returns the depth image of this image, now or later.
        """
        self._measure_waiting()
        heads = [(face, _head_of(face, size)) for face in faces if face.points_3d is not None]
        if not heads:
            return
        depth = find_depth()
        if depth is None:
            self._waiting.append((find_depth, [head for _, head in heads if head.id]))
        for face, head in heads:
            scale = self._learn(head.id, None if depth is None else head.measured(depth))
            if scale is not None:
                _set_scale(face, scale)

    def _measure_waiting(self) -> None:
        for _ in range(len(self._waiting)):
            find_depth, heads = self._waiting.popleft()
            depth = find_depth()
            if depth is None:
                self._waiting.append((find_depth, heads))
                continue
            for head in heads:
                self._learn(head.id, head.measured(depth))

    def _learn(self, face_id: int, measured: float | None) -> float | None:
        """Add a measurement to the average of a face, and return the average."""
        if not face_id:
            return measured
        known = self._known.pop(face_id, None)
        if known is None and measured is None:
            return None
        if known is None:
            assert measured is not None
            known = _KnownScale(measured)
        elif measured is not None:
            known.add(measured)
        self._known[face_id] = known
        if len(self._known) > KNOWN_HEADS:
            del self._known[next(iter(self._known))]
        return known.scale


def _head_of(face: Face, size: tuple[int, int]) -> _Head:
    assert face.pose is not None
    assert face.points_3d is not None
    places = face.points_3d[RELIABLE].astype(np.float64)
    towards_normal = ((places @ face.pose[:3, :3]) * _NORMALS).sum(axis=1)
    facing = -towards_normal > LEAST_FACING * np.sqrt((places * places).sum(axis=1))
    in_image = face.points[RELIABLE][facing] / np.array(size, np.float64)
    return _Head(face.id, face.head_scale, places[facing], in_image)


def _set_scale(face: Face, scale: float) -> None:
    """Change the size of the head: all of its lengths are proportional to it."""
    assert face.pose is not None
    assert face.points_3d is not None
    factor = scale / face.head_scale
    pose = face.pose.copy()
    pose[:3, 3] *= factor
    face.pose, face.points_3d = pose, face.points_3d * np.float32(factor)
    if face.gaze is not None:
        face.gaze = replace(face.gaze, origin=face.gaze.origin * factor)
    face.head_scale, face.scale_source = scale, "depth"

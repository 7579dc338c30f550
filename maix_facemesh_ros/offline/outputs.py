"""The outputs for each image: messages on topics of a bag, and rows of a table.

Tables are for people without ROS, one row a face: CSV, and Parquet with pyarrow.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from maix_facemesh_ros.analysis.angles import direction_angles, head_angles
from maix_facemesh_ros.bags.camera_topics import COMPRESSED
from maix_facemesh_ros.bags.message_types import (
    COMPRESSED_IMAGE,
    FACE_ARRAY,
    IMAGE_ANNOTATIONS,
    package,
    serialize,
    topic_of_type,
)
from maix_facemesh_ros.bags.storage import BagError, BagTopic
from maix_facemesh_ros.drawing import draw_face
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Image, Pixels
from maix_facemesh_ros.mesh.blendshape_names import BLENDSHAPE_NAMES
from maix_facemesh_ros.mesh.landmark_subsets import LANDMARKS
from maix_facemesh_ros.messages.annotations import image_annotations
from maix_facemesh_ros.messages.compressed_image import JPEG_FORMAT, encode_jpeg
from maix_facemesh_ros.messages.faces import serialized_faces
from maix_facemesh_ros.offline.recordings import Camera, open_recording
from maix_facemesh_ros.offline.segment_faces import ImageFaces
from maix_facemesh_ros.offline.segments import SegmentTask, images_of
from maix_facemesh_ros.parameters import FaceMeshParameters

#: The topic of the faces: as that of a node in the namespace of the camera.
FACES_TOPIC = "{namespace}/faces"

#: Of the node's private topics: those of a node that is called facemesh.
NODE = "facemesh"

#: Rows of an image whose colors are swapped at once.
ROWS_AT_ONCE = 256

#: Rows that are written to a Parquet file at once.
ROWS_IN_A_GROUP = 2000

#: Columns of a table and their types; docs/tables.md has the units.
IMAGE_COLUMNS: dict[str, type] = {
    **dict.fromkeys(("recording", "topic"), str),
    **dict.fromkeys(("image", "log_time", "stamp", "image_width", "image_height"), int),
}
FACE_COLUMNS: dict[str, type] = {
    "id": int,
    **dict.fromkeys(("score", "x", "y", "width", "height", "landmarks_score"), float),
}
POSE_COLUMNS = (
    *("yaw", "pitch", "roll", "distance"),
    *(f"pose_{row}{column}" for row in range(3) for column in range(4)),
)
GAZE_COLUMNS = ("gaze_yaw", "gaze_pitch", "gaze_x", "gaze_y", "gaze_z")


@dataclass(frozen=True, slots=True)
class FaceTopics:
    """The topics that belong to a camera; None: not wanted."""

    faces: BagTopic
    annotations: BagTopic | None = None
    annotated: BagTopic | None = None

    def all(self) -> Iterator[BagTopic]:
        """Return the selected ones."""
        for topic in (self.faces, self.annotations, self.annotated):
            if topic is not None:
                yield topic

    def messages(
        self, image: ImageFaces, faces: Sequence[Face], jpeg: bytes | None
    ) -> Iterator[tuple[str, bytes]]:
        """Yield topic and data of the messages of an image.

        Args:
            image: the image and its faces.
            faces: in it.
            jpeg: with its faces drawn into it; None: it is not wanted.
        """
        yield (
            self.faces.name,
            serialized_faces(image.stamp, image.frame_id, image.size, faces),
        )
        if self.annotations is None and jpeg is None:
            return
        stamp = package("builtin_interfaces").Time(**image.stamp._asdict())
        header = package("std_msgs").Header(stamp=stamp, frame_id=image.frame_id)
        if self.annotations is not None:
            annotations = image_annotations(package("foxglove_msgs"), header, faces)
            yield self.annotations.name, serialize(annotations)
        if self.annotated is not None and jpeg is not None:
            yield self.annotated.name, serialize(_compressed_image(header, jpeg))


def face_topics(
    cameras: Sequence[Camera], pattern: str, *, annotations: bool, annotated: bool
) -> list[FaceTopics]:
    """Return the topics of each camera.

    Args:
        cameras: of one recording.
        pattern: of the topic of the faces, with {namespace} and {topic} of the images; several
            cameras of one namespace get the last part of their topic's name too.
        annotations: whether ImageAnnotations are wanted.
        annotated: whether images with the faces drawn into them are.

    Raises:
        BagError: two cameras would have one topic.
    """
    bases = [camera.topic.removesuffix(COMPRESSED) for camera in cameras]
    namespaces = [base.rpartition("/")[0] for base in bases]
    # image_left and image_right in one namespace: both are namespaces themselves.
    namespaces = [
        base if namespaces.count(namespace) > 1 else namespace
        for base, namespace in zip(bases, namespaces, strict=True)
    ]
    try:
        names = [
            pattern.format(namespace=namespace, topic=base)
            for base, namespace in zip(bases, namespaces, strict=True)
        ]
    except (KeyError, IndexError, ValueError) as error:
        raise BagError(
            f"--faces-topic is {pattern!r}: it may have {{namespace}} and {{topic}} in it"
        ) from error
    if len(set(names)) < len(names):
        raise BagError(
            f"--faces-topic {pattern!r} gives {len(names)} cameras the same topic: put "
            "{namespace} or {topic} into it"
        )
    return [
        FaceTopics(
            topic_of_type(name, FACE_ARRAY),
            topic_of_type(f"{namespace}/{NODE}/image_annotations", IMAGE_ANNOTATIONS)
            if annotations
            else None,
            topic_of_type(f"{namespace}/{NODE}/image_annotated/compressed", COMPRESSED_IMAGE)
            if annotated
            else None,
        )
        for name, namespace in zip(names, namespaces, strict=True)
    ]


def draw_in_segment(task: SegmentTask, faces: Sequence[Sequence[Face] | None]) -> list[bytes]:
    """Return each image of a segment with its faces drawn into it, as JPEG; in any process.

    Args:
        task: segment with the images.
        faces: of each image; None: the image cannot be used.
    """
    recording = open_recording(task.path, (task.camera.topic,), task.unpacked, task.limits)
    try:
        images = images_of(recording, task.camera, task.segment)
        return [
            b"" if found is None else _drawn(recorded.read(), found)
            for recorded, found in zip(images, faces, strict=True)
        ]
    finally:
        recording.close()


def _drawn(image: Image, faces: Iterable[Face]) -> bytes:
    # In place: a large image takes 200 MB.
    pixels = np.require(image.pixels, np.uint8, ["C", "W"])
    if image.order == "bgr":
        _swap_red_and_blue(pixels)
    for face in faces:
        draw_face(pixels, face, mesh=True, box=True, label=True)
    _swap_red_and_blue(pixels)
    return encode_jpeg(pixels)


def _swap_red_and_blue(image: Pixels) -> None:
    """Do so in place, strip by strip, as OpenCV takes a copy of what it changes in place."""
    for top in range(0, len(image), ROWS_AT_ONCE):
        strip = image[top : top + ROWS_AT_ONCE]
        cv2.cvtColor(strip, cv2.COLOR_BGR2RGB, strip)


def _compressed_image(header: Any, jpeg: bytes) -> Any:
    return package("sensor_msgs").CompressedImage(
        header=header,
        format=JPEG_FORMAT,
        data=np.frombuffer(jpeg, np.uint8),
    )


class Table(Protocol):
    """A file with rows."""

    def write(self, row: Sequence[Any]) -> None:
        """Write a row, in the order of the columns."""
        ...

    def close(self) -> None:
        """Complete the file."""
        ...


class FaceTable:
    """A table with a row for each face of each image; columns: docs/tables.md."""

    def __init__(
        self,
        path: Path,
        parameters: FaceMeshParameters,
        *,
        has_poses: bool = True,
        rows_without_faces: bool = False,
    ) -> None:
        """Begin the file.

        Args:
            path: ends in one of `TABLES`.
            parameters: select the landmarks.
            has_poses: whether there is a camera model for poses and gaze; their columns are left
                out without one.
            rows_without_faces: write a row for an image without a face, with the image's columns.

        Raises:
            BagError: the library is not installed, or the file cannot be created.
        """
        self._rows_without_faces = rows_without_faces
        wanted = parameters.landmark_indices
        self._landmarks = range(LANDMARKS) if wanted is None else wanted
        groups = {
            _pose_values: POSE_COLUMNS if parameters.pose and has_poses else (),
            _gaze_values: GAZE_COLUMNS if parameters.gaze and has_poses else (),
            _blendshape_values: BLENDSHAPE_NAMES if parameters.blendshapes else (),
        }
        #: The values of a face in addition to its landmarks, and the number of their columns.
        self._optional = {values: len(names) for values, names in groups.items() if names}
        columns: dict[str, type] = {
            **IMAGE_COLUMNS,
            **FACE_COLUMNS,
            **{f"{axis}{index}": float for index in self._landmarks for axis in "xyz"},
            **dict.fromkeys(chain(*groups.values()), float),
        }
        self._width = len(columns)
        try:
            self._table = TABLES[path.suffix](path, columns)
        except OSError as error:
            raise BagError(f"{path} cannot be written: {error.strerror or error}") from error

    def write(
        self, recording: Path, topic: str, number: int, image: ImageFaces, faces: Sequence[Face]
    ) -> None:
        """Write the faces of an image.

        Args:
            recording: the file of the image, or the bag.
            topic: of the image.
            number: of the image on its topic, from 0.
            image: its times and size.
            faces: in it, complete.
        """
        stamp = image.stamp.nanoseconds
        facts = [str(recording), topic, number, image.log_time, stamp, *image.size]
        for face in faces:
            row = [*facts, face.id, face.score, *face.box, face.landmarks_score]
            row += self._points(face)
            for values, count in self._optional.items():
                row += values(face) or [None] * count
            self._table.write(row)
        if not faces and self._rows_without_faces:
            self._table.write([*facts, *[None] * (self._width - len(facts))])

    def __enter__(self) -> FaceTable:
        return self

    def __exit__(self, *error: object) -> None:
        self._table.close()

    def _points(self, face: Face) -> list[float | None]:
        """Return x, y, z of each landmark: pixels of the image."""
        if not len(face.points):
            return [None] * (3 * len(self._landmarks))
        return [
            value
            for (x, y), z in zip(face.points.tolist(), face.points_z.tolist(), strict=True)
            for value in (x, y, z)
        ]


def _pose_values(face: Face) -> list[float]:
    """Return the values of `POSE_COLUMNS`; none without a pose."""
    if face.pose is None:
        return []
    distance = float(np.linalg.norm(face.pose[:3, 3]))
    return [*head_angles(face.pose), distance, *face.pose[:3].reshape(-1).tolist()]


def _gaze_values(face: Face) -> list[float]:
    """Return the values of `GAZE_COLUMNS`; none without a gaze."""
    if face.gaze is None:
        return []
    return [*direction_angles(face.gaze.direction), *face.gaze.direction.tolist()]


def _blendshape_values(face: Face) -> list[float]:
    """Return the 52 scores; none without them."""
    return [] if face.blendshapes is None else face.blendshapes.tolist()


class _CsvTable:
    def __init__(self, path: Path, columns: dict[str, type]) -> None:
        self._file = path.open("w", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(columns)

    def write(self, row: Sequence[Any]) -> None:
        # float32's nearest short decimals: 9 digits give the same float32 again.
        self._writer.writerow(
            "" if value is None else f"{value:.9g}" if isinstance(value, float) else value
            for value in row
        )

    def close(self) -> None:
        self._file.close()


class _ParquetTable:
    def __init__(self, path: Path, columns: dict[str, type]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise BagError(
                f"{path} needs pyarrow: pip install 'maix_facemesh_ros[parquet]' or pip install "
                "pyarrow. A .csv table needs no package"
            ) from error
        self._arrow = pyarrow
        types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
        self._schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
        self._file = pyarrow.parquet.ParquetWriter(path, self._schema)
        self._rows: list[Sequence[Any]] = []

    def write(self, row: Sequence[Any]) -> None:
        self._rows.append(row)
        if len(self._rows) >= ROWS_IN_A_GROUP:
            self._flush()

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._file.close()

    def _flush(self) -> None:
        columns = [
            self._arrow.array(values, field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._file.write_table(self._arrow.table(columns, schema=self._schema))
        self._rows = []


#: By the end of the file's name.
TABLES: dict[str, Callable[[Path, dict[str, type]], Table]] = {
    ".csv": _CsvTable,
    ".parquet": _ParquetTable,
}

"""Tables for people without ROS, one row per face: CSV, and Parquet with pyarrow."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from maix_facemesh_ros.analysis.angles import direction_angles, head_angles
from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.mesh.blendshape_names import BLENDSHAPE_NAMES
from maix_facemesh_ros.mesh.landmark_subsets import LANDMARKS
from maix_facemesh_ros.offline.annotated_files import ImageOrigin
from maix_facemesh_ros.offline.segment_faces import ImageFaces
from maix_facemesh_ros.parameters import FaceMeshParameters

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
            path: ends in `.csv` or `.parquet`.
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
            self._table = _TABLES[path.suffix](path, columns)
        except OSError as error:
            raise BagError(f"{path} cannot be written: {error.strerror or error}") from error

    def write(self, origin: ImageOrigin, image: ImageFaces, faces: Sequence[Face]) -> None:
        """Write the faces of an image.

        Args:
            origin: of the image.
            image: its times and size.
            faces: in it, complete.
        """
        stamp = image.stamp.nanoseconds
        recording, topic, number = str(origin.recording), origin.topic, origin.number
        facts = [recording, topic, number, image.log_time, stamp, *image.size]
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
_TABLES: dict[str, Callable[[Path, dict[str, type]], Table]] = {
    ".csv": _CsvTable,
    ".parquet": _ParquetTable,
}

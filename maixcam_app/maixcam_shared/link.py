"""The link between a MaixCAM (the server) and its host: its messages as bytes.

docs/maixcam_link.md describes the same for other implementations. In order: the frame around every
message, the handshake, and the messages after it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import math
import secrets
import struct
import sys
from array import array
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from .maix_face import Crop, MaixFace, Thresholds

VERSION = 2
DEFAULT_PORT = 5478

MAGIC = b"MAIXFACE"
NONCE_SIZE = 32
PROOF_SIZE = hashlib.sha256().digest_size

#: Maximum seconds for each side's part of the handshake.
HANDSHAKE_TIMEOUT = 3.0

#: Seconds between two pings of the host, and without any message after which either side takes the
#: other for gone.
PING_INTERVAL = 0.25
SILENCE = 1.5


class LinkError(Exception):
    """The other side has sent an invalid message; the error text gives the fault."""


class Kind(IntEnum):
    """Kinds of messages."""

    HELLO = 1
    PROOF = 2
    WELCOME = 3
    REFUSED = 4
    PING = 5
    PONG = 6
    SETTINGS = 7
    FACES = 8
    IMAGE = 9


class Reason(IntEnum):
    """Why a device refuses a host."""

    VERSION = 1
    TOKEN = 2
    BUSY = 3


#: The largest payload of each kind in bytes, checked before memory is allocated.
LARGEST = {
    Kind.HELLO: 256,
    Kind.PROOF: 256,
    Kind.WELCOME: 4096,
    Kind.REFUSED: 1024,
    Kind.PING: 64,
    Kind.PONG: 64,
    Kind.SETTINGS: 256,
    Kind.FACES: 2 << 20,
    Kind.IMAGE: 8 << 20,
}

# The frame: length of the rest, then the kind.
_LENGTH = struct.Struct("<I")


def message(kind: Kind, *parts: bytes) -> bytes:
    """Return a message ready to be sent."""
    payload = b"".join(parts)
    return _LENGTH.pack(1 + len(payload)) + bytes([kind]) + payload


async def read_message(
    reader: asyncio.StreamReader, expected: Sequence[Kind]
) -> tuple[Kind, bytes]:
    """Read the next message; returns its kind and payload.

    Raises:
        LinkError: none of the kinds that are expected now, or larger than these can be.
        asyncio.IncompleteReadError: the connection has ended.
    """
    start = await reader.readexactly(_LENGTH.size + 1)
    (length,) = _LENGTH.unpack_from(start)
    number = start[-1]
    if number not in expected:
        names = " or ".join(kind.name for kind in expected)
        raise LinkError(f"a message of kind {number} came where {names} was due")
    kind = Kind(number)
    if not 1 <= length <= 1 + LARGEST[kind]:
        raise LinkError(
            f"{kind.name} of {length} bytes: it has at least 1 and at most {1 + LARGEST[kind]}"
        )
    return kind, await reader.readexactly(length - 1)


# The handshake: HELLO of the device, PROOF of the host, then WELCOME or REFUSED of the device.

_HELLO = struct.Struct(f"<{len(MAGIC)}sH{NONCE_SIZE}s")
_PROOF = struct.Struct(f"<{len(MAGIC)}sH{NONCE_SIZE}s{PROOF_SIZE}s")

#: Limits for a device's facts: their number, and the characters of a name and of a text.
MOST_FACTS = 32
LONGEST_NAME = 64
LONGEST_TEXT = 200

#: Letters of a new token: 80 bits, which cannot be guessed from a recorded handshake.
TOKEN_LETTERS = 16


class Hello(NamedTuple):
    """First message, from the device."""

    version: int
    nonce: bytes


class Proof(NamedTuple):
    """The host's answer: its nonce, and the proof that it knows the token."""

    version: int
    nonce: bytes
    proof: bytes


class Welcome(NamedTuple):
    """The device's proof, and its facts as sent.

    The proof covers the facts: `decode_facts` is for after it has been checked.
    """

    proof: bytes
    facts: bytes


class Refusal(NamedTuple):
    """Why the device ends the connection."""

    reason: int
    text: str


def new_nonce() -> bytes:
    """Return bytes that were never used before."""
    return secrets.token_bytes(NONCE_SIZE)


def new_token() -> str:
    """Return a new token such as ABCD-EFGH-IJKL-MNOP (letters and the digits 2 to 7)."""
    letters = base64.b32encode(secrets.token_bytes(5 * TOKEN_LETTERS // 8)).decode()
    return "-".join(letters[at : at + 4] for at in range(0, TOKEN_LETTERS, 4))


def transcript(hello: Hello, version: int, host_nonce: bytes) -> bytes:
    """Return the bytes that both sides have sent before their proofs, which cover them.

    Args:
        hello: of the device.
        version: that the host has named in its PROOF.
        host_nonce: of the same.
    """
    return _HELLO.pack(MAGIC, *hello) + _HELLO.pack(MAGIC, version, host_nonce)


def host_proof(token: str, said: bytes) -> bytes:
    """Return the proof of a host that knows the token; `said` is the `transcript`."""
    return _prove(token, b"maix_facemesh_ros host", said)


def device_proof(token: str, said: bytes, facts: bytes) -> bytes:
    """Return the proof of a device that knows the token and has sent these facts."""
    return _prove(token, b"maix_facemesh_ros device", said + facts)


def same_proof(one: bytes, other: bytes) -> bool:
    """Compare two proofs in constant time."""
    return hmac.compare_digest(one, other)


def _prove(token: str, side: bytes, said: bytes) -> bytes:
    # People type dashes, blanks and small letters as they like.
    key = "".join(letter for letter in token if letter.isalnum()).upper().encode()
    return hmac.new(key, side + said, hashlib.sha256).digest()


def encode_hello(hello: Hello) -> bytes:
    """Return the message."""
    return message(Kind.HELLO, _HELLO.pack(MAGIC, *hello))


def decode_hello(payload: bytes) -> Hello:
    """Read the payload of a HELLO.

    Raises:
        LinkError: it does not come from a MaixCAM with this app.
    """
    magic, version = _magic_and_version(payload)
    if magic != MAGIC:
        raise LinkError(f"the other side starts with {payload[:16]!r}: it is not a face server")
    if version != VERSION:
        # The rest may differ in another version; the version is sufficient here.
        return Hello(version, b"")
    return Hello(version, _unpack(Kind.HELLO, _HELLO, payload)[2])


def encode_proof(proof: Proof) -> bytes:
    """Return the message."""
    return message(Kind.PROOF, _PROOF.pack(MAGIC, *proof))


def decode_proof(payload: bytes) -> Proof:
    """Read the payload of a PROOF.

    Raises:
        LinkError: it does not come from a host of this link.
    """
    magic, version = _magic_and_version(payload)
    if magic != MAGIC:
        raise LinkError(
            f"the other side starts with {payload[:16]!r}: it is not a host of this link"
        )
    if version != VERSION:
        return Proof(version, b"", b"")
    _, version, nonce, proof = _unpack(Kind.PROOF, _PROOF, payload)
    return Proof(version, nonce, proof)


def encode_facts(facts: dict[str, str]) -> bytes:
    """Return the facts of a device, encoded for WELCOME."""
    return json.dumps(facts).encode()


def decode_facts(data: bytes) -> dict[str, str]:
    """Decode the facts of a device: printable texts by name, at most `MOST_FACTS`.

    Raises:
        LinkError: they are not texts by name.
    """
    try:
        facts = json.loads(data.decode())
        known = isinstance(facts, dict) and all(isinstance(fact, str) for fact in facts.values())
    except (ValueError, RecursionError):
        known = False
    if not known:
        raise LinkError(f"WELCOME with {len(data)} bytes of facts does not hold texts by name")
    return {
        printable(name, LONGEST_NAME): printable(fact, LONGEST_TEXT)
        for name, fact in list(facts.items())[:MOST_FACTS]
    }


def printable(text: str, longest: int) -> str:
    """Return text of the other side for logs: no control character or line break, not too long."""
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text[: longest + 1]
    )
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def encode_welcome(welcome: Welcome) -> bytes:
    """Return the message."""
    return message(Kind.WELCOME, *welcome)


def decode_welcome(payload: bytes) -> Welcome:
    """Read the payload of a WELCOME; one that is too short has a proof that is wrong."""
    return Welcome(payload[:PROOF_SIZE], payload[PROOF_SIZE:])


def encode_refused(refusal: Refusal) -> bytes:
    """Return the message."""
    return message(Kind.REFUSED, bytes([refusal.reason]), refusal.text.encode())


def decode_refused(payload: bytes) -> Refusal:
    """Read the payload of a REFUSED; the reason may be one of a later version."""
    text = payload[1:].decode(errors="replace")
    return Refusal(payload[0] if payload else 0, printable(text, LONGEST_TEXT))


def _magic_and_version(payload: bytes) -> tuple[bytes, int]:
    """Return the two fields that every version of HELLO and PROOF starts with."""
    size = len(MAGIC) + 2
    if len(payload) < size:
        return payload, 0
    return payload[: len(MAGIC)], int.from_bytes(payload[len(MAGIC) : size], "little")


# After the handshake: clock, settings, faces, images.

_TIME = struct.Struct("<Q")
_TIMES = struct.Struct("<QQQ")
_SETTINGS = struct.Struct("<dddi?dB")
_FACES = struct.Struct("<IQHHHHHB")
_FACE = struct.Struct("<4hff10h2hHfB")
_IMAGE = struct.Struct("<IQ")

#: Numbers of one landmark: x, y, x and y in the network's input, z.
_PER_LANDMARK = 5
_KEYPOINTS = 10


class Times(NamedTuple):
    """A PONG: the host's time of the PING in its own unit, and two times of the device."""

    sent: int
    #: Microseconds of the device's clock when PING arrived and when PONG was sent.
    came: int
    answered: int


class Settings(NamedTuple):
    """A host's settings for the device."""

    thresholds: Thresholds = Thresholds()
    #: Images a second, 0 for none, and their JPEG quality from 1 to 100.
    image_rate: float = 0.0
    image_quality: int = 80


class Faces(NamedTuple):
    """The faces of one image."""

    #: Counts the images of the camera; a gap is images that this host did not get.
    number: int
    #: Microseconds of the device's clock when the image was taken.
    taken_at: int
    #: Pixels of the image.
    width: int
    height: int
    #: Pixels of the landmark network's input.
    crop_width: int
    crop_height: int
    faces: Sequence[MaixFace]


class JpegImage(NamedTuple):
    """An image as the camera gave it, without anything drawn into it."""

    #: The same as in the `Faces` that were found in it.
    number: int
    taken_at: int
    jpeg: bytes


def encode_ping(sent: int) -> bytes:
    """Return the message."""
    return message(Kind.PING, _TIME.pack(sent))


def decode_ping(payload: bytes) -> int:
    """Read the payload of a PING; returns the host's time.

    Raises:
        LinkError: a wrong length.
    """
    (sent,) = _unpack(Kind.PING, _TIME, payload)
    return int(sent)


def encode_pong(times: Times) -> bytes:
    """Return the message."""
    return message(Kind.PONG, _TIMES.pack(*times))


def decode_pong(payload: bytes) -> Times:
    """Read the payload of a PONG.

    Raises:
        LinkError: a wrong length.
    """
    return Times(*_unpack(Kind.PONG, _TIMES, payload))


def encode_settings(settings: Settings) -> bytes:
    """Return the message."""
    thresholds = settings.thresholds
    return message(
        Kind.SETTINGS,
        _SETTINGS.pack(
            thresholds.detect_conf_th,
            thresholds.detect_iou_th,
            thresholds.landmarks_conf_th,
            max(0, min(thresholds.max_face_num, 0x7FFFFFFF)),
            thresholds.require_landmarks,
            settings.image_rate,
            settings.image_quality,
        ),
    )


def decode_settings(payload: bytes) -> Settings:
    """Read the payload of a SETTINGS.

    Raises:
        LinkError: a wrong length, or a value out of range.
    """
    fields = _unpack(Kind.SETTINGS, _SETTINGS, payload)
    conf, iou, landmarks_conf, max_face_num, require_landmarks, rate, quality = fields
    fits = all(0.0 <= threshold <= 1.0 for threshold in (conf, iou, landmarks_conf))
    if not fits or not 0.0 <= rate < math.inf or not 1 <= quality <= 100:
        raise LinkError(f"SETTINGS holds a value out of its range: {fields}")
    return Settings(
        Thresholds(conf, iou, landmarks_conf, max_face_num, require_landmarks), rate, quality
    )


def encode_faces(faces: Faces) -> bytes:
    """Return the message; at most 255 faces of it, the first."""
    shown = faces.faces[:255]
    parts = [
        _FACES.pack(
            faces.number & 0xFFFFFFFF,
            faces.taken_at,
            faces.width,
            faces.height,
            faces.crop_width,
            faces.crop_height,
            max((len(face.points_z) for face in shown), default=0),
            len(shown),
        )
    ]
    for face in shown:
        keypoints = face.keypoints if len(face.keypoints) == _KEYPOINTS else [-1] * _KEYPOINTS
        head = (face.x, face.y, face.width, face.height)
        crop = face.crop
        parts.append(
            _FACE.pack(
                *_shorts(head),
                face.score,
                face.landmarks_score,
                *_shorts(keypoints),
                *_shorts((crop.center_x, crop.center_y)),
                min(crop.side, 0xFFFF),
                crop.angle,
                bool(face.points),
            )
        )
        parts += [_bytes(face.points), _bytes(face.points_rel), _bytes(face.points_z)]
    return message(Kind.FACES, *parts)


def decode_faces(payload: bytes) -> Faces:
    """Read the payload of a FACES; its numbers are arrays of 16-bit integers.

    Raises:
        LinkError: its length is not the announced one.
    """
    if len(payload) < _FACES.size:
        raise LinkError(f"FACES of {len(payload)} bytes: it has at least {_FACES.size}")
    number, taken_at, *sizes, landmarks, count = _FACES.unpack_from(payload)
    rest = memoryview(payload)[_FACES.size :]
    faces: list[MaixFace] = []
    for _ in range(count):
        if len(rest) < _FACE.size:
            raise LinkError(f"FACES announces {count} faces and ends in face {len(faces) + 1}")
        fields = _FACE.unpack_from(rest)
        rest = rest[_FACE.size :]
        wanted = 2 * _PER_LANDMARK * landmarks * fields[-1]
        if fields[-1] > 1 or len(rest) < wanted:
            raise LinkError(f"FACES announces {count} faces and ends in face {len(faces) + 1}")
        numbers = _numbers(rest[:wanted])
        rest = rest[wanted:]
        faces.append(_face(fields, numbers))
    if rest:
        raise LinkError(f"FACES has {len(rest)} bytes more than its {count} faces")
    width, height, crop_width, crop_height = sizes
    return Faces(number, taken_at, width, height, crop_width, crop_height, faces)


def encode_image(image: JpegImage) -> bytes:
    """Return the message."""
    return message(Kind.IMAGE, _IMAGE.pack(image.number & 0xFFFFFFFF, image.taken_at), image.jpeg)


def decode_image(payload: bytes) -> JpegImage:
    """Read the payload of a IMAGE.

    Raises:
        LinkError: too short.
    """
    if len(payload) < _IMAGE.size:
        raise LinkError(f"IMAGE of {len(payload)} bytes: it has at least {_IMAGE.size}")
    number, taken_at = _IMAGE.unpack_from(payload)
    return JpegImage(number, taken_at, payload[_IMAGE.size :])


def _face(fields: tuple[float, ...], numbers: array[int]) -> MaixFace:
    x, y, width, height, score, landmarks_score, *keypoints = fields[:16]
    center_x, center_y, side, angle = fields[16:20]
    landmarks = len(numbers) // _PER_LANDMARK
    return MaixFace(
        *(int(x), int(y), int(width), int(height)),
        score=score,
        keypoints=[int(number) for number in keypoints],
        landmarks_score=landmarks_score,
        crop=Crop(int(center_x), int(center_y), int(side), angle),
        points=numbers[: 2 * landmarks],
        points_rel=numbers[2 * landmarks : 4 * landmarks],
        points_z=numbers[4 * landmarks :],
    )


def _unpack(kind: Kind, layout: struct.Struct, payload: bytes) -> tuple[Any, ...]:
    if len(payload) != layout.size:
        raise LinkError(f"{kind.name} of {len(payload)} bytes: it has {layout.size}")
    return layout.unpack(payload)


def _bytes(numbers: Sequence[int]) -> bytes:
    """Return whole numbers as 16 bits each; those that do not fit as the nearest that does."""
    try:
        values = array("h", numbers)
    except OverflowError:
        values = array("h", _shorts(numbers))
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _numbers(data: memoryview) -> array[int]:
    values = array("h")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _shorts(numbers: Sequence[int]) -> list[int]:
    return [max(-0x8000, min(0x7FFF, number)) for number in numbers]

"""The bytes of a frame, taken apart as the page does."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
import pytest

from maix_facemesh_ros.analysis.angles import direction_angles, head_angles
from maix_facemesh_ros.analysis.attention import Attention, FaceAttention
from maix_facemesh_ros.browser.frame_packet import (
    mesh_facts,
    pack_frame,
)
from maix_facemesh_ros.face import Face, FloatArray, Gaze
from maix_facemesh_ros.image import Stamp


def take_apart(packet: bytes) -> tuple[dict[str, Any], list[dict[str, FloatArray]], bytes]:
    (length,) = struct.unpack_from("<I", packet)
    assert length % 4 == 0
    header = json.loads(packet[4 : 4 + length])
    at = 4 + length
    faces: list[dict[str, FloatArray]] = []
    for face in header["faces"] or ():
        faces.append({})
        for name, count in face["arrays"].items():
            faces[-1][name] = np.frombuffer(packet, "<f4", count, at)
            at += 4 * count
    return header, faces, packet[at:]


def packed(
    faces: list[Face] | None, jpeg: bytes = b"\xff\xd8", attention: Attention | None = None
) -> bytes:
    return pack_frame(
        stamp=Stamp(7, 8),
        delay=0.25,
        size=(640, 480),
        faces=faces,
        jpeg=jpeg,
        drawn=False,
        attention=attention,
    )


def test_attention_is_in_words_and_may_be_unknown() -> None:
    faces = [Face(id=1), Face(id=2), Face(id=3)]
    attention = Attention(2, 1, [FaceAttention(1, 0.2, 0.9), FaceAttention(2, 0.9, 0.1)])
    header, _, _ = take_apart(packed(faces, attention=attention))
    described = [(face["attention"], face["is_main"]) for face in header["faces"]]
    assert described == [(["speaks"], False), (["main person", "looks here"], True), (None, False)]
    header, _, _ = take_apart(packed(faces))
    assert [face["attention"] for face in header["faces"]] == [None] * 3


def test_the_size_of_a_head_is_there_with_its_source() -> None:
    pose = np.eye(4)
    faces = [Face(pose=pose, head_scale=0.85, scale_source="depth"), Face(pose=pose)]
    header, _, _ = take_apart(packed(faces))
    sizes = [(face["head"]["scale"], face["head"]["scale_source"]) for face in header["faces"]]
    assert sizes == [(0.85, "depth"), (None, "assumed")]


def test_all_that_a_face_has_arrives() -> None:
    generator = np.random.default_rng(1)
    face = Face(
        id=3,
        score=0.75,
        box=(1.5, 2.0, 30.0, 40.0),
        landmarks_score=0.5,
        points=generator.random((478, 2), np.float32),
        points_z=generator.random(478, np.float32),
        blendshapes=generator.random(52, np.float32),
        pose=np.diag([1.0, 1.0, 1.0, 1.0]),
        gaze=Gaze(np.zeros(3), np.array([0.0, 0.0, -1.0]), np.zeros(3), np.zeros(3)),
    )
    subset = Face(points=face.points[:2], points_z=face.points_z[:2])
    subset.indices = np.array([33, 263], np.uint16)
    header, arrays, jpeg = take_apart(packed([face, subset], b"\xff\xd8 and more"))
    assert jpeg == b"\xff\xd8 and more"
    assert header["stamp"] == "7.000000008"
    assert (header["width"], header["height"], header["delay"]) == (640, 480, 0.25)
    described = header["faces"][0]
    assert (described["id"], described["score"], described["box"]) == (3, 0.75, [1.5, 2, 30, 40])
    assert described["gaze"]["direction"] == [0, 0, -1]
    assert header["faces"][1]["gaze"] is None
    assert header["faces"][1]["head"] is None
    np.testing.assert_array_equal(arrays[0]["points"].reshape(-1, 2), face.points)
    np.testing.assert_array_equal(arrays[0]["points_z"], face.points_z)
    np.testing.assert_array_equal(arrays[0]["blendshapes"], face.blendshapes)
    assert arrays[1]["indices"].tolist() == [33, 263]
    assert "blendshapes" not in arrays[1]


def test_faces_without_landmarks_and_frames_without_faces() -> None:
    _, arrays, jpeg = take_apart(packed([Face(id=1)], b""))
    assert (arrays, jpeg) == ([{}], b"")
    assert take_apart(packed([]))[0]["faces"] == []
    assert take_apart(packed(None))[0]["faces"] is None


def test_numbers_that_json_does_not_have_are_none() -> None:
    face = Face(score=math.nan, box=(math.inf, 0.0, 1.0, 1.0), pose=np.full((4, 4), math.nan))
    described = take_apart(packed([face]))[0]["faces"][0]
    assert described["score"] is None
    assert described["box"][0] is None
    assert described["head"]["distance"] is None


@pytest.mark.parametrize(
    ("direction", "angles"),
    [
        ((0, 0, -1), (0, 0)),
        ((1, 0, -1), (45, 0)),
        ((-1, 0, 0), (-90, 0)),
        ((0, -1, -1), (0, 45)),
        ((0, 1, -1), (0, -45)),
    ],
)
def test_directions_are_right_and_up(
    direction: tuple[float, ...], angles: tuple[float, float]
) -> None:
    assert direction_angles(np.array(direction, float)) == pytest.approx(angles)


def test_a_head_that_looks_into_the_camera_is_at_zero() -> None:
    """REP-155: x out of the face, y to the person's left, z up; the camera's z goes forward."""
    straight = np.eye(4)
    straight[:3, :3] = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]]).T
    assert head_angles(straight) == pytest.approx((0, 0, 0))

    # Clockwise in the image by 20 degrees: about the camera's axis, from x to y.
    angle = math.radians(20)
    roll = np.eye(4)
    roll[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    assert head_angles(roll @ straight) == pytest.approx((0, 0, 20))


def test_the_mesh_is_closed_but_for_its_edge() -> None:
    """Each side of a triangle belongs to two, or to the outline of the face."""
    facts = mesh_facts()
    triangles = np.array(facts["triangles"]).reshape(-1, 3)
    proper = [triangle for triangle in triangles.tolist() if len(set(triangle)) == 3]
    sides: dict[frozenset[int], int] = {}
    for a, b, c in proper:
        for side in (frozenset((a, b)), frozenset((b, c)), frozenset((c, a))):
            sides[side] = sides.get(side, 0) + 1
    outline = {side for side, count in sides.items() if count == 1}
    oval = {frozenset(line) for line in np.array(facts["lines"]["oval"]).reshape(-1, 2).tolist()}
    assert outline == oval
    assert max(sides.values()) == 2
    assert len(facts["blendshapes"]) == 52

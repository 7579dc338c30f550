"""Faces to messages and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from scipy.spatial.transform import Rotation

from maix_facemesh_ros import Face
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.face import Gaze
from maix_facemesh_ros.image import ImageError, Stamp
from maix_facemesh_ros.messages.faces import converted_faces, serialized_faces
from maix_facemesh_ros.msg import Face as FaceMessage
from maix_facemesh_ros.msg import FaceArray, FaceAttentionArray
from maix_facemesh_ros.msg import FaceAttention as FaceAttentionMessage
from maix_facemesh_ros.ros.messages import faces_of, pose_message, read_attention, read_faces
from maix_facemesh_ros.ros.replay.golden import GoldenFaces
from posed_faces import FACING, head_at, rotation


@pytest.mark.parametrize("frame_id", ["", "camera", "cámara", "a_frame"])
@pytest.mark.parametrize("indices", [4, 5])
def test_a_face_survives_the_way_through_a_message(frame_id: str, indices: int) -> None:
    """Whatever is where after fields of other sizes: of a frame's name, of two bytes each."""
    random = np.random.default_rng(0)
    face = Face(
        id=7,
        score=0.75,
        box=(1.5, -2.25, 30.0, 40.0),
        box_keypoints=random.normal(size=(6, 2)).astype(np.float32),
        landmarks_score=0.5,
        points=random.normal(size=(5, 2)).astype(np.float32),
        points_z=random.normal(size=5).astype(np.float32),
        points_rel=random.normal(size=(5, 2)).astype(np.float32),
        indices=np.array([468, 473, 4, 61, 291][:indices], np.uint16),
        blendshapes=random.random(52).astype(np.float32),
        pose=head_at((0.25, -0.5, 1.5), rotation(20, -10, 5)),
        points_3d=random.normal(size=(5, 3)).astype(np.float32),
        gaze=Gaze(*random.normal(size=(4, 3))),
        head_scale=0.75,
        scale_source="depth",
    )
    sent = serialized_faces(Stamp(12, 34), frame_id, (640, 480), [face] * 3)
    message = deserialize_message(sent, FaceArray)

    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (12, 34)
    assert message.header.frame_id == frame_id
    assert (message.image_width, message.image_height) == (640, 480)
    assert len(serialize_message(message)) == len(sent), "rclpy's own has another length"
    back = faces_of(message)[2]
    for name in Face.__slots__:
        if name == "pose":
            assert back.pose is not None
            assert face.pose is not None
            np.testing.assert_allclose(back.pose, face.pose, atol=1e-12)
        elif name == "gaze":
            for part in Gaze.__slots__:
                np.testing.assert_array_equal(getattr(back.gaze, part), getattr(face.gaze, part))
        else:
            np.testing.assert_array_equal(getattr(back, name), getattr(face, name), name)


@pytest.mark.parametrize(
    "turn",
    [(0, 0, 0), (180, 0, 0), (0, 180, 0), (0, 0, 180), (120, 30, -70), (90, 90, 90), (-179, 1, 2)],
)
def test_every_rotation_becomes_a_quaternion_and_back(turn: tuple[float, float, float]) -> None:
    for facing in (np.eye(3), FACING):
        pose = np.eye(4)
        pose[:3, :3] = facing @ rotation(*turn)
        message = pose_message(pose).orientation
        quaternion = np.array([message.x, message.y, message.z, message.w])
        assert np.linalg.norm(quaternion) == pytest.approx(1)
        assert message.w >= 0
        turned = Rotation.from_quat(quaternion).as_matrix()
        np.testing.assert_allclose(turned, pose[:3, :3], atol=1e-12)


def test_what_a_face_lacks_is_empty_in_the_message() -> None:
    sent = serialized_faces(Stamp(0, 0), "", (1, 1), [Face(score=0.5)])
    message = deserialize_message(sent, FaceArray)
    assert message == FaceArray(image_width=1, image_height=1, faces=[FaceMessage(score=0.5)])
    (face,) = message.faces
    for name in ("points", "points_z", "points_rel", "indices", "blendshapes", "points_3d"):
        assert len(getattr(face, name)) == 0
    assert not face.pose_valid
    assert not face.gaze_valid
    (back,) = faces_of(message)
    assert back.indices is None
    assert back.blendshapes is None
    assert (back.pose, back.points_3d, back.gaze) == (None, None, None)
    assert (back.head_scale, back.scale_source) == (0.0, "assumed")
    assert back.points.shape == (0, 2)


def test_attention_is_read_without_the_middleware() -> None:
    faces = [FaceAttentionMessage(id=n, looking_at_camera=0.25, speaking=n / 8) for n in (3, 7)]
    message = FaceAttentionArray(main_id=7, nearest_id=3, faces=faces)
    message.header.frame_id = "eye"
    whole = serialize_message(message)
    assert read_attention(whole) == (7, 3, [(3, 0.25, 0.375), (7, 0.25, 0.875)])
    for length in range(len(whole)):
        with pytest.raises(ImageError):
            read_attention(whole[:length])
    many = whole[:-28] + b"\xff\xff\xff\x7f" + whole[-24:]
    with pytest.raises(ImageError, match="cannot hold the attention of 2147483647 faces"):
        read_attention(many)


#: A bag with faces of each version of msg/Face.msg before this one.
OLDER_BAGS = (Path(__file__).parents[1] / "data/older_faces",)


@pytest.mark.parametrize("bag", OLDER_BAGS, ids=lambda bag: bag.name)
def test_faces_of_an_older_version_are_read(bag: Path) -> None:
    """As when a bag is played for facemesh_view: the bytes are those that were recorded."""
    with Bag(bag) as opened, GoldenFaces(bag) as by_definition:
        (topic,) = opened.topics
        recorded = [message.data for message in opened.messages([topic.name])]
        expected = list(by_definition.on(topic.name))
    assert "scale_source" not in topic.definition
    counts = set()
    for data, wanted in zip(recorded, expected, strict=True):
        message = read_faces(data)
        assert message.image_width == wanted.image_width
        assert message.header.stamp.nanosec == wanted.header.stamp.nanosec
        counts.add(len(message.faces))
        for face, older in zip(message.faces, wanted.faces, strict=True):
            assert face.id == older.id
            for name in ("points", "points_z", "box_keypoints"):
                np.testing.assert_array_equal(getattr(face, name), getattr(older, name), name)
            assert (face.head_scale, face.scale_source) == (0.0, FaceMessage.SCALE_ASSUMED)
    assert max(counts) > 0


def without_appended_fields(faces: list[Face], versions: int) -> bytes:
    """Return the FaceArray of an older version."""
    sent = serialized_faces(Stamp(1, 2), "eye", (640, 480), faces)
    older = converted_faces(sent, version=2, wanted=2 - versions)
    assert older is not None
    return older


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("versions", [0, 1, 2])
def test_all_fields_of_older_versions_survive(count: int, versions: int) -> None:
    random = np.random.default_rng(1)
    faces = [
        Face(
            id=number + 1,
            points=random.random((number, 2)).astype(np.float32),
            indices=np.arange(number, dtype=np.uint16),
            pose=head_at((0.0, 0.0, 1.0 + number), rotation(0, 0, 0)),
            head_scale=0.5,
            scale_source="depth",
        )
        for number in range(count)
    ]
    message = read_faces(without_appended_fields(faces, versions))
    assert len(message.faces) == count
    for face, back in zip(faces, faces_of(message), strict=True):
        np.testing.assert_array_equal(back.points, face.points)
        assert (back.id, back.pose[2, 3] if back.pose is not None else 0) == (face.id, face.id)
        assert back.head_scale == (0.5 if versions == 0 else 0.0)

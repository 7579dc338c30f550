"""Faces to messages and back."""

from __future__ import annotations

import numpy as np
from maix_facemesh_ros.msg import FaceArray
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from maix_facemesh_ros import Face
from maix_facemesh_ros.ros.messages import face_array, faces_of


def test_a_face_survives_the_way_through_a_message() -> None:
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
        indices=np.array([468, 473, 4, 61, 291], np.uint16),
        blendshapes=random.random(52).astype(np.float32),
    )
    header = Header(frame_id="camera")
    header.stamp.sec = 12

    sent = serialize_message(face_array(header, (640, 480), [face]))
    message = deserialize_message(sent, FaceArray)

    assert message.header == header
    assert (message.image_width, message.image_height) == (640, 480)
    (back,) = faces_of(message)
    for name in Face.__slots__:
        if name in ("pose", "points_3d"):
            assert getattr(back, name) is None
        else:
            np.testing.assert_array_equal(getattr(back, name), getattr(face, name), name)


def test_what_a_face_lacks_is_empty_in_the_message() -> None:
    message = face_array(Header(), (1, 1), [Face(score=0.5)])
    (face,) = message.faces
    for name in ("points", "points_z", "points_rel", "indices", "blendshapes", "points_3d"):
        assert len(getattr(face, name)) == 0
    assert not face.pose_valid
    (back,) = faces_of(message)
    assert back.indices is None
    assert back.blendshapes is None
    assert back.points.shape == (0, 2)

"""The definitions of messages that are kept here are those of the ROS distribution."""

from __future__ import annotations

import pytest

from maix_facemesh_ros.bags import message_types


@pytest.mark.parametrize("name", [*message_types._ROS_DEFINITIONS])
def test_kept_definition_is_that_of_the_distribution(name: str) -> None:
    of_distribution = message_types._all_types()
    kept = message_types.topic_of_type("topic", name)
    assert kept.definition == of_distribution.generate_msgdef(name, ros_version=2)[0]
    assert kept.type_hash == of_distribution.hash_rihs01(name)


def test_faces_need_no_other_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_types, "_all_types", lambda: pytest.fail("all types are loaded"))
    for name in (
        message_types.FACE_ARRAY,
        message_types.IMAGE_ANNOTATIONS,
        message_types.COMPRESSED_IMAGE,
        message_types.CAMERA_INFO,
    ):
        assert message_types.topic_of_type("topic", name).type_hash.startswith("RIHS01_")

"""`--copy` loses nothing, says what the output cannot hold, and rosbag2 finds what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mcap.reader
import mcap.writer
import pytest
import yaml
from rosbags.highlevel import AnyReader

from maix_facemesh_ros.bags.message_types import topic_of_type
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.bags.writer import BagWriter
from maix_facemesh_ros.offline.job import Job, Report
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.parameters import NodeParameters
from recorded_bags import START, camera_messages, content_of, scene, text, write_bag

MIXED = Path(__file__).parents[1] / "data" / "bags" / "protobuf_json_attachment"


def run(bag: Path, output: Path, storage: str = "mcap") -> Report:
    options = JobOptions((bag,), (output,), NodeParameters(), copy=True, storage=storage)
    with Job(options) as job:
        return job.run()


def everything_in(path: Path) -> dict[str, list[Any]]:
    """Return all that a reader of the package mcap sees, but for the numbers of channels."""
    with path.open("rb") as stream:
        reader = mcap.reader.make_reader(stream)
        return {
            "messages": [
                (
                    (schema.name, schema.encoding, schema.data) if schema else None,
                    (channel.topic, channel.message_encoding, channel.metadata),
                    (message.sequence, message.log_time, message.publish_time, message.data),
                )
                for schema, channel, message in reader.iter_messages()
            ],
            "attachments": list(reader.iter_attachments()),
            "metadata": [each for each in reader.iter_metadata() if each.name != "rosbag2"],
        }


def mixed_bag(path: Path) -> Path:
    """A bag with all that MCAP has: two types on one topic, and times that differ."""
    with path.open("wb") as stream:
        writer = mcap.writer.Writer(stream)
        writer.start("", "another recorder")
        images = camera_messages(list(scene(2)))
        schema = writer.register_schema("sensor_msgs/msg/CompressedImage", "ros2msg", b"byte a")
        metadata = {"offered_qos_profiles": "not: [yaml", "location": "kitchen"}
        channel = writer.register_channel("/camera/image/compressed", "cdr", schema, metadata)
        binary = writer.register_schema("note", "protobuf", bytes(range(256)))
        notes = [
            writer.register_channel("/notes", "protobuf", binary, {"a": "b"}),
            writer.register_channel("/notes", "json", 0),
        ]
        for number, (_, kind, log_time, data) in enumerate(images):
            if kind.endswith("CompressedImage"):
                writer.add_message(channel, log_time, data, log_time - 5000, 7 + number)
            for note in notes:
                writer.add_message(note, log_time, b'{"a": 1}', log_time - 1, number)
        writer.add_attachment(1, START, "notes.txt", "text/plain", b"hello")
        writer.add_metadata("robot", {"name": "R2"})
        writer.add_metadata("rosbag2", {"serialized_metadata": "of the input"})
        writer.finish()
    return path


@pytest.mark.parametrize("made_here", [True, False])
def test_a_copy_in_mcap_loses_nothing(made_here: bool, tmp_path: Path) -> None:
    path = mixed_bag(tmp_path / "mixed.mcap") if made_here else MIXED / "mixed_0.mcap"
    report = run(path, tmp_path / "out")
    expected = everything_in(path)
    assert len(expected["attachments"]) == 1
    copied = everything_in(tmp_path / "out" / "out_0.mcap")
    faces = [message for message in copied["messages"] if message[1][0].endswith("faces")]
    assert len(faces) == (2 if made_here else 4)
    assert copied["attachments"] == expected["attachments"]
    assert copied["metadata"] == expected["metadata"]
    kept = [without_ours(each) for each in copied["messages"] if each not in faces]
    assert sorted(kept, key=repr) == sorted(map(without_ours, expected["messages"]), key=repr)
    assert not any("not copied" in remark for remark in report.remarks)


def without_ours(message: Any) -> Any:
    """Leave out what rosbag2 needs of ROS topics, where the input does not have it."""
    schema, (topic, encoding, metadata), content = message
    metadata = {key: value for key, value in metadata.items() if key != "topic_type_hash"}
    if encoding == "cdr" and not metadata.get("offered_qos_profiles"):
        metadata.pop("offered_qos_profiles", None)
    return schema, (topic, encoding, metadata), content


def test_what_sqlite_cannot_hold_is_said(tmp_path: Path) -> None:
    report = run(mixed_bag(tmp_path / "mixed.mcap"), tmp_path / "out", "sqlite3")
    (remark,) = [remark for remark in report.remarks if "not copied" in remark]
    for part in (
        "because a bag in SQLite cannot hold it",
        "4 messages in protobuf on /notes",
        "4 messages in json on /notes",
        "1 attachments",
        "1 metadata records",
        "2 times of publication",
        "--storage mcap can",
    ):
        assert part in remark
    topics = {name for name, _, _ in content_of(tmp_path / "out")}
    assert topics == {"/camera/image/compressed", "/camera/faces"}


@pytest.mark.parametrize(("storage", "suffix"), [("mcap", ".mcap"), ("sqlite3", ".db3")])
def test_files_and_metadata_are_those_of_rosbag2(storage: str, suffix: str, tmp_path: Path) -> None:
    with BagWriter(tmp_path / "kitchen", storage) as writer:
        writer.add_topic(topic_of_type("/chatter", "std_msgs/msg/String"))
        writer.add_topic(topic_of_type("/silent", "std_msgs/msg/String"))
        for number in range(3):
            writer.write("/chatter", START + number, text(f"{number}"))
    # What `ros2 bag reindex` looks for.
    name = f"kitchen_0{suffix}"
    assert sorted(path.name for path in (tmp_path / "kitchen").iterdir()) == [
        name,
        "metadata.yaml",
    ]
    content = yaml.safe_load((tmp_path / "kitchen" / "metadata.yaml").read_text())
    facts = content["rosbag2_bagfile_information"]
    assert facts["relative_file_paths"] == [name]
    assert facts["files"][0]["path"] == name
    assert facts["message_count"] == facts["files"][0]["message_count"] == 3
    assert facts["starting_time"]["nanoseconds_since_epoch"] == START
    assert facts["duration"]["nanoseconds"] == 2
    assert facts["ros_distro"] == "maix_facemesh_ros"
    assert b"rosbags" not in (tmp_path / "kitchen" / name).read_bytes()
    with Bag(tmp_path / "kitchen") as bag:
        assert [topic.message_count for topic in bag.topics] == [3, 0]
        assert {topic.type_hash[:10] for topic in bag.topics} == {
            topic_of_type("/a", "std_msgs/msg/String").type_hash[:10]
        }
    with AnyReader([tmp_path / "kitchen"]) as reader:
        read: list[Any] = [
            reader.deserialize(data, each.msgtype) for each, _, data in reader.messages()
        ]
    assert [message.data for message in read] == ["0", "1", "2"]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_without_a_message_is_a_bag(storage: str, tmp_path: Path) -> None:
    with BagWriter(tmp_path / "empty", storage) as writer:
        writer.add_topic(topic_of_type("/chatter", "std_msgs/msg/String"))
    with AnyReader([tmp_path / "empty"]) as reader:
        assert reader.message_count == 0
    with Bag(tmp_path / "empty") as bag:
        assert bag.times is None
        assert [topic.name for topic in bag.topics] == ["/chatter"]


def test_messages_from_before_1970_are_said_to_be_missing(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic(topic_of_type("/chatter", "std_msgs/msg/String"))
        writer.write("/chatter", -5, text("a"))
        writer.write("/chatter", 5, text("a"))
    assert writer.not_held == {"messages from before 1970": 1}
    assert len(content_of(tmp_path / "bag")) == 1


def test_qualities_of_service_and_hashes_are_kept(tmp_path: Path) -> None:
    """From one bag to another, in MCAP and SQLite, as far as each says it."""
    bag = write_bag(tmp_path / "bag", camera_messages(list(scene(1))))
    for number, storage in enumerate(("sqlite3", "mcap", "sqlite3")):
        output = tmp_path / f"out{number}"
        run(bag, output, storage)
        with Bag(bag) as before, Bag(output) as after:
            for topic in before.topics:
                if not topic.name.endswith("faces"):
                    copy = after.topic(topic.name)
                    assert copy.offered_qos == topic.offered_qos
                    assert copy.definition == topic.definition
                    assert copy.type_hash == (topic.type_hash or copy.type_hash)
        bag = output

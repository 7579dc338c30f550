"""`facemesh_bag`: what the node would answer, for everything that is recorded."""

from __future__ import annotations

import csv
import itertools
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader

from maix_facemesh_ros.analysis.angles import direction_angles, head_angles
from maix_facemesh_ros.backends.onnx.blazeface import FullRangeDetector
from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.bags import camera_topics
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.offline.job import Job, Report
from maix_facemesh_ros.offline.main import main
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.offline.segments import SegmentTracker
from maix_facemesh_ros.offline.tables import IMAGE_COLUMNS
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.ros.messages import faces_of
from recorded_bags import (
    HEIGHT,
    INTERVAL,
    KINDS,
    LATENCY,
    SECOND,
    START,
    WIDTH,
    Recorded,
    camera_messages,
    compressed_image,
    content_of,
    fingerprint,
    jpeg,
    kind_name,
    scene,
    seconds,
    stamp_of,
    storage_file,
    text,
    write_bag,
)

COUNT = 60
IMAGES = "/camera/image_raw/compressed"


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of one camera, and something else."""
    messages = camera_messages(list(scene(COUNT)))
    messages.append(("/chatter", "std_msgs/msg/String", START + 5 * INTERVAL, text("hello")))
    return write_bag(tmp_path_factory.mktemp("recorded") / "kitchen", messages)


@pytest.fixture(scope="module")
def expected() -> list[tuple[int, int, list[Any]]]:
    """Stamp, log time and faces of each image, by `FaceMesh` alone, one after the other."""
    return answers(list(scene(COUNT)), NodeParameters())


def answers(images: Sequence[Any], parameters: NodeParameters) -> list[tuple[int, int, list[Any]]]:
    result = []
    with FaceMesh(parameters) as mesh:
        mesh.camera = CameraModel.from_calibration(
            WIDTH, HEIGHT, camera_matrix(), np.zeros(5), "plumb_bob"
        )
        for number, image in enumerate(images):
            stamp = START + number * INTERVAL + 7 * number
            decoded = cv2.imdecode(np.frombuffer(jpeg(image), np.uint8), cv2.IMREAD_COLOR)
            faces = mesh.process(np.asarray(decoded, np.uint8), seconds(stamp), bgr=True)
            result.append((stamp, stamp + LATENCY, faces))
    return result


def camera_matrix() -> list[float]:
    return [300, 0, WIDTH / 2 - 0.5, 0, 300, HEIGHT / 2 - 0.5, 0, 0, 1]


def run(inputs: Path | Sequence[Path], output: Path, **options: Any) -> Report:
    paths = (inputs,) if isinstance(inputs, Path) else tuple(inputs)
    options.setdefault("parameters", NodeParameters())
    with Job(JobOptions(paths, (output,), **options)) as job:
        return job.run()


def faces_in(bag: Path, topic: str = "/camera/faces") -> list[tuple[int, FaceArray]]:
    """Return log time and message, read as a node reads it."""
    return [
        (log_time, deserialize_message(data, FaceArray))
        for name, log_time, data in content_of(bag)
        if name == topic
    ]


def assert_same(found: list[tuple[int, FaceArray]], expected: list[tuple[int, int, Any]]) -> None:
    """Compare to the last bit of the message."""
    assert [log_time for log_time, _ in found] == [log_time for _, log_time, _ in expected]
    assert [stamp_of(message) for _, message in found] == [stamp for stamp, _, _ in expected]
    for (_, message), (stamp, _, faces) in zip(found, expected, strict=True):
        assert message.header.frame_id == "camera"
        assert (message.image_width, message.image_height) == (WIDTH, HEIGHT)
        for face, wanted in zip(faces_of(message), faces, strict=True):
            assert face.id == wanted.id, stamp
            assert face.score == np.float32(wanted.score)
            np.testing.assert_array_equal(face.points, wanted.points)
            np.testing.assert_array_equal(face.points_z, wanted.points_z)
            np.testing.assert_array_equal(face.box_keypoints, wanted.box_keypoints)
            np.testing.assert_array_equal(face.box, np.float32(wanted.box))
            assert (face.pose is None) == (wanted.pose is None)
            if face.pose is not None:
                np.testing.assert_allclose(face.pose, wanted.pose, atol=1e-12)


def test_the_faces_are_those_of_face_mesh_and_the_times_those_of_the_images(
    bag: Path, expected: list[tuple[int, int, Any]], tmp_path: Path
) -> None:
    before = fingerprint(bag)
    report = run(bag, tmp_path / "faces")
    assert_same(faces_in(tmp_path / "faces"), expected)
    assert report.images == COUNT
    assert report.faces == sum(len(faces) for _, _, faces in expected) > 50
    assert expected[0][2][0].pose is not None
    assert report.remarks == []
    assert fingerprint(bag) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces"]


def eye_distances(found: Sequence[Any], expected: Sequence[Any]) -> list[float]:
    """Return how far the landmarks of each face are from another's, in eye distances."""
    return [
        float(
            np.linalg.norm(face.points - wanted.points, axis=1).mean()
            / np.linalg.norm(wanted.points[33] - wanted.points[263])
        )
        for face, wanted in zip(found, expected, strict=True)
    ]


def test_it_does_not_depend_on_the_workers_and_is_near_to_face_mesh(
    bag: Path, expected: list[tuple[int, int, Any]], tmp_path: Path
) -> None:
    length = 20
    for workers in (1, 2, 3):
        report = run(bag, tmp_path / f"{workers}", workers=workers, segment_length=length)
        assert report.repeated_segments == 0
    assert content_of(tmp_path / "1") == content_of(tmp_path / "2") == content_of(tmp_path / "3")
    found = faces_in(tmp_path / "1")
    assert_same(found[:length], expected[:length])
    distances: list[float] = []
    at_first: list[float] = []
    in_view = 0
    for (_, message), (_, _, wanted) in zip(found[length:], expected[length:], strict=True):
        faces = faces_of(message)
        assert [face.id for face in faces] == [face.id for face in wanted]
        in_view = in_view + 1 if faces else 0
        # It may have been detected at another scale.
        (at_first if 0 < in_view <= 3 else distances).extend(eye_distances(faces, wanted))
    assert 0 < np.mean(distances) < 0.0005
    assert max(distances) < 0.002
    assert max(at_first) < 0.01


def test_pixels_are_needed_by_the_workers_only(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joining segments, ids, smoothing, poses, expressions, gaze: nothing needs an image."""
    parameters = NodeParameters(blendshapes=True, gaze=True, foxglove_msgs=True)
    options: dict[str, Any] = {"segment_length": 20, "parameters": parameters}
    run(bag, tmp_path / "alone", **options)

    def no_pixels(*_: Any) -> None:
        pytest.fail("the first process decodes an image")

    monkeypatch.setattr(SegmentTracker, "process", no_pixels)
    readers = dict.fromkeys(camera_topics.READERS, no_pixels)
    monkeypatch.setattr("maix_facemesh_ros.offline.recorded_bag.READERS", readers)
    report = run(bag, tmp_path / "together", workers=2, **options)
    assert report.repeated_segments == 0
    assert content_of(tmp_path / "together") == content_of(tmp_path / "alone")


def test_several_faces_that_come_and_go_are_the_same_with_workers(tmp_path: Path) -> None:
    one = list(scene(45))
    two = zip(one, scene(45, offset=2), strict=True)
    crowd = [np.concatenate([left, right[:, ::-1]], axis=1) for left, right in two]
    bag = write_bag(tmp_path / "crowd", camera_messages(crowd))
    for workers in (1, 2):
        run(bag, tmp_path / f"faces{workers}", workers=workers, segment_length=10)
    alone, together = (content_of(tmp_path / f"faces{workers}") for workers in (1, 2))
    assert alone == together
    counts = {len(message.faces) for _, message in faces_in(tmp_path / "faces1")}
    assert {0, 1, 2} <= counts


def test_a_face_that_only_the_tracker_finds_stays_where_a_segment_begins(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that turns away: the detector finds nothing in the warm-up."""
    runs = itertools.count()

    def find_once(name: str) -> None:
        method = getattr(FullRangeDetector, name)

        def once(*arguments: Any, **options: Any) -> list[Detection]:
            found: list[Detection] = method(*arguments, **options) if next(runs) < 1 else []
            return found

        monkeypatch.setattr(FullRangeDetector, name, once)

    for name in ("detect", "search"):  # the whole image, or parts of it
        find_once(name)
    with FaceMesh(NodeParameters()) as mesh:
        images = [
            cv2.imdecode(np.frombuffer(jpeg(each), np.uint8), cv2.IMREAD_COLOR)
            for each in scene(COUNT)
        ]
        tracked = [
            len(mesh.process(np.asarray(each, np.uint8), number / 30, bgr=True))
            for number, each in enumerate(images)
        ]
    runs = itertools.count()
    report = run(bag, tmp_path / "faces", segment_length=15)
    assert [len(message.faces) for _, message in faces_in(tmp_path / "faces")] == tracked
    assert sum(tracked) > 20
    assert report.repeated_segments >= 1


@pytest.mark.parametrize("kind", KINDS[1:], ids=kind_name)
def test_every_kind_of_bag(kind: Any, tmp_path: Path) -> None:
    images = list(scene(6))
    bag = write_bag(tmp_path / "bag", camera_messages(images, raw=True), kind)
    run(bag, tmp_path / "faces", workers=2 if kind == KINDS[3] else 1, segment_length=3)
    found = faces_in(tmp_path / "faces")
    assert [stamp_of(message) for _, message in found] == [
        START + number * (INTERVAL + 7) for number in range(6)
    ]
    with FaceMesh(NodeParameters()) as mesh:
        faces = mesh.process(images[0], seconds(START))
    np.testing.assert_array_equal(faces_of(found[0][1])[0].points, faces[0].points)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_the_output_has_everything_that_is_asked_for_and_any_reader_opens_it(
    storage: str, bag: Path, tmp_path: Path
) -> None:
    output = tmp_path / "all"
    parameters = NodeParameters(foxglove_msgs=True)
    run(bag, output, copy=True, annotated=True, storage=storage, parameters=parameters)

    content = content_of(output)
    own = ("/camera/faces", "/camera/facemesh/image_annotations")
    drawn = "/camera/facemesh/image_annotated/compressed"
    copied = [message for message in content if message[0] not in (*own, drawn)]
    assert sorted(copied) == sorted(content_of(bag))
    for topic in (*own, drawn):
        assert len([name for name, _, _ in content if name == topic]) == COUNT
    # Of one moment: the image, then what is made of it.
    first = [name for name, log_time, _ in content if log_time == START + LATENCY]
    assert first[0] == IMAGES
    assert set(first[1:]) == {*own, drawn}

    # With nothing but what the bag brings.
    with AnyReader([output]) as reader:
        read: dict[str, Any] = {
            connection.topic: reader.deserialize(data, connection.msgtype)
            for connection, _, data in reader.messages()
        }
    assert read["/chatter"].data == "hello"
    (face,) = read["/camera/faces"].faces
    assert len(face.points) == 2 * 478
    outline, dots = read["/camera/facemesh/image_annotations"].points
    assert (outline.type, len(outline.points)) == (2, 4)
    assert (dots.points[4].x, dots.points[4].y) == tuple(face.points[8:10])
    image = cv2.imdecode(read[drawn].data, cv2.IMREAD_COLOR)
    original = cv2.imdecode(read[IMAGES].data, cv2.IMREAD_COLOR)
    assert image is not None
    assert original is not None
    x, y = (round(value) for value in (face.box.x, face.box.y))
    difference = np.abs(image.astype(int) - original)
    assert difference[y : y + 60, x : x + 60].mean() > 5 * difference[-40:, -40:].mean()

    metadata = yaml.safe_load((output / "metadata.yaml").read_text())
    facts = metadata["rosbag2_bagfile_information"]
    assert facts["version"] == 8  # as Humble and later read it
    assert facts["storage_identifier"] == storage
    assert facts["message_count"] == len(content)
    assert facts["relative_file_paths"] == [storage_file(output).name]
    counted = {
        each["topic_metadata"]["name"]: each["message_count"]
        for each in facts["topics_with_message_count"]
    }
    assert counted == {name: sum(name == each[0] for each in content) for name in counted}
    assert facts["starting_time"]["nanoseconds_since_epoch"] == content[0][1]
    assert facts["duration"]["nanoseconds"] == content[-1][1] - content[0][1]


def test_each_camera_has_its_own_tracker_and_its_own_calibration(tmp_path: Path) -> None:
    count = 12
    left = camera_messages(list(scene(count)), "/left")
    right = camera_messages(list(scene(count, offset=20)), "/right", raw=True)
    right = [each for each in right if not each[0].endswith("camera_info")]
    bag = write_bag(tmp_path / "both", left + right)
    run(bag, tmp_path / "faces", workers=2, segment_length=5)
    assert_same(
        faces_in(tmp_path / "faces", "/left/faces"),
        answers(list(scene(count)), NodeParameters()),
    )
    of_right = [message for _, message in faces_in(tmp_path / "faces", "/right/faces")]
    assert len(of_right) == count
    with_faces = [message.faces[0] for message in of_right if message.faces]
    assert {face.id for face in with_faces} == {1}
    assert not any(face.pose_valid for face in with_faces)


def test_topics_can_be_chosen_and_named(tmp_path: Path) -> None:
    images = list(scene(3))
    messages = camera_messages(images, "/eye", raw=True) + camera_messages(images, "/eye")
    messages += [
        (f"/eye/{name}", kind, log_time, serialized)
        for topic, kind, log_time, serialized in camera_messages(images, "/eye", raw=True)
        if topic.endswith("image_raw")
        for name in ("image_left",)
    ]
    bag = write_bag(tmp_path / "bag", messages)

    report = run(bag, tmp_path / "all")
    topics = {name for name, _, _ in content_of(tmp_path / "all")}
    # Two in one namespace are told apart; what is there twice is processed once.
    assert topics == {"/eye/image_raw/faces", "/eye/image_left/faces"}
    (remark,) = report.remarks
    assert (
        "/eye/image_raw/compressed is skipped (3 messages): /eye/image_raw has the same" in remark
    )

    run(
        *(bag, tmp_path / "one"),
        topics=("/eye/image_raw/compressed",),
        faces_topic="/seen{topic}",
    )
    assert {name for name, _, _ in content_of(tmp_path / "one")} == {"/seen/eye/image_raw"}


def test_several_inputs_become_a_bag_each(bag: Path, tmp_path: Path) -> None:
    other = write_bag(tmp_path / "hall", camera_messages(list(scene(5, offset=30))))
    report = run([bag, other], tmp_path / "faces", workers=2)
    assert report.images == COUNT + 5
    assert sorted(path.name for path in (tmp_path / "faces").iterdir()) == ["hall", "kitchen"]
    assert len(faces_in(tmp_path / "faces" / "hall")) == 5
    assert len(faces_in(tmp_path / "faces" / "kitchen")) == COUNT


def test_a_video_and_a_folder_become_tables(tmp_path: Path) -> None:
    images = list(scene(8))
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "notes.txt").write_text("no image")
    video = cv2.VideoWriter(
        str(tmp_path / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (WIDTH, HEIGHT)
    )
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number}.png"), image[:, :, ::-1])
        video.write(image[:, :, ::-1])
    video.release()
    with FaceMesh(NodeParameters()) as mesh:
        expected = [
            mesh.process(image, seconds(round(number * SECOND / 30)))[0]
            for number, image in enumerate(images)
        ]

    run(folder, tmp_path / "folder.csv", workers=2, segment_length=4, stream=True)
    rows = read_csv(tmp_path / "folder.csv")
    assert [int(row["stamp"]) for row in rows] == [round(n * SECOND / 30) for n in range(8)]
    for row, face in zip(rows, expected, strict=True):
        assert int(row["id"]) == face.id == 1
        assert row["topic"] == "/image_raw"
        for index in (0, 4, 477):
            read = [float(row[f"{axis}{index}"]) for axis in "xyz"]
            np.testing.assert_array_equal(
                np.array(read, np.float32), [*face.points[index], face.points_z[index]]
            )
        assert "pose_00" not in row  # no calibration

    run(tmp_path / "film.avi", tmp_path / "film.csv", workers=2, segment_length=3)
    rows = read_csv(tmp_path / "film.csv")
    assert [int(row["stamp"]) for row in rows] == [n * SECOND // 25 for n in range(8)]
    for row, face in zip(rows, expected, strict=True):
        assert abs(float(row["x4"]) - face.points[4, 0]) < 1.5  # MJPG is lossy


def test_a_table_has_angles_and_images_without_faces(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    faces = next(iter(scene(1)))
    for name, image in (("a", np.zeros_like(faces)), ("b", faces)):
        cv2.imwrite(str(folder / f"{name}.png"), image[:, :, ::-1])
    parameters = NodeParameters(assumed_field_of_view=65.0, gaze=True)
    report = run(folder, tmp_path / "all.csv", parameters=parameters)
    assert not any("no columns" in remark for remark in report.remarks)
    empty, row = read_csv(tmp_path / "all.csv")
    assert [Path(each["recording"]).name for each in (empty, row)] == ["a.png", "b.png"]
    assert [each["image"] for each in (empty, row)] == ["0", "1"]
    assert (empty["image_width"], empty["image_height"]) == (str(WIDTH), str(HEIGHT))
    assert {value for name, value in empty.items() if name not in IMAGE_COLUMNS} == {""}

    pose = np.eye(4)
    pose[:3] = [[float(row[f"pose_{r}{c}"]) for c in range(4)] for r in range(3)]
    angles = [float(row[name]) for name in ("yaw", "pitch", "roll")]
    assert angles == pytest.approx(head_angles(pose), abs=1e-4)
    assert float(row["distance"]) == pytest.approx(np.linalg.norm(pose[:3, 3]), rel=1e-6)
    gaze = np.array([float(row[f"gaze_{axis}"]) for axis in "xyz"])
    seen = [float(row[name]) for name in ("gaze_yaw", "gaze_pitch")]
    assert seen == pytest.approx(direction_angles(gaze), abs=1e-3)

    run(folder, tmp_path / "faces.csv", rows_without_faces=False)
    assert [row["image"] for row in read_csv(tmp_path / "faces.csv")] == ["1"]


def test_a_table_without_a_camera_has_no_poses_and_says_so_once(tmp_path: Path) -> None:
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), next(iter(scene(1)))[:, :, ::-1])
    report = run(tmp_path, tmp_path.parent / "t.csv", parameters=NodeParameters(gaze=True))
    (remark,) = (remark for remark in report.remarks if "no columns" in remark)
    assert remark.startswith("no columns for pose and gaze, because the camera is not known: give")


def test_photos_give_all_faces_unless_told(tmp_path: Path) -> None:
    both = np.hstack([next(iter(scene(1)))] * 2)
    cv2.imwrite(str(tmp_path / "two.png"), both[:, :, ::-1])
    for extra, count in (([], 2), (["-p", "max_face_num:=1"], 1)):
        table = tmp_path.parent / f"{count}.csv"
        assert main([str(tmp_path), "-o", str(table), *extra, "--quiet"]) == 0
        assert len(read_csv(table)) == count


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_a_table_in_parquet_says_the_same(bag: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow writes Parquet")
    outputs = (tmp_path / "faces.csv", tmp_path / "faces.parquet")
    parameters = NodeParameters(landmarks_num=5)
    with Job(JobOptions((bag,), outputs, parameters)) as job:
        job.run()
    table = parquet.read_table(outputs[1]).to_pylist()
    rows = read_csv(outputs[0])
    assert len(table) == len(rows) > 50
    assert list(table[0]) == list(rows[0])
    assert [name for name in rows[0] if name.startswith("x") and name != "x"] == [
        "x468",
        "x473",
        "x4",
        "x61",
        "x291",
    ]
    for row, values in zip(rows, table, strict=True):
        assert {name: str(value) for name, value in values.items() if isinstance(value, int)} == {
            name: row[name] for name, value in values.items() if isinstance(value, int)
        }
        assert float(row["pose_23"]) == pytest.approx(values["pose_23"], rel=1e-8)


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[4]], ids=kind_name)
def test_a_damaged_bag_gives_what_can_be_read_and_a_count(kind: Any, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", camera_messages(list(scene(24)), raw=True), kind)
    run(bag, tmp_path / "whole", segment_length=6)
    content = storage_file(bag).read_bytes()
    storage_file(bag).write_bytes(content[: len(content) * 2 // 3])

    report = run(bag, tmp_path / "part", workers=2, segment_length=6)

    found = content_of(tmp_path / "part")
    assert 8 < len(found) < 20
    assert found == content_of(tmp_path / "whole")[: len(found)]
    (remark,) = report.remarks
    assert re.search(r": [0-9]+ messages cannot be read: bag", remark)


def test_a_damaged_image_is_counted_and_the_others_are_answered(tmp_path: Path) -> None:
    messages = camera_messages(list(scene(12)))
    broken: Recorded = (*messages[9][:3], compressed_image(START, b"no JPEG at all"))
    bag = write_bag(tmp_path / "bag", [*messages[:9], broken, *messages[10:]])
    results = []
    for workers in (1, 2):
        report = run(bag, tmp_path / f"faces{workers}", workers=workers, segment_length=4)
        assert sum(report.unusable.values()) == 1
        assert "cannot be decoded" in next(iter(report.unusable))
        results.append(content_of(tmp_path / f"faces{workers}"))
    assert len(results[0]) == 11
    assert results[0] == results[1]


def test_a_topic_of_unknown_type_is_copied_as_it_is(tmp_path: Path) -> None:
    """As from a bag of Humble in SQLite, which has no definitions."""
    bag = write_bag(tmp_path / "bag", camera_messages(list(scene(2))), KINDS[4])
    with sqlite3.connect(storage_file(bag)) as database:
        database.execute("DELETE FROM message_definitions")
        database.execute("INSERT INTO topics VALUES (9, '/odd', 'odd_msgs/msg/Odd', 'cdr', '', '')")
        database.execute(
            "INSERT INTO messages VALUES (NULL, 9, ?, ?)", (START, b"\x00\x01\x00\x00\x07")
        )
    database.close()
    (bag / "metadata.yaml").unlink()
    run(bag, tmp_path / "faces", copy=True)
    assert ("/odd", START, b"\x00\x01\x00\x00\x07") in content_of(tmp_path / "faces")
    assert len(faces_in(tmp_path / "faces")) == 2


def command(*arguments: str | Path) -> int:
    return main([*map(str, arguments), "--quiet", "--workers", "1"])


def test_errors_are_one_line_and_leave_nothing_behind(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "faces"
    file = tmp_path / "parameters.yaml"
    file.write_text("nonsense")
    cases: list[tuple[list[str | Path], str]] = [
        ([tmp_path / "nothing", "-o", output], "does not exist"),
        ([bag, "-o", output, "--topics", "/chatter"], "but images are sensor_msgs/msg/Image"),
        ([bag, "-o", output, "--topics", "/b"], "has no topic /b: it has"),
        ([bag, "-o", bag], "is the input"),
        ([bag, "-o", bag / "faces"], "is the input"),
        ([bag, "-o", tmp_path / "out.json"], "out.json cannot be written: an output is a table"),
        ([bag, "-o", tmp_path / "out.tsv"], "an output is a table, which"),
        ([bag, "-o", tmp_path / "out.xlsx"], "out.xlsx cannot be written"),
        ([bag, "-o", output, "-p", "max_faces:=4"], "did you mean 'max_face_num'?"),
        ([bag, "-o", output, "-p", "max_face_num=4"], "give NAME:=VALUE"),
        ([bag, "-o", output, "-p", "detect_conf_th:=7"], "give 0 to 1"),
        ([bag, "-o", output, "-p", "backend:=maix"], "give onnx or auto"),
        ([bag, "-o", output, "-p", "landmarks_interval:=4"], "leave it at 1"),
        ([bag, "-o", output, "--params-file", file], "is not a parameter file"),
        ([bag, "-o", output, "--faces-topic", "{camera}"], "may have {namespace} and {topic}"),
        ([bag, "-o", tmp_path / "a.csv", "--copy"], "name one with --output"),
        ([__file__, "-o", output], "is not an image or video that OpenCV can read"),
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    for arguments, error in cases:
        assert command(*arguments) == 1, arguments
        said = capsys.readouterr().err
        assert error in said
        assert said.startswith("facemesh_bag: ")
        assert said.count("\n") == 1, said
        assert sorted(path.name for path in tmp_path.iterdir()) == before, arguments


def test_what_is_there_is_not_overwritten(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "faces").write_text("mine")
    assert command(bag, "-o", tmp_path / "faces") == 1
    assert "exists, and is not overwritten" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]
    assert (tmp_path / "faces").read_text() == "mine"


def test_the_command_line_takes_the_parameters_of_the_node(bag: Path, tmp_path: Path) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text(
        "/**:\n  ros__parameters:\n    landmarks_num: 68\n    smoothing: one_euro\n"
        "another_node:\n  ros__parameters:\n    landmarks_num: 5\n"
        "/robot/facemesh:\n  ros__parameters:\n    pose: false\n"
    )
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "maix_facemesh_ros.programs.start", "facemesh_bag"),
            *(bag, "-o", tmp_path / "faces", "--params-file", file),
            *("-p", "smoothing:=off", "--workers", "2"),
        ],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    assert f"{COUNT} images" in finished.stdout
    assert "times as fast as recorded" in finished.stdout
    assert finished.stderr == ""
    parameters = NodeParameters(landmarks_num=68, smoothing="off", pose=False)
    expected = answers(list(scene(COUNT)), parameters)
    assert_same(faces_in(tmp_path / "faces"), expected)


def test_a_calibration_file_stands_in_for_camera_info(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), next(scene(1))[:, :, ::-1])
    file = tmp_path / "camera.yaml"
    matrix = {"data": camera_matrix()}
    content = {
        "image_width": WIDTH,
        "image_height": HEIGHT,
        "camera_matrix": matrix,
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"data": [0.0] * 5},
        "projection_matrix": {"data": [300, 0, 160, 0, 0, 300, 120, 0, 0, 0, 1, 0]},
    }
    file.write_text(yaml.safe_dump(content))
    run(folder, tmp_path / "faces", parameters=NodeParameters(calibration_file=str(file)))
    ((_, message),) = faces_in(tmp_path / "faces", "/faces")
    expected = answers(list(scene(1)), NodeParameters())[0][2][0]
    assert message.faces[0].pose_valid
    assert message.faces[0].pose.position.z == pytest.approx(expected.pose[2, 3], rel=0.02)


#: Prints the most memory, in kilobytes, that a job has taken here and in a worker.
MEMORY = """
import resource, sys
from pathlib import Path
from maix_facemesh_ros.offline.job import Job
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.parameters import NodeParameters
options = JobOptions(
    (Path(sys.argv[1]),), (Path(sys.argv[2]),), NodeParameters(detector="short_range"),
    workers=int(sys.argv[3]), copy=True, annotated=True, segment_length=20,
)
with Job(options) as job:
    job.run()
# ru_maxrss of this process would have that of the one that has started it in it.
status = Path("/proc/self/status").read_text().split()
print(status[status.index("VmHWM:") + 1])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_memory_does_not_grow_with_the_bag(workers: int, tmp_path: Path) -> None:
    """Ten times as many images, of 230 kilobytes each, in no more than a part of that."""
    gray = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    most = []
    for count in (50, 500):
        bag = write_bag(tmp_path / f"bag{count}", camera_messages([gray] * count, raw=True))
        arguments = [str(bag), str(tmp_path / f"faces{count}"), str(workers)]
        finished = subprocess.run(
            [sys.executable, "-c", MEMORY, *arguments],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert finished.returncode == 0, finished.stderr
        most.append([int(line) for line in finished.stdout.split()])
    for small, large in zip(*most, strict=True):
        assert large - small < 30_000, most

"""What counts as the same as golden faces, what does not, and what is said of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.ros.replay.golden import GoldenCheck, GoldenFaces
from maix_facemesh_ros.ros.replay.tolerances import Tolerances

SECOND = 10**9

DATA = Path(__file__).parents[1] / "data" / "replay"


def vector(*numbers: float) -> SimpleNamespace:
    return SimpleNamespace(**dict(zip("xyzw", numbers, strict=False)))


def face(**fields: Any) -> SimpleNamespace:
    """A face with something in every field."""
    return SimpleNamespace(
        **{
            "id": 1,
            "score": 0.9,
            "box": SimpleNamespace(x=10.0, y=20.0, width=90.0, height=100.0),
            "box_keypoints": [np.nan, np.nan, 3.0, 4.0],
            "landmarks_score": 0.8,
            "points": [1.0, 2.0, 3.0, 4.0],
            "points_z": [5.0, 6.0],
            "points_rel": [7.0, 8.0, 9.0, 10.0],
            "indices": [4, 5],
            "blendshapes": [0.1, 0.2],
            "pose_valid": True,
            "pose": SimpleNamespace(position=vector(0, 0, 2.0), orientation=vector(0, 0, 0, 1.0)),
            "points_3d": [0.0, 0.0, 2.0, 0.1, 0.0, 2.0],
            "gaze_valid": True,
            "gaze_origin": vector(0, 0, 2.0),
            "gaze": vector(0, 0, -1.0),
            "gaze_right": vector(0, 0, -1.0),
            "gaze_left": vector(0, 0, -1.0),
            "head_scale": 1.0,
            "scale_source": 0,
            **fields,
        }
    )


def answer(stamp: int, *faces: SimpleNamespace, frame_id: str = "camera") -> SimpleNamespace:
    time = SimpleNamespace(sec=stamp // SECOND, nanosec=stamp % SECOND)
    header = SimpleNamespace(stamp=time, frame_id=frame_id)
    return SimpleNamespace(header=header, image_width=640, image_height=480, faces=faces)


def check(found: Any, golden: Any, **options: Any) -> GoldenCheck:
    """Compare the answer to one image."""
    result = GoldenCheck([golden], **options)
    result.image(golden.header.stamp.sec * SECOND + golden.header.stamp.nanosec, found)
    result.finish()
    return result


def test_what_is_the_same_passes() -> None:
    result = check(answer(7, face(), face(id=2)), answer(7, face(), face(id=2)))
    assert result.passed
    assert result.report() == [
        "1 image: 1 the same",
        "largest differences: 0 pixels (allowed: 0.2), 0 (score) (allowed: 0.01), "
        "0 of the distance (allowed: 0.01), 0 degrees (allowed: 2)",
    ]


def turned(degrees: float) -> SimpleNamespace:
    half = np.radians(degrees) / 2
    return SimpleNamespace(
        position=vector(0, 0, 2.0), orientation=vector(np.sin(half), 0, 0, np.cos(half))
    )


def looking(degrees: float) -> SimpleNamespace:
    angle = np.radians(degrees)
    return vector(np.sin(angle), 0, -np.cos(angle))


#: By field: the same within the tolerance, too far off, and what is said.
CHANGES: dict[str, tuple[Any, Any, str]] = {
    "score": (0.905, 0.93, "score is 0.93 and should be 0.9: 0.03 (score) apart, 0.01 allowed"),
    "box": (
        SimpleNamespace(x=10.0, y=20.0, width=90.1, height=100.0),
        SimpleNamespace(x=10.0, y=20.0, width=91.5, height=100.0),
        "box[2] is 91.5 and should be 90: 1.5 pixels apart, 0.2 allowed",
    ),
    "box_keypoints": ([np.nan, np.nan, 3.1, 4.0], [1.0, np.nan, 3.0, 4.0], "inf pixels apart"),
    "landmarks_score": (0.795, np.nan, "landmarks_score is nan and should be 0.8"),
    "points": ([1.0, 2.0, 3.1, 4.0], [1.0, 2.0, 3.0, 4.5], "points[3] is 4.5 and should be 4"),
    "points_z": ([5.1, 6.0], [5.0], "points_z has 1 number and should have 2"),
    "points_rel": ([7.1, 8.0, 9.0, 10.0], [np.inf, 8.0, 9.0, 10.0], "points_rel[0] is inf"),
    "indices": ([4, 5], [5, 4], "indices differ (2 here, 2 golden)"),
    "blendshapes": ([0.1, 0.205], [0.1, 0.3], "blendshapes[1] is 0.3"),
    "pose_valid": (True, False, "pose_valid is False and should be True"),
    "pose": (turned(1.0), turned(3.0), "pose.orientation: 3 degrees apart, 2 allowed"),
    "points_3d": (
        [0.01, 0.0, 2.0, 0.1, 0.0, 2.0],
        [0.0, 0.0, 2.0, 0.16, 0.0, 2.0],
        "points_3d[3] is 0.16 and should be 0.1: 0.03 of the distance apart, 0.01 allowed",
    ),
    "gaze_valid": (True, False, "gaze_valid is False and should be True"),
    "gaze_origin": (vector(0, 0, 2.01), vector(0, 0, 2.1), "gaze_origin[2] is 2.1"),
    "gaze": (looking(1.5), looking(5.0), "gaze: 5 degrees apart, 2 allowed"),
    "gaze_right": (looking(-1.5), vector(0, 0, 0), "gaze_right:"),
    "gaze_left": (looking(1.5), vector(0, 0, np.nan), "gaze_left: inf degrees apart"),
    "head_scale": (1.005, 1.1, "head_scale is 1.1 and should be 1"),
    "scale_source": (0, 1, "scale_source is 1 and should be 0"),
}


def test_every_field_of_the_message_is_compared() -> None:
    assert set(CHANGES) | {"id"} == set(vars(face()))


@pytest.mark.parametrize("field", CHANGES)
def test_a_field_may_be_off_so_far(field: str) -> None:
    near, far, said = CHANGES[field]
    golden = answer(7, face())
    assert check(answer(7, face(**{field: near})), golden).passed
    result = check(answer(7, face(**{field: far})), golden)
    assert not result.passed
    report = "\n".join(result.report())
    assert "image 1, stamp 0.000000007: different\n    faces[0] (id 1): " in report
    assert said in report


def test_fields_that_older_golden_faces_lack_are_not_compared() -> None:
    older = face()
    del older.head_scale, older.scale_source
    assert check(answer(7, face(head_scale=0.8, scale_source=1)), answer(7, older)).passed


def test_tolerances_are_the_callers_to_choose() -> None:
    found, golden = answer(7, face(score=0.93)), answer(7, face())
    assert check(found, golden, tolerances=Tolerances(scores=0.05)).passed
    assert not check(answer(7, face(score=0.9001)), golden, tolerances=Tolerances(scores=0)).passed


def other_size(message: Any) -> None:
    message.image_width = 320


def other_frame(message: Any) -> None:
    message.header.frame_id = "eye"


def no_face(message: Any) -> None:
    message.faces = ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_size, "image_width is 320 and should be 640"),
        (other_frame, "header.frame_id is 'eye' and should be 'camera'"),
        (no_face, "number of faces is 0 and should be 1"),
    ],
)
def test_what_is_no_number_must_be_the_same(change: Callable[[Any], None], said: str) -> None:
    found = copy.deepcopy(answer(7, face()))
    change(found)
    result = check(found, answer(7, face()))
    assert not result.passed
    assert said in "\n".join(result.report())


def test_pose_and_gaze_count_where_they_are_valid() -> None:
    nothing = {"pose_valid": False, "gaze_valid": False}
    assert check(answer(7, face(**nothing, pose=turned(90))), answer(7, face(**nothing))).passed


def ids(golden: list[tuple[int, ...]], found: list[tuple[int, ...]], *, new_ids: bool) -> bool:
    """Compare faces which differ by nothing but their ids."""
    result = GoldenCheck(
        [answer(n, *(face(id=i) for i in row)) for n, row in enumerate(golden)], new_ids=new_ids
    )
    for n, row in enumerate(found):
        result.image(n, answer(n, *(face(id=i) for i in row)))
    result.finish()
    return result.passed


def test_ids_must_be_the_same_or_one_for_the_other() -> None:
    golden: list[tuple[int, ...]] = [(1, 2), (2, 1), (3, 0)]
    assert ids(golden, golden, new_ids=False)
    assert not ids(golden, [(5, 7), (7, 5), (8, 0)], new_ids=False)
    assert ids(golden, [(5, 7), (7, 5), (8, 0)], new_ids=True)
    assert not ids(golden, [(5, 7), (5, 7), (8, 0)], new_ids=True), "two have changed places"
    assert not ids(golden, [(5, 7), (7, 5), (7, 0)], new_ids=True), "an id is used again"
    assert not ids(golden, [(5, 7), (7, 5), (8, 9)], new_ids=True), "who had none has one"


def test_images_without_answer_or_golden_faces_are_told_apart() -> None:
    golden = [answer(stamp, face()) for stamp in (10, 20, 30, 40, 50, 70)]
    result = GoldenCheck(golden)
    result.image(10, answer(10, face()))
    result.image(15, None, "damaged")  # nor was it answered then
    result.image(20, None, "dropped")
    result.image(40, answer(40, face()))
    result.image(45, answer(45, face()))
    result.image(50, answer(50, face()))
    result.finish()
    assert not result.passed
    assert result.results == {
        "the same": 3,
        "damaged": 1,
        "dropped": 1,
        "not among the golden faces": 1,
        "golden without an image": 2,
    }
    assert result.report()[1:5] == [
        "image 3, stamp 0.000000020: dropped",
        "after image 4: no image for the golden faces of 0.000000030",
        "image 5, stamp 0.000000045: not among the golden faces",
        "after image 6: no image for the golden faces of 0.000000070",
    ]


def test_a_image_that_was_not_answered_then_need_not_be_now() -> None:
    result = GoldenCheck([answer(10), answer(30)])
    result.image(10, answer(10))
    result.image(20, None, "damaged")
    result.image(30, answer(30))
    result.finish()
    assert result.passed


def test_stamps_may_stand_still_and_go_back() -> None:
    stamps = [0, 0, 0, 50, 60, 60, 10, 20]
    golden = [answer(stamp, face(id=n)) for n, stamp in enumerate(stamps)]
    result = GoldenCheck(copy.deepcopy(golden))
    for message, stamp in zip(golden, stamps, strict=True):
        result.image(stamp, message)
    result.finish()
    assert result.passed
    assert result.results == {"the same": 8}


def test_nothing_to_compare_is_no_success() -> None:
    result = GoldenCheck([])
    result.finish()
    assert not result.passed
    assert result.report() == ["0 images: nothing to compare"]


def test_a_long_report_is_cut_short() -> None:
    result = GoldenCheck([answer(n, face()) for n in range(100)])
    for n in range(100):
        result.image(n, answer(n))
    assert len(result.report()) < 10
    assert result.report()[-1] == "and 95 more such"


def test_topics_have_counterparts() -> None:
    with GoldenFaces(DATA / "raw") as faces:
        assert faces.topic_for(["/left/faces"]) == {"/left/faces": "/camera/faces"}
        with pytest.raises(
            BagError, match="faces on /camera/faces, and the new ones are on /a, /faces"
        ):
            faces.topic_for(["/a", "/faces"])
        assert len(list(faces.on("/camera/faces"))) == 30


def test_a_bag_without_faces_is_refused(tmp_path: Path) -> None:
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        types, string = get_typestore(Stores.ROS2_JAZZY), "std_msgs/msg/String"
        connection = writer.add_connection("/other", string, typestore=types)
        message = types.types[string](data="no faces")
        writer.write(connection, 1, types.serialize_cdr(message, string))
    with pytest.raises(BagError, match=r"no golden faces .* its topics are /other \(std_msgs"):
        GoldenFaces(tmp_path / "bag")

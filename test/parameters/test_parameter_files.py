"""ROS parameter files without ROS: which parameters they have for facemesh_node."""

from __future__ import annotations

from pathlib import Path

import pytest

from dumped_parameters import DUMPED
from maix_facemesh_ros.parameters import NodeParameters, ParameterError
from maix_facemesh_ros.parameters.files import given_parameters, parameters_in


def written(folder: Path, text: str) -> Path:
    file = folder / "parameters.yaml"
    file.write_text(text)
    return file


def test_what_ros2_param_dump_writes_is_taken() -> None:
    parameters = NodeParameters.from_values(parameters_in(DUMPED))
    assert parameters == NodeParameters(detect_conf_th=0.33)


def test_sections_for_the_node_are_taken_in_their_order(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        /**: {ros__parameters: {max_face_num: 3, pose: false}}
        other: {ros__parameters: {max_face_num: 4}}
        left: {facemesh: {ros__parameters: {max_face_num: 5, use_sim_time: true}}}
        """,
    )
    assert parameters_in(file) == {"max_face_num": 5, "pose": False, "use_sim_time": True}
    given = given_parameters([file, DUMPED], ["max_face_num:=7", "smoothing:=off"])
    assert given["max_face_num"] == 7
    assert NodeParameters.from_values(given).smoothing == "off"


def test_the_only_node_of_a_file_may_have_any_name(tmp_path: Path) -> None:
    file = written(tmp_path, "/left/faces: {ros__parameters: {max_face_num: 3}}")
    assert parameters_in(file) == {"max_face_num": 3}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a parameter file: write ros__parameters below the name of a node"),
        ("7", "is not a parameter file"),
        ("ros__parameters: {max_face_num: 3}", "is not a parameter file"),
        ("/a: {ros__parameters: {}}\n/b: {ros__parameters: {}}", "has parameters for /a, /b, but"),
        ("/a: [", "is not YAML"),
        ("\0", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("a: &a {ros__parameters: {}}\nb: *a", "has aliases"),
        ("a: &a {b: *a}", "has aliases"),
    ],
)
def test_another_file_is_refused_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ParameterError, match=r"parameters\.yaml") as caught:
        parameters_in(written(tmp_path, text))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"nothing\.yaml cannot be read: No such file"):
        given_parameters([tmp_path / "nothing.yaml"], [])


@pytest.mark.parametrize("assignment", ["max_face_num", "max_face_num=4", ":=4", "max_face_num:="])
def test_an_assignment_needs_a_name_and_a_value(assignment: str) -> None:
    with pytest.raises(ParameterError, match="give NAME:=VALUE, such as max_face_num:=4"):
        given_parameters([], [assignment])


def test_every_unknown_name_and_wrong_value_is_told_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        NodeParameters.from_values({"max_faces": 3, "use_sim_tim": True, "detect_conf_th": 7})
    assert "no parameter 'max_faces': did you mean 'max_face_num'?" in str(caught.value)
    assert "no parameter 'use_sim_tim'" in str(caught.value)
    assert "detect_conf_th is 7" in str(caught.value)

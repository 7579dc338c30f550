"""The table of parameters: defaults, ranges, errors that say what to do, changes at run time."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from maix_facemesh_ros.mesh.landmark_subsets import SUB_5, SUB_68
from maix_facemesh_ros.parameters import (
    FaceMeshParameters,
    NodeParameters,
    Parameter,
    ParameterError,
    parameters_of,
)

ALL = parameters_of(NodeParameters)
every_parameter = pytest.mark.parametrize("parameter", ALL, ids=lambda parameter: parameter.name)

#: What users of MaixPy know, and what bags and launch files rely on.
DEFAULTS = {
    "backend": "auto",
    "detector": "full_range",
    "detect_conf_th": 0.5,
    "detect_iou_th": 0.45,
    "landmarks_conf_th": 0.5,
    "max_face_num": 2,
    "landmarks_abs": True,
    "landmarks_rel": False,
    "landmarks_num": 478,
    "landmarks_indices": (),
    "require_landmarks": True,
    "tracking": False,
    "smoothing": "one_euro",
    "blendshapes": False,
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_default(name: str) -> None:
    value = getattr(FaceMeshParameters(), name)
    assert value == DEFAULTS[name]
    assert type(value) is type(DEFAULTS[name])


def test_node_tracks_and_subscribes_by_default() -> None:
    parameters = NodeParameters()
    assert parameters.tracking is True
    assert parameters.source == ""
    names = [parameter.name for parameter in ALL]
    assert names[: len(parameters_of(FaceMeshParameters))] == [
        parameter.name for parameter in parameters_of(FaceMeshParameters)
    ]


def test_thresholds_and_the_face_limit_may_change_while_running() -> None:
    changeable = {parameter.name for parameter in ALL if parameter.changeable}
    assert {"detect_conf_th", "detect_iou_th", "landmarks_conf_th", "max_face_num"} <= changeable
    assert changeable.isdisjoint({"backend", "detector", "detector_model", "tracking", "source"})


@every_parameter
def test_each_parameter_is_described(parameter: Parameter) -> None:
    assert parameter.description.endswith(".")
    assert "\n" not in parameter.description
    assert parameter.type_name


@every_parameter
def test_default_is_valid(parameter: Parameter) -> None:
    assert parameter.check(parameter.default) == parameter.default


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("detect_conf_th", 1.1, "0 to 1"),
        ("detect_conf_th", -0.1, "0 to 1"),
        ("detect_iou_th", 2, "0 to 1"),
        ("landmarks_conf_th", float("nan"), "finite"),
        ("landmarks_conf_th", "0.5", "a number, such as 0.5"),
        ("landmarks_conf_th", True, "a number, such as 0.5"),
        ("min_face_size", 0.0, "0.0075 to 1"),
        ("max_face_num", 2.0, "a whole number, such as 2"),
        ("max_face_num", True, "a whole number, such as 2"),
        ("detect_interval", 0, "at least 1"),
        ("threads", -1, "0 to 64"),
        ("tracking", 1, "true or false"),
        ("tracking", "true", "true or false"),
        ("landmarks_num", 100, "one of 478, 146, 68, 5"),
        ("landmarks_indices", (0, 478), "0 to 477"),
        ("landmarks_indices", (0, -1), "0 to 477"),
        ("landmarks_indices", (0.5,), "a list of whole numbers"),
        ("landmarks_indices", "12", "a list of whole numbers"),
        ("landmarks_indices", 12, "a list of whole numbers"),
        ("backend", "tpu", "'auto'"),
        ("detector", "retina", "'full_range'"),
        ("detector_model", None, "a text"),
        ("smoothing", "", "'one_euro'"),
    ],
)
def test_bad_value_is_refused_with_what_would_be_right(name: str, value: Any, advice: str) -> None:
    with pytest.raises(ParameterError, match=rf"^{name} ") as caught:
        FaceMeshParameters(**{name: value})
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("detect_conf_th", 0), ("detect_conf_th", 1), ("min_face_size", 0.0075), ("threads", 64)],
)
def test_ends_of_a_range_belong_to_it(name: str, value: Any) -> None:
    kept = getattr(FaceMeshParameters(**{name: value}), name)
    assert kept == value


def test_whole_number_for_a_number_becomes_one() -> None:
    assert type(FaceMeshParameters(detect_conf_th=1).detect_conf_th) is float


def test_all_bad_values_are_told_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        FaceMeshParameters(detect_conf_th=7, landmarks_num=3)
    assert "detect_conf_th is 7" in str(caught.value)
    assert "landmarks_num is 3" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"landmarks_abs": False}, "landmarks_abs and landmarks_rel are both off"),
        ({"detector": "yunet"}, "needs detector_model"),
        ({"detector": "yolov8_face"}, "needs detector_model"),
        ({"detector_model": "face.onnx"}, "has a built-in model"),
    ],
)
def test_values_that_contradict_each_other(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        FaceMeshParameters(**values)


def test_change_gives_new_parameters_and_leaves_the_old_ones() -> None:
    before = FaceMeshParameters()
    after = before.changed(detect_conf_th=0.7, max_face_num=5)
    assert (after.detect_conf_th, after.max_face_num) == (0.7, 5)
    assert before == FaceMeshParameters()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_face_num": 3, "detect_conf_th": 7.0}, "detect_conf_th is 7"),
        ({"max_face_num": 3, "tracking": True}, "tracking is fixed at the start"),
        ({"max_face_num": 3, "landmarks_abs": False}, "both off"),
        ({"max_face_num": 3, "max_faces": 3}, "did you mean 'max_face_num'"),
    ],
)
def test_bad_change_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        FaceMeshParameters().changed(**changes)


def test_fixed_parameter_may_be_set_to_what_it_is() -> None:
    assert FaceMeshParameters().changed(tracking=False) == FaceMeshParameters()


def test_change_keeps_the_parameters_of_the_node() -> None:
    after = NodeParameters(source="0").changed(max_face_num=4)
    assert (type(after), after.source, after.max_face_num) == (NodeParameters, "0", 4)


def test_parameters_cannot_be_changed_behind_the_checks() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FaceMeshParameters().max_face_num = 3  # type: ignore[misc]


@pytest.mark.parametrize(("number", "limit"), [(3, 3), (1, 1), (0, None), (-1, None)])
def test_face_limit(number: int, limit: int | None) -> None:
    assert FaceMeshParameters(max_face_num=number).face_limit == limit


def test_landmarks_to_give() -> None:
    assert FaceMeshParameters().landmark_indices is None
    assert FaceMeshParameters(landmarks_num=68).landmark_indices == SUB_68
    assert FaceMeshParameters(landmarks_num=5).landmark_indices == SUB_5
    own = FaceMeshParameters(landmarks_num=5, landmarks_indices=[9, 3])  # type: ignore[arg-type]
    assert own.landmark_indices == (9, 3)


MAIXCAM: dict[str, Any] = {
    "backend": "maixcam",
    "maixcam_address": "10.131.167.1",
    "maixcam_token": "ABCD-EFGH",
}


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"maixcam_address": ""}, "needs maixcam_address, such as"),
        ({"maixcam_token": ""}, "give either maixcam_token_file or maixcam_token"),
        ({"maixcam_token_file": "token"}, "give either maixcam_token_file or maixcam_token"),
        ({"source": "0"}, "leave source empty"),
        ({"detector_model": "face.mud"}, "leave detector_model empty"),
        ({"landmarks_model": "face.mud"}, "only backend maix uses it"),
        ({"maixcam_jpeg_rate": 0.0}, "0.1 to 120"),
        ({"maixcam_jpeg_quality": 101}, "1 to 100"),
    ],
)
def test_what_does_not_go_with_a_maixcam_is_refused(changes: dict[str, Any], advice: str) -> None:
    NodeParameters(**MAIXCAM)
    with pytest.raises(ParameterError, match=advice):
        NodeParameters(**{**MAIXCAM, **changes})


def test_the_token_is_in_no_error() -> None:
    with pytest.raises(ParameterError) as caught:
        NodeParameters(**{**MAIXCAM, "maixcam_token_file": "token", "maixcam_address": ""})
    assert "ABCD" not in str(caught.value)


def test_backend_maix_takes_models_of_its_own() -> None:
    parameters = FaceMeshParameters(backend="maix", detector_model="a.mud", landmarks_model="b.mud")
    assert (parameters.detector_model, parameters.landmarks_model) == ("a.mud", "b.mud")
    FaceMeshParameters(backend="maix", detector="yunet")


def test_face_mesh_takes_no_backend_that_takes_no_images() -> None:
    with pytest.raises(ParameterError, match="'onnx', 'maix'"):
        FaceMeshParameters(backend="maixcam")


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        ({"smoothing": False}, "smoothing", "off"),
        ({"rectified": True}, "rectified", "yes"),
        ({"rectified": False}, "rectified", "no"),
    ],
)
def test_words_that_yaml_takes_for_true_and_false_are_words(
    values: dict[str, Any], name: str, expected: str
) -> None:
    assert getattr(NodeParameters(**values), name) == expected
    with pytest.raises(ParameterError, match="smoothing is True"):
        NodeParameters(smoothing=True)  # type: ignore[arg-type]

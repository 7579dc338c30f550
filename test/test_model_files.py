"""Model files: found in a checkout and in an install; what is wrong with one is said clearly."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from maix_facemesh_ros import FaceMesh, ModelError, model_files
from maix_facemesh_ros.backends.onnx.network import Network
from maix_facemesh_ros.backends.onnx.variants import model_file
from maix_facemesh_ros.model_files import find_model, find_share_file

NAME = "face_landmarks.onnx"
PACKAGED = (
    "face_landmarks.onnx",
    "face_landmarks_plain.onnx",
    "face_landmarks_wide.onnx",
    "face_detection_full_range.onnx",
    "face_detection_full_range_wide.onnx",
    "face_detection_short_range.onnx",
    "face_detection_short_range_wide.onnx",
    "face_blendshapes.onnx",
)


@pytest.fixture
def pretend_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An install prefix without any files, in which the package believes to be."""
    package = tmp_path / "prefix/lib/python3/site-packages/maix_facemesh_ros"
    monkeypatch.setattr(model_files, "__file__", str(package / "model_files.py"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "interpreter"))
    return tmp_path / "prefix"


def put(path: Path, content: bytes = b"model") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_model_is_found(name: str) -> None:
    assert find_model(name).stat().st_size > 100_000


def test_model_of_an_install(pretend_package: Path) -> None:
    model = put(pretend_package / "share/maix_facemesh_ros/models" / NAME)
    assert find_model(NAME) == model


def test_model_of_a_checkout(pretend_package: Path) -> None:
    model = put(pretend_package / "lib/python3/site-packages/models" / NAME)
    assert find_model(NAME) == model


def test_model_of_the_interpreters_prefix(pretend_package: Path, tmp_path: Path) -> None:
    assert pretend_package != tmp_path
    model = put(tmp_path / "interpreter/share/maix_facemesh_ros/models" / NAME)
    assert find_model(NAME) == model


def test_nearest_model_is_taken(pretend_package: Path, tmp_path: Path) -> None:
    put(tmp_path / "interpreter/share/maix_facemesh_ros/models" / NAME)
    model = put(pretend_package / "share/maix_facemesh_ros/models" / NAME)
    assert find_model(NAME) == model


def test_share_file_that_is_not_there(pretend_package: Path) -> None:
    (pretend_package / "share/maix_facemesh_ros/config").mkdir(parents=True)
    assert find_share_file("config") is None
    assert find_share_file("config", "facemesh.yaml") is None


@pytest.mark.usefixtures("pretend_package")
def test_missing_model_is_named_with_the_way_to_mend_it() -> None:
    with pytest.raises(
        ModelError, match=r"models/face_.*\.onnx is not installed.*install"
    ) as caught:
        FaceMesh()
    assert "git checkout -- models" in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:100],
        lambda _: b"",
        lambda _: b"version https://git-lfs.github.com/spec/v1\n",
    ],
    ids=["half", "100 bytes", "empty", "git-lfs pointer"],
)
@pytest.mark.parametrize("model", ["face_detection_full_range", "face_landmarks"])
def test_damaged_model_is_named_with_the_way_to_mend_it(
    model: str, damage: object, request: pytest.FixtureRequest
) -> None:
    assert callable(damage)
    name = model_file(model, "cpu").name
    pretend_package: Path = request.getfixturevalue("pretend_package")
    checkout = Path(__file__).parent.parent / "models"
    folder = pretend_package / "share/maix_facemesh_ros/models"
    for other in PACKAGED:
        put(folder / other, (checkout / other).read_bytes())
    put(folder / name, damage((checkout / name).read_bytes()))

    with pytest.raises(ModelError) as caught:
        FaceMesh()

    assert str(folder / name) in str(caught.value), request.node.name
    assert "git checkout -- models" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_model_of_another_kind_is_named() -> None:
    path = find_model("face_detection_short_range.onnx")
    with pytest.raises(ModelError, match=r"short_range\.onnx is a short_range model where a face_"):
        Network(path, kind="face_landmarks")


def test_users_file_may_be_of_any_kind() -> None:
    assert Network(find_model("face_detection_short_range.onnx")).input_shape == [1, 128, 128, 3]


@pytest.mark.parametrize("detector", ["yunet", "yolov8_face"])
def test_users_file_that_is_not_there(detector: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing.onnx"
    with pytest.raises(ModelError, match=r"missing\.onnx: check the path in 'detector_model'"):
        FaceMesh(detector=detector, detector_model=str(missing))


@pytest.mark.parametrize("detector", ["yunet", "yolov8_face"])
def test_users_file_that_is_no_detector(detector: str) -> None:
    path = find_model("face_landmarks.onnx")
    with pytest.raises(ModelError, match=r"face_landmarks\.onnx"):
        FaceMesh(detector=detector, detector_model=str(path))

"""Which file of a model is loaded on which processor, and what runs it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import cv2
import onnxruntime
import pytest

from maix_facemesh_ros import BackendError, FaceMesh
from maix_facemesh_ros.backends.onnx import variants as model_variants
from maix_facemesh_ros.backends.onnx.network import PROVIDERS, writes_blocks
from maix_facemesh_ros.backends.onnx.variants import VARIANTS, channels_in_group, model_file
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.model_files import find_model
from maix_facemesh_ros.parameters import FaceMeshParameters, parameters_of

IS_X86 = platform.machine().lower() in ("x86_64", "amd64")


@pytest.fixture(autouse=True)
def ask_again() -> Iterator[None]:
    channels_in_group.cache_clear()
    yield
    channels_in_group.cache_clear()


def pretend(
    monkeypatch: pytest.MonkeyPatch, machine: str, *, avx_512: bool = False, blocks: bool = False
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(cv2, "checkHardwareSupport", lambda feature: avx_512 and feature == 13)
    monkeypatch.setattr(model_variants, "writes_blocks", lambda *_: blocks)


@pytest.mark.parametrize(
    ("machine", "facts", "landmarks", "detector"),
    [
        ("x86_64", {"avx_512": True}, "face_landmarks_wide", "face_detection_short_range_wide"),
        ("x86_64", {}, "face_landmarks", "face_detection_short_range"),
        ("aarch64", {"blocks": True}, "face_landmarks_wide", "face_detection_short_range_wide"),
        ("aarch64", {}, "face_landmarks_plain", "face_detection_short_range"),
    ],
)
def test_file_for_a_processor(
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    facts: dict[str, bool],
    landmarks: str,
    detector: str,
) -> None:
    pretend(monkeypatch, machine, **facts)
    assert model_file("face_landmarks", "cpu").stem == landmarks
    assert model_file("face_detection_short_range", "cpu").stem == detector


def test_other_providers_get_the_networks_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "x86_64", avx_512=True)
    assert model_file("face_landmarks", "openvino").stem == "face_landmarks_plain"
    assert model_file("face_detection_full_range", "cuda").stem == "face_detection_full_range"


def test_every_variant_is_installed() -> None:
    for model, suffixes in VARIANTS.items():
        for suffix in suffixes.values():
            assert find_model(f"{model}{suffix}.onnx").is_file()


@pytest.mark.skipif(not IS_X86, reason="whether onnxruntime groups channels here is not known")
def test_onnxruntime_is_asked_whether_it_groups_channels(tmp_path: Path) -> None:
    assert writes_blocks(find_model("face_detection_short_range.onnx"), tmp_path)
    # Without a convolution there is nothing to group.
    assert not writes_blocks(find_model("face_blendshapes.onnx"), tmp_path)


@pytest.mark.parametrize("avx_512", [False, True])
def test_faces_are_the_same_with_every_variant(
    monkeypatch: pytest.MonkeyPatch, astronaut: Pixels, avx_512: bool
) -> None:
    with FaceMesh(detector="short_range") as mesh:
        (expected,) = mesh.process(astronaut)
    channels_in_group.cache_clear()
    pretend(monkeypatch, "x86_64", avx_512=avx_512)
    with FaceMesh(detector="short_range") as mesh:
        (face,) = mesh.process(astronaut)
        file = mesh.facts["landmarks model"]
    assert file == ("face_landmarks_wide.onnx" if avx_512 else "face_landmarks.onnx")
    assert face.points == pytest.approx(expected.points, abs=0.01)
    assert face.score == pytest.approx(expected.score, abs=1e-3)


def test_the_parameter_offers_each_provider() -> None:
    (choices,) = (
        p.choices for p in parameters_of(FaceMeshParameters) if p.name == "execution_provider"
    )
    assert choices == tuple(PROVIDERS)


def test_a_provider_that_is_not_installed_is_an_error_that_says_what_it_needs() -> None:
    absent = [
        name
        for name, provider in PROVIDERS.items()
        if provider.name not in onnxruntime.get_available_providers()
    ]
    assert absent
    for name in absent:
        with pytest.raises(BackendError, match=rf"'{name}' is not in.*which has 'cpu'.*It needs "):
            FaceMesh(execution_provider=name)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """So onnxruntime-gpu behaves on a machine without CUDA: it falls back without an error."""
    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    with pytest.raises(BackendError, match=r"'cuda'.*does not start here: it needs an NVIDIA GPU"):
        FaceMesh(execution_provider="cuda")

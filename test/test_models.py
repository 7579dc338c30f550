"""The committed files models/*.onnx: what they are, and that they work as their README says."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import skimage.data
import skimage.transform
from numpy.typing import NDArray

MODELS = Path(__file__).resolve().parents[1] / "models"
README = (MODELS / "README.md").read_text(encoding="utf-8")

Pixels = NDArray[np.uint8]

# scikit-image has no types.
ASTRONAUT: Callable[[], Pixels] = skimage.data.astronaut
SCALE: Callable[..., NDArray[np.float64]] = skimage.transform.resize
FACE_IN_ASTRONAUT = (slice(40, 210), slice(140, 310))
FACE_CENTER = (125 / 512, 225 / 512)
"""Row and column, as fractions of the image."""

Shapes = dict[str, list[int | str]]
LANDMARK_SHAPES: Shapes = {
    "picture": [1, 256, 256, 3],
    "landmarks": [1, 1434],
    "presence": [1, 1],
}
FULL_RANGE_SHAPES: Shapes = {
    "picture": [1, "height", "width", 3],
    "regressors": [1, "cells", 16],
    "scores": [1, "cells", 1],
}
SHORT_RANGE_SHAPES: Shapes = {
    "picture": [1, 128, 128, 3],
    "regressors": [1, 896, 16],
    "scores": [1, 896, 1],
}
EXPECTED: dict[str, tuple[str, Shapes]] = {
    "face_landmarks.onnx": ("face_landmarks", LANDMARK_SHAPES),
    "face_landmarks_plain.onnx": ("face_landmarks", LANDMARK_SHAPES),
    "face_landmarks_wide.onnx": ("face_landmarks", LANDMARK_SHAPES),
    "face_detection_full_range.onnx": ("full_range", FULL_RANGE_SHAPES),
    "face_detection_full_range_wide.onnx": ("full_range", FULL_RANGE_SHAPES),
    "face_detection_short_range.onnx": ("short_range", SHORT_RANGE_SHAPES),
    "face_detection_short_range_wide.onnx": ("short_range", SHORT_RANGE_SHAPES),
    "face_blendshapes.onnx": (
        "blendshapes",
        {"landmarks": [1, 146, 2], "blendshapes": [52]},
    ),
}


def load(name: str, **sizes: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for dimension, size in sizes.items():
        options.add_free_dimension_override_by_name(dimension, size)
    return onnxruntime.InferenceSession(MODELS / name, options, providers=["CPUExecutionProvider"])


def as_input(image: Pixels, height: int, width: int) -> dict[str, Pixels]:
    """Return the image as [1, height, width, 3], by the name of the input."""
    scaled = SCALE(image, (height, width), anti_aliasing=True, preserve_range=True)
    return {"picture": np.round(scaled).astype(np.uint8)[np.newaxis]}


def probability(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def readme_table() -> dict[str, tuple[int, str]]:
    rows = re.findall(r"^\| `(\S+\.onnx)` \| (\d+) \| `([0-9a-f]{64})` \|", README, re.MULTILINE)
    return {name: (int(size), sha256) for name, size, sha256 in rows}


def test_folder_has_exactly_the_expected_models() -> None:
    assert {path.name for path in MODELS.glob("*.onnx")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_readme_states_size_and_checksum(name: str) -> None:
    content = (MODELS / name).read_bytes()
    assert readme_table()[name] == (len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("name", EXPECTED)
def test_inputs_outputs_and_metadata(name: str) -> None:
    session = load(name)
    kind, shapes = EXPECTED[name]
    found = [*session.get_inputs(), *session.get_outputs()]
    assert {value.name: value.shape for value in found} == shapes
    types = {value.name: value.type for value in found}
    assert types.pop("picture", "tensor(uint8)") == "tensor(uint8)"
    assert set(types.values()) == {"tensor(float)"}
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["maix_facemesh_ros.kind"] == kind
    assert metadata["license"] == "Apache-2.0"
    assert "converted" in metadata["changes"]
    assert re.search(
        r"PyPI \S+ \S+, \S+\.(tflite|task / \S+\.tflite), sha256 [0-9a-f]{64}$", metadata["source"]
    )


@pytest.mark.parametrize("name", ["face_landmarks.onnx", "face_landmarks_wide.onnx"])
def test_rewritten_landmark_models_agree_with_the_plain_one_on_a_face(name: str) -> None:
    image = as_input(ASTRONAUT()[FACE_IN_ASTRONAUT], 256, 256)
    rewritten, presence = load(name).run(["landmarks", "presence"], image)
    plain, plain_presence = load("face_landmarks_plain.onnx").run(["landmarks", "presence"], image)
    assert np.abs(rewritten - plain).max() < 2e-3  # of 256 pixels
    assert presence == pytest.approx(plain_presence, abs=1e-3)
    assert probability(presence[0, 0]) > 0.9
    points = rewritten.reshape(478, 3)[:, :2]
    assert np.all((points > 0) & (points < 256))
    assert np.ptp(points[:, 0]) > 100


def test_landmark_model_tells_noise_from_a_face() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8)
    (presence,) = load("face_landmarks.onnx").run(["presence"], {"picture": noise})
    assert probability(presence[0, 0]) < 0.1


@pytest.mark.parametrize(("height", "width"), [(192, 192), (256, 384), (480, 352)])
def test_full_range_finds_the_face_at_any_size(height: int, width: int) -> None:
    session = load("face_detection_full_range.onnx", height=height, width=width)
    image = as_input(ASTRONAUT(), height, width)
    regressors, scores = session.run(["regressors", "scores"], image)
    rows, columns = height // 4, width // 4
    assert regressors.shape == (1, rows * columns, 16)
    assert scores.shape == (1, rows * columns, 1)

    best = int(scores.argmax())
    assert probability(scores[0, best, 0]) > 0.5
    row, column = divmod(best, columns)  # cells are in row-major order, 4 pixels apart
    x = (column + 0.5) * 4 + regressors[0, best, 0]
    y = (row + 0.5) * 4 + regressors[0, best, 1]
    assert (y / height, x / width) == pytest.approx(FACE_CENTER, abs=0.03)


def test_full_range_gives_the_same_with_free_and_with_fixed_size() -> None:
    image = as_input(ASTRONAUT(), 288, 512)
    free = load("face_detection_full_range.onnx").run(None, image)
    fixed = load("face_detection_full_range.onnx", height=288, width=512).run(None, image)
    for one, other in zip(free, fixed, strict=True):
        assert np.abs(one - other).max() < 1e-3


def test_short_range_finds_the_face() -> None:
    image = as_input(ASTRONAUT(), 128, 128)
    regressors, scores = load("face_detection_short_range.onnx").run(
        ["regressors", "scores"], image
    )
    best = int(scores.argmax())
    assert probability(scores[0, best, 0]) > 0.5
    assert 15 < regressors[0, best, 2] < 50  # the face's width, of 128 pixels


def test_blendshapes_do_not_depend_on_place_or_scale() -> None:
    session = load("face_blendshapes.onnx")
    points = np.random.default_rng(0).random((1, 146, 2), np.float32) * 100
    (shapes,) = session.run(["blendshapes"], {"landmarks": points})
    (moved,) = session.run(["blendshapes"], {"landmarks": points * 3 + 50})
    assert np.all((shapes >= 0) & (shapes <= 1))
    assert moved == pytest.approx(shapes, abs=1e-4)


@pytest.mark.parametrize(
    ("model", "height", "width"),
    [("face_detection_full_range", 288, 512), ("face_detection_short_range", 128, 128)],
)
def test_both_files_of_a_detector_agree(model: str, height: int, width: int) -> None:
    image = as_input(ASTRONAUT(), height, width)
    sizes = {} if "short" in model else {"height": height, "width": width}
    narrow = load(f"{model}.onnx", **sizes).run(["regressors", "scores"], image)
    wide = load(f"{model}_wide.onnx", **sizes).run(["regressors", "scores"], image)
    for one, other in zip(narrow, wide, strict=True):
        assert np.abs(one - other).max() < 1e-3


@pytest.mark.build
def test_the_script_makes_the_committed_files(tmp_path: Path) -> None:
    """Convert again, compare with TFLite on the way, and find the very same bytes."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    requirements = str(MODELS / "requirements.txt")
    commands: list[list[str | Path]] = [
        [python, "-m", "pip", "install", "--quiet", "-r", requirements],
        [python, MODELS / "make_models.py", "--check"],
    ]
    for command in commands:
        done = run(command)
        offline = "connection" in done.stderr.lower() or "(from versions: none)" in done.stderr
        if done.returncode != 0 and offline:
            pytest.skip(f"no way to PyPI: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("largest difference to TFLite") == 14


def run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)

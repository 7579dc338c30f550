"""Which backend is chosen, why, and what is said when it cannot run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.backends.registry import FACE_DETECTORS, FACE_SOURCES, open_backend
from maix_facemesh_ros.parameters import FaceMeshParameters, NodeParameters, parameters_of
from maix_programs import STAND_IN, run

#: Opens the backend of `PARAMETERS`, which is put in front of it.
OPEN = """
from maix_facemesh_ros.backends.registry import open_backend

def attempt():
    try:
        opened = open_backend(FaceMeshParameters(**PARAMETERS))
        answer.update(name=opened.name, reason=opened.reason, description=opened.description)
        answer["kind"] = type(opened.detector).__name__
    except BackendError as error:
        answer["error"] = str(error)
    answer["maix imported"] = "maix" in sys.modules
"""


def opened(backend: str = "auto", **knobs: object) -> dict[str, Any]:
    """Return what came of opening a backend with the stand-in for MaixPy there."""
    parameters = {"backend": backend}
    answer: dict[str, Any] = run(f"PARAMETERS = {parameters}{OPEN}attempt()", **knobs)
    return answer


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules come before those of the stand-in and of this environment."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.setattr("maix_programs.STAND_IN", f"{folder}{os.pathsep}{STAND_IN}")
    return folder


def test_each_backend_that_a_parameter_can_name_is_in_one_table() -> None:
    (choices,) = (p.choices for p in parameters_of(NodeParameters) if p.name == "backend")
    assert sorted(choices) == sorted(["auto", *FACE_DETECTORS, *FACE_SOURCES])
    assert not set(FACE_DETECTORS) & set(FACE_SOURCES)


def test_without_maixpy_auto_is_onnx() -> None:
    with_auto = open_backend(FaceMeshParameters())
    assert with_auto.name == "onnx"
    # Whoever has no MaixCAM need not read of one.
    assert (with_auto.reason, with_auto.description) == ("", "onnx")
    with_auto.detector.close()
    assert "maix" not in sys.modules


def test_a_backend_that_is_named_needs_no_reason() -> None:
    named = open_backend(FaceMeshParameters(backend="onnx"))
    assert (named.name, named.reason, named.description) == ("onnx", "", "onnx")
    named.detector.close()


@pytest.mark.parametrize("device", ["MaixCAM2", "maixcam", "MaixCAM-Pro"])
def test_on_a_maixcam_auto_is_maix(device: str) -> None:
    answer = opened(DEVICE_NAME=device)
    assert (answer["name"], answer["kind"]) == ("maix", "MaixFaceDetector")
    assert answer["description"] == f"maix (this is a {device})"


def test_maixpy_on_another_machine_does_not_make_it_a_maixcam() -> None:
    answer = opened(DEVICE_NAME="unknown")
    assert (answer["name"], answer["kind"]) == ("onnx", "FaceTracker")
    assert answer["reason"] == "this is not a MaixCAM: MaixPy calls it 'unknown'"


def test_onnx_does_not_import_maixpy_where_it_is() -> None:
    answer = opened("onnx")
    assert (answer["name"], answer["reason"], answer["maix imported"]) == ("onnx", "", False)


#: module maix: what becomes of importing it.
BROKEN = {
    "raise ImportError('libc.so.6: version `GLIBC_2.38` not found')": "`GLIBC_2.38` not found",
    "raise OSError('wrong ELF class')": "wrong ELF class",
    "raise RuntimeError('no\\n such board')": "no such board",
    "import no_such_part_of_maix": "No module named 'no_such_part_of_maix'",
}


@pytest.mark.parametrize("program", BROKEN)
def test_maixpy_that_cannot_be_imported_is_no_reason_to_fail(program: str, elsewhere: Path) -> None:
    (elsewhere / "maix.py").write_text(program)
    answer = opened()
    assert answer["name"] == "onnx"
    assert "this is taken for no MaixCAM: module maix cannot be imported (" in answer["reason"]
    assert BROKEN[program] in answer["reason"]


@pytest.mark.parametrize("program", BROKEN)
def test_maixpy_that_cannot_be_imported_is_said_with_what_it_means(
    program: str, elsewhere: Path
) -> None:
    (elsewhere / "maix.py").write_text(program)
    error = opened("maix")["error"]
    assert error.startswith("backend 'maix' cannot run here: MaixPy (module maix) cannot be")
    assert BROKEN[program] in error
    for words in ("system image of a MaixCAM", "glibc 2.38", "OpenCV 4.6", "RISC-V", "onnx"):
        assert words in error


def test_no_maixpy_at_all_is_said_with_what_it_means() -> None:
    with pytest.raises(BackendError, match="No module named 'maix'"):
        open_backend(FaceMeshParameters(backend="maix"))


def test_another_module_of_the_name_maix_is_not_maixpy(elsewhere: Path) -> None:
    (elsewhere / "maix.py").touch()
    answer = opened()
    assert answer["name"] == "onnx"
    words = "this is another module maix, without camera, image, nn, sys"
    assert words in answer["reason"]
    assert words in opened("maix")["error"]


def test_on_a_maixcam_without_models_auto_does_not_become_onnx(tmp_path: Path) -> None:
    error = opened(MODELS_AT=tmp_path)["error"]
    assert error.startswith(
        "backend 'maix', chosen because this is a MaixCAM2, cannot run here: the model file "
        "/root/models/yolo11s_face.mud is missing: get it from "
    )
    assert "onnx" in error


def test_on_a_maixcam_with_an_old_maixpy_auto_does_not_become_onnx() -> None:
    error = opened(MAIXPY_VERSION="4.9.0")["error"]
    assert "chosen because this is a MaixCAM2" in error
    assert "MaixPy 4.9.0 has no face landmarks" in error


def test_off_the_main_thread_auto_cannot_tell_what_is_there() -> None:
    in_thread = "thread = threading.Thread(target=attempt)\nthread.start()\nthread.join()"
    answer = run(f"PARAMETERS = {{}}{OPEN}{in_thread}")
    assert "on the main thread only: open the backend" in answer["error"]
    assert answer["maix imported"] is False


def test_what_the_onnx_backend_needs_is_said_when_it_is_missing(elsewhere: Path) -> None:
    (elsewhere / "onnxruntime.py").write_text("raise ImportError('no onnxruntime here')")
    assert opened("onnx")["error"] == (
        "backend 'onnx' cannot run here: no onnxruntime here. It needs onnxruntime and OpenCV"
    )


def test_a_backend_that_takes_no_images_is_refused() -> None:
    parameters = NodeParameters(
        backend="maixcam", maixcam_address="maixcam-1a2b.local", maixcam_token="0" * 32
    )
    with pytest.raises(BackendError, match="backend 'maixcam' takes no images"):
        open_backend(parameters)

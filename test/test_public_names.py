"""What `import maix_facemesh_ros` gives: names, errors, version, types, and former names."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import maix_facemesh_ros
from maix_facemesh_ros import (
    SUB_5,
    CameraModel,
    Face,
    FaceMesh,
    FaceMeshError,
    FaceStream,
    Gaze,
    Image,
    JpegFrame,
    NodeParameters,
    Stamp,
    draw_face,
    get_sub_landmarks,
    public_names,
)

SOURCE = Path(__file__).parents[1]
PACKAGE = SOURCE / "maix_facemesh_ros"
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if "maixcam_shared" not in path.parts]

#: Raised and caught inside the package, or by Python's own protocols.
INTERNAL_ERRORS = {"AttributeError", "ClockError", "DeviceLostError", "ImageFileError"}

#: Where the public calls are computed.
BEHIND_THE_PUBLIC_CALLS = ("analysis", "backends", "camera/model.py", "mesh", "parameters/table.py")


def errors_in(module: Path) -> Iterator[ast.ClassDef]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Error", "Exception")):
            yield node


def test_every_name_is_there_and_documented() -> None:
    for name in maix_facemesh_ros.__all__:
        value = getattr(maix_facemesh_ros, name)
        assert not inspect.isclass(value) or inspect.getdoc(value), name


def test_names_come_with_their_first_use_and_others_are_refused() -> None:
    assert {*public_names.__all__, "__version__"} == {*maix_facemesh_ros.__all__}
    assert {*maix_facemesh_ros.__all__} <= {*dir(maix_facemesh_ros)}
    with pytest.raises(AttributeError, match="has no attribute 'FaceMash'"):
        _ = cast(Any, maix_facemesh_ros).FaceMash


def test_every_error_of_the_package_has_one_base() -> None:
    classes = [error for module in MODULES for error in errors_in(module)]
    names = {error.name for error in classes}
    assert {"BagError", "ParameterError", "StartError"} <= names
    for error in classes:
        bases = {base.id for base in error.bases if isinstance(base, ast.Name)}
        assert error.name == "FaceMeshError" or bases & names, error.name


def test_public_calls_raise_exported_errors_only() -> None:
    exported = {*maix_facemesh_ros.__all__, *INTERNAL_ERRORS}
    rooms = [path for path in MODULES if path.parent == PACKAGE and path.stem.startswith("face")]
    for name in BEHIND_THE_PUBLIC_CALLS:
        place = PACKAGE / name
        rooms += [place] if place.is_file() else sorted(place.rglob("*.py"))
    raised = {
        (node.exc.func.id, path.relative_to(PACKAGE).as_posix())
        for path in rooms
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }
    assert len(raised) > 20
    assert {(error, place) for error, place in raised if error not in exported} == {
        # Caught where MaixPy is looked for.
        ("ImportError", "backends/maix/import_maix.py"),
    }


POINTS = np.zeros((478, 2), np.float32)
GRAY = np.zeros((48, 64), np.uint8)
RGB = np.zeros((48, 64, 3), np.uint8)


def closed() -> FaceMesh:
    mesh = FaceMesh()
    mesh.close()
    return mesh


@pytest.mark.parametrize(
    ("error", "usual", "call"),
    [
        ("ParameterError", ValueError, lambda: FaceMesh(detector="yolo")),
        ("ParameterError", ValueError, lambda: FaceMesh().change(face_scale=0.0)),
        ("ModelError", RuntimeError, lambda: FaceMesh(detector="yunet", detector_model="/no")),
        ("BackendError", RuntimeError, lambda: FaceMesh(execution_provider="tensorrt")),
        ("ArgumentTypeError", TypeError, lambda: FaceMesh().process(cast(Any, "face.png"))),
        ("ImageError", ValueError, lambda: FaceMesh().process(GRAY)),
        ("ArgumentError", ValueError, lambda: FaceMesh().process(RGB, stamp=float("nan"))),
        ("ClosedError", RuntimeError, lambda: closed().process(RGB)),
        ("ArgumentTypeError", ValueError, lambda: draw_face(cast(Any, "face.png"), Face())),
        ("ArgumentError", ValueError, lambda: draw_face(GRAY, Face())),
        ("LandmarkIndexError", IndexError, lambda: get_sub_landmarks(POINTS[:4], None, SUB_5)),
        ("ArgumentTypeError", TypeError, lambda: get_sub_landmarks(POINTS, None, np.full(1, 0.5))),
        ("ArgumentError", ValueError, lambda: get_sub_landmarks(POINTS[:, :1], None, SUB_5)),
        ("CalibrationError", ValueError, lambda: CameraModel.from_field_of_view(640, 480, 180.0)),
        ("ParameterError", ValueError, lambda: FaceStream(NodeParameters(backend="onnx"))),
    ],
)
def test_an_error_is_of_this_package_and_of_pythons_kind(
    error: str, usual: type[Exception], call: Callable[[], object]
) -> None:
    with pytest.raises(FaceMeshError) as raised:
        call()
    assert type(raised.value) is getattr(maix_facemesh_ros, error)
    assert isinstance(raised.value, usual)


def test_version_is_that_of_package_xml_installed_and_in_a_checkout() -> None:
    version = ElementTree.parse(SOURCE / "package.xml").findtext("version")
    assert maix_facemesh_ros.__version__ == version
    program = "import maix_facemesh_ros as m; print(m.__file__, m.__version__)"
    in_checkout = subprocess.run(
        [sys.executable, "-c", program], cwd=SOURCE, capture_output=True, text=True, check=True
    )
    assert in_checkout.stdout.split() == [str(PACKAGE / "__init__.py"), version]


def test_a_face_prints_on_one_short_line() -> None:
    face = Face(id=3, score=0.934, box=(223.04, 72.0, 90.06, 92.5), points=POINTS)
    assert repr(face) == "Face(id=3, score=0.93, box=(223.0, 72.0, 90.1, 92.5), points=478)"
    face.pose, face.blendshapes = np.eye(4), np.zeros(52, np.float32)
    face.gaze = Gaze(*np.zeros((4, 3)))
    assert repr(face).endswith("points=478, blendshapes, pose, gaze)")


def test_images_print_without_their_pixels() -> None:
    image = Image(RGB, "bgr", Stamp(12, 34), "left_eye")
    assert repr(image) == "Image(64x48 bgr, stamp=12.000000034, frame_id='left_eye')"
    assert repr(JpegFrame(1.5, bytes(2048))) == "JpegFrame(taken_at=1.5, jpeg=2048 bytes)"


@pytest.mark.parametrize(
    ("module", "name", "now"),
    [
        ("camera_model", "CameraModel", "maix_facemesh_ros.camera.model"),
        ("camera_info", "read_calibration", "maix_facemesh_ros.camera.calibration"),
        ("bags.golden_faces", "GoldenFaces", "maix_facemesh_ros.ros.replay.golden"),
        ("face", "PictureError", "maix_facemesh_ros.image"),
    ],
)
def test_a_former_name_still_works_and_names_the_new_one(module: str, name: str, now: str) -> None:
    former = f"maix_facemesh_ros.{module}"
    if module != "face":
        sys.modules.pop(former, None)
    with pytest.warns(DeprecationWarning, match=name) as warned:
        value = getattr(importlib.import_module(former), name)
    assert value.__module__ == now
    assert warned[0].filename != importlib.import_module(former).__file__


#: Each line that ends in a kind of error is one for a type checker, and no other line is.
TYPED = """
    import numpy as np
    from maix_facemesh_ros import Face, FaceMesh, FaceStream, Image, NodeParameters, Stamp
    from maix_facemesh_ros import FaceMash  # attr-defined
    from maix_facemesh_ros.msg import FaceArray

    image = np.zeros((480, 640, 3), np.uint8)
    with FaceMesh(max_face_num=1, landmarks_indices=[1, 33], face_scale=1) as mesh:
        faces: list[Face] = mesh.process(Image(image, "rgb", Stamp(0, 0)))
        mesh.change(max_face_num=2, detect_conf_th=1)
        mesh.change(max_face_nun=2)  # call-arg
        mesh.change(tracking=True)  # call-arg
        mesh.process(image, 0.5, bgr="no")  # arg-type
    FaceMesh(max_face_nun=1)  # call-arg
    FaceMesh(max_face_num="1")  # arg-type
    FaceMesh(source="0")  # call-arg
    with FaceStream(NodeParameters(backend="maixcam")) as stream:
        stream.change(maixcam_jpeg=True, pose=False)
        stream.change(maixcam_jpg=True)  # call-arg
"""


def test_a_type_checker_finds_a_misspelt_keyword(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It uses the installed package, as a user's editor does: py.typed is there."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(TYPED))
    cache = request.config.cache.mkdir("mypy")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"]
    checked = subprocess.run(
        [*mypy, "--config-file=", f"--cache-dir={cache}", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    errors = [line for line in checked.stdout.splitlines() if ": error: " in line]
    found = {int(line.split(":")[1]): line.rpartition("[")[2].rstrip("]") for line in errors}
    lines = enumerate(program.read_text().splitlines(), start=1)
    assert found == {number: line.split("# ")[1] for number, line in lines if "  # " in line}, (
        checked.stdout + checked.stderr
    )

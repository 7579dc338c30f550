"""Every name of MaixPy that the code uses is there, and takes the arguments it is given.

`data/maixpy/api.json` holds the signatures as the real module reports them. Here the code that runs
next to the real module is read, not run: what a name or an expression stands for is followed from
`from maix import ...` and the table below, through assignments, calls and loops.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]
FILES = sorted(
    (
        *SOURCE.glob("maixcam_app/*.py"),
        *SOURCE.glob("maixcam_app/maixcam_shared/*.py"),
        *SOURCE.glob("maix_facemesh_ros/backends/maix/*.py"),
    )
)

API: dict[str, dict[str, object]] = {
    name: dict.fromkeys(members, "property") if isinstance(members, list) else members
    for name, members in json.loads(
        Path(__file__).parents[1].joinpath("data").joinpath("maixpy/api.json").read_text()
    ).items()
}
#: What api.json leaves out, from MaixCDK's components/vision/include/maix_image_color.hpp.
API["image.Color"] = {
    "from_rgb": ["from_rgb(r: int, g: int, b: int) -> image.Color"],
}
API["image"].update(
    {
        f"COLOR_{name}": "property"
        for name in (
            *("WHITE", "BLACK", "RED", "GREEN", "BLUE"),
            *("YELLOW", "PURPLE", "ORANGE", "GRAY"),
        )
    }
)

#: The module itself, as expressions and types below name it.
MAIX = "maix"
#: file: expression: what it stands for, where reading alone cannot tell: `maix`, a module of it
#: (`nn`), a class (`class nn.YOLOv8`) or an object of it (`nn.YOLOv8`); several, where it may be
#: any of them.
DECLARED: dict[str, dict[str, tuple[str, ...]]] = {
    "backends/maix/detector.py": {"self._maix": (MAIX,), "maix_image": ("image.Image",)},
    "backends/maix/camera.py": {"self._maix": (MAIX,), "image": ("image.Image",)},
    "maixcam_app/main.py": {
        "pixels": ("image.Image",),
        "self._camera": ("camera.Camera",),
        "self._display": ("display.Display",),
    },
    "maixcam_shared/npu_faces.py": {
        "maix": (MAIX,),
        "getattr(maix.nn, detector.class_name)": ("class nn.YOLOv8", "class nn.YOLO11"),
        "self._detector": ("nn.YOLOv8", "nn.YOLO11"),
        "self._landmarks": ("nn.FaceLandmarks",),
        "image": ("image.Image",),
        "found": ("nn.Object",),
    },
}

#: Names of MaixPy that are names of other things as well: on an expression that stands for nothing
#: known they are passed over.
COMMON_NAMES = {
    *("add", "at", "close", "format", "fps", "h", "height", "load", "now", "open", "points"),
    *("points_z", "push", "read", "remove", "score", "show", "size", "sleep", "time", "valid"),
    *(
        "w",
        "width",
        "x",
        "y",
        "angle",
        "device",
        "scale",
        "labels",
        "mean",
        "strptime",
        "localtime",
    ),
    *("gmtime", "resize", "detect", "draw_face", "from_bytes"),
}


@dataclass
class Use:
    """One name of MaixPy that a file uses."""

    line: int
    name: str
    fault: str = ""


@dataclass
class Reader:
    """Reads one file and follows what comes from `maix`."""

    tree: ast.Module
    declared: dict[str, tuple[str, ...]] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)

    def read(self) -> list[Use]:
        """Return all uses, with the faults in them."""
        self.known: dict[tuple[str, str], tuple[str, ...]] = {}
        # A second time, because names may be used above the line that says what they are.
        for _ in range(2):
            self.uses = []
            self._block(self.tree.body, scope="")
        return self.uses

    def _block(self, body: list[ast.stmt], scope: str) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, node: ast.AST, scope: str) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._import(node, scope)
        elif isinstance(node, ast.FunctionDef):
            self._function(node, scope)
        elif isinstance(node, ast.ClassDef):
            self._block(node.body, f"{scope}.{node.name}")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            types = self._types(node.value, scope) if node.value else ()
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self._bind(target, types, scope)
        elif isinstance(node, ast.For):
            self._bind(node.target, self._items(self._types(node.iter, scope)), scope)
            self._block([*node.body, *node.orelse], scope)
        elif isinstance(node, ast.expr):
            self._types(node, scope)
        else:
            for child in ast.iter_child_nodes(node):
                self._statement(child, scope)

    def _import(self, node: ast.Import | ast.ImportFrom, scope: str) -> None:
        if isinstance(node, ast.ImportFrom) and (node.module, node.level) == (MAIX, 0):
            for alias in node.names:
                self._use(node, alias.name, self._module(alias.name))
                self.known[scope, alias.asname or alias.name] = (alias.name,)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == MAIX:
                    self.known[scope, alias.asname or MAIX] = (MAIX,)

    def _function(self, node: ast.FunctionDef, scope: str) -> None:
        inner = f"{scope}.{node.name}"
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            self.known[inner, argument.arg] = self.declared.get(argument.arg, ())
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self._types(default, scope)
        self._block(node.body, inner)

    def _bind(self, target: ast.expr, types: tuple[str, ...], scope: str) -> None:
        if isinstance(target, ast.Name):
            declared = self.declared.get(target.id, ())
            self.known[scope, target.id] = types or declared
        elif isinstance(target, ast.Attribute):
            self._types(target.value, scope)
            if types:
                self.known["", ast.unparse(target)] = types
        else:
            for child in ast.iter_child_nodes(target):
                if isinstance(child, ast.expr):
                    self._bind(child, (), scope)

    def _types(self, node: ast.expr, scope: str) -> tuple[str, ...]:
        """Return what an expression may stand for, and note what it uses on the way."""
        if isinstance(node, ast.Name):
            return self._look_up(node.id, scope)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, scope)
        if isinstance(node, ast.Call):
            return self._call(node, scope)
        if isinstance(node, ast.NamedExpr):
            types = self._types(node.value, scope)
            self._bind(node.target, types, scope)
            return types
        if isinstance(node, ast.IfExp):
            self._types(node.test, scope)
            return self._types(node.body, scope) + self._types(node.orelse, scope)
        self._parts(node, scope)
        return self.declared.get(ast.unparse(node), ())

    def _parts(self, node: ast.expr, scope: str) -> None:
        """Read what an expression of no other kind is made of, what it loops over first."""
        for loop in getattr(node, "generators", ()):
            self._bind(loop.target, self._items(self._types(loop.iter, scope)), scope)
            for condition in loop.ifs:
                self._types(condition, scope)
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                self._types(part, scope)

    def _look_up(self, name: str, scope: str) -> tuple[str, ...]:
        while True:
            if (scope, name) in self.known:
                return self.known[scope, name]
            if not scope:
                return self.declared.get(name, ())
            scope = scope.rpartition(".")[0]

    def _attribute(self, node: ast.Attribute, scope: str) -> tuple[str, ...]:
        text = ast.unparse(node)
        owners = self._types(node.value, scope)
        if not owners:
            declared = self.known.get(("", text)) or self.declared.get(text, ())
            if not declared and _is_maixs_own(node.attr):
                fault = "what it belongs to is not known: add that to DECLARED"
                self.uses.append(Use(node.lineno, text, fault))
            return declared
        types: tuple[str, ...] = ()
        for owner in owners:
            found = self._member(owner, node.attr)
            self._use(node, f"{owner.removeprefix('class ')}.{node.attr}", found)
            types += (found,) if found else ()
        return types

    def _member(self, owner: str, name: str) -> str:
        """Return what an attribute stands for; empty if there is none of this name."""
        if owner == MAIX:
            return self._module(name)
        if owner.startswith("function "):
            return ""
        full = f"{owner.removeprefix('class ')}.{name}"
        if full in API:
            return f"class {full}"
        what = API.get(owner.removeprefix("class "), {}).get(name)
        if what is None:
            return ""
        return f"function {full}" if isinstance(what, list) else f"value {full}"

    def _module(self, name: str) -> str:
        return name if any(f"{known}.".startswith(f"{name}.") for known in API) else ""

    def _call(self, node: ast.Call, scope: str) -> tuple[str, ...]:
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            self._types(argument, scope)
        text = ast.unparse(node.func)
        types: tuple[str, ...] = ()
        for what in self.declared.get(text, ()) or self._types(node.func, scope):
            kind, _, name = what.rpartition(" ")
            if kind not in ("class", "function"):
                continue
            owner, _, member = (f"{name}.__init__" if kind == "class" else name).rpartition(".")
            fault, result = _check_call(API[owner][member], node)
            self.uses.append(Use(node.lineno, f"{name}()", fault))
            types += (name,) if kind == "class" else result
        return types

    def _items(self, types: tuple[str, ...]) -> tuple[str, ...]:
        """Return what a loop over these gives."""
        return ("nn.Object",) if "nn.Objects" in types else ()

    def _use(self, node: ast.AST, name: str, found: str) -> None:
        fault = "" if found else "there is no such name in MaixPy"
        self.uses.append(Use(getattr(node, "lineno", 0), name, fault))


def _is_maixs_own(name: str) -> bool:
    return name not in COMMON_NAMES and any(name in members for members in API.values())


def _check_call(overloads: object, call: ast.Call) -> tuple[str, tuple[str, ...]]:
    """Return why none of the overloads takes the call (else nothing), and what comes back."""
    assert isinstance(overloads, list)
    if any(isinstance(argument, ast.Starred) for argument in call.args) or any(
        keyword.arg is None for keyword in call.keywords
    ):
        return "write its arguments out, so that they can be checked", ()
    fault = ""
    for text in overloads:
        signature, result = _parse(text)
        try:
            signature.bind(*call.args, **{str(word.arg): word for word in call.keywords})
        except TypeError as error:
            fault = f"{text} does not take it: {error}"
            continue
        return "", (result,) if result in API else ()
    return fault, ()


def _parse(text: str) -> tuple[inspect.Signature, str]:
    """Parse pybind11's text of a signature, without `self`; returns it and the type that it gives.

    `read(self: camera.Camera, block: bool = True, block_ms: int = -1) -> image.Image`
    """
    parameters_text, _, result = text.partition("(")[2].rpartition(") -> ")
    if not parameters_text and not result:  # no type is given: `sleep(seconds)`
        parameters_text = text.partition("(")[2].rpartition(")")[0]
    parameters = []
    for part in _split(parameters_text):
        name = re.split(r"[:=]", part)[0].strip()
        if name == "self":
            continue
        optional = re.search(r"[^<]=", part) is not None
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=None if optional else inspect.Parameter.empty,
            )
        )
    return inspect.Signature(parameters), result.replace("maix::", "").replace("::", ".")


def _split(text: str) -> Iterator[str]:
    """Split at the commas that are in no brackets."""
    depth, start = 0, 0
    for at, character in enumerate(text):
        depth += (character in "([<") - (character in ")]>")
        if character == "," and depth == 0:
            yield text[start:at]
            start = at + 1
    if text[start:].strip():
        yield text[start:]


def uses_of(source: str, declared: dict[str, tuple[str, ...]]) -> list[Use]:
    return Reader(ast.parse(source), declared).read()


def uses_of_file(file: Path) -> list[Use]:
    declared = [table for name, table in DECLARED.items() if file.as_posix().endswith(name)]
    return uses_of(file.read_text(), declared[0] if declared else {})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_every_name_and_call_is_maixpys(file: Path) -> None:
    faults = [
        f"line {use.line}: {use.name}: {use.fault}" for use in uses_of_file(file) if use.fault
    ]
    assert faults == []


def test_the_declared_files_are_there_and_the_walk_sees_what_they_use() -> None:
    for name in DECLARED:
        (file,) = (file for file in FILES if file.as_posix().endswith(name))
        assert uses_of_file(file), file
    seen = {use.name for file in FILES for use in uses_of_file(file)}
    assert {
        *("nn.YOLOv8()", "nn.YOLO11()", "nn.FaceLandmarks()"),
        *("nn.YOLOv8.detect()", "nn.YOLO11.detect()", "nn.Object.points"),
        *("nn.FaceLandmarks.crop_image()", "nn.FaceLandmarks.detect()"),
        *("nn.FaceLandmarks.draw_face()", "nn.FaceLandmarksObject.points_z"),
        *("sys.device_name()", "sys.maixpy_version()"),
        *("camera.Camera()", "camera.Camera.read()", "camera.Camera.close()"),
        *("image.cv2image()", "image.image2cv()", "image.Image.to_format()"),
        "image.Format.FMT_RGB888",
    } <= seen


GOOD = """
from maix import app, camera, image, nn, time
from maix import sys as device

detector = nn.YOLOv8(model="x.mud", dual_buff=False)
camera_of_it = camera.Camera(detector.input_width(), 480, image.Format.FMT_RGB888)

class App:
    def __init__(self):
        self._landmarks = nn.FaceLandmarks("y.mud")

    def run(self):
        while not app.need_exit():
            image = camera_of_it.read(block=False)
            for found in detector.detect(image, conf_th=0.5, sort=1):
                crop = self._landmarks.crop_image(image, found.x, found.y, 1, 2, found.points)
                if result := self._landmarks.detect(crop, 0.5, True, True):
                    print(result.points_z, f"{device.device_name()}", time.ticks_us())
            jpeg = image.to_jpeg(80).to_bytes()
            time.sleep_ms(5)
"""


def test_a_right_program_has_no_faults() -> None:
    uses = uses_of(GOOD, {})
    assert [use for use in uses if use.fault] == []
    assert {"image.Image.to_jpeg()", "image.Image.to_bytes()", "sys.device_name()"} <= {
        use.name for use in uses
    }


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("time, ", "thyme, ", ""),  # no such text: the program is as before
        ("import app,", "import apps,", "apps: there is no such name"),
        ("nn.YOLOv8(", "nn.YOLOv9(", "nn.YOLOv9: there is no such name"),
        ("dual_buff=", "dual_buffer=", "unexpected keyword argument 'dual_buffer'"),
        ("FMT_RGB888", "FMT_RGB", "image.Format.FMT_RGB: there is no such name"),
        ("need_exit()", "need_exit(1)", "too many positional arguments"),
        ("input_width()", "input_with()", "nn.YOLOv8.input_with: there is no such name"),
        ("block=False", "wait=False", "unexpected keyword argument 'wait'"),
        ("sort=1", "sorted=1", "unexpected keyword argument 'sorted'"),
        (", 1, 2, found.points", ", 1, 2", "missing a required argument: 'points'"),
        ("found.points", "found.keypoints", "nn.Object.keypoints: there is no such name"),
        ("result.points_z", "result.depths", "FaceLandmarksObject.depths: there is no such name"),
        ("device_name()", "device_nam()", "sys.device_nam: there is no such name"),
        ("ticks_us()", "ticks()", "time.ticks: there is no such name"),
        ("to_bytes()", "to_byte()", "image.Image.to_byte: there is no such name"),
        ("to_jpeg(80)", "to_jpeg(q=80)", "unexpected keyword argument 'q'"),
        ("to_jpeg(80)", "to_jpeg(*[80])", "write its arguments out"),
        ("camera_of_it = ", "it = ", "image.to_jpeg: what it belongs to is not known"),
    ],
)
def test_a_wrong_name_or_argument_is_a_fault(right: str, wrong: str, fault: str) -> None:
    faults = [
        f"{use.name}: {use.fault}" for use in uses_of(GOOD.replace(right, wrong), {}) if use.fault
    ]
    if fault:
        assert any(fault in text for text in faults), faults
    else:
        assert faults == []


def test_a_maixpy_name_on_something_unknown_is_a_fault() -> None:
    uses = uses_of("def shrink(it):\n    return it.to_jpeg(50)\n", {})
    assert [use.fault for use in uses] == ["what it belongs to is not known: add that to DECLARED"]
    assert [
        use.fault
        for use in uses_of("def shrink(it):\n    return it.to_jpeg(50)\n", {"it": ("image.Image",)})
        if use.fault
    ] == []

"""The walls inside the package: which part may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ros_imports import is_ros

PACKAGE = Path(__file__).parent.parent / "maix_facemesh_ros"
#: Runs on a MaixCAM as well, in another place: so its modules import each other relatively.
SHARED_WITH_THE_DEVICE = "maixcam_shared/"
SHARED = sorted((PACKAGE / SHARED_WITH_THE_DEVICE).glob("*.py"))
MODULES = sorted({*PACKAGE.rglob("*.py"), *SHARED})
APP = sorted((PACKAGE.parent / "maixcam_app").glob("*.py"))

#: Former places of names, for one release: they import from wherever the name is now.
FORMER_PLACES = ("bags/golden_faces.py",)
#: Name: the only places in the package that may import it.
ONLY_IN = {
    "av": ("messages/video.py", "offline/videos.py"),
    "onnxruntime": ("backends/onnx/network.py",),
    "maix": ("backends/maix/import_maix.py",),
    # A third of an environment without ROS, for one function.
    "scipy": (),
    # They read and write bags without ROS.
    "mcap": ("bags/", "offline/", "ros/replay/"),
    "rosbags": ("bags/", "offline/", "ros/replay/"),
    "tornado": ("browser/",),
}

#: Parts of the package, and the parts that they must not reach, directly or through others.
APART = {
    "analysis/": ("backends/",),
    "sources/": ("backends/",),
    "ros/publishers/": ("backends/", "face_mesh.py", "face_stream.py", "offline/"),
    "mesh/": ("",),
}
#: Imports nothing of the package, so every part may import it.
FOR_ALL = "errors.py"
#: Lines that an `__init__.py` has at most, and the names that it may set.
LONGEST_INIT = 40
#: Lines of the node's module, which only connects inputs with publishers.
LONGEST_NODE = 250
SET_IN_INIT = {"__all__", "__path__", "__version__"}


def imported(module: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or module in SHARED, f"{module} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def place(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("module", MODULES, ids=place)
def test_imports_stay_inside_the_walls(module: Path) -> None:
    for name in imported(module):
        assert place(module).startswith(("ros/", *FORMER_PLACES)) or not is_ros(name), name
        allowed = ONLY_IN.get(name.split(".")[0])
        assert allowed is None or place(module).startswith(allowed), name


def own_imports(module: Path) -> set[Path]:
    """Return the modules of the package that a module imports, wherever in the file."""
    found = set()
    for name in imported(module):
        parts = name.split(".")
        if parts[0] == PACKAGE.name:
            # The last part may be a name in the module.
            for path in (PACKAGE.joinpath(*parts[1:]), PACKAGE.joinpath(*parts[1:-1])):
                found |= {path.with_suffix(".py"), path / "__init__.py"} & ALL
    return found - {module, PACKAGE / "__init__.py"}


def reachable(module: Path) -> set[Path]:
    """Return the modules that a module imports, directly or through others."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        new = IMPORTS[waiting.pop()] - found
        found |= new
        waiting += new
    return found


ALL = frozenset(
    module
    for module in MODULES
    if module not in SHARED and not place(module).startswith(FORMER_PLACES)
)
IMPORTS = {module: own_imports(module) for module in ALL}


def room(module: Path) -> str:
    """Return the package, one of those directly below this one, or the module itself."""
    return place(module).split("/")[0]


@pytest.mark.parametrize(("part", "apart"), APART.items())
def test_parts_that_must_not_know_others_do_not_reach_them(
    part: str, apart: tuple[str, ...]
) -> None:
    modules = {module for module in ALL if place(module).startswith(part)}
    assert len(modules) > 1
    for module in modules:
        others = {place(other) for other in reachable(module) - modules} - {FOR_ALL}
        assert [other for other in others if other.startswith(apart)] == [], place(module)


def test_no_module_imports_itself_through_others() -> None:
    """Not even where an import stands in a function."""
    assert [place(module) for module in ALL if module in reachable(module)] == []


def test_no_circle_between_rooms() -> None:
    rooms: dict[str, set[str]] = {}
    for module, others in IMPORTS.items():
        rooms.setdefault(room(module), set()).update(
            room(other) for other in others if room(other) != room(module)
        )
    assert len(rooms) > 10
    # Take away what needs nothing that is left, until nothing is left.
    while free := [name for name, needs in rooms.items() if not needs & rooms.keys()]:
        for name in free:
            del rooms[name]
    assert rooms == {}


@pytest.mark.parametrize(
    "module", sorted(module for module in ALL if module.name == "__init__.py"), ids=place
)
def test_an_init_has_no_logic(module: Path) -> None:
    text = module.read_text()
    assert len(text.splitlines()) <= LONGEST_INIT
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign):
            assert {ast.unparse(target) for target in statement.targets} <= SET_IN_INIT
        elif isinstance(statement, ast.Expr):
            assert isinstance(statement.value, ast.Constant), ast.unparse(statement)
        elif isinstance(statement, ast.If):
            # The public names, for type checkers at once and for Python with their first use.
            assert (place(module), ast.unparse(statement.test)) == ("__init__.py", "TYPE_CHECKING")
        else:
            assert isinstance(statement, (ast.Import, ast.ImportFrom)), ast.unparse(statement)


def test_the_node_is_wiring_only() -> None:
    """The ROS part asks no item for its type, and each publisher and input uses its arguments."""
    assert len((PACKAGE / "ros/facemesh_node.py").read_text().splitlines()) < LONGEST_NODE
    for module in ALL:
        if place(module).startswith("ros/"):
            text = module.read_text()
            assert "isinstance(" not in text, place(module)
            assert "noqa: ARG" not in text, place(module)


def test_no_two_public_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for module in sorted(ALL):
        for statement in ast.parse(module.read_text()).body:
            if isinstance(statement, ast.ClassDef) and not statement.name.startswith("_"):
                places.setdefault(statement.name, []).append(place(module))
    assert len(places) > 100
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("module", SHARED + APP, ids=lambda module: module.name)
def test_the_device_needs_the_standard_library_and_maix_only(module: Path) -> None:
    siblings = {other.stem for other in (SHARED if module in SHARED else APP)}
    known = {*sys.stdlib_module_names, *siblings}
    known |= set() if module in SHARED else {"maix", "maixcam_shared"}
    assert {name.split(".")[0] for name in imported(module)} <= known


def test_tests_share_code_in_test_support_only() -> None:
    tests = sorted(Path(__file__).parent.rglob("test_*.py"))
    assert len(tests) > 50
    for test in tests:
        assert [name for name in imported(test) if name.startswith("test_")] == [], test


def test_the_walls_see_what_they_should() -> None:
    ros_part = [module for module in MODULES if place(module).startswith("ros/")]
    assert any(is_ros(name) for module in ros_part for name in imported(module))
    assert "onnxruntime" in set(imported(PACKAGE / "backends/onnx/network.py"))
    assert {"link.py", "npu_faces.py"} <= {module.name for module in SHARED}
    assert "main.py" in {module.name for module in APP}
    assert any(name.startswith("maix.") for module in APP for name in imported(module))


def test_import_of_all_names_loads_no_ros_no_network_and_no_device() -> None:
    program = "import sys; from maix_facemesh_ros import *; print(*sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(finished.stdout.split())
    assert "maix_facemesh_ros.face_mesh" in loaded
    assert not {"rclpy", "onnxruntime", "maix"} & loaded
    assert [name for name in loaded if is_ros(name)] == []


def test_onnx_backend_loads_no_ros() -> None:
    program = (
        "import sys, maix_facemesh_ros\nmaix_facemesh_ros.FaceMesh().close()\nprint(*sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(finished.stdout.split())
    assert "onnxruntime" in loaded
    assert [name for name in loaded if is_ros(name)] == []

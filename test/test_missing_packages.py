"""package.xml names what is imported; the programs name what is missing, in one line."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

import cv2
import pytest

from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.missing_packages import PIP_PACKAGES, SYSTEM_PACKAGES, pip_install
from maix_facemesh_ros.programs.start import PROGRAMS

SOURCE = Path(__file__).parents[1]
PACKAGE = "maix_facemesh_ros"
STAND_IN = str(Path(__file__).parent / "support/missing_stand_in")

#: Modules whose rosdep key has another name.
KEYS = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    **{module: debian for module, (debian, _) in SYSTEM_PACKAGES.items()},
}
#: Imported where they are there, each for one option or place that says what it needs.
ELSEWHERE = {
    "av",  # .mp4 with sound, H.264 and H.265 topics
    "distributed",  # facemesh_bag --cluster
    "maix",  # MaixPy, on a MaixCAM
    "maixcam_shared",
    "pyarrow",  # .parquet
    "skimage",  # the demo's image
    "typing_extensions",  # for mypy and editors only
}

#: Program, a module that is missing, and the command that is said to install it.
CASES = [
    *(("facemesh_bag", module, "pip install") for module in ("mcap", "rosbags", "zstandard")),
    *(("facemesh_replay", module, "pip install") for module in ("mcap", "rosbags", "zstandard")),
    ("facemesh_node", "onnxruntime", "pip install onnxruntime"),
    ("facemesh_bag", "onnxruntime", "pip install onnxruntime"),
    ("facemesh_bag", "tqdm", "pip install tqdm"),
    ("facemesh_view", "tornado", "pip install tornado"),
    ("facemesh_node", "diagnostic_msgs", "source the setup.bash"),
    ("facemesh_rviz", "rclpy", "source the setup.bash"),
    ("facemesh_view", "rclpy", "source the setup.bash"),
]


def imported_modules(*folders: str) -> Iterator[str]:
    """Give the first part of the name of all that is imported, wherever in the files."""
    for folder in folders:
        for file in (SOURCE / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    yield from (alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    yield (node.module or "").partition(".")[0]


def dependencies(*kinds: str) -> set[str]:
    tree = ElementTree.parse(SOURCE / "package.xml")
    return {element.text or "" for kind in kinds for element in tree.iter(kind)}


def test_what_is_imported_is_declared() -> None:
    imported = set(imported_modules(PACKAGE, "launch", "examples"))
    of_python = {*sys.stdlib_module_names, PACKAGE, *ELSEWHERE, *PIP_PACKAGES}
    needed = {KEYS.get(module, module) for module in imported - of_python}
    missing = needed - dependencies("depend", "exec_depend")
    assert not missing, missing


def test_nothing_from_pip_is_declared_that_a_release_could_not_have() -> None:
    everything = dependencies("depend", "build_depend", "buildtool_depend", "exec_depend")
    assert not [key for key in everything if key.endswith("-pip") or key in PIP_PACKAGES]


def test_pips_list_has_the_optional_packages_and_the_wheels_bounds() -> None:
    lists = {}
    for name in ("pip", "run", "bags"):
        lines = (SOURCE / "requirements" / f"{name}.txt").read_text().splitlines()
        lists[name] = {line.split("#")[0].strip() for line in lines} - {""}
    for package in PIP_PACKAGES.values():
        (wanted,) = (line for line in lists["pip"] if line.startswith(package))
        assert wanted in lists["run"] | lists["bags"]


def test_the_documents_name_pips_list() -> None:
    offline = (SOURCE / "docs" / "offline.md").read_text()
    assert "requirements/pip.txt" in (SOURCE / "README.md").read_text()
    assert "requirements/pip.txt" in offline
    assert not [package for package in PIP_PACKAGES.values() if package not in offline]


def test_each_extra_that_is_documented_exists() -> None:
    """pip only warns of an extra that it does not know, and installs nothing for it."""
    _, _, rest = (SOURCE / "docs" / "wheels.md").read_text().partition("## Extras")
    rows = re.findall(r"^\| (`.*?) \|", rest.partition("\n## ")[0], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    there = set(metadata(PACKAGE).get_all("Provides-Extra") or ())
    assert named == there - {"test"}


@pytest.mark.parametrize(("program", "module", "advice"), CASES)
def test_a_missing_package_is_one_line(
    program: str, module: str, advice: str, tmp_path: Path, astronaut: Pixels
) -> None:
    arguments = ["bag"] if program == "facemesh_replay" else []
    if program == "facemesh_bag":
        (tmp_path / "images").mkdir()
        cv2.imwrite(str(tmp_path / "images" / "1.png"), astronaut)
        arguments = [str(tmp_path / "images"), "-o", str(tmp_path / "faces")]
    ended = subprocess.run(
        [sys.executable, "-m", "maix_facemesh_ros.programs.start", program, *arguments],
        env={**os.environ, "PYTHONPATH": STAND_IN, "MISSING_MODULES": module},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert program in PROGRAMS
    assert ended.returncode not in (0, None), ended
    (line,) = (ended.stdout + ended.stderr).strip().splitlines()
    assert module in line
    assert advice in line


def test_numpy_1_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "importlib.metadata.version"
    monkeypatch.setattr(module, lambda _: "1.21.5")
    assert pip_install("onnxruntime") == 'pip install onnxruntime "numpy<2"'
    assert pip_install("mcap") == "pip install mcap"
    monkeypatch.setattr(module, lambda _: "2.3.0")
    assert pip_install("onnxruntime") == "pip install onnxruntime"

"""The two wheels, as a user without an installed ROS makes and installs them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from installation import (
    ASK_NODE,
    PACKAGE,
    ROUND_TRIP,
    ROUND_TRIP_ANSWER,
    SHARED_FILES,
    SOURCE,
    USE,
    USE_ANSWER,
    WHERE,
    copy_source,
    distro_of_this_environment,
    only_local,
    run,
    start_ask_and_stop_node,
    start_view_and_fetch_its_page,
)

pytestmark = pytest.mark.build

PROGRAMS = ("node", "rviz", "view")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_source(tmp_path_factory.mktemp("wheel") / "source")


@pytest.fixture(scope="module")
def wheels(source: Path) -> tuple[Path, Path]:
    """Build with build isolation, so that the build requirements are tested too.

    Returns the wheel without ROS, and the one with the messages.
    """
    folder = source.parent / "dist"
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder)]
    run([*pip, str(source), str(source / "ros_wheel")], pip_environment(), source.parent)
    (pure,) = folder.glob(f"{PACKAGE}-*-py3-none-any.whl")
    (messages,) = {*folder.glob("*.whl")} - {pure}
    return pure, messages


@pytest.fixture(scope="module")
def prefix(wheels: tuple[Path, Path]) -> Path:
    """Install the wheels into a fresh venv, which pip fills from their requirements."""
    prefix = wheels[0].parent.parent / "venv"
    lock = SOURCE / "requirements" / f"lock-{distro_of_this_environment()}.txt"
    run([sys.executable, "-m", "venv", prefix], pip_environment(), prefix.parent)
    pip: list[str | Path] = [prefix / "bin" / "python", "-m", "pip"]
    install = [*pip, "install", "--no-compile", "--constraint", lock, *wheels]
    run(install, pip_environment(), prefix.parent)
    return prefix


def pip_environment() -> dict[str, str]:
    """The environment without the ROS of the environment that runs the tests."""
    ros = ("AMENT_PREFIX_PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
    kept = {name: value for name, value in os.environ.items() if name not in ros}
    return {**kept, "ROS_DISTRO": distro_of_this_environment()}


def files_in(wheel: Path) -> set[str]:
    """Return the files of a wheel as they are installed, without what describes the wheel."""
    names = zipfile.ZipFile(wheel).namelist()
    installed = (name.partition(".data/data/")[2] or name for name in names)
    return {name for name in installed if ".dist-info/" not in name}


def test_each_wheel_holds_its_half(wheels: tuple[Path, Path]) -> None:
    pure, messages = map(files_in, wheels)
    for file in (
        "face_mesh.py",
        "py.typed",
        "maixcam_shared/link.py",
        "browser/page/index.html",
    ):
        assert f"{PACKAGE}/{file}" in pure
    assert not [name for name in pure if name.endswith(".so") or f"{PACKAGE}/msg/_" in name]
    assert {f"{PACKAGE}/msg/_face_array.py", f"{PACKAGE}/msg/__init__.pyi"} <= messages
    assert {f"lib/{PACKAGE}/facemesh_{program}" for program in PROGRAMS} <= messages
    for file in SHARED_FILES:
        names = [name for name in pure | messages if name.startswith(f"share/{PACKAGE}/{file}")]
        assert names, file
    # pip would take a file that both have away with either of them.
    assert pure & messages == set()


def test_wheels_name_no_folder_of_the_build(wheels: tuple[Path, Path], source: Path) -> None:
    naming = []
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            naming += [
                name for name in archive.namelist() if str(source).encode() in archive.read(name)
            ]
    # The compiled code is the same wherever it was built; assert() and log calls name their file.
    assert [name for name in naming if not name.endswith(".so")] == []


def test_requirements_are_complete(prefix: Path) -> None:
    run([prefix / "bin" / "python", "-m", "pip", "check"], {}, prefix)


def test_package_comes_from_the_wheel_even_inside_the_source_folder(
    prefix: Path, source: Path
) -> None:
    places = run([prefix / "bin" / "python", "-c", WHERE], {}, source).splitlines()

    # Python looks into the current folder first; the messages must be found all the same.
    assert places[0] == str(source / PACKAGE / "__init__.py")
    assert places[1].startswith(str(prefix))
    assert places[2].startswith(str(prefix / "lib"))


def test_face_array_goes_from_publisher_to_subscriber(prefix: Path, tmp_path: Path) -> None:
    answer = run([prefix / "bin" / "python", "-c", ROUND_TRIP], only_local(tmp_path), tmp_path)
    assert answer == ROUND_TRIP_ANSWER


def test_share_folder_and_models_are_found(prefix: Path, tmp_path: Path) -> None:
    environment = {"AMENT_PREFIX_PATH": str(prefix)}
    answer = run([prefix / "bin" / "python", "-c", USE], environment, tmp_path).splitlines()

    share = Path(answer[0])
    assert share == prefix / "share" / PACKAGE
    assert [file for file in SHARED_FILES if not (share / file).exists()] == []
    assert answer[1:] == USE_ANSWER


@pytest.mark.parametrize("program", ["bin/facemesh_node", f"lib/{PACKAGE}/facemesh_node"])
def test_node_answers_a_image(program: str, prefix: Path, tmp_path: Path) -> None:
    ask: list[str | Path] = [prefix / "bin" / "python", "-c", ASK_NODE]
    start_ask_and_stop_node([prefix / program], ask, only_local(tmp_path), tmp_path)


@pytest.mark.parametrize("program", ["bin/facemesh_view", f"lib/{PACKAGE}/facemesh_view"])
def test_view_serves_its_page(program: str, prefix: Path, tmp_path: Path) -> None:
    start_view_and_fetch_its_page([prefix / program], only_local(tmp_path), tmp_path)


def test_messages_of_a_distribution_without_wheels_are_refused_in_one_line(source: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "setup.py", "egg_info"],
        capture_output=True,
        text=True,
        env={**pip_environment(), "ROS_DISTRO": "humble"},
        cwd=source / "ros_wheel",
    )
    assert finished.returncode == 1
    assert "There are no ROS 2 humble wheels on PyPI: build" in finished.stderr.splitlines()[-1]

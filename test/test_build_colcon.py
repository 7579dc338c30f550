"""The build of a user with ROS 2: colcon, in a workspace, with and without symbolic links."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from installation import (
    ASK_NODE,
    PACKAGE,
    ROUND_TRIP,
    ROUND_TRIP_ANSWER,
    SHARED_FILES,
    USE,
    USE_ANSWER,
    WHERE,
    copy_source,
    only_local,
    run,
    start_ask_and_stop_node,
    start_view_and_fetch_its_page,
)

pytestmark = pytest.mark.build


class Workspace:
    """A built workspace: src/, build/ and install/ in one folder."""

    def __init__(self, folder: Path, build_arguments: list[str]) -> None:
        self.folder = folder
        self.source = copy_source(folder / "src" / PACKAGE)
        self.install = folder / "install" / PACKAGE
        colcon: list[str | Path] = [sys.executable, "-m", "colcon", "build", *build_arguments]
        self.output = run(
            [*colcon, "--cmake-args", f"-DPython3_EXECUTABLE={sys.executable}"],
            sourced_ros(),
            folder,
        )

    def test(self) -> tuple[int, list[int]]:
        """Run `colcon test`; return the exit code of `colcon test-result` and its four numbers.

        These are tests, errors, failures and skipped tests.
        """
        run([sys.executable, "-m", "colcon", "test"], sourced_ros(), self.folder)
        result = subprocess.run(
            [sys.executable, "-m", "colcon", "test-result"],
            capture_output=True,
            text=True,
            env=sourced_ros(),
            cwd=self.folder,
            timeout=60,
        )
        (summary,) = re.findall(r"^Summary: .*", result.stdout, re.MULTILINE)
        return result.returncode, [int(number) for number in re.findall(r"\d+", summary)]

    def sourced(self, *command: str | Path) -> list[str | Path]:
        """Return the command as it runs after `source install/setup.sh`."""
        words = shlex.join(str(word) for word in command)
        return ["sh", "-c", f". {shlex.quote(str(self.folder))}/install/setup.sh && exec {words}"]


def sourced_ros() -> dict[str, str]:
    """What `source /opt/ros/<distro>/setup.bash` does, for the ROS 2 wheels in this venv."""
    return {
        **os.environ,
        "AMENT_PREFIX_PATH": sys.prefix,
        "CMAKE_PREFIX_PATH": sys.prefix,
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        "COLCON_LOG_LEVEL": "30",
    }


@pytest.fixture(scope="module", params=["copies", "symbolic links"])
def workspace(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Workspace:
    arguments = ["--symlink-install"] if request.param == "symbolic links" else []
    return Workspace(tmp_path_factory.mktemp("workspace"), arguments)


def test_colcon_sees_an_ament_cmake_package(workspace: Workspace) -> None:
    # With an invalid package.xml colcon would silently build plain CMake and write no such file.
    assert (workspace.install / "share" / PACKAGE / "package.dsv").exists()
    assert (workspace.install / "share/ament_index/resource_index/packages" / PACKAGE).exists()


def test_cmake_warns_of_nothing(workspace: Workspace) -> None:
    assert "CMake Warning" not in workspace.output


def test_everything_is_installed(workspace: Workspace) -> None:
    share = workspace.install / "share" / PACKAGE
    assert [file for file in SHARED_FILES if not (share / file).exists()] == []
    programs = ("bag", "node", "replay", "rviz", "view")
    for program in (f"facemesh_{name}" for name in programs):
        assert (workspace.install / "lib" / PACKAGE / program).exists()


def test_symbolic_links_lead_to_the_source(workspace: Workspace) -> None:
    (module,) = workspace.install.glob(f"lib/python3*/site-packages/{PACKAGE}/face_mesh.py")
    in_source = module.resolve() == workspace.source / PACKAGE / "face_mesh.py"
    assert in_source == module.is_symlink()


def test_package_and_messages_come_from_the_workspace(workspace: Workspace, tmp_path: Path) -> None:
    where = workspace.sourced("python3", "-c", WHERE)
    for place in run(where, sourced_ros(), tmp_path).splitlines():
        assert place.startswith(str(workspace.folder)), place


def test_face_array_goes_from_publisher_to_subscriber(workspace: Workspace, tmp_path: Path) -> None:
    environment = {**sourced_ros(), **only_local(tmp_path)}
    round_trip = workspace.sourced("python3", "-c", ROUND_TRIP)
    assert run(round_trip, environment, tmp_path) == ROUND_TRIP_ANSWER


def test_share_folder_and_models_are_found(workspace: Workspace, tmp_path: Path) -> None:
    answer = run(workspace.sourced("python3", "-c", USE), sourced_ros(), tmp_path).splitlines()
    assert answer == [str(workspace.install / "share" / PACKAGE), *USE_ANSWER]


def test_node_answers_a_image(workspace: Workspace, tmp_path: Path) -> None:
    environment = {**sourced_ros(), **only_local(tmp_path)}
    start_ask_and_stop_node(
        workspace.sourced(workspace.install / "lib" / PACKAGE / "facemesh_node"),
        workspace.sourced("python3", "-c", ASK_NODE),
        environment,
        tmp_path,
    )


def test_view_serves_its_page(workspace: Workspace, tmp_path: Path) -> None:
    view = workspace.sourced(workspace.install / "lib" / PACKAGE / "facemesh_view")
    start_view_and_fetch_its_page(view, {**sourced_ros(), **only_local(tmp_path)}, tmp_path)


def test_colcon_test_runs_the_quick_tests_and_reports_failures(workspace: Workspace) -> None:
    # The whole layer takes a minute or two: two files of it show that it runs.
    tests = workspace.source / "test"
    roi = tests / "backends/test_roi.py"
    for file in {*tests.rglob("test_*.py")} - {roi, tests / "analysis/test_one_euro.py"}:
        file.unlink()
    code, (count, errors, failures, skipped) = workspace.test()
    assert code == errors == failures == skipped == 0
    assert count > 10
    roi.write_text("def test_fails() -> None:\n    assert 1 == 2\n")
    code, (fewer, errors, failures, _) = workspace.test()
    assert code == 1
    assert fewer < count
    # pytest's test, and the one of CTest that runs pytest.
    assert (errors, failures) == (0, 2)

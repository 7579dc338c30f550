"""Command lines of the programs: help and version at once, and a wrong one is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from maix_facemesh_ros import __version__
from maix_facemesh_ros.parameters import NodeParameters, ViewParameters, parameters_of
from maix_facemesh_ros.programs import start as start_module
from maix_facemesh_ros.programs.command_line import UsageError, help_text, ros_arguments
from maix_facemesh_ros.programs.start import PROGRAMS


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "maix_facemesh_ros.programs.start", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], []),
        (["--ros-args", "-p", "pose:=true"], ["--ros-args", "-p", "pose:=true"]),
        (["--ros-args", "-p", "pose:=true", "--"], ["--ros-args", "-p", "pose:=true", "--"]),
        (["0"], ["--ros-args", "-p", 'source:="0"']),
        (
            ["--ros-args", "--", "a b.mp4"],
            ["--ros-args", "--", "--ros-args", "-p", 'source:="a b.mp4"'],
        ),
    ],
)
def test_what_ros_gets(arguments: list[str], expected: list[str]) -> None:
    assert ros_arguments("facemesh_node", NodeParameters, arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        (["--source", "x"], "give facemesh_node --ros-args -p source:=x"),
        (["--source=x"], "give facemesh_node --ros-args -p source:=x"),
        (["--max-face-num", "4"], "give facemesh_node --ros-args -p max_face_num:=4"),
        (["-p", "source:=x"], "give facemesh_node --ros-args -p source:=x"),
        (["-r", "image_raw:=/c"], "give facemesh_node --ros-args -r image_raw:=/c"),
        (["pose:=true"], "give facemesh_node --ros-args -p pose:=true"),
        (["image_raw:=/c"], "give facemesh_node --ros-args -r image_raw:=/c"),
        (["--params-file", "f.yaml"], "give facemesh_node --ros-args --params-file f.yaml"),
        (["a.mp4", "b.mp4"], "has no argument 'b.mp4': see facemesh_node --help"),
        (["--nonsense"], "has no argument '--nonsense': see facemesh_node --help"),
    ],
)
def test_what_is_left_over_is_refused_with_the_right_spelling(
    arguments: list[str], right: str
) -> None:
    with pytest.raises(UsageError) as refused:
        ros_arguments("facemesh_node", NodeParameters, arguments)
    assert right in str(refused.value)


def test_the_view_has_no_source() -> None:
    with pytest.raises(UsageError, match="has no argument '0'"):
        ros_arguments("facemesh_view", ViewParameters, ["0"])


@pytest.mark.parametrize("table", [NodeParameters, ViewParameters])
def test_help_shows_every_parameter(table: type[NodeParameters] | type[ViewParameters]) -> None:
    text = help_text("program", table, "What it does.")
    for parameter in parameters_of(table):
        assert f"\n  {parameter.name}:=" in text
    assert max(map(len, text.splitlines())) <= 130


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_says_its_version_and_its_usage(program: str) -> None:
    assert run(program, "--version").stdout == f"{program} {__version__}\n"
    if program != "facemesh_rviz":
        helped = run(program, "--help")
        assert helped.returncode == 0
        assert program in helped.stdout


#: What takes a program's help longer than the help itself.
HEAVY = {"numpy", "cv2", "onnxruntime", "rclpy", "rosbags", "mcap", "tornado", "tqdm", "scipy"}

#: Prints the heavy modules that the program has imported when it ends.
WITH_MODULES = f"""
import atexit, sys
atexit.register(lambda: print("imported:", *({HEAVY} & sys.modules.keys())))
from maix_facemesh_ros.programs.start import start
sys.exit(start(sys.argv.pop(1)))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        *(f"{program} --version" for program in PROGRAMS),
        # RViz itself answers the other one's.
        *(f"{program} --help" for program in PROGRAMS if program != "facemesh_rviz"),
        *(f"facemesh {verb} --help" for verb in ("see", "find", "info", "maixcam-check")),
        "facemesh_bag --nonsense",
        "facemesh_node --nonsense",
        "facemesh_replay --nonsense",
    ],
)
def test_help_and_a_wrong_command_line_import_no_library(arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITH_MODULES, *arguments.split()],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stdout.splitlines()[-1:] == ["imported:"], ended.stdout + ended.stderr


def test_a_program_does_not_start_with_a_wrong_command_line() -> None:
    ended = run("facemesh_node", "--source", "x")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "facemesh_node has no argument '--source' here: "
        "give facemesh_node --ros-args -p source:=x\n"
    )


def test_output_that_nobody_reads_any_more_is_no_traceback(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with errors.open("w") as file:
        program = subprocess.Popen(
            [sys.executable, "-m", "maix_facemesh_ros.programs.start", "facemesh_node", "--help"],
            stdout=subprocess.PIPE,
            stderr=file,
        )
        assert program.stdout is not None
        program.stdout.close()
        assert program.wait(60) in (0, 141)
    assert errors.read_text() == ""


def interrupted(_module: str) -> None:
    raise KeyboardInterrupt


def interrupted_in_a_compiled_module(_module: str) -> None:
    raise ImportError("initialization failed") from KeyboardInterrupt()


@pytest.mark.parametrize("importing", [interrupted, interrupted_in_a_compiled_module])
def test_ctrl_c_while_a_program_is_imported_is_no_fault(
    importing: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_module, "import_module", importing)
    assert start_module.start("facemesh_bag", ["talk.mp4", "-o", "talk.csv"]) == 130

"""A start that fails ends with a code that is not 0, and with the reason in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from maix_facemesh_ros.ros.node_process import StartError, initialize_ros
from replay_bags import image_bag
from running_node import TIMEOUT


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--params-file", "nothing.yaml"], "'--params-file nothing.yaml'. Error: Error opening"),
        (["--params-file", __file__], "give a YAML file such as config/facemesh.yaml"),
        (["--params-file"], "give --params-file FILE"),
        (["-p"], "give -p NAME:=VALUE"),
        (["-p", "max_face_num"], "'-p max_face_num'"),
        (["-p", "max_face_num:="], "'-p max_face_num:='.: give -p NAME:=VALUE"),
        (["-r"], "give -r OLD:=NEW"),
        (["-r", "image_raw"], "'-r image_raw'"),
        (["-r", "__node:=a-b"], "'-r __node:=a-b'"),
        (["--log-level", "loud"], "'--log-level loud'"),
        (["--nonsense"], "unknown arguments after --ros-args: ['--nonsense']"),
    ],
)
def test_the_reason_is_named(arguments: list[str], reason: str) -> None:
    with pytest.raises(StartError) as caught:
        initialize_ros(["program", "--ros-args", *arguments])
    said = str(caught.value)
    assert said.startswith("ROS cannot be initialized: ")
    assert reason in said
    assert "\n" not in said
    assert ".c:" not in said, "a place in rcl's source is of no use to a user"


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("facemesh_node", 1),
        ("facemesh_view", 1),
        ("facemesh_replay", 2),
    ],
)
def test_a_program_ends_with_the_reason_and_a_code(program: str, code: int, tmp_path: Path) -> None:
    bag = [str(image_bag(tmp_path))] if program == "facemesh_replay" else []
    missing = str(tmp_path / "nothing.yaml")
    ended = run(program, *bag, "--ros-args", "--params-file", missing)
    assert ended.returncode == code, ended.stdout
    assert "nothing.yaml'. Error: Error opening YAML file: give a YAML file" in ended.stdout
    assert "Traceback" not in ended.stdout


def test_an_address_that_is_not_this_machines_is_named() -> None:
    parameters = ("-p", "address:=192.0.2.1", "-p", "open_to_all:=true", "-p", "port:=0")
    ended = run("facemesh_view", "--ros-args", *parameters)
    assert ended.returncode == 1
    assert "cannot listen at address '192.0.2.1', port 0: " in ended.stdout
    assert "Traceback" not in ended.stdout


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "maix_facemesh_ros.programs.start", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
    )

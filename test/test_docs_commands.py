"""The commands in README.md and docs/: each is known and has right arguments, many are run.

`RUN_HERE` are run as they stand, in a folder with the files that they name. What other programs are
given (`ros2 param`, `ssh`, ...) is not checked; docs/testing.md lists the commands run by hand.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import cv2
import pytest

from maix_facemesh_ros.parameters import NodeParameters, ParameterTable, parameters_of
from maix_facemesh_ros.parameters.files import given_parameters
from maix_facemesh_ros.programs.command_line import ros_arguments
from maix_facemesh_ros.programs.start import PROGRAMS
from recorded_bags import camera_messages, scene, write_bag

SOURCE = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "launch/README.md", "maixcam_app/README.md"] + [
    path.relative_to(SOURCE).as_posix() for path in sorted((SOURCE / "docs").glob("*.md"))
]

#: Verbs of `facemesh`, by the module with the parser of their arguments.
PARSERS = {
    "find": "maix_facemesh_ros.offline.main",
    "facemesh_bag": "maix_facemesh_ros.offline.main",
    "see": "maix_facemesh_ros.browser.see",
    "maixcam-check": "maix_facemesh_ros.programs.maixcam_check",
}

#: Programs of others, whose arguments are not checked.
OTHERS = {
    *("ros2", "rosdep", "colcon", "git", "pip", "python", "python3", "sudo", "ssh", "scp", "dask"),
    *("openssl", "source", ".", "export", "mkdir", "(umask", "tools/lay_rclpy.py"),
}

#: Pages whose commands with `facemesh find` and `facemesh_bag` are run, with what cannot be run:
#: a camera, a cluster of other machines.
RUN_HERE = ("docs/offline.md", "docs/privacy.md", "docs/tables.md")
NOT_HERE = ("find 0 ", "--cluster", "dask ")


class Command(NamedTuple):
    page: str
    text: str


def commands() -> Iterator[Command]:
    """Yield each command of the blocks marked `sh`, without comments and with lines joined."""
    for page in PAGES:
        text = (SOURCE / page).read_text(encoding="utf-8")
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
            for line in re.sub(r" *\\\n *", " ", block).splitlines():
                command = re.sub(r"(^| )#.*", "", line).strip()
                if command:
                    yield Command(page, command)


COMMANDS = list(commands())


def words_of(command: Command) -> list[str]:
    """Return the words without variables before the program; placeholders stay."""
    if re.match(r"\w+=\$\(", command.text):
        return []
    words = shlex.split(command.text)
    while words and re.match(r"\w+=", words[0]):
        words.pop(0)
    return words


def check_program(program: str, arguments: Sequence[str]) -> None:
    """Check the arguments of a program of this package."""
    if program == "facemesh":
        program, *arguments = arguments
        program = {"node": "facemesh_node", "view": "facemesh_view"}.get(program, program)
    if program in PARSERS:
        parsed = import_module(PARSERS[program])._parser().parse_args(arguments)
        if assignments := getattr(parsed, "param", None):
            NodeParameters.from_values(given_parameters([], assignments))
        return
    table = PROGRAMS[program].parameters
    if table is not None:
        ros_arguments(program, table, arguments)
        check_values(table, re.findall(r"(?<=-p )\w+:=\S*", " ".join(arguments)))


def check_values(table: type[ParameterTable], given: Sequence[str]) -> None:
    """Check the names of parameters, such as `gaze:=true`."""
    names = {parameter.name for parameter in parameters_of(table)}
    assert {assignment.partition(":=")[0] for assignment in given} <= names


def check_launch(file: str, arguments: Sequence[str]) -> None:
    """Check the arguments of a launch file; a test compares launch/README.md with the files."""
    sections = (SOURCE / "launch" / "README.md").read_text().split("\n### ")
    known = {parameter.name for parameter in parameters_of(NodeParameters)}
    for section in sections[1:]:
        if section.startswith((file, "facemesh.launch.py")):
            known.update(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert (SOURCE / "launch" / file).is_file()
    assert {argument.partition(":=")[0] for argument in arguments} <= known


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: f"{each.page}: {each.text[:60]}")
def test_a_command_exists_and_has_right_arguments(command: Command) -> None:
    words = words_of(command)
    if not words:  # only a variable
        return
    program, arguments = Path(words[0]).name, words[1:]
    if program in PROGRAMS:
        check_program(program, arguments)
    elif words[:3] == ["ros2", "launch", "maix_facemesh_ros"]:
        check_launch(words[3], words[4:])
    elif words[:3] == ["ros2", "run", "maix_facemesh_ros"]:
        check_program(words[3], words[4:])
    elif words[0] == "make":
        targets = re.findall(r"^(\w+):", (SOURCE / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    else:
        assert words[0] in OTHERS or words[0].startswith((".venv/bin/", ".venv-kilted/bin/"))
    for word in words:
        if re.fullmatch(r"(test|tools|examples|requirements|benchmarks)/[\w/]+\.(py|txt)", word):
            assert (SOURCE / word).is_file(), word


def test_the_check_finds_what_is_wrong() -> None:
    for wrong in (
        "facemesh_node --ros-args -p no_such:=1",
        "facemesh find talk.mp4 -o a.csv -p detector:=none",
        "ros2 launch maix_facemesh_ros facemesh.launch.py no_such:=1",
        "ros2 launch maix_facemesh_ros none.launch.py",
        "ros2 run maix_facemesh_ros none",
        "make none",
        "none",
        "python3 examples/none.py",
    ):
        with pytest.raises((AssertionError, KeyError, ValueError)):
            test_a_command_exists_and_has_right_arguments(Command("", wrong))


def test_commands_for_recordings_run_as_they_stand(tmp_path: Path) -> None:
    images = list(scene(6))
    for name in ("kitchen", "monday", "tuesday"):
        write_bag(tmp_path / name, camera_messages(images))
    video = cv2.VideoWriter(
        str(tmp_path / "talk.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30, (320, 240)
    )
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(images):
        video.write(image[:, :, ::-1])
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.jpg"), image[:, :, ::-1])
    video.release()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ran = 0
    for page, text in COMMANDS:
        if page in RUN_HERE and not any(each in text for each in NOT_HERE) and "facemesh" in text:
            ended = subprocess.run(
                text,
                shell=True,
                cwd=tmp_path,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert ended.returncode == 0, f"{text}\n{ended.stdout}{ended.stderr}"
            for output in re.findall(r" -o (\S+)", text):
                made = tmp_path / output
                assert made.exists(), f"{text}: no {output}"
                # A later page may give another example with the same name.
                made.rename(tmp_path / f"output{ran}_{made.name}")
            ran += 1
    assert ran >= 8

"""The Dockerfile, which cannot be built here, against the lines of docs/install.md in it."""

from __future__ import annotations

import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent


def test_the_dockerfile_runs_the_documented_lines() -> None:
    page = (SOURCE / "docs" / "install.md").read_text()
    section = page[page.index("## With ROS 2") : page.index("## Without ROS 2")]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    clone, *commands, source, launch = block[1].splitlines()
    # COPY stands for the clone; the entry point sources; what is launched is the user's choice.
    assert clone.endswith("src/maix_facemesh_ros")
    assert (source, launch.split()[:2]) == ("source install/setup.bash", ["ros2", "launch"])
    assert any(command.startswith("colcon build") for command in commands)
    dockerfile = (SOURCE / "Dockerfile").read_text()
    for command in commands:
        assert command in dockerfile, command
    assert "COPY . src/maix_facemesh_ros" in dockerfile

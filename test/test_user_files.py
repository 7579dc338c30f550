"""Files that parameters name: found by every kind of name, and read only where that ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cameras import CALIBRATION
from maix_facemesh_ros.browser.access import AccessError, token_of
from maix_facemesh_ros.camera.calibration import read_calibration
from maix_facemesh_ros.parameters import ParameterError
from maix_facemesh_ros.user_files import LARGEST_FILE, path_of, read_small_file

#: Nine levels of nine aliases each: 387 million texts.
ALIASES = (
    'a: &a ["lol","lol","lol","lol","lol","lol","lol","lol","lol"]\n'
    + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "image_width: *i\nimage_height: 480\ndistortion_model: plumb_bob\n"
)
#: The same by merge keys.
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    file = tmp_path / "share" / "my_robot" / "config" / "left eye.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(CALIBRATION)
    return file


def test_a_file_is_found_by_every_kind_of_name(
    calibration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    names = (
        str(calibration),
        "~/share/my_robot/config/left eye.yaml",
        f"file://{calibration}",
        f"file://{str(calibration).replace(' ', '%20')}",
        "package://my_robot/config/left eye.yaml",
    )
    for name in names:
        assert path_of(name) == calibration, name
        assert read_calibration(name).width == 640
    assert path_of("package://maix_facemesh_ros/config/facemesh.yaml").is_file()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("package://unknown/camera.yaml", "no package unknown with camera.yaml"),
        ("package://camera.yaml", "does not name a package"),
        ("file:///nowhere/camera.yaml", "No such file"),
        ("/dev/zero", "/dev/zero is not a regular file"),
        ("/dev", "Is a directory|not a regular file"),
        ("PIPE", "is not a regular file"),
        ("LARGE", f"{LARGEST_FILE} are the most"),
    ],
)
def test_what_is_no_small_file_is_refused_at_once(name: str, reason: str, tmp_path: Path) -> None:
    if name == "PIPE":
        name = str(tmp_path / name)
        os.mkfifo(name)
    elif name == "LARGE":
        name = str(tmp_path / name)
        Path(name).write_bytes(bytes(LARGEST_FILE + 1))
    with pytest.raises(ParameterError, match=f"calibration_file is .*{reason}"):
        read_calibration(name)
    with pytest.raises(OSError, match=reason):
        read_small_file(name)
    if "://" not in name:
        with pytest.raises(AccessError, match=reason):
            token_of(Path(name))


@pytest.mark.parametrize(
    "content",
    [ALIASES, MERGES, "[" * 60_000, "{a: " * 16_000, "image_width: " + "9" * 60_000, "- " * 30_000],
    ids=["aliases", "merges", "lists", "maps", "digits", "items"],
)
def test_yaml_that_unpacks_without_end_is_refused(content: str, tmp_path: Path) -> None:
    """In a process of its own with little memory and time, which its end would otherwise tell."""
    file = tmp_path / "camera.yaml"
    file.write_text(content)
    program = (
        "import resource, sys; from maix_facemesh_ros.camera.calibration import read_calibration\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))\n"
        "try: read_calibration(sys.argv[1])\n"
        "except ValueError as error: print(error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(file)],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "not a calibration of camera_calibration" in ended.stdout, ended.stderr
    assert len(ended.stdout) < 600

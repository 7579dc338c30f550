"""The Fast DDS profile that lets images through."""

from __future__ import annotations

from pathlib import Path

import pytest

from maix_facemesh_ros.ros.dds_profile import (
    CAMERA_PROFILE,
    NODE_PROFILE,
    PROFILE_VARIABLES,
    shared_memory_environment,
)


@pytest.fixture(autouse=True)
def _no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROFILE_VARIABLES.values():
        monkeypatch.delenv(name, raising=False)


def test_here_it_names_the_file_of_this_package() -> None:
    (value,) = shared_memory_environment().values()
    assert "<segment_size>67108864</segment_size>" in Path(value).read_text()


@pytest.mark.parametrize("name", PROFILE_VARIABLES.values())
def test_a_profile_of_the_users_own_is_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "mine.xml")
    assert shared_memory_environment() == {}


def test_the_node_takes_its_own_where_the_cameras_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    ((name, camera),) = shared_memory_environment(CAMERA_PROFILE).items()
    monkeypatch.setenv(name, camera)
    ((_, node),) = shared_memory_environment(NODE_PROFILE).items()
    assert "<segment_size>8388608</segment_size>" in Path(node).read_text()


@pytest.mark.parametrize(
    ("library", "variables"),
    [
        ("libfastrtps.so.2.14", ["FASTRTPS_DEFAULT_PROFILES_FILE"]),
        ("libfastdds.so.3.2", ["FASTDDS_DEFAULT_PROFILES_FILE"]),
        ("libother.so", []),
    ],
)
def test_the_variable_is_the_one_that_this_fast_dds_knows(
    library: str, variables: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / library).touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{tmp_path}")
    monkeypatch.setattr("sys.prefix", "/nowhere")
    assert list(shared_memory_environment()) == variables

"""`<output>.partial`: nothing of the user's is removed, followed or written into."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maix_facemesh_ros.bags.faces_bag import FacesBag
from maix_facemesh_ros.bags.output_folder import (
    COMPLETE,
    JOB,
    MADE_BY,
    JobFolder,
    PartialOutput,
)
from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.offline.main import main
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.parameters import NodeParameters
from recorded_bags import camera_messages, fingerprint, scene, write_bag

OURS = {MADE_BY: "test", "options": [1]}


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return write_bag(tmp_path / "kitchen.partial", camera_messages(list(scene(2))))


def command(*arguments: str | Path) -> int:
    return main([*map(str, arguments), "--quiet", "--workers", "1"])


def everything_in(folder: Path) -> dict[str, Any]:
    """Return what is in a folder: contents of files, targets of links, and folders."""
    links = {
        path.relative_to(folder): path.readlink() for path in folder.rglob("*") if path.is_symlink()
    }
    folders = [path.relative_to(folder) for path in folder.rglob("*") if path.is_dir()]
    return {**fingerprint(folder), "links": links, "folders": sorted(folders)}


def refused(error: str, output: Path, inputs: list[Path], job: dict[str, Any] = OURS) -> None:
    with pytest.raises(BagError, match=error):
        PartialOutput([output], inputs, job, restart=False)
    with pytest.raises(BagError, match=error):
        PartialOutput([output], inputs, job, restart=True)
    with pytest.raises(BagError, match=error):
        FacesBag(output, inputs)


def test_a_recording_by_this_name_is_not_removed(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything_in(tmp_path)
    for options in ([], ["--restart"], ["--topics", "/typo"]):
        assert command(bag, "-o", tmp_path / "kitchen", *options) == 1
        assert "name another output" in capsys.readouterr().err
        # Next to another input, too.
        other = write_bag(tmp_path / "other", camera_messages(list(scene(2))))
        assert command(other, "-o", tmp_path / "kitchen", *options) == 1
        assert "is not from an earlier run" in capsys.readouterr().err
        shutil.rmtree(other)
        assert everything_in(tmp_path) == before


def link_to_ours(path: Path) -> None:
    JobFolder(path.parent / "elsewhere", [], OURS).release()
    path.symlink_to(path.parent / "elsewhere.partial")


def linked_job(path: Path) -> None:
    path.mkdir()
    (path.parent / "job").write_text(json.dumps(OURS))
    (path / JOB).symlink_to(path.parent / "job")


def job_of(content: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        (path / JOB).write_text(content)

    return make


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(Path.mkdir, id="an empty folder"),
        pytest.param(lambda path: path.write_text("mine"), id="a file"),
        pytest.param(link_to_ours, id="a link to a job's folder"),
        pytest.param(lambda path: path.symlink_to(path.parent), id="a link to a folder"),
        pytest.param(lambda path: path.symlink_to("nowhere"), id="a link to nothing"),
        pytest.param(linked_job, id="a link to a job's file"),
        pytest.param(job_of("{}"), id="another program's job file"),
        pytest.param(job_of("[1]"), id="a list"),
        pytest.param(job_of("[" * 100_000), id="a deep list"),
        pytest.param(job_of('{"made by'), id="broken JSON"),
    ],
)
def test_what_is_not_ours_is_refused_and_stays(make: Any, tmp_path: Path) -> None:
    make(tmp_path / "out.partial")
    before = everything_in(tmp_path)
    refused("is not from an earlier run", tmp_path / "out", [])
    assert everything_in(tmp_path) == before


def test_an_output_in_an_input_is_refused_by_whatever_link(bag: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(bag)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "up").symlink_to("..")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "data").symlink_to(bag)
    before = everything_in(tmp_path)
    outside = "is the input .* or in it: name another output"
    refused(outside, tmp_path / "link" / "new", [bag])
    refused(outside, bag / "new", [tmp_path / "link"])
    refused(outside, tmp_path / "folder" / "up" / bag.name / "deep" / "new", [bag])
    refused(outside, tmp_path / "folder" / ".." / bag.name / "new", [bag])
    # A folder of links to where the recordings are.
    refused(outside, bag / "new", [tmp_path / "linked"])
    # The output next to it, but not the folder in which it would be made.
    refused("in it or around it", tmp_path / "folder" / "up" / "kitchen", [bag])
    refused("in it or around it", tmp_path / "kitchen", [bag / "kitchen.partial_0.mcap"])
    refused("exists, and is not overwritten", tmp_path / "link", [])
    (tmp_path / "dangling").symlink_to("nowhere")
    refused("exists, and is not overwritten", tmp_path / "dangling", [])
    (tmp_path / "dangling").unlink()
    assert everything_in(tmp_path) == before


def test_only_what_a_job_has_made_is_removed(tmp_path: Path) -> None:
    with PartialOutput([tmp_path / "out"], [], OURS, restart=False) as partial:
        (partial.folder / "notes.txt").write_text("mine")
        partial.place_of(tmp_path / "out").mkdir()
        partial.publish()
    assert (tmp_path / "out").is_dir()
    assert [path.name for path in (tmp_path / "out.partial").iterdir()] == ["notes.txt"]


def test_a_job_that_fails_leaves_nothing(tmp_path: Path) -> None:
    outputs = [tmp_path / "new" / "deep" / "out", tmp_path / "new" / "table.csv"]
    with PartialOutput(outputs, [], OURS, restart=False):
        assert (tmp_path / "new" / "deep" / "out.partial").is_dir()
    assert list(tmp_path.iterdir()) == []
    # The second folder cannot be made.
    (tmp_path / "table.csv.partial").write_text("mine")
    with pytest.raises(BagError, match="is not from an earlier run"):
        PartialOutput([tmp_path / "out", tmp_path / "table.csv"], [], OURS, restart=False)
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv.partial"]


@pytest.mark.parametrize(
    ("first", "second"),
    [(["a"], ["a"]), (["a", "b"], ["b", "a"]), (["a", "b"], ["b"]), (["b"], ["a", "b"])],
)
def test_of_two_jobs_with_a_common_output_the_second_is_refused(
    first: list[str], second: list[str], tmp_path: Path
) -> None:
    outputs = [[tmp_path / name for name in names] for names in (first, second)]
    with PartialOutput(outputs[0], [], {**OURS, "outputs": first}, restart=False):
        before = everything_in(tmp_path)
        for restart in (False, True):
            with pytest.raises(BagError, match="is in use: a job with this output is running"):
                PartialOutput(outputs[1], [], {**OURS, "outputs": second}, restart=restart)
        assert everything_in(tmp_path) == before
    assert list(tmp_path.iterdir()) == []


def test_a_job_with_other_options_does_not_take_over(tmp_path: Path) -> None:
    def interrupted(job: dict[str, Any], *, restart: bool = False) -> bool:
        with PartialOutput([tmp_path / "out"], [], job, restart=restart) as partial:
            partial.segment(0, 0, 0).touch()
            return partial.is_resumed

    assert not interrupted(OURS)
    assert interrupted(OURS)
    (tmp_path / "out.partial" / COMPLETE).touch()
    for _ in range(2):
        with pytest.raises(BagError, match="with other options: give the same"):
            interrupted({**OURS, "options": [2]})
    assert not interrupted({**OURS, "options": [2]}, restart=True)
    assert not (tmp_path / "out.partial" / COMPLETE).exists()


def test_every_option_that_changes_an_output_counts(tmp_path: Path) -> None:
    values: dict[str, Any] = {"outputs": (tmp_path / "a",), "parameters": NodeParameters()}
    changes: list[dict[str, Any]] = [
        {"outputs": (tmp_path / "a", tmp_path / "b")},
        {"parameters": NodeParameters(max_face_num=3)},
        {"topics": ("/a",)},
        {"faces_topic": "/a"},
        {"annotated": True},
        {"copy": True},
        {"storage": "sqlite3"},
        {"segment_length": 7},
    ]
    jobs = [JobOptions((tmp_path,), **{**values, **change}).identity() for change in [{}, *changes]]
    assert len({json.dumps(job) for job in jobs}) == len(jobs)
    same = JobOptions((tmp_path,), **values, workers=7, restart=True).identity()
    assert same == jobs[0]


def test_a_folder_that_cannot_be_made_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    refused("cannot be made: (Not a directory|File exists)", tmp_path / "file" / "out", [])

    def no_space(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", no_space)
    refused("cannot be made: No space left on device", tmp_path / "new" / "out", [])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_golden_faces_that_were_interrupted_are_made_again(tmp_path: Path) -> None:
    def end(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(JobFolder, "remove", end)
        with FacesBag(tmp_path / "faces") as bag:
            bag.write("/faces", 1, b"\0\1\0\0")
            raise ValueError
    assert (tmp_path / "faces.partial").is_dir()
    with FacesBag(tmp_path / "faces") as bag:
        bag.write("/faces", 1, b"\0\1\0\0")
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]

"""`<output>.partial`: the folder in which a job makes an output, without files of the user.

A folder of this name belongs to a job only if it holds the job's file. Anything else of this name
is refused before anything is written: a folder of the user's, a link, an input, or a folder that
has an input in it or lies in one. Of a folder of a job only what the job has made is removed.

An output is moved to its place when it is complete, so there is never half of one under its own
name. `PartialOutput` has the folders of `facemesh_bag`, with the faces of each segment as a
checkpoint: after a crash the same command resumes from them.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from maix_facemesh_ros.bags.file_lock import ReplacedFileError, lock_file, lock_new_file, release
from maix_facemesh_ros.bags.storage import BagError

JOB = "job.json"
LOCK = "lock"

#: Key in the job's file with the program that has made the folder.
MADE_BY = "made by"

#: Marks a job that is done except for moving the outputs to their places.
COMPLETE = "complete"

#: What a job may make in its folder, besides the job's file and the lock.
FOLDERS = ("segments", "unpacked", "outputs")

#: As a former version has called the first one: it is removed, too.
FORMER_FOLDER = "stretches"


def refuse_input_as_output(output: Path, inputs: Sequence[Path]) -> None:
    """Refuse an output that is an input or in one, by whatever links.

    Raises:
        BagError: it is.
    """
    for path in inputs:
        if _is_in(output, path):
            raise BagError(f"{output} is the input {path} or in it: name another output")


def refuse_existing_output(output: Path) -> None:
    """Refuse an output that exists, be it a link to nothing.

    Raises:
        BagError: it does.
    """
    if os.path.lexists(output):
        raise BagError(f"{output} exists, and is not overwritten: name another output")


class JobFolder:
    """The locked folder of one output of one job."""

    def __init__(
        self, output: Path, inputs: Sequence[Path], job: dict[str, Any], *, restart: bool = False
    ) -> None:
        """Make the folder and lock it, or resume in the folder of an earlier run of the same job.

        Args:
            output: path of the output; the folder is named after it.
            inputs: paths that are only read.
            job: everything that the output depends on, as JSON has it, with `MADE_BY`.
            restart: remove the checkpoint of an earlier run.

        Raises:
            BagError: the folder is not a job's, of another job, or in use.
        """
        self.path = output.with_name(f"{output.name}.partial")
        #: Whether the folder was there.
        self.is_resumed = False
        self._refuse_inputs(inputs)
        self._text = json.dumps(job, indent=1, sort_keys=True)
        #: Parents of the folder that did not exist.
        self._made = _missing_parents(self.path)
        try:
            while not os.path.lexists(self.path):
                if self._make():
                    return
            self._take_over(job, restart=restart)
        except OSError as error:
            self._remove_made()
            raise BagError(f"{self.path} cannot be made: {error.strerror}") from error

    def make_folders(self) -> None:
        """Make the folders that are missing."""
        for name in FOLDERS:
            (self.path / name).mkdir(exist_ok=True)

    def clear(self, *names: str) -> None:
        """Remove a job's files in some of `FOLDERS`."""
        for name in names:
            folder = self.path / name
            if folder.is_symlink():
                folder.unlink()
            elif folder.is_dir():
                shutil.rmtree(folder)

    def remove(self) -> None:
        """Remove the files of jobs in the folder, and the folder if it is then empty."""
        self.clear(*FOLDERS, FORMER_FOLDER)
        # Under this name no job resumes in the folder while it is half removed.
        away = self._hidden()
        self.path.rename(away)
        for name in (COMPLETE, JOB, LOCK):
            (away / name).unlink(missing_ok=True)
        try:
            away.rmdir()
        except OSError:  # the user has put something into it
            away.rename(self.path)
        self._remove_made()

    def release(self) -> None:
        """Unlock it."""
        release(self._lock)

    def _refuse_inputs(self, inputs: Sequence[Path]) -> None:
        for path in inputs:
            if _is_in(self.path, path) or _is_in(path, self.path):
                raise BagError(
                    f"{self.path}, where the output is to be made, is the input {path}, in it or "
                    "around it: name another output"
                )

    def _hidden(self) -> Path:
        return self.path.with_name(f".{self.path.name}-{secrets.token_hex(4)}")

    def _make(self) -> bool:
        """Make the folder, complete and locked from the first moment; False if another job has."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        made = self._hidden()
        made.mkdir()
        try:
            (made / JOB).write_text(self._text)
            self._lock = lock_new_file(made / LOCK)
            made.rename(self.path)
        except OSError:
            shutil.rmtree(made)
            if not os.path.lexists(self.path):
                raise
            return False
        return True

    def _take_over(self, job: dict[str, Any], *, restart: bool) -> None:
        before = self._job_of_before()
        self._lock = self._locked()
        try:
            now = json.loads(self._text)
            changed = [name for name in job if before.get(name) != now[name]]
            if changed and not restart:
                raise BagError(
                    f"{self.path} is the checkpoint of an earlier run with other "
                    f"{', '.join(changed)}: give the same to resume, or --restart"
                )
            if restart:
                self.clear(*FOLDERS, FORMER_FOLDER)
                (self.path / COMPLETE).unlink(missing_ok=True)
                partial = self.path / FOLDERS[0]
                partial.write_text(self._text)
                partial.replace(self.path / JOB)
        except BaseException:
            self.release()
            raise
        self.is_resumed = not restart

    def _locked(self) -> int | None:
        """Lock the folder of an earlier run.

        Raises:
            BagError: another job has locked or replaced it.
        """
        try:
            return lock_file(self.path / LOCK)
        except (BlockingIOError, FileNotFoundError) as error:
            raise BagError(
                f"{self.path} is in use: a job with this output is running already"
            ) from error
        except ReplacedFileError as error:
            # A job that has just ended may have removed the folder.
            raise BagError(
                f"{self.path} was replaced by another job: run the command again"
            ) from error

    def _job_of_before(self) -> dict[str, Any]:
        """Return the job whose folder it is.

        Raises:
            BagError: it is not a job's.
        """
        file = self.path / JOB
        try:
            if not self.path.is_symlink() and self.path.is_dir() and not file.is_symlink():
                job = json.loads(file.read_bytes())
                if isinstance(job, dict) and MADE_BY in job:
                    return job
        except (OSError, ValueError, RecursionError):
            pass
        raise BagError(
            f"{self.path} exists and is not from an earlier run (it has no {JOB} of ours): outputs "
            "are made under this name, so move it away or name another output"
        )

    def _remove_made(self) -> None:
        for path in self._made:
            with suppress(OSError):
                path.rmdir()


def _is_in(path: Path, other: Path) -> bool:
    """Return whether a path is another one or in it, links resolved.

    Targets of links in a folder count as inside of it.
    """
    inner = path.resolve()
    outer = [other.resolve()]
    with suppress(OSError):
        if other.is_dir():
            outer += [each.resolve() for each in other.iterdir() if each.is_symlink()]
    return any(each in (inner, *inner.parents) for each in outer)


def _missing_parents(path: Path) -> list[Path]:
    """Return the parents that do not exist, the innermost first."""
    return [parent for parent in path.absolute().parents if not parent.exists()]


class PartialOutput:
    """The folders of one job: one next to each output."""

    def __init__(
        self, outputs: Sequence[Path], inputs: Sequence[Path], job: dict[str, Any], *, restart: bool
    ) -> None:
        """Make the folders, or resume in those of the same job.

        Args:
            outputs: paths to be made.
            inputs: paths that are only read.
            job: everything that the outputs depend on: inputs, outputs, options, format.
            restart: remove the checkpoint of an earlier run.

        Raises:
            BagError: an output exists or is an input, or a folder is not this job's, or in use.
        """
        self.outputs = [path.absolute() for path in outputs]
        for output in self.outputs:
            refuse_input_as_output(output, inputs)
            if not self._may_be_complete():
                refuse_existing_output(output)
        self._folders: list[JobFolder] = []
        self.is_complete = False
        try:
            for output in self.outputs:
                self._folders.append(JobFolder(output, inputs, job, restart=restart))
            self.is_complete = (self.folder / COMPLETE).exists()
            for output, folder in zip(self.outputs, self._folders, strict=True):
                if not self.is_complete:
                    refuse_existing_output(output)
                    folder.clear("outputs")
                folder.make_folders()
        except BaseException:
            self._leave()
            raise

    @property
    def folder(self) -> Path:
        """The folder next to the first output."""
        return self._folders[0].path

    @property
    def is_resumed(self) -> bool:
        """Whether the results of an earlier run are used."""
        return self._folders[0].is_resumed

    def unpacked(self, recording: int) -> Path:
        """Return the folder for the contents of a recording's compressed files."""
        folder = self.folder / "unpacked" / str(recording)
        folder.mkdir(exist_ok=True)
        return folder

    def segment(self, recording: int, camera: int, number: int) -> Path:
        """Return the file of the faces of a segment."""
        return self.folder / "segments" / f"{recording}-{camera}-{number}.npz"

    def place_of(self, output: Path) -> Path:
        """Return where an output is made."""
        folder = self._folders[self.outputs.index(output.absolute())]
        return folder.path / "outputs" / output.name

    def discard(self) -> None:
        """Remove the faces of all segments: there is nothing to resume."""
        for folder in self._folders:
            folder.clear("segments")

    def publish(self) -> None:
        """Move the complete outputs to their places, and remove the folders."""
        (self.folder / COMPLETE).touch()
        for output in self.outputs:
            made = self.place_of(output)
            # It is missing after a crash between the moves.
            if made.exists():
                try:
                    refuse_existing_output(output)
                except BagError as error:
                    raise BagError(f"{error}. The result is in {made}") from error
                made.replace(output)
        # The first one, with the mark, last: until then the same command resumes.
        for folder in reversed(self._folders):
            folder.remove()

    def __enter__(self) -> PartialOutput:
        return self

    def __exit__(self, *error: object) -> None:
        self._leave()

    def _may_be_complete(self) -> bool:
        first = self.outputs[0]
        return (first.with_name(f"{first.name}.partial") / COMPLETE).exists()

    def _leave(self) -> None:
        """Unlock the folders; if nothing has come of the job, nothing is left."""
        for folder in reversed(self._folders):
            if folder.path.is_dir() and not self._has_results():
                folder.remove()
        for folder in self._folders:
            folder.release()

    def _has_results(self) -> bool:
        """Return whether a later run can use something."""
        return any(self.folder.glob("segments/*")) or (self.folder / COMPLETE).exists()

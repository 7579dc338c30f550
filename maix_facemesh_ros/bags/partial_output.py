"""`<output>.partial`: where results are until they are complete, and are found after a crash.

An output is made in there and moved to its place when it is complete, so there is never half of one
under its own name. What the networks have said of each stretch stays in there until then: after a
crash the same command goes on from it.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maix_facemesh_ros.bags.bag_file import BagError

JOB = "job.json"
COMPLETE = "complete"
PARTS = ("stretches", "unpacked", "outputs")


class PartialOutput:
    """The folder of one job."""

    def __init__(self, outputs: Sequence[Path], job: dict[str, Any], *, restart: bool) -> None:
        """Make the folder, or take over the one of the same job.

        Args:
            outputs: what is to be made; the folder is named after the first.
            job: what the results depend on: inputs, parameters, version.
            restart: throw away what is there.

        Raises:
            BagError: an output is there already, or the folder is of another job, or in use.
        """
        self.outputs = [path.absolute() for path in outputs]
        first = self.outputs[0]
        self.folder = first.with_name(f"{first.name}.partial")
        #: Whether the results of an earlier attempt are used.
        self.is_resumed = self.folder.is_dir() and not restart
        try:
            for output in self.outputs:
                output.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(exist_ok=True)
            self._lock = (self.folder / "lock").open("a")
        except OSError as error:
            raise BagError(f"{self.folder} cannot be made: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise BagError(f"{self.folder} is in use: the same job is running already") from error
        self.is_complete = (self.folder / COMPLETE).exists() and not restart
        try:
            if not self.is_complete:
                self._check_outputs()
                self._take_over(job, restart=restart)
            for name in PARTS:
                (self.folder / name).mkdir(exist_ok=True)
        except BaseException:
            self._leave()
            raise

    def unpacked(self, recording: int) -> Path:
        """Return the folder for the contents of a recording's compressed files."""
        folder = self.folder / "unpacked" / str(recording)
        folder.mkdir(exist_ok=True)
        return folder

    def stretch(self, recording: int, camera: int, number: int) -> Path:
        """Return the file of what the networks say of a stretch."""
        return self.folder / "stretches" / f"{recording}-{camera}-{number}.npz"

    def place_of(self, output: Path) -> Path:
        """Return where an output is made."""
        return self.folder / "outputs" / output.name

    def publish(self) -> None:
        """Move the complete outputs to their places, and remove the folder."""
        (self.folder / COMPLETE).touch()
        for output in self.outputs:
            made = self.place_of(output)
            # It is not there when a crash came between the moves.
            if made.exists():
                if output.exists():
                    raise BagError(f"{output} exists, and is not overwritten; it is in {made}")
                made.replace(output)
        shutil.rmtree(self.folder)

    def __enter__(self) -> PartialOutput:
        return self

    def __exit__(self, *error: object) -> None:
        self._leave()

    def _leave(self) -> None:
        """Let others have the folder; where nothing has come of it, nothing is left."""
        if self.folder.is_dir() and not any(self.folder.glob("stretches/*")):
            shutil.rmtree(self.folder)
        self._lock.close()

    def _check_outputs(self) -> None:
        for output in self.outputs:
            if output.parent.stat().st_dev != self.folder.stat().st_dev:
                raise BagError(
                    f"{output} is on another file system than {self.outputs[0]}, so both cannot "
                    "be moved to their places at once: name outputs on one"
                )
            if output.exists():
                raise BagError(f"{output} exists, and is not overwritten: name another output")

    def _take_over(self, job: dict[str, Any], *, restart: bool) -> None:
        """Keep the results of an earlier attempt at the same job, and nothing else."""
        path = self.folder / JOB
        text = json.dumps(job, indent=1, sort_keys=True)
        if path.exists() and not restart and path.read_text() != text:
            before = json.loads(path.read_text())
            changed = [name for name in job if before.get(name) != job[name]]
            raise BagError(
                f"{self.folder} is what an earlier attempt has left, with other "
                f"{', '.join(changed)}: give the same to go on with it, or --restart"
            )
        if not path.exists() or restart:
            for name in PARTS:
                shutil.rmtree(self.folder / name, ignore_errors=True)
            partial = path.with_suffix(".partial")
            partial.write_text(text)
            partial.replace(path)
        shutil.rmtree(self.folder / "outputs", ignore_errors=True)

"""Where results are until they are complete, and are found after a crash.

An output is made in `<output>.partial` and moved to its place when all are complete, so there is
never half of one under its own name. The faces of each segment stay in the
folder of the first output until then: after a crash the same command resumes from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maix_facemesh_ros.bags.output_folder import (
    COMPLETE,
    JobFolder,
    refuse_existing_output,
    refuse_input_as_output,
)
from maix_facemesh_ros.bags.storage import BagError


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

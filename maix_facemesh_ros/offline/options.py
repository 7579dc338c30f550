"""Options of a job, which determine its results."""

from __future__ import annotations

import dataclasses
import mimetypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maix_facemesh_ros.bags.output_folder import MADE_BY
from maix_facemesh_ros.bags.storage import BagError, UnpackLimits
from maix_facemesh_ros.parameters import NodeParameters, ParameterError

#: The topic of the faces: as that of a node in the namespace of the camera.
FACES_TOPIC = "{namespace}/faces"

#: Endings of tables, and of videos.
TABLES = (".csv", ".parquet")
VIDEOS = (".mp4",)

#: Endings of files, which a bag's folder does not have; some that Python's own list does not have.
KNOWN_FILES = mimetypes.MimeTypes()
OTHER_FILES = (
    *(".feather", ".jsonl", ".npz", ".ods", ".xlsx", ".yaml", ".yml"),
    *(".flv", ".m4v", ".mkv", ".mts", ".ogv", ".webp", ".wmv"),
)

#: Of the results that are kept of an earlier run; those of another format are not resumed.
FORMAT = 4


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Inputs, outputs and parameters of a job.

    Raises:
        ParameterError: the parameters are for another machine.
        BagError: inputs and outputs do not go together.
    """

    #: None for a live source, which the parameters name.
    inputs: tuple[Path, ...]
    #: Folders, and files that end in one of `TABLES` or `VIDEOS`.
    outputs: tuple[Path, ...]
    parameters: NodeParameters
    #: Those of the outputs that are folders of annotated JPEGs; all other folders are bags.
    image_folders: tuple[Path, ...] = ()
    #: Process image files as the frames of a video, with tracks, ids and smoothing.
    stream: bool = False
    #: Of bags, the topics of the images; none: all that there are.
    topics: tuple[str, ...] = ()
    faces_topic: str = FACES_TOPIC
    #: Of image files that are no stream: find all faces, whatever `max_face_num` is.
    all_faces_of_stills: bool = False
    #: Whether tables have a row for an image without faces; None: for files, not for bags.
    rows_without_faces: bool | None = None
    #: Put the images with their faces into the bag, as JPEG.
    annotated: bool = False
    #: Put everything of the input into the bag.
    copy: bool = False
    #: Put everything of the input into the bag, images with their faces blurred.
    blur: bool = False
    #: mcap or sqlite3.
    storage: str = "mcap"
    #: Processes; 1: this one alone.
    workers: int = 1
    #: Address of a Dask scheduler instead, or `local`.
    cluster: str = ""
    #: Discard the checkpoint of an earlier run.
    restart: bool = False
    #: Maximum unpacked sizes.
    limits: UnpackLimits = field(default_factory=UnpackLimits)
    #: Images of a segment; None: it depends on the number of images.
    segment_length: int | None = None

    def __post_init__(self) -> None:
        if self.parameters.backend not in ("auto", "onnx"):
            raise ParameterError(
                f"backend is {self.parameters.backend!r}: recordings are processed on the "
                "processor, so give onnx or auto"
            )
        if self.parameters.landmarks_interval > 1:
            # Optical flow needs the pixels of earlier images, which a segment that is resumed or
            # that continues another one does not have.
            raise ParameterError(
                f"landmarks_interval is {self.parameters.landmarks_interval}: in recordings "
                "landmarks are found in every image, so leave it at 1"
            )
        if self.workers < 1:
            raise BagError(f"{self.workers} workers: give at least 1")
        if min(self.limits.chunk, self.limits.file) < 0:
            raise BagError("a limit of unpacked sizes is negative: give 0 or more")
        if len({output.name for output in self.outputs}) < len(self.outputs):
            raise BagError("two outputs have the same name: give them different ones")
        self._check_outputs()

    def _check_outputs(self) -> None:
        """Check that each output has a known kind, and that all options have an output.

        Raises:
            BagError: not so.
        """
        for output in self.bags:
            if output.suffix in OTHER_FILES or KNOWN_FILES.guess_type(output.name)[0]:
                raise BagError(
                    f"{output} cannot be written: an output is a table, which ends in "
                    f"{' or '.join(TABLES)}, a video, which ends in {' or '.join(VIDEOS)}, a "
                    "folder of JPEGs, which ends in /, or the folder of a bag, without an ending"
                )
        if self.annotated and not (self.bags or self.videos or self.image_folders):
            raise BagError(
                "annotated images go into a bag, a video (.mp4) or a folder of JPEGs (which ends "
                "in /): name one with --output"
            )
        if self.copies and not self.inputs:
            raise BagError("a camera has no messages to copy: --copy and --blur are for bags")
        if self.copies and not self.bags:
            raise BagError("messages of the input go into a bag: name one with --output")
        if self.blur and (self.videos or self.image_folders):
            raise BagError("--blur writes bags: videos and folders of JPEGs show the faces")

    @property
    def copies(self) -> bool:
        """Whether the bag has the messages of the input too."""
        return self.copy or self.blur

    @property
    def bags(self) -> list[Path]:
        """The outputs that are bags."""
        others = {*self.tables, *self.videos, *self.image_folders}
        return [path for path in self.outputs if path not in others]

    @property
    def tables(self) -> list[Path]:
        """The outputs that are tables."""
        return self._ending_in(TABLES)

    @property
    def videos(self) -> list[Path]:
        """The outputs that are videos."""
        return self._ending_in(VIDEOS)

    @property
    def draws(self) -> bool:
        """Whether the faces are drawn into the images."""
        return self.annotated or bool(self.videos or self.image_folders)

    def _ending_in(self, endings: tuple[str, ...]) -> list[Path]:
        return [
            path
            for path in self.outputs
            if path.suffix in endings and path not in self.image_folders
        ]

    def name_of_input(self, number: int) -> str:
        """Return the name of an input in the output; of several equal names, with its number."""
        names = [
            path.absolute().stem if path.is_file() else path.absolute().name for path in self.inputs
        ]
        name = names[number] if names else "camera"
        return name if names.count(name) == 1 else f"{name}_{number + 1}"

    def identity(self) -> dict[str, Any]:
        """Return everything that the outputs depend on, as JSON has it.

        Workers, a cluster and `restart` change nothing in the outputs.

        Raises:
            BagError: an input cannot be read.
        """
        parameters = dataclasses.asdict(self.parameters)
        return {
            MADE_BY: "facemesh_bag",
            "inputs": [_identity_of(path) for path in self.inputs],
            "outputs": [str(path.absolute()) for path in self.outputs],
            "image folders": [str(path.absolute()) for path in self.image_folders],
            "topics": list(self.topics),
            "faces topic": self.faces_topic,
            "annotated": self.annotated,
            "copy": self.copy,
            "blur": self.blur,
            "storage": self.storage,
            "parameters": {**parameters, "landmarks_indices": [*self.parameters.landmarks_indices]},
            "limits": dataclasses.asdict(self.limits),
            "stream": self.stream,
            "all faces of stills": self.all_faces_of_stills,
            "rows without faces": self.rows_without_faces,
            "segment length": self.segment_length,
            "format": FORMAT,
        }


def _identity_of(path: Path) -> dict[str, Any]:
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        facts = [(file.name, file.stat()) for file in files if file.is_file()]
    except OSError as error:
        raise BagError(f"{path} cannot be read: {error.strerror}") from error
    return {
        "path": str(path.absolute()),
        "files": [[name, stat.st_size, stat.st_mtime_ns] for name, stat in facts],
    }

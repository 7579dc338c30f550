"""Recall, wrong meshes, false faces, landmark error and computing time on photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import face_scenes
from benchmarks.downloads import FACE_LANDMARKER_TASK
from benchmarks.environments import OURS
from benchmarks.face_meshes import EYE_CORNERS, landmarks_of, open_mediapipes
from benchmarks.face_scenes import TURNED, Expected, Scene, Subject
from benchmarks.measurement import Contender, Measurement, measure_by_turns
from benchmarks.options import Options
from benchmarks.photographs import Photograph, photographs, photographs_without_faces
from benchmarks.report import Line, Section
from benchmarks.shared_image import SharedImage
from benchmarks.worker_process import WorkerProcess

#: Our contenders, and their parameters.
OWN: Mapping[str, Mapping[str, Any]] = {
    "full_range": {"detector": "full_range"},
    "full_range, any_roll: false": {"detector": "full_range", "any_roll": False},
    "short_range": {"detector": "short_range"},
}
#: Those whose upright answers do not make the reference mesh: it is another one's.
NO_REFERENCE = ("full_range, any_roll: false",)
#: Faces of an image, at most, by the image's size.
FACE_LIMITS = {face_scenes.SMALL: 10, face_scenes.LARGE: 10, face_scenes.CROWD: 60}
#: A mesh is right up to this mean distance from the reference, in distances between the outer eye
#: corners.
RIGHT = 0.15
#: A mesh whose center is nearer than this to a face's, in face widths, is of that face.
AT_THE_FACE = 0.6
#: Images that are shown before those that count.
WARM_UP = 4
#: With --quick: every n-th face, and these turns.
QUICK_STEP, QUICK_TURNS = 4, range(0, 360, 45)

Mesh = npt.NDArray[np.float32]
Answers = list[list[Mesh]]


@dataclass
class Tally:
    """What one contender made of some images."""

    faces: int = 0
    right: int = 0
    #: Meshes at a face that are not right, or are a second one.
    wrong: int = 0
    #: Meshes where no marked face is.
    false: int = 0
    images: int = 0
    #: Distances of the right meshes from the reference, in eye distances.
    errors: list[float] = field(default_factory=list)
    #: Seconds of each image.
    cpu: list[float] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.faces + other.faces,
            self.right + other.right,
            self.wrong + other.wrong,
            self.false + other.false,
            self.images + other.images,
            self.errors + other.errors,
            self.cpu + other.cpu,
        )

    def recall(self) -> str:
        """Return the part of the faces with a right mesh, and the number of wrong ones."""
        return f"{100 * self.right / self.faces:.1f} %, {self.wrong} wrong"

    def recall_and_false(self) -> str:
        """Return the same and the false faces."""
        return f"{self.recall()}, {self.false} false"

    def false_faces(self) -> str:
        """Return the number of false faces."""
        return str(self.false)

    def error(self) -> str:
        """Return the landmark error of the right meshes."""
        if not self.errors:
            return "-"
        mean, p95 = np.mean(self.errors), np.percentile(self.errors, 95)
        return f"{100 * mean:.1f} %, p95 {100 * p95:.1f} %"

    def milliseconds(self) -> str:
        """Return the mean computing time of an image."""
        return f"{1000 * np.mean(self.cpu):.1f} ms"


#: By contender, and by group of images.
Tallies = Mapping[str, Mapping[str, Tally]]


def measure(options: Options) -> Section:
    """Measure everything, and put it into one table."""
    skipped: list[str] = []
    shown = list(photographs(skipped))
    subjects = face_scenes.population(shown)
    with ExitStack() as stack:
        open_contenders = _opener(stack, options, skipped)
        upright = face_scenes.references(subjects)
        answers = _answers(_show(upright, face_scenes.SMALL, open_contenders))
        references = [
            _reference(
                [answers[name][n] for name in answers if name not in NO_REFERENCE], scene.faces[0]
            )
            for n, scene in enumerate(upright)
        ]
        tallies: dict[str, dict[str, Tally]] = {name: {} for name in answers}
        for size, scenes in _scenes(shown, subjects, options).items():
            known = [each for each in scenes if _has_references(each, references)]
            for name, measured in _show(known, size, open_contenders).items():
                _count(tallies[name], known, measured, references)
    number = sum(reference is not None for reference in references)
    title = (
        f"{len(shown)} photographs, {number} of {len(subjects)} faces that two detectors find "
        f"upright; a mesh further than {RIGHT:.0%} of the eye distance off is wrong"
    )
    columns = ("images", "faces", *tallies)
    return Section("faces-in-the-wild", title, _lines(tallies), skipped, columns)


def _scenes(
    shown: Sequence[Photograph], subjects: Sequence[Subject], options: Options
) -> dict[tuple[int, int], list[Scene]]:
    """Return all images by their size."""
    turns = QUICK_TURNS if options.quick else face_scenes.TURNS
    small = [
        *face_scenes.turned(subjects, turns),
        *face_scenes.changed(subjects),
        *face_scenes.empty(shown, list(photographs_without_faces())),
    ]
    if options.quick:
        small = [each for each in small if _is_for_a_quick_run(each)]
    return {
        face_scenes.SMALL: small,
        face_scenes.LARGE: list(face_scenes.whole(shown, subjects)),
        face_scenes.CROWD: list(face_scenes.crowds(subjects)),
    }


def _is_for_a_quick_run(scene: Scene) -> bool:
    subjects = [face.subject for face in scene.faces if face.subject is not None]
    return not subjects or subjects[0] % QUICK_STEP == 0


def _opener(
    stack: ExitStack, options: Options, skipped: list[str]
) -> Callable[[SharedImage, int], dict[str, Contender]]:
    """Start the processes; return what opens all contenders on an image."""
    own = dict(OWN)
    if "yunet" in options.detector_models:
        model = str(options.detector_models["yunet"])
        own["yunet"] = {"detector": "yunet", "detector_model": model}
    else:
        skipped.append(
            "detector yunet: its file is not part of this package; --yunet FILE measures it"
        )
    ours = stack.enter_context(WorkerProcess(OURS))
    peers = open_mediapipes(stack, skipped)
    task = str(FACE_LANDMARKER_TASK.fetch()) if peers else ""

    def open_all(image: SharedImage, faces: int) -> dict[str, Contender]:
        shown: dict[str, Any] = {"image": image.path, "shape": image.shape}
        contenders = {
            name: ours.open(name, "face_mesh", **shown, max_face_num=faces, threads=1, **parameters)
            for name, parameters in own.items()
        }
        for name, worker in peers.items():
            contenders[name] = worker.open(
                name, "face_landmarker", **shown, task=task, video=False, faces=faces
            )
        return contenders

    return open_all


def _show(
    scenes: Sequence[Scene],
    size: tuple[int, int],
    open_contenders: Callable[[SharedImage, int], dict[str, Contender]],
) -> dict[str, Measurement]:
    """Show the images of one size to all contenders."""
    image = SharedImage(lambda number: scenes[(number - WARM_UP) % len(scenes)].draw())
    try:
        contenders = open_contenders(image, FACE_LIMITS[size])
        return measure_by_turns(contenders, len(scenes), image.show, WARM_UP)
    finally:
        image.close()


def _answers(measured: Mapping[str, Measurement]) -> dict[str, Answers]:
    return {name: [landmarks_of(each) for each in one.answers] for name, one in measured.items()}


def _reference(answers: Iterable[Sequence[Mesh]], face: Expected) -> Mesh | None:
    """Return the mean of the meshes that agree on an upright face; None: not two agree."""
    meshes = [mesh for each in answers for mesh in each if _is_at(mesh, face)]
    if len(meshes) < 2:
        return None
    middle = np.median(meshes, axis=0)
    agreeing = [mesh for mesh in meshes if _distance(mesh, middle) < RIGHT]
    return np.mean(agreeing, axis=0) if len(agreeing) > 1 else None


def _has_references(scene: Scene, references: Sequence[Mesh | None]) -> bool:
    """Whether the image can be judged: it shows one face with a reference, or others too."""
    if len(scene.faces) != 1 or scene.group == "whole photographs":
        return True
    subject = scene.faces[0].subject
    return subject is None or references[subject] is not None


def _count(
    tallies: dict[str, Tally],
    scenes: Sequence[Scene],
    measured: Measurement,
    references: Sequence[Mesh | None],
) -> None:
    """Add the answers of one contender to its tallies."""
    for scene, answer, cpu in zip(scenes, measured.answers, measured.cpu, strict=True):
        meshes = landmarks_of(answer)
        tally = Tally(images=1, cpu=[cpu])
        tally.false = sum(not any(_is_at(mesh, face) for face in scene.faces) for mesh in meshes)
        for face in scene.faces:
            reference = None if face.subject is None else references[face.subject]
            _judge(tally, face, [mesh for mesh in meshes if _is_at(mesh, face)], reference)
        tallies[scene.group] = tallies.get(scene.group, Tally()) + tally


def _judge(tally: Tally, face: Expected, meshes: Sequence[Mesh], reference: Mesh | None) -> None:
    """Count a face, and the meshes at it."""
    tally.faces += 1
    if reference is None:
        tally.right += bool(meshes)
        return
    matrix = face.from_reference
    expected = reference @ matrix[:, :2].T + matrix[:, 2]
    errors = sorted(_distance(mesh, expected) for mesh in meshes)
    is_right = bool(errors) and errors[0] <= RIGHT
    tally.right += is_right
    tally.wrong += len(errors) - is_right
    tally.errors += errors[:1] if is_right else []


def _is_at(mesh: npt.NDArray[Any], face: Expected) -> bool:
    """Whether a mesh is of a face: at it, and neither far larger nor far smaller."""
    x, y = (mesh.min(axis=0) + mesh.max(axis=0)) / 2
    return bool(np.hypot(x - face.x, y - face.y) < AT_THE_FACE * face.width)


def _distance(mesh: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Return the mean distance of two meshes in eye distances of the second."""
    right, left = EYE_CORNERS
    eyes = np.linalg.norm(other[left] - other[right])
    return float(np.linalg.norm(mesh - other, axis=1).mean() / eyes)


def _lines(tallies: Tallies) -> list[Line]:
    groups = list(next(iter(tallies.values())))
    turns = {each: int(each[len(TURNED) : -1]) for each in groups if each.startswith(TURNED)}

    def turned(least: int, most: int) -> list[str]:
        """Return the groups that are turned between two angles to either side."""
        return [
            each for each, degrees in turns.items() if least <= min(degrees, 360 - degrees) <= most
        ]

    others = [each for each in groups if each not in turns]
    rows: list[tuple[str, list[str], Callable[[Tally], str]]] = [
        ("upright", turned(0, 0), Tally.recall),
        ("turned by 15 to 45° to either side", turned(15, 45), Tally.recall),
        ("turned by 60 to 90°", turned(60, 90), Tally.recall),
        ("turned by 105 to 180°", turned(105, 180), Tally.recall),
        *((each, [each], _text_of(each)) for each in others),
        ("landmark error, upright", turned(0, 0), Tally.error),
        ("landmark error, turned", turned(15, 180), Tally.error),
        ("computing time, upright", turned(0, 0), Tally.milliseconds),
        ("computing time, turned by 60 to 180°", turned(60, 180), Tally.milliseconds),
        ("computing time, no face", ["no face"], Tally.milliseconds),
        ("computing time, whole photographs", ["whole photographs"], Tally.milliseconds),
    ]
    lines = [_line(tallies, *row) for row in rows]
    return [*lines[:4], _worst(tallies, turns), *lines[4:]]


def _text_of(group: str) -> Callable[[Tally], str]:
    if group == "no face":
        return Tally.false_faces
    has_all_marked = group == "whole photographs" or "crowd" in group
    return Tally.recall_and_false if has_all_marked else Tally.recall


def _line(
    tallies: Tallies, title: str, groups: Sequence[str], text: Callable[[Tally], str]
) -> Line:
    sums = [sum((each[group] for group in groups), Tally()) for each in tallies.values()]
    images, faces = sums[0].images, sums[0].faces
    count = f"{faces}" if faces else f"none in {images} images"
    return Line([title, count, *map(text, sums)])


def _worst(tallies: Tallies, groups: Iterable[str]) -> Line:
    """Return the line of each contender's worst angle."""
    first = next(iter(tallies.values()))
    cells = []
    for each in tallies.values():
        worst = min(groups, key=lambda group: (each[group].right, -each[group].wrong))
        cells.append(f"{each[worst].recall()} ({worst[len(TURNED) :]})")
    return Line(["the worst of the angles", str(first[next(iter(groups))].faces), *cells])

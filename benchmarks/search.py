"""Searching for faces in a video: its cost without any face, and how soon a new face is found."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

from benchmarks.clips import faces_clip, single_face_clip
from benchmarks.downloads import FACE_LANDMARKER_TASK, DownloadError
from benchmarks.environments import NEWEST, OURS, PEERS
from benchmarks.measurement import WARM_UP, Contender, Figure, Measurement, measure_by_turns
from benchmarks.options import Options
from benchmarks.report import Row, Section
from benchmarks.shared_image import Clip, Pixels, SharedImage
from benchmarks.worker_process import NotMeasuredError, WorkerProcess
from maix_facemesh_ros import FaceMesh

#: Photographs of scikit-image in which neither we nor MediaPipe find a face.
BACKGROUNDS = ("coffee", "retina", "immunohistochemistry", "hubble_deep_field")
#: A camera's noise in gray levels, and how far the light goes up and down.
NOISE = 4.0
LIGHT = 0.12

SIZES = ((640, 480), (1280, 720))
#: The average computing time as a fraction of MediaPipe's, at most, by the camera.
EMPTY_LIMITS = {"still": 1.0, "moving": 1.6}
ROOM_LIMIT = 0.40
#: Images of each photograph: first some that are not counted, because a photograph that is replaced
#: by another is not a movement of a camera, then those whose mean is one sample.
SETTLING, BLOCK = 12, 30

#: Widths of the faces that appear as a fraction of the image's, and in which image the last of them
#: is to be found: 1 is the very image.
ENTRIES = {0.03: 10, 0.04: 10, 0.06: 3, 0.08: 3, 0.15: 1, 0.3: 1}
#: Images of an entry: without the face first, by turns up to this number more, then with it.
BEFORE, TURNS, SHOWN = 16, 8, 22
ENTRY = BEFORE + TURNS + SHOWN
#: A face counts as found where its landmarks' box overlaps it by more.
SAME_FACE = 0.4
NOT_FOUND = SHOWN + 1

EXHAUSTIVE = "ours, all searched in every image"


@dataclass(frozen=True)
class Head:
    """A photographed head."""

    #: uint8 RGB, and how much of it is shown, 0..1.
    pixels: Pixels
    shown: npt.NDArray[np.float32]
    #: Left, top, right, bottom of the face in it, and its width.
    face: npt.NDArray[np.float32]


class Scene:
    """A place that a camera sees, still or moving, with noise and with light that changes."""

    def __init__(self, name: str, size: tuple[int, int], moving: bool, seed: int) -> None:
        self.size = size
        self._moving = moving
        random = np.random.default_rng(seed)
        photograph = np.asarray(getattr(skimage.data, name)())[:, :, :3]
        width, height = size
        world = (width * 3 // 2, height * 3 // 2)
        self.world: Pixels = np.asarray(
            cv2.resize(photograph, world, interpolation=cv2.INTER_AREA), np.uint8
        )
        self._phases = random.uniform(0, 2 * math.pi, 3)
        noise = random.normal(0, NOISE, (height + 64, width + 64, 3))
        self._noise = noise.astype(np.float32)

    def to_image(self, number: int) -> npt.NDArray[np.floating]:
        """Return the (2, 3) matrix from pixels of the world to those of an image."""
        width, height = self.size
        if not self._moving:
            return np.array([[1, 0, -width // 4], [0, 1, -height // 4]], np.float64)
        first, second, third = self._phases
        turn = cv2.getRotationMatrix2D(
            (width * 0.75, height * 0.75),
            3 * math.sin(number / 17 + first),
            1 + 0.08 * math.sin(number / 23 + second),
        )
        shift = np.zeros((2, 3))
        shift[:, 2] = (
            width * (0.2 * math.sin(number / 20 + third) - 0.25),
            height * (0.12 * math.sin(number / 13 + second) - 0.25),
        )
        return np.asarray(turn + shift, np.float64)

    def image(self, number: int, world: Pixels | None = None) -> Pixels:
        """Return an image, of another world if one is given."""
        shown = cv2.warpAffine(
            self.world if world is None else world,
            self.to_image(number),
            self.size,
            borderMode=cv2.BORDER_REFLECT,
        )
        light = 1 + LIGHT * math.sin(number / 30) + LIGHT / 3 * math.sin(number / 7)
        width, height = self.size
        left, top = np.random.default_rng(number).integers(0, 64, 2).tolist()
        noise = self._noise[top : top + height, left : left + width]
        return np.clip(shown * np.float32(light) + noise, 0, 255).astype(np.uint8)


def measure_without_faces(options: Options) -> Section:
    """The computing time without any face in view, and with one and room for another."""
    per_scene = SETTLING + BLOCK
    rounds = per_scene * len(BACKGROUNDS) * (1 if options.quick else 2)
    clips: dict[str, Clip] = {}
    limits = {}
    for size in SIZES:
        for camera, limit in EMPTY_LIMITS.items():
            title = f"no face, {size[0]}x{size[1]}, a {camera} camera"
            scenes = [
                Scene(name, size, camera == "moving", seed) for seed, name in enumerate(BACKGROUNDS)
            ]
            clips[title] = _in_turn(scenes, per_scene)
            limits[title] = limit
    room = "one face, 640x480, room for a second"
    clips[room] = faces_clip(640, 480)
    limits[room] = ROOM_LIMIT
    measured, skipped = _measure(clips, rounds, {"": {"max_face_num": 2}}, faces=2, warm_up=False)
    rows = []
    for title in clips:
        own = measured[title, "ours"]
        for against, peer in _peers(measured, title):
            rows.append(
                Row(
                    title,
                    _mean_times(own),
                    against,
                    _mean_times(peer),
                    limit=limits[title] if "1.2" in against or title != room else None,
                    remark=_remark(own, peer),
                )
            )
    return Section("nobody", "computing time of an image on average, tracked", rows, skipped)


def measure_entering(options: Options) -> Section:
    """In which image a face is found that appears, by sizes; anywhere in the image."""
    entries = 1 if options.quick else 3
    skipped: list[str] = []
    heads = heads_of(skipped)
    rows = []
    for moving in (False, True):
        camera = "moving" if moving else "still"
        sequence = Entries(heads, moving, entries)
        ours = {"": {"max_face_num": 1}, EXHAUSTIVE: {"max_face_num": 1, "detect_interval": 1}}
        measured, not_measured = _measure(
            {camera: sequence.image}, len(sequence), ours, faces=1, warm_up=False
        )
        skipped += not_measured
        rows += _entry_rows(camera, sequence, {name: m for (_, name), m in measured.items()})
    title = "a face appears, 640x480: the image in which it is found (1: the very image)"
    return Section("entering", title, rows, skipped)


class Entries:
    """A sequence of faces that appear somewhere and go again; truth for each image."""

    def __init__(self, heads: Sequence[Head], moving: bool, number: int) -> None:
        # Scene after scene: a camera that sees something else all at once is another matter.
        entries = [
            (scene, size) for scene in BACKGROUNDS for size in ENTRIES for _ in range(number)
        ]
        self.sizes = [size for _, size in entries]
        self._scene_of = [BACKGROUNDS.index(scene) for scene, _ in entries]
        self._heads = heads
        self._scenes = [
            Scene(name, SIZES[0], moving, seed) for seed, name in enumerate(BACKGROUNDS)
        ]

    def __len__(self) -> int:
        return ENTRY * len(self.sizes)

    def starts(self, entry: int) -> int:
        """Return the number of the image in which the face of an entry appears."""
        return entry * ENTRY + BEFORE + entry * 5 % TURNS

    def image(self, number: int) -> Pixels:
        """Return an image."""
        entry = min(number // ENTRY, len(self.sizes) - 1)
        scene = self._scenes[self._scene_of[entry]]
        start = self.starts(entry)
        is_shown = start <= number < start + SHOWN
        return scene.image(number, self._with_face(entry)[0] if is_shown else None)

    def face(self, number: int) -> tuple[float, float, float, float] | None:
        """Return x, y, width, height of the face in an image; None without one."""
        entry = number // ENTRY
        start = self.starts(entry)
        if not start <= number < start + SHOWN:
            return None
        scene = self._scenes[self._scene_of[entry]]
        corners = self._with_face(entry)[1]
        matrix = scene.to_image(number)
        return _box(corners @ matrix[:, :2].T + matrix[:, 2])

    @lru_cache(maxsize=2)  # noqa: B019  (there are two of these, for the whole run)
    def _with_face(self, entry: int) -> tuple[Pixels, npt.NDArray[np.floating]]:
        """Return the world with the face of an entry in it, and the corners of the face there."""
        scene = self._scenes[self._scene_of[entry]]
        random = np.random.default_rng(entry)
        head = self._heads[int(random.integers(len(self._heads)))]
        width, height = scene.size
        wide = self.sizes[entry] * width
        tall = wide * (head.face[3] - head.face[1]) / (head.face[2] - head.face[0])
        x, y = (
            random.uniform(min(side * 0.6, length / 2), max(length - side * 0.6, length / 2))
            for side, length in ((wide, width), (tall, height))
        )
        matrix = scene.to_image(self.starts(entry))
        center = np.linalg.inv(matrix[:, :2]) @ (np.array([x, y]) - matrix[:, 2])
        return paste_head(scene.world, head, center, wide)


def paste_head(
    world: Pixels, head: Head, center: npt.NDArray[np.floating], width: float
) -> tuple[Pixels, npt.NDArray[np.floating]]:
    """Return the world with a head whose face has this center and width, and its corners."""
    scale = width / float(head.face[2] - head.face[0])
    middle = (head.face[:2] + head.face[2:]) / 2
    shift = center - scale * middle
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    size = (world.shape[1], world.shape[0])
    smaller = min(1.0, 2 * scale)
    pixels: cv2.typing.MatLike = head.pixels
    shown: cv2.typing.MatLike = head.shown
    if smaller < 1:  # a warp would skip pixels
        size_there = (round(pixels.shape[1] * smaller), round(pixels.shape[0] * smaller))
        matrix[:, 0] *= pixels.shape[1] / size_there[0]
        matrix[:, 1] *= pixels.shape[0] / size_there[1]
        pixels = cv2.resize(pixels, size_there, interpolation=cv2.INTER_AREA)
        shown = cv2.resize(shown, size_there, interpolation=cv2.INTER_AREA)
    warped = cv2.warpAffine(pixels, matrix, size)
    weight = cv2.warpAffine(shown, matrix, size)[:, :, np.newaxis]
    left, top, right, bottom = head.face
    corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)])
    mixed = world * (1 - weight) + warped * weight
    return mixed.astype(np.uint8), corners * scale + shift


def heads_of(skipped: list[str]) -> list[Head]:
    """Cut out the heads that are shown; what could not be had is added to `skipped`."""
    astronaut = np.asarray(skimage.data.astronaut(), np.uint8)
    images = [astronaut]
    try:
        images.append(single_face_clip()(0))
    except DownloadError as error:
        skipped.append(f"the filmed face: {error}")
    return [_head(image) for image in images]


def _head(image: Pixels) -> Head:
    """Cut a head out of an image, softly."""
    with FaceMesh(max_face_num=1) as mesh:
        (found,) = mesh.process(image)
    x, y, width, height = found.box
    shown = np.zeros(image.shape[:2], np.float32)
    center = (round(x + width / 2), round(y + 0.42 * height))
    axes = (round(0.75 * width), round(0.9 * height))
    cv2.ellipse(shown, center, axes, 0, 0, 360, 1.0, -1)
    soft = cv2.blur(shown, (round(0.15 * width),) * 2)
    return Head(image, np.asarray(soft), np.array([x, y, x + width, y + height], np.float32))


def _entry_rows(camera: str, sequence: Entries, measured: Mapping[str, Measurement]) -> list[Row]:
    found = {name: _found_at(sequence, each) for name, each in measured.items()}
    rows = []
    for size, limit in ENTRIES.items():
        of_size = [n for n, each in enumerate(sequence.sizes) if each == size]
        own, full = (np.array([found[name][n] for n in of_size]) for name in ("ours", EXHAUSTIVE))
        others = "; ".join(
            f"{name}: {_summary([at[n] for n in of_size])}"
            for name, at in found.items()
            if name != "ours"
        )
        # Faces that not even a search of the whole image finds do not count here.
        findable = own[full < NOT_FOUND] if (full < NOT_FOUND).any() else own
        title = f"{camera} camera, face {100 * size:.0f} % of the width"
        rows += [
            Row(title, Figure.of(own.tolist(), ". image"), remark=others),
            Row(
                f"{title}: the last of {len(findable)}",
                Figure.of([float(findable.max())], ". image"),
                limit=limit,
                remark=f"ours: {_summary(own.tolist())}",
            ),
        ]
    for name, each in measured.items():
        recall, false = _recall(sequence, each)
        rows.append(
            Row(
                f"{camera} camera, {name}: images with a face that are answered with it",
                Figure.of([recall], "", 100.0),
                remark=f"{false} false faces in {len(sequence)} images",
            )
        )
    return rows


def _summary(images: Sequence[float]) -> str:
    found = [image for image in images if image < NOT_FOUND]
    worst = f", worst {max(found):.0f}" if found else ""
    return f"median {np.median(images):.0f}{worst}, {len(found)} of {len(images)} found"


def _found_at(sequence: Entries, measurement: Measurement) -> list[int]:
    """Return for each entry in which of its images the face was found."""
    at = []
    for entry in range(len(sequence.sizes)):
        start = sequence.starts(entry)
        hits = (
            number - start + 1
            for number in range(start, start + SHOWN)
            if any(_is_face(sequence, number, each) for each in measurement.answers[number])
        )
        at.append(next(hits, NOT_FOUND))
    return at


def _recall(sequence: Entries, measurement: Measurement) -> tuple[float, int]:
    with_face = answered = false = 0
    for number, answer in enumerate(measurement.answers):
        right = [_is_face(sequence, number, each) for each in answer]
        false += len(right) - sum(right)
        if sequence.face(number) is not None:
            with_face += 1
            answered += any(right)
    return answered / with_face, false


def _is_face(sequence: Entries, number: int, answer: str) -> bool:
    face = sequence.face(number)
    if face is None:
        return False
    points = np.frombuffer(base64.b64decode(answer), np.float32).reshape(-1, 2)
    x, y, width, height = _box(points)
    across = min(x + width, face[0] + face[2]) - max(x, face[0])
    down = min(y + height, face[1] + face[3]) - max(y, face[1])
    common = max(across, 0.0) * max(down, 0.0)
    return common / (width * height + face[2] * face[3] - common) > SAME_FACE


def _box(points: npt.NDArray[Any]) -> tuple[float, float, float, float]:
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right - left, bottom - top


def _in_turn(scenes: Sequence[Scene], images: int) -> Clip:
    """Return a video of some scenes, each of this number of images."""
    return lambda number: scenes[number // images % len(scenes)].image(number)


def _mean_times(measurement: Measurement) -> Figure:
    """Sum up the computing time: means, because images differ by design."""
    means = _block_means(measurement) * 1000
    p10, p90 = np.percentile(means, [10, 90]).tolist()
    return Figure(float(means.mean()), p10, p90, "ms", len(measurement.cpu))


def _remark(own: Measurement, peer: Measurement) -> str:
    ratios = ", ".join(f"{each:.2f}" for each in _block_means(own) / _block_means(peer))
    most = [
        1000 * np.array(each.cpu).reshape(-1, SETTLING + BLOCK)[:, SETTLING:].max()
        for each in (own, peer)
    ]
    return f"ratios by block: {ratios}; most in an image: {most[0]:.1f} ms, {most[1]:.1f} ms"


def _block_means(measurement: Measurement) -> npt.NDArray[np.float64]:
    blocks = np.array(measurement.cpu).reshape(-1, SETTLING + BLOCK)[:, SETTLING:]
    return np.asarray(blocks.mean(axis=1))


def _peers(
    measured: Mapping[tuple[str, str], Measurement], title: str
) -> list[tuple[str, Measurement]]:
    return [(name, m) for (clip, name), m in measured.items() if clip == title and name != "ours"]


def _measure(
    clips: Mapping[str, Clip],
    rounds: int,
    ours: Mapping[str, Mapping[str, Any]],
    *,
    faces: int,
    warm_up: bool = True,
) -> tuple[dict[tuple[str, str], Measurement], list[str]]:
    """Measure clips by turns: ours with some parameters, and MediaPipe; by clip and contender."""
    skipped: list[str] = []
    with ExitStack() as stack:
        images = {name: SharedImage(clip) for name, clip in clips.items()}
        for image in images.values():
            stack.callback(image.close)
        worker = stack.enter_context(WorkerProcess(OURS))
        peers = {}
        for environment in (PEERS, NEWEST):
            try:
                peer = stack.enter_context(WorkerProcess(environment))
                peers[f"MediaPipe {peer.version('mediapipe')}"] = peer
            except NotMeasuredError as error:
                skipped.append(f"MediaPipe in {environment.name}: {error}")
        contenders: dict[str, Contender] = {}
        keys = {}
        for clip, image in images.items():
            shown: dict[str, Any] = {"image": image.path, "shape": image.shape}
            for title, parameters in ours.items():
                name = f"{clip}, {title}"
                keys[name] = (clip, title or "ours")
                contenders[name] = worker.open(
                    name, "face_mesh", **shown, tracking=True, threads=1, **parameters
                )
            for title, peer in peers.items():
                name = f"{clip}, {title}"
                keys[name] = (clip, title)
                task = str(FACE_LANDMARKER_TASK.fetch())
                contenders[name] = peer.open(
                    name, "face_landmarker", **shown, task=task, video=True, faces=faces
                )
        measured = measure_by_turns(
            contenders, rounds, _show_all(list(images.values())), WARM_UP if warm_up else 0
        )
    return {keys[name]: each for name, each in measured.items()}, skipped


def _show_all(images: Sequence[SharedImage]) -> Callable[[int], None]:
    def show(number: int) -> None:
        for image in images:
            image.show(number)

    return show

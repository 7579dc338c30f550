"""How soon a larger face is found that comes in front of a tracked person, while none is free."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from benchmarks.measurement import Figure
from benchmarks.options import Options
from benchmarks.report import Row, Section
from benchmarks.search import BACKGROUNDS, SIZES, Head, Scene, heads_of, paste_head
from benchmarks.shared_image import Pixels
from maix_facemesh_ros import FaceMesh

#: Widths of the tracked face as a fraction of the image's, and of the newcomer's in widths of it.
TRACKED = (0.07, 0.12)
RATIOS = (1.3, 1.6, 2.0, 3.0)
#: Where the newcomer's face is: to the side, in widths of the tracked face.
SIDES = (-0.5, 0.0, 0.5)
#: Images of the tracked person alone, up to this number more by turns, and then with the newcomer.
BEFORE, TURNS, SHOWN = 15, 20, 75
#: Half a second.
LIMIT = 15.0


class Newcomer(NamedTuple):
    """A sequence: a tracked person, and another one who appears in front."""

    number: int
    tracked: float
    ratio: float
    side: float
    #: The tracked person sways by up to an eighth of the face.
    sways: bool

    @property
    def starts(self) -> int:
        """Number of the image in which the newcomer appears."""
        return BEFORE + self.number * 17 % TURNS

    def images(self, head: Head) -> Iterator[Pixels]:
        """Give the images, with a camera's noise and light that changes."""
        scene = Scene(BACKGROUNDS[self.number % len(BACKGROUNDS)], SIZES[0], False, self.number)
        width = self.tracked * scene.size[0]
        corner = -scene.to_image(0)[:, 2]
        place = corner + (scene.size[0] / 2, scene.size[1] / 4)
        below = place + (self.side * width, 0.6 * width + 0.9 * self.ratio * width)

        @lru_cache
        def world(sway: int, *, with_newcomer: bool) -> Pixels:
            shown, _ = paste_head(scene.world, head, place + (sway, 0.0), width)
            if with_newcomer:
                shown, _ = paste_head(shown, head, below, self.ratio * width)
            return shown

        for number in range(self.starts + SHOWN):
            sway = round(0.12 * width * math.sin(number / 9)) if self.sways else 0
            yield scene.image(number, world(sway, with_newcomer=number >= self.starts))

    def found_after(self, head: Head) -> int:
        """Return in which image of the newcomer it is found; 1: the very image."""
        with FaceMesh(tracking=True, max_face_num=1) as mesh:
            for number, image in enumerate(self.images(head)):
                if any(face.id > 1 for face in mesh.process(image, number / 30)):
                    return number - self.starts + 1
        return SHOWN + 1


def measure(options: Options) -> Section:
    """In which image a larger face is found in front of a tracked person, by its size."""
    head = heads_of([])[0]
    rows = []
    for sways, ratio in itertools.product((False, True), RATIOS):
        cases = itertools.product(TRACKED[: 1 if options.quick else 2], SIDES)
        found = [
            Newcomer(number, tracked, ratio, side, sways).found_after(head)
            for number, (tracked, side) in enumerate(cases)
            if 1.6 * ratio * tracked < 0.5  # wholly in the image
        ]
        person = "sways" if sways else "keeps still"
        rows.append(
            Row(
                f"{ratio:g} times as wide, the tracked person {person}",
                Figure.of(found, ". image"),
                limit=LIMIT,
                remark=f"the last in image {max(found)}",
            )
        )
    title = "a larger head appears in front of the tracked person, 640x480, max_face_num 1"
    return Section("nearer", f"{title}: the image in which it is found", rows, [])

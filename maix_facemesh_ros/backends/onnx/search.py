"""Which parts of an image are searched for new faces: the detector's work as a schedule.

Searching a whole image down to the smallest face takes ten times as long as searching it for near
faces. With tracking, an image is therefore divided into areas (`SearchArea`) on the levels of an
image pyramid: the whole image at two coarse scales, and overlapping tiles at the finest. An area
is searched

    level                 coarsest (near faces)   next              tiles (smallest faces)
    newly changed         in the same image       same image        same image, and the place of
                                                                    a small change 2 images later
    keeps changing        every image             every 3rd         every 8th
    unchanged             every 3rd               every 30th        every 60th

A change is one since the area's last search, see `Thumbnail`, and new after some images without
one. A moving camera changes everything, and what appears before it is searched in the same image in
an area of its own, see `CameraMotion`. While faces are in view and there is room for more, this
applies in every n-th image only (`detect_interval`), without the latter, and tracked faces do not
count as changes. Without room, larger faces are searched, see `LargerFaceSchedule`. Where a face
was lost, the area of its size is searched at once and then in every 3rd of 15 images.

The finer levels together take at most `MOST_PIXELS` of the network's input in an image and
`AVERAGE_PIXELS` on average, less while most of the image keeps changing, so that a moving camera
costs little more than a still one: areas then have their turn less often. New changes have
`AVERAGE_NEW_PIXELS` in addition. The first image of a stream is searched whole. The schedule
depends on the images since the start of the stream and on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from maix_facemesh_ros.backends.onnx.camera_motion import CameraMotion
from maix_facemesh_ros.face import Box, FloatArray
from maix_facemesh_ros.image import Image

#: Images from one search to the next, by level, the coarsest first; finer levels are as the last.
CHANGED = (1, 3, 8)
UNCHANGED = (3, 30, 60)
#: While as many faces are tracked as may be given: regular runs of the detector from one search to
#: the next where nothing changes but those faces.
UNCHANGED_WHILE_FULL = 6
#: Pixels of the network's input per run and tracked face, for searches because of a change in front
#: of tracked persons: near faces in five of twelve runs with one face tracked, which takes 1.2 to
#: 1.5 % of the time of its landmarks. This number of searches is saved up by a person who keeps
#: still, because a person who comes slowly is a change before the face is in view.
PIXELS_IN_FRONT = 3840
SAVED_SEARCHES = 3
#: A face that was lost may come out again from behind another one: for this many images it is
#: searched in every n-th.
IMAGES_AFTER_A_LOSS = 15
SEARCH_AFTER_A_LOSS = 3

#: Images without a change in an area after which a change there is new, and is searched in the same
#: image.
QUIET = 8
#: The place of a small new change is searched again after this number of images, with pixels that
#: are this much smaller: where a face of the smallest size is found in 9 of 10 images at first, it
#: is found in all of 60 then (4 scenes of the benchmark `entering`).
LOOK_AGAIN = 2
CLOSER = 0.625
#: A change is small up to this number of squares as wide as the smallest face: a person whose face
#: is that small. A second look is at most this number of images late.
SMALL_CHANGE = 40.0
LATEST_LOOK = 10
#: What appears before a moving camera is searched with those smaller pixels up to this number of
#: such squares, and is left to the coarsest level beyond this number. (Of 48 heads that appear at
#: once in the benchmark `entering`, faces of 3 % have 1 to 3, those of 8 % 5 to 13, those of 15 % 7
#: to 33.)
SMALL_APPEARANCE, LARGE_APPEARANCE = 2.8, 12.0

#: Pixels of the network's input in an image, besides the coarsest level.
MOST_PIXELS = 81920
#: The same on average: usually, while most of the image keeps changing, and with faces in view; and
#: how much can be saved up while it is not needed.
AVERAGE_PIXELS, AVERAGE_PIXELS_IN_MOTION, AVERAGE_PIXELS_WITH_FACES = 8192, 4608, 4096
MOST_SAVINGS = 24 * AVERAGE_PIXELS
#: The same for new changes only. A moving camera, which changes everything all the time, has none.
AVERAGE_NEW_PIXELS = 6144
MOST_NEW_SAVINGS = 30 * AVERAGE_NEW_PIXELS

#: The thumbnail in which changes are seen: a smallest face is this many pixels wide in it, and it
#: has a width between these.
FACE_IN_THUMBNAIL = 2.4
THUMBNAIL_WIDTHS = (80, 160)
#: Side of the mean around each pixel of the thumbnail, about a smallest face.
BLUR = (3, 3)
#: Side of the mean that stands for the light, as a fraction of the thumbnail's width.
LIGHT = 0.8
#: A place has changed when its mean differs by more gray levels, at a mean brightness of 128.
CHANGE = 7.0
#: Where a place is brighter than this before and after, it has not: one of its channels may be at
#: its highest value, which does not follow the light.
BRIGHT = 200.0
#: A tracked face and what is around it (hair, neck) move without being another face.
AROUND_KNOWN = 0.6
#: A person and its motion, in widths of the face on each side and heights of the face above it.
AROUND_PERSON = (1.5, 0.9)
#: Added to gray levels before they are made as bright as others, so that a black image has a light.
DARKEST = 8.0
#: A lost face is searched where it is at least this wide in the network's input.
SMALLEST_LOST = 14.0
#: Between the coarsest and the finest level a change counts from this number of squares as wide as
#: the level's smallest face; a head has three.
SMALLEST_CHANGE = 1.5


#: Left, top, right, bottom in pixels of the image.
Edges = tuple[float, float, float, float]
#: Rows and columns of a thumbnail.
Place = tuple[slice, slice]


class SearchArea(NamedTuple):
    """A part of the image that the detector searches at one scale; pixels are the image's."""

    #: 0: the coarsest.
    level: int
    #: What is searched: x, y, width, height.
    part: tuple[int, int, int, int]
    #: The network's input: width and height of the part in it, and of the whole of it.
    shown: tuple[int, int]
    size: tuple[int, int]
    #: Faces whose centers are in here are this area's: left, top, right, bottom.
    core: tuple[float, float, float, float]
    #: The largest face that is not left to a coarser level.
    largest: float

    @property
    def pixels(self) -> int:
        """Pixels of the network's input, which its time is in proportion to."""
        return self.size[0] * self.size[1]


class _Late(NamedTuple):
    """An area that is to be searched again."""

    #: Its place among the areas.
    place: int
    level: int
    #: How much it differs, in all pixels, if the change is new.
    new_change: float
    #: A new change is searched a second time.
    is_second_look: bool
    #: What is searched then; None: the change is not new, or not small.
    closer: SearchArea | None
    #: A face was lost there.
    near_loss: bool
    #: How long it has waited, in its usual intervals.
    waited: float


def _in_order(late: Sequence[_Late]) -> list[_Late]:
    """Return areas in the order in which they are searched while there is time.

    The coarsest level, where a face was lost, new changes, by how much, second looks, and then
    whatever has waited for the most intervals.
    """
    return sorted(
        late,
        key=lambda each: (
            *(each.level > 0, not each.near_loss, -each.new_change, not each.is_second_look),
            *(-each.waited, each.place),
        ),
    )


class SearchSchedule:
    """Decides which areas are searched in the next image."""

    def __init__(self) -> None:
        """Start before the first image of a stream."""
        self._areas: Sequence[SearchArea] = ()
        self._waiting: list[_Waiting] = []
        self._number = self._passed = 0
        self._quiet = QUIET
        self._savings, self._new_savings = MOST_SAVINGS, MOST_NEW_SAVINGS
        self._last_loss = -IMAGES_AFTER_A_LOSS
        self._lost: list[Box] = []
        self._motion = CameraMotion()
        #: Number of the image in which an area changed last that had not changed before.
        self.newest_change = 0
        #: Number of the image in which a finer area than the coarsest was searched last.
        self.newest_fine_search = 0

    def due(
        self,
        new: Thumbnail,
        number: int,
        areas: Sequence[SearchArea],
        *,
        known: Sequence[Box],
        lost: Sequence[Box],
    ) -> list[SearchArea]:
        """Return the areas to search in an image that has room for another face.

        Args:
            new: the image.
            number: how many images there were before.
            areas: all there are in an image of this size, the coarsest level first.
            known: the faces that are tracked in it.
            lost: the faces that were tracked up to the last one, and are not any more.
        """
        passed = number - self._number
        self._savings = min(self._savings + passed * self._average(known), MOST_SAVINGS)
        self._new_savings = min(self._new_savings + passed * AVERAGE_NEW_PIXELS, MOST_NEW_SAVINGS)
        # Between calls at regular intervals, what has changed in the last one too keeps changing;
        # after a longer pause it may be new.
        self._quiet = max(QUIET, min(passed, self._passed))
        self._number, self._passed = number, passed
        if areas != self._areas:
            self._start(areas, new)
            return list(areas)
        if lost:
            self._last_loss, self._lost = number, list(lost)
        moving = [_around_face(box) for box in known]
        in_reach = range(len(areas)) if self._may_search_finely() else [0]
        changes = {
            level: new.changes(self._references[level], moving, areas[0].part[2:])
            for level in sorted({areas[index].level for index in in_reach})
        }
        late = [
            each
            for index in in_reach
            if (each := self._late(index, changes, is_known=bool(known), is_loss=bool(lost)))
        ]
        appearing = None if known or lost else self._appearing(new)
        if appearing is None:
            return self._search(_in_order(late), new, MOST_PIXELS)
        # The time for it is that of the areas of a moving camera, which wait.
        self._savings -= appearing.pixels
        self.newest_fine_search = self._number
        if not any(each.new_change for each in late):
            late = [each for each in late if not each.level]
        return [*self._search(_in_order(late), new, MOST_PIXELS - appearing.pixels), appearing]

    def _appearing(self, new: Thumbnail) -> SearchArea | None:
        """Return the surroundings of what appears before a moving camera; None: nothing does."""
        finest = self._areas[-1]
        if not finest.level or not self._is_in_motion:
            return None
        appearance = self._motion.appearing(new.pixels, self._number)
        if appearance is None or appearance.extent > LARGE_APPEARANCE * self._smallest_square:
            return None
        is_small = appearance.extent <= SMALL_APPEARANCE * self._smallest_square
        center = (appearance.column + 0.5, appearance.row + 0.5)
        return self._around(finest, center, CLOSER if is_small else 1.0)

    def _average(self, known: Sequence[Box]) -> int:
        """Return the pixels of the finer levels that may be searched per image."""
        if known:
            return AVERAGE_PIXELS_WITH_FACES
        return AVERAGE_PIXELS_IN_MOTION if self._is_in_motion else AVERAGE_PIXELS

    @property
    def _is_in_motion(self) -> bool:
        """Whether most areas keep changing: the camera moves."""
        changing = sum(waits.changed + self._quiet >= self._number for waits in self._waiting)
        return 2 * changing > len(self._waiting)

    def _may_search_finely(self) -> bool:
        """Whether there may be time for one of the finer areas in this image."""
        return self._savings >= self._smallest or any(
            waits.is_new or self._number >= min(waits.look_again, waits.changed + self._quiet)
            for waits in self._waiting
        )

    def _late(
        self,
        index: int,
        changes: Mapping[int, FloatArray | None],
        *,
        is_known: bool,
        is_loss: bool,
    ) -> _Late | None:
        """Return an area that is to be searched again; None: not yet."""
        area, waiting = self._areas[index], self._waiting[index]
        change = changes[area.level]
        here = None if change is None else change[self._places[index]]
        extent = 0 if here is None else np.count_nonzero(here)
        changed = extent > self._least_changes[area.level]
        waiting.note(self._number, changed=changed, quiet=self._quiet)
        if waiting.is_new:
            self.newest_change = self._number
        usual = (CHANGED if changed else UNCHANGED)[min(area.level, 2)]
        near_loss = self._is_where_lost(area)
        is_second_look = self._number >= waiting.look_again
        at_once = (
            waiting.is_new
            or is_second_look
            or (is_loss and (changed or near_loss))
            or (is_known and not area.level)
        )
        interval = 1 if at_once else min(usual, SEARCH_AFTER_A_LOSS) if near_loss else usual
        waited = self._number - waiting.searched
        if waited < interval:
            return None
        new_change, closer = 0.0, None
        if here is not None and waiting.is_new:
            new_change = float(here.sum())
            if (
                extent <= SMALL_CHANGE * self._smallest_square
                and area.level == self._areas[-1].level
            ):
                closer = self._closer(index, here)
        return _Late(
            *(index, area.level, new_change, is_second_look, closer, near_loss, waited / usual)
        )

    def _closer(self, index: int, change: FloatArray) -> SearchArea:
        """Return the surroundings of a change in an area, with smaller pixels.

        Where the change is taller, they are those of its upper end: there a person has the head.
        """
        rows, columns = self._places[index]
        y, x = (each + 0.5 for each in np.nonzero(change))
        center = (columns.start + float(x.mean()), rows.start + float(y.mean()))
        top = rows.start + float(y.min())
        return self._around(self._areas[index], center, CLOSER, top=top)

    def _around(
        self,
        area: SearchArea,
        center: tuple[float, float],
        scale: float,
        *,
        top: float = math.inf,
    ) -> SearchArea:
        """Return the surroundings of a place, as large for the network as an area.

        Args:
            area: of the finest level.
            center: x, y in the thumbnail, as `top`.
            scale: width of its pixels in those of the area.
            top: to be within the upper quarter.
        """
        whole, (rows, columns) = self._areas[0].part, self._references[0].pixels.shape
        pixel = scale * area.part[2] / area.shown[0]
        width, height = (
            min(round(side * pixel), most) for side, most in zip(area.size, whole[2:], strict=True)
        )
        across, down = whole[2] / columns, whole[3] / rows
        left = min(max(round(center[0] * across - width / 2), 0), whole[2] - width)
        upper = round(min(center[1] * down - height / 2, top * down - height / 4))
        upper = min(max(upper, 0), whole[3] - height)
        # With pixels smaller than the image's, the rounded part is up to half of one too wide.
        shown = (
            min(max(round(width / pixel), 1), area.size[0]),
            min(max(round(height / pixel), 1), area.size[1]),
        )
        return area._replace(
            part=(left, upper, width, height),
            shown=shown,
            core=self._areas[0].core,
            largest=scale * area.largest,
        )

    def _start(self, areas: Sequence[SearchArea], new: Thumbnail) -> None:
        """Note that all areas are searched."""
        self._areas = areas
        self.newest_change = self._number
        # What each level's areas showed when they were searched last, put together.
        self._references = [Reference(new) for _ in range(areas[-1].level + 1)]
        #: Pixels of the smallest area of the finer levels.
        self._smallest = min((area.pixels for area in areas if area.level), default=0)
        squares = _smallest_squares(areas, new.pixels.shape[1])
        #: By level: the number of pixels in a thumbnail that a change exceeds.
        self._least_changes = [0.0, *(SMALLEST_CHANGE * each for each in squares[1:-1]), 0.0]
        self._smallest_square = squares[-1]
        self._waiting = [_Waiting(self._number) for _ in areas]
        self._places = [new.place(area.core, areas[0].part[2:]) for area in areas]

    def _is_where_lost(self, area: SearchArea) -> bool:
        """Whether a face that was lost lately was in an area, or next to it, and of its size."""
        if self._number - self._last_loss >= IMAGES_AFTER_A_LOSS:
            return False
        left, top, right, bottom = area.core
        scale = area.shown[0] / area.part[2]
        return any(
            width * scale >= SMALLEST_LOST
            and max(width, height) <= area.largest
            and left < x + 2 * width
            and x - width < right
            and top < y + 2 * height
            and y - height < bottom
            for x, y, width, height in self._lost
        )

    def _search(self, late: Sequence[_Late], new: Thumbnail, room: int) -> list[SearchArea]:
        """Return as many of the areas as there is time for, and note that they are searched.

        Args:
            late: in their order.
            new: the image.
            room: pixels of the network's input for the finer levels.
        """
        searched = []
        for each in late:
            waiting = self._waiting[each.place]
            closer = waiting.closer if each.is_second_look else None
            area = closer or self._areas[each.place]
            if area.level:
                is_for_new = each.new_change > 0 or each.is_second_look
                savings = self._new_savings if is_for_new else 0
                if area.pixels > min(room, savings + self._savings):
                    break
                room -= area.pixels
                self.newest_fine_search = self._number
                self._new_savings -= min(area.pixels, savings)
                self._savings -= max(area.pixels - savings, 0)
            searched.append(area)
            if closer is not None:
                waiting.look_again = math.inf
                continue
            waiting.note_search(self._number, each.closer)
            self._references[area.level].replace(self._places[each.place], new)
        return searched


def _smallest_squares(areas: Sequence[SearchArea], width: int) -> list[float]:
    """Return for each level the square as wide as its smallest face, in pixels of a thumbnail."""
    pixels = {area.level: area.part[2] / area.shown[0] for area in areas}
    image_width = areas[0].part[2]
    return [(SMALLEST_LOST * pixel * width / image_width) ** 2 for pixel in pixels.values()]


class _Waiting:
    """What an area of a schedule waits for."""

    def __init__(self, number: int) -> None:
        """Take the number of the image in which it is searched."""
        #: Number of the image in which it was searched last, and was seen to have changed last.
        self.searched = self.changed = number
        #: It has changed after some images without a change, and was not searched since.
        self.is_new = False
        #: The second look: what is searched, and the number of the image.
        self.closer: SearchArea | None = None
        self.look_again = math.inf

    def note(self, number: int, *, changed: bool, quiet: int) -> None:
        """Note whether it differs in an image from what it was when it was searched.

        Args:
            number: of the image.
            changed: whether it differs.
            quiet: a change after more images without one is new.
        """
        self.is_new = changed and (self.is_new or number > self.changed + quiet)
        if changed:
            self.changed = number
        if number - self.look_again > LATEST_LOOK:
            self.look_again = math.inf

    def note_search(self, number: int, closer: SearchArea | None) -> None:
        """Note that it is searched, and what is to be searched at the second look."""
        self.searched = number
        self.closer = closer
        self.look_again = math.inf if closer is None else number + LOOK_AGAIN
        self.is_new = False


def _around_face(box: Box) -> Edges:
    x, y, width, height = box
    across, down = AROUND_KNOWN * width, AROUND_KNOWN * height
    return x - across, y - down, x + width + across, y + height + down


def _person(box: Box) -> Edges:
    """Return the edges of a part with the head of a face, the shoulders and all below."""
    x, y, width, height = box
    across, above = AROUND_PERSON[0] * width, AROUND_PERSON[1] * height
    return x - across, y - above, x + width + across, math.inf


class LargerFaceSchedule:
    """Decides when an image is searched though as many faces are tracked as may be given.

    Any change outside of the tracked persons may be a face that comes near. So may a change within
    them that is as large as such a face, but the persons make those too, by gestures: the latter
    searches take a limited part of the time.
    """

    def __init__(self) -> None:
        """Start before the first image of a stream."""
        #: The image that was searched last, and where persons were tracked since.
        self._reference: Reference | None = None
        self._persons: list[Edges] = []
        #: Regular runs since then.
        self._runs = 0
        self._savings = math.inf

    def is_due(
        self,
        new: Thumbnail,
        known: Sequence[Box],
        size: tuple[int, int],
        *,
        area: float,
        pixels: int,
    ) -> bool:
        """Return whether an image is searched, and note it; called in every n-th image.

        Args:
            new: the image.
            known: the faces that are tracked in it.
            size: width and height of the image.
            area: of the smallest face that takes a tracked one's place, square pixels.
            pixels: of the network's input that the search takes; 0: not known, not limited.
        """
        self._runs += 1
        self._savings += len(known) * PIXELS_IN_FRONT
        self._savings = min(self._savings, SAVED_SEARCHES * pixels)
        self._persons += [_person(box) for box in known]
        outside, within = self._extents(new, known, size)
        least = area / (size[0] * size[1]) * new.pixels.size
        is_in_front = within >= least and self._savings >= pixels
        if not (outside or is_in_front or self._runs >= UNCHANGED_WHILE_FULL):
            return False
        if not outside and is_in_front:
            self._savings -= pixels
        self._reference, self._persons, self._runs = Reference(new), [], 0
        return True

    def _extents(
        self, new: Thumbnail, known: Sequence[Box], size: tuple[int, int]
    ) -> tuple[int, int]:
        """Return how many pixels of the thumbnail have changed outside of persons, and within."""
        reference = self._reference
        if reference is None or reference.pixels.shape != new.pixels.shape:
            return new.pixels.size, 0
        change = new.changes(reference, [_around_face(box) for box in known], size)
        if change is None:
            return 0, 0
        everywhere = np.count_nonzero(change)
        # Where a person goes away from, nothing has come.
        for edges in self._persons:
            change[new.place(edges, size)] = 0.0
        outside = np.count_nonzero(change)
        return outside, everywhere - outside


class Thumbnail:
    """A small gray image in which changes are seen."""

    def __init__(self, pixels: FloatArray, gain: float) -> None:
        #: (h, w) gray levels at a mean brightness of 128.
        self.pixels = pixels
        self._gain = gain
        width = pixels.shape[1]
        side = 2 * int(LIGHT * width / 2) + 1
        self.around = (side, side)
        #: (h, w) mean around each pixel.
        self.light = cv2.blur(pixels, self.around)
        #: (h, w) whether a pixel is brighter than `BRIGHT`.
        self.bright = pixels > gain * (BRIGHT + DARKEST)

    @classmethod
    def of(cls, image: Image, min_face_size: float) -> Thumbnail:
        """Make that of an image."""
        image_width, image_height = image.size
        least, most = THUMBNAIL_WIDTHS
        width = round(min(max(FACE_IN_THUMBNAIL / min_face_size, least), most))
        height = max(round(width * image_height / image_width), 1)
        # 16 pixels are averaged in each, spread over what it covers: a camera's noise is a quarter
        # then, at little cost.
        rough = cv2.resize(image.pixels, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
        gray = image.gray_of(np.asarray(rough, np.uint8))
        small = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
        gain = (128 + DARKEST) / (cv2.mean(small)[0] + DARKEST)
        pixels = cv2.addWeighted(small, gain, small, 0.0, gain * DARKEST, dtype=cv2.CV_32F)
        return cls(np.asarray(pixels, np.float32), gain)

    def differs_from(self, reference: Reference) -> FloatArray:
        """Return by how much this one differs beyond the light and a camera's noise, (h, w)."""
        light = cv2.divide(reference.light, self.light)
        difference = cv2.absdiff(cv2.multiply(self.pixels, light), reference.pixels)
        difference[self.bright & reference.bright] = 0.0
        allowed = CHANGE * max(self._gain, 1.0)
        beyond = np.asarray(cv2.blur(difference, BLUR), np.float32) - np.float32(allowed)
        return np.asarray(np.maximum(beyond, 0.0), np.float32)

    def changes(
        self, reference: Reference, moving: Sequence[Edges], size: tuple[int, int]
    ) -> FloatArray | None:
        """Return by how much this one differs, (h, w); None: not at all.

        Args:
            reference: what was searched last.
            moving: parts in which it may differ, in pixels of the image.
            size: width and height of the image.
        """
        change = self.differs_from(reference)
        for edges in moving:
            change[self.place(edges, size)] = 0.0
        return change if change.any() else None

    def place(self, edges: Edges, size: tuple[int, int]) -> Place:
        """Return the rows and columns that edges in pixels of the image enclose.

        Args:
            edges: of a part.
            size: width and height of the image.
        """
        height, width = self.pixels.shape
        left, right = (min(max(edge * width / size[0], 0), width) for edge in edges[::2])
        top, bottom = (min(max(edge * height / size[1], 0), height) for edge in edges[1::2])
        return slice(int(top), math.ceil(bottom)), slice(int(left), math.ceil(right))


class Reference:
    """Pixels of earlier thumbnails, put together, with their light; see `Thumbnail`."""

    def __init__(self, thumbnail: Thumbnail) -> None:
        """Take those of one."""
        self.pixels = thumbnail.pixels.copy()
        self.bright = thumbnail.bright.copy()
        self._around = thumbnail.around
        self._light: cv2.typing.MatLike | None = thumbnail.light

    def replace(self, place: Place, thumbnail: Thumbnail) -> None:
        """Take rows and columns of a later one."""
        pixels = thumbnail.pixels[place]
        self.pixels[place] = pixels
        self.bright[place] = thumbnail.bright[place]
        self._light = thumbnail.light if pixels.size == self.pixels.size else None

    @property
    def light(self) -> cv2.typing.MatLike:
        """The mean around each pixel, (h, w)."""
        if self._light is None:
            self._light = cv2.blur(self.pixels, self._around)
        return self._light

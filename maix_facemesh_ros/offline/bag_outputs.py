"""The bags of a job: messages of the faces, in order with the messages copied from the input."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, tee
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from maix_facemesh_ros.bags.storage import BagRecord, BagTopic
from maix_facemesh_ros.bags.writer import BagWriter
from maix_facemesh_ros.offline.blurred_images import IMAGE_TYPES, BlurredImages
from maix_facemesh_ros.offline.drawings import DrawnImage
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.offline.output_topics import FaceTopics, face_topics
from maix_facemesh_ros.offline.recordings import Recording
from maix_facemesh_ros.wording import counted


class _Output(NamedTuple):
    """A message to be written to the bag."""

    log_time: int
    topic: str
    data: bytes
    #: As recorded; None for a new message.
    record: BagRecord | None = None


class BagOutputs:
    """Writes the bags of all recordings, one after the other."""

    def __init__(
        self,
        options: JobOptions,
        recordings: Sequence[Recording],
        place_of: Callable[[Path], Path],
    ) -> None:
        """Choose the topics.

        Args:
            options: of the job.
            recordings: its inputs.
            place_of: returns where an output is made.

        Raises:
            BagError: two cameras would have one topic.
        """
        self._options = options
        self._recordings = recordings
        self._place_of = place_of
        self._topics = [
            face_topics(
                recording.cameras,
                options.faces_topic,
                annotations=options.parameters.foxglove_msgs,
                annotated=options.annotated,
            )
            for recording in recordings
        ]
        #: By recording: images of a topic that could not be blurred, and records that the storage
        #: of the output cannot hold.
        self._not_decoded: list[Counter[str]] = [Counter() for _ in recordings]
        self._not_held: list[Counter[str]] = [Counter() for _ in recordings]

    def write(self, number: int, images: Sequence[Iterator[DrawnImage]]) -> None:
        """Write the bags of a recording.

        Args:
            number: of the recording.
            images: of each of its cameras, in order.
        """
        images = list(images)
        blurred: dict[str, BlurredImages] = {}
        if self._options.blur:
            for index, camera in enumerate(self._recordings[number].cameras):
                images[index], again = tee(images[index])
                blurred[camera.topic] = BlurredImages((each.image, each.faces) for each in again)
        streams = [
            _messages_of(topics, each)
            for topics, each in zip(self._topics[number], images, strict=True)
        ]
        own = self._own_topics(number)
        recorded = [topic for topic in self._recorded_topics(number) if topic.name not in own]
        if recorded:
            # First, so that with equal log times an image precedes its faces.
            streams.insert(0, self._records_of(number, recorded, blurred))
        with ExitStack() as stack:
            writers = self._open(stack, number, recorded)
            for log_time, name, data, record in heapq.merge(*streams, key=attrgetter("log_time")):
                for writer in writers:
                    if record is None:
                        writer.write(name, log_time, data)
                    else:
                        writer.write_record(record)
            self._not_held[number] = writers[0].not_held
        self._not_decoded[number].update(
            {name: images.left_out for name, images in blurred.items() if images.left_out}
        )

    def remarks(self, number: int) -> Iterator[str]:
        """Yield the remarks on what a recording's bag does not have."""
        path = self._recordings[number].path
        for name, count in self._not_decoded[number].items():
            images = counted(count, "image")
            yield f"{path}: left out, because they cannot be decoded: {images} of {name}"
        own = self._own_topics(number)
        replaced = [topic.name for topic in self._recorded_topics(number) if topic.name in own]
        if replaced:
            yield f"{path}: not copied, because the job writes it: {', '.join(replaced)}"
        if left_out := [topic.name for topic in self._not_blurred(number)]:
            yield (
                f"{path}: not copied, because they show people and are not blurred: "
                f"{', '.join(left_out)}"
            )
        if self._not_held[number]:
            what = ", ".join(f"{count} {name}" for name, count in self._not_held[number].items())
            yield (
                f"{path}: not copied, because a bag in SQLite cannot hold it: {what}; "
                "--storage mcap can"
                if self._options.storage == "sqlite3"
                else f"{path}: not copied, because MCAP cannot hold it: {what}"
            )

    def _open(self, stack: ExitStack, number: int, recorded: Sequence[BagTopic]) -> list[BagWriter]:
        """Begin the bags of a recording, with its own topics and those of the faces."""
        writers = [
            stack.enter_context(BagWriter(folder, self._options.storage))
            for folder in self._folders(number)
        ]
        for writer in writers:
            for topic in recorded:
                writer.add_topic(topic, recorded=True)
            for topic in chain(*(each.all() for each in self._topics[number])):
                writer.add_topic(topic)
            self._copy_what_is_no_message(number, writer)
        return writers

    def _records_of(
        self, number: int, topics: Sequence[BagTopic], blurred: Mapping[str, BlurredImages]
    ) -> Iterator[_Output]:
        """Yield the messages of the input on some topics, those of `blurred` topics blurred."""
        names = {topic.name for topic in topics}
        for record in self._recordings[number].records():
            name = record.topic.name
            if name not in names:
                continue
            copied = blurred[name].next(record) if name in blurred else record
            if copied is not None:
                yield _Output(record.log_time, name, copied.data, copied)

    def _copy_what_is_no_message(self, number: int, writer: BagWriter) -> None:
        if self._options.copies:
            for attachment in self._recordings[number].attachments():
                shows = attachment.media_type.startswith(("image/", "video/"))
                if not (self._options.blur and shows):
                    writer.add_attachment(attachment)
            for record in self._recordings[number].metadata_records():
                writer.add_metadata(record)

    def _own_topics(self, number: int) -> set[str]:
        """Return the names of the topics that the job writes."""
        return {topic.name for topic in chain(*(each.all() for each in self._topics[number]))}

    def _recorded_topics(self, number: int) -> Sequence[BagTopic]:
        """Return the topics of the input that are wanted in the output too."""
        if not self._options.copies:
            return ()
        left_out = {topic.name for topic in self._not_blurred(number)}
        return [t for t in self._recordings[number].topics if t.name not in left_out]

    def _not_blurred(self, number: int) -> list[BagTopic]:
        """Return the topics that show people, and are not blurred when others are."""
        if not self._options.blur:
            return []
        recording = self._recordings[number]
        cameras = {camera.topic for camera in recording.cameras}
        return [t for t in recording.topics if t.type in IMAGE_TYPES and t.name not in cameras]

    def _folders(self, number: int) -> Iterator[Path]:
        """Yield the folders of a recording's bag: the outputs, or one in each per recording."""
        for output in self._options.bags:
            folder = self._place_of(output)
            if len(self._recordings) > 1:
                folder.mkdir(exist_ok=True)
                folder /= self._options.name_of_input(number)
            yield folder


def _messages_of(topics: FaceTopics, images: Iterator[DrawnImage]) -> Iterator[_Output]:
    """Yield the messages of a camera."""
    for image, faces, jpeg in images:
        if image.error:
            continue
        for topic, data in topics.messages(image, faces, jpeg):
            yield _Output(image.log_time, topic, data)

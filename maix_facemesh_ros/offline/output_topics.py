"""The topics of a bag that the job writes: the messages of each image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maix_facemesh_ros.bags.message_types import (
    COMPRESSED_IMAGE,
    FACE_ARRAY,
    IMAGE_ANNOTATIONS,
    package,
    serialize,
    topic_of_type,
)
from maix_facemesh_ros.bags.storage import BagError, BagTopic
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.messages.annotations import image_annotations
from maix_facemesh_ros.messages.compressed_image import JPEG_FORMAT
from maix_facemesh_ros.messages.faces import serialized_faces
from maix_facemesh_ros.messages.transport_names import base_topic
from maix_facemesh_ros.offline.recordings import Camera
from maix_facemesh_ros.offline.segment_faces import ImageFaces

#: Of the node's private topics: those of a node that is called facemesh.
NODE = "facemesh"


@dataclass(frozen=True, slots=True)
class FaceTopics:
    """The topics that belong to a camera; None: not wanted."""

    faces: BagTopic
    annotations: BagTopic | None = None
    annotated: BagTopic | None = None

    def all(self) -> Iterator[BagTopic]:
        """Return the selected ones."""
        for topic in (self.faces, self.annotations, self.annotated):
            if topic is not None:
                yield topic

    def messages(
        self, image: ImageFaces, faces: Sequence[Face], jpeg: bytes | None
    ) -> Iterator[tuple[str, bytes]]:
        """Yield topic and data of the messages of an image.

        Args:
            image: the image and its faces.
            faces: in it.
            jpeg: with its faces drawn into it; None: it is not wanted.
        """
        yield (
            self.faces.name,
            serialized_faces(image.stamp, image.frame_id, image.size, faces),
        )
        if self.annotations is None and self.annotated is None:
            return
        stamp = package("builtin_interfaces").Time(**image.stamp._asdict())
        header = package("std_msgs").Header(stamp=stamp, frame_id=image.frame_id)
        if self.annotations is not None:
            annotations = image_annotations(package("foxglove_msgs"), header, faces)
            yield self.annotations.name, serialize(annotations)
        if self.annotated is not None and jpeg is not None:
            yield self.annotated.name, serialize(_compressed_image(header, jpeg))


def face_topics(
    cameras: Sequence[Camera], pattern: str, *, annotations: bool, annotated: bool
) -> list[FaceTopics]:
    """Return the topics of each camera.

    Args:
        cameras: of one recording.
        pattern: of the topic of the faces, with {namespace} and {topic} of the images; several
            cameras of one namespace get the last part of their topic's name too.
        annotations: whether ImageAnnotations are wanted.
        annotated: whether images with the faces drawn into them are.

    Raises:
        BagError: two cameras would have one topic.
    """
    bases = [base_topic(camera.topic) for camera in cameras]
    namespaces = [base.rpartition("/")[0] for base in bases]
    # image_left and image_right in one namespace: both are namespaces themselves.
    namespaces = [
        base if namespaces.count(namespace) > 1 else namespace
        for base, namespace in zip(bases, namespaces, strict=True)
    ]
    try:
        names = [
            pattern.format(namespace=namespace, topic=base)
            for base, namespace in zip(bases, namespaces, strict=True)
        ]
    except (KeyError, IndexError, ValueError) as error:
        raise BagError(
            f"--faces-topic is {pattern!r}: it may have {{namespace}} and {{topic}} in it"
        ) from error
    if len(set(names)) < len(names):
        raise BagError(
            f"--faces-topic {pattern!r} gives {len(names)} cameras the same topic: put "
            "{namespace} or {topic} into it"
        )
    return [
        FaceTopics(
            topic_of_type(name, FACE_ARRAY),
            topic_of_type(f"{namespace}/{NODE}/image_annotations", IMAGE_ANNOTATIONS)
            if annotations
            else None,
            topic_of_type(f"{namespace}/{NODE}/image_annotated/compressed", COMPRESSED_IMAGE)
            if annotated
            else None,
        )
        for name, namespace in zip(names, namespaces, strict=True)
    ]


def _compressed_image(header: Any, jpeg: bytes) -> Any:
    return package("sensor_msgs").CompressedImage(
        header=header,
        format=JPEG_FORMAT,
        data=np.frombuffer(jpeg, np.uint8),
    )

"""The topics on which the node publishes results: `faces` first, then those with subscribers."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence

from maix_facemesh_ros.backends.registry import FACE_SOURCES
from maix_facemesh_ros.image import ImageError
from maix_facemesh_ros.ros import diagnostic_keys as keys
from maix_facemesh_ros.ros.images import InputContext
from maix_facemesh_ros.ros.publishers.annotated_image import AnnotatedImage
from maix_facemesh_ros.ros.publishers.attention import AttentionOfResults, AttentionPublisher
from maix_facemesh_ros.ros.publishers.blurred_image import BlurredImage
from maix_facemesh_ros.ros.publishers.cloud import FaceCloud
from maix_facemesh_ros.ros.publishers.faces import FacePublisher
from maix_facemesh_ros.ros.publishers.interop import open_other_packages
from maix_facemesh_ros.ros.publishers.jpeg_image import JpegImages
from maix_facemesh_ros.ros.publishers.markers import FaceMarkers
from maix_facemesh_ros.ros.publishers.source_image import SourceImage
from maix_facemesh_ros.ros.publishers.tf_broadcaster import FaceFrames
from maix_facemesh_ros.ros.result import Result, ResultPublisher
from maix_facemesh_ros.ros.result_notices import ResultNotices

#: Seconds between two warnings of the same kind.
WARNING_INTERVAL = 5.0


class Outputs:
    """Publishes each result on all topics."""

    def __init__(self, context: InputContext, notices: ResultNotices, images_from: str) -> None:
        """Announce the topics.

        Args:
            context: parts of the node.
            notices: logs what is missing in results.
            images_from: topic or source, as it may be shown.
        """
        node, parameters = context.node, context.parameters
        self._logger = node.get_logger()
        self._diagnostics = context.diagnostics
        self._is_stopping = context.is_stopping
        self._notices = notices
        self._images_from = images_from
        self.faces = FacePublisher(node)
        attention = AttentionOfResults()
        annotated, blurred = AnnotatedImage(node), BlurredImage(node)
        #: Publishers of each result, after `faces`.
        self._views: Sequence[ResultPublisher] = (
            context.calibration,
            FaceFrames(node),
            FaceCloud(node),
            FaceMarkers(node, attention),
            AttentionPublisher(node, attention),
            *open_other_packages(node, parameters),
            annotated,
            blurred,
            *((SourceImage(node),) if parameters.source else ()),
        )
        #: Publishers of a MaixCAM's JPEGs, whose faces have been published before.
        self._jpeg_views: Sequence[ResultPublisher] = (
            (JpegImages(node, (annotated, blurred)),) if parameters.backend in FACE_SOURCES else ()
        )

    def publish(self, result: Result) -> None:
        """Publish the faces of one image, then the other subscribed topics."""
        if result.jpeg is not None:
            self._publish_to(self._jpeg_views, result, keys.JPEG_VIEWS)
            return
        started = time.perf_counter()
        self.faces.publish(result)
        self._diagnostics.answered(len(result.faces))
        self._diagnostics.took({keys.PUBLISH: time.perf_counter() - started})
        self._notices.note(result)
        self._publish_to(self._views, result, keys.VIEWS)

    def _publish_to(self, publishers: Sequence[ResultPublisher], result: Result, step: str) -> None:
        """Publish to each; the image has been answered, whatever is wrong here."""
        started = time.perf_counter()
        for publisher in publishers:
            try:
                publisher.publish(result)
            except ImageError as error:
                self._logger.warning(
                    f"a JPEG of {self._images_from} cannot be used: {error}",
                    throttle_duration_sec=WARNING_INTERVAL,
                )
            except Exception:
                if not self._is_stopping():
                    self._logger.error(
                        f"publishing markers, tf or images failed: {traceback.format_exc()}",
                        throttle_duration_sec=WARNING_INTERVAL,
                    )
        self._diagnostics.took({step: time.perf_counter() - started})

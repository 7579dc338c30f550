"""Plays a bag into facemesh_node as a command line of `facemesh_replay` asks, and reports."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import rclpy.utilities
from rclpy.node import Node

from maix_facemesh_ros.backends.registry import FACE_SOURCES
from maix_facemesh_ros.bags.faces_bag import FacesBag
from maix_facemesh_ros.bags.message_types import FACE_ARRAY
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.bags.storage import BagError, BagMessage, BagTopic
from maix_facemesh_ros.image import ImageError
from maix_facemesh_ros.offline.options import FACES_TOPIC
from maix_facemesh_ros.offline.output_topics import face_topics
from maix_facemesh_ros.offline.recorded_bag import RecordedBag
from maix_facemesh_ros.offline.recordings import Camera, NoImagesError
from maix_facemesh_ros.parameters import NodeParameters, ParameterError
from maix_facemesh_ros.parameters.files import given_parameters
from maix_facemesh_ros.progress import progress_of_images
from maix_facemesh_ros.ros.dds_profile import shared_memory_environment
from maix_facemesh_ros.ros.messages import read_faces
from maix_facemesh_ros.ros.node_process import StartError, end_node, initialize_ros
from maix_facemesh_ros.ros.replay.golden import GoldenCheck, GoldenFaces
from maix_facemesh_ros.ros.replay.nodes import (
    AnsweringNode,
    ReplayError,
    node_arguments,
    started,
    wait_for_nodes,
)
from maix_facemesh_ros.ros.replay.player import BagPlayer, Outcome
from maix_facemesh_ros.ros.replay.tolerances import Tolerances
from maix_facemesh_ros.wording import counted

#: Exit codes other than 0, which means equal faces, or no comparison. argparse exits
#: with 2 too, and so does a fault of this program: only faces that differ end with 1.
DIFFERENT, FAILED, NO_IMAGES, INTERRUPTED = 1, 2, 3, 130

#: Topics with several publishers; the recorded messages are played although the node publishes too.
SHARED_TOPICS = ("/tf", "/tf_static")


def run(options: argparse.Namespace, ros_arguments: list[str]) -> int:
    """Play a bag; returns the exit code.

    Args:
        options: the command line, parsed by `main`.
        ros_arguments: those for rclpy.
    """
    interruption = _Interruption()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # As nohup sets it.
            signal.signal(number, interruption.make)
    try:
        with ExitStack() as stack:
            return _replay(options, ros_arguments, interruption, stack)
    except NoImagesError as error:
        print(f"facemesh_replay: {error}", file=sys.stderr)
        return NO_IMAGES
    except (BagError, ImageError, ParameterError, ReplayError, StartError) as error:
        print(f"facemesh_replay: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:
        # Python would end with 1, as if the faces differed.
        traceback.print_exc()
        print("facemesh_replay: a fault of this program, see above", file=sys.stderr)
        return FAILED


class _Interruption:
    """Handles SIGTERM, and SIGHUP of a terminal that is closed, like Ctrl-C.

    Python drops an exception that is raised in a destructor, or in a callback of C; so it is raised
    again by `check`.
    """

    def __init__(self) -> None:
        self._is_made = False

    def make(self, _signal: int, _frame: FrameType | None) -> None:
        self._is_made = True
        raise KeyboardInterrupt

    def check(self) -> None:
        if self._is_made:
            raise KeyboardInterrupt


def _replay(
    options: argparse.Namespace,
    ros_arguments: list[str],
    interruption: _Interruption,
    stack: ExitStack,
) -> int:
    """Play a bag; `stack` frees what is opened."""
    parameter_file = _parameter_file(options, stack)
    bag = stack.enter_context(Bag(options.bag))
    topics = [topic for topic in bag.topics if topic.name not in options.exclude_topics]
    images = [
        topic for topic in _image_topics(options, bag) if topic.name not in options.exclude_topics
    ]
    if not images:
        raise NoImagesError(f"{options.bag}: --exclude-topics leaves no images to play")
    golden = stack.enter_context(GoldenFaces(options.check)) if options.check else None
    os.environ.update(shared_memory_environment())
    initialize_ros(ros_arguments)
    stack.callback(rclpy.utilities.try_shutdown)
    node = Node("facemesh_replay", start_parameter_services=False)
    stack.callback(end_node, node)
    # Closed before the node ends, which may end the process.
    inputs = [path for path in (options.bag, options.check) if path]
    record = stack.enter_context(FacesBag(options.record, inputs)) if options.record else None
    to_start = _nodes(options, node, images, parameter_file) if options.start_node else []
    player = _player(options, to_start, topics, images, node, interruption, stack)
    _tell_what_is_played(topics, player)
    golden_topics = golden.topic_for([c.node.faces for c in player.cameras]) if golden else {}
    player.meet(_first_messages(bag, player))
    _check_other_publishers(node, player)
    code = 0
    for number in range(options.loop) if options.loop else count():
        checks = {
            faces: GoldenCheck(
                golden.on(topic), _tolerances(options), new_ids=number > 0 or not options.start_node
            )
            for faces, topic in golden_topics.items()
            if golden
        }
        results = _play_once(player, bag, checks, record)
        # Once more: the graph may not have been known as a whole before.
        _check_other_publishers(node, player)
        code = code or _report(player, results, checks)
        if bag.damage:
            print(f"{bag.path}: {bag.damage}")
    return code


def _player(
    options: argparse.Namespace,
    to_start: Sequence[Sequence[str]],
    topics: Sequence[BagTopic],
    images: Sequence[BagTopic],
    node: Node,
    interruption: _Interruption,
    stack: ExitStack,
) -> BagPlayer:
    """Return a player for the running nodes, or those started with these arguments."""
    processes = stack.enter_context(started(to_start))

    def check() -> None:
        interruption.check()
        for process in processes:
            if process.poll() is not None:
                raise ReplayError(f"the node ended with {process.returncode}: see above")

    full_names = {node.resolve_topic_name(topic.name): topic for topic in images}
    nodes = wait_for_nodes(
        node,
        {name: topic.type for name, topic in full_names.items()},
        every_one=bool(options.start_node or options.topics),
        started_here=options.start_node,
        timeout=options.timeout,
        check=check,
    )
    played = [topic for topic in topics if _is_played(topic, node, nodes.values())]
    for name, answering in nodes.items():
        if full_names[name] not in played:
            raise ReplayError(
                f"{answering.name} publishes {name} itself: play the images under another name "
                "with --remap, or leave the topic out of --topics"
            )
    return BagPlayer(
        node,
        played,
        {full_names[name]: answering for name, answering in nodes.items()},
        rate=options.rate,
        clock_rate=options.clock,
        timeout=options.timeout,
        check=check,
    )


def _play_once(
    player: BagPlayer, bag: Bag, checks: Mapping[str, GoldenCheck], record: FacesBag | None
) -> Counter[tuple[Outcome, str]]:
    """Play the bag; returns how many images had which outcome, with its words for the report."""
    results: Counter[tuple[Outcome, str]] = Counter()
    total = sum(camera.topic.message_count for camera in player.cameras)
    with progress_of_images(total, quiet=False) as progress:
        for image in player.play(bag.messages(player.topics.names)):
            results[image.outcome, image.text] += 1
            if record and image.answer:
                record.write(image.faces, image.log_time, image.answer)
            if check := checks.get(image.faces):
                answer = image.answer and read_faces(image.answer)
                check.image(image.stamp, answer, image.text)
            progress(1)
    return results


def _report(
    player: BagPlayer,
    results: Counter[tuple[Outcome, str]],
    checks: Mapping[str, GoldenCheck],
) -> int:
    """Print the results; returns the exit code.

    Raises:
        NoImagesError: the nodes could not use a single image.
        ReplayError: they answered none for another reason.
    """
    counts = [f"{number} {text}" for (_, text), number in results.most_common()]
    outcomes = {outcome for outcome, _ in results}
    print(f"{counted(results.total(), 'image')} played: {', '.join(counts)}", flush=True)
    if Outcome.ANSWERED not in outcomes:
        refused = outcomes <= {Outcome.REFUSED}
        raise (NoImagesError if refused else ReplayError)("no image was processed")
    if sent_again := sum(camera.sent_again for camera in player.cameras):
        print(f"lost in transport and sent again: {counted(sent_again, 'image')}")
    if Outcome.DROPPED in outcomes:
        print("without --rate no image is dropped")
    for faces, check in checks.items():
        check.finish()
        print(f"{faces}: {check.verdict} the golden faces")
        print("\n".join(f"  {line}" for line in check.report()), flush=True)
    if any(check.differs for check in checks.values()):
        return DIFFERENT
    all_compared = all(check.passed for check in checks.values())
    return 0 if all_compared and Outcome.NOT_SENT not in outcomes else FAILED


def _parameter_file(options: argparse.Namespace, stack: ExitStack) -> Path:
    """Write what --params-file and -p give into one file for the nodes that are started here.

    The files may be for a node of another name or namespace, as those of `ros2 param dump` are.

    Raises:
        ParameterError: a parameter is unknown, or its value is wrong.
        ReplayError: the parameters are for a node that does not process images.
    """
    # The images come from the recording, whatever the node read when its parameters were dumped.
    values = {**given_parameters(options.params_file, options.param), "source": ""}
    backend = NodeParameters.from_values(values).backend
    if backend in FACE_SOURCES:
        raise ReplayError(
            f"backend is {backend!r}, which does not process images: give auto, onnx or maix"
        )
    folder = stack.enter_context(TemporaryDirectory(prefix="facemesh_replay_"))
    file = Path(folder, "parameters.yaml")
    # JSON is YAML with all strings quoted: ROS and PyYAML parse numbers differently.
    file.write_text(json.dumps({"/**": {"ros__parameters": values}}))
    return file


def _nodes(
    options: argparse.Namespace, node: Node, images: Sequence[BagTopic], parameter_file: Path
) -> list[list[str]]:
    """Return the arguments that start a node for each camera."""
    clock = ["use_sim_time:=true"] if options.clock else []
    names = [node.resolve_topic_name(topic.name) for topic in images]
    topics = face_topics(
        [Camera(name) for name in names], FACES_TOPIC, annotations=False, annotated=False
    )
    return [
        node_arguments(name, topic.type, of_camera.faces.name, clock, [str(parameter_file)])
        for name, topic, of_camera in zip(names, images, topics, strict=True)
    ]


def _is_played(topic: BagTopic, node: Node, nodes: Iterable[AnsweringNode]) -> bool:
    """Whether a topic is to be published: not if the nodes do it, as nothing would fit then."""
    name = node.resolve_topic_name(topic.name)
    published = {name for answering in nodes for name in answering.publishes}
    return topic.type != FACE_ARRAY and (name in SHARED_TOPICS or name not in published)


def _tell_what_is_played(topics: Sequence[BagTopic], player: BagPlayer) -> None:
    for camera in player.cameras:
        print(f"{camera.topic.name} is answered by {camera.node.name} on {camera.node.faces}")
    for topic in topics:
        if topic.name in player.topics.left_out:
            print(f"{topic.name} is not played: {player.topics.left_out[topic.name]}")
        elif topic.name not in player.topics.names:
            print(f"{topic.name} is not played: the node publishes such messages")
    sys.stdout.flush()


def _check_other_publishers(node: Node, player: BagPlayer) -> None:
    """Make sure that no images come in between.

    Raises:
        ReplayError: another node publishes images.
    """
    for camera in player.cameras:
        others = {
            publisher.node_name
            for publisher in node.get_publishers_info_by_topic(camera.node.images)
        } - {node.get_name()}
        if others:
            raise ReplayError(
                f"{', '.join(others)} publishes images on {camera.node.images} too: stop it, "
                "use a separate ROS_DOMAIN_ID, or publish under another name with --remap"
            )


def _first_messages(bag: Bag, player: BagPlayer) -> list[BagMessage]:
    """Return the first message on each topic that the nodes need."""
    return [
        message for topic in player.needed_topics for message in islice(bag.messages([topic]), 1)
    ]


def _tolerances(options: argparse.Namespace) -> Tolerances:
    return Tolerances(**{field.name: getattr(options, field.name) for field in fields(Tolerances)})


def _image_topics(options: argparse.Namespace, bag: Bag) -> list[BagTopic]:
    """Return the topics whose images are to be answered; for a node that runs, those that may be.

    Raises:
        BagError: a topic of --topics is not one of images.
        NoImagesError: there are none.
    """
    recording = RecordedBag(bag.path, options.topics)
    recording.close()
    for note in recording.notes:
        print(f"{bag.path}: {note}")
    topics = [bag.topic(camera.topic) for camera in recording.cameras]
    # A node that runs may be one for the topic that would not be chosen here.
    return topics if options.start_node else [*topics, *recording.alternatives]

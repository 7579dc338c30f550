"""`facemesh_replay`: plays a bag into facemesh_node and compares its faces with golden ones."""

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
from tqdm import tqdm

from maix_facemesh_ros.backends.registry import FACE_SOURCES
from maix_facemesh_ros.bags.message_types import FACE_ARRAY
from maix_facemesh_ros.bags.output_folder import FacesBag
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.bags.storage import BagError, BagMessage, BagTopic
from maix_facemesh_ros.image import ImageError
from maix_facemesh_ros.offline.outputs import FACES_TOPIC, face_topics
from maix_facemesh_ros.offline.recordings import Camera, NoImagesError, RecordedBag
from maix_facemesh_ros.parameters import NodeParameters, ParameterError
from maix_facemesh_ros.parameters.files import given_parameters
from maix_facemesh_ros.ros.dds_profile import shared_memory_environment
from maix_facemesh_ros.ros.messages import read_faces
from maix_facemesh_ros.ros.node_process import StartError, end_node, initialize_ros
from maix_facemesh_ros.ros.replay.golden import GoldenCheck, GoldenFaces, Tolerances
from maix_facemesh_ros.ros.replay.nodes import (
    AnsweringNode,
    ReplayError,
    command_for,
    started,
    wait_for_nodes,
)
from maix_facemesh_ros.ros.replay.player import BagPlayer, Outcome

#: Exit codes other than 0, which means equal faces, or no comparison. argparse exits
#: with 2 too, and so does a fault of this program: only faces that differ end with 1.
DIFFERENT, FAILED, NO_IMAGES, INTERRUPTED = 1, 2, 3, 130

#: From here on the command line is for ROS.
ROS_ARGUMENTS = "--ros-args"

#: Topics with several publishers; the recorded messages are played although the node publishes too.
SHARED_TOPICS = ("/tf", "/tf_static")

#: The values that each tolerance applies to.
TOLERANCES = {
    "pixels": "boxes, points and depths, in pixels",
    "scores": "scores",
    "distances": "3D positions, as a fraction of the distance from the camera",
    "degrees": "head and gaze directions, in degrees",
}
TOLERANCE = Tolerances()


def main(arguments: Sequence[str] | None = None) -> int:
    """Play a bag with the options of the command line; returns the exit code."""
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    # Not by rclpy: it would parse `-p name:=value`, which is for the node, as a remap.
    own = given[: given.index(ROS_ARGUMENTS)] if ROS_ARGUMENTS in given else given
    parser = _parser()
    options = parser.parse_args(own)
    _check_options(parser, options)
    signal.signal(signal.SIGTERM, _end)
    remaps = [part for rule in options.remap for part in ("-r", rule)]
    try:
        with ExitStack() as stack:
            return _replay(options, [*given[len(own) :], ROS_ARGUMENTS, *remaps], stack)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facemesh_replay",
        description="Play a bag into facemesh_node. Each image is published when the faces of the "
        "previous image have arrived: no image is dropped, and every run gives the same faces.",
        epilog="Exit code: 0: all faces are equal, or no --check; 1: faces differ from the golden "
        "ones; 2: no comparison, because the bag, the node or this program failed; 3: no usable "
        "image; 130: interrupted.",
    )
    parser.add_argument("bag", type=Path, help="bag: folder or file")
    playing = parser.add_argument_group("playing")
    playing.add_argument(
        "--rate",
        type=_positive,
        metavar="R",
        help="play in real time; 1: as recorded, 2: twice as fast; the node may then drop images",
    )
    playing.add_argument(
        "--clock",
        type=_positive,
        nargs="?",
        const=40.0,
        metavar="HZ",
        help="publish the bag's time on /clock; HZ: its rate with --rate (default: 40)",
    )
    playing.add_argument(
        "--loop",
        type=_whole,
        nargs="?",
        const=0,
        default=1,
        metavar="N",
        help="play the bag N times; without N endlessly",
    )
    playing.add_argument(
        "--exclude-topics", nargs="+", default=[], metavar="TOPIC", help="do not play these topics"
    )
    playing.add_argument(
        "-m",
        "--remap",
        nargs="+",
        default=[],
        metavar="OLD:=NEW",
        help="publish topics under other names",
    )
    nodes = parser.add_argument_group(
        "node", "Without --start-node: a node that is already running."
    )
    nodes.add_argument("--start-node", action="store_true", help="start one node per camera")
    nodes.add_argument(
        "--topics",
        nargs="+",
        default=[],
        metavar="TOPIC",
        help="image topics to process (default: all that a node subscribes to; with --start-node "
        "all images except depth images)",
    )
    nodes.add_argument(
        "-p", "--param", action="append", default=[], metavar="NAME:=VALUE", help="parameter"
    )
    nodes.add_argument(
        "--params-file",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="parameter file (YAML), such as one of ros2 param dump",
    )
    nodes.add_argument(
        "--timeout",
        type=_positive,
        default=60.0,
        metavar="SECONDS",
        help="maximum time to wait for the node, and for the faces of an image (default: 60)",
    )
    faces = parser.add_argument_group("faces")
    faces.add_argument("--record", type=Path, metavar="BAG", help="write the faces to a new bag")
    faces.add_argument(
        "--check", type=Path, metavar="BAG", help="compare the faces with those in a bag"
    )
    for field in fields(Tolerances):
        faces.add_argument(
            f"--{field.name}",
            type=float,
            default=getattr(TOLERANCE, field.name),
            metavar="TOLERANCE",
            help=f"with --check: tolerance of {TOLERANCES[field.name]} "
            f"(default: {getattr(TOLERANCE, field.name):g})",
        )
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is out of range: give a number above 0")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range: give 1 or more")
    return value


def _check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with an error if options contradict each other."""
    for name in ("param", "params_file"):
        if getattr(options, name) and not options.start_node:
            parser.error(f"--{name.replace('_', '-')} needs --start-node")
    if options.loop == 0 and (options.check or options.record):
        parser.error("--loop without a number cannot be used with --check or --record")
    if options.loop != 1 and options.record:
        parser.error("--record writes the faces of one pass: remove --loop")


def _end(_signal: int, _frame: FrameType | None) -> None:
    """Handle SIGTERM like Ctrl-C, which also stops the started nodes."""
    raise KeyboardInterrupt


def _replay(options: argparse.Namespace, ros_arguments: list[str], stack: ExitStack) -> int:
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
    commands = _commands(options, node, images, parameter_file) if options.start_node else []
    player = _player(options, commands, topics, images, node, stack)
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
    commands: Sequence[Sequence[str]],
    topics: Sequence[BagTopic],
    images: Sequence[BagTopic],
    node: Node,
    stack: ExitStack,
) -> BagPlayer:
    """Return a player for the running nodes, or those started with these commands."""
    processes = stack.enter_context(started(commands))

    def check_processes() -> None:
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
        check=check_processes,
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
        check=check_processes,
    )


def _play_once(
    player: BagPlayer, bag: Bag, checks: Mapping[str, GoldenCheck], record: FacesBag | None
) -> Counter[tuple[Outcome, str]]:
    """Play the bag; returns how many images had which outcome, with its words for the report."""
    results: Counter[tuple[Outcome, str]] = Counter()
    total = sum(camera.topic.message_count for camera in player.cameras)
    # None: no bar without a terminal, as in a log.
    with tqdm(total=total, unit=" images", dynamic_ncols=True, disable=None) as bar:
        for image in player.play(bag.messages(player.topics.names)):
            results[image.outcome, image.text] += 1
            if record and image.answer:
                record.write(image.faces, image.log_time, image.answer)
            if check := checks.get(image.faces):
                answer = image.answer and read_faces(image.answer)
                check.image(image.stamp, answer, image.text)
            bar.update()
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
    print(f"{results.total()} images played: {', '.join(counts)}", flush=True)
    if Outcome.ANSWERED not in outcomes:
        refused = outcomes <= {Outcome.REFUSED}
        raise (NoImagesError if refused else ReplayError)("no image was processed")
    if sent_again := sum(camera.sent_again for camera in player.cameras):
        print(f"{sent_again} images were lost in transport and sent again")
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


def _commands(
    options: argparse.Namespace, node: Node, images: Sequence[BagTopic], parameter_file: Path
) -> list[list[str]]:
    """Return the commands that start a node for each camera."""
    clock = ["use_sim_time:=true"] if options.clock else []
    names = [node.resolve_topic_name(topic.name) for topic in images]
    topics = face_topics(
        [Camera(name) for name in names], FACES_TOPIC, annotations=False, annotated=False
    )
    return [
        command_for(name, of_camera.faces.name, clock, [str(parameter_file)])
        for name, of_camera in zip(names, topics, strict=True)
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


if __name__ == "__main__":
    sys.exit(main())

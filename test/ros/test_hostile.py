"""What the node has to bear: 10,000 hostile messages, and 1,000 hostile sets of parameters.

Each message goes to a running node over DDS, and once more straight into what the node does with a
message, because a node takes the latest image only and so need not process all of them.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import struct
import time
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue, SetParametersResult
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.image import Image, ImageError, Pixels
from maix_facemesh_ros.messages.encodings import ENCODINGS
from maix_facemesh_ros.messages.image import read_compressed_image, read_image
from maix_facemesh_ros.parameters import NodeParameters, parameters_of
from running_node import NodeProcess, Robot, StartNode, double, image_message, integer, stamp_of

pytest_plugins = ["running_node"]

RAW, COMPRESSED = 7000, 3000
PARAMETER_SETS = 1000

#: What memory may grow by after the first half when it is flat: several times of what is seen.
#: Keeping every message would be more than twice as much.
MEMORY_SLACK = 4 * 2**20

#: The log takes one line of a kind in this number of seconds, and none longer than this.
WARNING_INTERVAL = 5.0
LONGEST_REASON = 1000

HUGE = (0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x10000, 0x8000)

Random = np.random.Generator


def hostile_image(random: Random) -> tuple[str, bytes]:
    """Return a serialized sensor_msgs/Image that is wrong, and in what way."""
    kind = _any(random, list(_IMAGE_KINDS))
    return kind, _IMAGE_KINDS[kind](random)


def hostile_compressed_image(random: Random) -> tuple[str, bytes]:
    """Return a serialized sensor_msgs/CompressedImage that is wrong, and in what way."""
    kind = _any(random, list(_COMPRESSED_KINDS))
    return kind, _COMPRESSED_KINDS[kind](random)


def _any(random: Random, choices: Any) -> Any:
    return choices[random.integers(len(choices))]


def _bytes(random: Random, most: int) -> bytes:
    """Return at least one byte: DDS does not send a message of none."""
    return random.bytes(int(random.integers(1, most + 1)))


def _image(**fields: Any) -> bytes:
    """Return a serialized image of 96x64 pixels with some fields changed."""
    message = ImageMessage(height=64, width=96, encoding="rgb8", step=96 * 3)
    message.header.frame_id = "hostile"
    message.data = array("B", _PIXELS)
    for name, value in fields.items():
        setattr(message, name, value)
    return bytes(serialize_message(message))


_PIXELS = np.random.default_rng(5).bytes(64 * 96 * 3)


def _zero_size(random: Random) -> bytes:
    return _image(**_any(random, [{"height": 0}, {"width": 0}, {"width": 0, "height": 0}]))


def _huge_size(random: Random) -> bytes:
    names = _any(random, [("width",), ("height",), ("width", "height"), ("width", "step")])
    return _image(
        **{name: _any(random, HUGE) for name in names}, encoding=_any(random, list(ENCODINGS))
    )


def _too_long_a_side(random: Random) -> bytes:
    """An image that is all there, but longer than OpenCV can crop from."""
    length = int(random.integers(32767, 100_000))
    width, height = _any(random, [(length, 1), (1, length)])
    return _image(width=width, height=height, step=width * 3, data=array("B", bytes(length * 3)))


def _short_data(random: Random) -> bytes:
    return _image(data=array("B", random.bytes(int(random.integers(len(_PIXELS))))))


def _wrong_step(random: Random) -> bytes:
    return _image(step=_any(random, [0, 1, 287, 289, 576, 96, *HUGE]))


def _unknown_encoding(random: Random) -> bytes:
    text = _bytes(random, 20).decode("latin-1").replace("\0", "")
    names = [
        "",
        "32FC1",
        "64FC4",
        "rgb16",
        "RGB8",
        "rgb8 ",
        "jpeg",
        "rgb8\n[ERROR] fire",
        "x" * 5000,
    ]
    return _image(encoding=_any(random, [f"?{text}", *names]))


def _odd_size(random: Random) -> bytes:
    """Colors that lie two by two, in images of odd sizes."""
    name = _any(random, ["yuv422", "yuyv", "nv12", "nv21", "bayer_rggb8", "bayer_gbrg16"])
    width, height = (int(random.integers(1, 4)) for _ in range(2))
    return _image(encoding=name, width=width, height=height, step=width * 4)


def _random_bytes(random: Random) -> bytes:
    return _bytes(random, 2000)


def _random_after_header(random: Random) -> bytes:
    return bytes(_any(random, [b"\0\1\0\0", b"\0\0\0\0"])) + _bytes(random, 2000)


def _cut_short(random: Random) -> bytes:
    good = _image()
    return good[: random.integers(1, len(good))]


def _damaged(random: Random) -> bytes:
    """Some of the bytes before the pixels are others."""
    message = bytearray(_image())
    for place in random.integers(0, 60, random.integers(1, 6)):
        message[place] = random.integers(256)
    return bytes(message)


_IMAGE_KINDS: dict[str, Callable[[Random], bytes]] = {
    "zero size": _zero_size,
    "huge size": _huge_size,
    "too long a side": _too_long_a_side,
    "short data": _short_data,
    "wrong step": _wrong_step,
    "unknown encoding": _unknown_encoding,
    "odd size": _odd_size,
    "random bytes": _random_bytes,
    "random after header": _random_after_header,
    "cut short": _cut_short,
    "damaged": _damaged,
}

#: Kinds that can leave an image: other colors, or fewer bytes than there were.
_SOMETIMES_GOOD = {
    *("wrong step", "odd size", "damaged"),
    *("cut JPEG", "damaged JPEG", "damaged PNG", "lying JPEG"),
}


def _compressed(data: bytes, name: str = "jpeg") -> bytes:
    return bytes(serialize_message(CompressedImage(format=name, data=array("B", data))))


def _encoded(extension: str) -> bytes:
    pixels: Pixels = np.frombuffer(_PIXELS, np.uint8).reshape(64, 96, 3)
    return bytes(cv2.imencode(extension, pixels)[1].tobytes())


def _some_other(data: bytes, random: Random, first: int = 0) -> bytes:
    changed = bytearray(data)
    for place in random.integers(first, len(data), random.integers(1, 30)):
        changed[place] = random.integers(256)
    return bytes(changed)


#: Where the width and height of a PNG end. OpenCV makes room for what they say before it looks.
_PNG_SIZE_END = 24


def _lying_jpeg(random: Random) -> bytes:
    """A JPEG whose header tells of another size."""
    data = bytearray(_encoded(".jpg"))
    size = data.find(b"\xff\xc0") + 5
    data[size : size + 4] = struct.pack(">HH", *(_any(random, [0, 1, 65535]) for _ in range(2)))
    return _compressed(bytes(data))


def _lying_png(random: Random) -> bytes:
    """A PNG whose header tells of a size that its few bytes cannot have."""
    sides = [_any(random, [0, 20_000, 1_000_000, 2**31 - 1]) for _ in range(2)]
    return _compressed(
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", struct.pack(">IIBBBBB", *sides, 8, 2, 0, 0, 0))
        + _png_chunk(b"IDAT", zlib.compress(bytes(100)))
        + _png_chunk(b"IEND", b""),
        "png",
    )


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _no_image(random: Random) -> bytes:
    return _compressed(
        _any(random, [b"", b"\xff\xd8", b"GIF89a", b"BM", b"RIFF", _bytes(random, 2000)]),
        _any(random, ["", "jpeg", "rgb8; jpeg compressed bgr8", "h264", "x" * 5000]),
    )


_COMPRESSED_KINDS: dict[str, Callable[[Random], bytes]] = {
    "cut JPEG": lambda random: _compressed(
        _encoded(".jpg")[: random.integers(len(_encoded(".jpg")))]
    ),
    "damaged JPEG": lambda random: _compressed(_some_other(_encoded(".jpg"), random)),
    "damaged PNG": lambda random: _compressed(
        _some_other(_encoded(".png"), random, _PNG_SIZE_END), "png"
    ),
    "lying JPEG": _lying_jpeg,
    "lying PNG": _lying_png,
    "no image": _no_image,
    "random bytes": _random_bytes,
    "random after header": _random_after_header,
    "cut message": lambda random: (message := _compressed(_encoded(".jpg")))[
        : random.integers(1, len(message))
    ],
}


@pytest.mark.parametrize(
    ("hostile", "read", "count"),
    [
        (hostile_image, read_image, RAW),
        (hostile_compressed_image, read_compressed_image, COMPRESSED),
    ],
    ids=["raw", "compressed"],
)
def test_every_hostile_message_is_refused_with_a_reason_or_is_a_image(
    hostile: Callable[[Random], tuple[str, bytes]],
    read: Callable[[bytes], Image],
    count: int,
) -> None:
    random = np.random.default_rng(3)
    refused, used = Counter[str](), Counter[str]()
    with FaceMesh(detector="short_range") as mesh:
        for _ in range(count):
            kind, message = hostile(random)
            try:
                image = read(message)
                mesh.process(image, 0.0)
                used[kind] += 1
            except ImageError as error:
                assert 0 < len(str(error)) < LONGEST_REASON, kind
                assert "\n" not in str(error).rstrip(), f"{kind}: {error}"
                refused[kind] += 1
    assert set(used) <= _SOMETIMES_GOOD, used
    kinds = _IMAGE_KINDS if hostile is hostile_image else _COMPRESSED_KINDS
    assert set(refused) == set(kinds), "each kind is refused at least once"


@pytest.mark.parametrize(
    ("transport", "hostile", "count"),
    [("raw", hostile_image, RAW), ("compressed", hostile_compressed_image, COMPRESSED)],
)
def test_a_node_under_hostile_messages_lives_and_answers_the_next_good_image(
    start: StartNode,
    robot: Robot,
    astronaut: Pixels,
    monkeypatch: pytest.MonkeyPatch,
    transport: str,
    hostile: Callable[[Random], tuple[str, bytes]],
    count: int,
) -> None:
    """All are sent reliably with room to wait, so that the node gets every one of them."""
    # What is in use shall be seen, and not what glibc keeps for later.
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(2**20))
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", str(2**20))
    topic, message_type = {
        "raw": ("image_raw", ImageMessage),
        "compressed": ("image_raw/compressed", CompressedImage),
    }[transport]
    overrides = f"qos_overrides./{topic}.subscription"
    node = start(
        f"image_transport:={transport}",
        "detector:=short_range",
        f"{overrides}.reliability:=reliable",
        f"{overrides}.depth:=500",
    )
    images = robot.create_publisher(message_type, topic, QoSProfile(depth=500))
    robot.wait_until(lambda: images.get_subscription_count() > 0, "subscription of the node")
    random = np.random.default_rng(4)
    began = time.monotonic()

    def send(number: int) -> None:
        for _ in range(number):
            images.publish(hostile(random)[1])
            robot.executor_of_test.spin_once(timeout_sec=0.0004)

    # The networks take their memory at their first run, whenever something is taken for a face.
    first = message_of(astronaut, transport)
    first.header.stamp.sec = 5
    images.publish(first)
    robot.wait_until(lambda: bool(robot.answers), "answer to a good image")
    send(count // 2)
    robot.spin_for(1.0)
    warm = node.memory()
    send(count - count // 2)
    robot.wait_until(lambda: _settled(robot, count), f"sign of {count} messages")
    grown = node.memory() - warm
    seconds = time.monotonic() - began

    good = message_of(astronaut, transport)
    images.publish(good)
    robot.wait_until(lambda: any(stamp_of(answer) == (7, 8) for answer in robot.answers), "answer")
    assert len(next(a for a in robot.answers if stamp_of(a) == (7, 8)).faces) == 1
    assert node.process.poll() is None
    print(f"{transport}: {count} messages in {seconds:.1f} s, {grown / 2**20:+.1f} MiB")
    assert grown < MEMORY_SLACK
    _check_what_the_node_says(node, robot.diagnostics[-1], seconds)


def _settled(robot: Robot, count: int) -> bool:
    """Whether next to every message has arrived, and each has been answered or refused.

    Even a reliable publisher drops its oldest when the node cannot take 500 at once.
    """
    if len(robot.diagnostics) < 2:
        return False
    arrived, answered, not_answered = (
        int(robot.diagnostics[-1].get(f"pictures {what}", 0))
        for what in ("arrived", "answered", "not answered")
    )
    at_rest = str(arrived) == robot.diagnostics[-2].get("pictures arrived")
    return at_rest and arrived > 0.9 * count and arrived == answered + not_answered


def _check_what_the_node_says(
    node: NodeProcess, diagnostics: dict[str, str], seconds: float
) -> None:
    """Nothing was a fault of the node, and the log is not flooded."""
    reasons = {
        key.removeprefix("not answered: "): int(value)
        for key, value in diagnostics.items()
        if key.startswith("not answered: ")
    }
    print(f"arrived {diagnostics['pictures arrived']}, not answered: {reasons}")
    assert sum(reasons.values()) == int(diagnostics["pictures not answered"])
    assert reasons["an image that cannot be used"] > 0
    assert not [reason for reason in reasons if "fault" in reason], node.output()
    warnings = re.findall(r"not used: (\S.*)", node.output())
    assert 1 <= len(warnings) <= 2 + seconds / WARNING_INTERVAL
    assert max(len(warning) for warning in warnings) < LONGEST_REASON


def message_of(image: Pixels, transport: str) -> ImageMessage | CompressedImage:
    """Return a good image as a message, with the stamp (7, 8)."""
    raw = image_message(image)
    if transport == "raw":
        return raw
    data = cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))[1].tobytes()
    return CompressedImage(header=raw.header, format="png", data=array("B", data))


def hostile_parameters(random: Random) -> list[Parameter]:
    """Return a set of parameters of which some may be good."""
    return [_hostile_parameter(random) for _ in range(random.integers(1, 5))]


def _hostile_parameter(random: Random) -> Parameter:
    parameter = _any(random, parameters_of(NodeParameters))
    chance = random.random()
    if chance < 0.1:
        return Parameter(name=_any(random, _OTHER_NAMES), value=_any(random, _VALUES))
    if chance < 0.4:
        return Parameter(name=parameter.name, value=_any(random, _VALUES))
    fitting = [value for value in _VALUES if value.type == _TYPES[type(parameter.default)]]
    return Parameter(name=parameter.name, value=_any(random, fitting))


def text(value: str) -> ParameterValue:
    return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)


def boolean(value: bool) -> ParameterValue:
    return ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value)


def indices(*values: int) -> ParameterValue:
    return ParameterValue(
        type=ParameterType.PARAMETER_INTEGER_ARRAY, integer_array_value=list(values)
    )


_OTHER_NAMES = (
    *("unknown", "detect_conf", "a.b", "ä", "n" * 2000, " ", "/"),
    *("use_sim_time", "qos_overrides./image_raw.subscription.depth"),
)
_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
    tuple: ParameterType.PARAMETER_INTEGER_ARRAY,
}
_VALUES = [
    ParameterValue(),
    *(boolean(value) for value in (True, False)),
    *(double(value) for value in (math.nan, math.inf, -math.inf, -0.1, 1.1, 1e308, 5e-324)),
    *(double(value) for value in (0.1, 0.3, 0.5, 0.7, 1.0)),
    *(integer(value) for value in (-1, 2**31, 2**63 - 1, -(2**63), 0, 1, 2, 68, 478)),
    *(text(value) for value in ("0.5", "nan", "x" * 100_000, "\n", "ä" * 100, "yunet", "'; --")),
    *(text(value) for value in ("", "off", "one_euro", "auto", "onnx", "raw")),
    *(indices(*values) for values in ((), (1, 2, 3), (-1,), (478,), (0, 2**62), [1] * 3000)),
    ParameterValue(type=ParameterType.PARAMETER_BYTE_ARRAY, byte_array_value=[b"a", b"\0"]),
    ParameterValue(type=ParameterType.PARAMETER_BOOL_ARRAY, bool_array_value=[True]),
    ParameterValue(type=ParameterType.PARAMETER_DOUBLE_ARRAY, double_array_value=[math.nan]),
    ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=["1", ""]),
]


def _declared(given: ParameterValue, before: ParameterValue) -> ParameterValue:
    """Return a value in the parameter's own type: a double keeps its type when it is given 1."""
    if (before.type, given.type) == (
        ParameterType.PARAMETER_DOUBLE,
        ParameterType.PARAMETER_INTEGER,
    ):
        return double(float(given.integer_value))
    return given


def test_every_hostile_set_of_parameters_is_refused_with_a_reason_or_applied_whole(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    node = start()
    robot.wait_for_node()
    random = np.random.default_rng(6)
    good = dict.fromkeys(("refused", "applied"), 0)
    before = _values_of(robot)
    for number in range(PARAMETER_SETS):
        wanted = hostile_parameters(random)
        results = _set(robot, wanted, atomically=bool(number % 2))
        for parameters, result in results:
            good["applied" if result.successful else "refused"] += 1
            expected = dict(before)
            if result.successful:
                known = [p for p in parameters if p.name in before]
                expected.update({p.name: _declared(p.value, before[p.name]) for p in known})
            else:
                assert result.reason, parameters
            before = expected
        assert _values_of(robot) == before, wanted
        if number == PARAMETER_SETS // 4:
            warm = node.memory()

    print(f"{PARAMETER_SETS} sets: {good}, {(node.memory() - warm) / 2**20:+.1f} MiB")
    assert min(good.values()) > PARAMETER_SETS // 20
    assert node.memory() - warm < MEMORY_SLACK
    _back_to_default(robot)
    assert len(robot.ask(image_message(astronaut)).faces) == 1


def _set(
    robot: Robot, parameters: list[Parameter], *, atomically: bool
) -> Iterator[tuple[list[Parameter], SetParametersResult]]:
    """Set them over one of the two services; gives what stands or falls together, and how."""
    if atomically:
        request = SetParametersAtomically.Request(parameters=parameters)
        response = robot.call("set_parameters_atomically", SetParametersAtomically, request)
        yield parameters, response.result
        return
    each = robot.call("set_parameters", SetParameters, SetParameters.Request(parameters=parameters))
    assert len(each.results) == len(parameters)
    yield from (([p], result) for p, result in zip(parameters, each.results, strict=True))


def _names() -> list[str]:
    return [parameter.name for parameter in parameters_of(NodeParameters)] + ["use_sim_time"]


def _values_of(robot: Robot) -> dict[str, ParameterValue]:
    request = GetParameters.Request(names=_names())
    values = robot.call("get_parameters", GetParameters, request).values
    return dict(zip(_names(), values, strict=True))


def _back_to_default(robot: Robot) -> None:
    """Set all that can change to what it is at the start, all at once."""
    make: dict[type, Callable[[Any], ParameterValue]] = {
        bool: boolean,
        int: integer,
        float: double,
        str: text,
    }
    defaults = {
        parameter.name: make[type(parameter.default)](parameter.default)
        for parameter in parameters_of(NodeParameters)
        if parameter.changeable and parameter.name != "landmarks_indices"
    }
    assert robot.set_parameters(**defaults, landmarks_indices=indices()) == (True, "")


def test_a_refused_set_leaves_the_values_in_force_as_they_are(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    """What the parameter services say is one thing, what the next image meets another."""
    start("tracking:=false")
    robot.wait_for_node()
    blind = {"detect_conf_th": double(1.0)}
    for wrong in (
        {"use_sim_time": text("later")},
        {"unknown": integer(1)},
        {"detect_interval": integer(0)},
        {"landmarks_abs": boolean(False)},
        {"backend": text("maix")},
    ):
        for names in itertools.permutations([*blind, *wrong]):
            values = {**blind, **wrong}
            good, reason = robot.set_parameters(**{name: values[name] for name in names})
            assert not good
            assert reason
            assert robot.get_double("detect_conf_th") == 0.5
            assert len(robot.ask(image_message(astronaut)).faces) == 1, wrong


def test_a_parameter_of_no_known_type_does_not_end_the_node(
    robot: Robot, astronaut: Pixels, tmp_path: Path
) -> None:
    """rclpy's own service raises on it, and the caller gets no answer: the node has to live on."""
    node = NodeProcess(tmp_path / "node.log")
    try:
        robot.wait_for_node()
        client = robot.create_client(SetParametersAtomically, "facemesh/set_parameters_atomically")
        robot.wait_until(client.service_is_ready, "parameter service")
        unknown = Parameter(name="detect_conf_th", value=ParameterValue(type=200))
        client.call_async(SetParametersAtomically.Request(parameters=[unknown]))
        robot.wait_until(lambda: "not a valid" in node.output(), "word on the bad type")
        assert len(robot.ask(image_message(astronaut)).faces) == 1
        assert robot.set_parameters(detect_conf_th=double(0.4)) == (True, "")
    finally:
        assert node.stop() == 0


def test_parameters_in_force_are_those_that_the_table_checks() -> None:
    """The 1,000 sets without ROS: refused whole, or in force whole."""
    random = np.random.default_rng(6)
    parameters = NodeParameters()
    refused = 0
    for _ in range(PARAMETER_SETS):
        names = [field.name for field in dataclasses.fields(parameters)]
        changes = {_any(random, names): _any(random, _PYTHON_VALUES) for _ in range(2)}
        try:
            changed = parameters.changed(**changes)
        except ValueError as error:
            assert str(error)
            refused += 1
            continue
        for name, value in dataclasses.asdict(changed).items():
            wanted = changes.get(name, getattr(parameters, name))
            assert value == (tuple(wanted) if isinstance(wanted, list | array) else wanted)
        parameters = changed
    assert 0 < refused < PARAMETER_SETS


_PYTHON_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        2,
        -1,
        68,
        0.25,
        2**63 - 1,
        0.5,
        math.nan,
        math.inf,
        "",
        "off",
        "68",
        b"68",
    ),
    *([], [1], [478], [-1], [True], ["1"], [0.5], [None], array("q", [5]), [b"a"]),
)

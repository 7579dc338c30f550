"""The messages in bags, by rosbags: their types, definitions and serialized form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache, partial
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from maix_facemesh_ros.bags.storage import BagError, BagTopic
from maix_facemesh_ros.model_files import PACKAGE, find_share_file

FACE_ARRAY = f"{PACKAGE}/msg/FaceArray"
IMAGE_ANNOTATIONS = "foxglove_msgs/msg/ImageAnnotations"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"

#: A bag that does not know the hash of a type.
_NO_HASH = "RIHS01_" + "0" * 64

#: Those of ROS's types that a job without `--copy` and `--blur` reads and writes. rosbags has all
#: types of a distribution, which take a quarter of a second to load.
_ROS_DEFINITIONS = {
    "std_msgs/msg/Header": "builtin_interfaces/Time stamp\nstring frame_id\n",
    "geometry_msgs/msg/Point": "float64 x\nfloat64 y\nfloat64 z\n",
    "geometry_msgs/msg/Vector3": "float64 x\nfloat64 y\nfloat64 z\n",
    "geometry_msgs/msg/Quaternion": "float64 x\nfloat64 y\nfloat64 z\nfloat64 w\n",
    "geometry_msgs/msg/Pose": """\
geometry_msgs/Point position
geometry_msgs/Quaternion orientation
""",
    "sensor_msgs/msg/CompressedImage": "std_msgs/Header header\nstring format\nuint8[] data\n",
    "sensor_msgs/msg/RegionOfInterest": """\
uint32 x_offset
uint32 y_offset
uint32 height
uint32 width
bool do_rectify
""",
    "sensor_msgs/msg/CameraInfo": """\
std_msgs/Header header
uint32 height
uint32 width
string distortion_model
float64[] d
float64[9] k
float64[9] r
float64[12] p
uint32 binning_x
uint32 binning_y
sensor_msgs/RegionOfInterest roi
""",
}

#: The definitions of foxglove_msgs/ImageAnnotations, as in foxglove_msgs 3.2.5 and later. A bag has
#: them in itself, so the package need not be installed.
_FOXGLOVE_DEFINITIONS = {
    "foxglove_msgs/msg/Color": "float64 r\nfloat64 g\nfloat64 b\nfloat64 a\n",
    "foxglove_msgs/msg/Point2": "float64 x\nfloat64 y\n",
    "foxglove_msgs/msg/KeyValuePair": "string key\nstring value\n",
    "foxglove_msgs/msg/CircleAnnotation": """\
builtin_interfaces/Time timestamp
foxglove_msgs/Point2 position
float64 diameter
float64 thickness
foxglove_msgs/Color fill_color
foxglove_msgs/Color outline_color
foxglove_msgs/KeyValuePair[] metadata
""",
    "foxglove_msgs/msg/PointsAnnotation": """\
builtin_interfaces/Time timestamp
uint8 UNKNOWN=0
uint8 POINTS=1
uint8 LINE_LOOP=2
uint8 LINE_STRIP=3
uint8 LINE_LIST=4
uint8 type
foxglove_msgs/Point2[] points
foxglove_msgs/Color outline_color
foxglove_msgs/Color[] outline_colors
foxglove_msgs/Color fill_color
float64 thickness
foxglove_msgs/KeyValuePair[] metadata
""",
    "foxglove_msgs/msg/TextAnnotation": """\
builtin_interfaces/Time timestamp
foxglove_msgs/Point2 position
string text
float64 font_size
foxglove_msgs/Color text_color
foxglove_msgs/Color background_color
foxglove_msgs/KeyValuePair[] metadata
""",
    "foxglove_msgs/msg/ImageAnnotations": """\
builtin_interfaces/Time timestamp
foxglove_msgs/CircleAnnotation[] circles
foxglove_msgs/PointsAnnotation[] points
foxglove_msgs/TextAnnotation[] texts
foxglove_msgs/KeyValuePair[] metadata
""",
}


class _Package:
    """The types of one package; each accepts its fields as keywords, and the others are zero."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, type_name: str) -> Callable[..., Any]:
        return _maker(f"{self._name}/msg/{type_name}")


@cache
def _few_types() -> Any:
    store = get_typestore(Stores.EMPTY)
    definitions = {**_ROS_DEFINITIONS, **_FOXGLOVE_DEFINITIONS}
    for name in ("BoundingBox", "Face", "FaceArray"):
        path = find_share_file("msg", f"{name}.msg")
        if path is None:
            raise BagError(f"msg/{name}.msg is not installed: install {PACKAGE} again")
        definitions[f"{PACKAGE}/msg/{name}"] = path.read_text()
    types: dict[str, Any] = {}
    for name, text in definitions.items():
        types.update(get_types_from_msg(text, name))
    store.register(types)
    return store


@cache
def _all_types() -> Any:
    return get_typestore(Stores.ROS2_JAZZY)


def _store_of(message_type: str) -> Any:
    """Return rosbags' store that has a type."""
    store = _few_types()
    return store if message_type in store.types else _all_types()


def package(name: str) -> Any:
    """Return the message types of a package as attributes."""
    return _Package(name)


def serialize(message: Any) -> bytes:
    """Return CDR with its encapsulation header, as rclpy makes it."""
    return bytes(_store_of(message.__msgtype__).serialize_cdr(message, message.__msgtype__))


def deserialize(data: bytes, message_type: str) -> Any:
    """Read CDR of one of the types that are known here."""
    return _store_of(message_type).deserialize_cdr(data, message_type)


def topic_of_type(name: str, message_type: str) -> BagTopic:
    """Return a topic of one of the types that are known here, with its definition."""
    store = _store_of(message_type)
    definition, _ = store.generate_msgdef(message_type, ros_version=2)
    return BagTopic(name, message_type, definition, store.hash_rihs01(message_type))


def described(topic: BagTopic) -> BagTopic:
    """Return a topic of a bag with definition and hash, which bags from before Iron do not have.

    An unknown definition is empty, an unknown hash is zero.
    """
    definition, type_hash = topic.definition, topic.type_hash
    try:
        if not definition:
            store = _store_of(topic.type)
            definition, _ = store.generate_msgdef(topic.type, ros_version=2)
            type_hash = store.hash_rihs01(topic.type)
        elif not type_hash:
            own = get_typestore(Stores.EMPTY)
            own.register(get_types_from_msg(definition, topic.type))
            type_hash = own.hash_rihs01(topic.type)
    except (
        Exception
    ):  # unknown, or a definition that rosbags cannot read: it is passed on unchanged
        pass
    return replace(topic, definition=definition, type_hash=type_hash or _NO_HASH)


@cache
def _maker(message_type: str) -> Callable[..., Any]:
    store = _store_of(message_type)
    message_class = store.types[message_type]
    _, field_types = store.fielddefs[message_type]
    defaults = {name: _default_maker(field_type) for name, field_type in field_types}
    names = [field.name for field in fields(message_class) if field.name in defaults]

    def make(**values: Any) -> Any:
        return message_class(
            **{name: values[name] if name in values else defaults[name]() for name in names}
        )

    return make


def _default_maker(field_type: Any) -> Callable[[], Any]:
    kind, detail = field_type
    if kind == Nodetype.BASE:
        zero = {"string": "", "wstring": "", "bool": False}.get(detail[0])
        if zero is None:
            zero = 0.0 if detail[0].startswith("float") else 0
        return lambda: zero
    if kind == Nodetype.NAME:
        return lambda: _maker(detail)()
    (element_kind, element), size = detail
    if element_kind == Nodetype.BASE and element[0] not in ("string", "wstring"):
        return partial(np.zeros, size if kind == Nodetype.ARRAY else 0, element[0])
    return list

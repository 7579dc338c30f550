"""Parameters of facemesh_node from ROS parameters files and `-p NAME:=VALUE`, without ROS."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from maix_facemesh_ros.parameters import ParameterError

#: Names of nodes in a parameters file that stand for facemesh_node too.
WILDCARDS = ("**", "*")
NODE_NAME = "facemesh"

#: Key of a node's parameters in a parameters file.
PARAMETERS_KEY = "ros__parameters"


def given_parameters(files: Iterable[Path], assignments: Sequence[str]) -> dict[str, Any]:
    """Return what a command line gives: later files and then assignments go before earlier ones.

    Args:
        files: ROS parameters files, as `ros2 param dump` writes them too.
        assignments: such as `max_face_num:=4`; the value is YAML.

    Raises:
        ParameterError: a file or an assignment cannot be read.
    """
    values: dict[str, Any] = {}
    for file in files:
        values.update(parameters_in(file))
    for assignment in assignments:
        name, separator, text = assignment.partition(":=")
        if not separator or not name or not text:
            raise ParameterError(f"-p {assignment}: give NAME:=VALUE, such as max_face_num:=4")
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ParameterError(f"-p {assignment}: the value is not valid YAML") from error
    return values


def parameters_in(file: Path) -> dict[str, Any]:
    """Return the parameters that a ROS parameters file has for facemesh_node.

    These are the ones for every node and for nodes called facemesh, in any namespace. A file for
    one node alone, such as `ros2 param dump` writes, is taken whatever the node is called.

    Raises:
        ParameterError: the file cannot be read, is not a parameters file, or is for other nodes.
    """
    sections = list(_sections(_content_of(file), ""))
    if not sections:
        raise ParameterError(
            f"{file} is not a parameters file: it has {PARAMETERS_KEY} below the name of a node, "
            "as config/facemesh.yaml has"
        )
    fitting = [
        section for node, section in sections if node.rpartition("/")[2] in (*WILDCARDS, NODE_NAME)
    ]
    if not fitting and len(sections) > 1:
        names = ", ".join(node for node, _ in sections)
        raise ParameterError(
            f"{file} has parameters for {names}, and none for a node called {NODE_NAME}"
        )
    values: dict[str, Any] = {}
    for section in fitting or [section for _, section in sections]:
        values.update(section)
    return values


def _content_of(file: Path) -> Any:
    """Return what a YAML file holds; ROS's parser takes no aliases either.

    Raises:
        ParameterError: the file cannot be read, or is not YAML without aliases.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise ParameterError(f"{file} has aliases (*name): write the values out")
        return yaml.safe_load(text)
    except OSError as error:
        raise ParameterError(f"{file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ParameterError):
            raise
        reason = reprlib.repr(" ".join(str(error).split()))
        raise ParameterError(f"{file} is not YAML: {reason}") from error


def _sections(content: Any, node: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the names of nodes, with their namespaces, and their parameters."""
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key == PARAMETERS_KEY:
            if node and isinstance(value, dict):
                yield node, {str(name): each for name, each in value.items()}
        else:
            yield from _sections(value, f"{node}/{key}".replace("//", "/"))

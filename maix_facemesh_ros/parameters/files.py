"""Parameters of facemesh_node from ROS parameter files and `-p NAME:=VALUE`, without ROS."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from maix_facemesh_ros.parameters import ParameterError

#: Node names in a parameter file that include facemesh_node.
WILDCARDS = ("**", "*")
NODE_NAME = "facemesh"

#: Key of a node's parameters in a parameter file.
PARAMETERS_KEY = "ros__parameters"


def given_parameters(files: Iterable[Path], assignments: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of a command line; later files, then assignments, take precedence.

    Args:
        files: ROS parameter files, such as those of `ros2 param dump`.
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
    """Return the parameters for facemesh_node in a ROS parameter file.

    These are the parameters for every node and for nodes called facemesh, in any namespace. A file
    for a single node, such as one of `ros2 param dump`, is accepted with any node name.

    Raises:
        ParameterError: the file cannot be read, is not a parameter file, or is for other nodes.
    """
    sections = list(_sections(_content_of(file), ""))
    if not sections:
        raise ParameterError(
            f"{file} is not a parameter file: write {PARAMETERS_KEY} below the name of a node, "
            "as in config/facemesh.yaml"
        )
    fitting = [
        section for node, section in sections if node.rpartition("/")[2] in (*WILDCARDS, NODE_NAME)
    ]
    if not fitting and len(sections) > 1:
        names = ", ".join(node for node, _ in sections)
        raise ParameterError(
            f"{file} has parameters for {names}, but none for a node called {NODE_NAME}"
        )
    values: dict[str, Any] = {}
    for section in fitting or [section for _, section in sections]:
        values.update(section)
    return values


def _content_of(file: Path) -> Any:
    """Return the content of a YAML file; aliases are refused, as ROS's parser does.

    Raises:
        ParameterError: the file cannot be read, or is not YAML without aliases.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise ParameterError(f"{file} has aliases (*name): write their values instead")
        return yaml.safe_load(text)
    except OSError as error:
        raise ParameterError(f"{file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ParameterError):
            raise
        reason = reprlib.repr(" ".join(str(error).split()))
        raise ParameterError(f"{file} is not YAML: {reason}") from error


def _sections(content: Any, node: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the names of nodes, with their namespaces, and their parameters."""
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key == PARAMETERS_KEY:
            if node and isinstance(value, dict):
                yield node, {str(name): each for name, each in value.items()}
        else:
            yield from _sections(value, f"{node}/{key}".replace("//", "/"))

"""Writes config/, its copies in the documentation and parameters/keywords.py from the tables.

The tables in maix_facemesh_ros/parameters/ are the one place where parameters are described; a
test fails when one of the files differs from them. Run it after a change:
.venv/bin/python tools/write_parameter_docs.py
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Final, NamedTuple

from maix_facemesh_ros.parameters import (
    FaceMeshParameters,
    NodeParameters,
    Parameter,
    ParameterTable,
    ViewParameters,
    parameters_of,
)

SOURCE = Path(__file__).resolve().parent.parent


class Documented(NamedTuple):
    """A table, its parameter file, and the page that holds a copy of that."""

    table: type[ParameterTable]
    yaml: Path
    page: Path


DOCUMENTED = (
    Documented(
        NodeParameters, SOURCE / "config" / "facemesh.yaml", SOURCE / "docs" / "parameters.md"
    ),
    Documented(
        ViewParameters, SOURCE / "config" / "facemesh_view.yaml", SOURCE / "docs" / "browser.md"
    ),
)

KEYWORDS: Final = SOURCE / "maix_facemesh_ros" / "parameters" / "keywords.py"

#: How the keyword of a parameter is annotated, by the type of its default.
ANNOTATIONS: Final = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    # What is taken is any row of whole numbers.
    tuple: "Iterable[int]",
}

BEGIN, END = "<!-- parameters: begin -->\n", "<!-- parameters: end -->\n"

KEYWORDS_HEAD: Final = '''\
"""The keywords of `FaceMesh` and of `change`, for type checkers and editors.

Written by tools/write_parameter_docs.py from the parameter tables, which have their meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict
'''

HEAD = "/**:  # every node name and namespace\n  ros__parameters:\n"
INDENT = " " * 4
LINE_LENGTH = 100


def yaml_of_parameters(table: type[ParameterTable]) -> str:
    """Return a parameter file with every parameter at its default, described."""
    return HEAD + "".join(_entry(parameter) for parameter in parameters_of(table))


def page_with_parameters(page: str, table: type[ParameterTable]) -> str:
    """Return a page of documentation with its parameter block brought up to date."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}```yaml\n{yaml_of_parameters(table)}```\n{END}{after}"


def keywords_module() -> str:
    """Return the module that has the keywords of `FaceMesh` and of `change` as types."""
    mesh, node = parameters_of(FaceMeshParameters), parameters_of(NodeParameters)
    changeable = [parameter for parameter in mesh if parameter.changeable]
    fixed = [parameter for parameter in mesh if not parameter.changeable]
    known = {parameter.name for parameter in mesh}
    of_node = [each for each in node if each.changeable and each.name not in known]
    return "\n\n".join(
        (
            KEYWORDS_HEAD,
            _typed_dict("FaceMeshChanges", "TypedDict", "`FaceMesh.change`", changeable),
            _typed_dict("FaceMeshKeywords", "FaceMeshChanges", "`FaceMesh`", fixed),
            _typed_dict("StreamChanges", "FaceMeshChanges", "`FaceStream.change`", of_node),
        )
    )


def _typed_dict(name: str, base: str, owner: str, parameters: list[Parameter]) -> str:
    lines = (f"    {each.name}: {ANNOTATIONS[type(each.default)]}\n" for each in parameters)
    head = f'class {name}({base}, total=False):\n    """Keywords of {owner}."""\n\n'
    return head + "".join(lines)


def _entry(parameter: Parameter) -> str:
    facts = [
        *([f"Range: {parameter.range_text()}."] if parameter.range_text() else []),
        "Changes at run time." if parameter.changeable else "Fixed at the start.",
    ]
    comment = _comment(parameter.description) + _comment(" ".join(facts))
    return f"{comment}{INDENT}{_assignment(parameter)}\n"


def _comment(text: str) -> str:
    prefix = f"{INDENT}# "
    return textwrap.fill(text, LINE_LENGTH, initial_indent=prefix, subsequent_indent=prefix) + "\n"


def _assignment(parameter: Parameter) -> str:
    default = parameter.default
    if isinstance(default, tuple):
        # ROS parameter files know no empty list, because it has no type.
        return f"# {parameter.name}: [1, 33, 263]"
    if isinstance(default, bool):
        return f"{parameter.name}: {str(default).lower()}"
    if isinstance(default, str):
        return f'{parameter.name}: "{default}"'
    return f"{parameter.name}: {default}"


def main() -> None:
    """Write all files."""
    KEYWORDS.write_text(keywords_module())
    for table, yaml, page in DOCUMENTED:
        yaml.write_text(yaml_of_parameters(table))
        page.write_text(page_with_parameters(page.read_text(), table))


if __name__ == "__main__":
    main()

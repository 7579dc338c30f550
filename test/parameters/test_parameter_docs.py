"""config/facemesh.yaml and the documentation say what the tables say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from maix_facemesh_ros import BLENDSHAPE_NAMES
from maix_facemesh_ros.parameters import (
    NodeParameters,
    ParameterTable,
    ViewParameters,
    parameters_of,
)

SOURCE = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    path = SOURCE / "tools" / "write_parameter_docs.py"
    spec = importlib.util.spec_from_file_location("write_parameter_docs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_yaml_files_agree_with_the_tables(writer: ModuleType) -> None:
    for table, file, _ in writer.DOCUMENTED:
        assert file.read_text() == writer.yaml_of_parameters(table), (
            "run the tool named in its head"
        )


def test_the_typed_keywords_agree_with_the_tables(writer: ModuleType) -> None:
    assert writer.KEYWORDS.read_text() == writer.keywords_module(), "run the tool named in its head"


def test_the_pages_agree_with_the_tables(writer: ModuleType) -> None:
    for table, _, file in writer.DOCUMENTED:
        page = file.read_text()
        assert page == writer.page_with_parameters(page, table)


@pytest.mark.parametrize(
    ("file", "table"),
    [("facemesh.yaml", NodeParameters), ("facemesh_view.yaml", ViewParameters)],
)
def test_a_yaml_file_holds_every_parameter_at_its_default(
    file: str, table: type[ParameterTable]
) -> None:
    text = (SOURCE / "config" / file).read_text()
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    expected = {
        parameter.name: parameter.default
        for parameter in parameters_of(table)
        if not isinstance(parameter.default, tuple)
    }
    assert values == expected
    assert ("# landmarks_indices: [" in text) == (table is NodeParameters)


def test_expression_scores_are_documented_in_their_order() -> None:
    text = (SOURCE / "docs/heads.md").read_text()
    named = dict(re.findall(r"([0-9]+) `(\w+)`", text))
    assert named == {str(index): name for index, name in enumerate(BLENDSHAPE_NAMES)}

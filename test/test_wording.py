"""Numbers and their nouns in messages: "1 image", not "1 images"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from maix_facemesh_ros.wording import counted

PACKAGE = Path(__file__).resolve().parent.parent / "maix_facemesh_ros"

#: What messages count, in the plural. Bytes, pixels and other units are not: 1 is rare there.
COUNTED = re.compile(
    r" (?:more |other |still |usable )?"
    r"(?:channel|coefficient|face|frame|image|line|message|publisher|reason|row|task)s\b"
)

#: Values in the code's own text that are never 1.
NEVER_ONE = {
    "MOST_MESSAGES": "a constant",
    "len(frames)": "not 1 in a packet that is refused",
    "len(publishers)": "more than 1 where they are named",
    "report.stills": "more than 1 where they are told",
}


def plurals_of_numbers(code: str) -> Iterator[str]:
    """Yield the values in f-strings that a noun in the plural follows, whatever the value is."""
    for node in ast.walk(ast.parse(code)):
        parts = node.values if isinstance(node, ast.JoinedStr) else []
        for value, text in pairwise(parts):
            if (
                isinstance(value, ast.FormattedValue)
                and isinstance(text, ast.Constant)
                and value.format_spec is None  # as numbers with decimals have
                and COUNTED.match(str(text.value))
            ):
                yield ast.unparse(value.value)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1000, "1000 images")]
)
def test_a_number_has_its_noun(number: int, text: str) -> None:
    assert counted(number, "image") == text


def test_no_message_has_a_noun_that_is_always_in_the_plural() -> None:
    assert list(plurals_of_numbers('f"{n} images"; f"{n} more lines"; f"{n:.1f} frames a s"')) == [
        *("n", "n")
    ]
    found = {
        f"{path.relative_to(PACKAGE)}: {value}"
        for path in PACKAGE.rglob("*.py")
        for value in plurals_of_numbers(path.read_text(encoding="utf-8"))
        if value not in NEVER_ONE
    }
    assert found == set()

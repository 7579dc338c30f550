"""The word list of `make lint`: no file has an old habit, and each habit is found where it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent
sys.path.append(str(SOURCE / "tools"))

from check_words import HABITS, files_of_the_repository, findings, findings_in  # noqa: E402

#: A sentence for each entry of `HABITS`, in its order.
HABITUAL = (
    "Each image is processed anew.",
    "After so many seconds",
    "each so-manieth landmark",
    "The detector looked at it.",
    "who is who",
    "It is no bag.",
    "It waits for ever.",
    "the one of before",
    "What of the bag can be read",
    "It is minded.",
    "a node beside this one",
    "Nobody has subscribed.",
    "Two pictures",
    "the centre of the image",
)


@pytest.mark.skipif(not (SOURCE / ".git").exists(), reason="the source is not a git checkout")
def test_no_file_has_an_old_habit() -> None:
    assert [str(each) for each in findings(files_of_the_repository())] == []


@pytest.mark.parametrize(("habit", "text"), [*zip(HABITS, HABITUAL, strict=True)])
def test_each_habit_is_found(habit: str, text: str) -> None:
    (found,) = findings_in("docs/page.md", f"\n{text}\n")
    assert (found.line, found.better) == (2, HABITS[habit])


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("docs/page.md", "there is no face, and it is no longer there"),
        ("docs/page.md", "`pictures lost in transport` on /diagnostics"),
        ("docs/page.md", "the parameter `pictures`"),
        ("models/README.md", "the input `picture`"),
    ],
)
def test_right_words_are_no_findings(path: str, line: str) -> None:
    assert list(findings_in(path, line)) == []

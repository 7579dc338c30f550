"""Checks the words in the repository's text: one word for one thing, American spelling.

Each entry of `HABITS` is a pattern that no line may contain, with better words. A line where such a
word is right needs an entry in `EXCEPTIONS`. `make lint` runs this check.

    .venv/bin/python tools/check_words.py            every file of the repository
    .venv/bin/python tools/check_words.py FILE...    these files
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parent.parent

#: Regular expressions, case ignored, and the words to use instead.
HABITS = {
    r"\banew\b": "again",
    r"\bso many\b": "this number of",
    r"\bso-manieth\b": "n-th",
    r"\blook(s|ed|ing)? at\b": "process, check, read; see",
    r"\bwho is who\b": "identity, ids",
    # "there is no" is plain English, and so is "is no longer".
    r"(?<!there )\bis no\b(?! (longer|more|less|further|faster|larger))": "is not a",
    r"\bfor ever\b": "without end",
    r"\bof before\b": "previous, from before",
    r"\bwhat of\b": "the part of",
    r"\bminded\b": "checked",
    r"\bbeside\b": "next to, in addition to",
    r"\b(no|some|every)body\b": "no one, a person, everyone",
    r"picture": "image",
    r"colour|centre|\bgrey|metre\b|metres\b|licence|behaviour|favour": "the American spelling",
}


class Exceptional(NamedTuple):
    """A place where words of `HABITS` are right."""

    #: Regular expression for the start of a path.
    path: str
    #: Regular expression for the words; it is removed from a line before the check.
    words: str
    reason: str


EXCEPTIONS = (
    Exceptional("tools/check_words.py|test/test_words.py", ".*", "names the words"),
    Exceptional("(models/)?LICENSE|test/data/|requirements/lock", ".*", "not written here"),
    Exceptional("maix_facemesh_ros/browser/page/three/", ".*", "not written here"),
    Exceptional("", r"pictures (\w+|\{\w+\})( \w+)*", "keys of /diagnostics"),
    Exceptional(
        "", r"pictures:|\bpictures is\b|`pictures`|\.pictures\b", "parameter of facemesh_view"
    ),
    Exceptional(
        "models/|test/test_models.py|maix_facemesh_ros/backends/onnx/",
        r"[`\"]picture[`\"]",
        "ONNX input name",
    ),
    Exceptional(
        "maix_facemesh_ros/face.py|test/test_public_names.py|CHANGELOG.rst",
        "(Source)?Picture(Error)?|not picture",
        "former names",
    ),
    Exceptional(
        "benchmarks/|docs/performance.md",
        r"\"nobody\"|bench nobody",
        "section of make bench",
    ),
    Exceptional("benchmarks/photographs.py", r"/(BWP|p)icture\w*\.jpg", "files of other packages"),
    Exceptional("config/fastdds", r'"pictures"', "name of a profile that users may refer to"),
)


class Finding(NamedTuple):
    """A word that should be another one."""

    path: str
    line: int
    word: str
    better: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word!r}: say {self.better}"


def findings_in(path: str, text: str) -> Iterator[Finding]:
    """Yield the findings in a text.

    Args:
        path: of the file, relative to the repository; it selects the exceptions.
        text: content of the file.
    """
    exceptions = [each.words for each in EXCEPTIONS if re.match(each.path, path)]
    for number, line in enumerate(text.splitlines(), 1):
        for words in exceptions:
            line = re.sub(words, "", line)
        for habit, better in HABITS.items():
            if found := re.search(habit, line, re.IGNORECASE):
                yield Finding(path, number, found.group(), better)


def findings(paths: Iterable[str]) -> Iterator[Finding]:
    """Yield the findings in files; files that are not text are skipped."""
    for path in paths:
        try:
            text = (SOURCE / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        yield from findings_in(path, text)


def files_of_the_repository() -> list[str]:
    """Return the paths of all files in git, relative to the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=SOURCE, check=True, capture_output=True, text=True)
    return sorted(set(listed.stdout.splitlines()))


def main() -> int:
    """Print the findings; returns 1 if there are any."""
    found = list(findings(sys.argv[1:] or files_of_the_repository()))
    for each in found:
        print(each)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

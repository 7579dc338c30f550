"""A hook of MkDocs: pages of the site that are not files in docs/, and the links between all pages.

README.md and others are read where they are on GitHub; in the site they are pages like those in
docs/. Links to files that are no page, such as source files, become plain text.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent

#: Pages by the file of the repository.
PAGES = {
    "README.md": "index.md",
    "launch/README.md": "launch.md",
    "models/README.md": "models.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "RELEASING.md": "releasing.md",
    "QUALITY_DECLARATION.md": "quality_declaration.md",
}
API = "api.md"

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for file, page in PAGES.items():
        text = (ROOT / file).read_text()
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, API, content=api_page()))
    return files


def api_page() -> str:
    """Return a page with a directive of mkdocstrings for each public name of the package."""
    module = ast.parse((ROOT / "maix_facemesh_ros" / "__init__.py").read_text())
    public: list[str] = next(
        ast.literal_eval(statement.value)
        for statement in module.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"
    )
    names = [name for name in public if not name.startswith("_")]
    directives = "\n\n".join(f"::: maix_facemesh_ros.{name}" for name in names)
    return f"# Python API\n\nEverything that `maix_facemesh_ros` exports.\n\n{directives}\n"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turn links between files of the repository into links between pages."""
    files_by_page = {page: file for file, page in PAGES.items()}
    name = page.file.src_uri
    folder = posixpath.dirname(files_by_page.get(name, f"docs/{name}"))

    def rewritten(match: re.Match[str]) -> str:
        image, text, target, anchor = match.groups()
        path = posixpath.normpath(posixpath.join(folder, target))
        if path in PAGES:
            return f"[{text}]({PAGES[path]}{anchor or ''})"
        if path.startswith("docs/"):
            return f"{image}[{text}]({path.removeprefix('docs/')}{anchor or ''})"
        return text

    return LINK.sub(rewritten, markdown)

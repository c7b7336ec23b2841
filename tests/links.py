"""Links inside Markdown pages and built sites that lead nowhere: python tests/links.py README.md docs site"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
OUTSIDE = ("http:", "https:", "mailto:", "data:", "javascript:")


class Page(HTMLParser):
    """The links and the names of one HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for key, value in attributes:
            if key in ("href", "src") and value:
                self.links.append(value)
            elif key == "id" and value:
                self.names.add(value)


@cache
def read(path: Path) -> tuple[list[str], set[str]]:
    """Links of a page, and the names that a link may end in."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        page = Page(text)
        return page.links, page.names
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return LINK.findall(re.sub(r"`[^`\n]*`", "", prose)), {name(heading) for heading in headings}


def name(heading: str) -> str:
    """What forges call a heading in a link."""
    return re.sub(r"[^\w\- ]", "", heading.lower().strip()).replace(" ", "-")


def dead(pages: list[Path]) -> Iterator[str]:
    """A line for each link to a file that is not there, or to a heading that its page has not."""
    for page in pages:
        for link in read(page)[0]:
            if link.startswith(OUTSIDE):
                continue
            file, _, anchor = unquote(link).partition("#")
            target = page.parent / file.partition("?")[0] if file else page
            if not target.exists():
                yield f"{page}: {link}: no such file"
            elif anchor and target.suffix in (".md", ".html") and anchor not in read(target)[1]:
                yield f"{page}: {link}: no such heading"


def found(paths: list[str]) -> list[Path]:
    """The pages named, and those in the folders named."""
    folders = [
        (
            sorted(page for page in Path(path).rglob("*") if page.suffix in (".md", ".html"))
            if Path(path).is_dir()
            else [Path(path)]
        )
        for path in paths
    ]
    return [page for pages in folders for page in pages]


if __name__ == "__main__":
    lines = list(dead(found(sys.argv[1:])))
    print("\n".join(lines) or "no dead link")
    sys.exit(bool(lines))

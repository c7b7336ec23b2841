"""The manual as a site: `make manual`. Pages are plain Markdown; their order in the navigation is that of the links in index.md."""

import re
from pathlib import Path

project, author = "stars", "The stars authors"
extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns = ["pictures"]
html_theme = "alabaster"
html_theme_options = {"description": "Self-supervised tuning for 3D action recognition", "fixed_sidebar": True, "page_width": "70rem"}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_copy_source = False
html_static_path = html_css_files = ["style.css"]
myst_heading_anchors = 4  # headings are link targets, by the names that forges give them
suppress_warnings = ["misc.highlighting_failure"]  # csv has no lexer
DOCS = Path(__file__).parent


def navigation(text: str) -> str:
    """A toctree for every section of index.md, of the pages that it links to; pages that it does not name come last."""
    trees, named = [], set()
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        pages = dict.fromkeys(re.findall(r"\]\((\w+)\.md\)", section))
        named.update(pages)
        trees.append((section.splitlines()[0], list(pages)))
    trees.append(("More", sorted({page.stem for page in DOCS.glob("*.md")} - named - {"index"})))
    return "".join(f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(pages) + "\n```\n" for title, pages in trees if pages)


def _add_navigation(app, docname, source):
    if docname == "index":
        source[0] += navigation(source[0])


def setup(app):
    app.connect("source-read", _add_navigation)

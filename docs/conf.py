"""The manual as a site: `make manual`. Pages are plain Markdown; index.md orders them, a section of it for each
group in the side bar.
"""

import re
from pathlib import Path

from docutils import nodes

project, author = "stars", "The stars authors"
extensions = ["myst_parser", "sphinx_copybutton"]
root_doc = "index"
exclude_patterns = ["pictures"]
html_theme = "furo"  # light and dark, as the browser asks or by the button at the top
html_title = "stars"
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
html_show_sphinx = html_show_copyright = False
html_copy_source = False
html_static_path = html_css_files = ["style.css"]
copybutton_exclude = ".linenos, .gp, .go"  # prompts and output are not copied
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
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(pages) + "\n```\n"
        for title, pages in trees
        if pages
    )


def _add_navigation(app, docname, source):
    if docname == "index":
        source[0] += navigation(source[0])


def _link_pictures(app, doctree, docname):
    """A picture is a link to its file, so that a click shows it in full size."""
    if app.builder.format != "html":
        return
    for image in list(doctree.findall(nodes.image)):
        if not isinstance(image.parent, nodes.reference) and image["uri"] in app.env.images:
            link = nodes.reference(
                "", "", refuri="_images/" + app.env.images[image["uri"]][1], internal=True, classes=["picture"]
            )
            image.replace_self(link)
            link += image


def setup(app):
    app.connect("source-read", _add_navigation)
    app.connect("doctree-resolved", _link_pictures)

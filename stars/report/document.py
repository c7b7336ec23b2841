"""The page as one self-contained HTML file that runs only its own script and needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from stars.report import assets

# None of these may end the element that contains the data, nor (the last two) a line of JavaScript.
UNSAFE = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def render(data: Any, **content: Any) -> str:
    """Render the page; jinja2 escapes all texts of `content`. `data` is plain data for the scripts, which insert it
    only as text.
    """
    style, script = assets.style(), assets.script()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(assets.template())
    return (
        page.render(
            policy=policy(style, script), style=Markup(style), script=Markup(script), data=embedded(data), **content
        )
        + "\n"
    )


def policy(style: str, script: str) -> str:
    """Content-Security-Policy: only this script and style, only embedded pictures, no network."""
    return (
        f"default-src 'none'; img-src data:; script-src '{_hash(script)}'; style-src '{_hash(style)}'; base-uri 'none';"
        " form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def embedded(data: Any) -> Markup:
    """Plain data as JSON that cannot close its element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(UNSAFE))


def picture(svg: bytes) -> str:
    """An SVG file as a data URL for <img>, where scripts do not run."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()

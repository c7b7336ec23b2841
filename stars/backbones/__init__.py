"""Backbones, one a file: networks that make vectors of clips. A file NAME.py here is the backbone NAME: nothing else has to know of it."""

from __future__ import annotations

from stars.backbones.base import Backbone
from stars.plugins import class_of


def find(name: str, key: str = "backbone") -> type[Backbone]:
    """The class `Network` of a backbone's file; InputError where there is none, `key` being the one that names it."""
    found: type[Backbone] = class_of("backbones", name, key)
    return found

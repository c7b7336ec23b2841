"""Backbones, the networks that encode clips. The file NAME.py defines the backbone NAME; it needs no registration."""

from __future__ import annotations

from stars.backbones.base import Backbone
from stars.plugins import class_of


def find(name: str, key: str = "backbone") -> type[Backbone]:
    """The class `Network` of a backbone's file; InputError if it is missing; `key` is the setting that names it."""
    found: type[Backbone] = class_of("backbones", name, key)
    return found

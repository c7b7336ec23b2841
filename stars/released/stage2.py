"""Names of tensors in a released stage-2 checkpoint, after the student's prefix, and ours. Its encoder bears MAMP's
names (`stars.released.mamp`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

STUDENT = re.compile(r"(module\.)?encoder_student\.")
TRAINING = re.compile(r"(?:module\.)?(queue(?:_ptr|_id)?$|encoder_teacher(?=\.))")
PAIR = {  # nearest-neighbour tuning's and MoCo's
    "projector": "head.projector.0",
    "predictor.widen": "head.predictor.0",
    "predictor.norm": "head.predictor.1",
    "predictor.narrow": "head.predictor.3",
}
LINEAR = {"projector": "head"}  # DINO's


def student(names: Iterable[str]) -> str:
    """The prefix of the student's tensors, `encoder_student.` or with DDP's `module.` before it; "" where there is
    no student.
    """
    return next((found.group() for found in map(STUDENT.match, names) if found), "")


def for_training(name: str) -> str:
    """What a tensor belongs to that only training needs, its queue or teacher; "" for any other."""
    found = TRAINING.match(name)
    return found.group(1) if found else ""


def released(name: str, modules: Mapping[str, str]) -> str:
    """predictor.widen.weight → head.predictor.0.weight. KeyError for a module that is not among `modules`."""
    owner, _, kind = name.rpartition(".")
    return f"{modules[owner]}.{kind}"

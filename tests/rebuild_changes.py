"""How each key of the configuration is changed for docs/rebuild_keys.md: alone, to another value of its kind, and
with what it needs under it.
"""

from __future__ import annotations

from typing import Any

import yaml

from stars.pipeline import configuration
from stars.pipeline.reference import rows

# What some keys need under them: a loss, a protocol and a table of one's own; a second split; a data set of another's
# files.
OWN = {
    "targets": ["all", "knn", "centroid", "mine"],
    "methods": {"barlow": {"from": "mamp", "tune": {"strategy": "barlow"}, "tables": [], "protocols": ["knn"]}},
    "protocols": {"centroid": {}},
    "tables": {"mine": {"protocol": "centroid"}},
}
TWO_SPLITS = {"data": {"demo": {"splits": ["xsub", "xview"]}}}
TWIN = {"data": {"twin": {"like": "demo", "protocols": []}}}
KNN = {"tables": [], "protocols": ["knn"]}
METHODS = {  # other backbones and objectives
    "targets": ["all", "knn"],
    "protocol": "published",
    "methods": {
        "random_gcn": {"backbone": "st_gcn", **KNN},
        "gcn": {"backbone": "st_gcn", "train": {}, "published": {"embed": {"test_crop": 0.95}}, **KNN},
        "gru": {"train": {"objective": "cmd"}, **KNN},
        "gru_motion": {"from": "gru", "network": "motion", **KNN},
        "both": {"ensemble": {"gru": 0.5, "gru_motion": 0.5}, **KNN},
    },
}
CLAIMS = {"targets": ["all", "claims"]}
OVERLAYS: dict[str, dict[str, Any]] = {
    "claims.yaml": CLAIMS,
    "methods.yaml": METHODS,
    "own.yaml": OWN,
    "two_splits.yaml": TWO_SPLITS,
    "twin.yaml": TWIN,
}
UNDER = {
    **dict.fromkeys(
        ("tune.options", *(f"protocols.NAME.{name}" for name in ("methods", "runs", "options"))), "own.yaml"
    ),
    **dict.fromkeys(
        (f"tables.NAME.{name}" for name in ("protocol", "title", "methods", "runs", "options")), "own.yaml"
    ),
    **dict.fromkeys(("fig1.split", "fig3.split", "fig4.split", "fig6.split"), "two_splits.yaml"),
    "data.NAME.like": "twin.yaml",
    "claims.file": "claims.yaml",
    **{
        f"methods.NAME.{name}": "methods.yaml"
        for name in ("backbone", "starts", "train", "network", "ensemble", "published")
    },
    **dict.fromkeys(
        ("protocol", "backbones", *(key for key, *_ in rows() if key.startswith("train."))), "methods.yaml"
    ),
}
PAIR = {"source": "demo", "target": "demo"}
MORE = {"from": "stars", "tune": {"layer_decay": 0.5}}

# Where a key is changed, if not at data.demo or methods.stars, and to what, where that does not follow from its kind.
NAMES = {"data": "demo", "methods": "stars", "protocols": "centroid", "tables": "mine"}
WHERE = {
    "compute.nodes": "compute",  # with as many GPUs
    # with the schedule that reads them
    **dict.fromkeys(("tune.optimiser.min_lr", "tune.optimiser.steps"), "tune.optimiser"),
    **{
        f"data.NAME.{name}": f"data.given.{name}"
        for name in ("raw", "ingest_jobs", "ingest.missing_list", "ingest.joints")
    },
    **{f"methods.NAME.{name}": f"methods.mamp.{name}" for name in ("model", "pretrain")},
    "data.NAME.like": "data.twin.like",
    "methods.NAME.joints": "methods.floor.joints",
    "tune.options": "methods.barlow.tune.options",
    "train.networks": "methods.gcn.train.networks",
    **{f"methods.NAME.{name}": f"methods.gcn.{name}" for name in ("backbone", "starts", "train", "published")},
    "methods.NAME.network": "methods.gru_motion.network",
    "methods.NAME.ensemble": "methods.both.ensemble",
    "train.optimiser.steps": "train.optimiser",  # with the schedule that reads them
}
VALUES: dict[str, Any] = {
    "seeds": [0, 1],
    "code_changes": "rebuild",
    "targets": ["table2", "report"],
    "data": {"more": {"dataset": "demo", "simulate": {"actions": 4, "subjects": 4}, "protocols": []}},
    "data.NAME.dataset": "demo_base",
    "data.NAME.like": "other",
    "data.NAME.raw": "other.zip",
    "data.NAME.simulate": {"seed": 3},
    "data.NAME.simulate.clips": 20,
    "data.NAME.simulate.frames": [16, 25],
    "data.NAME.ingest.missing_list": "missing.txt",
    "data.NAME.ingest.bodies": 1,
    "data.NAME.ingest.centre": "none",
    "data.NAME.ingest.single_body": "copy",
    "data.NAME.splits": ["xsub", "xset"],
    "data.NAME.protocols": ["linear", "knn"],
    "data.NAME.settings": {"embed": {"test_crop": 0.8}},
    "preset": "release",
    "recipes": "tests/config/more.yaml",
    "methods": {"more": MORE},
    "methods.NAME.from": "mamp_b",
    "methods.NAME.title": "Ours",
    "methods.NAME.heads": "stars_heads",
    "methods.NAME.model": {"depth": 3},
    "methods.NAME.pretrain": {"motion": {"normalise": False}},
    "methods.NAME.tune": {"layer_decay": 0.5},
    "methods.NAME.joints": {"frames": 16},
    "methods.NAME.gpus": 2,
    "methods.NAME.protocols": ["knn"],
    "methods.NAME.tables": [2],
    "model.frames": 32,
    "model.segment": 8,
    "model.width": 32,
    "model.heads": 4,
    "model.decoder_width": 32,
    "pretrain.motion.stride": 2,
    "tune.tuned_blocks": 1,
    "tune.strategy": "dino",
    "tune.optimiser.min_lr": {"schedule": "cosine", "min_lr": 0.0001},
    "tune.optimiser.schedule": "cosine",
    "tune.optimiser.steps": {"schedule": "steps", "steps": [1]},
    "methods.NAME.backbone": "bi_gru",
    "methods.NAME.starts": "random_gcn",
    "methods.NAME.train": {"precision": "bf16"},
    "methods.NAME.network": "bone",
    "methods.NAME.ensemble": {"gru": 0.6},
    "methods.NAME.published": {"embed": {"test_crop": 0.8}},
    "protocol": "common",
    "backbones": {"st_gcn": {"channels": 8}},
    "train.objective": "moco",
    "train.options": {"dimension": 64},
    "train.networks": {"encoder": {"backbone": "bi_gru"}},
    "train.views": {"query": ["crop"]},
    "train.tuned_blocks": 2,
    "train.optimiser.steps": {"schedule": "steps", "steps": [1]},
    "tune.nnclr.norm_clips": 4,
    "tune.moco.norm_clips": 4,
    "tune.dino.global_crop": [0.6, 1.0],
    "tune.dino.koleo_clips": 4,
    "tune.options": {"redundancy": 0.5},
    "tune.dino.local_crop": [0.3, 0.8],
    "linear.steps": [1],
    "knn.k": [1, 5, 10, 20],
    "knn.outputs": ["encoder"],
    "finetune.layer_decay": 0.7,
    "finetune.drop_path": 0.2,
    "semi.fractions": [0.5],
    "semi.finetune": {"score_epochs": 2},
    "transfer.pairs": [PAIR],
    "transfer.finetune": {"score_epochs": 2},
    "few_shot.shots": [1, 2, 3],
    "few_shot.readings": ["neighbours"],
    "few_shot.outputs": ["encoder"],
    "few_shot.pairs": [PAIR],
    "table4.methods": ["mamp"],
    "table9.methods": ["scratch"],
    "table8.method": "dino",
    "table10.method": "moco",
    "fig3.method": "moco",
    "fig3.k": 5,
    "fig6.k": 5,
    "fig6.method": "mamp",
    "protocols.NAME.runs": ["other_xsub"],
    "protocols.NAME.options": {"near": 1},
    "tables.NAME.protocol": "knn",
    "tables.NAME.title": "Mine",
    "tables.NAME.options": {"near": 1},
    "report.shows": ["table1"],
    "claims.file": "tests/config/claims.yaml",
    "checkpoint.folder": "elsewhere",
    "compute.gpus": 2,
    "compute.nodes": {"gpus": 2, "nodes": 2},
}
ENDINGS: dict[str, Any] = {
    "crop": [0.6, 1.0],
    "betas": [0.8, 0.9],
    "methods": ["stars"],
    "runs": [],
    "columns": ["parameters"],
    "max_steps": 3,
    "data": "other",
    "split": "xview",
}  # by a key's last word
TYPES = ("int", "float", "str", "bool", "dict", "block", "null")
KINDS = {key: kind for key, kind, _, _ in rows()}


def keys() -> list[str]:
    """Every key, blocks that hold nothing but keys of their own left out."""
    return [key for key in KINDS if key in VALUES or not any(other.startswith(f"{key}.") for other in KINDS)]


def change(key: str, base: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """How a key of the configuration `base` is changed, in words and as a configuration."""
    where, value = _value(key, base)
    words = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
    changed: Any = value
    for name in reversed(where.split(".")):
        changed = {name: changed}
    return f"{where}: {words}", changed


def _value(key: str, base: dict[str, Any]) -> tuple[str, Any]:
    """Where a key is changed, and to what: another value of its kind."""
    where = WHERE.get(key, key.replace("NAME", NAMES.get(key.split(".")[0], "")))
    if key in VALUES:
        return where, VALUES[key]
    if key.rpartition(".")[2] in ENDINGS:
        return where, ENDINGS[key.rpartition(".")[2]]
    value: Any = configuration.load(base).model_dump(mode="json", by_alias=True)
    for name in where.split("."):
        value = value[name]
    choices = [choice for choice in KINDS[key].split(" | ") if choice not in (*TYPES, str(value))]
    if choices and not KINDS[key].startswith("list of "):
        return where, int(choices[0]) if choices[0].isdigit() else choices[0]
    if isinstance(value, bool):
        return where, not value
    return where, value + 1 if isinstance(value, int) else round(value * 0.9, 6) or 0.1

"""Training of any backbone with any objective: repeatable, resumable, from new networks or another's; ensembles;
what cannot be is one line.
"""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_training import CLIPS, MIRROR, Bench, at_call, curve, result, write_clips
from torch.testing import assert_close

from stars.backbones import st_gcn
from stars.backbones.base import check_features
from stars.backbones.clips import clip_features
from stars.config import TrainOptimiser
from stars.config.train import TrainBase
from stars.data.bodies import bodies_seen
from stars.data.store import ClipStore
from stars.errors import InputError, Interrupted
from stars.evaluation import ensemble
from stars.objectives import skeletonclr
from stars.objectives.aimclr import with_drop
from stars.objectives.base import Batch
from stars.pipeline import configuration
from stars.training.files import held_clips
from stars.training.network import NetworkStage, take
from stars.training.plan import Plan
from stars.training.run import Step
from stars.training.scratch import ScratchStage, scratch
from stars.training.train import NetworkSettings, TrainStage, new, step_settings, train
from stars.training.weights import load_encoder
from stars.views.crop import View

GCN = {"backbone": "st_gcn", "model": {"channels": 2, "width": 8, "frames": 16}}
GRU = {"backbone": "bi_gru", "model": {"hidden": 4, "depth": 2, "frames": 16}}
HICO = {"hidden": 8, "heads": 2, "granularities": 2, "frames": 16}
HI_TRS = {"width": 4, "heads": 2, "head_width": 4, "depth": 1, "window": 3, "stride": 3, "places": 8, "frames": 16}
SMALL = {"queue": 16, "dimension": 8}
MINING = SMALL | {"mining_epoch": 1}
MADE = SMALL | {"first_epoch": 1, "prototypes": 3, "clustered": 12, "refit_every": 2, "positives": 6}
PARENTS = (0, 0, 0, 1, 2)
OPTIMISER = TrainOptimiser(
    epochs=2.5,
    warmup_epochs=0,
    batch=4,
    lr=0.05,
    min_lr=0.0,
    weight_decay=1e-4,
    schedule="steps",
    steps=(1,),
    clip="none",
)
THREE = ("joint", "motion", "bone")
CASES = {
    "skeletonclr": ([{"name": "encoder", **GCN}], SMALL),
    "aimclr": ([{"name": "encoder", **GCN}], MINING),
    "actclr": ([{"name": "encoder", **GCN}], SMALL | {"topk": 8, "later_epoch": 1}),
    "hiclr": ([{"name": "encoder", **GCN}], MINING | {"masked_joints": 0.4}),
    "hysp": ([{"name": "encoder", **GCN}], {"hidden": 8, "dimension": 4, "curved_from": 0, "curved_at": 2}),
    "pstl": ([{"name": "encoder", **GCN}], {"frames": 2, "joints": 2, "hidden": 8}),
    "skeattnclr": (
        [{"name": "encoder", **GCN}],
        SMALL
        | {
            "hidden": 8,
            "heads": 2,
            "parts": ((0, 1), (2,), (3, 4)),
            "mixed_parts": (1, 2),
            "mixed_steps": (1, 3),
        },
    ),
    "crossclr": ([{"name": name, **GCN, "model": {**GCN["model"], "stream": name}} for name in THREE], MINING),
    "cmd": ([{"name": name, **GRU, "model": {**GRU["model"], "stream": name}} for name in THREE], SMALL | {"topk": 8}),
    "halp": ([{"name": "encoder", **GRU}], MADE),
    "halp_cmd": (
        [{"name": name, **GRU, "model": {**GRU["model"], "stream": name}} for name in THREE],
        MADE | {"topk": 8},
    ),
    "hico": ([{"name": "encoder", "backbone": "hico", "model": HICO}], SMALL),
    "hi_trs": ([{"name": "encoder", "backbone": "hi_trs", "model": HI_TRS}], {}),
    "moco": ([{"name": "encoder", **GRU}], {"queue": 16, "predictor_hidden": 8}),
    "isc": (
        [{"name": "sequence", **GRU}, {"name": "graph", "backbone": "agcn", "model": {"channels": 4, "frames": 16}}],
        SMALL,
    ),
    "predict_cluster": (
        [{"name": "encoder", **GRU, "model": GRU["model"] | {"people": "first", "axes": (0, 1, 3, 4)}}],
        {},
    ),
    "ms2l": ([{"name": "encoder", **GRU, "model": GRU["model"] | {"pool": "mean"}}], {"hidden": 8, "dimension": 4}),
}


def settings(name: str, seed: int = 0, **changes: object) -> TrainStage:
    from stars import objectives

    networks, options = CASES[name]
    block = {
        "objective": name,
        "options": options,
        "views": dict(objectives.find(name).views),
        "optimiser": OPTIMISER,
    } | changes
    return TrainStage(seed=seed, train=TrainBase(**block), networks=networks, parents=PARENTS, mirror=MIRROR)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("data"))


@pytest.fixture
def bench(tmp_path, data):
    return Bench(tmp_path, data)


def run(bench: Bench, out: str, stage: TrainStage, **more: object):
    train(bench.clips, bench.train, bench.folder / out, stage, bench.checkpoint, **more)
    return bench.folder / out


@pytest.mark.parametrize("name", CASES)
def test_a_training_is_repeated_to_the_byte_and_survives_a_restart(bench, name):
    whole, other = (result(run(bench, f"whole{seed}", settings(name, seed))) for seed in (0, 1))
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, "train", 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted, match="after step 4 of 8"):
            run(bench, "stopped", settings(name))
    assert result(run(bench, "stopped", settings(name))) == whole
    assert whole["encoder.safetensors"] != other["encoder.safetensors"]
    rows = curve(bench.folder / "stopped")
    assert [float(row["lr"]) for row in rows][-1] == pytest.approx(0.05 * 0.75) and all(
        np.isfinite(float(row["loss"])) for row in rows
    )


@pytest.mark.parametrize(
    "name", sorted(CASES.keys() - {"pstl", "hysp", "skeattnclr"})
)  # whose batch normalisation over four clips magnifies any rounding
def test_a_training_in_16_bits_is_near_one_in_32(bench, name):
    constant = OPTIMISER.model_copy(update={"epochs": 0.5, "steps": (), "schedule": "constant"})
    rows = [
        curve(run(bench, precision, settings(name, precision=precision, optimiser=constant)))[-1]
        for precision in ("fp32", "bf16")
    ]
    assert float(rows[1]["loss"]) == pytest.approx(float(rows[0]["loss"]), rel=0.05, abs=0.05)


def test_networks_that_were_trained_together_are_taken_one_by_one(bench):
    out = run(bench, "cmd", settings("cmd"))
    x_bmtvc = torch.randn(3, 2, 16, 5, 3)
    made = {}
    for number, name in enumerate(THREE):
        take(out, bench.folder / name, NetworkStage(network=name, first=number == 0))
        encoder = load_encoder(bench.folder / name / "encoder.safetensors")
        assert (encoder.name, encoder.options.stream, encoder.bodies) == ("bi_gru", name, 2)
        made[name] = clip_features(encoder, x_bmtvc)
    assert not torch.equal(made["joint"], made["motion"]) and not torch.equal(made["motion"], made["bone"])
    assert (bench.folder / "joint/encoder.safetensors").read_bytes() == (out / "encoder.safetensors").read_bytes()
    with pytest.raises(InputError, match="has no network depth: it has bone, motion"):
        take(out, bench.folder / "depth", NetworkStage(network="depth"))


def test_actclr_goes_on_where_aimclr_ended(bench):
    """With its network and projector, and copies of both on the key side."""
    parent = run(bench, "parent", settings("aimclr"))
    none = OPTIMISER.model_copy(update={"epochs": 0.0, "steps": (), "schedule": "constant"})
    started = run(
        bench, "started", settings("actclr", optimiser=none), parent=parent, heads=parent / "heads.safetensors"
    )
    for name in ("encoder.safetensors", "heads.safetensors"):
        theirs, ours = (load_file(out / name) for out in (parent, started))
        assert theirs.keys() == ours.keys() and all(torch.equal(ours[key], tensor) for key, tensor in theirs.items())


def test_a_start_is_another_training_s_networks(bench):
    parent = run(bench, "parent", settings("cmd"))
    none = OPTIMISER.model_copy(update={"epochs": 0.0, "steps": (), "schedule": "constant"})
    started = run(bench, "started", settings("cmd", seed=1, optimiser=none), parent=parent)
    assert (started / "encoder.safetensors").read_bytes() == (parent / "encoder.safetensors").read_bytes()
    theirs, ours = (load_file(out / "heads.safetensors") for out in (parent, started))
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items() if name.startswith("networks."))
    with pytest.raises(InputError, match="network encoder is not the st_gcn of the settings"):
        run(bench, "other", settings("skeletonclr"), parent=parent)
    frozen = run(
        bench, "frozen", settings("skeletonclr", tuned_blocks=2), parent=run(bench, "gcn", settings("skeletonclr"))
    )
    before, after = (load_file(bench.folder / name / "encoder.safetensors") for name in ("gcn", "frozen"))
    # statistics of batch normalisation included
    changed = {name for name in before if not before[name].equal(after[name])}
    assert frozen and changed and all(name.startswith(("blocks.8.", "blocks.9.")) for name in changed)


@pytest.mark.parametrize(
    ("mirror", "message"),
    [
        ((), r"train\.views\.extreme: swap needs the data set's mirror pairs: set mirror, or remove swap"),
        (((1, 9),), r"mirror contains joints beyond the 5 \(from 0\) of the clips in .*: correct it"),
    ],
)
def test_joints_that_cannot_be_swapped_are_one_line(bench, mirror, message):
    with pytest.raises(InputError, match=message):
        run(bench, "unmirrored", settings("aimclr").model_copy(update={"mirror": mirror}))


def test_an_ensemble_adds_features_and_scores(tmp_path, made):
    """Of the toy's own features with two weights, by hand; scores in the order of the members."""
    folders = []
    for number in range(2):
        folder = tmp_path / f"member{number}"
        folder.mkdir()
        for part in ("train", "test"):
            np.save(folder / f"toy_{part}.npy", np.load(made / f"features/toy_{part}.npy") * (1 + number))
        folders.append(folder)
    paths = made / "clips", made / "train.npy", made / "test.npy"
    members = [{"method": "b", "weight": 0.6}, {"method": "a", "weight": 0.4}]
    ensemble.features(folders, *paths, tmp_path / "out", "toy", ensemble.EnsembleStage(members=members))
    expected = np.load(made / "features/toy_test.npy") * (0.6 + 2 * 0.4)
    np.testing.assert_allclose(np.load(tmp_path / "out/toy_test.npy"), expected, rtol=1e-6)
    test, names = np.load(made / "test.npy"), np.array([f"clip{i}" for i in range(99)])
    names = np.array(ClipStore.open(made / "clips").names)[test]
    classes = int(np.asarray(ClipStore.open(made / "clips").labels).max()) + 1
    numbers = np.random.default_rng(0)
    scores = [numbers.normal(size=(len(test), classes)).astype(np.float16) for _ in range(2)]
    for folder, one in zip(folders, scores, strict=True):
        np.savez(folder / "predictions.npz", name=names, scores=one)
    ensemble.scores(
        folders, *paths, tmp_path / "linear", "toy", ensemble.ScoresStage(members=members, protocol="linear")
    )
    right = (np.float32(0.6) * scores[0].astype(np.float32) + np.float32(0.4) * scores[1].astype(np.float32)).argmax(1)
    metrics = json.loads((tmp_path / "linear/metrics.json").read_text())
    labels = np.asarray(ClipStore.open(made / "clips").labels)[test]
    assert metrics["top1"] == pytest.approx(100 * (right == labels).mean(), abs=1e-3)
    np.savez(folders[0] / "predictions.npz", name=names)
    with pytest.raises(
        InputError, match=r"predictions\.npz contains no scores: delete its folder and run its protocol again"
    ):
        ensemble.scores(
            folders, *paths, tmp_path / "linear", "toy", ensemble.ScoresStage(members=members, protocol="linear")
        )


DATA = {"demo": {"dataset": "demo", "simulate": {}}}


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"a": {"backbone": "st_gcm", "train": {"objective": "aimclr"}}}, r"methods\.a on data\.demo: backbone: no file \S+: did you mean st_gcn\?"),
        ({"a": {"backbone": "bi_gru", "train": {"objective": "aimclr"}}}, "aimclr needs features by time and joint, which bi_gru does not provide"),
        ({"a": {"backbone": "st_gcn", "pretrain": {}}}, "pretrain needs a transformer, but the backbone is st_gcn"),
        ({"a": {"train": {"objective": "mamp"}, "backbone": "st_gcn"}}, "mamp needs the backbone transformer, which st_gcn does not provide"),
        # what objectives share
        ({"a": {"train": {"objective": "queue"}}}, "no file plugins/objectives/queue.py: expected one of actclr, aimclr"),
        ({"a": {"train": {"objective": "cmd", "options": {"tau": 1}}}}, r"unknown key train\.options\.tau"),
        ({"a": {"train": {"objective": "cmd", "views": {"other": []}}}}, r"train\.views\.other: cmd has no such view; its views are query, key"),
        ({"a": {"train": {"objective": "cmd"}}, "b": {"from": "a", "network": "depth"}}, r"methods\.b\.network: a trains no network depth"),
        ({"a": {"ensemble": {"b": 1.0}, "protocols": ["knn"]}}, r"methods\.a\.ensemble: no method b"),
        ({"a": {"starts": "b", "train": {"objective": "cmd"}}}, r"methods\.a\.starts: no method b"),
        ({"a": {}, "b": {"tune": {"strategy": "cmd"}, "from": "a"}}, r"tune\.strategy: cmd trains joint, motion, bone together, but `tune` has only one"),
        ({"a": {"train": {"objective": "dino", "options": {"local_crop": [0.1, 0.2]}}}}, r"train\.options\.local_crop applies only to stage 2"),
        ({"a": {"train": {"objective": "crossclr", "options": {"queue": 4, "topk": 5}}}}, r"topk \(5\) must not be more than queue \(4\)"),
        ({"a": {"backbone": "st_gcn", "model": {"kernel": 8}}}, r"kernel \(8\) must be odd"),
        ({"a": {"backbone": "st_gcn"}}, None),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(methods, message):
    if message is None:
        config = configuration.load({"data": DATA, "methods": methods})
        assert configuration.method(config, "demo", "a").kind == "scratch" and CLIPS
        return
    with pytest.raises(InputError, match=message) as caught:
        configuration.load({"data": DATA, "methods": methods})
    assert "\n" not in str(caught.value)


def test_a_centre_that_the_skeleton_lacks_is_one_line():
    with pytest.raises(InputError, match=r"model\.centre: joint 20 is out of range: the clips have 5, from 0"):
        st_gcn.Network(st_gcn.StGcnOptions(centre=20), 5, PARENTS)


@pytest.mark.parametrize(
    ("width", "message"),
    [(8, None), (16, r"features of 2 rows must be \(2, 16\) for width 16, found \(2, 8\)"), (None, "set self.width")],
)
def test_features_of_another_shape_are_refused_before_training(width, message):
    network = st_gcn.Network(st_gcn.StGcnOptions(channels=2, width=8, frames=8), 5, PARENTS)
    del network.width
    if width is not None:
        network.width = width
    if message is None:
        check_features(network)
    else:
        with pytest.raises(InputError, match=message):
            check_features(network)


def test_random_weights_are_of_the_backbone_whose_settings_they_are(bench):
    """Also where its settings are some of the transformer's, by name."""
    stage = ScratchStage(seed=0, model={"frames": 16, "channels": 4}, parents=PARENTS, backbone="agcn")
    scratch(bench.clips, bench.folder / "agcn", stage)
    assert load_encoder(bench.folder / "agcn/encoder.safetensors").name == "agcn"
    assert ScratchStage(seed=0, model={"width": 8, "frames": 16}, backbone="mine").model == {"width": 8, "frames": 16}


def test_a_method_is_resolved_in_full_and_in_order():
    methods = {
        "cmd": {"train": {"objective": "cmd"}, "model": {"hidden": 8}},
        "bone": {"from": "cmd", "network": "bone"},
        "aimclr": {
            "backbone": "st_gcn",
            "train": {"objective": "aimclr", "views": {"key": ["crop"]}},
            "published": {"linear": {"lr": 3.0}},
        },
        "both": {"ensemble": {"bone": 0.6, "cmd": 0.4}, "protocols": ["knn"]},
    }
    config = configuration.load({"data": DATA, "methods": methods, "protocol": "published"})
    found = {
        name: configuration.stage_settings(
            config, configuration.method(config, "demo", name).kind, "demo", name, "xsub"
        )
        for name in methods
    }
    assert [(one["name"], one["model"]["stream"], one["model"]["hidden"]) for one in found["cmd"]["networks"]] == [
        (name, name, 8) for name in THREE
    ]
    assert (
        found["bone"] == {"network": "bone"}
        and configuration.method(config, "demo", "bone").blocks["model"]["stream"] == "bone"
    )
    assert found["aimclr"]["train"]["views"]["key"] == ["crop"] and found["aimclr"]["train"]["views"]["query"] == [
        "pad_crop",
        "shear",
    ]
    assert [one["method"] for one in found["both"]["members"]] == ["bone", "cmd"]
    assert configuration.method(config, "demo", "aimclr").blocks["linear"]["lr"] == 3.0
    assert configuration.trainings(config, "demo", "both") == ["cmd"]


def test_edges_that_are_not_learned_stay_ones(bench):
    fixed = NetworkSettings(name="encoder", backbone="st_gcn", model={**GCN["model"], "learned_edges": False})
    out = run(bench, "fixed", settings("skeletonclr").model_copy(update={"networks": (fixed,)}))
    tensors = load_file(out / "encoder.safetensors")
    edges = [tensor for name, tensor in tensors.items() if name.endswith(".edges")]
    assert len(edges) == 10 and all(tensor.eq(1).all() for tensor in edges)


@pytest.mark.parametrize("objective", ["aimclr", "skeattnclr"])
def test_absent_bodies_count_in_every_view_or_in_none(bench, objective):
    """A feature of one body and of the same beside an absent one, which `present` leaves out."""
    model = new(settings(objective), 5, 2)
    network = model.by_name["encoder"].eval()
    one = torch.rand(4, 1, network.frames, 5, 3, generator=torch.Generator().manual_seed(0)) + 1
    features = {}
    for name, x_bmtvc in {"alone": one, "beside": torch.cat([one, torch.zeros_like(one)], 1)}.items():
        view = View(x_bmtvc, bodies_seen(x_bmtvc))
        batch = Batch(
            {"query": view, "extreme": view},
            torch.arange(4),
            torch.zeros(4, dtype=torch.long),
            torch.Generator(),
            bodies="present",
        )
        if objective == "aimclr":
            features[name] = with_drop(batch, network, "extreme")
        else:
            features[name] = model.objective._split(
                batch, network, 1, torch.zeros(network.frames, 5, dtype=torch.bool)
            )[:2]
    for alone, beside in zip(*features.values(), strict=True):
        assert_close(beside, alone)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": lambda self: torch.nn.ModuleDict()}, r"nothing trains its contrast\.projector\.0\.weight: return the module from heads"),
        ({"columns": ("cosine",)}, r"its facts positive_cosine do not match its columns: cosine is only in one of them"),
        ({"forward": lambda self, batch, networks: (batch.features(*networks.values(), "query")[0], {})}, r"must be a scalar, found \(4, 8\)"),
        ({"forward": lambda self, batch, networks: batch.features(*networks.values(), "secnd")}, r"needs a view secnd, but its views are query, key"),
    ],
    ids=["heads", "facts", "loss", "view"],
)  # fmt: skip
def test_a_mistake_in_an_objective_is_one_line(bench, monkeypatch, changes, message):
    for name, value in changes.items():
        monkeypatch.setattr(skeletonclr.Loss, name, value)
    with pytest.raises(InputError, match=message):
        run(bench, "mistaken", settings("skeletonclr"))


def test_dropout_draws_from_the_step_s_generator_alone(bench):
    store, index, losses = ClipStore.open(bench.clips), np.load(bench.train), {}
    for name, p in {"once": 0.1, "again": 0.1, "none": 0.0}.items():
        stage = settings("hico").model_copy(
            update={"networks": (NetworkSettings(name="encoder", backbone="hico", model=HICO | {"dropout": p}),)}
        )
        model = new(stage, store.joints, store.bodies).train()
        step = Step(model, held_clips("train", store, index, torch.device("cpu")), step_settings(model, stage))
        plan = Plan.of(0, "train", len(index), stage.train.optimiser)
        known = torch.get_rng_state()
        losses[name] = step(plan.rows(0), plan.generator(0)).item()
        assert torch.equal(torch.get_rng_state(), known)
    assert losses["once"] == losses["again"] != losses["none"]  # something was dropped

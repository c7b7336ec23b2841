"""Training with any backbone and objective, from new or trained networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from stars import backbones, objectives
from stars.backbones.base import Backbone, check_features
from stars.config import Checkpoint, Sampling, Settings
from stars.config.train import TrainBase
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.provenance import code
from stars.training.files import clip_inputs
from stars.training.plan import generator, seeded
from stars.training.run import StepSettings, Views, run
from stars.training.schedule import layer_rates
from stars.training.trained import Parts, Trained, all_parts, tuned_parts
from stars.training.weights import fill_heads, load_encoder, load_network
from stars.views.spec import ViewSpec, make_views


class NetworkSettings(Settings):
    """A network to train: name, backbone, and all of the backbone's settings."""

    name: str
    backbone: str
    model: dict[str, Any]


class TrainStage(Settings):
    """Settings of a training."""

    seed: int
    train: TrainBase
    networks: tuple[NetworkSettings, ...] = Field(min_length=1)  # the first one is the result
    parents: tuple[int, ...] = ()  # of the joints
    mirror: tuple[tuple[int, int], ...] = ()  # left and right joint of each pair


def train(
    clips: Path,
    train: Path,
    out: Path,
    settings: TrainStage,
    checkpoint: Checkpoint,
    device: str = "cpu",
    parent: Path | None = None,
    heads: Path | None = None,
) -> None:
    """Train networks with an objective.

    Args:
        clips: folder of the clip store; train: its training rows (.npy).
        out: folder for encoder.safetensors, the first network; heads.safetensors, heads and further networks;
            settings.yaml, curve.csv, record.json.
        parent: method folder with the initial networks; None: new ones. heads: the initial heads.safetensors; None: new
            heads.

    Raises InputError for bad input and for a loss that is not finite, Interrupted after a signal to stop.
    """

    def made(store: ClipStore) -> tuple[Trained, StepSettings]:
        if not {joint for pair in settings.mirror for joint in pair} <= set(range(store.joints)):
            raise InputError(
                f"mirror contains joints beyond the {store.joints} (from 0) of the clips in {clips}: correct it"
            )
        model = new(settings, store.joints, store.bodies) if parent is None else started(settings, parent, store)
        if heads:
            fill_heads(heads, model.objective.kept())
            model.objective.reset_copies(model.by_name)
        return model, step_settings(model, settings)

    started_from = {} if parent is None else {"parent": parent / "encoder.safetensors"}
    if parent is not None and len(settings.networks) > 1:
        started_from["networks"] = parent / "heads.safetensors"
    inputs = clip_inputs(clips, train, **started_from, **({"heads": heads} if heads else {}))
    names = [network.backbone for network in settings.networks]
    run(code.of_training(settings.train.objective, names), settings, inputs, out, checkpoint, device, made)


def new(settings: TrainStage, joints: int, bodies: int) -> Trained:
    """Networks and objective, randomly initialised from the seed."""
    with seeded(settings.seed, "model"):
        networks = {one.name: _network(one, settings, joints, bodies) for one in settings.networks}
        return _trained(networks, settings)


def started(settings: TrainStage, parent: Path, store: ClipStore) -> Trained:
    """Networks of a method folder and a new objective; InputError if they do not match the settings or the clips."""
    networks = {}
    for number, described in enumerate(settings.networks):
        network = (
            load_network(parent / "heads.safetensors", described.name)
            if number
            else load_encoder(parent / "encoder.safetensors")
        )
        if network.joints != store.joints:
            raise InputError(
                f"{parent}: network {described.name} has {network.joints} joints, but the clips have {store.joints}:"
                " choose another"
            )
        if network.name != described.backbone or network.options != type(network).Options.model_validate(
            described.model
        ):
            raise InputError(
                f"{parent}: network {described.name} is not the {described.backbone} of the settings: start from"
                " another"
            )
        networks[described.name] = network
    with seeded(settings.seed, "heads"):
        return _trained(networks, settings)


def _network(one: NetworkSettings, settings: TrainStage, joints: int, bodies: int) -> Backbone:
    found = backbones.find(one.backbone)
    options = found.Options.model_validate(one.model)
    network = found(
        options, joints, settings.parents if found.needs_parents or options.stream == "bone" else (), bodies
    )
    check_features(network)
    return network


def _trained(networks: dict[str, Backbone], settings: TrainStage) -> Trained:
    loss = objectives.find(settings.train.objective)
    options, memory = loss.Options.model_validate(settings.train.options), generator(settings.seed, "queue")
    return Trained(networks, _parts(networks, settings.train), lambda: loss(networks, options, memory))


def _parts(networks: dict[str, Backbone], options: TrainBase) -> Parts:
    """Trained parts of the networks: all with the same learning rate, unless blocks are frozen or their learning
    rates differ.
    """
    if options.tuned_blocks is None and options.layer_decay == 1:
        return all_parts(networks)
    parts: Parts = []
    for network in networks.values():
        depth = len(network.layers().blocks)
        factors = layer_rates(
            depth, options.layer_decay, depth if options.tuned_blocks is None else options.tuned_blocks, 1
        )
        parts += tuned_parts(
            network, factors, factors[0] * options.layer_decay if options.tuned_blocks is None else 0.0
        )
    return parts


def step_settings(model: Trained, settings: TrainStage) -> StepSettings:
    """The settings of a training step."""
    options = settings.train
    if unknown := [
        name for name in model.objective.crops(Sampling()) if _alike(name, options.views) not in options.views
    ]:
        raise InputError(
            f"train.views: {options.objective} has no list for its view {unknown[0]}: set `views` in its file, or here"
        )
    specs = {
        name: ViewSpec.of(options.views[_alike(name, options.views)], f"train.views.{name}")
        for name in model.objective.crops(Sampling())
    }
    for name, spec in specs.items():
        if spec.needs_mirror and not settings.mirror:
            raise InputError(f"train.views.{name}: swap needs the data set's mirror pairs: set mirror, or remove swap")
    objective = options.objective, objectives.find(options.objective).Options.model_validate(options.options)
    return StepSettings(
        "train",
        objective,
        settings.seed,
        options.optimiser,
        _views(model, specs, settings),
        options.bodies,
        options.precision,
        options.knn_epochs,
    )


def _alike(name: str, views: dict[str, Any]) -> str:
    """`local` for a view `local_0`, unless `views` has `local_0`."""
    return name if name in views else name.rstrip("0123456789").rstrip("_")


def _views(model: Trained, specs: dict[str, ViewSpec], settings: TrainStage) -> Views:
    frames = {network.frames for network in model.by_name.values()}
    if len(frames) > 1:
        raise InputError(
            f"networks trained together need the same number of frames, found {sorted(frames)}: set the same"
            " model.frames"
        )
    (length,) = frames

    def views(clips, rows, generator):  # type: ignore[no-untyped-def]
        return make_views(clips, rows, length, specs, settings.mirror, generator, settings.train.shared_crop)

    return views

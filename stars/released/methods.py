"""Imports encoders from checkpoints of the methods that the paper compares with, recognised by tensor names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from stars.backbones import agcn, bi_gru, hcn, hi_trs, hico, st_gcn
from stars.backbones.base import Backbone
from stars.errors import InputError
from stars.released import cmd, isc, ms2l
from stars.released import hi_trs as hi_trs_names
from stars.released import hico as hico_names
from stars.released import st_gcn as st_gcn_names
from stars.released.prefix import after
from stars.training.weights import fill

JOINTS = 25  # joints of NTU RGB+D, on which all were trained
# The graph of the ST-GCN and 2s-AGCN releases: hand tips attach to thumbs, and distances start from the joint between
# the shoulders.
TREE = (1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11)
CENTRE = 20
HI_TRS_HEADS = 8  # not shown by its tensors

State = Mapping[str, Tensor]
# The network's tensors under our names, its head's, and known settings → a new network of their size.
Made = Callable[[dict[str, Tensor], State, dict[str, Any]], Backbone]


@dataclass(frozen=True)
class Family:
    """Releases with the same tensor names.

    Attributes:
        title: name of the methods.
        marks: beginnings of tensor names after the prefix that identify the family.
        networks: prefix of each possible network; the first is the default of --network.
        ours: names after a prefix → ours, for the network and its head.
        made: creates a network with the tensors' sizes.
        own_marks: whether the marks are unique, so that they also identify a single network.
    """

    title: str
    marks: tuple[str, ...]
    networks: Mapping[str, str]
    ours: Callable[[State, str], tuple[dict[str, Tensor], dict[str, Tensor]]]
    made: Made
    own_marks: bool = False

    @property
    def alone(self) -> Family:
        """The family of the first network saved alone."""
        return replace(self, networks={next(iter(self.networks)): ""})

    def of(self, state: State) -> bool:
        """Whether these tensors belong to the family."""
        names = [
            name.removeprefix(prefix) for prefix in self.networks.values() for name in state if name.startswith(prefix)
        ]
        return any(name.startswith(self.marks) for name in names)


def family(state: State) -> Family | None:
    """The family of tensors from a whole checkpoint or a single network; None: unknown."""
    sure = [found for found in FAMILIES if found.own_marks]
    unsure = [found for found in FAMILIES if not found.own_marks]
    return next((found for found in (*sure, *(found.alone for found in sure), *unsure) if found.of(state)), None)


def import_encoder(
    found: Family, state: State, path: Path, network: str | None, frames: int | None
) -> tuple[Backbone, int]:
    """An encoder of a checkpoint in evaluation mode, and the number of omitted tensors (heads, key networks, queues).

    Args:
        network: one of `found.networks`; None: the first.
        frames: frames of a clip, if the tensors do not determine it; None: as released.

    InputError for a missing network, and for tensors that do not match the release.
    """
    name = network or next(iter(found.networks))
    there = [one for one, prefix in found.networks.items() if any(tensor.startswith(prefix) for tensor in state)]
    if name not in there:
        raise InputError(
            f"{path}: a checkpoint of {found.title} without a network {name}: set --network {' or '.join(there)}"
        )
    prefix = found.networks[name]
    try:
        own, heads = found.ours(state, prefix)
        stream = {"stream": name} if name in STREAMS else {}
        encoder = found.made(own, heads, stream | ({} if frames is None else {"frames": frames}))
    except ValidationError as error:
        raise InputError(
            f"{path}: --frames {frames}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from None
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"{path}: tensor {prefix}… {error} differs from {found.title}'s in name or shape: use an unchanged release"
        ) from None
    if frames is not None and encoder.frames != frames:
        raise InputError(f"{path}: its tensors are for clips of {encoder.frames} frames: remove --frames")
    fill(encoder, own, path)
    return encoder.eval(), len(state) - sum(tensor.startswith(prefix) for tensor in state) + len(heads)


def _gru(own: dict[str, Tensor], settings: dict[str, Any]) -> Backbone:
    inputs = own["gru.weight_ih_l0"].shape[1]
    joints, bodies = (JOINTS, inputs // (3 * JOINTS)) if inputs % (3 * JOINTS) == 0 else (inputs // 3, 1)
    options = bi_gru.BiGruOptions(
        hidden=own["gru.weight_hh_l0"].shape[1],
        depth=sum(name.startswith("gru.weight_ih_l") and not name.endswith("_reverse") for name in own),
        input_norm="norm.weight" in own,
        **settings,
    )
    return bi_gru.Network(options, joints, TREE if joints == JOINTS else (), bodies)


def _forward(own: dict[str, Tensor], heads: State, settings: dict[str, Any]) -> Backbone:
    return _gru(own, {"backward": False} | settings)


def _first_person(own: dict[str, Tensor], heads: State, settings: dict[str, Any]) -> Backbone:
    # NW-UCLA's layout has other joints
    axes = {"axes": (0, 1, 12, 16)} if own["gru.weight_ih_l0"].shape[1] == 3 * JOINTS else {}
    return _gru(own, {"backward": False, "people": "first", "frames": 50} | axes | settings)


def _mean(own: dict[str, Tensor], heads: State, settings: dict[str, Any]) -> Backbone:
    return _gru(own, {"pool": "mean"} | settings)


def _st_gcn(own: dict[str, Tensor], heads: State, settings: dict[str, Any]) -> Backbone:
    first, last = own["blocks.0.temporal.weight"], own["blocks.9.temporal.weight"]
    options = st_gcn.StGcnOptions(
        channels=len(first), width=len(last), kernel=first.shape[2], centre=CENTRE, **settings
    )
    return st_gcn.Network(options, _joints(own["norm.weight"], 3), TREE, 2)


def _skeattnclr(own: dict[str, Tensor], heads: State, settings: dict[str, Any]) -> Backbone:
    return _st_gcn(own, heads, {"frames": 64, "graph": "parents"} | settings)


def _isc(own: dict[str, Tensor], heads: State, settings: dict[str, Any]) -> Backbone:
    """The sequence, the image, or the graph encoder."""
    if "gru.weight_ih_l0" in own:
        return _forward(own, heads, settings)
    if "norm.weight" not in own:
        point = own["position.0.weight"]
        sizes = hcn.HcnOptions(channels=len(point), coordinates=len(own["position.2.weight"]), **settings)
        return hcn.Network(sizes, own["position.4.weight"].shape[1], (), 2)
    first = own["blocks.0.temporal.0.weight"]
    compared = len(own["blocks.0.spatial.queries.weight"]) // agcn.SUBSETS
    options = agcn.AgcnOptions(channels=len(first), kernel=first.shape[2], share=len(first) // compared, **settings)
    return agcn.Network(options, _joints(own["norm.weight"], 6), TREE, 2)


def _hico(own: dict[str, Tensor], heads: State, settings: dict[str, Any]) -> Backbone:
    hidden, values = own["time.embed.0.weight"].shape
    options = hico.HicoBackboneOptions(
        frames=own["space.embed.0.weight"].shape[1] // 3,
        hidden=hidden,
        depth=sum(name.startswith("time.blocks.") and name.endswith(".out.weight") for name in own),
        granularities=heads["instance.0.weight"].shape[1] // (2 * hidden),
        kernel=own["time.coarser.along.weight"].shape[-1],
    )
    return hico.Network(options, JOINTS, (), values // (3 * JOINTS))


def _hi_trs(own: dict[str, Tensor], heads: State, settings: dict[str, Any]) -> Backbone:
    joints, width = own["frame.tokens.positions"].shape
    options = hi_trs.HiTrsOptions(
        window=len(own["clip.tokens.positions"]) // joints,
        width=width,
        head_width=len(own["frame.blocks.0.queries.weight"]) // HI_TRS_HEADS,
        heads=HI_TRS_HEADS,
        depth=sum(name.startswith("frame.blocks.") and name.endswith(".out.weight") for name in own),
        places=len(own["video.tokens.positions"]),
        **settings,
    )
    return hi_trs.Network(options, joints, TREE if joints == JOINTS else (), 2)


def _joints(norm: Tensor, values: int) -> int:
    if len(norm) != values * JOINTS:
        raise ValueError(f"of {len(norm)} values, not {values * JOINTS},")
    return JOINTS


def _isc_names(state: State, prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    theirs, _ = after(state, prefix)
    if "encoder.gru.weight_ih_l0" in theirs:
        return cmd.to_ours(state, prefix)
    return (isc.hcn_to_ours if "conv1.0.weight" in theirs else isc.agcn_to_ours)(state, prefix)


def _ms2l_names(state: State, prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    own, head = after(state, prefix)
    return ms2l.to_ours(own, JOINTS, own["gru.weight_ih_l0"].shape[1] // (3 * JOINTS)), head


STREAMS = {"joint": "encoder_q.", "motion": "encoder_q_motion.", "bone": "encoder_q_bone."}
FAMILIES = (
    Family(
        "SkeletonCLR, CrosSCLR, AimCLR, HiCLR or ActCLR",
        ("st_gcn_networks.",),
        STREAMS,
        st_gcn_names.to_ours,
        _st_gcn,
        own_marks=True,
    ),
    Family("SkeAttnCLR", ("st_gcn_networks.",), {"joint": "encoder_q.backbone."}, st_gcn_names.to_ours, _skeattnclr),
    Family("HiCo", ("hi_encoder.",), {"joint": "encoder_q."}, hico_names.to_ours, _hico, own_marks=True),
    Family("CMD or HaLP", ("input_norm.",), STREAMS, cmd.to_ours, _forward, own_marks=True),
    Family("ISC", ("encoder.gru.", "l1.", "conv1."), {"first": "encoder_q.", "second": "encoder_r."}, _isc_names, _isc),
    Family("P&C", ("gru.",), {"encoder": "encoder."}, after, _first_person),
    Family("Hi-TRS", ("s_input_map.",), {"encoder": ""}, hi_trs_names.to_ours, _hi_trs),
    Family("MS²L", ("gru.",), {"encoder": ""}, _ms2l_names, _mean),
)

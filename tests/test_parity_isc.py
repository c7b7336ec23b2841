"""The adaptive graph network, HCN and ISC against numbers of the release's own modules: the fixture in
STARS_PARITY_DIR.
"""

from __future__ import annotations

import pytest
import torch
from test_parity_st_gcn import PARENTS, clips, load, near

from stars.backbones import agcn, bi_gru, hcn
from stars.errors import InputError
from stars.objectives import isc
from stars.objectives.base import Batch
from stars.released import cmd as sequence_names
from stars.released.isc import agcn_to_ours, hcn_to_ours

FIXTURE = "isc"


def networks(fixture: dict) -> dict[str, torch.nn.Module]:
    cfg = fixture["cfg"]
    sequence = bi_gru.BiGruOptions(
        frames=cfg["frames"], hidden=cfg["hidden"], depth=cfg["layers"], input_norm=False, backward=False
    )
    own = {"sequence": bi_gru.Network(sequence, 25, PARENTS, 2), "graph": graph(cfg)}
    own["sequence"].load_state_dict(sequence_names.to_ours(fixture["state_before"], "encoder_q.")[0])
    own["graph"].load_state_dict(agcn_to_ours(fixture["state_before"], "encoder_r.")[0])
    return own


def graph(cfg: dict) -> agcn.Network:
    """With the fixture's channels, which do not double."""
    own = agcn.Network(agcn.AgcnOptions(frames=cfg["frames"], channels=cfg["channels"][0]), 25, PARENTS, 2)
    channels = [(cfg["channels"][{1: 0, 2: 1, 4: 2}[times]], stride) for times, stride in agcn.BLOCKS]
    before = [(3, 1), *channels[:-1]]
    own.blocks = torch.nn.ModuleList(
        agcn.Block(one, after, stride, own.options, 25, residual=number > 0)
        for number, ((one, _), (after, stride)) in enumerate(zip(before, channels, strict=True))
    )
    own.width = channels[-1][0]
    return own


def test_features():
    fixture = load(FIXTURE)
    x_bmtvc = clips(fixture["x_q"]).x_bmtvc
    for name, network in networks(fixture).items():
        near(network.eval()(x_bmtvc), fixture["features_eval"][name])


def test_hcn():
    """Features, and gradients of a weighted sum of them."""
    fixture = load(FIXTURE)
    told = fixture["hcn"]
    own = hcn.Network(hcn.HcnOptions(frames=16, coordinates=16, channels=told["channels"]), 25, PARENTS, 2)
    own.load_state_dict(hcn_to_ours(told["state"])[0])
    features_bc = own.eval()(clips(fixture["x_q"]).x_bmtvc)
    near(features_bc, told["features_eval"])
    value = (features_bc * told["weights"]).sum()
    near(value, told["value"])
    value.backward()
    for name, norm in hcn_to_ours(told["grad_norm"])[0].items():
        assert own.get_parameter(name).grad.norm().item() == pytest.approx(norm, rel=1e-4), name


def test_a_step():
    """Losses, gradients, queues, and the key side after it moved."""
    fixture = load(FIXTURE)
    cfg, state, own = fixture["cfg"], fixture["state_before"], networks(fixture)
    options = isc.IscOptions(dimension=cfg["dim"], queue=cfg["K"], momentum=cfg["m"], temperature=cfg["T"])
    loss = isc.Loss(own, options, torch.Generator()).train()
    names = {"sequence": (sequence_names.to_ours, "encoder_q.", "encoder_k.", "Queue_S1")}
    names["graph"] = (agcn_to_ours, "encoder_r.", "encoder_l.", "Queue_S2")
    contrasts = dict(zip(own, (loss.one, loss.other), strict=True))
    for name, (to_ours, query, keys, queue) in names.items():
        contrast = contrasts[name]
        contrast.projector.load_state_dict(to_ours(state, query)[1])
        of_network, of_projector = to_ours(state, keys)
        contrast.key_network.load_state_dict(of_network)
        contrast.key_projector.load_state_dict(of_projector)
        contrast.queue.entries.copy_(state[queue].T)
        own[name].train()
    views = {"query": clips(fixture["x_q"]), "key": clips(fixture["x_k"])}
    total, _ = loss(Batch(views, torch.arange(4), torch.zeros(4), torch.Generator()), own)
    near(total, fixture["loss"])
    total.backward()
    compared = 0
    for name, norm in fixture["grad_norm"].items():
        if (gradient := ours(name, own, contrasts)) is not None and norm > 1e-5:
            assert gradient.norm().item() == pytest.approx(norm, rel=1e-4), name
            compared += 1
    assert compared > 120
    for name, contrast in contrasts.items():
        near(contrast.queue.entries.T, fixture["queue_after"][name])
    after, _ = agcn_to_ours(fixture["key_after"], "encoder_l.")
    for name, tensor in loss.other.key_network.state_dict().items():
        near(tensor, after[name])


def ours(name: str, own: dict, contrasts: dict) -> torch.Tensor | None:
    """Our gradient of the release's tensor: a slice where three of theirs are one of ours; None for a bias before a
    norm.
    """
    prefix, _, rest = name.partition(".")
    kind = {"encoder_q": "sequence", "encoder_r": "graph"}[prefix]
    if rest.startswith("fc."):
        return contrasts[kind].projector.get_parameter(rest.removeprefix("fc.")).grad
    if kind == "sequence":
        return own[kind].get_parameter(rest.removeprefix("encoder.")).grad
    block, _, inner = rest.partition(".")
    if "conv_" not in inner:
        (found,) = agcn_to_ours({name: torch.zeros(())}, f"{prefix}.")[0]
        return own[kind].get_parameter(found).grad
    convolution, subset, tensor = inner.removeprefix("gcn1.").split(".")
    spatial = own[kind].blocks[int(block.removeprefix("l")) - 1].spatial
    if convolution == "conv_d":
        return None if tensor == "bias" else spatial.combine.weight.grad.chunk(3, 1)[int(subset)]
    layer = {"conv_a": spatial.queries, "conv_b": spatial.keys}[convolution]
    return getattr(layer, tensor).grad.chunk(3)[int(subset)]


def test_what_does_not_fit_is_said_in_one_line():
    with pytest.raises(InputError, match="agcn needs a parent for each of 25 joints"):
        agcn.Network(agcn.AgcnOptions(channels=4), 25)
    with pytest.raises(ValueError, match=r"frames \(50\) must be a multiple of 16"):
        hcn.HcnOptions(frames=50)
    with pytest.raises(InputError, match="isc contrasts two networks, found encoder"):
        isc.Loss({"encoder": hcn.Network(hcn.HcnOptions(channels=4), 25)}, isc.IscOptions(queue=8), torch.Generator())

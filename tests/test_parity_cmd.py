"""The bidirectional GRU and CMD against numbers of the release's own modules: its fixture in STARS_PARITY_DIR."""

from __future__ import annotations

import pytest
import torch
from test_parity_st_gcn import PARENTS, STREAMS, assert_gradients, clips, load, near

from stars.backbones.bi_gru import BiGruOptions, Network
from stars.backbones.clips import clip_features
from stars.objectives import cmd
from stars.objectives.base import Batch
from stars.released.cmd import to_ours

FIXTURE = "cmd"


def networks(fixture: dict) -> dict[str, Network]:
    cfg, frames = fixture["cfg"], fixture["x_q"].shape[2]
    made = {}
    for name, suffix in STREAMS.items():
        options = BiGruOptions(
            frames=frames, hidden=cfg["en_hidden_size"], depth=cfg["en_num_layers"], stream=name, backward=False
        )
        made[name] = Network(options, 25, PARENTS, 2)
        made[name].load_state_dict(to_ours(fixture["state_before"], f"encoder_q{suffix}.")[0])
    return made


def test_features():
    fixture = load(FIXTURE)
    x_bmtvc = clips(fixture["x_q"]).x_bmtvc
    for name, network in networks(fixture).items():
        near(network.eval()(x_bmtvc), fixture["features_eval"][name])


def test_a_step():
    """Logits, both kinds of loss, gradients, queues, and the key side after it moved."""
    fixture = load(FIXTURE)
    call, state, own = fixture["call"], fixture["state_before"], networks(fixture)
    told = cmd.CmdOptions(
        dimension=call["dim"], queue=call["K"], momentum=call["m"], temperature=call["T"],
        teacher_temperature=call["teacher_T"], student_temperature=call["student_T"], topk=call["topk"],
    )  # fmt: skip
    loss = cmd.Loss(own, told, torch.Generator()).train()
    for name, suffix in STREAMS.items():
        contrast = loss.contrasts[name]
        contrast.projector.load_state_dict(to_ours(state, f"encoder_q{suffix}.")[1])
        of_network, of_projector = to_ours(state, f"encoder_k{suffix}.")
        contrast.key_network.load_state_dict(of_network)
        contrast.key_projector.load_state_dict(of_projector)
        contrast.queue.entries.copy_(state[f"queue{suffix}"].T)
        own[name].train()
    views = {"query": clips(fixture["x_q"]), "key": clips(fixture["x_k"])}
    total, facts = loss(Batch(views, torch.arange(4), torch.zeros(4), torch.Generator()), own)
    near(total, fixture["loss"])
    near(facts["distillation"], fixture["loss_cmd"])
    total.backward()
    modules = {f"encoder_q{suffix}.": (own[name], loss.contrasts[name].projector) for name, suffix in STREAMS.items()}
    assert_gradients(fixture["grad_norm"], modules, to_ours)
    for name, suffix in STREAMS.items():
        near(loss.contrasts[name].queue.entries.T, fixture["queue_after"][f"queue{suffix}"])
    after, _ = to_ours(fixture["key_after"], "encoder_k.")
    for name, tensor in loss.contrasts["joint"].key_network.state_dict().items():
        near(tensor, after[name])


def test_both_directions_forward_are_the_network_called_frame_by_frame():
    network, x_bmtvc = (
        Network(BiGruOptions(frames=6, hidden=4, depth=2, input_norm=False, backward=False), 5, (), 2),
        torch.randn(3, 2, 6, 5, 3),
    )
    state, made = None, None
    for frame in x_bmtvc.permute(0, 2, 3, 4, 1).flatten(2).unbind(1):
        made, state = network.gru(frame[:, None], state)
    near(network(x_bmtvc), made[:, 0])


def test_a_backward_direction_ends_at_the_first_frame():
    network, x_bmtvc = (
        Network(BiGruOptions(frames=6, hidden=4, depth=1, input_norm=False), 5, (), 2),
        torch.randn(3, 2, 6, 5, 3),
    )
    outputs, _ = network.gru(x_bmtvc.permute(0, 2, 3, 4, 1).flatten(2))
    near(network(x_bmtvc), torch.cat([outputs[:, -1, :4], outputs[:, 0, 4:]], 1))


def test_a_clip_of_fewer_bodies_is_one_whose_others_are_absent():
    network, x_bmtvc = (
        Network(BiGruOptions(frames=6, hidden=4, depth=1, input_norm=False), 5, (), 2),
        torch.randn(3, 1, 6, 5, 3),
    )
    near(clip_features(network, x_bmtvc), network(torch.cat([x_bmtvc, torch.zeros_like(x_bmtvc)], 1)))


def test_operations_are_those_of_its_matrix_products():
    network = Network(BiGruOptions(frames=4, hidden=3, depth=2), 5, (), 2)
    by_hand = (
        sum(2 * weight.numel() for name, weight in network.gru.named_parameters() if name.startswith("weight")) * 4
    )
    assert network.flops() == pytest.approx(by_hand)

"""HaLP, alone and on CMD, against numbers of its release's own modules: the fixture in STARS_PARITY_DIR."""

from __future__ import annotations

import pytest
import torch
from test_parity_st_gcn import PARENTS, STREAMS, assert_gradients, clips, load, near
from torch import Tensor
from torch.nn.functional import normalize

from stars import cli
from stars.backbones.bi_gru import BiGruOptions, Network
from stars.backbones.clips import clip_features
from stars.errors import InputError
from stars.objectives import halp, halp_cmd
from stars.objectives.base import Batch
from stars.objectives.contrast import Contrast, ContrastOptions
from stars.objectives.hallucination import Hallucination, HallucinationOptions, Made, Schedule, hallucinated
from stars.objectives.prototypes import ROUNDS, draws, prototypes, refined, spread_out
from stars.objectives.queue import Queue
from stars.released.cmd import to_ours
from stars.training.weights import load_encoder

FIXTURE = "halp"


def network(fixture: dict, part: dict, stream: str) -> Network:
    size = fixture["gru"]
    options = BiGruOptions(
        frames=16, hidden=size["en_hidden_size"], depth=size["en_num_layers"], stream=stream, backward=False
    )
    made = Network(options, 25, PARENTS, 2)
    made.load_state_dict(to_ours(part["state_before"], f"encoder_q{STREAMS[stream]}.")[0])
    return made.train()


def told(fixture: dict) -> dict:
    call, given = fixture["call"], fixture["halp"]
    return {
        "dimension": call["dim"], "queue": call["K"], "momentum": call["m"], "temperature": call["T"], "prototypes": given["num_prototypes"],
        "clustered": given["queue_els_for_prototypes"], "targets": given["num_closest_to_ignore_positives"],
        "positives": given["num_positives"], "spread": float(given["lambda_pos"]), "first_epoch": 0,
    }  # fmt: skip


def made(drawn: dict, prototypes: int) -> Made:
    """The release counts its targets from the least similar one."""
    return Made(prototypes - 1 - drawn["inds"], drawn["short"])


def fill(contrast: Contrast, hallucination: Hallucination, state: dict, stream: str, names: str) -> None:
    suffix = STREAMS[stream]
    contrast.projector.load_state_dict(to_ours(state, f"encoder_q{suffix}.")[1])
    of_network, of_projector = to_ours(state, f"encoder_k{suffix}.")
    contrast.key_network.load_state_dict(of_network)
    contrast.key_projector.load_state_dict(of_projector)
    contrast.queue.entries.copy_(state[f"queue{suffix}"].T)
    hallucination.prototypes_kd.copy_(state[names])


def batch(fixture: dict) -> Batch:
    views = {"query": clips(fixture["x_q"]), "key": clips(fixture["x_k"])}
    return Batch(views, torch.arange(4), torch.zeros(4), torch.Generator())


def test_features():
    fixture = load(FIXTURE)
    near(
        network(fixture, fixture["single"], "joint").eval()(clips(fixture["x_q"]).x_bmtvc),
        fixture["single"]["features_eval"]["joint"],
    )


def test_a_step():
    """Both losses, gradients, the queue, and the key side after it moved; some positives are kept, others not."""
    fixture = load(FIXTURE)
    part = fixture["single"]
    own = network(fixture, part, "joint")
    loss = halp.Loss(
        {"encoder": own}, halp.HalpOptions(**told(fixture), weight=fixture["halp"]["mu"]), torch.Generator()
    ).train()
    fill(loss.contrast, loss.hallucination, part["state_before"], "joint", "prototypes")
    (drawn,) = part["draws"]
    total, facts = loss.made(batch(fixture), {"encoder": own}, made(drawn, fixture["halp"]["num_prototypes"]))
    near(total, part["loss"])
    near(total.detach() + part["logits"].log_softmax(1)[:, 0].mean(), part["loss_pn"])
    assert 0.1 < facts["kept"] < 0.9
    total.backward()
    modules = {"encoder_q.": (own, loss.contrast.projector)}
    assert_gradients(part["grad_norm"], modules, to_ours, at_least=20)
    near(loss.contrast.queue.entries.T, part["queue_after"])
    after, _ = to_ours(part["key_after"], "")
    for name, tensor in after.items():
        near(loss.contrast.key_network.state_dict()[name], tensor)


def test_a_step_of_three_streams():
    fixture = load(FIXTURE)
    part, call = fixture["three"], fixture["call"]
    own = {stream: network(fixture, part, stream) for stream in STREAMS}
    options = halp_cmd.HalpCmdOptions(
        **told(fixture), weight=fixture["halp"]["pn1_weight"], topk=call["topk"],
        teacher_temperature=call["teacher_T"], student_temperature=call["student_T"],
    )  # fmt: skip
    loss = halp_cmd.Loss(own, options, torch.Generator()).train()
    for stream in STREAMS:
        fill(
            loss.contrasts[stream], loss.hallucinations[stream], part["state_before"], stream, f"prototypes_{stream[0]}"
        )
    drawn = {stream: made(one, fixture["halp"]["num_prototypes"]) for stream, one in part["draws"].items()}
    total, facts = loss.made(batch(fixture), own, drawn)
    near(total, part["loss"])
    near(facts["distillation"], part["loss_cmd"])
    assert 0.1 < facts["kept"] < 0.9
    total.backward()
    modules = {
        f"encoder_q{suffix}.": (own[stream], loss.contrasts[stream].projector) for stream, suffix in STREAMS.items()
    }
    assert_gradients(part["grad_norm"], modules, to_ours)


def test_centres_are_those_of_the_release_s_clustering():
    """But for the tolerance at which geomstats ends the search for a mean: ours are nearer to their points."""
    given = load(FIXTURE)["kmeans"]
    found = refined(given["points"], given["first"], torch.zeros(ROUNDS, len(given["first"]), dtype=torch.long))
    torch.testing.assert_close(found, given["centres"], rtol=0, atol=5e-3)
    of_ours, of_theirs = (given["points"] @ centres.T for centres in (found, given["centres"]))
    assert torch.equal(of_ours.argmax(1), of_theirs.argmax(1))
    inertia = of_ours.amax(1).acos().square().sum().item()
    assert inertia == pytest.approx(given["inertia"], rel=1e-4) and inertia < given["inertia"]


def unit(*shape: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_a_centre_is_the_mean_of_its_points_and_one_without_any_is_drawn_again():
    points = unit(1, 6) + 0.1 * unit(20, 6, seed=1)
    points = normalize(torch.cat([points, -points]), dim=1)
    found = prototypes(points, draws(40, 2, torch.Generator().manual_seed(0)))
    assert found.norm(dim=1).sub(1).abs().max() < 1e-6
    mean = normalize(points[:20].sum(0), dim=0)
    assert (found @ mean).abs().min() > 0.9999 and (found @ mean).prod() < 0
    far = torch.stack([mean, mean])  # of two equal centres the second has no points
    assert not torch.equal(*refined(points, far, torch.full((ROUNDS, 2), 39)))


def test_first_centres_are_different_points():
    points = unit(12, 5)
    found = spread_out(points, torch.linspace(0, 0.999, 12))
    assert len(found.unique(dim=0)) == 12 and set(map(tuple, found.tolist())) == set(map(tuple, points.tolist()))


def test_at_the_end_of_its_way_a_positive_is_as_near_to_the_target_as_to_its_own_prototype():
    own, target = unit(2, 4)
    keys = normalize(own + 0.3 * unit(1, 4, seed=1), dim=1)
    ends = hallucinated(keys, own[None, None], target.expand(1, 2, 4), torch.tensor([[1.0, 0.0]]))[0]
    near(ends[0] @ own, ends[0] @ target)
    near(ends[1], keys[0])
    near(ends.norm(dim=1), torch.ones(2))


def test_the_newest_keys_come_first():
    queue = Queue(5, 2, "empty", torch.Generator())
    queue.update(torch.arange(14.0).view(7, 2), torch.arange(7))
    assert queue.newest(3).tolist() == [[12, 13], [10, 11], [8, 9]]


def test_prototypes_are_there_an_epoch_ahead():
    schedule = Schedule(HallucinationOptions(first_epoch=2, refit_every=10))
    seen = []
    for done, epoch in ((10, 0), (20, 1), (25, 1), (40, 2), (41, 2)):
        schedule.at(done, epoch)
        seen.append((schedule.making, schedule.refitting))
    assert seen == [(False, False), (False, True), (False, False), (True, True), (True, False)]


def test_more_prototypes_than_keys_are_refused():
    with pytest.raises(InputError, match="20 prototypes need as many keys, found 16"):
        Hallucination(ContrastOptions(queue=16), HallucinationOptions(), torch.Generator())


@pytest.mark.parametrize(("part", "stream"), [("single", "joint"), ("three", "bone")])
def test_its_checkpoints_are_imported(part, stream, tmp_path):
    fixture = load(FIXTURE)
    torch.save({"state_dict": fixture[part]["state_before"]}, tmp_path / "theirs.pt")
    out = tmp_path / "encoder.safetensors"
    assert (
        cli.main(
            ["import-weights", str(tmp_path / "theirs.pt"), "--out", str(out), "--network", stream, "--frames", "16"]
        )
        == 0
    )
    x_bmtvc = clips(fixture["x_q"]).x_bmtvc
    near(clip_features(load_encoder(out), x_bmtvc), network(fixture, fixture[part], stream).eval()(x_bmtvc))

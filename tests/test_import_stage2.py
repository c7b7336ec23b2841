"""A released stage-2 checkpoint becomes an encoder and heads of ours; the fixture holds one, and the loss that its
own code computed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from stars import cli
from stars.backbones.clips import clip_features
from stars.errors import InputError
from stars.objectives.nnclr import nnclr_loss
from stars.released.checkpoint import import_released
from stars.released.mamp import to_released
from stars.training.weights import load_encoder, load_heads

FIXTURE = Path(os.environ.get("STARS_PARITY_DIR", Path(__file__).parent / "data/parity")) / "baselines/stars_stage2.pt"
STUDENT, TEACHER = "encoder_student.", "encoder_teacher."


@pytest.fixture(scope="module")
def fixture() -> dict:
    return torch.load(FIXTURE, weights_only=True)


@pytest.fixture
def state(fixture) -> dict:
    return dict(fixture["state_before"])


@pytest.fixture
def written(tmp_path):
    def write(content: object) -> Path:
        torch.save(content, tmp_path / "stars.pt")
        return tmp_path / "stars.pt"

    return write


def with_teacher(state: dict) -> dict:
    return state | {
        name.replace(STUDENT, TEACHER): tensor for name, tensor in state.items() if name.startswith(STUDENT)
    }


def dino(state: dict) -> dict:
    """Its head is one layer; it has no queue."""
    own = {name: tensor for name, tensor in state.items() if name.startswith(STUDENT) and ".head." not in name}
    return with_teacher(own | {f"{STUDENT}head.weight": torch.randn(6, 16), f"{STUDENT}head.bias": torch.randn(6)})


def imported(path: Path, out: Path, *options: str) -> int:
    return cli.main(["import-weights", str(path), "--out", str(out), *options])


@pytest.mark.parametrize("form", ["bare", "model", "state_dict", "ddp", "teacher"])
def test_encoder_and_heads_come_with_every_number(state, written, tmp_path, capsys, form):
    content = {
        "bare": state,
        "ddp": {f"module.{name}": tensor for name, tensor in state.items()},
        "teacher": with_teacher(state),
    }.get(form, {form: state})
    path, out = written(content), tmp_path / "own" / "encoder.safetensors"
    out.parent.mkdir()
    assert imported(path, out, "--heads", "2") == 0
    teacher, more = ("encoder_teacher, ", len(state) - 3) if form == "teacher" else ("", 0)
    left = f"{teacher}queue, queue_id, queue_ptr ({3 + more} tensors)"
    assert capsys.readouterr().err == f"stars: {path}: omitted: {left}\n"
    encoder = load_encoder(out)
    projector, predictor = load_heads(out.with_name("heads.safetensors"), encoder).values()
    found = to_released({f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()})
    found |= {f"head.projector.0.{name}": tensor for name, tensor in projector.state_dict().items()}
    for number, part in ((0, predictor.widen), (1, predictor.norm), (3, predictor.narrow)):
        found |= {f"head.predictor.{number}.{name}": tensor for name, tensor in part.state_dict().items()}
    expected = {name.removeprefix(STUDENT): tensor for name, tensor in state.items() if name.startswith(STUDENT)}
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert not encoder.training and not projector.training and not predictor.training


def test_what_is_imported_computes_the_released_loss(fixture, state, written):
    encoder, heads = import_released(written(state), heads=fixture["cfg"]["num_heads"])
    step = fixture["steps"][0]
    x_bmtvc = fixture["pool"][step["ids"]].permute(0, 4, 2, 3, 1)
    g_bc = heads["projector"].train()(clip_features(encoder, x_bmtvc))
    p_bc = normalize(heads["predictor"].train()(g_bc), dim=1)
    queue_qc = state["queue"].T
    neighbours_bc = queue_qc[(normalize(g_bc, dim=1) @ queue_qc.T).argmax(1)]
    loss = nnclr_loss(neighbours_bc, p_bc, fixture["temperature"])  # both views are the whole clip
    assert loss.item() == pytest.approx(step["loss"], rel=1e-5)


def test_both_files_are_in_the_record(state, written, tmp_path, capsys):
    out = tmp_path / "encoder.safetensors"
    path = written(state)
    assert imported(path, out) == 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "8 are assumed" in said[1]
    record = json.loads((tmp_path / "encoder.safetensors.record.json").read_text())
    assert (
        set(record["outputs"]) == {"encoder.safetensors", "heads.safetensors"}
        and record["settings"]["model"]["heads"] == 8
    )
    before = [(tmp_path / name).read_bytes() for name in record["outputs"]]
    assert imported(path, out) == 0 and [(tmp_path / name).read_bytes() for name in record["outputs"]] == before
    capsys.readouterr()
    assert imported(path, tmp_path / "heads.safetensors") == 2
    assert "this name is used for the heads" in capsys.readouterr().err


def test_dino_s_head_is_a_projector_alone(state, written, capsys):
    content = dino(state)
    _, heads = import_released(written(content), heads=2)
    assert "encoder_teacher (" in capsys.readouterr().err
    expected = {f"projector.{kind}": content[f"{STUDENT}head.{kind}"] for kind in ("weight", "bias")}
    torch.testing.assert_close(dict(heads.state_dict()), expected, rtol=0, atol=0)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        *((name, None, "is missing") for name in ("pos_embed", "blocks.2.attn.qkv.bias", "norm.weight")),
        *(
            (f"head.{name}", None, "is missing")
            for name in ("projector.0.running_var", "predictor.0.weight", "predictor.3.bias")
        ),
        ("temp_embed", torch.zeros(3), r"is \(3,\), not of 4 dimensions"),
        ("blocks.1.mlp.fc1.weight", torch.zeros(3, 3), r"is \(3, 3\), not \(64, 16\)"),
        ("head.predictor.0.weight", torch.zeros(24, 8), r"is \(24, 8\), not \(24, 16\)"),
        ("head.predictor.0.weight", torch.tensor(1.0), r"is \(\), not \(1, 16\)"),
        ("head.projector.0.weight", torch.zeros(8), r"is \(8,\), not \(16,\)"),
        ("head.predictor.0.bias", torch.zeros(24), None),
        ("decoder_norm.weight", torch.zeros(16), None),
    ],
)
def test_a_tensor_that_does_not_fit_has_the_file_s_own_name(state, written, prefix, name, tensor, said):
    whole = f"{STUDENT}{name}"
    state = {key: value for key, value in state.items() if key != whole} | ({} if tensor is None else {whole: tensor})
    match = rf"unexpected tensor {prefix}{whole}:" if said is None else rf"tensor {prefix}{whole} {said}"
    with pytest.raises(InputError, match=match) as caught:
        import_released(written({prefix + key: value for key, value in state.items()}), heads=2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["queue_size", "queue.weight", "encoder_teacher", "pos_embed"])
def test_what_is_neither_the_student_s_nor_known_is_refused(state, written, name):
    with pytest.raises(InputError, match=f"unexpected tensor {name}:"):
        import_released(written(state | {name: torch.zeros(2)}), heads=2)

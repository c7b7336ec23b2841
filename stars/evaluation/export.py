"""Exports a trained encoder under the released MAMP's names, or as an ONNX graph from clips to features."""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from stars.backbones.base import Backbone
from stars.backbones.clips import counted_bodies
from stars.backbones.transformer import Network
from stars.errors import InputError, given
from stars.provenance.files import atomic
from stars.provenance.record import recording
from stars.released import mamp
from stars.released.checkpoint import EXPORTED
from stars.training.weights import load_encoder

STAGE = "stars.evaluation.export"
CLOSE = 1e-4  # largest allowed difference between torch and ONNX features, whose tokens have variance 1
BODIES = 2  # in the example for tracing; the graph accepts any number


class ClipEncoder(nn.Module):
    """Features of whole clips without data-dependent branches, for tracing: every body is a row, including absent
    ones.
    """

    def __init__(self, encoder: Backbone, bodies: Literal["all", "present"]) -> None:
        super().__init__()
        self.encoder, self.bodies = encoder, bodies

    def forward(self, clips: Tensor) -> Tensor:
        """(B, M, T, V, 3) in metres, resized to the model's frames → (B, C); equal to `clip_features`."""
        if self.encoder.whole_clips:
            return self.encoder(clips)
        pooled_bmc = self.encoder(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        counted_bm = counted_bodies((clips == 0).flatten(2).all(2), self.bodies).float()
        return (pooled_bmc * counted_bm[..., None]).sum(1) / counted_bm.sum(1, keepdim=True)


def export(encoder: Path, out: Path, form: Literal["torch", "onnx"], bodies: Literal["all", "present"] = "all") -> None:
    """Write the encoder of encoder.safetensors to the file `out`, and {out}.record.json.

    Args:
        form: torch, a file with a `model` dict in the released MAMP's names and layouts, and the `model` settings,
            which `import-weights` reads; onnx, a graph from clips (B, M, T, V, 3) to features (B, C), checked against
            torch before writing.
        bodies: averaged into a clip's feature, as in `embed.bodies` (onnx only).

    Raises InputError if the file is missing or not an encoder, the form does not support it, or onnx is not installed.
    """
    given(encoder, "an encoder.safetensors")
    with recording(
        out.parent, STAGE, {"form": form, "bodies": bodies}, {"encoder": encoder}, [out.name], f"{out.name}.record.json"
    ):
        loaded = load_encoder(encoder)
        content = released(loaded, encoder) if form == "torch" else onnx(ClipEncoder(loaded, bodies).eval())
        with atomic(out) as temporary:
            temporary.write_bytes(content)


def released(encoder: Backbone, source: Path) -> bytes:
    """A torch file {"model": tensors} in the released names and layouts, with the model settings, since tensors do
    not show the heads.
    """
    if not isinstance(encoder, Network):
        raise InputError(
            f"{source} is not a transformer, the only backbone that MAMP's names support: export it as onnx"
        )
    if encoder.shape.stream != "joint":
        raise InputError(
            f"{source} uses the stream {encoder.shape.stream}, which a released checkpoint cannot describe: export it"
            " as onnx"
        )
    own = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    content = io.BytesIO()
    tensors = {name: tensor.contiguous() for name, tensor in mamp.to_released(own).items()}
    torch.save({"model": tensors, EXPORTED: encoder.shape.model_dump(mode="json")}, content)
    return content.getvalue()


@torch.no_grad()
def onnx(model: ClipEncoder) -> bytes:
    """The model as an ONNX file with dynamic numbers of clips and bodies; InputError if its output differs from
    torch's.
    """
    try:
        from onnx.reference import ReferenceEvaluator
    except ModuleNotFoundError:
        raise InputError(
            "export to onnx needs the packages onnx and onnxscript: "
            "in the project's folder, .venv/bin/pip install --constraint envs/constraints.txt -e '.[onnx]'"
        ) from None
    graph = _traced(model)
    clips = _example(model.encoder, clips=3)
    clips[0, 1] = 0
    clips[2] = 0
    expected = model(clips).numpy()
    (found,) = ReferenceEvaluator(graph).run(None, {"clips": clips.numpy()})
    apart = float(np.abs(found - expected).max())
    if not apart <= CLOSE:
        raise InputError(
            f"the exported graph differs from torch by {apart:.2g}, more than {CLOSE:g}: use another version of"
            " onnxscript"
        )
    return graph.SerializeToString()


def _traced(model: ClipEncoder):  # type: ignore[no-untyped-def]  # onnx.ModelProto, whose package may be missing
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("bodies")}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (_example(model.encoder, clips=2),),
            dynamo=True,
            verbose=False,
            dynamic_shapes=(free,),
            input_names=["clips"],
            output_names=["features"],
        )
    assert program is not None
    return program.model_proto


def _example(encoder: Backbone, clips: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.3 * torch.randn(clips, BODIES, encoder.frames, encoder.joints, 3, generator=generator)

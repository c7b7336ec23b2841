"""Base class and types of all blocks of settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Epochs = Annotated[float, Field(ge=0)]
Precision = Literal["auto", "fp32", "tf32", "bf16"]
MAX_STEPS = "stop after this many steps, with the learning-rate schedule unchanged, for trial runs; null: no limit"
PRECISION = (
    "precision of matmuls: fp32, bf16, tf32 (GPUs only) or auto: bf16 if the device supports it natively, else fp32"
)
KNN_EPOCHS = "epochs between KNN evaluations on training clips, for monitoring (`knn_top1` in curve.csv); 0: none"


class Settings(BaseModel):
    """Base class of all blocks: rejects unknown keys; immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def key(default: Any, text: str, **limits: Any) -> Any:
    """A setting: its default, and its description with the unit."""
    return Field(default, description=text, **limits)

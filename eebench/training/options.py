"""Hyper-parameters that every method has; a method's own options extend them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from eebench.heads import HeadConfig


class TrainingOptions(BaseModel):
    """Common recipe; each method overrides the defaults with its paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(3, ge=1, description="passes over the training data (per stage)")
    lr: float = Field(2e-5, gt=0, description="peak learning rate")
    batch_size: int = Field(32, ge=1, description="samples per optimiser step")
    warmup_share: float = Field(0.1, ge=0, le=1, description="share of steps with a rising learning rate")
    warmup_epochs: float | None = Field(None, ge=0, description="warm-up in epochs, instead of the share")
    schedule: Literal["linear", "constant"] = Field("linear", description="learning rate after warm-up")
    weight_decay: float = Field(0.01, ge=0, description="AdamW decay, none on biases and LayerNorm")
    clip_norm: float = Field(1.0, gt=0, description="largest gradient norm, over trained parameters")
    adam_eps: float = Field(1e-8, gt=0, description="AdamW epsilon")
    max_length: int | None = Field(None, ge=3, description="tokens kept; None takes the task's (128)")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 where the device has it"
    )
    select: Literal["last", "best"] = Field("last", description="which epoch's weights are kept")
    holdout: float = Field(0.0, ge=0, lt=0.9, description="share of train held out for selection; 0: use dev")
    patience: int | None = Field(None, ge=1, description="stop after so many epochs without gain")
    train_rows: int | None = Field(None, ge=1, description="use only so many training rows")
    head: HeadConfig = Field(HeadConfig(), description="form of the exits")

    @field_validator("head", mode="before")
    @classmethod
    def _rest_stays(cls, head: Any) -> Any:
        """What is not said about the head stays as the method has it: another pooling changes no pooler."""
        default = cls.model_fields["head"].default
        return {**default.model_dump(), **head} if isinstance(head, Mapping) else head

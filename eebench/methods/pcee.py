"""PCEE-BERT: PABEE's training with the patient and confident rule."""

from __future__ import annotations

from eebench.methods.joint import Pabee, PabeeOptions


class PceeOptions(PabeeOptions):
    """The released MRPC script: 15 epochs, batch 16, 200 warm-up steps, otherwise PABEE's.

    MRPC has 230 steps an epoch at that batch, so its 200 steps are 0.87 epochs, which other tasks have too.
    """

    epochs: int = 15
    batch_size: int = 16
    warmup_epochs: float | None = 0.87


class Pcee(Pabee):
    """Training is exactly PABEE's, so with the same options the run is shared; only the rule differs."""

    name, title, default_rule = "pcee", "PCEE-BERT", "patient-confident"
    paper = "PCEE-BERT (Zhang et al. 2022)"
    options_type = PceeOptions

    @property
    def recipe(self) -> str:
        return Pabee.name

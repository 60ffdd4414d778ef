import pytest
from pydantic import ValidationError

from eebench.training.options import TrainingOptions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("lr", 0.0),
        ("warmup_share", 1.5),
        ("clip_norm", 0.0),
        ("precision", "fp8"),
        ("max_length", 2),
    ],
)
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(ValidationError):
        TrainingOptions(**{name: value})


def test_options_cannot_change_after_they_are_resolved():
    with pytest.raises(ValidationError):
        TrainingOptions().lr = 1.0

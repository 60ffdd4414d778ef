import pytest

from eebench.training.options import TrainingOptions
from eebench.training.schedules import Schedule, schedule_of


def test_linear_warm_up_and_decay_by_hand():
    schedule = Schedule(peak=1.0, warmup=2, total=6, decay=True)
    assert [schedule.at(step) for step in range(7)] == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]


def test_constant_after_warm_up():
    schedule = Schedule(peak=2.0, warmup=1, total=4, decay=False)
    assert [schedule.at(step) for step in range(4)] == [2.0, 2.0, 2.0, 2.0]


def test_warm_up_in_epochs_takes_the_place_of_the_share():
    share = schedule_of(TrainingOptions(warmup_share=0.1), 1e-3, epochs=2, steps_per_epoch=50)
    epochs = schedule_of(TrainingOptions(warmup_epochs=0.8), 1e-3, epochs=2, steps_per_epoch=50)
    assert (share.warmup, epochs.warmup, share.total) == (10, 40, 100)
    assert schedule_of(TrainingOptions(warmup_share=0.0), 1.0, 1, 10).at(0) == pytest.approx(1.0)

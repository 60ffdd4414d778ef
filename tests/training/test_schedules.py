import pytest

from eebench.training.options import TrainingOptions
from eebench.training.schedules import Schedule, schedule_of, steps_in


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


@pytest.mark.parametrize(
    ("epochs", "per_epoch", "steps"),
    [(2, 50, 100), (0.5, 5, 2), (0.29, 100, 29), (0.3, 10, 3), (0.01, 5, 1), (0, 5, 0), (0.33, 12272, 4049)],
)
def test_steps_in_a_part_of_an_epoch_are_rounded_down_to_one_at_least(epochs, per_epoch, steps):
    assert steps_in(epochs, per_epoch) == steps
    assert schedule_of(TrainingOptions(), 1.0, epochs, per_epoch).total == steps


def test_the_options_give_form_and_warm_up():
    linear = TrainingOptions(schedule="linear", warmup_share=0.25)
    assert schedule_of(linear, 1e-3, epochs=1, steps_per_epoch=8) == Schedule(1e-3, 2, 8, decay=True)
    constant = TrainingOptions(schedule="constant", warmup_share=0.25)
    assert schedule_of(constant, 1e-3, epochs=1, steps_per_epoch=8) == Schedule(1e-3, 2, 8, decay=False)
    # A warm-up longer than the stage is cut: the rate rises to the end and is then 0.
    long = schedule_of(TrainingOptions(warmup_epochs=5), 1.0, epochs=0.5, steps_per_epoch=8)
    assert [long.at(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 0.0]

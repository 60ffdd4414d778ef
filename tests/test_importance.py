"""Importance against terms written out by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from eebench.backbones.toy import toy_backbone
from eebench.importance import (
    bootstrap,
    contributions,
    head_scores,
    neuron_scores,
    scored_weights,
    strongest,
    without_dropout,
)
from eebench.slender import layer_parts

TERMS = {
    "0.output": torch.tensor([[1.0, 2.0, -3.0, 4.0], [1.0, 0.0, 1.0, -9.0]]),  # H = 2, two heads of width 2
    "0.query": torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 2.0], [0.0, 0.0]]),
    "0.key": torch.zeros(4, 2),
    "0.value": torch.tensor([[0.5, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]),
    "0.inner": torch.tensor([[1.0, -2.0], [3.0, 4.0], [0.0, 0.5]]),  # F = 3
    "0.outer": torch.tensor([[1.0, -7.0, 0.0], [0.0, 0.0, 0.25]]),
}


def two_losses(weight: nn.Parameter) -> list[Tensor]:
    """Gradients (3, -1) and (-1, -2)."""
    return [(weight * torch.tensor([3.0, -1.0])).sum(), (weight * torch.tensor([-1.0, -2.0])).sum()]


def test_the_code_sums_absolute_gradients_over_batches() -> None:
    weight = nn.Parameter(torch.tensor([-2.0, 5.0]))
    (terms,) = contributions([weight], two_losses(weight), "abs_elementwise")
    assert terms.tolist() == [2.0 * 4.0, 5.0 * 3.0]


def test_the_paper_sums_gradients_first() -> None:
    weight = nn.Parameter(torch.tensor([-2.0, 5.0]))
    (terms,) = contributions([weight], two_losses(weight), "abs_sum")
    assert terms.tolist() == [-2.0 * 2.0, 5.0 * -3.0]


def test_a_head_is_scored_by_its_columns_of_the_output_projection() -> None:
    # head 0: columns 0 and 1: 1 + 2 + 1 + 0; head 1: |-3 + 4 + 1 - 9|
    assert head_scores(TERMS, 0, head_size=2).tolist() == [4.0, 7.0]


def test_a_whole_head_has_its_rows_of_query_key_and_value_too() -> None:
    # head 0: 4 + 4 + 0.5; head 1: |-7 + 2 + 1|
    assert head_scores(TERMS, 0, head_size=2, counted="whole").tolist() == [8.5, 4.0]


def test_a_neuron_is_scored_by_its_row_and_its_column() -> None:
    # |-1 + 1|, |7 - 7|, |0.5 + 0.25|
    assert neuron_scores(TERMS, 0).tolist() == [0.0, 0.0, 0.75]


def test_the_strongest_stay_in_order() -> None:
    assert strongest(torch.tensor([1.0, 5.0, 3.0, 5.0]), 3) == [1, 2, 3]
    assert strongest(torch.tensor([2.0, 2.0, 2.0]), 2) == [0, 1]


def test_scored_weights_are_the_models_own_and_biases_are_not_among_them() -> None:
    backbone = toy_backbone()
    found = scored_weights(layer_parts(layer) for layer in backbone.layers)
    assert len(found) == 12
    assert found["1.outer"] is layer_parts(backbone.layers[1]).outer.weight


def test_the_sample_is_drawn_with_replacement_and_follows_the_seed() -> None:
    torch.manual_seed(3)
    first, second = bootstrap(200), bootstrap(200)
    torch.manual_seed(3)
    assert np.array_equal(first, bootstrap(200))
    assert not np.array_equal(first, second)
    assert len(first) == 200 and first.min() >= 0 and first.max() < 200
    assert 100 < len(np.unique(first)) < 160  # 1 - 1/e of the rows, on average 126


def test_dropout_is_off_inside_the_block_only() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.25)))
    model[1].eval()
    ones = torch.ones(50)
    with without_dropout(model):
        assert model[1].training and torch.equal(model(ones), ones)
    assert (model[0].p, model[1][0].p) == (0.5, 0.25)
    assert model[0].training and not model[1].training and not model[1][0].training


def test_dropout_comes_back_after_an_error() -> None:
    model = nn.Dropout(0.5)
    with pytest.raises(RuntimeError, match="inside"), without_dropout(model):
        raise RuntimeError("inside")
    assert model.p == 0.5

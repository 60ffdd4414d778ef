import numpy as np
import pytest

from eebench.cost.conventions import convention
from eebench.cost.operations import ModelCost, Operations, Polynomial
from eebench.cost.paths import full_flops, path_flops
from eebench.errors import ModelError


def layer(linear: int, matmul: int = 0) -> Operations:
    return Operations(Polynomial(0, linear), Polynomial(0, 0, matmul), Polynomial(0, 999), layers=1)


def constant(linear: int) -> Operations:
    return Operations(linear=Polynomial(linear))


# Three layers of different size; the exits cost 1, 2, 4 MACs whatever the length.
COST = ModelCost(
    embedding=constant(1000),
    layers=(layer(10, 1), layer(20, 2), layer(30, 3)),
    exits={1: constant(1), 2: constant(2), 3: constant(4)},
    classifier=constant(100),
)
LENGTHS = np.array([1, 5])


def test_every_exit_evaluated():
    # n = 5, linear: 1000 + 50 + 1;  1000 + 150 + 1 + 2;  1000 + 300 + 1 + 2 + 4
    costs = path_flops(COST, (1, 2, 3), LENGTHS, convention("linear_mac"), "all")
    assert costs.dtype == np.int64
    assert costs.tolist() == [[1011, 1051], [1033, 1153], [1067, 1307]]


def test_only_the_answering_exit_evaluated():
    costs = path_flops(COST, (1, 2, 3), LENGTHS, convention("linear_mac"), "last")
    assert costs.tolist() == [[1011, 1051], [1032, 1152], [1064, 1304]]


def test_attention_products_grow_with_the_square():
    # n = 5: matmul 25 x (1, 1 + 2, 1 + 2 + 3) added to the linear MACs, everything doubled
    costs = path_flops(COST, (1, 2, 3), LENGTHS, convention("full_2mac"), "all")
    assert costs[:, 1].tolist() == [2 * (1051 + 25), 2 * (1153 + 75), 2 * (1307 + 150)]


def test_a_run_with_fewer_exits_pays_for_fewer_heads():
    costs = path_flops(COST, (2, 3), LENGTHS, convention("linear_mac"), "all")
    assert costs.tolist() == [[1032, 1152], [1066, 1306]]
    single = path_flops(COST, (3,), LENGTHS, convention("linear_mac"), "all")
    assert single.tolist() == [[1064, 1304]]


def test_layers_convention_counts_layers_only():
    costs = path_flops(COST, (1, 3), LENGTHS, convention("layers"), "all")
    assert costs.tolist() == [[1, 1], [3, 3]]
    assert full_flops(COST, LENGTHS, convention("layers")).tolist() == [3, 3]


def test_reference_has_one_ordinary_classifier_and_no_exits():
    full = full_flops(COST, LENGTHS, convention("linear_mac"))
    assert full.dtype == np.int64
    assert full.tolist() == [1000 + 60 + 100, 1000 + 300 + 100]


def test_no_exits_give_no_rows():
    assert path_flops(COST, (), LENGTHS, convention("layers"), "all").shape == (0, 2)


@pytest.mark.parametrize("evaluated", ["all", "last"])
def test_unknown_exit_is_named(evaluated: str):
    with pytest.raises(ModelError, match=r"no cost for an exit after layer 4; .* after layers 1, 2, 3"):
        path_flops(COST, (1, 4), LENGTHS, convention("layers"), evaluated)

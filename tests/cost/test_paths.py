from dataclasses import replace

import numpy as np
import pytest

from eebench.cost.conventions import convention
from eebench.cost.operations import ModelCost, Operations, Polynomial
from eebench.cost.paths import full_flops, path_flops, path_operations, skipping_flops
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


def test_of_several_unknown_exits_the_first_is_named():
    with pytest.raises(ModelError, match="no cost for an exit after layer 9;"):
        path_operations(COST, (9, 40), 40, "all")


def test_every_kind_of_operation_is_summed_over_the_path():
    cost = replace(COST, embedding=Operations(Polynomial(5), normalization=Polynomial(3)))
    # Embedding, two layers of 999 n, heads 1 and 2; without being asked for, no similarity.
    assert path_operations(cost, (1, 2, 3), 2, "all") == Operations(
        Polynomial(5 + 1 + 2, 10 + 20), Polynomial(0, 0, 1 + 2), Polynomial(3, 2 * 999), layers=2
    )


def test_a_step_of_the_similarity_is_paid_at_every_exit_that_asks():
    cost = replace(COST, extras={"similarity": Operations(matmul=Polynomial(c2=5))})
    plain = path_flops(cost, (1, 2, 3), np.array([3]), convention("full_2mac"), "last")
    asked = path_flops(cost, (1, 2, 3), np.array([3]), convention("full_2mac"), "last", compared=True)
    # Asked at the first two exits, never at the last: 2 x 5 x 3^2 each.
    assert (asked - plain).tolist() == [[90], [180], [180]]


GATES = {"gate_1": constant(7), "gate_2": constant(8), "gate_3": constant(9)}


def test_gates_are_paid_on_every_path():
    gated = path_flops(replace(COST, extras=GATES), (1, 2, 3), LENGTHS, convention("linear_mac"), "all")
    assert (gated - path_flops(COST, (1, 2, 3), LENGTHS, convention("linear_mac"), "all")).tolist() == [
        [7, 7], [15, 15], [24, 24],
    ]  # fmt: skip


def test_skipped_layers_cost_their_gate_alone():
    # Three samples of 5, 1 and 5 tokens: all layers run; only the second; none.
    executed = np.array([[True, False, False], [True, True, False], [True, False, False]])
    cost, lengths = replace(COST, extras=GATES), np.array([5, 1, 5])
    every = skipping_flops(cost, executed, lengths, convention("linear_mac"), "all")
    # Embedding 1000, gates 7, 8, 9, layers 10 n, 20 n, 30 n, heads 1, 2, 4. The last exit answers in any case.
    assert every[2].tolist() == [1000 + 24 + 300 + 7, 1000 + 24 + 20 + 2 + 4, 1000 + 24 + 4]
    assert every[1].tolist()[:2] == [1000 + 15 + 150 + 3, 1000 + 15 + 20 + 2]
    assert (
        every[:, 0].tolist()
        == path_flops(cost, (1, 2, 3), np.array([5]), convention("linear_mac"), "all")[:, 0].tolist()
    )
    one = skipping_flops(cost, executed, lengths, convention("linear_mac"), "last")
    assert one[2].tolist() == [1000 + 24 + 300 + 4, 1000 + 24 + 20 + 4, 1000 + 24 + 4]
    layers = skipping_flops(cost, executed, lengths, convention("layers"), "all")
    assert layers[2].tolist() == [3, 1, 0]

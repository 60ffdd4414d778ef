import numpy as np
import pytest

from eebench.cost.conventions import CONVENTIONS, DEFAULT_CONVENTION, convention, flops
from eebench.cost.operations import Operations, Polynomial
from eebench.errors import UnknownName, UserError

# One BERT-base layer: 7,077,888 weights in linear maps, 2 x 768 products per pair of tokens; two residual sums
# and a mask on the scores of 12 heads.
LAYER = Operations(
    Polynomial(0, 7_077_888), Polynomial(0, 0, 1536), Polynomial(0, 7680), 1, Polynomial(0, 1536, 12)
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("full_2mac", 2 * (905_969_664 + 25_165_824)),
        ("linear_2mac", 1_811_939_328),
        ("linear_mac", 905_969_664),
        ("layers", 1),
        ("torch110_profiler", 1_811_939_328 + 2 * 128 * 768 + 12 * 128 * 128),
    ],
)
def test_one_layer_at_128_tokens(name: str, expected: int):
    assert flops(LAYER, 128, convention(name)) == expected


def test_all_names_are_covered_above():
    assert set(CONVENTIONS) == {"full_2mac", "linear_2mac", "linear_mac", "layers", "torch110_profiler"}
    assert DEFAULT_CONVENTION in CONVENTIONS
    assert all(entry.name == name and entry.description for name, entry in CONVENTIONS.items())


def test_arrays_give_int64_of_the_same_shape():
    costs = flops(LAYER, np.array([1, 128]), convention("linear_mac"))
    assert costs.dtype == np.int64
    assert costs.tolist() == [7_077_888, 905_969_664]
    layers = flops(LAYER * 3, np.array([1, 128]), convention("layers"))
    assert layers.dtype == np.int64
    assert layers.tolist() == [3, 3]


def test_layer_normalisation_is_in_no_convention():
    only_norm = Operations(normalization=Polynomial(0, 7680))
    assert [flops(only_norm, 128, entry) for entry in CONVENTIONS.values()] == [0] * 5


def test_unknown_convention_suggests_the_closest():
    with pytest.raises(UnknownName, match="unknown convention 'linear_2macs'; did you mean 'linear_2mac'"):
        convention("linear_2macs")


@pytest.mark.parametrize("length", [0, -3, np.array([12, 0])])
def test_lengths_below_one_are_refused(length: int):
    with pytest.raises(UserError, match="give a length of 1 or more"):
        flops(LAYER, length, convention("full_2mac"))


def test_a_cost_has_the_unit_of_its_convention():
    assert {name: entry.unit for name, entry in CONVENTIONS.items()} == {
        "full_2mac": "FLOP", "linear_2mac": "FLOP", "linear_mac": "MAC", "layers": "layer", "torch110_profiler": "FLOP",
    }  # fmt: skip

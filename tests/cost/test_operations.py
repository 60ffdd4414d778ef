import json
import random
from fractions import Fraction

import numpy as np
import pytest

from eebench.cost.operations import ModelCost, Operations, Polynomial, fit, gram_matrix
from eebench.errors import ModelError


def test_value_at_an_int_and_over_an_array():
    polynomial = Polynomial(3, 5, 2)
    assert polynomial(10) == 3 + 50 + 200
    values = polynomial(np.array([[0, 1], [2, 10]]))
    assert values.dtype == np.int64
    assert values.tolist() == [[3, 10], [21, 253]]


def test_narrow_integers_are_widened_before_they_overflow():
    values = Polynomial(0, 7_077_888, 1536)(np.array([128, 512], dtype=np.int32))
    assert values.tolist() == [931_135_488, 7_077_888 * 512 + 1536 * 512**2]


def test_float_lengths_are_refused():
    with pytest.raises(TypeError):
        Polynomial(0, 1, 0)(np.array([1.5]))


def test_add_subtract_multiply():
    first, second = Polynomial(1, 2, 3), Polynomial(10, 20, 30)
    assert first + second == Polynomial(11, 22, 33)
    assert second - first == Polynomial(9, 18, 27)
    assert first * 4 == Polynomial(4, 8, 12)


def test_fractions_stay_exact():
    triangle = Polynomial(0, Fraction(1, 2), Fraction(1, 2))
    assert triangle(7) == 28
    assert triangle(np.array([1, 2, 3_000_001])).tolist() == [1, 3, 4_500_004_500_001]
    with pytest.raises(ValueError, match="no whole number at length 3"):
        Polynomial(0, Fraction(1, 2))(3)


def test_fit_recovers_random_quadratics():
    generator = random.Random(5)
    for _ in range(50):
        wanted = Polynomial(*(generator.randrange(10**9) for _ in range(3)))
        lengths = generator.sample(range(1, 512), 5)
        assert fit(lengths, [wanted(length) for length in lengths]) == wanted


def test_fit_finds_halves():
    lengths = [3, 8, 12, 20]
    counts = [length * (length + 1) // 2 for length in lengths]
    assert fit(lengths, counts) == Polynomial(0, Fraction(1, 2), Fraction(1, 2))


def test_fit_refuses_a_cubic():
    lengths = [2, 4, 6, 9]
    with pytest.raises(ModelError, match="not quadratic in the sequence length: 729 at length 9"):
        fit(lengths, [length**3 for length in lengths])


@pytest.mark.parametrize(
    ("lengths", "counts"),
    [([1, 2, 3], [1, 2, 3]), ([1, 2, 2, 3], [1, 2, 2, 3]), ([1, 2, 3, 4], [1, 2, 3])],
)
def test_fit_needs_four_different_pairs(lengths: list[int], counts: list[int]):
    with pytest.raises(ValueError, match="four or more different lengths"):
        fit(lengths, counts)


def test_operations_sum_part_by_part():
    layer = Operations(Polynomial(0, 10, 0), Polynomial(0, 0, 2), Polynomial(0, 3, 0), 1, Polynomial(5))
    head = Operations(Polynomial(7), Polynomial(8), Polynomial(9), 4, Polynomial(1))
    assert layer * 2 + head == Operations(
        Polynomial(7, 20, 0), Polynomial(8, 0, 4), Polynomial(9, 6, 0), 6, Polynomial(11)
    )


def test_gram_matrix_is_the_cka_step_of_the_papers():
    step = gram_matrix(768)
    assert step.matmul(128) == 12_582_912
    assert step.matmul(30) * 2 == 1_382_400
    assert step.linear(128) == 0 and step.layers == 0


def test_what_is_computed_before_a_layer_is_all_that_bears_its_number():
    extras = {"gate_1": Operations(Polynomial(7)), "probe_1": Operations(Polynomial(1), layers=2),
              "gate_11": Operations(Polynomial(30)), "similarity": gram_matrix(4)}  # fmt: skip
    nothing = Operations()
    cost = ModelCost(nothing, (nothing,) * 11, {}, nothing, extras)
    assert cost.before(1) == Operations(Polynomial(8), layers=2)
    assert cost.before(11) == Operations(Polynomial(30)) and cost.before(2) == nothing


def test_model_cost_survives_json():
    layer = Operations(Polynomial(0, 10), Polynomial(0, Fraction(1, 2), Fraction(3, 2)), layers=1)
    cost = ModelCost(
        embedding=Operations(normalization=Polynomial(0, 5)),
        layers=(layer, layer * 3),
        exits={1: Operations(Polynomial(4)), 2: Operations(Polynomial(8))},
        classifier=Operations(Polynomial(16)),
        extras={"cka_step": gram_matrix(4)},
    )
    text = json.dumps(cost.as_dict())
    assert ModelCost.from_dict(json.loads(text)) == cost
    assert cost.as_dict()["layers"][0]["matmul"] == [0, "1/2", "3/2"]


def test_a_cost_stored_without_sums_is_still_read():
    plain = Operations(Polynomial(3), layers=2).as_dict()
    del plain["elementwise"]
    assert Operations.from_dict(plain) == Operations(Polynomial(3), layers=2)

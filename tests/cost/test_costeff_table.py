"""Every cell of the paper's table that shapes determine, and the constants behind them."""

import pytest

from eebench.cost.conventions import convention, flops
from eebench.cost.costeff_table import ROWS, Row, costeff_rows, measured

PROFILER = convention("torch110_profiler")


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    return {row.printed.model: row for row in costeff_rows()}


# millions of parameters and the ratio, before the paper's rounding to one decimal
PARAMETERS = {
    "BERT_8L-256H": (14.330, 7.64), "TinyBERT4": (14.351, 7.63), "DeeBERT_12L-256H": (18.219, 6.01),
    "PABEE_12L-256H": (17.495, 6.26), "COST-EFF_8x": (13.920, 7.865), "BERT_6L-768H": (66.957, 1.635),
    "ElasticBERT_6L": (66.374, 1.6495), "DeeBERT_12L-512H": (56.884, 1.925), "PABEE_12L-512H": (53.995, 2.028),
    "COST-EFF_2x": (54.985, 1.991),
}  # fmt: skip


@pytest.mark.parametrize("model", PARAMETERS)
def test_parameter_reductions(rows: dict[str, Row], model: str) -> None:
    millions, ratio = PARAMETERS[model]
    row = rows[model]
    assert row.parameters / 1e6 == pytest.approx(millions, abs=5e-4)
    assert row.parameter_ratio == pytest.approx(ratio, abs=5e-3)


@pytest.mark.parametrize("model", [row.model for row in ROWS])
def test_every_printed_parameter_ratio_is_reproduced(rows: dict[str, Row], model: str) -> None:
    # ElasticBERT's 1.6495 is the only one that rounding in between could move
    assert f"{rows[model].parameter_ratio:.1f}" == rows[model].printed.parameters


def test_the_two_slender_models_to_the_last_parameter(rows: dict[str, Row]) -> None:
    assert rows["COST-EFF_8x"].parameters == 13_920_024
    assert rows["COST-EFF_2x"].parameters == 54_984_984


@pytest.mark.parametrize(
    ("model", "mflops"),
    [("BERT_Base", 21749.27), ("TinyBERT4", 1166.83), ("BERT_8L-256H", 1611.83), ("BERT_6L-768H", 10875.28)],
)
def test_profiled_constants(rows: dict[str, Row], model: str, mflops: float) -> None:
    assert round(rows[model].flops / 1e6, 2) == mflops


@pytest.mark.parametrize(
    ("model", "per_layer", "rank_map"), [("COST-EFF_8x", 201.56, 25.17), ("COST-EFF_2x", 906.26, 75.50)]
)
def test_parts_of_the_slender_models(
    rows: dict[str, Row], model: str, per_layer: float, rank_map: float
) -> None:
    _, cost = measured(rows[model].printed)
    assert [round(flops(layer, 128, PROFILER) / 1e6, 2) for layer in cost.layers] == [per_layer] * 12
    assert round(2 * cost.embedding.linear(128) / 1e6, 2) == rank_map
    assert round(cost.embedding.elementwise(128) / 1e6, 2) == 0.20


@pytest.mark.parametrize(
    "model", ["BERT_8L-256H", "TinyBERT4", "BERT_6L-768H", "DistilBERT6", "TinyBERT6", "DeeBERT_12L-512H"]
)
def test_models_that_save_nothing_by_leaving_have_their_printed_reduction(
    rows: dict[str, Row], model: str
) -> None:
    printed = float(rows[model].printed.flops)
    # 2.2499 is printed as 2.2
    assert abs(rows[model].flop_ratio - printed) <= 0.05


@pytest.mark.parametrize(
    ("model", "ratio", "executed"),
    [
        ("COST-EFF_8x", 8.90, 5.55),
        ("COST-EFF_8x, simple inputs", 8.90, 5.19),
        ("COST-EFF_2x", 1.986, 9.92),
        ("DeeBERT_12L-256H", 9.00, 7.25),
        ("PABEE_12L-256H", 9.00, 7.44),
        ("ElasticBERT_6L", 2.00, 5.00),
        ("DeeBERT_12L-512H", 2.2499, 12.3),
    ],
)
def test_dynamic_models_at_full_depth(
    rows: dict[str, Row], model: str, ratio: float, executed: float
) -> None:
    assert rows[model].flop_ratio == pytest.approx(ratio, abs=5e-3)
    assert rows[model].executed == pytest.approx(executed, abs=0.04)


def test_the_reference_and_a_static_model_have_no_executed_layers(rows: dict[str, Row]) -> None:
    assert rows["BERT_Base"].flop_ratio == rows["BERT_Base"].parameter_ratio == 1.0
    assert rows["TinyBERT4"].executed is None and rows["TinyBERT4"].cells()[-1] == ""
    assert rows["TinyBERT4"].as_dict()["flop_ratio"] == 18.6396

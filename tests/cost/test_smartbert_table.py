from fractions import Fraction

import pytest

from eebench.cost.smartbert_table import Row, smartbert_rows


@pytest.fixture(scope="module")
def rows():
    return {row.operation: row for row in smartbert_rows()}


@pytest.mark.parametrize(
    ("operation", "macs", "printed"),
    [("transformer layer", 905_969_664, "1811.8"), ("classifier", 18_891_008, "37.6"),
     ("skipping gate", 18_874_496, "37.4"), ("BERT", 10_872_227_328, "21744"),
     ("DistillBERT", 5_436_409_344, "10872"), ("FastBERT, all layers", 11_098_328_064, "22196"),
     ("DeeBERT, all layers", 10_878_732_288, "21758")],
)  # fmt: skip
def test_every_printed_number_is_exact_as_read(rows, operation, macs, printed):
    row = rows[operation]
    assert sum(row.parts) == macs and row.exact == Fraction(2 * macs, 10**6)
    assert row.printed == printed and row.read == Fraction(printed)


def test_a_row_as_text_and_as_data():
    row = Row("gate", (12_582_912, 6_291_456, 128), "37.4", "cut parts x 2")
    assert row.cells() == ("gate", "37.749", "37.4", "-0.349", "cut parts x 2", "+0.0")
    assert row.as_dict() == {
        "operation": "gate", "mflop": 37.748992, "printed": "37.4", "reading": "cut parts x 2", "residual": 0.0,
    }  # fmt: skip

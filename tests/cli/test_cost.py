import io
import json
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from eebench.cli.cost import CostTable, aligned, cost, millions, show
from eebench.cost.breakdown import Component
from eebench.cost.conventions import convention
from eebench.cost.operations import Operations, Polynomial
from eebench.errors import ModelError, UnknownName, UserError


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(cost)
    return CliRunner().invoke(app, arguments)


def table_of(name: str) -> CostTable:
    component = Component("layer [1]", 1, Operations(Polynomial(0, 1000), layers=1), 12345)
    return CostTable("some[bold]where", 10, 2, "own", convention(name), (component,))


def test_bert_base_as_text():
    result = run("--backbone", "bert-base-uncased", "--convention", "linear_2mac")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "bert-base-uncased, 128 tokens, 2 classes, exit pooler: own"
    assert lines[1].startswith("linear_2mac: 2 FLOP per MAC of linear maps only")
    table = {line[:32].rstrip(): line[32:].split() for line in lines[3:]}
    assert table["transformer layer"] == ["1811.939328", "7,087,872"]
    assert table["  Q, K, V, O projections"] == ["603.979776", "2,362,368"]
    assert table["  feed-forward"] == ["1207.959552", "4,722,432"]
    assert table["whole model, one exit"] == ["21744.454656", "109,483,778"]
    assert table["whole model, an exit per layer"] == ["21757.464576", "115,997,208"]


def test_default_convention_counts_attention():
    answer = json.loads(run("--json").stdout)
    assert (answer["backbone"], answer["length"]) == ("bert-base-uncased", 128)
    assert (answer["convention"], answer["unit"]) == ("full_2mac", "FLOP")
    rows = {row["name"]: row for row in answer["components"]}
    assert rows["transformer layer"] == {
        "name": "transformer layer",
        "level": 0,
        "cost": 2 * (905_969_664 + 25_165_824),
        "linear_macs": 905_969_664,
        "matmul_macs": 25_165_824,
        "normalization": 983_040,
        "elementwise": 2 * 128 * 768 + 12 * 128 * 128,
        "parameters": 7_087_872,
    }


def test_a_papers_table_as_text_and_as_json():
    text = run("--table", "costeff")
    assert text.exit_code == 0, text.output
    (row,) = [line.split() for line in text.stdout.splitlines() if line.startswith("COST-EFF_8x ")]
    assert row == ["COST-EFF_8x", "13,920,024", "7.865", "7.9", "2444.03", "8.899", "19.0", "5.55"]
    answer = json.loads(run("--table", "costeff", "--json").stdout)
    assert answer["rows"][5]["parameters"] == 13_920_024 and len(answer["rows"]) == 14
    assert isinstance(run("--table", "bert").exception, UserError)


def test_every_option_reaches_the_answer():
    result = run("--backbone", "toy", "--length", "7", "--classes", "3", "--head", "none",
                 "--convention", "linear_mac", "--json")  # fmt: skip
    answer = json.loads(result.stdout)
    assert (answer["length"], answer["classes"], answer["head"], answer["unit"]) == (7, 3, "none", "MAC")
    # 2 layers of 8192 MACs a token, 2 heads of 32 x 3
    assert answer["components"][-1]["cost"] == 2 * 8192 * 7 + 2 * 96


def test_local_directory(tmp_path: Path):
    from transformers import BertConfig

    BertConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64
    ).save_pretrained(tmp_path)
    rows = json.loads(run("--backbone", str(tmp_path), "--convention", "layers", "--json").stdout)[
        "components"
    ]
    assert rows[-1]["cost"] == 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--convention", "full"], UnknownName, "unknown convention 'full'"),
        (["--backbone", "./nowhere"], ModelError, "no directory ./nowhere"),
        (["--backbone", "toy", "--length", "0"], UserError, r"--length 0 .*; choose 1\.\.64"),
        (["--backbone", "toy", "--length", "65"], UserError, r"--length 65 .*; choose 1\.\.64"),
        (["--backbone", "toy", "--length", "8", "--head", "big"], UserError, "unknown head 'big'"),
        (["--backbone", "toy", "--length", "8", "--classes", "0"], UserError, "give 1 or more"),
    ],
)
def test_mistakes_are_user_errors(arguments: list[str], error: type[UserError], message: str):
    result = run(*arguments)
    assert isinstance(result.exception, error)
    with pytest.raises(error, match=message):
        raise result.exception


def test_millions_are_exact():
    assert millions(1_811_939_328) == "1811.939328"
    assert millions(1_536) == "0.001536"
    assert millions(0) == "0.000000"


def test_layers_are_not_millions():
    assert table_of("layers").columns == ("operation", "layers", "parameters")
    assert table_of("layers").cells() == [("  layer [1]", "1", "12,345")]
    assert table_of("linear_mac").columns[1] == "MAC (M)"
    assert table_of("linear_mac").cells() == [("  layer [1]", "0.010000", "12,345")]


def test_columns_line_up():
    assert aligned([("operation", "M", "n"), ("a", "10.5", "1,000")]) == [
        "operation     M      n",
        "a          10.5  1,000",
    ]


def test_terminal_gets_a_ruled_table_with_names_as_typed():
    output = io.StringIO()
    show(table_of("linear_mac"), Console(file=output, force_terminal=True, width=100, color_system=None))
    text = output.getvalue()
    assert "some[bold]where, 10 tokens" in text
    assert "layer [1] │ 0.010000 │     12,345" in text


def test_plain_text_has_no_rules():
    output = io.StringIO()
    show(table_of("linear_mac"), Console(file=output, width=20))
    assert output.getvalue().splitlines()[-1] == "  layer [1]  0.010000      12,345"

"""`eebench cost`: what each part of an encoder costs, under a named convention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from eebench.cost.breakdown import Component
    from eebench.cost.conventions import Convention


def cost(
    backbone: Annotated[
        str, typer.Option(help="A known shape (needs no network), a local directory, or a hub name.")
    ] = "bert-base-uncased",
    length: Annotated[int, typer.Option(help="Tokens per sample, padding included.")] = 128,
    convention: Annotated[
        str, typer.Option(help="full_2mac, linear_2mac, linear_mac, layers or torch110_profiler.")
    ] = "full_2mac",
    classes: Annotated[int, typer.Option(help="Classes of the task.")] = 2,
    head: Annotated[
        str, typer.Option(help="Pooler of the exits: own (DeeBERT), shared (PABEE), tanh (COST-EFF), none.")
    ] = "own",
    table: Annotated[
        str | None,
        typer.Option(help="Instead, a paper's own table of costs, computed again: costeff or smartbert."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the cost and the parameters of an encoder's parts and of the whole model.

    Examples:

        eebench cost --backbone bert-base-uncased --length 128

        eebench cost --backbone bert-8l-256h --convention linear_2mac --json

        eebench cost --table costeff
    """
    if table is not None:
        show_paper_table(table, as_json)
        return
    from eebench.backbones.architectures import architecture_of
    from eebench.cost.breakdown import breakdown
    from eebench.cost.configs import backbone_config
    from eebench.cost.conventions import convention as named

    chosen = named(convention)
    config = backbone_config(backbone)
    _check_length(length, architecture_of(config.to_dict(), backbone).positions(config), backbone)
    components = breakdown(config, classes, head)
    found = CostTable(backbone, length, classes, head, chosen, tuple(components))
    if as_json:
        import json

        typer.echo(json.dumps(found.as_dict(), indent=2))
        return
    from rich.console import Console

    show(found, Console())


def show_paper_table(name: str, as_json: bool) -> None:
    """Prints the table of the paper called `name`, as aligned text or as one JSON object."""
    import json

    from eebench.cost.published import paper_table

    table = paper_table(name)
    if as_json:
        answer = {"title": table.title, "caption": table.caption, "rows": list(table.plain)}
        typer.echo(json.dumps(answer, indent=2))
        return
    typer.echo("\n".join(table.lines()))


@dataclass(frozen=True)
class CostTable:
    """What was asked and the rows that answer it."""

    backbone: str
    length: int
    classes: int
    head: str
    convention: Convention
    components: tuple[Component, ...]

    @property
    def title(self) -> str:
        """What the numbers are of."""
        return f"{self.backbone}, {self.length} tokens, {self.classes} classes, exit pooler: {self.head}"

    @property
    def caption(self) -> str:
        """What the numbers count."""
        return f"{self.convention.name}: {self.convention.description}"

    @property
    def columns(self) -> tuple[str, str, str]:
        """Column heads; costs are in millions except for layers."""
        unit = self.convention.unit
        return "operation", "layers" if unit == "layer" else f"{unit} (M)", "parameters"

    def cells(self) -> list[tuple[str, str, str]]:
        """Text of every row, exact to the last operation."""
        return [
            ("  " * component.level + component.name, self._cell(amount), f"{component.parameters:,}")
            for component, amount in zip(self.components, self.costs(), strict=True)
        ]

    def _cell(self, amount: int) -> str:
        return str(amount) if self.convention.unit == "layer" else millions(amount)

    def costs(self) -> list[int]:
        """Cost per sample of each row, in `convention.unit`s."""
        from eebench.cost.conventions import flops

        return [flops(component.operations, self.length, self.convention) for component in self.components]

    def as_dict(self) -> dict[str, Any]:
        """The JSON answer; `linear_macs` and the like are raw counts, the same under every convention."""
        return {
            "backbone": self.backbone,
            "length": self.length,
            "classes": self.classes,
            "head": self.head,
            "convention": self.convention.name,
            "unit": self.convention.unit,
            "components": [
                {
                    "name": component.name,
                    "level": component.level,
                    "cost": amount,
                    "linear_macs": component.operations.linear(self.length),
                    "matmul_macs": component.operations.matmul(self.length),
                    "normalization": component.operations.normalization(self.length),
                    "elementwise": component.operations.elementwise(self.length),
                    "parameters": component.parameters,
                }
                for component, amount in zip(self.components, self.costs(), strict=True)
            ],
        }


def _check_length(length: int, positions: int, backbone: str) -> None:
    from eebench.errors import UserError

    if not 1 <= length <= positions:
        raise UserError(f"--length {length} is out of reach for '{backbone}'; choose 1..{positions}.")


def millions(amount: int) -> str:
    """Exact millions: 1811939328 -> "1811.939328", 1536 -> "0.001536"."""
    return f"{amount // 10**6}.{amount % 10**6:06d}"


def show(table: CostTable, console: Console) -> None:
    """A ruled table on a terminal, aligned plain text elsewhere."""
    from rich.markup import escape
    from rich.table import Table

    if not console.is_terminal:
        lines = [table.title, table.caption, *aligned([table.columns, *table.cells()])]
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
        return
    ruled = Table(title=escape(table.title), caption=table.caption)
    operation, amount, parameters = table.columns
    ruled.add_column(operation, no_wrap=True)
    ruled.add_column(amount, justify="right", no_wrap=True)
    ruled.add_column(parameters, justify="right", no_wrap=True)
    for row in table.cells():
        ruled.add_row(*row)
    console.print(ruled)


def aligned(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Lines with the names to the left and the numbers to the right, two spaces between columns."""
    name, amount, count = (max(len(row[column]) for row in rows) for column in range(3))
    return [f"{row[0]:<{name}}  {row[1]:>{amount}}  {row[2]:>{count}}" for row in rows]

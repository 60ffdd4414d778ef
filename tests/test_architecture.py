"""What holds for the whole tree: tests mirror modules, imports point one way, every suite can be read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from eebench.suites import load_suite

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "eebench").rglob("*.py"))
WITHOUT_TRAINING = ("replay", "cost", "stats", "results", "report")
TRAINING = ("eebench.training", "eebench.engine", "eebench.cli")


def name_of(path: Path) -> str:
    """eebench/cost/paths.py -> eebench.cost.paths."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Every module a file imports from, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


GRAPH = {name_of(path): {name for name in imports_of(path) if name.startswith("eebench")} for path in MODULES}


def reached_from(name: str) -> set[str]:
    """Every module of ours that importing `name` can load, itself included."""
    reached, waiting = set(), [name]
    while waiting:
        module = waiting.pop()
        if module in GRAPH and module not in reached:
            reached.add(module)
            waiting += GRAPH[module]
    return reached


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_the_graph_is_read():
    assert "eebench.trace" in GRAPH["eebench.replay"]
    assert "eebench.training.loop" in reached_from("eebench.cli.train")


@pytest.mark.parametrize("path", [path for path in MODULES if not path.name.startswith("__")], ids=name_of)
def test_every_module_has_its_tests(path):
    place = path.relative_to(ROOT / "eebench")
    assert (ROOT / "tests" / place.parent / f"test_{place.name}").is_file()


@pytest.mark.parametrize("name", WITHOUT_TRAINING)
def test_measuring_and_reporting_never_import_training(name):
    mine = [module for module in GRAPH if is_in(module, (f"eebench.{name}",))]
    assert mine
    for module in mine:
        assert not [found for found in reached_from(module) if is_in(found, TRAINING)]


def test_nothing_but_the_command_line_imports_the_command_line():
    outside = {module for module in GRAPH if not is_in(module, ("eebench.cli", "eebench.__main__"))}
    assert not [
        module for module in outside if any(is_in(found, ("eebench.cli",)) for found in GRAPH[module])
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_can_be_read(path):
    suite = load_suite(str(path))
    assert suite.name == path.stem and suite.description and suite.choices

"""The layout of the package: few modules in its root, short functions, and names that say what they hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "harness"
SAY_NOTHING = [
    "one",
    "some",
    "found",
    "told",
    "said",
    "own",
    "asked",
    "made",
    "left",
    "few",
    "many",
    "several",
    "other",
    "others",
    "another",
    "rest",
    "both",
    "each",
    "any",
    "which",
    "what",
    "who",
    "whose",
    "whole",
    "taken",
    "given",
    "kept",
    "held",
    "shown",
    "known",
    "wanted",
    "needed",
    "meant",
    "seen",
    "used",
    "done",
    "built",
    "drawn",
    "named",
    "again",
    "added",
    "passed",
    "joined",
    "sent",
    "got",
    "gone",
    "came",
    "put",
    "begun",
    "ended",
    "chosen",
    "dealt",
    "picked",
    "counted",
    "measured",
    "tried",
    "stored",
    "saved",
    "spent",
    "lost",
    "here",
    "there",
    "then",
    "before",
    "after",
    "thing",
    "something",
    "anything",
    "nothing",
    "mine",
    "theirs",
    "same",
    "such",
    "grouped",
    "repeated",
    "remembered",
    "answered",
    "planned",
    "listed",
    "mended",
    "waiting",
    "ones",
]
"""Pronouns, participles and quantifiers, which say nothing of what a variable holds."""


@pytest.fixture(scope="module")
def modules() -> Mapping[Path, ast.Module]:
    """The modules of the package."""
    return {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def bound_names(tree: ast.Module) -> Iterator[str]:
    """Yield every name that is bound, but for those of comprehensions of at most three lines."""
    nodes = list(ast.walk(tree))
    short = {
        name
        for node in nodes
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp)
        and (node.end_lineno or 0) - node.lineno < 3
        for generator in node.generators
        for name in ast.walk(generator.target)
    }
    for node in nodes:
        if isinstance(node, ast.arg) and node.arg not in ("self", "cls"):
            yield node.arg
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in short:
            yield node.id


def test_few_modules_stand_in_the_root() -> None:
    names = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert len(names) <= 8, names


def test_names_say_what_they_hold(modules: Mapping[Path, ast.Module]) -> None:
    names = [name.strip("_") for tree in modules.values() for name in bound_names(tree)]
    share = sum(name in SAY_NOTHING for name in names) / len(names)
    assert share < 0.01, f"{share:.1%} of bound names are pronouns, participles or quantifiers"


def test_functions_are_short(modules: Mapping[Path, ast.Module]) -> None:
    functions = [
        (path.name, node.name, (node.end_lineno or 0) - node.lineno)
        for path, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [function for function in functions if function[2] > 60] == []


def test_no_config_names_a_python_path() -> None:
    for path in (PACKAGE.parent / "conf").rglob("*.yaml"):
        assert "_target_" not in path.read_text(), path

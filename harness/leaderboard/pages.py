"""Pages of the leaderboard: its tables in Markdown, and the form of an entry as JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.leaderboard import checks
from harness.leaderboard.entries import MINIMUM_SHARE, Known, validate, write
from harness.leaderboard.tables import Leaderboard, Table, code_of
from harness.results.run import SCHEMA_VERSION, Results
from harness.text import markdown, plain
from harness.typed_json import dump, json_schema

INTRODUCTION = (
    "A table of simulators says which can be trusted, by puzzles whose true explanation is known. Every other table "
    "compares explainers under one task, subject, simulator, transport and scale of levels; scores of different tables "
    "cannot be compared, and those by simulators that do better on the puzzles stand first. The score is the "
    "correlation of real and simulated activations, averaged over units; a unit of which a method gave no explanation "
    "counts as the floor of its table does. "
    "A rank is a range wherever another draw of units, the same for all rows, could have given another. "
    f"Controls, and rows with scores for fewer than {MINIMUM_SHARE:.0%} of the units (partial), are shown, but "
    "not ranked."
)


def read(root: Path, known: Known = lambda _: None) -> Leaderboard:
    """Return a leaderboard, whose entries are checked.

    Args:
        root: the leaderboard's folder.
        known: what is known here of a task.

    Raises:
        NeuroglossError: an entry is wrong.
    """
    return Leaderboard({path: validate(path, known) for path in sorted((root / "entries").glob("*/*.json"))})


def build(root: Path, leaderboard: Leaderboard) -> list[Path]:
    """Write ``README.md`` and ``schema.json`` of a leaderboard, and return them; same entries, same bytes."""
    pages = {
        root / "README.md": _markdown_page(tables_of(leaderboard)).encode(),
        root / "schema.json": dump(schema(), sort_keys=True),
    }
    for path, content in pages.items():
        write(path, content)
    return list(pages)


def tables_of(leaderboard: Leaderboard) -> list[Table]:
    """Return every table of a leaderboard: simulators, rankings of explainers, and its entries."""
    entries = leaderboard.entries
    ranked = [ranking.table() for ranking in leaderboard.rankings]
    return [*leaderboard.simulators, *ranked, *([table_of(entries)] if entries else [])]


def table_of(entries: Mapping[Path, Results]) -> Table:
    """Return the entries themselves: how each stands, and the code that made it."""
    return Table(
        title="Entries",
        facts=(
            ("self-reported", "whose scores nobody but their author has worked out, as far as is known here"),
            ("verified", "whose scores and simulations were made again when it was taken in; the check is named"),
        ),
        columns=("run", "task", "standing", "explainers", "code"),
        ranked=(),
        unranked=tuple(
            tuple(
                map(
                    plain,
                    (
                        entry.run_id,
                        entry.task.name,
                        checks.standing(path),
                        ", ".join(info.name for info in entry.explainers) or "–",
                        code_of(entry),
                    ),
                )
            )
            for path, entry in entries.items()
        ),
    )


def schema() -> dict[str, Any]:
    """Return the form of the file of an entry, as JSON Schema."""
    version = {"properties": {"schema_version": {"const": SCHEMA_VERSION}}, "required": ["schema_version"]}
    return {**json_schema(Results), **version}


def _markdown_page(rankings: Sequence[Table]) -> str:
    parts = ["# Leaderboard", "<!-- Made by `neurogloss leaderboard build`; do not edit. -->", INTRODUCTION]
    for table in rankings:
        facts = "\n".join(f"* {name}: {markdown(value)}" for name, value in table.facts)
        parts += [f"## {markdown(table.title)}", facts, _markdown_table(table)]
    return "\n\n".join(parts if rankings else [*parts, "No entries yet."]) + "\n"


def _markdown_table(table: Table) -> str:
    lines = [tuple(map(markdown, row)) for row in (*table.ranked, *table.unranked)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table.columns, ("---",) * len(table.columns), *lines))

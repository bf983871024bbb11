"""The leaderboard: entries made from runs, checked, ranked, and rendered as Markdown and as one static page.

An entry is ``entries/<task>/<run id>.json``: one run's rows, with the score of each neuron, so that explainers of
different runs can be compared on the same neurons. A table compares only entries with the same task digest, subject,
simulator (its model, revision, number format and prompt version), transport and levels; nothing is ranked across
tables.

Entries of simulators, made from runs of puzzles, are those of :mod:`harness.puzzle_leaderboard`.

The form of an entry is :class:`Entry`; ``schema.json`` says the same as JSON Schema, written by :func:`build`. Entries
are read by the package's own typed JSON and checked by :func:`check`, without a library for JSON Schema.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from harness import puzzle_leaderboard, puzzle_results, stats, trust
from harness.puzzle_leaderboard import PuzzleEntry
from harness.results import (
    ExplainerInfo,
    Results,
    SimulatorInfo,
    TaskInfo,
    figure,
    from_json,
    kind_of,
    markdown,
    plain,
    read_json,
    read_run,
    safe_name,
    span,
    to_json,
    write_whole,
)
from harness.types import Identity, NeuroglossError, NeuronId, Role, Summary

SCHEMA_VERSION = 1
MINIMUM_SHARE = 0.9
"""Share of a task's neurons that a run must have asked for to be entered, and a row have scores for to be ranked."""
PROVENANCE = ("neurogloss", "python", "packages", "git")
"""What an entry must say of its making; ``git`` may be null, for an installed package has no checkout."""


@dataclass(frozen=True, slots=True)
class Line:
    """One explainer of an entry: ``scores`` holds the headline score of each neuron that has one, by its name."""

    explainer: ExplainerInfo
    summary: Summary
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Entry:
    """One run on the leaderboard; the fields are those of :class:`harness.results.Results`."""

    schema_version: int
    run_id: str
    created: str
    task: TaskInfo
    subject: Identity
    simulator: SimulatorInfo
    seed: int
    lines: tuple[Line, ...]
    provenance: Mapping[str, object]

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{safe_name(self.run_id)}.json"


AnyEntry = Entry | PuzzleEntry


def add(run_folder: Path, root: Path, tasks: Mapping[str, str]) -> Path:
    """Make an entry of a run; one of the same run is replaced.

    Args:
        run_folder: a folder under ``runs/``.
        root: the leaderboard's folder.
        tasks: name -> digest of the tasks that this leaderboard knows.

    Returns:
        The entry's file.

    Raises:
        NeuroglossError: the run is not whole, was made on an unknown or edited task, on too few of its neurons, or does
            not say how it was made.
    """
    entry = _made_from(run_folder)
    check(entry, str(run_folder))
    known = tasks.get(entry.task.name)
    if known != entry.task.digest:
        found = "is unknown here" if known is None else f"is another one here (digest {known[:12]})"
        raise NeuroglossError(
            f"{run_folder} was made on task {entry.task.name!r} with digest {entry.task.digest[:12]}, which {found}; "
            "only a run on a task as it was published can be entered."
        )
    path = root / "entries" / safe_name(entry.task.name) / entry.file
    _write(path, _dump(to_json(entry, "entry")))
    return path


def _made_from(run_folder: Path) -> AnyEntry:
    if kind_of(run_folder) == puzzle_results.KIND:
        return puzzle_leaderboard.entry(puzzle_results.read_run(run_folder))
    return _entry(read_run(run_folder))


def check(entry: AnyEntry, where: str) -> None:
    """Refuse an entry whose parts contradict each other, or that leaves out what a reader must know.

    Raises:
        NeuroglossError: naming ``where`` and the first thing that is wrong.
    """
    own = _complaints(entry) if isinstance(entry, Entry) else puzzle_leaderboard.complaints(entry)
    for complaint in (*own, *_unmade(entry)):
        raise NeuroglossError(f"{where} cannot be an entry of the leaderboard: {complaint}.")


def validate(path: Path) -> AnyEntry:
    """Read an entry and check all of it: its form, its contents, and that it stands where its contents say.

    Raises:
        NeuroglossError: the first thing that is wrong.
    """
    document = read_json(path)
    if document.get("schema_version") != SCHEMA_VERSION:
        raise NeuroglossError(
            f"{path} is not an entry of schema version {SCHEMA_VERSION}; make it with: neurogloss leaderboard add."
        )
    kind = PuzzleEntry if document.get("kind") == puzzle_results.KIND else Entry
    entry: AnyEntry = from_json(kind, document, str(path))
    check(entry, str(path))
    place = (safe_name(entry.task.name), entry.file)
    if (path.parent.name, path.name) != place:
        raise NeuroglossError(f"{path} holds the entry that belongs at {'/'.join(place)}; move it there.")
    return entry


def build(root: Path) -> list[Path]:
    """Check every entry and write ``README.md``, ``index.html`` and ``schema.json``; same entries, same bytes.

    Returns:
        The files written.

    Raises:
        NeuroglossError: an entry is wrong; nothing is written then.
    """
    entries = [validate(path) for path in sorted((root / "entries").glob("*/*.json"))]
    simulators = [entry for entry in entries if isinstance(entry, PuzzleEntry)]
    explainers = [entry for entry in entries if isinstance(entry, Entry)]
    standings = [trust.Standing(entry.created, entry.task, entry.simulators) for entry in simulators]
    tables = [*_simulator_tables(simulators), *_tables(explainers, standings)]
    pages = {
        root / "README.md": _markdown_page(tables).encode(),
        root / "index.html": _html_page(tables).encode(),
        root / "schema.json": _dump(schema()),
    }
    for path, content in pages.items():
        _write(path, content)
    return list(pages)


# ------------------------------------------------------------------------------------------------------------- entries


def _entry(results: Results) -> Entry:
    summaries = {row.explainer: row for row in results.summaries}
    lines = [
        Line(
            explainer,
            summaries[explainer.name],
            {str(neuron): score for neuron, score in stats.by_neuron(results.scored[explainer.name]).items()},
        )
        for explainer in results.explainers
    ]
    return Entry(
        schema_version=SCHEMA_VERSION,
        run_id=results.run_id,
        created=results.created,
        task=results.task,
        subject=results.subject,
        simulator=results.simulator,
        seed=results.seed,
        lines=tuple(lines),
        provenance=results.provenance,
    )


def _complaints(entry: Entry) -> Iterator[str]:
    """What is wrong with an entry, in words that follow "it cannot be an entry:"."""
    yield from _unnamed(entry)
    asked = set(entry.task.neurons)
    if len(asked) < len(entry.task.neurons) or len(asked) > entry.task.size:
        yield "it names a neuron twice, or more than the task has"
    if len(asked) < MINIMUM_SHARE * entry.task.size:
        yield f"it covers {len(asked)} of the task's {entry.task.size} neurons; at least {MINIMUM_SHARE:.0%} are needed"
    names = [line.explainer.name for line in entry.lines]
    if not names or len(set(names)) < len(names):
        yield "it has no explainer, or two of one name"
    for line in entry.lines:
        yield from (f"explainer {line.explainer.name!r} {complaint}" for complaint in _contradictions(line, asked))


def _unnamed(entry: Entry) -> Iterator[str]:
    """What an entry must name and does not."""
    named = {"run id": entry.run_id, "task": entry.task.name, "task digest": entry.task.digest}
    named |= {"subject revision": entry.subject.revision, "simulator": entry.simulator.name}
    if entry.simulator.identity is not None:
        named |= {"simulator revision": entry.simulator.identity.revision, "transport": entry.simulator.transport}
    yield from (f"its {name} is empty" for name, value in named.items() if not value)


def _unmade(entry: AnyEntry) -> Iterator[str]:
    """What an entry does not say of its making."""
    for name in PROVENANCE:
        if name not in entry.provenance or entry.provenance[name] in ("", "unknown"):
            yield f"its provenance does not give {name!r}"


def _contradictions(line: Line, asked: set[NeuronId]) -> Iterator[str]:
    """What in a line contradicts its own scores."""
    summary, scores = line.summary, line.scores
    if (summary.explainer, summary.role) != (line.explainer.name, line.explainer.role):
        yield "has the summary of another"
    if not set(scores) <= set(map(str, asked)):
        yield "has a score for a neuron that was not asked for"
    if summary.neurons != len(asked) or summary.scored != len(scores):
        yield f"says that {summary.scored} of {summary.neurons} neurons have a score, but gives {len(scores)}"
    if not all(-1.0 <= score <= 1.0 for score in scores.values()):
        yield "has a score outside -1 to 1"
    headline = summary.metrics.get(stats.HEADLINE)
    if bool(scores) != (headline is not None):
        yield "has scores without a mean, or a mean without scores"
    elif headline is not None and not stats.is_mean(headline, list(scores.values())):
        yield f"has the mean {figure(headline.mean)} and an interval that its scores cannot have"


# -------------------------------------------------------------------------------------------------------------- tables

COLUMNS = (
    "rank",
    "explainer",
    "mean correlation",
    "95 % interval",
    "random only",
    "ablation",
    "neurons",
    "model",
    "run",
)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that may be compared: what they share in ``facts`` (name, value), ``ranked`` best first, and ``others``."""

    title: str
    facts: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    ranked: tuple[tuple[str, ...], ...]
    others: tuple[tuple[str, ...], ...]


def _simulator_tables(entries: Sequence[PuzzleEntry]) -> list[Table]:
    """A table of simulators for each set of puzzles."""
    groups: dict[tuple[str, str], list[PuzzleEntry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.task.name, entry.task.digest, entry.file)):
        groups.setdefault((entry.task.name, entry.task.digest), []).append(entry)
    return [_simulator_table(name, digest, members) for (name, digest), members in groups.items()]


def _simulator_table(name: str, digest: str, entries: Sequence[PuzzleEntry]) -> Table:
    ranked, others, notes = puzzle_leaderboard.rows(entries)
    facts = (("task digest", digest), *(("note", plain(note)) for note in notes))
    title = f"Simulators: {plain(name)}"
    return Table(title, facts, puzzle_leaderboard.COLUMNS, tuple(ranked), tuple(others))


def _tables(entries: Sequence[Entry], standings: Sequence[trust.Standing]) -> list[Table]:
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (_group(entry), entry.run_id)):
        groups.setdefault(_group(entry), []).append(entry)
    best_first = sorted(groups, key=lambda group: (group[:_SUBJECT], _distrust(groups[group][0], standings), group))
    return [_comparison(groups[group], standings) for group in best_first]


_SUBJECT = 4  # of what makes a group, so many are of the task and its subject


def _distrust(entry: Entry, standings: Sequence[trust.Standing]) -> float:
    """Tables by simulators of which the puzzles say more stand first, those by others last."""
    score = trust.score(entry.simulator, standings)
    return math.inf if score is None else -score


def _group(entry: Entry) -> tuple[str, ...]:
    """Everything that must be equal for two entries to be compared; where a server stands is no part of it."""
    simulator, model = entry.simulator, entry.simulator.identity or Identity("", "")
    return (
        entry.task.name,
        entry.task.digest,
        entry.subject.name,
        entry.subject.revision,
        simulator.name,
        model.name,
        model.revision,
        model.backend,
        model.dtype,
        simulator.prompt_version,
        simulator.transport,
        str(simulator.levels),
    )


def _comparison(entries: Sequence[Entry], standings: Sequence[trust.Standing]) -> Table:
    first = entries[0]
    rows = sorted(((entry, line) for entry in entries for line in entry.lines), key=_order)
    ranked = [row for row in rows if _why_unranked(*row) is None]
    ranks = stats.rank_intervals([line.scores for _, line in ranked], seed=0)
    reasons = [(reason, row) for row in rows if (reason := _why_unranked(*row)) is not None]
    return Table(
        title=plain(_title(first)),
        facts=tuple((name, plain(value)) for name, value in _facts(first, standings)),
        columns=COLUMNS,
        ranked=tuple(_cells(stats.rank(rank), *row) for rank, row in zip(ranks, ranked, strict=True)),
        others=tuple(_cells(reason, *row) for reason, row in reasons),
    )


def _title(entry: Entry) -> str:
    model = entry.simulator.identity
    return f"{entry.task.name}, simulated by {entry.simulator.name}" + (f" on {model.name}" if model else "")


def _why_unranked(entry: Entry, line: Line) -> str | None:
    if line.explainer.role in (Role.FLOOR, Role.CEILING):
        return line.explainer.role.value
    if line.summary.simulator != entry.simulator.name:
        return f"by {line.summary.simulator}"
    return None if _is_whole(line) else "partial"


def _is_whole(line: Line) -> bool:
    """Whether enough of the neurons have a score for their mean to stand beside others'."""
    return bool(line.scores) and line.summary.coverage >= MINIMUM_SHARE


def _order(row: tuple[Entry, Line]) -> tuple[float, str, str]:
    """Best first, ties by name and run."""
    entry, line = row
    interval = line.summary.metrics.get(stats.HEADLINE)
    return (math.inf if interval is None else -interval.mean, line.explainer.name, entry.run_id)


def _cells(rank: str, entry: Entry, line: Line) -> tuple[str, ...]:
    summary, identity = line.summary, line.explainer.identity
    averages = _averages(summary) if _is_whole(line) else ("–",) * 4
    model = "–" if identity is None else f"{identity.name} {identity.revision[:12]}"
    cells = (rank, line.explainer.name, *averages, f"{summary.scored}/{summary.neurons}", model, _made(entry))
    return tuple(map(plain, cells))


def _averages(summary: Summary) -> tuple[str, ...]:
    """Mean, interval, random-only and ablation."""
    metrics = summary.metrics
    means = [figure(metrics[name].mean) if name in metrics else "–" for name in ("correlation_random", "ablation")]
    return (figure(metrics[stats.HEADLINE].mean), span(metrics[stats.HEADLINE]), *means)


def _made(entry: Entry) -> str:
    """The run, and the code that made it."""
    git = entry.provenance["git"]
    code = "no checkout"
    if isinstance(git, Mapping):
        code = str(git.get("commit"))[:12] + (" with uncommitted changes" if git.get("dirty") else "")
    return f"{entry.run_id} (neurogloss {entry.provenance['neurogloss']}, {code})"


def _facts(entry: Entry, standings: Sequence[trust.Standing]) -> Iterator[tuple[str, str]]:
    simulator, model = entry.simulator, entry.simulator.identity
    yield "task digest", entry.task.digest
    yield "subject", f"{entry.subject.name} {entry.subject.revision}"
    yield "simulator", simulator.name + (f" on {model.name} {model.revision} ({model.dtype})" if model else "")
    if model:
        yield "reading", f"transport {simulator.transport}, levels 0 to {simulator.levels - 1}"
        yield "prompt", simulator.prompt_version or "–"
    yield "puzzles", trust.in_words(simulator, standings)
    if simulator.note:
        yield "note", f"{simulator.name}: {simulator.note}"


# --------------------------------------------------------------------------------------------------------------- pages

INTRODUCTION = (
    "A table of simulators says which can be trusted, by puzzles whose true explanation is known. Every other table "
    "compares explainers under one task, subject, simulator, transport and scale of levels; scores of different tables "
    "cannot be compared, and those by simulators that do better on the puzzles stand first. The score is the "
    "correlation of real and simulated activations, averaged over neurons. "
    "A rank is a range wherever another draw of neurons, the same for all rows, could have given another. "
    f"Floors, ceilings and rows with scores for fewer than {MINIMUM_SHARE:.0%} of the neurons (partial) are shown, but "
    "not ranked."
)


def _markdown_page(tables: Sequence[Table]) -> str:
    parts = ["# Leaderboard", "<!-- Made by `neurogloss leaderboard build`; do not edit. -->", INTRODUCTION]
    for table in tables:
        facts = "\n".join(f"* {name}: {markdown(value)}" for name, value in table.facts)
        parts += [f"## {markdown(table.title)}", facts, _markdown_table(table)]
    return "\n\n".join(parts if tables else [*parts, "No entries yet."]) + "\n"


def _markdown_table(table: Table) -> str:
    rows = [tuple(map(markdown, row)) for row in (*table.ranked, *table.others)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table.columns, ("---",) * len(table.columns), *rows))


def _html_page(tables: Sequence[Table]) -> str:
    source = resources.files("harness").joinpath("report", "leaderboard.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(source).render(tables=tables, introduction=INTRODUCTION)


def _dump(document: object) -> bytes:
    return (json.dumps(document, indent=1, allow_nan=False, sort_keys=True) + "\n").encode("ascii")


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise NeuroglossError(f"{path} cannot be written ({error.strerror or error}); check its folder.") from error


# -------------------------------------------------------------------------------------------------------------- schema


def schema() -> dict[str, Any]:
    """The form of an entry of either kind as JSON Schema (draft 2020-12), read off their classes."""
    definitions: dict[str, Any] = {}
    kinds = [_schema(kind, definitions) for kind in (Entry, PuzzleEntry)]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "anyOf": kinds, "$defs": definitions}


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return {"anyOf": [_schema(arguments[0], definitions), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if kind is object:
        return {}
    return _simple_schema(kind, definitions)


def _simple_schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """That of a type that takes no arguments."""
    if kind is NeuronId:
        return {"type": "string", "pattern": "^L[0-9]+N[0-9]+$"}
    if dataclasses.is_dataclass(kind):
        return _object_schema(kind, definitions)
    if issubclass(kind, Enum):
        return {"enum": [str(member) for member in kind]}
    return {"type": {str: "string", int: "integer", bool: "boolean", float: ["number", "null"]}[kind]}


def _object_schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """A dataclass as a definition of its own, referred to."""
    if kind.__name__ not in definitions:
        hints = typing.get_type_hints(kind)
        definitions[kind.__name__] = {
            "type": "object",
            "required": [item.name for item in dataclasses.fields(kind) if item.default is item.default_factory],
            "properties": {name: _schema(hints[name], definitions) for name in hints},
        }
    return {"$ref": f"#/$defs/{kind.__name__}"}

"""Entries of the leaderboard: made from runs, and checked.

An entry is ``entries/<task>/<run id>.json``: the results of one run without config, times and excerpts, in which people
are numbered. It holds every row with its explanations and scores, so that rows of different runs can be compared on the
same units, and every mean is worked out again when it is checked.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness import stats
from harness.files import safe_name, write_whole
from harness.results import rows, truths
from harness.results.run import SCHEMA_VERSION, Results, compact, read_results, read_run
from harness.results.vocabulary import ResultRow, TruthSummary
from harness.scores.reliability import calibration_error, together
from harness.stats import HEADLINE
from harness.text import figure
from harness.typed_json import dump, to_json
from harness.types import Interval, NeuroglossError, Role, RowKey, ScoredExplanation, Summary, Unit, Validity

MINIMUM_SHARE = 0.9
"""Share of a task's units that a run must have asked for to be entered, and a row have scores for to be ranked."""
PROVENANCE = ("neurogloss", "python", "packages", "git")
"""What an entry must say of its making; ``git`` may be null, for an installed package has no checkout."""
LOOKUP = "lookup"
"""The simulator of rows whose explanations are tables."""
SIGNED = ("correlation", "spearman", "cosine", "truth")
"""The metrics that lie between -1 and 1, over whichever tokens; of the rest :data:`SHARES` lie between 0 and 1."""
SHARES = ("auroc", "auprc", "f1")


def add(run_folder: Path, root: Path, tasks: Mapping[str, str]) -> Path:
    """Make an entry of a run; one of the same run is replaced.

    Args:
        run_folder: a folder under ``runs/``.
        root: the leaderboard's folder.
        tasks: name -> digest of the tasks that this leaderboard knows.

    Returns:
        The entry's file.

    Raises:
        NeuroglossError: the run is not whole, was made on an unknown or edited task, on too few of its units, or does
            not say how it was made.
    """
    entry = entry_of(read_run(run_folder))
    check(entry, str(run_folder))
    digest = tasks.get(entry.task.name)
    if digest != entry.task.digest:
        problem = "is unknown here" if digest is None else f"is another one here (digest {digest[:12]})"
        raise NeuroglossError(
            f"{run_folder} was made on task {entry.task.name!r} with digest {entry.task.digest[:12]}, which {problem}; "
            "only a run on a task as it was frozen can be entered."
        )
    path = root / "entries" / safe_name(entry.task.name) / file_name(entry)
    write(path, dump({"schema_version": SCHEMA_VERSION, **to_json(entry, "entry")}, sort_keys=True))
    return path


def entry_of(results: Results) -> Results:
    """Return the results of a run as an entry holds them.

    Config, command line, times and excerpts are left out. So are the standings of its rows: ranks are worked out among
    the rows of all entries. People who explained are numbered, not named.
    """
    entry, numbers = compact(results), dict[str, str]()
    return dataclasses.replace(
        entry,
        rows=tuple(
            dataclasses.replace(row, scored=tuple(_numbered(item, numbers) for item in row.scored))
            for row in entry.rows
        ),
        standings=(),
        config={},
        provenance={name: value for name, value in results.provenance.items() if name != "overrides"},
        seconds={},
        usage={},
    )


def _numbered(item: ScoredExplanation, numbers: dict[str, str]) -> ScoredExplanation:
    """Return a scored explanation with a number for the person who wrote it, taken from ``numbers`` or added there."""
    name = item.explanation.annotator
    number = numbers.setdefault(name, f"annotator {len(numbers) + 1}") if name else ""
    return dataclasses.replace(item, explanation=dataclasses.replace(item.explanation, annotator=number))


def file_name(entry: Results) -> str:
    """Return the name of an entry's file."""
    return f"{safe_name(entry.run_id)}.json"


def validate(path: Path) -> Results:
    """Read an entry and check all of it: its form, its contents, and that it stands where its contents say.

    Raises:
        NeuroglossError: the first thing that is wrong.
    """
    entry = read_results(path)
    check(entry, str(path))
    place = (safe_name(entry.task.name), file_name(entry))
    if (path.parent.name, path.name) != place:
        raise NeuroglossError(f"{path} holds the entry that belongs at {'/'.join(place)}; move it there.")
    return entry


def write(path: Path, content: bytes) -> None:
    """Write a file of the leaderboard.

    Raises:
        NeuroglossError: it cannot be written.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise NeuroglossError(f"{path} cannot be written ({error.strerror or error}); check its folder.") from error


# ------------------------------------------------------------------------------------------------------------ checking


def check(entry: Results, where: str) -> None:
    """Refuse an entry whose parts contradict each other, or that leaves out what a reader must know.

    Raises:
        NeuroglossError: naming ``where`` and the first thing that is wrong.
    """
    for complaint in _complaints(entry):
        raise NeuroglossError(f"{where} cannot be an entry of the leaderboard: {complaint}.")


def _complaints(entry: Results) -> Iterator[str]:
    """Yield what is wrong with an entry, in words that follow "it cannot be an entry:"; the rest may need the first."""
    yield from _unnamed(entry)
    yield from _ambiguous(entry)
    yield from _incomplete(entry)
    for row in entry.rows:
        name = f"the row {row.summary.explainer!r} by {row.summary.simulator!r}"
        yield from (f"{name} {complaint}" for complaint in _contradictions(entry, row))
    yield from _untrue(entry)
    for name in PROVENANCE:
        if name not in entry.provenance or entry.provenance[name] in ("", "unknown"):
            yield f"its provenance does not give {name!r}"


def _unnamed(entry: Results) -> Iterator[str]:
    """Yield what an entry must name and does not."""
    names = {"run id": entry.run_id, "task": entry.task.name, "task digest": entry.task.digest}
    if entry.subject is not None:
        names["subject revision"] = entry.subject.revision
    elif any(not unit.name for unit in entry.task.units):
        names["subject"] = ""
    for simulator in entry.simulators:
        names[f"name of simulator {simulator.name!r}"] = simulator.name
        if simulator.identity is not None:
            names[f"revision of simulator {simulator.name!r}"] = simulator.identity.revision
            names[f"transport of simulator {simulator.name!r}"] = simulator.transport
    yield from (f"its {name} is empty" for name, value in names.items() if not value)
    if not entry.simulators or entry.simulators[0].control:
        yield "it has no simulator, but for controls"


def _ambiguous(entry: Results) -> Iterator[str]:
    """Yield which names stand for two things, and which for none."""
    explainers = [info.name for info in entry.explainers]
    if len(set(explainers)) < len(explainers):
        yield "it has two explainers of one name"
    simulators = [info.name for info in entry.simulators]
    if len({*simulators, LOOKUP}) <= len(simulators):
        yield f"it has two simulators of one name, or one that is named {LOOKUP}"
    if not entry.rows or len({row.key for row in entry.rows}) < len(entry.rows):
        yield "it has no row, or two of one explainer and simulator"
    if {row.summary.explainer for row in entry.rows} != set(explainers):
        yield "it has an explainer without a row, or a row without an explainer"


def _incomplete(entry: Results) -> Iterator[str]:
    """Yield what an entry covers too little of; units whose explanation is known are needed all."""
    units = set(entry.task.units)
    if len(units) < len(entry.task.units) or len(units) > entry.task.size:
        yield "it names a unit twice, or more than the task has"
    share = 1.0 if any(row.summary.role is Role.TOLD for row in entry.rows) else MINIMUM_SHARE
    if len(units) < share * entry.task.size:
        yield f"it covers {len(units)} of the task's {entry.task.size} units; at least {share:.0%} are needed"


def _contradictions(entry: Results, row: ResultRow) -> Iterator[str]:
    """Yield what in a row contradicts its own scores."""
    summary = row.summary
    roles = {info.name: info.role for info in entry.explainers}
    if roles[summary.explainer] is not summary.role:
        yield "is of another role than its explainer"
    if summary.simulator not in {LOOKUP, *(info.name for info in entry.simulators)}:
        yield "is by no simulator of this run"
    if any(RowKey(item.explanation.explainer, item.simulator) != row.key for item in row.scored):
        yield "holds the explanations of another"
    yield from _uneven(entry, row)
    yield from _miscounted(summary, rows.summarise(row.key, summary.role, row.scored, _NO_RESAMPLING))
    yield from _impossible(row)
    for name in dict.fromkeys([*summary.metrics, *(name for item in row.scored for name in item.scores.values)]):
        values = list(rows.by_unit(row.scored, name).values())
        if name not in summary.metrics or not stats.is_mean(summary.metrics[name], values):
            mean = figure(summary.metrics[name].mean) if name in summary.metrics else "none"
            yield f"has the mean {mean} of {name} and an interval that its scores cannot have"


def _uneven(entry: Results, row: ResultRow) -> Iterator[str]:
    """Yield where a row leaves out units, or has others: not every unit comes with false explanations of each kind."""
    units = {item.unit for item in row.scored}
    if not units <= set(entry.task.units):
        yield "has a score for a unit that was not asked for"
    if row.summary.role is not Role.TOLD:
        if len(units) < len(entry.task.units):
            yield f"has explanations of {len(units)} units, and {len(entry.task.units)} were asked for"
    elif row.summary.explainer not in set(Validity):
        yield f"is named otherwise than explanations that come with units: {', '.join(Validity)}"
    elif row.summary.explainer == Validity.TRUE and tuple(item.unit for item in row.scored) != entry.task.units:
        yield "has not one true explanation of each unit, in order"


def _miscounted(summary: Summary, anew: Summary) -> Iterator[str]:
    """Yield which count of a summary is not that of its scored explanations."""
    names = ("units", "scored", "degenerate", "missing_tokens", "judgements", "missing_judgements")
    wrong = [name for name in names if getattr(anew, name) != getattr(summary, name)]
    if wrong or dict(anew.outcomes) != dict(summary.outcomes):
        yield f"counts its {(*wrong, 'outcomes')[0]} wrongly"


def _impossible(row: ResultRow) -> Iterator[str]:
    """Yield what no explanation can score."""
    for item in row.scored:
        values = item.scores.values
        for name, value in values.items():
            low, high = _range(name)
            if not low <= value <= high:
                yield f"has a {name} of {value:g} on {item.unit}, which cannot be"
        if {HEADLINE, "truth", "difference"} <= set(values) and not _same(
            values["difference"], values[HEADLINE] - values["truth"]
        ):
            yield f"has another difference from the truth on {item.unit} than its scores make"


def _range(metric: str) -> tuple[float, float]:
    """Return the least and the largest value that a metric can have; a scorer of one's own may have any."""
    kind = metric.partition("_")[0]
    if kind in SIGNED:
        return -1.0, 1.0
    return (0.0, 1.0) if kind in SHARES or metric.endswith("_auroc") else (-math.inf, math.inf)


def _untrue(entry: Results) -> Iterator[str]:
    """Yield what of the explanations that come with units, and of the summaries over them, cannot be."""
    explanations: dict[str, set[tuple[tuple[Unit, str], ...]]] = {}
    for row in entry.rows:
        if row.summary.role is Role.TOLD:
            pairs = tuple((item.unit, item.explanation.text) for item in row.scored)
            explanations.setdefault(row.summary.explainer, set()).add(pairs)
    for name, variants in explanations.items():
        by_simulator = [row for row in entry.rows if row.summary.explainer == name]
        if len(variants) > 1 or len(by_simulator) < len(entry.simulators):
            yield f"not every simulator was told the same {name!r} explanations"
    if explanations and Validity.TRUE not in explanations:
        yield "it has no true explanations"
    if not {summary.simulator for summary in entry.truths} <= {info.name for info in entry.simulators}:
        yield "it has a summary of no simulator of this run"
    for simulator in entry.simulators:
        yield from (f"simulator {simulator.name!r} {words}" for words in _unlike_truths(entry, simulator.name))


def _unlike_truths(entry: Results, simulator: str) -> Iterator[str]:
    """Yield what of a simulator's summaries over known truths is not that of its rows."""
    units = truths.truths(entry.rows, simulator)
    summaries = [summary for summary in entry.truths if summary.simulator == simulator]
    categories = {truth.unit: entry.task.categories.get(str(truth.unit), "") for truth in units}
    expected = ["", *filter(None, dict.fromkeys(categories.values()))] if units else []
    if [summary.category for summary in summaries] != expected:
        yield "has summaries of other categories than its units"
    for summary in summaries:
        members = [truth for truth in units if summary.category in ("", categories[truth.unit])]
        yield from _unlike(summary, members)


def _unlike(summary: TruthSummary, units: Sequence[truths.Truth]) -> Iterator[str]:
    """Yield what of a summary is not that of its units; resampling is not repeated, its bounds are checked."""
    figures = [truth.figures for truth in units]
    for name in dict.fromkeys([*summary.metrics, *(name for values in figures for name in values)]):
        values = [of_unit[name] for of_unit in figures if name in of_unit]
        if name not in summary.metrics or not stats.is_mean(summary.metrics[name], values):
            yield f"has a mean of {name} or an interval that its units cannot have"
    bins = together(truth.scores.reliability for truth in units)
    if not _same(summary.calibration_error, calibration_error(bins)):
        yield "has another calibration error than its units"
    counts = (
        len(units),
        sum(HEADLINE in of_unit for of_unit in figures),
        sum(HEADLINE in truth.scores.degenerate for truth in units),
        sum(truth.scores.tokens for truth in units),
        sum(truth.scores.missing_tokens for truth in units),
    )
    if counts != (summary.units, summary.scored, summary.degenerate, summary.tokens, summary.missing_tokens):
        yield "counts its units or tokens wrongly"


def _same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


class _NoResampling(rows.Resampling):
    """Makes no intervals: what is compared are counts."""

    def interval(self, scores: Mapping[Unit, float]) -> Interval:
        """Return no interval."""
        return Interval(math.nan, math.nan, math.nan, len(scores))


_NO_RESAMPLING = _NoResampling()

"""Entries of the leaderboard: made from runs, and checked.

An entry is ``entries/<task>/<run id>.json``: the results of one run without times and excerpts, in which people are
numbered; of its config it keeps how scores were made of simulations. It holds every row with its explanations and
scores, so that rows of different runs can be compared on the same units, and every mean is worked out again when it is
checked. Its simulations are kept too (:mod:`harness.leaderboard.simulations`), so that every score can be.
"""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import stats
from harness.files import safe_name, write_whole
from harness.guards.printing import plain, shortened
from harness.leaderboard import simulations
from harness.results import rows, truths
from harness.results.run import SCHEMA_VERSION, Results, compact, read_results, read_run
from harness.results.vocabulary import ResultRow, TruthSummary
from harness.scores.reliability import calibration_error, together
from harness.stats import HEADLINE
from harness.text import figure
from harness.typed_json import dump, to_json
from harness.types import LOOKUP, Interval, NeuroglossError, Role, RowKey, ScoredExplanation, Summary, Unit, Validity

MOST_BYTES, MOST_ROWS, MOST_PROVENANCE, MOST_OF_A_UNIT = 1 << 26, 1000, 20_000, 20
"""Bytes of the file of an entry, its rows, characters of its provenance, and explanations of a unit in a row."""
MOST_NAME = 60
"""Characters of a name for people."""
_FLOOR = ("floor", "null")
_TABLE = ("ceiling", "without words")
CONTROLS = {
    "constant": _FLOOR,
    "next_token_lookup": _TABLE,
    "oracle": ("ceiling",),
    "random_words": _FLOOR,
    "shuffled": _FLOOR,
    "token_lookup": _TABLE,
}
"""Methods of ours that are controls, and the roles that they can have."""
MINIMUM_SHARE = 0.9
"""Share of a task's units that a run must have asked for to be entered, and a row have scores for to be ranked."""
PROVENANCE = ("neurogloss", "python", "packages", "git")
"""What an entry must say of its making; ``git`` may be null, for an installed package has no checkout."""
ASK_NOBODY = ("scorer/panel", "scorer/truths")
"""Scorers whose scores follow from the simulations and the task alone."""
SIGNED = ("correlation", "spearman", "cosine", "truth")
"""The metrics that lie between -1 and 1, over whichever tokens; of the rest :data:`SHARES` lie between 0 and 1."""
SHARES = ("auroc", "auprc", "f1")


@dataclass(frozen=True, slots=True)
class KnownTask:
    """What this place knows of a task by itself, whatever an entry says of it.

    Attributes:
        digest: of the task.
        units: all that it has.
        subject: the revision of the model that it was recorded from; None for puzzles.
        categories: of its units, if they have any.
    """

    digest: str
    units: frozenset[Unit]
    subject: str | None = None
    categories: Mapping[str, str] = field(default_factory=dict)


Known = Callable[[str], KnownTask | None]
"""What is known of the task of a name; None if it is not here."""


def _nothing_known(_: str) -> None:
    return None


def add(run_folder: Path, root: Path, tasks: Mapping[str, str], known: Known = _nothing_known) -> Path:
    """Make an entry of a run; one that is there already is never replaced by another.

    Args:
        run_folder: a folder under ``runs/``.
        root: the leaderboard's folder.
        tasks: name -> digest of the tasks that this leaderboard knows.
        known: what else is known of them.

    Returns:
        The entry's file.

    Raises:
        NeuroglossError: the run is not whole, was made on an unknown or edited task, on too few of its units, or does
            not say how it was made.
    """
    results = read_run(run_folder)
    simulated = simulations.of_run(run_folder)
    entry = entry_of(results, simulations.digest(simulated))
    check(entry, str(run_folder), known)
    digest = tasks.get(entry.task.name)
    if digest != entry.task.digest:
        problem = "is unknown here" if digest is None else f"is another one here (digest {digest[:12]})"
        raise NeuroglossError(
            f"{run_folder} was made on task {entry.task.name!r} with digest {entry.task.digest[:12]}, which {problem}; "
            "only a run on a task as it was frozen can be entered."
        )
    path = root / "entries" / safe_name(entry.task.name) / file_name(entry)
    content = dump({"schema_version": SCHEMA_VERSION, **to_json(entry, "entry")}, sort_keys=True)
    if path.exists() and path.read_bytes() != content:
        raise NeuroglossError(
            f"{path} is an entry already, and another one than this run makes; an entry is never replaced: remove that "
            "file first if it is yours."
        )
    write(simulations.path_of(path), simulated)
    write(path, content)
    return path


def entry_of(results: Results, simulations_digest: str) -> Results:
    """Return the results of a run as an entry holds them.

    The command line, times and excerpts are left out, and the config but for what makes scores of simulations. So are
    the standings of its rows: ranks are worked out among the rows of all entries. People who explained are numbered,
    not named.
    """
    entry, numbers = compact(results), dict[str, str]()
    return dataclasses.replace(
        entry,
        rows=tuple(
            dataclasses.replace(row, scored=tuple(_numbered(item, numbers) for item in row.scored))
            for row in entry.rows
        ),
        standings=(),
        config=_scoring(results.config),
        provenance={
            **{name: value for name, value in results.provenance.items() if name != "overrides"},
            simulations.KEY: simulations_digest,
        },
        seconds={},
        usage={},
    )


def _scoring(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a config makes scores of simulations: the calibration, and scorers that ask nobody."""
    scorers = (config.get("task") or {}).get("scores") or config.get("scores") or {}
    scores = {name: dict(node) for name, node in scorers.items() if node.get("use") in ASK_NOBODY}
    return {"calibration": dict(config.get("calibration") or {}), "scores": scores}


def _numbered(item: ScoredExplanation, numbers: dict[str, str]) -> ScoredExplanation:
    """Return a scored explanation with a number for the person who wrote it, taken from ``numbers`` or added there."""
    name = item.explanation.annotator
    number = numbers.setdefault(name, f"annotator {len(numbers) + 1}") if name else ""
    return dataclasses.replace(item, explanation=dataclasses.replace(item.explanation, annotator=number))


def file_name(entry: Results) -> str:
    """Return the name of an entry's file."""
    return f"{safe_name(entry.run_id)}.json"


def validate(path: Path, known: Known = _nothing_known) -> Results:
    """Read an entry and check all of it: its form, its contents, and that it stands where its contents say.

    Raises:
        NeuroglossError: the first thing that is wrong.
    """
    entry = read_results(path, MOST_BYTES)
    check(entry, str(path), known)
    place = (safe_name(entry.task.name), file_name(entry))
    if (path.parent.name, path.name) != place:
        raise NeuroglossError(f"{path} holds the entry that belongs at {'/'.join(place)}; move it there.")
    simulations.check(path, entry)
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


def check(entry: Results, where: str, known: Known = _nothing_known) -> None:
    """Refuse an entry whose parts contradict each other or its task, or that leaves out what a reader must know.

    Raises:
        NeuroglossError: naming ``where`` and the first thing that is wrong.
    """
    for complaint in _complaints(entry, known(entry.task.name)):
        raise NeuroglossError(f"{where} cannot be an entry of the leaderboard: {plain(complaint)}.")


def _complaints(entry: Results, known: KnownTask | None) -> Iterator[str]:
    """Yield what is wrong with an entry, in words that follow "it cannot be an entry:"; the rest may need the first."""
    yield from _oversized(entry)
    yield from map(_unreadable, filter(_unreadable, _names(entry)))
    yield from _unlike_task(entry, known) if known else ()
    yield from _unlike_controls(entry)
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


def _oversized(entry: Results) -> Iterator[str]:
    """Yield what an entry has too much of for any run."""
    counts = {
        "rows": (len(entry.rows), MOST_ROWS),
        "explainers": (len(entry.explainers), MOST_ROWS),
        "simulators": (len(entry.simulators), MOST_ROWS),
        "summaries over known truths": (len(entry.truths), MOST_ROWS),
        "packages": (len(str(entry.provenance)), MOST_PROVENANCE),
        "scores of a row": (max((len(row.scored) for row in entry.rows), default=0), MOST_OF_A_UNIT * entry.task.size),
    }
    yield from (f"it has too many {name}" for name, (count, most) in counts.items() if count > most)


def _names(entry: Results) -> Iterator[str]:
    """Yield every name that a page shows."""
    yield from (entry.task.name, entry.run_id, *entry.task.categories.values())
    for info in entry.explainers:
        yield from (info.name, info.method, info.model)
    yield from (simulator.name for simulator in entry.simulators)
    for row in entry.rows:
        yield from (row.summary.explainer, row.summary.simulator, *row.summary.metrics)


def _unreadable(name: str) -> str:
    """Return what is wrong with a name for people; empty if nothing is."""
    if len(name) > MOST_NAME:
        return f"the name {shortened(name, MOST_NAME)} has more than {MOST_NAME} characters"
    if not name.isprintable():
        return f"the name {name} has characters that cannot be printed"
    scripts = {unicodedata.name(letter, "unknown").partition(" ")[0] for letter in name if letter.isalpha()}
    return f"the name {name} mixes {' and '.join(sorted(scripts))} letters" if len(scripts) > 1 else ""


def _unlike_task(entry: Results, known: KnownTask) -> Iterator[str]:
    """Yield what an entry says of its task that is not so."""
    task = entry.task
    if task.digest != known.digest:
        yield f"its task has another digest here, {known.digest[:12]}"
    if task.size != len(known.units):
        yield f"it gives its task {task.size} units, and that has {len(known.units)}"
    if not set(task.units) <= known.units:
        yield "it names a unit that its task has not"
    if {unit: known.categories.get(unit, "") for unit in task.categories} != dict(task.categories):
        yield "it puts a unit into another category than its task does"
    if (entry.subject.revision if entry.subject else None) != known.subject:
        yield "its subject is another model than its task's"


def _unlike_controls(entry: Results) -> Iterator[str]:
    """Yield which control of ours stands there as something else."""
    for info in entry.explainers:
        roles = CONTROLS.get(info.method, ())
        if roles and info.role.value not in roles:
            yield f"it has {info.method}, a control, in the role of {info.role.value}"


def _unnamed(entry: Results) -> Iterator[str]:
    """Yield what an entry must name and does not."""
    names = {"run id": entry.run_id, "task": entry.task.name, "task digest": entry.task.digest}
    if entry.subject is not None:
        names["subject revision"] = entry.subject.revision
    elif any(not unit.is_puzzle for unit in entry.task.units):
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
        if name not in summary.metrics or not stats.is_mean(summary.metrics[name], values, name):
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

    def interval(self, scores: Mapping[Unit, float], metric: str = HEADLINE) -> Interval:  # noqa: ARG002  # Resampling's
        """Return no interval."""
        return Interval(math.nan, math.nan, math.nan, len(scores))


_NO_RESAMPLING = _NoResampling()

"""The board of a run, or of several as one: its rows by simulator, controls apart, and what may be concluded from them.

Rows of explanations that came with units are shown by :mod:`harness.report.truths`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from harness.config import prices
from harness.leaderboard import trust
from harness.report import page, standing_words, truths
from harness.report.page import Columns, Page, Row, Table
from harness.report.standing_words import Ends, p_text
from harness.results import audit, merge, rows
from harness.results.run import Results
from harness.results.vocabulary import ResultRow
from harness.stats import HEADLINE, NO_SCORES, NOTHING, rank, unbounded
from harness.text import figure, plain, span
from harness.types import (
    LOOKUP,
    Comparison,
    Heading,
    Identity,
    Interval,
    NeuroglossError,
    Outcome,
    Role,
    SimulatorInfo,
    Standing,
    Summary,
)

PEOPLE = "people"
"""The name of the row that a board has for people if nobody's explanations were collected."""
Cell = Callable[[Summary], str]
"""Makes the text of one column from a row."""
HEADLINE_WORDS = (
    "the correlation of real and simulated activations over all tokens of the valid excerpts (top and random together)"
)
TOLD_HEADLINE_WORDS = "the correlation of real and simulated levels over all tokens of the second half of the texts"
JUDGES = (
    "Detection: does the judge, told the explanation, say in which excerpts the unit fires? Fuzzing: are the marked "
    "tokens of an excerpt those that it fires on? Both are balanced accuracies: 0.5 for a judge that always says the "
    "same. Compare them with the floor's."
)
NATS = frozenset({"divergence", "divergence_mean"})
"""The metrics that are divergences in nats, which are small."""
CEILING = "correlation_ceiling"
"""The metric of a unit's own levels, which is the most that words about them can be worth by the headline."""
HARD = "correlation_hard"
"""The headline with hard excerpts in place of random ones, of the units that have such."""
INTRUDER = "intruder"
"""The share of trials in which a judge tells a unit's excerpts from another one, which measures the unit."""
SIGNS = (
    "Clipped counts nothing below 0 on either side: explainers are shown no negative activation and simulators give "
    "none, while the score counts both signs. What a unit does below 0 needs an explanation of its own."
)
RESAMPLED = (
    "ablation_resample compares with the unit's activations on other text, which move the output more than its mean "
    "does: even a floor stands above 0 by it."
)
SEVERAL_PEOPLE = (
    "people: a unit may have explanations of several persons, whose scores are averaged (human.annotator names one "
    "person); `neurogloss human report` shows each person, the best and all pooled."
)
COMPARED: Columns = (
    ("explainers", "explainers"),
    ("differ.", "mean difference"),
    ("95 % interval", "95 % interval"),
    ("p", "p"),
    ("corr. p", "corrected p"),
    ("units", "units of both"),
)


def build(
    results: Results,
    trusted: Callable[[SimulatorInfo], str] = trust.not_measured,
    audited: str | None = None,
    by: str = HEADLINE,
) -> Page:
    """Return the board of a run, ranked ``by`` a metric of its scorers.

    A row with scores for fewer units than ``results.minimum_coverage`` shows no averages, for they would be of other
    units than its neighbours'. A row that another simulator scored (a table, by ``lookup``) is not ranked.

    Args:
        results: of a run, or of several (:func:`harness.results.merge.merged`).
        trusted: what puzzles say of a simulator.
        audited: what an audit says of the metric.
        by: the metric to rank by.

    Raises:
        NeuroglossError: the run has no such metric.
    """
    results = headlined(results, by)
    sections = [_Section(results, standing, by) for standing in results.standings]
    tables = [*truths.tables(results), *(table for section in sections for table in section.tables())]
    sentences = [*truths.sentences(results), *(sentence for section in sections for sentence in section.sentences())]
    return Page(
        title=f"Board of {plain(results.task.name)}" + ("" if by == HEADLINE else f", by {plain(by)}"),
        facts=tuple((label, plain(value)) for label, value in _facts(results, trusted, audited)),
        tables=tuple(tables),
        sentences=tuple(dict.fromkeys(sentences)),
    )


# ---------------------------------------------------------------------------------------------------- another headline


def headlined(results: Results, metric: str) -> Results:
    """Return the results ranked by a metric: rows count the units that have it.

    Raises:
        NeuroglossError: the run has no such metric; the sentence names those there are.
    """
    if metric == HEADLINE:
        return results
    if metric in NO_SCORES:
        raise NeuroglossError(f"{metric} is no score: more of it is not better; rank by ablation_loss, for example.")
    metrics = dict.fromkeys(name for row in results.summaries for name in row.metrics)
    if metric not in metrics:
        raise NeuroglossError(f"the run has no scores by {metric}; it has: {', '.join(metrics) or 'none'}.")
    result_rows = tuple(row if row.summary.role is Role.TOLD else _counted_by(row, metric) for row in results.rows)
    return merge.ranked(dataclasses.replace(results, rows=result_rows), merge.resampling_of(results), metric)


def _counted_by(row: ResultRow, metric: str) -> ResultRow:
    scores = [item for item in row.scored if metric in item.scores.values]
    sound = {item.unit for item in scores if metric not in item.scores.degenerate}
    units = {item.unit for item in scores}
    silent = rows.abstained(row.scored, metric)
    summary = dataclasses.replace(row.summary, scored=len(units), abstained=len(silent), degenerate=len(units - sound))
    return ResultRow(summary, row.scored)


# ------------------------------------------------------------------------------------------------- rows of a simulator


@dataclass(frozen=True)
class _Section:
    """The rows of explainers by one simulator; tables, which are looked up, stand beside those of the run's own."""

    results: Results
    standing: Standing
    by: str

    @property
    def simulator(self) -> str:
        return self.standing.simulator

    @property
    def rows(self) -> list[Summary]:
        beside = [self.simulator, *([LOOKUP] if self.is_own else [])]
        return [row for row in self.results.summaries if row.simulator in beside]

    @property
    def is_own(self) -> bool:
        return self.simulator == self.results.simulator.name

    @property
    def _suffix(self) -> str:
        """What the titles of a board's tables end in if it has several simulators."""
        return f" by {plain(self.simulator)}" if len(self.results.standings) > 1 else ""

    @property
    def ranked(self) -> list[Summary]:
        """The rows that are no controls, best first; those without an average last; ties by name."""
        members = [row for row in self.rows if not self._is_control(row)]
        return sorted(
            members,
            key=lambda row: (not self._is_whole(row), -self.score(row).mean if row.scored else 0.0, row.explainer),
        )

    @property
    def controls(self) -> list[Summary]:
        return [row for row in self.rows if self._is_control(row)]

    def score(self, row: Summary) -> Interval:
        """Return what a row is ranked by; of one without a rank, the mean over the units that it has."""
        return self.standing.means.get(row.explainer, row.metrics.get(self.by, NOTHING))

    def _is_control(self, row: Summary) -> bool:
        return row.role not in rows.COMPARED or row.simulator != self.simulator

    def _is_whole(self, row: Summary) -> bool:
        return rows.is_whole(row, self.results.minimum_coverage)

    # ------------------------------------------------------------------------------------------------------- tables

    def tables(self) -> Iterator[Table]:
        """Yield the board itself, what judges say, and the comparisons."""
        columns = self._columns()
        people = [] if any(row.role is Role.HUMAN for row in self.rows) else self._nobody()
        yield Table(
            f"Explainers{self._suffix}",
            (
                ("explainer", "explainer"),
                ("rank", "rank"),
                ("score", f"{'median' if unbounded(self.by) else 'mean'} {plain(self.by)}"),
                ("95 % interval", "95 % interval"),
                *((short, long) for short, long, _ in columns),
                ("cover", "units scored"),
                ("const", "constant (score 0)"),
                ("tokens", "tokens"),
                ("cost", "cost"),
            ),
            tuple(self._row(row, (plain(row.explainer), self._rank(row)), columns) for row in (*self.ranked, *people)),
            tuple(self._row(row, (self._control_name(row), "–"), columns) for row in self.controls),
        )
        judged = [heading for heading in self.headings() if heading.judged]
        cases = [row for row in (*self.ranked, *self.controls) if row.judgements]
        if judged and cases:
            yield self._judged(judged, cases)
        if self.standing.comparisons:
            lines = tuple(map(_compared, self.standing.comparisons))
            yield Table(f"Compared on the same units{self._suffix}", COMPARED, lines)

    def headings(self) -> list[Heading]:
        """Return the headings of the metrics that a row has, each once, but for what repeats the headline."""
        metrics = self.metrics()
        headings = {heading.metric: heading for scorer in self.results.scorers for heading in scorer.headings}
        return [heading for heading in headings.values() if heading.metric in metrics]

    def metrics(self) -> set[str]:
        """Return the metrics that a row has, but for those that repeat the headline."""
        return {name for row in self.rows for name in row.metrics if not self._repeats_headline(name)}

    def _repeats_headline(self, metric: str) -> bool:
        """Whether a metric says nothing of its own: what is clipped at 0, of units that are never below it."""
        values = (item.scores.values for row in self.results.rows for item in row.scored)
        pairs = ((each[metric], each.get(HEADLINE)) for each in values if metric in each)
        first = None if metric == HEADLINE else next(pairs, None)
        return first is not None and all(value == headline for value, headline in chain([first], pairs))

    def _columns(self) -> list[tuple[str, str, Cell]]:
        """Return the short and the long heading of each column of scorers, and what makes its cells."""
        headings = [heading for heading in self.headings() if not heading.judged]
        columns: list[tuple[str, str, Cell]] = [
            (heading.short, heading.long, partial(_cell, heading)) for heading in headings
        ]
        if any(row.abstained for row in self.ranked):
            columns = [("given", "mean over those given", partial(_cell, Heading(self.by, "", ""))), *columns]
        if any(truths.DIFFERENCE in row.metrics for row in self.rows):
            columns.append((*truths.SHARE, truths.share))
        return columns

    def _nobody(self) -> list[Summary]:
        """Return the row of people of a board that has none; puzzles are explained by their makers."""
        if not self.is_own or self.results.truths:
            return []
        count = len(self.results.task.units)
        outcomes = {Outcome.NOT_COLLECTED.value: count}
        return [Summary(PEOPLE, Role.HUMAN, self.simulator, {}, count, 0, outcomes=outcomes)]

    def _rank(self, row: Summary) -> str:
        """Return the ranks that a row can have; a dash if it has none."""
        ranks = self.standing.ranks.get(row.explainer)
        return "–" if ranks is None else rank(ranks)

    def _control_name(self, row: Summary) -> str:
        notes = [row.role.value] if row.role not in rows.COMPARED else []
        notes += [f"by {row.simulator}"] if row.simulator != self.simulator else []
        return plain(f"{row.explainer} ({', '.join(notes)})")

    def _row(self, row: Summary, name: tuple[str, str], columns: Sequence[tuple[str, str, Cell]]) -> Row:
        """Return the cells of a row, ``name`` being the first two."""
        if self._is_whole(row):
            averages = (figure(self.score(row).mean), span(self.score(row)), *(cell(row) for _, _, cell in columns))
        else:
            averages = ("–", _why_none(row), *("–" for _ in columns))
        counts = (f"{row.scored}/{row.units}", str(row.degenerate))
        return (*name, *averages, *counts, page.tokens(row.usage), _dollars(row.usage.usd))

    def _judged(self, headings: Sequence[Heading], cases: Sequence[Summary]) -> Table:
        """Return what judges made of the rows; averages are shown if enough of the units have one."""
        enough = self.results.minimum_coverage
        lines = tuple(
            (
                self._control_name(row) if self._is_control(row) else plain(row.explainer),
                *(
                    _cell(heading, row) if row.metrics.get(heading.metric, NOTHING).units >= enough * row.units else "–"
                    for heading in headings
                ),
                str(row.judgements),
                str(row.missing_judgements),
            )
            for row in cases
        )
        columns = (
            ("explainer", "explainer"),
            *((heading.short, heading.long) for heading in headings),
            ("cases", "cases"),
            ("silent", "cases without an answer"),
        )
        return Table("By judges" + (f", rows{self._suffix}" if self._suffix else ""), columns, lines)

    # ---------------------------------------------------------------------------------------------------- sentences

    def sentences(self) -> Iterator[str]:
        """Yield how to read the tables, and what they allow to say."""
        yield from _how_made(self)
        about = f"By {plain(self.simulator)}: " if self._suffix else ""
        yield from (about + sentence for sentence in _how_they_stand(self))
        yield from _on_columns(self)
        if any(row.role is Role.HUMAN and row.scored for row in self.rows):
            yield SEVERAL_PEOPLE
        if any(heading.judged for scorer in self.results.scorers for heading in scorer.headings):
            yield JUDGES
        for simulator in self.results.simulators:
            if simulator.name == self.simulator and simulator.note:
                yield f"{plain(simulator.name)}: {plain(simulator.note)}"
        yield from (about + sentence for sentence in (*_chosen(self), *_partial(self)))

    @property
    def ends(self) -> Ends:
        """The hardest floor by this simulator, and the ceiling: the units' own levels, else a control of that role."""
        floors = [row for row in self.controls if row.simulator == self.simulator]
        floor, ceiling = self._best(Role.FLOOR, floors), self._best(Role.CEILING, self.controls)
        known = [row.metrics[CEILING] for row in self.rows if CEILING in row.metrics]
        levels = max(known, key=lambda interval: interval.units, default=None)
        if self.by == HEADLINE and levels is not None:
            return Ends(floor, ("the units' own activations, rounded to levels", levels.mean))
        return Ends(floor, ceiling)

    def _best(self, role: Role, summaries: Sequence[Summary]) -> tuple[str, float] | None:
        """Return the name and the score of the control of this role with the highest one."""
        members = [row for row in summaries if row.role is role and self._is_whole(row)]
        best = max(members, key=lambda row: self.score(row).mean, default=None)
        return None if best is None else (best.explainer, self.score(best).mean)

    def whole(self) -> list[Summary]:
        """Return the ranked rows that have enough scores."""
        return [row for row in self.ranked if self._is_whole(row)]

    def partial(self) -> list[Summary]:
        """Return the rows that have scores, but too few."""
        return [row for row in (*self.ranked, *self.controls) if row.scored and not self._is_whole(row)]


def _cell(heading: Heading, row: Summary) -> str:
    interval = row.metrics.get(heading.metric, NOTHING)
    if heading.metric in NATS and not math.isnan(interval.mean):
        return f"{interval.mean:.1e}"
    return f"{figure(interval.mean)} ({span(interval)})" if heading.with_interval else figure(interval.mean)


def _units(interval: Interval) -> int:
    return interval.units


def _compared(comparison: Comparison) -> Row:
    return (
        plain(f"{comparison.first} - {comparison.second}"),
        figure(comparison.difference.mean),
        span(comparison.difference),
        p_text(comparison.p_value),
        p_text(comparison.corrected),
        str(comparison.difference.units),
    )


def _why_none(row: Summary) -> str:
    if row.scored:
        return "partial"
    return "not collected" if set(row.outcomes) == {Outcome.NOT_COLLECTED.value} else "no score"


def _dollars(usd: float) -> str:
    if usd == 0:
        return "$0"
    return f"${usd:.2f}" if usd >= 0.01 else "<$0.01"


# ------------------------------------------------------------------------------------------------------ facts and words


def _facts(results: Results, trusted: Callable[[SimulatorInfo], str], audited: str | None) -> Iterator[tuple[str, str]]:
    task, tokens = results.task, truths.tokens_of(results)
    yield "task", f"{task.name}, digest {task.digest[:12]}"
    yield "units", f"{len(task.units)} of the task's {task.size}" + (f", {tokens} tokens" if tokens else "")
    if results.subject is not None:
        yield "subject", _model(results.subject)
    for simulator in results.simulators:
        yield from simulator_facts(simulator)
        if not results.truths:
            yield "puzzles", trusted(simulator)
    for scorer in results.scorers:
        if scorer.prompt_version:
            by = f" by {_model(scorer.identity)}" if scorer.identity else ""
            yield (
                scorer.name,
                f"{scorer.part}{by}, prompt {scorer.prompt_version}",
            )
    places = prices.unpriced(results.config)
    if places:
        yield "cost", f"the prices of {' and '.join(map(plain, places))} are unknown: tokens count as $0"
    if results.subject is not None:
        yield "metric", audited or audit.sentence(None, HEADLINE)
    *earlier, last = results.run_id.split()
    yield from (("run", run_id) for run_id in earlier)
    yield "run", f"{last}, seed {results.seed}, {results.created}"


def simulator_facts(simulator: SimulatorInfo) -> Iterator[tuple[str, str]]:
    """Yield which simulator it is, on which model, and how it is read."""
    label = "control" if simulator.control else "simulator"
    yield label, f"{simulator.name} on {_model(simulator.identity)}" if simulator.identity else simulator.name
    if simulator.identity:
        version = f", prompt {simulator.prompt_version}" if simulator.prompt_version else ""
        yield "reading", f"transport {simulator.transport or '?'}, levels 0 to {simulator.levels - 1}{version}"


def _model(identity: Identity) -> str:
    revision = f" at {identity.revision[:12]}" if identity.revision else ""
    return f"{identity.name}{revision}" + (f" ({identity.dtype})" if identity.dtype else "")


def _how_made(section: _Section) -> Iterator[str]:
    """Yield what a score, its interval and a rank are."""
    sample = "whole layers" if section.standing.by_group else "units"
    headline = TOLD_HEADLINE_WORDS if section.results.truths else HEADLINE_WORDS
    score = headline if section.by == HEADLINE else plain(section.by)
    yield f"The score is {score}, {'the median' if unbounded(section.by) else 'averaged'} over units."
    yield standing_words.intervals(section.by, section.standing.by_group)
    if section.standing.ranks:
        yield (
            f"A rank is a range where another draw of {sample} could have given another: 95 % of draws lie in it, for "
            "each row by itself. Whether two rows can be told apart is for the comparisons to say, which are corrected "
            "for their number."
        )


def _how_they_stand(section: _Section) -> Iterator[str]:
    """Yield how many rows can be told apart, and how each stands to the floor and the ceiling."""
    summaries = {row.explainer: row for row in section.rows if row.simulator == section.simulator}
    yield from standing_words.compared(section.standing)
    floors = [row.explainer for row in section.controls if row.role is Role.FLOOR]
    yield standing_words.read_from(section.ends, floors)
    yield from standing_words.charged(section.standing, summaries)
    yield from standing_words.verdicts(section.ends, [row.explainer for row in section.whole()], section.standing)


def _on_columns(section: _Section) -> Iterator[str]:
    """Yield how to read the columns that are no means, or not of both signs."""
    metrics = section.metrics()
    if "correlation_clipped" in metrics:
        yield SIGNS
    if HARD in metrics:
        units = max(row.metrics[HARD].units for row in section.rows if HARD in row.metrics)
        yield (
            f"The columns of hard excerpts are over the {units} of {len(section.results.task.units)} units that have "
            "such: text with tokens on which the unit fires elsewhere, in place of random text."
        )
    if INTRUDER in metrics:
        of_units = max((row.metrics[INTRUDER] for row in section.rows if INTRUDER in row.metrics), key=_units)
        yield (
            f"Without any explanation the judge finds which of five excerpts is none of the unit's in "
            f"{of_units.mean:.0%} of the trials ({span(of_units)} of 1; by chance 20 %): what there is to be "
            "explained, as far as it can see."
        )
    medians = [heading for heading in section.headings() if unbounded(heading.metric)]
    if medians and not unbounded(section.by):
        words = ", ".join(heading.long.partition(" (")[0] for heading in medians)
        yield f"Medians over units stand in place of means for what has no lower bound: {words}."
    if section.by.startswith("ablation_resample"):
        yield RESAMPLED


def _chosen(section: _Section) -> Iterator[str]:
    """Yield which rows were chosen by what they are ranked by: the correlation under the run's own simulator."""
    if not section.is_own or not section.by.startswith(HEADLINE):
        return
    ranked = {row.explainer for row in section.ranked if row.scored}
    rivals = [info for info in section.results.explainers if info.candidates > 1 and info.name in ranked]
    if rivals:
        names = ", ".join(f"{plain(info.name)} (up to {info.candidates})" for info in rivals)
        yield (
            f"Chosen among several by the same score on other excerpts: {names}. A choice fits what it is made by: "
            "read these rows by a scorer that had no part in it too, under another simulator, or by ablation, judges "
            "or generated texts."
        )


def _partial(section: _Section) -> Iterator[str]:
    """Yield which rows have too few scores to be averaged."""
    for row in section.partial():
        yield (
            f"{plain(row.explainer)} has a score for only {row.scored} of {row.units} units, and is not "
            f"averaged; at least {section.results.minimum_coverage:.0%} are needed."
        )

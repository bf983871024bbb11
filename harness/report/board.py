"""The board of one run: a row for each explainer, its controls apart, and what may be concluded from it.

:func:`build` makes one model of the rows; :func:`render` shows it on a terminal and :func:`markdown_page` in Markdown.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from harness import audit_results, stats, trust
from harness.report import page
from harness.report.page import Row, Table
from harness.results import Results, figure, markdown, plain, span
from harness.types import (
    Comparison,
    Identity,
    Interval,
    NeuroglossError,
    Outcome,
    Role,
    ScoredExplanation,
    Scores,
    Standing,
    Summary,
)

SIGNIFICANT = 0.05
_NOTHING = Interval(math.nan, math.nan, math.nan, 0)
_PEOPLE = "people"

COLUMNS = (
    ("explainer", "explainer"),
    ("rank", "rank"),
    ("score", "mean correlation"),
    ("95 % interval", "95 % interval"),
    ("random", "random only"),
    ("top", "top only"),
    ("ablat.", "ablation"),
    ("expl.v.", "explained variance"),
    ("cover", "neurons scored"),
    ("const", "constant (score 0)"),
    ("tokens", "tokens"),
    ("cost", "cost"),
)
COMPARED = (
    ("explainers", "explainers"),
    ("differ.", "mean difference"),
    ("95 % interval", "95 % interval"),
    ("p", "p"),
    ("corr. p", "corrected p"),
    ("neurons", "neurons of both"),
)
JUDGED = (
    ("explainer", "explainer"),
    ("detection", "detection"),
    ("AUROC", "detection AUROC"),
    ("fuzzing", "fuzzing"),
    ("AUROC", "fuzzing AUROC"),
    ("cases", "cases"),
    ("silent", "cases without an answer"),
)
"""The heading of each column, short for the terminal and long for the page."""


@dataclass(frozen=True, slots=True)
class Board:
    """What is shown: ``facts`` (name, value), ``ranked`` rows best first by ``metric``, ``controls``, what is
    ``judged`` of both, their ``comparisons`` two by two, and ``sentences`` on all of it."""

    title: str
    metric: str
    facts: tuple[tuple[str, str], ...]
    ranked: tuple[Row, ...]
    controls: tuple[Row, ...]
    judged: tuple[Row, ...]
    comparisons: tuple[Row, ...]
    sentences: tuple[str, ...]


def build(results: Results, trusted: str | None = None, audited: str | None = None, by: str = stats.HEADLINE) -> Board:
    """The board of a run, ranked ``by`` a metric of its panel.

    ``trusted`` says what :mod:`harness.trust` knows of its simulator, and ``audited`` what
    :mod:`harness.audit_results` knows of the metric.

    A row with scores for fewer neurons than ``results.minimum_coverage`` shows no averages, for they would be of other
    neurons than its neighbours'. A row that another simulator scored (a table, by ``lookup``) is not ranked.
    """
    by_layer = results.standing is not None and results.standing.by_layer
    results = headlined(results, by)
    ranked = sorted((row for row in results.summaries if not _is_control(row, results)), key=_order(results))
    controls = [row for row in results.summaries if _is_control(row, results)]
    standing = results.standing or _standing(results, by_layer)
    people = [] if any(row.role is Role.HUMAN for row in results.summaries) else [_nobody(results)]
    return Board(
        title=f"Board of {plain(results.task.name)}" + ("" if by == stats.HEADLINE else f", by {plain(by)}"),
        metric=by,
        facts=tuple((name, plain(value)) for name, value in _facts(results, trusted, audited)),
        ranked=tuple(_row(row, (plain(row.explainer), _rank(row, standing)), results) for row in (*ranked, *people)),
        controls=tuple(_row(row, (_control_name(row, results), "–"), results) for row in controls),
        judged=tuple(_judged(row, results) for row in (*ranked, *controls) if row.judgements),
        comparisons=tuple(map(_compared, standing.comparisons)),
        sentences=tuple(_sentences(results, standing, ranked, controls, by)),
    )


def render(board: Board) -> Group:
    """The board for a terminal of at least 100 columns; no text in it is markup."""
    parts: list[RenderableType] = [page.terminal_table(Table("", columns(board), board.ranked, board.controls)), Text()]
    if board.judged:
        parts += [page.terminal_table(Table("", JUDGED, board.judged)), Text()]
    if board.comparisons:
        parts += [page.terminal_table(Table("", COMPARED, board.comparisons)), Text()]
    return Group(Text(board.title, style="bold"), *page.facts(board.facts), Text(), *parts, *map(Text, board.sentences))


def markdown_page(board: Board) -> str:
    """The board as a page of Markdown."""
    parts = [
        f"# {markdown(board.title)}",
        "\n".join(f"* {name}: {markdown(value)}" for name, value in board.facts),
        "## Explainers",
        page.markdown_table(columns(board), board.ranked),
        "## Controls, not ranked",
        page.markdown_table(columns(board), board.controls) if board.controls else "None in this run.",
        *(["## By judges", page.markdown_table(JUDGED, board.judged)] if board.judged else []),
        "## Compared on the same neurons",
        page.markdown_table(COMPARED, board.comparisons) if board.comparisons else "There are no two rows to compare.",
        "## How to read it",
        "\n".join(f"* {markdown(sentence)}" for sentence in board.sentences),
    ]
    return "\n\n".join(parts) + "\n"


def columns(board: Board) -> page.Columns:
    """The headings of a board's columns: the score is the metric that it ranks by."""
    return tuple((short, f"mean {plain(board.metric)}" if short == "score" else long) for short, long in COLUMNS)


def headlined(results: Results, metric: str) -> Results:
    """The results as if ``metric`` were the headline: it stands in its place, in rows as in scores.

    Raises:
        NeuroglossError: the run has no such metric; the sentence names those there are.
    """
    known = dict.fromkeys(name for row in results.summaries for name in row.metrics)
    if metric == stats.HEADLINE:
        return results
    if metric in stats.NO_SCORES:
        raise NeuroglossError(f"{metric} is no score: more of it is not better; rank by ablation_loss, for example.")
    if metric not in known:
        raise NeuroglossError(f"the run has no scores by {metric}; it has: {', '.join(known) or 'none'}.")
    return dataclasses.replace(
        results,
        standing=None,  # it was worked out by the metric that stood there before
        summaries=tuple(_headlined_row(row, results.scored[row.explainer], metric) for row in results.summaries),
        scored={
            name: tuple(dataclasses.replace(one, scores=_headlined_scores(one.scores, metric)) for one in some)
            for name, some in results.scored.items()
        },
    )


def _headlined_row(row: Summary, scored: Sequence[ScoredExplanation], metric: str) -> Summary:
    has = [one for one in scored if metric in one.scores.values]
    sound = {one.explanation.neuron for one in has if metric not in one.scores.degenerate}
    neurons = {one.explanation.neuron for one in has}
    return dataclasses.replace(
        row,
        metrics={**row.metrics, stats.HEADLINE: row.metrics.get(metric, _NOTHING)},
        scored=len(neurons),
        degenerate=len(neurons - sound),
    )


def _headlined_scores(scores: Scores, metric: str) -> Scores:
    others = {name: value for name, value in scores.values.items() if name != stats.HEADLINE}
    own = {stats.HEADLINE: scores.values[metric]} if metric in scores.values else {}
    return dataclasses.replace(scores, values={**own, **others})


# ---------------------------------------------------------------------------------------------------------------- rows


def _is_control(row: Summary, results: Results) -> bool:
    return row.role not in (Role.EXPLAINER, Role.HUMAN) or row.simulator != results.simulator.name


def _is_whole(row: Summary, results: Results) -> bool:
    return stats.is_whole(row, results.minimum_coverage)


def _standing(results: Results, by_layer: bool) -> Standing:
    """The standing of a run whose results do not hold it, or hold it by another metric."""
    return stats.standing(
        results.summaries,
        results.scored,
        results.simulator.name,
        minimum_coverage=results.minimum_coverage,
        seed=results.seed,
        by_layer=by_layer,
    )


def _rank(row: Summary, standing: Standing) -> str:
    """The ranks that a row can have; a dash where it has none."""
    found = standing.ranks.get(row.explainer)
    return "–" if found is None else stats.rank(found)


def _judged(row: Summary, results: Results) -> Row:
    """What judges made of a row; averages are shown as on the board, where enough of the neurons have one."""
    cells = [_judged_cell(row, name, results) for name in ("detection", "fuzzing")]
    name = _control_name(row, results) if _is_control(row, results) else plain(row.explainer)
    return (name, *cells[0], *cells[1], str(row.judgements), str(row.missing_judgements))


def _judged_cell(row: Summary, name: str, results: Results) -> tuple[str, str]:
    """The balanced accuracy with its interval, and the AUROC."""
    accuracy, auroc = (row.metrics.get(figure_name, _NOTHING) for figure_name in (name, f"{name}_auroc"))
    if accuracy.neurons < results.minimum_coverage * row.neurons:
        return "–", "–"
    return f"{figure(accuracy.mean)} ({span(accuracy)})", figure(auroc.mean)


def _compared(one: Comparison) -> Row:
    return (
        plain(f"{one.first} - {one.second}"),
        figure(one.difference.mean),
        span(one.difference),
        _p(one.p_value),
        _p(one.corrected),
        str(one.difference.neurons),
    )


def _headline(row: Summary) -> Interval:
    return row.metrics.get(stats.HEADLINE, _NOTHING)


def _order(results: Results) -> Callable[[Summary], tuple[bool, float, str]]:
    """Best first; rows without an average last; ties by name."""
    return lambda row: (not _is_whole(row, results), -_headline(row).mean if row.scored else 0.0, row.explainer)


def _nobody(results: Results) -> Summary:
    """The row of people, in a run that has none."""
    asked = len(results.task.neurons)
    return Summary(
        _PEOPLE, Role.HUMAN, results.simulator.name, {}, asked, 0, outcomes={Outcome.NOT_COLLECTED.value: asked}
    )


def _control_name(row: Summary, results: Results) -> str:
    notes = [row.role.value] if row.role in (Role.FLOOR, Role.CEILING) else []
    notes += [f"by {row.simulator}"] if row.simulator != results.simulator.name else []
    return plain(f"{row.explainer} ({', '.join(notes)})")


def _row(row: Summary, name: tuple[str, str], results: Results) -> Row:
    """The cells of a row, ``name`` being the first two."""
    usage = row.usage
    averages = _averages(row) if _is_whole(row, results) else ("–", _why_none(row), *["–"] * 4)
    return (
        *name,
        *averages,
        f"{row.scored}/{row.neurons}",
        str(row.degenerate),
        page.tokens(usage),
        _dollars(usage.usd),
    )


def _averages(row: Summary) -> tuple[str, ...]:
    metrics = ("correlation_random", "correlation_top", "ablation", "explained_variance")
    headline = _headline(row)
    return (figure(headline.mean), span(headline), *(figure(row.metrics.get(name, _NOTHING).mean) for name in metrics))


def _why_none(row: Summary) -> str:
    if row.scored:
        return "partial"
    return "not collected" if set(row.outcomes) == {Outcome.NOT_COLLECTED.value} else "no score"


def _dollars(usd: float) -> str:
    if usd == 0:
        return "$0"
    return f"${usd:.2f}" if usd >= 0.01 else "<$0.01"


# ------------------------------------------------------------------------------------------------------ facts and words


def _facts(results: Results, trusted: str | None, audited: str | None) -> Iterator[tuple[str, str]]:
    task, simulator = results.task, results.simulator
    yield "task", f"{task.name}, digest {task.digest[:12]}"
    yield "neurons", f"{len(task.neurons)} of the task's {task.size}"
    yield "subject", _model(results.subject)
    on = f" on {_model(simulator.identity)}" if simulator.identity else ""
    yield "simulator", f"{simulator.name}{on}"
    if simulator.identity:
        version = f", prompt {simulator.prompt_version}" if simulator.prompt_version else ""
        yield "reading", f"transport {simulator.transport or '?'}, levels 0 to {simulator.levels - 1}{version}"
    for judge in results.judges:
        by = f" by {_model(judge.identity)}" if judge.identity else ""
        yield judge.name, f"judged{by}, prompt {judge.prompt_version}"
    yield "puzzles", trusted or trust.not_measured(simulator)
    yield "metric", audited or audit_results.sentence(None, stats.HEADLINE)
    yield "run", f"{results.run_id}, seed {results.seed}, {results.created}"


def _model(identity: Identity) -> str:
    revision = f" at {identity.revision[:12]}" if identity.revision else ""
    return f"{identity.name}{revision}" + (f" ({identity.dtype})" if identity.dtype else "")


def _sentences(
    results: Results, standing: Standing, ranked: list[Summary], controls: list[Summary], by: str
) -> Iterator[str]:
    means = {
        stats.HEADLINE: "the correlation of real and simulated activations over all tokens of the valid excerpts (top "
        "and random together)"
    }
    drawn = "whole layers" if standing.by_layer else "neurons"
    yield f"The score is {means.get(by, plain(by))}, averaged over neurons; the interval is a bootstrap over {drawn}."
    if standing.ranks:
        yield (
            f"A rank is a range where another draw of {drawn} could have given another: 95 % of draws lie in it, for "
            "each row by itself. Whether two rows can be told apart is for the comparisons to say, which are corrected "
            "for their number."
        )
    if standing.comparisons:
        yield _how_compared(standing)
    floors = [row for row in controls if row.simulator == results.simulator.name]
    floor, ceiling = _best(floors, Role.FLOOR, results), _best(controls, Role.CEILING, results)
    yield _how_to_read(floor, ceiling)
    whole = [row for row in ranked if _is_whole(row, results)]
    if floor is not None:
        yield from _against(floor, whole, ceiling, standing)
    if results.judges:
        yield (
            "Detection: does the judge, told the explanation, say in which excerpts the neuron fires? Fuzzing: are the "
            "marked tokens of an excerpt those that it fires on? Both are balanced accuracies: 0.5 for a judge that "
            "always says the same. Compare them with the floor's."
        )
    if results.simulator.note:
        yield f"{plain(results.simulator.name)}: {plain(results.simulator.note)}"
    for row in (*ranked, *controls):
        if row.scored and not _is_whole(row, results):
            yield (
                f"{plain(row.explainer)} has a score for only {row.scored} of {row.neurons} neurons, and is not "
                f"averaged; at least {results.minimum_coverage:.0%} are needed."
            )


def _best(controls: list[Summary], role: Role, results: Results) -> Summary | None:
    """The control of this role with the highest score: the hardest floor, the highest ceiling."""
    rows = [row for row in controls if row.role is role and _is_whole(row, results)]
    return max(rows, key=lambda row: _headline(row).mean, default=None)


def _how_to_read(floor: Summary | None, ceiling: Summary | None) -> str:
    if floor is None:
        return (
            "There is no floor in this run, so nothing says what a meaningless explanation would score here; "
            "add explainer=shuffled before concluding anything."
        )
    words = (
        f"Read a score from its floor, {figure(_headline(floor).mean)} ({plain(floor.explainer)}), which explanations "
        "that have nothing to do with the neuron get"
    )
    if ceiling is None:
        return words + ", not from 0."
    height = figure(_headline(ceiling).mean)
    return words + f", to its ceiling, {height} ({plain(ceiling.explainer)}), which takes no explanation in words."


def _how_compared(standing: Standing) -> str:
    pairs = len(standing.comparisons)
    apart = sum(_told_apart(one) for one in standing.comparisons)
    flipped = "each layer" if standing.by_layer else "each neuron"
    return (
        f"Explainers are compared on the same neurons; p is that of a test that flips the sign of the difference on "
        f"{flipped}, and is corrected for {pairs} comparison{'s' * (pairs > 1)} (Holm). {apart} of {pairs} can be told "
        f"apart (corrected p below {SIGNIFICANT}, interval without 0)."
    )


def _told_apart(one: Comparison) -> bool:
    return one.corrected < SIGNIFICANT and (one.difference.low > 0 or one.difference.high < 0)


def _against(floor: Summary, rows: list[Summary], ceiling: Summary | None, standing: Standing) -> Iterator[str]:
    """One sentence for each row: whether it can be told from the floor, on the same neurons."""
    found = {one.first: one for one in standing.comparisons if one.second == floor.explainer}
    height = math.nan if ceiling is None else _headline(ceiling).mean - _headline(floor).mean
    for row in rows:
        yield f"{plain(row.explainer)} {_verdict(found[row.explainer], height)}"


def _verdict(one: Comparison, height: float) -> str:
    """What a difference from the floor allows to say; ``height`` is that of the ceiling above the floor."""
    interval = one.difference
    figures = (
        f"difference {figure(interval.mean)}, 95 % interval {span(interval)}, corrected p {_equals(one.corrected)}"
    )
    if not _told_apart(one):
        return (
            f"cannot be told from the floor ({figures}): its explanations show no sign of being about their neurons."
        )
    if interval.mean < 0:
        return f"is below the floor ({figures}): its explanations mislead the simulator."
    share = f"; it goes {interval.mean / height:.0%} of the way to the ceiling" if height > 0 else ""
    return f"is above the floor ({figures}){share}."


def _equals(p_value: float) -> str:
    return _p(p_value) if p_value < 0.001 else f"= {_p(p_value)}"


def _p(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else figure(p_value)

"""Several runs as one: the rows of all of them on the units that they share, for one board."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.results import rows, truths
from harness.results.rows import Resampling
from harness.results.run import Results
from harness.results.vocabulary import ExplainerInfo, ResultRow
from harness.stats import HEADLINE
from harness.types import WRITTEN, NeuroglossError, Role, ScoredExplanation, ScorerInfo, SimulatorInfo, Unit

_RowsByExplainer = dict[str, tuple[ExplainerInfo, dict[str, ResultRow]]]
"""Name on the board -> the explainer, and its row by each simulator."""


def merged(runs: Sequence[Results]) -> Results:
    """Return the rows of several runs of one task as those of one run, ranked and compared anew.

    Only units that all runs asked for count. A row that is the same in several runs stands once: the same explainer
    with the same explanations, and the same scores by the same simulator. Other rows of one name, and other simulators
    of one name, get the first digits of their run's id. Explanations that come with the units are the same in all runs;
    what a simulator makes of them is that of the first run that has it. Intervals, ranks and p-values are made with the
    seed and the resamples of the first run, over whole groups if any run's are.

    Raises:
        NeuroglossError: the runs are of different tasks, share no unit, or have texts by different writers.
    """
    if len(runs) == 1:
        return runs[0]
    _check_task(runs)
    _check_writers(runs)
    units = _shared_units(runs)
    by_group = any(resampling_of(run).by_group for run in runs)
    resampling = replace(resampling_of(runs[0]), by_group=by_group)
    limited = [_limited(run, set(units), resampling) for run in runs]
    return ranked(_united(_distinct_simulators(limited), units, resampling), resampling)


def _united(runs: Sequence[Results], units: Sequence[Unit], resampling: Resampling) -> Results:
    """Return runs of the same units, whose simulators are told apart, as one that is not ranked yet."""
    first = runs[0]
    by_explainer = _distinct_explainers(runs)
    result_rows = tuple(row for _, by_simulator in by_explainer.values() for row in by_simulator.values())
    simulators = _simulators(runs)
    summaries = [truths.summaries(result_rows, info.name, first.task.categories, resampling) for info in simulators]
    return replace(
        first,
        run_id=" ".join(run.run_id[:12] for run in runs),
        created=max(run.created for run in runs),
        task=replace(first.task, units=tuple(units)),
        simulators=simulators,
        explainers=tuple(info for info, _ in by_explainer.values()),
        scorers=tuple(dict.fromkeys(info for run in runs for info in run.scorers)),
        rows=result_rows,
        truths=tuple(summary for of_simulator in summaries for summary in of_simulator),
        config={},
        provenance={},
        seconds={},
        usage={},
    )


def ranked(results: Results, resampling: Resampling, metric: str = HEADLINE) -> Results:
    """Return results whose rows are ranked and compared by a metric."""
    coverage = results.minimum_coverage
    return replace(
        results, standings=rows.standings(results.rows, results.simulators, coverage, resampling, metric=metric)
    )


def resampling_of(results: Results) -> Resampling:
    """Return how the intervals, ranks and p-values of results were made."""
    by_group = any(standing.by_group for standing in results.standings)
    return Resampling(results.seed, results.resamples, by_group)


# ----------------------------------------------------------------------------------------------------- units in common


def _check_task(runs: Sequence[Results]) -> None:
    first = runs[0].task
    for run in runs[1:]:
        if run.task.digest != first.digest:
            raise NeuroglossError(
                f"the runs are of two tasks ({first.name} {first.digest[:12]}, {run.task.name} "
                f"{run.task.digest[:12]}); compare runs on one."
            )


def _check_writers(runs: Sequence[Results]) -> None:
    """Refuse scores on texts of different writers, which would stand in one column as if they were the same score."""
    writers = {info.name: info for info in runs[0].scorers}
    for run in runs[1:]:
        for info in run.scorers:
            first = writers.setdefault(info.name, info)
            if WRITTEN in (first.part, info.part) and _writer(first) != _writer(info):
                raise NeuroglossError(
                    f"the runs have {info.name} scores on texts of two writers ({_writer(first)} and {_writer(info)}), "
                    "which are not comparable; compare runs of one writer, or leave the scorer out of one of them."
                )


def _writer(info: ScorerInfo) -> str:
    """Return which writer it is: its model, if it asks one, and its version."""
    model = f"{info.identity.name}@{info.identity.revision[:12]}, " if info.identity else ""
    return model + info.prompt_version


def _shared_units(runs: Sequence[Results]) -> list[Unit]:
    shared = set.intersection(*(set(run.task.units) for run in runs))
    if not shared:
        raise NeuroglossError("the runs share no unit; run them with the same units= options.")
    return [unit for unit in runs[0].task.units if unit in shared]


def _limited(run: Results, units: set[Unit], resampling: Resampling) -> Results:
    """Return a run on some of its units only, its intervals made in the way of the board; costs stay those of all."""
    return replace(run, rows=tuple(_limited_row(row, units, resampling, resampling_of(run)) for row in run.rows))


def _limited_row(row: ResultRow, units: set[Unit], resampling: Resampling, run_resampling: Resampling) -> ResultRow:
    scored = tuple(item for item in row.scored if item.unit in units)
    if len(scored) == len(row.scored) and run_resampling == resampling:
        return row
    summary = row.summary
    anew = replace(
        rows.summarise(row.key, summary.role, scored, resampling),
        explain_usage=summary.explain_usage,
        simulate_usage=summary.simulate_usage,
        judge_usage=summary.judge_usage,
    )
    return ResultRow(anew, scored)


# ---------------------------------------------------------------------------------------------------------- simulators


def _distinct_simulators(runs: Sequence[Results]) -> list[Results]:
    """Return the runs with simulators of one name but another model, prompt or reading told apart by their run."""
    names: dict[SimulatorInfo, str] = {}
    return [_renamed_simulators(run, _simulator_names(run, names)) for run in runs]


def _simulator_names(run: Results, names: dict[SimulatorInfo, str]) -> dict[str, str]:
    """Return the name on the board of each simulator of a run, and add new ones to ``names``."""
    by_name = {}
    for info in run.simulators:
        simulator = replace(info, note="", control=False)
        if simulator not in names:
            names[simulator] = _free_name(info.name, names.values(), run)
        by_name[info.name] = names[simulator]
    return by_name


def _free_name(name: str, names: Iterable[str], run: Results) -> str:
    return f"{name} ({run.run_id[:6]})" if name in names else name


def _renamed_simulators(run: Results, names: dict[str, str]) -> Results:
    return replace(
        run,
        simulators=tuple(replace(info, name=names[info.name]) for info in run.simulators),
        rows=tuple(_renamed(row, row.summary.explainer, names) for row in run.rows),
    )


def _simulators(runs: Sequence[Results]) -> tuple[SimulatorInfo, ...]:
    """Return the simulators of all runs; a control is one that is a control in each run that has it."""
    simulators: dict[str, SimulatorInfo] = {}
    for run in runs:
        for info in run.simulators:
            earlier = simulators.get(info.name, info)
            simulators[info.name] = replace(earlier, control=earlier.control and info.control)
    return tuple(simulators.values())


# ---------------------------------------------------------------------------------------------------------- explainers


def _distinct_explainers(runs: Sequence[Results]) -> _RowsByExplainer:
    """Return the explainers of all runs and their rows, each once; those that came with units last."""
    by_explainer: _RowsByExplainer = {}
    for run in runs:
        for info in run.explainers:
            by_simulator = {row.summary.simulator: row for row in run.rows if row.summary.explainer == info.name}
            name = _twin(info, by_simulator, by_explainer) or _free_name(info.name, by_explainer, run)
            _, board_rows = by_explainer.setdefault(name, (replace(info, name=name), {}))
            for simulator, row in by_simulator.items():
                board_rows.setdefault(simulator, _renamed(row, name, {}))
    return dict(sorted(by_explainer.items(), key=lambda pair: pair[1][0].role is Role.TOLD))


def _twin(info: ExplainerInfo, by_simulator: dict[str, ResultRow], by_explainer: _RowsByExplainer) -> str | None:
    """Return the name of the explainer on the board that is the same; None if there is none."""
    for name, (board_info, board_rows) in by_explainer.items():
        if replace(board_info, name=info.name) == info and _agree(by_simulator, board_rows):
            return name
    return None


def _agree(first: dict[str, ResultRow], second: dict[str, ResultRow]) -> bool:
    """Tell whether rows have the same explanations, and the same scores by each simulator of both."""
    rows_of_both = [*first.values(), *second.values()]
    if any(row.summary.role is Role.TOLD for row in rows_of_both):
        return True
    texts = {tuple(sorted(map(_text, row.scored))) for row in rows_of_both}
    return len(texts) <= 1 and all(
        _scores(row) == _scores(second[simulator]) for simulator, row in first.items() if simulator in second
    )


def _text(item: ScoredExplanation) -> tuple[Unit, str, str, str]:
    return item.unit, item.explanation.annotator, item.explanation.text, item.explanation.outcome


def _scores(row: ResultRow) -> list[tuple[object, ...]]:
    return sorted((*_text(item), sorted(item.scores.values.items())) for item in row.scored)


def _renamed(row: ResultRow, explainer: str, simulators: dict[str, str]) -> ResultRow:
    """Return a row under other names; a simulator that ``simulators`` lacks keeps its own."""
    scored = tuple(
        replace(
            item,
            explanation=replace(item.explanation, explainer=explainer),
            simulator=simulators.get(item.simulator, item.simulator),
        )
        for item in row.scored
    )
    simulator = simulators.get(row.summary.simulator, row.summary.simulator)
    return ResultRow(replace(row.summary, explainer=explainer, simulator=simulator), scored)

"""One audit, from a composed config to files: read the run, make the tests, judge, write beside the run.

:func:`prepare` finds every mistake that can be found without work; :func:`run` does the work.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from harness import pipeline, typed_json
from harness.config import build, compose, outside
from harness.config.settings import AuditSettings, RunSettings
from harness.files import write_whole
from harness.guards.printing import shortened
from harness.jobs.explainers import MODEL, ExplainerNode, explainer_nodes
from harness.jobs.ledger import Ledger
from harness.jobs.run import fitting_of
from harness.jobs.tools import Remembering, build_tools, needs_subject
from harness.models.store import Store
from harness.pipeline import Tools
from harness.report import audit_page, page
from harness.results import audit as audit_results
from harness.results import provenance
from harness.results.audit import Audit, FinalRow, Test, Verdict
from harness.results.rows import Resampling, by_unit
from harness.results.run import Results, read_run
from harness.scorers.ablation import FIGURES
from harness.stats import HEADLINE, NO_SCORES
from harness.studies import final, labels, matrix, nulls, retest, verdicts
from harness.studies.by_simulator import BySimulator
from harness.studies.labels import Drawn, Scoring
from harness.studies.nulls import Saying
from harness.studies.retest import FreshScorer, FreshSimulator, repeat_name
from harness.studies.verdicts import Values
from harness.tasks import catalog
from harness.tasks.splits import deal
from harness.tasks.units import read_task
from harness.types import (
    Identity,
    NeuroglossError,
    Progress,
    Record,
    Role,
    RowKey,
    ScoredExplanation,
    Scorer,
    Scores,
    Simulator,
    Task,
    UnitRecord,
)

OWN = "own"
"""The row of the explanations that the run has left."""
STORE = "store.sqlite"
"""The file of replies in a folder of runs, unless a config names another."""


@dataclass(frozen=True, eq=False)
class AuditPlan:
    """An audit that can begin.

    Attributes:
        config: as it may be shown.
        settings: made of it.
        folder: of the run.
        results: of the run.
        run: the settings of the run, with no more simulators, scorers and explainers than the audit asks.
        store: the file of replies.
        tests: which to make.
        explainer: whose explanations the nulls are held against; empty where no test needs any.
    """

    config: Mapping[str, Any]
    settings: AuditSettings
    folder: Path
    results: Results
    run: RunSettings
    store: Path
    tests: tuple[Test, ...]
    explainer: str


def prepare(composed: DictConfig) -> AuditPlan:
    """Refuse whatever can be refused of an audit before any work, with a sentence that says what to write instead."""
    values = compose.plain(composed)
    settings: AuditSettings = compose.settings_from(AuditSettings, values)
    tests = _tests(settings)
    folder = Path(settings.run).expanduser().resolve()
    results = read_run(folder)
    if results.subject is None:
        raise NeuroglossError(
            f"{folder} is a run of puzzles, which come from no corpus; audit a run of units: run=FOLDER."
        )
    explainer = _explainer(results, settings.explanations) if set(tests) - set(labels.TESTS) else ""
    run_settings: RunSettings = compose.settings_from(RunSettings, results.config, f"{folder}: config.")
    node = _explainable(results, run_settings, explainer) if Test.REINITIALISED in tests else None
    narrowed = _narrowed(run_settings, results, settings, node)
    _check(narrowed, folder, settings.allow)
    store = _store(settings, run_settings, folder)
    if settings.final:
        _check_unseen(_record_of_final(folder, results))
    return AuditPlan(provenance.redact(values), settings, folder, results, narrowed, store, tests, explainer)


def run(plan: AuditPlan, overrides: Sequence[str], progress: Progress) -> Audit:
    """Make the tests of a plan, and leave the audit in the folder of its run.

    Args:
        plan: what :func:`prepare` made.
        overrides: the command line's, for the record.
        progress: is told how far each stage is.

    Raises:
        NeuroglossError: the task has changed, or a model, the budget or the disk stopped the audit.
    """
    task = _read_task(plan)
    ledger = Ledger(progress, plan.settings.budget)
    judged, final_rows = _verdicts(plan, task, ledger, progress)
    ledger.begin("write")
    audit = Audit(
        run_id=plan.results.run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=plan.results.task,
        simulator=plan.results.simulator,
        explainer=plan.explainer,
        verdicts=tuple(judged),
        matrix=matrix.of_run(plan.results, Resampling(plan.settings.seed)),
        final=final_rows,
        by_group=plan.run.board.by_group,
        settings=plan.config,
        provenance=provenance.provenance(overrides),
        seconds=ledger.seconds,
        usage=ledger.usage,
    )
    audit_results.write(plan.folder, audit, page.markdown_page(audit_page.build(audit)))
    if plan.settings.final:
        _record(_record_of_final(plan.folder, plan.results), audit)
    return audit


def _record_of_final(folder: Path, results: Results) -> Path:
    """Return the file that says that a run was scored on test excerpts; it stays when the run is made again."""
    return folder.parent / f"{results.run_id}.final.json"


def _check_unseen(record: Path) -> None:
    """Refuse a second look at the test excerpts of a run."""
    if record.exists():
        raise NeuroglossError(
            f"this run was scored on its test excerpts before, and {record} has what came out; they are looked at "
            "once, so leave final=true out."
        )


def _record(path: Path, audit: Audit) -> None:
    """Write what a final gave; a file that has come to be meanwhile is another's look at the same excerpts."""
    _check_unseen(path)
    document = {"created": audit.created, "rows": typed_json.to_json(audit, str(path))["final"]}
    try:
        write_whole(path, json.dumps(document, indent=1).encode())
    except OSError as error:
        raise NeuroglossError(f"{path} cannot be written ({error.strerror or error}); make room there.") from error


def _read_task(plan: AuditPlan) -> Task:
    """Read the task of the audited run, and refuse another one of its name."""
    task = read_task(catalog.find_task(plan.run.task.name, plan.run.task.path))
    if task.digest != plan.results.task.digest:
        raise NeuroglossError(
            f"{plan.folder} was made on {task.name} with the digest {plan.results.task.digest[:12]}, and the task here "
            f"has {task.digest[:12]}; audit it with that task."
        )
    return task


# ------------------------------------------------------------------------------------------------------------ checking


def _tests(settings: AuditSettings) -> tuple[Test, ...]:
    options = [test.value for test in Test]
    for name in settings.tests:
        if name not in options:
            raise NeuroglossError(f"there is no test {name}; there are: {', '.join(options)}.")
    if not settings.tests:
        raise NeuroglossError(f"tests= is empty; there are: {', '.join(options)}.")
    return tuple(test for test in Test if test.value in settings.tests)


def _explainer(results: Results, explanations: str | None) -> str:
    """Return the explainer that was asked for, else the one that the board has first."""
    summaries = [row for row in results.summaries if row.role in (Role.EXPLAINER, Role.HUMAN) and row.scored]
    summaries = [row for row in summaries if row.simulator == results.simulator.name]
    names = [row.explainer for row in summaries]
    if not summaries or (explanations is not None and explanations not in names):
        raise NeuroglossError(
            f"the run has no explanations in words by {explanations or 'any explainer'} with a score; it has some by: "
            f"{', '.join(names) or 'none'}. Choose by explanations=NAME, or ask only for tests that need none: "
            f"tests=[{','.join(labels.TESTS)}]."
        )
    return explanations or max(summaries, key=lambda row: row.metrics[HEADLINE].mean).explainer


def _explainable(results: Results, run_settings: RunSettings, explainer: str) -> ExplainerNode:
    """Return the node of an explainer; people cannot be asked about a subject that was never shown to them."""
    roles = {row.explainer: row.role for row in results.summaries}
    if roles[explainer] is Role.HUMAN:
        raise NeuroglossError(
            f"{explainer} cannot be asked to explain the re-initialised subject; choose another by explanations=NAME, "
            f"or leave {Test.REINITIALISED} out of tests=."
        )
    return next(node for node in explainer_nodes(run_settings) if node.name == explainer)


def _narrowed(
    run_settings: RunSettings, results: Results, settings: AuditSettings, node: ExplainerNode | None
) -> RunSettings:
    """Return the settings of a run without what its audit does not ask.

    The run's own simulator stays, the explainer that is asked about another subject, and the scorers, but for those
    that look into the subject where it is not to be asked.
    """
    name = results.simulator.name
    scores = run_settings.task.scores or run_settings.scores
    return dataclasses.replace(
        run_settings,
        task=dataclasses.replace(run_settings.task, controls={}, scores={}),
        simulator={name: run_settings.simulator[name]},
        scores={key: scorer for key, scorer in scores.items() if settings.ablation or not needs_subject(scorer)},
        explainer={} if node is None else {node.method: node.node},
        explainer_model={},
    )


def _check(run_settings: RunSettings, folder: Path, allow: Mapping[str, Any]) -> None:
    """Refuse a recorded config that reaches outside, or whose classes are not here, such as those of a plugin."""
    groups = {
        "simulator": run_settings.simulator,
        "scores": run_settings.scores,
        "explainer": run_settings.explainer,
    }
    parts = {"task": {"path": run_settings.task.path}, "subject": run_settings.subject, **groups}
    outside.check(parts, folder, outside.Permission.of(allow))
    build.check(run_settings.subject, "subject", "subject")
    for key, nodes in groups.items():
        for name, node in nodes.items():
            build.check(node, f"{key}.{name}", {"scores": "scorer"}.get(key, key))


def _store(settings: AuditSettings, run_settings: RunSettings, folder: Path) -> Path:
    """Return the file of replies: the user's, else the one beside the run's folder, never one that a run names."""
    if settings.store is not None:
        return Path(settings.store).expanduser()
    if run_settings.store != f"{run_settings.output}/{STORE}":
        raise NeuroglossError(
            f"{folder} kept its replies in {shortened(run_settings.store)}, and an audit opens no file that only a run "
            "names; add store=FILE to the command, that one or another."
        )
    return folder.parent / STORE


# ------------------------------------------------------------------------------------------------------------- testing


@dataclass(frozen=True, eq=False)
class _Work:
    """What the tests of an audit work with; ``sources`` are the records as they were collected."""

    plan: AuditPlan
    task: Task
    sources: Sequence[UnitRecord]
    store: Store
    ledger: Ledger
    progress: Progress

    @cached_property
    def records(self) -> list[Record]:
        """The records, dealt."""
        return list(map(deal, self.sources))

    @cached_property
    def tools(self) -> Tools:
        """The run's simulator and scorers, asked by way of the store; no explainers."""
        return self.build(self.store, self.plan.run)

    @property
    def resampling(self) -> Resampling:
        """How intervals are drawn."""
        board = self.plan.run.board
        return Resampling(self.plan.settings.seed, board.resamples, board.by_group)

    @property
    def asking_scorers(self) -> dict[str, Mapping[str, Any]]:
        """The nodes of the scorers that ask a language model."""
        return {name: node for name, node in self.plan.run.scores.items() if _asks_model(node)}

    @property
    def simulator(self) -> str:
        """The name of the run's simulator."""
        return self.plan.results.simulator.name

    def build(self, store: Store, run_settings: RunSettings) -> Tools:
        """Build the simulator and the scorers of some settings, asked by way of ``store``."""
        silent = dataclasses.replace(run_settings, explainer={})
        return build_tools(silent, self.task.subject, self.records, Remembering(store, self.ledger.meter)).tools

    def score(self, name: str, records: Sequence[Record], tools: Tools, rows: Sequence[RowKey]) -> _Scored:
        """Explain, simulate and score rows; each stage is counted under the ``name`` of its part of the audit."""
        fitting = fitting_of(self.plan.run.calibration, self.task)
        return pipeline.run(records, tools, rows, fitting, lambda stage: self.ledger.begin(f"{name}, {stage}"))


_Scored = dict[RowKey, list[ScoredExplanation]]


def _asks_model(node: Mapping[str, Any]) -> bool:
    return MODEL in node or any(_asks_model(value) for value in node.values() if isinstance(value, Mapping))


def _verdicts(
    plan: AuditPlan, task: Task, ledger: Ledger, progress: Progress
) -> tuple[list[Verdict], tuple[FinalRow, ...]]:
    """Return the verdicts of all tests, metric by metric, and the scores on test excerpts if they are asked for."""
    units = set(plan.results.task.units)
    sources = [source for source in task.records if source.unit in units]
    judged: list[Verdict] = []
    with Store(plan.store) as store:
        work = _Work(plan, task, sources, store, ledger, progress)
        if set(plan.tests) & set(labels.TESTS):
            judged += _of_labels(work)
        if plan.explainer:
            judged += _of_explanations(work)
        final_rows = _final(work) if plan.settings.final else ()
    return _in_order(plan, judged), final_rows


def _final(work: _Work) -> tuple[FinalRow, ...]:
    """Return every explainer of the run, in words and by its own simulator, on test excerpts beside valid ones."""
    of_simulator = [row for row in work.plan.results.rows if row.summary.simulator == work.simulator]
    in_words = [row for row in of_simulator if any(item.explanation.in_words for item in row.scored)]
    explainers = {
        row.summary.explainer: Saying(nulls.own(row.scored), row.summary.role)
        for row in in_words
        if row.summary.role is not Role.TOLD
    }
    scored = _on_test(work, "final", explainers)
    return final.rows(in_words, {row.explainer: items for row, items in scored.items()}, work.resampling)


def _of_labels(work: _Work) -> Iterator[Verdict]:
    """Yield the verdicts of the tests that corrupt labels."""
    plan, draws = work.plan, list(_draws(work))
    metrics = _metrics(item.true.scores for item in draws)
    for test in labels.TESTS:
        if test in plan.tests:
            for metric in metrics:
                drops = labels.drops(metric, draws, test, plan.settings.labels.least_drop)
                yield verdicts.of_labels(metric, test, drops, work.resampling)


def _draws(work: _Work) -> Iterator[Drawn]:
    """Yield each unit with the scores of its labels; a scorer that asks a model needs words, so it takes no part."""
    work.ledger.begin("labels")
    nodes = {name: node for name, node in work.plan.run.scores.items() if name not in work.asking_scorers}
    scoring = Scoring(
        fitting=fitting_of(work.plan.run.calibration, work.task),
        scorers={name: work.tools.scorers[name] for name in nodes},
        slow=frozenset(name for name, node in nodes.items() if needs_subject(node)),
    )
    for number, record in enumerate(work.records, start=1):
        yield labels.draw(record, work.plan.settings.labels, scoring)
        work.progress("labels, units", number, len(work.records))


def _of_explanations(work: _Work) -> Iterator[Verdict]:
    """Yield the verdicts of the tests that ask the run's simulator about explanations."""
    plan, values = work.plan, _values_by_row(work)
    for test in (Test.SHUFFLED, Test.RANDOM, Test.REINITIALISED):
        if test in plan.tests:
            null = _of_reinitialised(work) if test is Test.REINITIALISED else values[test]
            yield from verdicts.of_null(test, values[OWN], null, work.resampling)
    if Test.RETEST in plan.tests:
        seeded = retest.has_seed(plan.run.simulator)
        repeats = [values[OWN], *(values[name] for name in _repeats(plan))]
        on_test = _values_on_test(work)
        for metric in values[OWN]:
            scores = [by_metric.get(metric, {}) for by_metric in repeats]
            if all(scores):
                yield verdicts.of_repeats(metric, scores, on_test.get(metric, {}), seeded, work.resampling)


def _values_on_test(work: _Work) -> dict[str, Values]:
    """Return the scores of the run's own explanations on the test excerpts of each unit."""
    explanations = nulls.own(work.plan.results.scored[RowKey(work.plan.explainer, work.simulator)])
    scored = _on_test(work, "test excerpts", {OWN: Saying(explanations, Role.EXPLAINER)})
    return _values([item for items in scored.values() for item in items])


def _on_test(work: _Work, name: str, explainers: Mapping[str, Saying]) -> _Scored:
    """Return explanations scored on the test excerpts of each unit, which change places with the valid ones."""
    records = [
        dataclasses.replace(
            record, splits=dataclasses.replace(record.splits, valid=record.splits.test, test=record.splits.valid)
        )
        for record in work.records
    ]
    tools = Tools(explainers, {work.simulator: work.tools.simulator}, work.tools.scorers)
    return work.score(name, records, tools, [RowKey(explainer, work.simulator) for explainer in explainers])


def _values_by_row(work: _Work) -> dict[str, dict[str, Values]]:
    """Return the scores of the run's own explanations, of each null and of each repeat, metric by metric.

    All are rows of one run: nulls are explainers, whose draws are averaged, and repeats are simulators.
    """
    groups = _explainers(work)
    tools = Tools(
        {name: explainer for group in groups.values() for name, explainer in group.items()},
        {work.simulator: work.tools.simulator, **_repeated_simulators(work)},
        {**work.tools.scorers, **_repeated_scorers(work)},
    )
    members = {
        **{name: [RowKey(explainer, work.simulator) for explainer in group] for name, group in groups.items()},
        **{name: [RowKey(OWN, name)] for name in _repeats(work.plan)},
    }
    scored = work.score("explanations", work.records, tools, [row for rows in members.values() for row in rows])
    return {name: _values([item for row in rows for item in scored[row]]) for name, rows in members.items()}


def _explainers(work: _Work) -> dict[str, dict[str, Saying]]:
    """Return an explainer of the run's own explanations, and those of each null, by the tests that ask for them."""
    plan = work.plan
    explanations = nulls.own(plan.results.scored[RowKey(plan.explainer, work.simulator)])
    seeds = range(plan.settings.seed, plan.settings.seed + plan.settings.nulls)
    corpus = work.sources[0].token_sums
    null_explainers = {test.value: nulls.explainers(test, explanations, corpus, seeds) for test in plan.tests}
    return {OWN: {OWN: Saying(explanations, Role.EXPLAINER)}, **null_explainers}


def _repeats(plan: AuditPlan) -> list[str]:
    """Return the names of the repeats of the retest."""
    number = plan.settings.repeats if Test.RETEST in plan.tests else 0
    return [repeat_name(repeat) for repeat in range(1, number + 1)]


def _repeated_simulators(work: _Work) -> dict[str, Simulator]:
    """Return the run's simulator with another seed for each repeat, each past the store."""

    def fresh(repeat: int) -> FreshSimulator:
        simulator = retest.reseeded(work.plan.run.simulator, repeat)
        settings = dataclasses.replace(work.plan.run, simulator=simulator, scores={})
        return FreshSimulator(lambda store: work.build(store, settings).simulator)

    return {name: fresh(repeat) for repeat, name in enumerate(_repeats(work.plan), start=1)}


def _repeated_scorers(work: _Work) -> dict[str, Scorer]:
    """Return the scorers that ask a model, which ask about each repeat anew.

    The subject, which has nothing random, is not asked again.
    """
    settings = dataclasses.replace(work.plan.run, scores=work.asking_scorers)

    def fresh(name: str) -> FreshScorer:
        return FreshScorer(lambda store: work.build(store, settings).scorers[name])

    return {
        name: BySimulator(
            work.tools.scorers[name],
            {work.simulator: work.tools.scorers[name], **{repeat: fresh(name) for repeat in _repeats(work.plan)}},
        )
        for name in work.asking_scorers
    }


def _of_reinitialised(work: _Work) -> dict[str, Values]:
    """Return the scores of the run's own explainer on the same coordinates of the subject with random weights.

    Scorers, and explainers that look into the subject, look into that one.
    """
    from harness.studies.reinitialised import untrained  # noqa: PLC0415  # torch takes seconds to import

    work.ledger.begin("re-initialised, read")
    settings = untrained(work.plan.run, work.plan.settings.seed)
    identity, records = _reread(work, settings)
    tools = build_tools(settings, identity, records, Remembering(work.store, work.ledger.meter))
    scored = work.score("re-initialised", records, tools.tools, tools.rows)
    return _values([item for items in scored.values() for item in items])


def _reread(work: _Work, settings: RunSettings) -> tuple[Identity, list[Record]]:
    """Return which subject the settings name, and the units as they are in it."""
    from harness.studies.reinitialised import reread  # noqa: PLC0415  # torch takes seconds to import

    subject = build.assemble(settings.subject, "subject")
    return subject.identity, list(map(deal, reread(subject, work.sources, work.plan.settings.seed, work.progress)))


# ------------------------------------------------------------------------------------------------------------- verdicts


def _values(scored: Sequence[ScoredExplanation]) -> dict[str, Values]:
    """Return metric -> the score of each unit, averaged over its explanations."""
    values = {metric: by_unit(scored, metric) for metric in _metrics(item.scores for item in scored)}
    return {metric: scores for metric, scores in values.items() if scores}


def _metrics(scores: Iterable[Scores]) -> list[str]:
    """Return the names of all scores, with a value or without, in order."""
    names = dict.fromkeys(name for item in scores for name in (*item.values, *item.missing))
    return [name for name in names if name not in NO_SCORES]


def _in_order(plan: AuditPlan, judged: Sequence[Verdict]) -> list[Verdict]:
    """Return a verdict for each metric and each test; a metric that a test had no value of was not tested."""
    by_place = {(verdict.metric, verdict.test): verdict for verdict in judged}
    of_run = _metrics(item.scores for scored in plan.results.scored.values() for item in scored)
    metrics = dict.fromkeys([*of_run, *(verdict.metric for verdict in judged)])
    return [
        by_place.get((metric, test)) or verdicts.untested(metric, test, _why_untested(metric, test))
        for metric in metrics
        for test in plan.tests
    ]


def _why_untested(metric: str, test: Test) -> str:
    if metric in FIGURES:
        return f"the subject was not asked in the test of {test.words}"
    if test in labels.TESTS:
        return "its scorer asks about words, and labels are none"
    return "no unit has a score of it on both sides"

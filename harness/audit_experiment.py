"""One audit, from a composed config to files: read the run, make the tests, judge, write beside the run.

:func:`prepare` finds every mistake that can be found without work; :func:`run` does the work.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from harness import audit_results, build, config, experiment, pipeline, provenance, results, stats, tasks
from harness.audit import labels, nulls, retest, verdicts
from harness.audit.labels import Drawn
from harness.audit.nulls import Told
from harness.audit.verdicts import Resampling, Values
from harness.audit_results import Audit, Test, Verdict
from harness.config import AuditSettings, RunSettings
from harness.ledger import Ledger
from harness.models.store import Store
from harness.report import audit_page, page
from harness.results import Results
from harness.scores import ScoreSettings
from harness.scores.panel import ABLATION
from harness.types import (
    Explainer,
    Explanation,
    NeuroglossError,
    NeuronId,
    NeuronRecord,
    Progress,
    Role,
    ScoredExplanation,
    Scores,
    Task,
)

LABELS = (Test.MISSING_LABELS, Test.EXTRA_LABELS)
_OWN = "own"


@dataclass(frozen=True, eq=False)
class AuditPlan:
    """An audit that can begin.

    Attributes:
        config: as it may be shown.
        settings: made of it.
        folder: of the run.
        found: what the run left.
        run: the settings of the run.
        tests: which to make.
        explainer: whose explanations the nulls are held against; empty where no test needs one.
    """

    config: Mapping[str, Any]
    settings: AuditSettings
    folder: Path
    found: Results
    run: RunSettings
    tests: tuple[Test, ...]
    explainer: str


def prepare(composed: DictConfig) -> AuditPlan:
    """Refuse whatever can be refused of an audit before any work, with a sentence that says what to write instead."""
    values = config.plain(composed)
    shown = provenance.redact(values)
    settings: AuditSettings = config.settings_from(AuditSettings, values)
    tests = _tests(settings)
    folder = Path(settings.run).expanduser().resolve()
    found = results.read_run(folder)
    made: RunSettings = config.settings_from(RunSettings, found.config)
    explainer = _explainer(found, settings.explanations) if set(tests) - set(LABELS) else ""
    build.check(made.simulator, "simulator")
    if Test.REINITIALISED in tests:
        build.check(made.subject, "subject")
        _check_explainable(found, made, explainer)
    return AuditPlan(shown, settings, folder, found, made, tests, explainer)


def run(plan: AuditPlan, overrides: Sequence[str], progress: Progress) -> Audit:
    """Make the tests of a plan, and leave the audit in the folder of its run.

    Args:
        plan: what :func:`prepare` made.
        overrides: the command line's, for the record.
        progress: told how far each stage is.

    Raises:
        NeuroglossError: the task has changed, or a model, the budget or the disk stopped the audit.
    """
    task = tasks.read_task(tasks.find_task(plan.run.task.name, plan.run.task.path))
    if task.digest != plan.found.task.digest:
        raise NeuroglossError(
            f"{plan.folder} was made on {task.name} with the digest {plan.found.task.digest[:12]}, and the task here "
            f"has {task.digest[:12]}; audit it with that task."
        )
    ledger = Ledger(progress, plan.settings.budget)
    judged = _judged(plan, task, ledger, progress)
    ledger.begin("write")
    audit = Audit(
        run_id=plan.found.run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=plan.found.task,
        simulator=plan.found.simulator,
        explainer=plan.explainer,
        verdicts=tuple(judged),
        by_layer=plan.run.scores.by_layer,
        settings=plan.config,
        provenance=provenance.provenance(overrides),
        seconds=ledger.seconds,
        usage=ledger.usage,
    )
    audit_results.write(plan.folder, audit, page.markdown_page(audit_page.build(audit)))
    return audit


# ------------------------------------------------------------------------------------------------------------ checking


def _tests(settings: AuditSettings) -> tuple[Test, ...]:
    known = [test.value for test in Test]
    for name in settings.tests:
        if name not in known:
            raise NeuroglossError(f"there is no test {name}; there are: {', '.join(known)}.")
    if not settings.tests:
        raise NeuroglossError(f"tests= is empty; there are: {', '.join(known)}.")
    for name, least in (("nulls", settings.nulls), ("repeats", settings.repeats)):
        if least < 1:
            raise NeuroglossError(f"{name} is {least}; write 1 or more.")
    return tuple(test for test in Test if test.value in settings.tests)


def _explainer(found: Results, wanted: str | None) -> str:
    """The explainer that was asked for, else the one that the board has first."""
    rows = [row for row in found.summaries if row.role in (Role.EXPLAINER, Role.HUMAN) and row.scored]
    rows = [row for row in rows if row.simulator == found.simulator.name]
    names = [row.explainer for row in rows]
    if not rows or (wanted is not None and wanted not in names):
        raise NeuroglossError(
            f"the run has no explanations in words by {wanted or 'any explainer'} with a score; it has some by: "
            f"{', '.join(names) or 'none'}. Choose by explanations=NAME, or ask only for tests that need none: "
            f"tests=[{','.join(LABELS)}]."
        )
    return wanted or max(rows, key=lambda row: row.metrics[stats.HEADLINE].mean).explainer


def _check_explainable(found: Results, made: RunSettings, explainer: str) -> None:
    """Refuse to ask people about a subject that was never shown to them."""
    role = next(row.role for row in found.summaries if row.explainer == explainer)
    if role is Role.HUMAN:
        raise NeuroglossError(
            f"{explainer} cannot be asked to explain the re-initialised subject; choose another by explanations=NAME, "
            f"or leave {Test.REINITIALISED} out of tests=."
        )
    build.check(made.explainer[explainer], f"explainer.{explainer}")


# ------------------------------------------------------------------------------------------------------------- testing


def _judged(plan: AuditPlan, task: Task, ledger: Ledger, progress: Progress) -> list[Verdict]:
    """The verdicts of all tests, metric by metric."""
    wanted = set(plan.found.task.neurons)
    records = [record for record in task.records if record.neuron in wanted]
    found: list[Verdict] = []
    with Store(Path(plan.settings.store or plan.run.store).expanduser()) as store:
        work = _Work(plan, task, records, store, ledger, progress)
        if set(plan.tests) & set(LABELS):
            ledger.begin("labels")
            found += _label_verdicts(work)
        if plan.explainer:
            found += _model_verdicts(work)
    return _in_order(plan, found)


@dataclass(frozen=True, eq=False)
class _Work:
    """What the tests of an audit work with."""

    plan: AuditPlan
    task: Task
    records: Sequence[NeuronRecord]
    store: Store
    ledger: Ledger
    progress: Progress

    @property
    def by(self) -> Resampling:
        """How intervals are drawn."""
        scores = self.plan.run.scores
        return Resampling(self.plan.settings.seed, scores.resamples, scores.by_layer)

    @property
    def scores(self) -> ScoreSettings:
        """How the run was scored; without ablation where the audit is not to ask the subject."""
        scores = self.plan.run.scores
        return dataclasses.replace(scores, ablation=scores.ablation and self.plan.settings.ablation)

    def staged(self, part: str) -> pipeline.Begin:
        """Counts each stage of a part of the audit under a name of its own."""
        return lambda stage: self.ledger.begin(f"{part}, {stage}")


def _label_verdicts(work: _Work) -> Iterator[Verdict]:
    plan, settings, effects = work.plan, work.plan.settings.labels, None
    if work.scores.ablation and settings.ablation_draws > 0:
        subject = experiment.subject_of(plan.run, work.task)
        effects = experiment.effects_of(subject, work.store, work.ledger.meter)
    drawn: list[Drawn] = []
    for record in work.records:
        drawn.append(labels.draw(record, settings, plan.run.scores, effects))
        work.progress("labels, neurons", len(drawn), len(work.records))
    corrupted: Mapping[Test, Callable[[Drawn], Any]] = {
        Test.MISSING_LABELS: lambda one: one.missing,
        Test.EXTRA_LABELS: lambda one: one.extra,
    }
    metrics = _metrics(one.true.scores for one in drawn)
    for test in LABELS:
        if test in plan.tests:
            for metric in metrics:
                found = labels.drops(metric, drawn, corrupted[test], settings.least_drop)
                yield verdicts.of_labels(metric, test, found, work.by)


def _model_verdicts(work: _Work) -> Iterator[Verdict]:
    """The tests that ask the run's simulator, each stage of which is counted under its own name."""
    plan, by = work.plan, work.by
    told = nulls.own(plan.found.scored[plan.explainer])
    tools = experiment.instruments_of(plan.run, work.task, work.store, work.ledger.meter)
    scored = _scored(work, {_OWN: [told], **_null_explanations(plan, told, work.records)}, tools)
    own = scored[_OWN]
    for test in (Test.SHUFFLED, Test.RANDOM):
        if test in plan.tests:
            yield from verdicts.of_null(test, own, scored[test], by)
    if Test.REINITIALISED in plan.tests:
        null = _of_reinitialised(work, tools)
        yield from verdicts.of_null(Test.REINITIALISED, own, null, by)
    if Test.RETEST in plan.tests:
        repeats = [own, *_repeats(work, told, tools)]
        for metric in own:
            seen = [one.get(metric, {}) for one in repeats]
            if all(seen):
                yield verdicts.of_repeats(metric, seen, retest.has_seed(plan.run.simulator), by)


def _null_explanations(
    plan: AuditPlan, told: Mapping[NeuronId, Explanation], records: Sequence[NeuronRecord]
) -> dict[str, list[dict[NeuronId, Explanation]]]:
    """As many draws of each null as are asked for."""
    seeds = range(plan.settings.seed, plan.settings.seed + plan.settings.nulls)
    found: dict[str, list[dict[NeuronId, Explanation]]] = {}
    if Test.SHUFFLED in plan.tests:
        found[Test.SHUFFLED] = [nulls.shuffled(told, seed) for seed in seeds]
    if Test.RANDOM in plan.tests:
        found[Test.RANDOM] = [nulls.random_words(told, records[0].token_sums, seed) for seed in seeds]
    return found


def _scored(
    work: _Work, rows: Mapping[str, Sequence[Mapping[NeuronId, Explanation]]], tools: pipeline.Instruments
) -> dict[str, dict[str, Values]]:
    """Each row's scores, metric by metric, averaged over its draws; all are simulated in one pass."""
    explainers: dict[str, Explainer] = {
        f"{name} {draw}": Told(explanations) for name, some in rows.items() for draw, explanations in enumerate(some)
    }
    asked = dataclasses.replace(tools, explainers=explainers)
    found = pipeline.run(work.records, asked, work.scores, work.staged("nulls"))
    return {
        name: _values([one for draw in range(len(some)) for one in found[f"{name} {draw}"]])
        for name, some in rows.items()
    }


def _of_reinitialised(work: _Work, tools: pipeline.Instruments) -> dict[str, Values]:
    """The scores of the run's own explainer on the same coordinates of the subject with random weights."""
    from harness.audit.reinitialised import reread as read  # noqa: PLC0415  # torch takes seconds to import
    from harness.subjects.reinitialised import ReinitialisedSubject  # noqa: PLC0415

    plan = work.plan
    work.ledger.begin("re-initialised, read")
    subject = ReinitialisedSubject(build.assemble(plan.run.subject), plan.settings.seed)
    reread = read(subject, work.records, plan.settings.seed, work.progress)
    asked = dataclasses.replace(
        tools,
        explainers={plan.explainer: tools.explainers[plan.explainer]},
        effects=experiment.effects_of(subject, work.store, work.ledger.meter),
    )
    found = pipeline.run(reread, asked, work.scores, work.staged("re-initialised"))
    return _values(found[plan.explainer])


def _repeats(
    work: _Work, told: Mapping[NeuronId, Explanation], first: pipeline.Instruments
) -> Iterator[dict[str, Values]]:
    """The scores of the same explanations, each time from a simulator that remembers nothing.

    The subject, which has nothing random, is that of the ``first`` asking.
    """
    run = work.plan.run
    for repeat in range(1, work.plan.settings.repeats + 1):
        again = dataclasses.replace(run, simulator=retest.reseeded(run.simulator, repeat))
        with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
            tools = experiment.instruments_of(again, work.task, store, work.ledger.meter)
            asked = dataclasses.replace(tools, explainers={_OWN: Told(told)}, effects=first.effects)
            found = pipeline.run(work.records, asked, work.scores, work.staged(f"repeat {repeat}"))
        yield _values(found[_OWN])


def _values(scored: Sequence[ScoredExplanation]) -> dict[str, Values]:
    """Metric -> the score of each neuron, averaged over its explanations."""
    found = {metric: stats.by_neuron(scored, metric) for metric in _metrics(one.scores for one in scored)}
    return {metric: values for metric, values in found.items() if values}


def _metrics(scores: Iterable[Scores]) -> list[str]:
    """The names of all scores, with a value or without, in order."""
    names = dict.fromkeys(name for one in scores for name in (*one.values, *one.missing))
    return [name for name in names if name not in stats.NO_SCORES]


def _in_order(plan: AuditPlan, found: Sequence[Verdict]) -> list[Verdict]:
    """One verdict for each metric and each test that was asked for; what no test had a value of was not tested."""
    known = {(one.metric, one.test): one for one in found}
    of_run = _metrics(one.scores for some in plan.found.scored.values() for one in some)
    metrics = dict.fromkeys([*of_run, *(one.metric for one in found)])
    return [
        known.get((metric, test)) or verdicts.untested(metric, test, _why_untested(metric, test))
        for metric in metrics
        for test in plan.tests
    ]


def _why_untested(metric: str, test: Test) -> str:
    if metric in ABLATION:
        return f"the subject was not asked in the test of {test.words}"
    return "no neuron has a score of it on both sides"

"""One run, from a composed config to files: check, build, run the stages, summarise, write, publish, track.

:func:`prepare` finds every mistake that can be found without work; :func:`run` does the work. :func:`collect` is the
same for a collection.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from harness import (
    build,
    config,
    frozen,
    instruments,
    neuron_records,
    pipeline,
    provenance,
    publish,
    puzzle_experiment,
    results,
    stats,
    tasks,
    track,
    trust,
)
from harness.config import CollectSettings, Plan, RunSettings
from harness.instruments import explainer_info, judge_info, simulator_info
from harness.ledger import Ledger
from harness.models.meter import Meter
from harness.models.store import Store, answered, numbers
from harness.neuron_records import Imported, every_excerpt
from harness.puzzle_results import PuzzleResults
from harness.report import board
from harness.types import (
    Effect,
    Explainer,
    Identity,
    Judge,
    Knowing,
    NeuroglossError,
    Progress,
    PuzzleTask,
    Replacement,
    ScoredExplanation,
    Simulator,
    Subject,
    Summary,
    Task,
)

if TYPE_CHECKING:  # only a collection needs torch, and only a recipe of released records a client of HTTP
    from harness.released import Released
    from harness.subjects.collect import Collection


def prepare(composed: DictConfig) -> Plan:
    """Refuse whatever can be refused before any work, with a sentence that says what to write instead."""
    values = config.plain(composed)
    shown = provenance.redact(values)
    settings: RunSettings = config.settings_from(RunSettings, values)
    kind = tasks.kind(tasks.find_task(settings.task.name, settings.task.path))
    if kind == tasks.KIND and not settings.explainer:
        raise NeuroglossError("no explainer is chosen; add explainer=max_activation, for example.")
    for name, node in settings.explainer.items():
        build.check(node, f"explainer.{name}")
    build.check(settings.simulator, "simulator")
    for name, node in settings.task.controls.items():
        build.check(node, f"task.controls.{name}")
    for name, node in settings.scores.judges.items():
        build.check(node, f"scores.judges.{name}")
    build.check(settings.subject, "subject")
    track.check(settings.track)
    publish.check(settings.publish)
    _check_kind(settings, kind)
    return Plan(shown, settings, config.config_hash(values))


def _check_kind(settings: RunSettings, kind: str) -> None:
    """Refuse what only the other kind of run can do."""
    if kind == tasks.KIND and settings.task.limit is not None:
        raise NeuroglossError("task.limit is for puzzles; write neurons.limit to ask for fewer neurons.")
    inside = [name for name, node in settings.explainer.items() if instruments.needs_subject(node)]
    if kind != tasks.KIND and inside:
        raise NeuroglossError(f"explainer.{inside[0]} looks into the subject, and a puzzle has none; leave it out.")
    if kind != tasks.KIND and settings.scores.judges:
        raise NeuroglossError("judges are asked about neurons, and a puzzle has none; write scores=default.")
    if kind != tasks.KIND and (settings.track.enabled or settings.publish.to != "run"):
        raise NeuroglossError("a run of puzzles is neither tracked nor published; write track=none publish=none.")


@dataclass(frozen=True, eq=False)
class CollectionPlan:
    """A collection that can begin: its config as it may be shown, the settings made of it, and the task's folder."""

    config: Mapping[str, Any]
    settings: CollectSettings
    folder: Path


def prepare_collection(composed: DictConfig, *, again: bool = False) -> CollectionPlan:
    """Refuse whatever can be refused of a collection before any work, a name that ships unless it is made ``again``."""
    values = config.plain(composed)
    shown = provenance.redact(values)
    settings: CollectSettings = config.settings_from(CollectSettings, values)
    for where in ("released",) if settings.released else ("subject", "corpus", "sample", "collect"):
        build.check(values[where], where)
        build.assemble(values[where])  # a constructor refuses what its types allow
    tasks.check_name(settings.name)
    if not again:
        tasks.check_free(settings.name)
    if not 0 <= settings.worker < settings.workers or settings.save_every < 1:
        raise NeuroglossError("worker is counted from 0 to workers - 1, and save_every is at least 1; correct them.")
    folder = Path(settings.output) / settings.name
    if folder.exists():
        raise NeuroglossError(f"{folder} exists, and a task is never changed; choose a new name.")
    return CollectionPlan(shown, settings, folder)


WAYS = ("released", "output", "worker", "workers", "save_every")
"""Keys of a collection that say how it is done, and nothing of what comes out."""


def collect(plan: CollectionPlan, progress: Progress) -> list[str]:
    """Read the corpus on the subject, or a worker's share of it, and freeze what was found as a task.

    The state of each share stands in a hidden folder beside the task's own, another one for each config and subject;
    all of them are removed once a task of that name is frozen.

    Returns:
        What there is to say of the task, in sentences; nothing where other workers have yet to end.

    Raises:
        NeuroglossError: the corpus is too small, the subject cannot be read, or the disk is full; the last state that
            was saved is left.
    """
    from harness.subjects.collect import collect_share  # noqa: PLC0415  # torch takes seconds to import
    from harness.subjects.corpora import Sampled  # noqa: PLC0415
    from harness.subjects.state import StateFile  # noqa: PLC0415
    from harness.subjects.written import WrittenText  # noqa: PLC0415

    if plan.settings.released:
        return _fetch(plan, progress)
    settings = plan.settings
    parts = {where: build.assemble(getattr(settings, where)) for where in ("subject", "corpus", "sample", "collect")}
    made = {
        "config": {key: value for key, value in plan.config.items() if key not in WAYS},
        "packages": provenance.provenance()["packages"],
    }
    origin = frozen.digest({**made, "subject": dataclasses.asdict(parts["subject"].identity)})
    place = plan.folder.with_name(f".{plan.folder.name}.state-{origin[:8]}")
    states = [
        StateFile(place / f"part-{number}-of-{settings.workers}.npz", origin, settings.save_every)
        for number in range(settings.workers)
    ]
    if isinstance(parts["corpus"], Sampled):
        parts["corpus"].written = WrittenText(place / f"text-{settings.worker}-of-{settings.workers}.jsonl", origin)
    found = collect_share(
        settings=parts.pop("collect"),
        **parts,
        states=states,
        worker=settings.worker,
        progress=progress,
    )
    if found is None:
        return []
    _freeze(plan.folder, found, settings.description, made)
    for state in plan.folder.parent.glob(f".{plan.folder.name}.state-{'[0-9a-f]' * 8}"):
        shutil.rmtree(state, ignore_errors=True)
    return [f"task: {plan.folder}"]


def _freeze(folder: Path, found: Collection, description: str, made: Mapping[str, object]) -> None:
    """Freeze a collection, unless another worker, that has ended at the same time, has frozen the very same."""
    try:
        tasks.write_task(folder, found, description, made)
    except frozen.ExistsError:
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}-") as scratch:
            own = tasks.write_task(Path(scratch) / folder.name, found, description, made)
        if own.digest != frozen.read(folder)["digest"]:
            raise


def _fetch(plan: CollectionPlan, progress: Progress) -> list[str]:
    """Freeze records that others have published; those that have come are kept until all of them have."""
    released: Released = build.assemble(plan.settings.released)
    place = plan.folder.with_name(f".{plan.folder.name}.state")
    files = released.fetch(place, plan.folder.with_name(f"{plan.folder.name}.lock"), progress)
    said = import_records(files, plan.folder, released.identity, plan.settings.description)
    shutil.rmtree(place, ignore_errors=True)
    return said


def import_records(places: Sequence[Path], folder: Path, subject: Identity, description: str = "") -> list[str]:
    """Freeze neuron records of the public format as a task.

    Args:
        places: files of one record each, or folders with such files.
        folder: the task's own; it must not exist.
        subject: the model that the records were made from.
        description: a sentence for people.

    Returns:
        What there is to say of it, in sentences.

    Raises:
        NeuroglossError: a file is damaged, or has too few excerpts to deal them into splits.
    """
    from harness.subjects.collect import Collection, CollectionSettings  # noqa: PLC0415  # torch takes seconds to import

    found = neuron_records.read(places)
    tokens = _tokens_of_each(found)
    dealt = [tasks.distinct(one) for one in found.records]
    top, random = (min(map(len, some)) for some in zip(*dealt, strict=True))
    settings = CollectionSettings(excerpt_tokens=tokens, leading=0, top=top, random=random)
    collection = Collection(subject, settings, found.records, (), excerpts=0, distinct_tokens=0, threads=1)
    imported = {"format": "OpenAI's neuron-explainer", "decimals": str(found.decimals), "rounded": found.rounded}
    task = tasks.write_task(folder, collection, description, imported=imported)
    said = [f"task: {folder}, {task.size}, digest {task.digest}"]
    if random < USUAL_RANDOM:
        said.append(
            f"its records have {random} random excerpts, not {USUAL_RANDOM}: calibration, valid and test get "
            f"{random // 3} each."
        )
    again = sum(len(one.top) + len(one.random) for one in found.records) - sum(len(a) + len(b) for a, b in dealt)
    if again:
        said.append(f"{again} excerpts stand again in the same record: they are kept, and dealt into splits once.")
    if found.rounded:
        said.append(f"{found.rounded} activations were written with more digits than a float32 has, and are rounded.")
    return said


def _tokens_of_each(found: Imported) -> int:
    """How many tokens each excerpt has; refused where they differ, or a record cannot be dealt into splits."""
    lengths: list[int] = []
    for record, path in zip(found.records, found.paths, strict=True):
        try:
            tasks.split_record(record)
        except NeuroglossError as error:
            raise NeuroglossError(f"{path}: {error}") from error
        for excerpt in every_excerpt(record):
            lengths.append(len(excerpt.tokens))
            if lengths[-1] != lengths[0]:
                raise NeuroglossError(
                    f"{path}: excerpt {excerpt.source} has {lengths[-1]} tokens, and others have {lengths[0]}; all "
                    "excerpts of a task are of one length."
                )
    return lengths[0]


USUAL_RANDOM = 15
"""How many random excerpts a neuron has as a rule: five for each split that gets some."""


def export_records(name: str, folder: Path) -> list[Path]:
    """Write every neuron of a task as a file of the public format; the files are returned.

    Raises:
        NeuroglossError: there is no such task, or the folder exists.
    """
    place = Path(name)
    kept = tasks.find_task(place.name, str(place) if place.exists() else None)
    imported = frozen.read(kept).get("imported", {})
    decimals = neuron_records.Decimals(imported.get("decimals", neuron_records.Decimals.SHORTEST))
    return neuron_records.write(tasks.read_task(kept).records, folder, decimals)


def rebuild(folder: Path, progress: Progress, target: Path | None = None) -> str:
    """Collect a frozen task of neurons again, from the config that it holds, and compare.

    Args:
        folder: the task's own.
        progress: told how far it is.
        target: a new folder in which what comes out is frozen; it is kept nowhere where this is None.

    Returns:
        A sentence that says how well both agree.

    Raises:
        NeuroglossError: the task does not say how it was made, or something else comes out, which ``target`` has then.
    """
    known = tasks.read_task(folder)
    values = frozen.read(folder)["made"].get("config")
    if not values:
        raise NeuroglossError(f"{folder} does not hold the config of a collection, so it cannot be rebuilt.")
    with tempfile.TemporaryDirectory(prefix=f"{known.name}-") as scratch:
        place = target or Path(scratch) / known.name
        plan = prepare_collection(
            OmegaConf.create({**values, "output": str(place.parent), "name": place.name}), again=True
        )
        collect(plan, progress)
        return tasks.compare(known, tasks.read_task(plan.folder))


def run(plan: Plan, overrides: Sequence[str], progress: Progress) -> tuple[Path, results.Results | PuzzleResults]:
    """Do the work of a plan, and leave its folder; the task says which kind of work it is.

    Args:
        plan: what :func:`prepare` made.
        overrides: the command line's, for the record.
        progress: told how far each stage is.

    Returns:
        The run's folder and its results.

    Raises:
        NeuroglossError: the task, a model, the budget or the disk stopped the run; every reply so far is stored.
    """
    task = tasks.read(tasks.find_task(plan.settings.task.name, plan.settings.task.path))
    ledger, made = Ledger(progress, plan.settings.budget), provenance.provenance(overrides)
    if isinstance(task, PuzzleTask):
        return puzzle_experiment.run(plan, task, ledger, made)
    return _run_neurons(plan, task, ledger, made)


def _run_neurons(plan: Plan, task: Task, ledger: Ledger, made: Mapping[str, object]) -> tuple[Path, results.Results]:
    settings = plan.settings
    neurons = settings.neurons
    records = tasks.select(task, neurons.layers, neurons.ids, neurons.limit)
    with Store(settings.store) as store:
        tools = instruments_of(settings, task, store, ledger.meter)
        scored = pipeline.run(records, tools, settings.scores, ledger.begin)
    ledger.begin("summarise")
    found = _results(plan, task, tools, scored, _Record(ledger.seconds, ledger.usage, made))
    page = board.build(found, trust.sentence(found.simulator, Path(settings.output)))
    folder = results.write_run(
        Path(settings.output),
        found,
        board.markdown_page(page),
        [lambda draft: publish.write_dataset(found, settings.publish, draft)],
    )
    publish.publish(folder, settings.publish)
    track.track(found, settings.track, folder)
    return folder, found


# ---------------------------------------------------------------------------------------------------------- building


def instruments_of(settings: RunSettings, task: Task, store: Store, meter: Meter) -> pipeline.Instruments:
    """What the config names, built; every language model answers by way of the store."""
    remembering = instruments.remembering(store, meter)
    subject: Subject = build.assemble(settings.subject)
    wrap = instruments.sharing(subject, remembering)
    explainers: dict[str, Explainer | Knowing] = {
        name: build.assemble(node, wrap) for name, node in settings.explainer.items()
    }
    simulator: Simulator = build.assemble(settings.simulator, remembering)
    if settings.scores.ablation or any(map(instruments.needs_subject, settings.explainer.values())):
        _check_subject(task, subject.identity)

    judges: list[Judge] = [build.assemble(node, remembering) for node in settings.scores.judges.values()]
    return pipeline.Instruments(explainers, simulator, effects_of(subject, store, meter), judges)


def subject_of(settings: RunSettings, task: Task) -> Subject:
    """The subject of a run, which is the one that its task was recorded from."""
    subject: Subject = build.assemble(settings.subject)
    _check_subject(task, subject.identity)
    return subject


def effects_of(subject: Subject, store: Store, meter: Meter) -> pipeline.Effects:
    """The effects of replacements in a subject, from the store where it has them."""

    def effects(replacements: Sequence[Replacement]) -> list[Effect]:
        return answered(store, subject.identity, _EFFECTS, replacements, subject.effects, meter=meter)

    return effects


_EFFECTS = numbers("ablations", Effect)


def _check_subject(task: Task, subject: Identity) -> None:
    """Ablation, and explainers that look into the subject, ask the very model whose activations the task holds."""
    if subject.revision != task.subject.revision:
        raise NeuroglossError(
            f"task {task.name} was recorded from {task.subject.name} ({task.subject.revision[:12]}), and subject.name "
            f"is {subject.name} ({subject.revision[:12]}); choose that subject, or do without "
            "it: scores.ablation=false, and no explainer that looks into the subject."
        )


# ----------------------------------------------------------------------------------------------------- what is left


@dataclass(frozen=True)
class _Record:
    """What a run has cost, and what it was made with."""

    seconds: Mapping[str, float]
    usage: Mapping[str, results.StageUsage]
    provenance: Mapping[str, object]


def _results(
    plan: Plan,
    task: Task,
    tools: pipeline.Instruments,
    scored: Mapping[str, Sequence[ScoredExplanation]],
    record: _Record,
) -> results.Results:
    settings = plan.settings
    simulator = simulator_info(tools.simulator)
    neurons = tuple(dict.fromkeys(one.explanation.neuron for found in scored.values() for one in found))
    summaries = tuple(
        _summary(name, tools.explainers[name], simulator.name, found, settings) for name, found in scored.items()
    )
    return results.Results(
        run_id=plan.run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=results.TaskInfo(task.name, task.digest, len(task.records), neurons),
        subject=task.subject,
        simulator=simulator,
        judges=tuple(map(judge_info, tools.judges)),
        explainers=tuple(explainer_info(name, tools.explainers[name], found) for name, found in scored.items()),
        summaries=summaries,
        scored={name: tuple(found) for name, found in scored.items()},
        seed=settings.seed,
        minimum_coverage=settings.scores.minimum_coverage,
        config=plan.config,
        provenance=record.provenance,
        seconds=record.seconds,
        usage=record.usage,
        standing=stats.standing(
            summaries,
            scored,
            simulator.name,
            minimum_coverage=settings.scores.minimum_coverage,
            seed=settings.seed,
            resamples=settings.scores.resamples,
            by_layer=settings.scores.by_layer,
        ),
    )


def _summary(
    name: str,
    explainer: Explainer | Knowing,
    simulator: str,
    scored: Sequence[ScoredExplanation],
    settings: RunSettings,
) -> Summary:
    is_table = any(one.explanation.table is not None for one in scored)
    return stats.summarise(
        name,
        explainer.role,
        "lookup" if is_table else simulator,
        scored,
        seed=settings.seed,
        resamples=settings.scores.resamples,
        by_layer=settings.scores.by_layer,
    )

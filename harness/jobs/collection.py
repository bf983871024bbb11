"""One collection, from a composed config to a frozen task; import, export and rebuilding of tasks."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from harness.config import build, compose, outside, plugins, sentences
from harness.config.settings import OPEN, CollectSettings
from harness.config.tasks import UNITS
from harness.files import shipped
from harness.guards.printing import shortened
from harness.results import provenance
from harness.tasks import catalog, compare, frozen, openai_format, splits, units
from harness.tasks.openai_format import Imported, every_excerpt
from harness.types import Identity, NeuroglossError, Progress, UnitRecord

if TYPE_CHECKING:  # only a collection needs torch, and only a recipe of released records a client of HTTP
    from harness.collect.released import Released
    from harness.tasks.collected import Collection

WAYS = ("released", "output", "worker", "workers", "save_every")
"""Keys of a collection that say how it is done, and nothing of what comes out."""

USUAL_RANDOM = 15
"""Random excerpts that a unit has as a rule: five for each split that gets some."""

VOCABULARY_SPACES = ("\u0120", "\u2581")
"""What vocabularies write for a space before a word: of byte-level tokenizers, and of SentencePiece."""


@dataclass(frozen=True, eq=False)
class CollectionPlan:
    """A collection that can begin: its config as it may be shown, the settings made of it, and the task's folder."""

    config: Mapping[str, Any]
    settings: CollectSettings
    folder: Path


def prepare(composed: DictConfig) -> CollectionPlan:
    """Return the plan of a new collection.

    Raises:
        NeuroglossError: the collection cannot be made, as far as can be said before any work.
    """
    plan = _plan(compose.plain(composed))
    catalog.check_free(plan.settings.name)
    return plan


def _plan(values: Mapping[str, Any]) -> CollectionPlan:
    """Return the plan of a collection out of a resolved config; its name may be that of a task that ships."""
    config = provenance.redact(values)
    settings: CollectSettings = compose.settings_from(CollectSettings, values)
    for where in _parts(settings):
        build.check(getattr(settings, where), where, where)
        build.assemble(getattr(settings, where), where)  # a constructor refuses what its types allow
    catalog.check_name(settings.name)
    folder = Path(settings.output) / settings.name
    if folder.exists():
        raise NeuroglossError(f"{folder} exists, and a task is never changed; choose a new name.")
    return CollectionPlan(config, settings, folder)


def _parts(settings: CollectSettings) -> tuple[str, ...]:
    """Return the keys of the nodes of a collection."""
    return ("released",) if settings.released else ("subject", "corpus", "sample", "collect")


def run(plan: CollectionPlan, progress: Progress) -> list[str]:
    """Read the corpus on the subject, or a worker's share of it, and freeze what comes out as a task.

    The state of each share stands in a hidden folder beside the task's own, another one for each config and subject;
    all of them are removed once a task of that name is frozen.

    Returns:
        What there is to say of the task, in sentences; nothing if other workers have yet to end.

    Raises:
        NeuroglossError: the corpus is too small, the subject cannot be read, or the disk is full; the last state that
            was saved is left.
    """
    if plan.settings.released:
        return _fetch(plan, progress)
    circumstances = {
        "config": {key: value for key, value in plan.config.items() if key not in WAYS},
        "packages": provenance.provenance()["packages"],
    }
    collection = _collect(plan, circumstances, progress)
    if collection is None:
        return []
    _freeze(plan.folder, collection, plan.settings.description, circumstances)
    for state in plan.folder.parent.glob(f".{plan.folder.name}.state-{'[0-9a-f]' * 8}"):
        shutil.rmtree(state, ignore_errors=True)
    return [f"task: {plan.folder}"]


def _collect(plan: CollectionPlan, circumstances: Mapping[str, Any], progress: Progress) -> Collection | None:
    """Return the collection; None if other workers have yet to end."""
    from harness.collect.corpora import Sampled  # noqa: PLC0415
    from harness.collect.corpus_pass import collect_share  # noqa: PLC0415  # torch takes seconds to import
    from harness.collect.state import StateFile  # noqa: PLC0415
    from harness.collect.written import WrittenText  # noqa: PLC0415

    settings = plan.settings
    parts = {where: build.assemble(getattr(settings, where), where) for where in _parts(settings)}
    origin = frozen.digest({**circumstances, "subject": dataclasses.asdict(parts["subject"].identity)})
    place = plan.folder.with_name(f".{plan.folder.name}.state-{origin[:8]}")
    states = [
        StateFile(place / f"part-{number}-of-{settings.workers}.npz", origin, settings.save_every)
        for number in range(settings.workers)
    ]
    if isinstance(parts["corpus"], Sampled):
        parts["corpus"].written = WrittenText(place / f"text-{settings.worker}-of-{settings.workers}.jsonl", origin)
    return collect_share(
        settings=parts.pop("collect"),
        **parts,
        states=states,
        worker=settings.worker,
        progress=progress,
    )


def _freeze(folder: Path, collection: Collection, description: str, circumstances: Mapping[str, object]) -> None:
    """Freeze a collection, unless another worker, that has ended at the same time, has frozen the very same."""
    try:
        units.write_task(folder, collection, description, circumstances)
    except frozen.ExistsError:
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}-") as scratch:
            task = units.write_task(Path(scratch) / folder.name, collection, description, circumstances)
        if task.digest != frozen.read(folder)["digest"]:
            raise


def _fetch(plan: CollectionPlan, progress: Progress) -> list[str]:
    """Freeze records that others have published; those that have come are kept until all of them have."""
    released: Released = build.assemble(plan.settings.released, "released")
    place = plan.folder.with_name(f".{plan.folder.name}.state")
    lock = Path(released.lock).expanduser() if released.lock else plan.folder.with_name(f"{plan.folder.name}.lock")
    files = released.fetch(place, lock, progress)
    sentences = import_records(files, plan.folder, released.identity, plan.settings.description)
    shutil.rmtree(place, ignore_errors=True)
    return sentences


# -------------------------------------------------------------------------------------------------- the next command


def next_command(plan: CollectionPlan) -> str:
    """Return the command that runs the task of a collection, with the subject that it was collected from.

    Where records were released by others, the subject is not here.
    """
    if plan.settings.released:
        return command_without_subject(plan.folder)
    names = plan.settings.plugins
    loaded = [f"plugins=[{','.join(names)}]"] if names else []
    words = [*loaded, *_subject_words(plan.settings.subject), *_task_words(plan.folder)]
    return f"neurogloss run {shlex.join(words)}"


def command_without_subject(folder: Path) -> str:
    """Return the command that runs a task whose subject is not here, so that nothing may ask it."""
    return f"neurogloss run {shlex.join(_task_words(folder))} scores=panel"


def _task_words(folder: Path) -> list[str]:
    """Return the override by which a run finds a task: by its name, or elsewhere by its path."""
    is_found = folder.parent.resolve() in [root.resolve() for root in catalog.roots()]
    return [f"task={folder.name}"] if is_found else [f"task.path={folder}"]


def _subject_words(node: Mapping[str, Any]) -> list[str]:
    """Return the overrides of a run that make a subject: none if it is the run's own, else of the nearest option.

    The kind of units need not be named where the task says it.
    """
    use = (node.get("unit") or {}).get("use")
    option = UNITS.get(use)
    said = [f"unit={option}"] if option else []
    usual = _subject(said)
    if usual == node:
        return []
    kind = str(use).removeprefix("unit/")
    unit = [f"unit={kind}"] if not said and kind in _options("unit") else []
    choices = [unit, *([f"subject={name}", *unit] for name in _options("subject"))]
    return min(filter(None, (_completed(words, said, node) for words in choices)), key=len, default=[])


def _options(group: str) -> list[str]:
    """Return the options of a group of configs, by their files."""
    folders = [shipped("conf"), *plugins.conf_folders()]
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def _completed(overrides: Sequence[str], said: Sequence[str], node: Mapping[str, Any]) -> list[str]:
    """Return overrides with those that are lacking to make a subject; none if they choose another class.

    ``said`` are those that need not be named.
    """
    option = _subject([*overrides, *said])
    return [*overrides, *_changes(option, node, "subject")] if option.get("use") == node.get("use") else []


def _subject(overrides: Sequence[str]) -> Any:
    """Return the subject that a run would have."""
    return OmegaConf.to_container(compose.composed("run", overrides).subject)


def _changes(option: Mapping[str, Any], node: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield the overrides that make a node of an option."""
    for key, value in node.items():
        chosen = option.get(key, OPEN)
        if isinstance(value, Mapping) and isinstance(chosen, Mapping):
            yield from _changes(chosen, value, f"{where}.{key}")
        elif chosen != value:
            yield f"{'' if key in option else '+'}{where}.{key}={'null' if value is None else value}"


# --------------------------------------------------------------------------------------------------- import and export


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
    from harness.tasks.collected import Collection, CollectionSettings  # noqa: PLC0415  # as for the other collections

    imported = openai_format.read(places)
    tokens = _tokens_of_each(imported)
    distinct = [splits.distinct(record) for record in imported.records]
    top, random = (min(map(len, excerpts)) for excerpts in zip(*distinct, strict=True))
    settings = CollectionSettings(excerpt_tokens=tokens, leading=0, top=top, random=random, hard=0)
    collection = Collection(subject, settings, imported.records, (), excerpts=0, distinct_tokens=0, threads=1)
    origin = {"format": "OpenAI's neuron-explainer", "decimals": str(imported.decimals), "rounded": imported.rounded}
    task = units.write_task(folder, collection, description, imported=origin)
    duplicates = sum(len(record.top) + len(record.random) for record in imported.records)
    duplicates -= sum(len(top) + len(random) for top, random in distinct)
    return [
        f"task: {folder}, {task.size}, digest {task.digest}",
        *_import_notes(random, duplicates, imported.rounded),
        *_spelling_note(imported.records),
    ]


def _import_notes(random: int, duplicates: int, rounded: int) -> Iterator[str]:
    """Yield what differs from a task as it is collected here."""
    if random < USUAL_RANDOM:
        yield (
            f"its records have {random} random excerpts, not {USUAL_RANDOM}: calibration, valid and test get "
            f"{random // 3} each."
        )
    if duplicates:
        yield f"{duplicates} excerpts stand again in the same record: they are kept, and dealt into splits once."
    if rounded:
        yield f"{rounded} activations were written with more digits than a float32 has, and are rounded."


def _spelling_note(records: Sequence[UnitRecord]) -> Iterator[str]:
    """Yield that tokens are spelled as in a vocabulary, which marks a space before a word, if most texts have no other.

    They are kept as they are: what the marks stand for is the records' own affair.
    """
    tokens = [token for record in records for excerpt in every_excerpt(record) for token in excerpt.tokens]
    marked = sum(token.startswith(VOCABULARY_SPACES) for token in tokens)
    if marked > sum(token.startswith(" ") for token in tokens):
        yield (
            f"{marked} of {len(tokens)} tokens begin with {' or '.join(VOCABULARY_SPACES)}, which vocabularies write "
            "for a space, and models are shown them so; write spaces into the records and import them again if that is "
            "what they stand for."
        )


def _tokens_of_each(imported: Imported) -> int:
    """Return how many tokens each excerpt has.

    Raises:
        NeuroglossError: they differ, or a record cannot be dealt into splits.
    """
    lengths: list[int] = []
    for record, path in zip(imported.records, imported.paths, strict=True):
        try:
            splits.split_record(record)
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


def export_records(name: str, folder: Path) -> list[Path]:
    """Write every unit of a task as a file of the public format, and return the files.

    Raises:
        NeuroglossError: there is no such task, or the folder exists.
    """
    place = Path(name)
    task_folder = catalog.find_task(place.name, str(place) if place.exists() else None)
    imported = frozen.read(task_folder).get("imported", {})
    decimals = openai_format.Decimals(imported.get("decimals", openai_format.Decimals.SHORTEST))
    return openai_format.write(units.read_task(task_folder).records, folder, decimals)


# ----------------------------------------------------------------------------------------------------------- rebuilding


@dataclass(frozen=True)
class Trust:
    """What the user has repeated of the config that a task holds: plugins, and values that reach outside."""

    plugins: Sequence[str] = ()
    allow: Mapping[str, object] = field(default_factory=dict)


def trust(names: Sequence[str], overrides: Sequence[str]) -> Trust:
    """Return what the words of a command line allow: names of plugins, and overrides as ``corpus.path=FILE``."""
    parsed = map(sentences.parsed, overrides)
    return Trust(names, {override.key_or_group: override.value() for override in parsed})


def rebuild(folder: Path, progress: Progress, target: Path | None = None, trusted: Trust = Trust()) -> str:
    """Collect a frozen task of units again, from the config that it holds, and compare.

    Args:
        folder: the task's own.
        progress: told how far it is.
        target: a new folder in which what comes out is frozen; it is kept nowhere if this is None.
        trusted: what of the config the user has repeated.

    Returns:
        A sentence that says how well both agree.

    Raises:
        NeuroglossError: the task does not say how it was made; or something else comes out, which ``target`` has then.
    """
    config = _recorded(folder, trusted)
    task = units.read_task(folder)
    with tempfile.TemporaryDirectory(prefix=f"{task.name}-") as scratch:
        place = target or Path(scratch) / task.name
        plan = _plan({**config, "output": str(place.parent), "name": place.name})
        run(plan, progress)
        return compare.compare(task, units.read_task(plan.folder))


def _recorded(folder: Path, trusted: Trust) -> dict[str, Any]:
    """Return the config of a task's collection, and load the plugins that both it and the user name.

    Raises:
        NeuroglossError: there is none, or it names what the user has not repeated.
    """
    config = frozen.read(folder).get("made", {}).get("config")
    if not isinstance(config, dict) or not config:
        raise NeuroglossError(f"{folder} does not hold the config of a collection, so it cannot be rebuilt.")
    settings: CollectSettings = compose.settings_from(CollectSettings, config, f"{folder}: made.config.")
    unnamed = [name for name in settings.plugins if name not in trusted.plugins]
    if unnamed:
        raise NeuroglossError(
            f"{folder} needs the plugin {shortened(unnamed[0])}, which is code; if you trust it, add to the command: "
            f"--plugins {shortened(shlex.join(settings.plugins), 1000)}"
        )
    plugins.load(settings.plugins)
    nodes = {key: value for key, value in config.items() if key not in ("name", "output", "plugins")}
    outside.check(nodes, folder, outside.Permission(trusted.allow, option="--allow"))
    return {key: value for key, value in config.items() if key not in WAYS}

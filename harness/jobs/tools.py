"""The tools of a run, built from its settings: explainers, simulators and scorers, whose models are asked by way of a
:class:`Asking`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from harness.config import build
from harness.config.settings import RunSettings
from harness.explainers.shared import cleaning
from harness.explainers.told import Told
from harness.jobs.explainers import ExplainerNode, explainer_nodes
from harness.models.backend import Backend, StoredModel
from harness.models.keyed import KeyedModel
from harness.models.meter import Meter
from harness.models.store import Kind, Store, answered, numbers
from harness.pipeline import Tools
from harness.results.vocabulary import ExplainerInfo
from harness.scorers.ablation import AskedSubject
from harness.scorers.generated import Activations, TextReading
from harness.scorers.pairs import PairActivations, PairingSubject, PairReading
from harness.scorers.steered import Steered, Steering, steer
from harness.types import (
    Effect,
    Explainer,
    Identity,
    Knowing,
    LanguageModel,
    NeuroglossError,
    OpenSubject,
    Record,
    Replacement,
    Role,
    RowKey,
    ScoredExplanation,
    Scorer,
    ScorerInfo,
    Simulator,
    SimulatorInfo,
    Subject,
    Task,
    Unit,
    Usage,
    Validity,
)

_EFFECTS = numbers("ablations", Effect)
_ACTIVATIONS: Kind[Activations] = Kind(
    "texts read",
    encode=list,
    decode=tuple,
    usage=lambda _: Usage(),
    from_store=lambda value: value,
    final=lambda _: True,
)
_PAIRS: Kind[PairActivations] = Kind(
    "pairs read",
    encode=list,
    decode=lambda rows: tuple(map(tuple, rows)),
    usage=lambda _: Usage(),
    from_store=lambda value: value,
    final=lambda _: True,
)

_STEERED: Kind[Steered] = Kind(
    "units steered",
    encode=lambda reply: [list(reply.places), reply.factor, reply.divergence],
    decode=lambda values: Steered(tuple(values[0]), *values[1:]),
    usage=lambda _: Usage(),
    from_store=lambda value: value,
    final=lambda _: True,
)


class Asking(Protocol):
    """A way to ask models and the subject: through the store, or only counting."""

    def model(self, backend: Backend) -> LanguageModel:
        """Return the model that answers for a backend."""
        ...

    def subject(self, subject: Subject) -> AskedSubject:
        """Return what answers for the subject."""
        ...


@dataclass(frozen=True, eq=False)
class Remembering:
    """Asks for what the store does not have, and keeps every reply."""

    store: Store
    meter: Meter

    def model(self, backend: Backend) -> LanguageModel:
        """Return a model that answers from the store where it can."""
        return StoredModel(backend, self.store, self.meter)

    def subject(self, subject: Subject) -> AskedSubject:
        """Return a subject that answers from the store where it can."""
        return StoredSubject(subject, self.store, self.meter)


@dataclass(frozen=True, eq=False)
class StoredSubject:
    """A subject whose effects, and whose activations on texts, are kept in the store."""

    subject: Subject
    store: Store
    meter: Meter

    @property
    def identity(self) -> Identity:
        """Which model."""
        return self.subject.identity

    def effects_of(self, replacements: Sequence[Replacement]) -> list[Effect]:
        """Return the effect of each replacement, in order."""
        return answered(self.store, self.identity, _EFFECTS, replacements, self.subject.effects, meter=self.meter)

    def activations_of(self, readings: Sequence[TextReading]) -> list[Activations]:
        """Return the activations of a unit on each text, in order."""
        return answered(self.store, self.identity, _ACTIVATIONS, readings, self._read, meter=self.meter)

    def steered(self, steerings: Sequence[Steering]) -> list[Steered]:
        """Return where the tokens that some names begin with stand where a unit is raised, in order."""
        return answered(self.store, self.identity, _STEERED, steerings, self._steer, meter=self.meter)

    def _steer(self, steerings: Sequence[Steering]) -> Iterator[tuple[int, Steered]]:
        """Yield the index of each request and its answer.

        Raises:
            NeuroglossError: the tokenizer of the subject cannot be used.
        """
        yield from steer(self._open("nobody knows which tokens words begin with; leave steered"), steerings)

    def pairs_of(self, readings: Sequence[PairReading]) -> list[PairActivations]:
        """Return the activation of each pair of tokens of each reading, in order."""
        return answered(self.store, self.identity, _PAIRS, readings, self._read_pairs, meter=self.meter)

    def _read_pairs(self, readings: Sequence[PairReading]) -> Iterator[tuple[int, PairActivations]]:
        """Yield the index of each reading and its activations, unit by unit.

        Raises:
            NeuroglossError: the subject does not tell what its heads attend to.
        """
        if not isinstance(self.subject, PairingSubject):
            raise NeuroglossError(
                f"{self.identity.name} does not tell what its heads attend to; leave pairs out of the scores."
            )
        for unit, places in _by_unit(readings).items():
            matrices = self.subject.pairs(unit, [readings[place].token_ids for place in places])
            for place, matrix in zip(places, matrices, strict=True):
                rows = (row[: query + 1].tolist() for query, row in enumerate(matrix))
                yield place, tuple(map(tuple, rows))

    def _read(self, readings: Sequence[TextReading]) -> Iterator[tuple[int, Activations]]:
        """Yield the index of each text and the activations on its tokens, unit by unit.

        Raises:
            NeuroglossError: the tokenizer of the subject cannot be used.
        """
        subject = self._open("it reads no texts; leave generated")
        for unit, places in _by_unit(readings).items():
            sequences = [_tokens(subject, readings[place]) for place in places]
            activations = subject.activations(unit, [opening + text for opening, text in sequences])
            for place, (opening, _), values in zip(places, sequences, activations, strict=True):
                yield place, tuple(values[len(opening) :].tolist())

    def _open(self, advice: str) -> OpenSubject:
        """Return the subject, if its tokenizer can be used; the message ends in what follows, and what to leave out."""
        if not isinstance(self.subject, OpenSubject):
            raise NeuroglossError(
                f"the tokenizer of {self.identity.name} cannot be used, so {advice} out of the scores."
            )
        return self.subject


def _by_unit(readings: Sequence[TextReading | PairReading]) -> dict[Unit, list[int]]:
    """Return the places of the readings of each unit."""
    places_by_unit: dict[Unit, list[int]] = {}
    for place, reading in enumerate(readings):
        places_by_unit.setdefault(reading.unit, []).append(place)
    return places_by_unit


def _tokens(subject: OpenSubject, reading: TextReading) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the token ids that stand before a text, and those of the text."""
    opening = reading.opening or subject.encode("\n")[:1] * reading.leading
    return opening, subject.encode(reading.text)[: reading.tokens]


@dataclass(frozen=True, eq=False)
class BuiltExplainer:
    """An explainer of a run, and the models that it asks."""

    name: str
    method: str
    model: str
    explainer: Explainer | Knowing
    models: tuple[LanguageModel, ...] = ()

    def describe(self, scored: Sequence[ScoredExplanation]) -> ExplainerInfo:
        """Return which explainer it is, and how its explanations were made: prompts, candidates, cleaning."""
        prompted = [item.explanation for item in scored if item.explanation.prompt_version]
        return ExplainerInfo(
            name=self.name,
            method=self.method,
            model=self.model,
            role=self.explainer.role,
            identity=self.models[0].identity if self.models else None,
            prompt_version=" ".join(sorted({explanation.prompt_version for explanation in prompted})),
            candidates=max((len(explanation.candidates) or 1 for explanation in prompted), default=0),
            cleaning=cleaning.VERSION if prompted else "",
        )


@dataclass(frozen=True, eq=False)
class RunTools:
    """What a run works with: its tools, which rows they make, and who is who."""

    tools: Tools
    rows: tuple[RowKey, ...]
    explainers: tuple[BuiltExplainer, ...]
    controls: frozenset[str]

    def simulators(self) -> tuple[SimulatorInfo, ...]:
        """Return which simulators they are, by their names in the config."""
        return tuple(
            replace(simulator.describe(), name=name, control=name in self.controls)
            for name, simulator in self.tools.simulators.items()
        )

    def scorers(self) -> tuple[ScorerInfo, ...]:
        """Return which scorers they are, by their names in the config."""
        return tuple(replace(scorer.describe(), name=name) for name, scorer in self.tools.scorers.items())


def build_tools(
    settings: RunSettings, task_subject: Identity | None, records: Sequence[Record], asking: Asking
) -> RunTools:
    """Build what the settings name.

    Args:
        settings: of the run.
        task_subject: the model that the task was recorded from; None for puzzles.
        records: the units, whose told explanations are rows too.
        asking: how models and the subject are asked.

    Raises:
        NeuroglossError: a part cannot be built, or looks into another subject than the task's.
    """
    subject: Subject = build.assemble(settings.subject, "subject")
    scorer_nodes = settings.task.scores or settings.scores
    nodes = explainer_nodes(settings)
    if any(map(needs_subject, (*(node.node for node in nodes), *scorer_nodes.values()))):
        check_subject(settings.task.name, task_subject, subject.identity)
    told = _told(records) if task_subject is None else []  # only puzzles come with explanations
    explainers = [*(build_explainer(node, subject, asking) for node in nodes), *told]
    simulators, controls = build_simulators(settings, asking)
    scorers: dict[str, Scorer] = {
        name: build.assemble(node, f"scores.{name}", _wrap_scorer(subject, asking))
        for name, node in scorer_nodes.items()
    }
    primary = [name for name in simulators if name not in controls]
    rows = [
        RowKey(explainer.name, name)
        for explainer in explainers
        for name in (simulators if explainer.explainer.role is Role.TOLD else primary)
    ]
    tools = Tools({explainer.name: explainer.explainer for explainer in explainers}, simulators, scorers)
    return RunTools(tools, tuple(rows), tuple(explainers), frozenset(controls))


def build_simulators(settings: RunSettings, asking: Asking) -> tuple[dict[str, Simulator], set[str]]:
    """Return the run's own simulators and the task's controls that are not among them, and the names of the latter."""
    controls = {name: node for name, node in settings.task.controls.items() if name not in settings.simulator}
    nodes = {"simulator": settings.simulator, "task.controls": controls}
    simulators = {
        name: build.assemble(node, f"{group}.{name}", wrap_models(asking))
        for group, nodes_by_name in nodes.items()
        for name, node in nodes_by_name.items()
    }
    return simulators, set(controls)


def _told(records: Sequence[Record]) -> list[BuiltExplainer]:
    """Return an explainer for each kind of explanation that comes with the units."""
    kinds = {told.validity for record in records for told in record.told}
    return [
        BuiltExplainer(validity.value, validity.value, "", Told(validity)) for validity in Validity if validity in kinds
    ]


def build_explainer(node: ExplainerNode, subject: Subject, asking: Asking) -> BuiltExplainer:
    """Build an explainer, and the models that it asks."""
    models: list[LanguageModel] = []

    def wrap(part: Any, key: str) -> Any:
        wrapped = _shared(part, node.key_of(key), subject, asking)
        if isinstance(part, Backend):
            models.append(wrapped)
        return wrapped

    explainer = build.assemble(node.node, node.key, wrap)
    return BuiltExplainer(node.name, node.method, node.model, explainer, tuple(models))


def wrap_models(asking: Asking) -> Callable[[Any, str], Any]:
    """Return what replaces each backend, as it is built, by the model that answers for it."""
    return lambda part, key: KeyedModel(asking.model(part), key) if isinstance(part, Backend) else part


def _wrap_scorer(subject: Subject, asking: Asking) -> Any:
    def wrap(part: Any, key: str) -> Any:
        wrapped = _shared(part, key, subject, asking)
        return asking.subject(wrapped) if type(wrapped) is type(subject) else wrapped

    return wrap


def _shared(part: Any, key: str, subject: Subject, asking: Asking) -> Any:
    """Return what stands for a part object: a model that is asked, or the one subject if it is set alike.

    So weights load once; settings are compared, because nothing is loaded yet.
    """
    if isinstance(part, Backend):
        return KeyedModel(asking.model(part), key)
    return subject if type(part) is type(subject) and _settings(part) == _settings(subject) else part


def _settings(built: object) -> dict[str, object]:
    return {name: value for name, value in vars(built).items() if not name.startswith("_")}


def needs_subject(node: Mapping[str, Any]) -> bool:
    """Tell whether a config node, or one within it, looks into the subject."""
    return "subject" in node or any(needs_subject(value) for value in node.values() if isinstance(value, Mapping))


def check_subject(task: str, recorded: Identity | None, subject: Identity) -> None:
    """Refuse a subject that is not the very model whose activations the task holds."""
    if recorded is None:
        raise NeuroglossError(
            f"task {task} holds puzzles, which have no subject; leave out what looks into one: explainers, and "
            "ablation and generated among the scores."
        )
    if subject.revision != recorded.revision:
        raise NeuroglossError(
            f"task {task} was recorded from {recorded.name} ({recorded.revision[:12]}), and subject.name is "
            f"{subject.name} ({subject.revision[:12]}); choose that subject, or do without it: scores=panel, and no "
            "explainer that looks into the subject."
        )


def subject_of(settings: RunSettings, task: Task) -> Subject:
    """Build the subject of a run, which is the one that its task was recorded from."""
    subject: Subject = build.assemble(settings.subject, "subject")
    check_subject(task.name, task.subject, subject.identity)
    return subject

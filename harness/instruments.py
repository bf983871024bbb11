"""Explainers and simulators as a run has them: models answer by way of the store, and results say which they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.explainers import cleaning
from harness.models.backend import Backend, StoredModel
from harness.models.meter import Meter
from harness.models.store import Store
from harness.results import ExplainerInfo, JudgeInfo, SimulatorInfo
from harness.types import Explainer, Judge, Knowing, LanguageModel, ScoredExplanation, Simulator, Subject


def remembering(store: Store, meter: Meter) -> Callable[[Any], Any]:
    """What :func:`harness.build.assemble` wraps built objects with: every language model answers from the store."""
    return lambda built: StoredModel(built, store, meter) if isinstance(built, Backend) else built


def sharing(subject: Subject, wrap: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``wrap``, but for a subject that is set as ``subject`` is: it becomes ``subject``, so that weights load once."""
    settings = dict(vars(subject))  # as they are before anything is loaded
    return lambda built: subject if type(built) is type(subject) and vars(built) == settings else wrap(built)


def needs_subject(node: Mapping[str, Any]) -> bool:
    """Whether an explainer's config node, or one within it, looks into the subject."""
    return "subject" in node or any(needs_subject(value) for value in node.values() if isinstance(value, Mapping))


def simulator_info(simulator: Simulator) -> SimulatorInfo:
    """Which simulator it is, exactly; one that has a ``note`` for readers gives it."""
    model: LanguageModel | None = getattr(simulator, "model", None)
    note = str(getattr(simulator, "note", ""))
    if model is None:
        return SimulatorInfo(simulator.name, note=note)
    version = getattr(simulator, "prompt_version", "")
    return SimulatorInfo(simulator.name, model.identity, model.identity.transport, model.levels(), version, note)


def judge_info(judge: Judge) -> JudgeInfo:
    """Which judge it is, exactly."""
    model: LanguageModel | None = getattr(judge, "model", None)
    return JudgeInfo(judge.name, None if model is None else model.identity, getattr(judge, "prompt_version", ""))


def explainer_info(name: str, explainer: Explainer | Knowing, scored: Sequence[ScoredExplanation]) -> ExplainerInfo:
    """Which explainer it is, and how its explanations were made: prompts, candidates, cleaning."""
    asked = _model_of(explainer)
    made = [one.explanation for one in scored if one.explanation.prompt_version]
    return ExplainerInfo(
        name,
        explainer.role,
        asked.identity if asked is not None else None,
        prompt_version=" ".join(sorted({one.prompt_version for one in made})),
        candidates=max((len(one.candidates) or 1 for one in made), default=0),
        cleaning=cleaning.VERSION if made else "",
    )


def _model_of(explainer: object) -> LanguageModel | None:
    """The model that an explainer asks, itself or by way of another."""
    within = (getattr(explainer, name, None) for name in ("explainer", "input", "output"))
    asked: LanguageModel | None = getattr(explainer, "model", None)
    return asked or next((found for one in within if one is not None and (found := _model_of(one))), None)

"""Explainers and simulators as a run has them: models answer by way of the store, and results say which they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.models.backend import Backend, StoredModel
from harness.models.meter import Meter
from harness.models.store import Store
from harness.results import ExplainerInfo, SimulatorInfo
from harness.types import Explainer, Knowing, LanguageModel, ScoredExplanation, Simulator


def remembering(store: Store, meter: Meter) -> Callable[[Any], Any]:
    """What :func:`harness.build.assemble` wraps built objects with: every language model answers from the store."""
    return lambda built: StoredModel(built, store, meter) if isinstance(built, Backend) else built


def simulator_info(simulator: Simulator) -> SimulatorInfo:
    """Which simulator it is, exactly; one that has a ``note`` for readers gives it."""
    model: LanguageModel | None = getattr(simulator, "model", None)
    note = str(getattr(simulator, "note", ""))
    if model is None:
        return SimulatorInfo(simulator.name, note=note)
    version = getattr(simulator, "prompt_version", "")
    return SimulatorInfo(simulator.name, model.identity, model.identity.transport, model.levels(), version, note)


def explainer_info(name: str, explainer: Explainer | Knowing, scored: Sequence[ScoredExplanation]) -> ExplainerInfo:
    """Which explainer it is, and which versions of its prompt its explanations were made with."""
    asked = getattr(explainer, "model", None) or getattr(getattr(explainer, "explainer", None), "model", None)
    versions = sorted({one.explanation.prompt_version for one in scored} - {""})
    return ExplainerInfo(name, explainer.role, asked and asked.identity, " ".join(versions))

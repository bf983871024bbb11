"""The settings of a run with random weights in every subject, and nothing else changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.config import build
from harness.config.settings import RunSettings
from harness.explainers.logit_lens import LogitLens
from harness.jobs.tools import Remembering, build_tools
from harness.models.meter import Meter
from harness.models.store import Store
from harness.scorers.ablation import Ablation
from harness.studies.reinitialised import reread, untrained
from harness.subjects.transformers_subject import TransformersSubject
from harness.tasks.units import read_task
from harness.types import Unit

SUBJECT = {"use": "subject/transformers", "name": "m", "batch_size": 4}
NULL = {"use": "subject/reinitialised", "trained": SUBJECT, "seed": 3}


def test_every_subject_gets_random_weights_at_any_depth() -> None:
    looking = {"use": "explainer/logit_lens", "subject": SUBJECT}
    settings = RunSettings(
        subject=SUBJECT,
        explainer={"joined": {"use": "explainer/joined", "input": {"use": "explainer/summary"}, "output": looking}},
        scores={"panel": {"use": "scorer/panel"}, "ablation": {"use": "scorer/ablation", "subject": SUBJECT, "top": 1}},
    )
    null = untrained(settings, 3)
    assert null.subject == NULL
    assert null.explainer["joined"]["output"] == {"use": "explainer/logit_lens", "subject": NULL}
    assert null.explainer["joined"]["input"] == {"use": "explainer/summary"}
    assert null.scores == {
        "panel": {"use": "scorer/panel"},
        "ablation": {"use": "scorer/ablation", "subject": NULL, "top": 1},
    }
    assert settings.subject == SUBJECT, "the settings of the run stay as they are"


def test_explainers_and_scorers_look_into_the_subject_with_random_weights(tiny_llama: Path) -> None:
    """An explanation of the trained subject would be no null."""
    node = {"use": "subject/transformers", "name": str(tiny_llama)}
    settings = RunSettings(
        subject=node,
        explainer={"logit_lens": {"use": "explainer/logit_lens", "subject": node, "model": {"use": "model/fake"}}},
        simulator={"token_overlap": {"use": "simulator/token_overlap"}},
        scores={"ablation": {"use": "scorer/ablation", "subject": node}},
    )
    null = untrained(settings, 0)
    subject = build.assemble(null.subject)
    with Store(":memory:") as store:
        tools = build_tools(null, subject.identity, [], Remembering(store, Meter())).tools
        (explainer,), (scorer,) = tools.explainers.values(), tools.scorers.values()
        assert isinstance(explainer, LogitLens)
        assert isinstance(scorer, Ablation)
        assert explainer.subject.identity == scorer.subject.identity == subject.identity
        assert subject.identity != build.assemble(node).identity
        unit = Unit("N", 1, 3)
        assert explainer.subject.output_tokens(unit, 5) == subject.output_tokens(unit, 5)
        assert explainer.subject.output_tokens(unit, 5) != build.assemble(node).output_tokens(unit, 5)


def test_units_that_are_read_again_have_hard_excerpts_only_if_they_had_some(tiny_task: Path, tiny_llama: Path) -> None:
    records = read_task(tiny_task).records
    assert any(record.hard for record in records)
    subject = TransformersSubject(str(tiny_llama))
    again, without = (
        reread(subject, sources, 0, lambda *_: None)
        for sources in (records, [replace(record, hard=()) for record in records])
    )
    assert any(record.hard for record in again)
    assert not any(record.hard for record in without)

"""The tools of a run: what is built of its config, and how it is asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.config.compose import composed, plain, settings_from
from harness.config.settings import RunSettings
from harness.explainers.controls.shuffled import Shuffled
from harness.jobs.explainers import ExplainerNode, explainer_nodes
from harness.jobs.run import read_records
from harness.jobs.tools import (
    Remembering,
    StoredSubject,
    build_explainer,
    build_tools,
    check_subject,
    needs_subject,
)
from harness.models.backend import Backend
from harness.models.keyed import KeyedModel
from harness.models.meter import Meter
from harness.models.store import Store
from harness.scorers.ablation import Ablation
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import CompletionPrompt, Identity, LanguageModel, Message, NeuroglossError, Role, RowKey


@pytest.fixture
def asking(tmp_path: Path) -> Remembering:
    return Remembering(Store(str(tmp_path / "store.sqlite")), Meter())


def settings_of(*overrides: str) -> RunSettings:
    settings: RunSettings = settings_from(RunSettings, plain(composed("run", overrides)))
    return settings


SHUFFLED = {
    "use": "explainer/shuffled",
    "seed": 0,
    "explainer": {
        "use": "explainer/joined",
        "input": {"use": "explainer/summary", "prompt": "summary-v2", "model": {"use": "model/fake", "name": "writer"}},
        "output": {"use": "explainer/max_activation", "tokens": 3},
        "separator": "; ",
    },
}


def test_the_model_of_an_explainer_is_found_within_it(asking: Remembering) -> None:
    subject = TransformersSubject("unused")
    tool = build_explainer(ExplainerNode("mine · writer", "mine", "writer", SHUFFLED), subject, asking)
    assert isinstance(tool.explainer, Shuffled)
    assert [type(model) for model in tool.models] == [KeyedModel]
    described = tool.describe([])
    assert (described.name, described.method, described.model) == ("mine · writer", "mine", "writer")
    assert described.role is Role.FLOOR
    assert described.identity is not None
    assert described.identity.name == "writer"


def test_an_explainer_without_a_model_has_no_identity(asking: Remembering) -> None:
    node = ExplainerNode("max_activation", "max_activation", "", {"use": "explainer/max_activation", "tokens": 3})
    assert build_explainer(node, TransformersSubject("unused"), asking).describe([]).identity is None


def test_what_is_set_like_the_subject_is_the_subject_and_loads_once(asking: Remembering) -> None:
    subject = TransformersSubject("a")
    subject._loaded = "as if"  # type: ignore[attr-defined]  # what was loaded since does not tell them apart
    node = {"use": "explainer/logit_lens", "prompt": "logit_lens-v1", "model": {"use": "model/fake"}}
    alike = {**node, "subject": {"use": "subject/transformers", "name": "a"}}
    different = {**node, "subject": {"use": "subject/transformers", "name": "b"}}
    explainers = [
        build_explainer(ExplainerNode("x", "x", "", each), subject, asking).explainer for each in (alike, different)
    ]
    assert [explainer.subject is subject for explainer in explainers] == [True, False]  # type: ignore[union-attr]


def test_whether_a_part_is_a_model_is_asked_without_reading_its_weights() -> None:
    part = TransformersSubject("no/such-model")
    assert not isinstance(part, Backend)
    assert not isinstance(part, LanguageModel)
    assert "_identity" not in vars(part)


def test_rows_are_explainers_by_the_runs_simulators_and_told_explanations_by_every_one(
    asking: Remembering, puzzle_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = settings_of("task=puzzles-v1", "task.limit=2", "explainer=[max_activation]", "simulator=[token_overlap]")
    _, records = read_records(settings)
    tools = build_tools(settings, None, records, asking)
    assert tools.rows == (
        RowKey("max_activation", "token_overlap"),
        *(RowKey(name, by) for name in ("true", "near", "unrelated") for by in ("token_overlap", "chance")),
    )
    assert [(info.name, info.control) for info in tools.simulators()] == [("token_overlap", False), ("chance", True)]
    assert [info.name for info in tools.scorers()] == ["truths"]


def test_an_ablation_asks_the_subject_by_way_of_the_store(
    asking: Remembering, tiny_task: Path, tiny_llama: Path
) -> None:
    settings = settings_of(
        *(f"task.path={tiny_task}", "subject=transformers", f"subject.name={tiny_llama}"),
        *("explainer=[max_activation]", "simulator=[token_overlap]", "scores=[ablation]"),
    )
    task, records = read_records(settings)
    tools = build_tools(settings, task.subject, records, asking)  # type: ignore[union-attr]
    scorer = tools.tools.scorers["ablation"]
    assert isinstance(scorer, Ablation)
    assert isinstance(scorer.subject, StoredSubject)


def test_what_looks_into_the_subject_is_seen_at_any_depth() -> None:
    assert needs_subject({"use": "x", "subject": {"use": "y"}})
    assert needs_subject({"input": {"explainer": {"subject": {}}}})
    assert not needs_subject({"explainer": {"model": {"name": "subject"}}})


def test_another_subject_than_the_tasks_is_refused() -> None:
    recorded = Identity("a", "revision-1")
    check_subject("t-v1", recorded, Identity("another folder", "revision-1"))
    with pytest.raises(NeuroglossError, match="t-v1 was recorded from a"):
        check_subject("t-v1", recorded, Identity("a", "revision-2"))
    with pytest.raises(NeuroglossError, match="t-v1 holds puzzles, which have no subject"):
        check_subject("t-v1", None, recorded)


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["explainer=token_activation"], "explainer_model.server"),
        (
            ["explainer=token_activation", "+model@explainer.token_activation.model=server"],
            "explainer.token_activation.model",
        ),
    ],
)
def test_a_model_that_goes_wrong_is_named_by_its_key(asking: Remembering, overrides: list[str], key: str) -> None:
    at = [f"{key}.name=foo", f"{key}.base_url=http://127.0.0.1:9/v1", f"{key}.api_key_env=NO_SUCH_KEY"]
    models = ["explainer_model=server"] if key == "explainer_model.server" else []
    settings = settings_of("simulator=token_overlap", *models, *overrides, *at)
    (node,) = explainer_nodes(settings)
    (model,) = build_explainer(node, TransformersSubject("unused"), asking).models
    with pytest.raises(NeuroglossError, match=f"which {re.escape(key)}.api_key_env names, is not set"):
        model.complete([CompletionPrompt((Message("user", "Hello"),), 5)])

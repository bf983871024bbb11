from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.models.backend import StoredModel
from harness.models.fake import FakeModel
from harness.models.planned import PlannedModel, Tally
from harness.models.server.model import ServerModel
from harness.models.store import Store
from harness.types import CompletionPrompt, LanguageModel, Message, Outcome, SlottedPrompt

QUESTIONS = [CompletionPrompt((Message("user", f"question {n}"),), 8) for n in range(4)]
SLOTTED = [SlottedPrompt((Message("user", f"q {n}"),), ("a\t", "\nb\t"), "-", 10) for n in range(3)]


def test_nothing_is_asked_and_everything_is_counted_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = FakeModel(usd=0.5, log=str(log))
    with Store(":memory:") as store:
        tally = Tally(store)
        planned = PlannedModel(model, tally)
        assert isinstance(planned, LanguageModel)
        tally.begin("explain")
        texts = [reply.text for reply in planned.complete([*QUESTIONS, QUESTIONS[0]])]
        tally.begin("simulate")
        readings = planned.read_levels(SLOTTED)
        planned.read_levels(SLOTTED)
        explain, simulate = tally.rows()
    assert not log.exists()
    assert len(set(texts)) == 4
    assert [reading.outcome for reading in readings] == [Outcome.NOT_COLLECTED] * 3
    assert (explain.stage, explain.model, explain.new.requests, explain.new.usd) == ("explain", model.identity, 4, 2.0)
    assert (simulate.stage, simulate.new.requests, simulate.saved.requests) == ("simulate", 3, 0)


def test_what_is_stored_is_given_and_counted_as_saved(tmp_path: Path) -> None:
    model = FakeModel(usd=0.5)
    with Store(":memory:") as store:
        replies = StoredModel(model, store).complete(QUESTIONS[:2])
        StoredModel(model, store).read_levels(SLOTTED[:1])
        tally = Tally(store)
        planned = PlannedModel(model, tally)
        assert [reply.text for reply in planned.complete(QUESTIONS)[:2]] == [reply.text for reply in replies]
        assert planned.read_levels(SLOTTED)[0].outcome is Outcome.OK
        (row,) = tally.rows()
    assert (row.new.requests, row.new.usd) == (4, 2.0)
    assert (row.saved.requests, row.saved.usd) == (3, 1.5)


class Counted(FakeModel):
    """A model in this process whose every request takes a second of its clock."""

    device = "cpu"
    now = 0.0

    def complete(self, prompts: Any) -> Any:
        for item in super().complete(prompts):
            self.now += 1.0
            yield item

    def read_levels(self, prompts: Any) -> Any:
        for item in super().read_levels(prompts):
            self.now += 0.1
            yield item


def test_the_time_of_a_model_in_this_process_is_that_of_its_first_requests(tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = Counted(log=str(log))
    questions = [CompletionPrompt((Message("user", f"question {n:3}"),), 8) for n in range(20)]
    with Store(":memory:") as store:
        tally = Tally(store)
        planned = PlannedModel(model, tally)
        tally.begin("explain")
        planned.complete(questions)
        tally.begin("simulate")
        planned.read_levels(SLOTTED[:1])
        assert not log.exists()
        explain, simulate = tally.timed_rows(lambda: model.now)
        assert tally.rows()[0].seconds is None
    assert explain.seconds == pytest.approx(20.0), "as each question is as long as the two that were asked"
    assert simulate.seconds == pytest.approx(0.1)
    assert len(log.read_text().split()) == 2 + 2


def test_a_stage_that_the_store_answers_takes_no_time_and_a_server_one_that_nobody_knows() -> None:
    local, server = Counted(), ServerModel("tiny", base_url="http://127.0.0.1:9/v1")
    with Store(":memory:") as store:
        StoredModel(local, store).complete(QUESTIONS)
        tally = Tally(store)
        for model in (local, server):
            PlannedModel(model, tally).complete(QUESTIONS)
        stored, unknown = tally.timed_rows()
    assert (stored.seconds, unknown.seconds) == (0.0, None)


def test_a_server_is_planned_without_one() -> None:
    model = ServerModel("tiny", base_url="http://127.0.0.1:9/v1", usd_per_million_prompt_tokens=1.0)
    with Store(":memory:") as store:
        tally = Tally(store)
        planned = PlannedModel(model, tally)
        assert planned.levels() == 10
        planned.read_levels(SLOTTED)
        (row,) = tally.rows()
    assert row.new.requests == 4, "the probe is one of them"
    assert row.new.prompt_tokens >= sum(model.cost(prompt).prompt_tokens for prompt in SLOTTED)
    assert row.new.usd == pytest.approx(row.new.prompt_tokens / 1e6)


def test_where_nothing_has_to_be_tried_no_probe_is_planned() -> None:
    model = ServerModel("tiny", base_url="http://127.0.0.1:9/v1", transport="text")
    with Store(":memory:") as store:
        tally = Tally(store)
        PlannedModel(model, tally).read_levels(SLOTTED)
        (row,) = tally.rows()
    assert row.new.requests == len(SLOTTED)


def test_a_plan_is_a_bound_of_what_is_spent(loopback: Any, act: Any, chat: Any) -> None:
    def script(path: str, body: dict[str, Any]) -> Any:
        words = sum(len(message["content"].split()) for message in body["messages"])
        return act(chat("rain", usage=(words, 1)))

    loopback.script = script
    model = ServerModel("tiny", base_url=loopback.url, usd_per_million_prompt_tokens=3.0)
    with Store(":memory:") as store:
        tally = Tally(store)
        PlannedModel(model, tally).complete(QUESTIONS)
        spent = [reply.usage for reply in StoredModel(model, store).complete(QUESTIONS)]
        (row,) = tally.rows()
    assert sum(usage.prompt_tokens for usage in spent) <= row.new.prompt_tokens
    assert 0.0 < sum(usage.usd for usage in spent) <= row.new.usd

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.models.backend import StoredModel
from harness.models.fake import FakeModel
from harness.models.meter import Meter
from harness.models.store import Store, answered, numbers
from harness.types import (
    CompletionPrompt,
    Effect,
    Message,
    NeuroglossError,
    Outcome,
    Replacement,
    SlottedPrompt,
    Unit,
)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(Path(":memory:")) as opened:
        yield opened


def completions(count: int) -> list[CompletionPrompt]:
    return [CompletionPrompt((Message("user", f"question {index}"),)) for index in range(count)]


def slotted(count: int) -> list[SlottedPrompt]:
    return [SlottedPrompt((Message("user", f"q {i}"),), ("a\t", "\nb\t"), "?", 10) for i in range(count)]


def asked(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def test_nothing_is_asked_twice(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = StoredModel(FakeModel(log=str(log)), store, Meter())
    first = model.complete(completions(3)), model.read_levels(slotted(3))
    second = model.complete(completions(4)), model.read_levels(slotted(4))
    assert len(asked(log)) == 8
    assert [reply.text for reply in second[0][:3]] == [reply.text for reply in first[0]]
    assert [reply.probabilities for reply in second[1][:3]] == [reply.probabilities for reply in first[1]]
    assert [reply.usage.stored for reply in (*second[0], *second[1])] == [1, 1, 1, 0, 1, 1, 1, 0]


def test_equal_requests_of_one_call_are_asked_once_and_answered_in_order(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = StoredModel(FakeModel(log=str(log)), store, Meter())
    one, two = completions(2)
    replies = model.complete([two, one, two])
    assert len(asked(log)) == 2
    assert replies[0].text == replies[2].text != replies[1].text
    assert [reply.usage.stored for reply in replies] == [0, 0, 1]


def test_another_model_has_other_replies(store: Store) -> None:
    prompts = completions(2)
    one = StoredModel(FakeModel("one"), store, Meter()).complete(prompts)
    two = StoredModel(FakeModel("two"), store, Meter()).complete(prompts)
    assert not {reply.text for reply in one} & {reply.text for reply in two}


def test_a_failure_is_asked_again(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = StoredModel(FakeModel(fail_every=1, log=str(log)), store, Meter())
    assert [reply.outcome for reply in model.complete(completions(2))] == [Outcome.FAILED] * 2
    assert [reply.outcome for reply in model.read_levels(slotted(1))] == [Outcome.FAILED]
    model.complete(completions(2))
    assert len(asked(log)) == 5


class Breaking(FakeModel):
    """Answers a few, then loses its connection."""

    def complete(self, prompts: Sequence[CompletionPrompt]) -> Iterator:  # type: ignore[type-arg]
        for number, reply in enumerate(super().complete(prompts)):
            if number == 3:
                raise NeuroglossError("the connection is lost.")
            yield reply


def test_what_was_answered_before_a_break_is_kept(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NeuroglossError, match="connection"):
        StoredModel(Breaking(), store, Meter()).complete(completions(5))
    log = tmp_path / "log"
    StoredModel(FakeModel(log=str(log)), store, Meter()).complete(completions(5))
    assert len(asked(log)) == 2


class Silent(FakeModel):
    """Leaves questions unanswered."""

    def complete(self, prompts: Sequence[CompletionPrompt]) -> Iterator:  # type: ignore[type-arg]
        return iter(())


def test_an_unanswered_request_is_an_error_not_a_hole(store: Store) -> None:
    with pytest.raises(NeuroglossError, match="got no reply"):
        StoredModel(Silent(), store, Meter()).complete(completions(1))


def test_a_budget_of_dollars_ends_a_run_before_it_is_passed(store: Store, tmp_path: Path) -> None:
    log, meter = tmp_path / "log", Meter(usd=0.035)
    model = StoredModel(FakeModel(usd=0.01, log=str(log)), store, meter)
    with pytest.raises(NeuroglossError, match=r"budget of 0\.035 USD is used up with 2 requests to go"):
        model.complete(completions(5))
    assert len(asked(log)) == 3
    assert meter.totals.spent.usd == pytest.approx(0.03)
    enough = StoredModel(FakeModel(usd=0.01, log=str(log)), store, Meter(usd=0.02))
    assert len(enough.complete(completions(5))) == 5
    assert len(asked(log)) == 5


def test_a_budget_of_tokens_counts_what_a_reply_may_need(store: Store) -> None:
    model = StoredModel(FakeModel(), store, Meter(tokens=60))
    with pytest.raises(NeuroglossError, match="budget of 60 tokens"):
        model.complete(completions(1))


def test_stored_replies_cost_nothing_of_the_budget(store: Store) -> None:
    StoredModel(FakeModel(usd=1.0), store, Meter()).complete(completions(3))
    meter = Meter(usd=0.0)
    assert len(StoredModel(FakeModel(usd=1.0), store, meter).complete(completions(3))) == 3
    assert meter.totals.saved.usd == 3.0
    assert meter.totals.spent.requests == 0


def test_progress_counts_stored_and_fresh_replies_of_a_stage(store: Store) -> None:
    StoredModel(FakeModel(), store, Meter()).complete(completions(2))
    told: list[tuple[str, int, int]] = []
    meter = Meter(progress=lambda *now: told.append(now))
    StoredModel(FakeModel(), store, meter).complete(completions(4))
    assert told == [("completions", done, 4) for done in (2, 3, 4)]


def test_a_reading_survives_the_store_exactly(store: Store) -> None:
    fresh = StoredModel(FakeModel(), store, Meter()).read_levels(slotted(2))
    kept = StoredModel(FakeModel(), store, Meter()).read_levels(slotted(2))
    assert [(one.probabilities, one.mass, one.seen) for one in kept] == [
        (one.probabilities, one.mass, one.seen) for one in fresh
    ]


def test_a_subject_is_asked_by_way_of_the_store_too(store: Store) -> None:
    calls: list[int] = []

    def ask(replacements: Sequence[Replacement]) -> Iterator[tuple[int, Effect]]:
        calls.append(len(replacements))
        yield from ((index, Effect(0.1 * index, math.nan)) for index in reversed(range(len(replacements))))

    wanted = [Replacement(Unit("N", 0, index), (1,), (0.5,)) for index in range(3)]
    for _ in range(2):
        found = answered(store, FakeModel().identity, numbers("ablations", Effect), wanted, ask)
        assert [effect.divergence for effect in found] == [0.0, 0.1, 0.2]
        assert all(math.isnan(effect.loss_change) for effect in found)
    assert calls == [3]

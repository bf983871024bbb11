"""The scripted model: the same question, the same answer; failures and a log on demand."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.models.backend import Backend
from harness.models.fake import FakeModel
from harness.models.store import COMPLETIONS, LEVELS, key_of
from harness.types import CompletionPrompt, Message, Outcome, SlottedPrompt


def question(text: str) -> CompletionPrompt:
    return CompletionPrompt((Message("user", text),))


SLOTTED = SlottedPrompt((Message("user", "text"),), ("a\t", "\nb\t", "\nc\t"), "-", 10)


def test_answers_follow_from_the_question_and_the_name() -> None:
    assert isinstance(FakeModel(), Backend)
    texts = {
        (name, text): dict(FakeModel(name).complete([question(text)]))[0].text
        for name in ("one", "two")
        for text in ("x", "y")
    }
    assert len(set(texts.values())) == 4
    assert dict(FakeModel("one").complete([question("y"), question("x")]))[1].text == texts["one", "x"]


def test_a_script_answers_questions_that_hold_a_text() -> None:
    model = FakeModel(replies={"weather": "rain", "w": "other"})
    replies = dict(model.complete([question("the weather"), question("wind"), question("x")]))
    assert [replies[index].text for index in (0, 1)] == ["rain", "other"]
    assert replies[2].text.startswith("answer ")


def test_an_empty_reply_can_be_scripted() -> None:
    ((_, reply),) = FakeModel(replies={"weather": ""}).complete([question("the weather")])
    assert (reply.text, reply.outcome) == ("", Outcome.EMPTY)


def test_scripts_that_answer_otherwise_have_other_keys() -> None:
    one, two = FakeModel(replies={"a": "1", "ab": "2"}), FakeModel(replies={"ab": "2", "a": "1"})
    assert [dict(model.complete([question("ab")]))[0].text for model in (one, two)] == ["1", "2"]
    assert one.identity != two.identity


def test_a_slot_depends_on_the_text_before_it_only() -> None:
    ((_, whole),) = FakeModel().read_levels([SLOTTED])
    cut = SlottedPrompt(SLOTTED.messages, ("a\t-\nb\t",), "-", 10)
    ((_, last),) = FakeModel().read_levels([cut])
    assert last.probabilities[0] == whole.probabilities[1]
    assert all(sum(shares) == pytest.approx(1.0) for shares in whole.probabilities)


def test_failures_are_the_same_ones_each_time() -> None:
    model = FakeModel(fail_every=3)
    prompts = [question(str(number)) for number in range(60)]
    outcomes = [dict(model.complete(prompts))[index].outcome for index in range(60)]
    assert outcomes == [dict(model.complete(prompts))[index].outcome for index in range(60)]
    assert 10 <= outcomes.count(Outcome.FAILED) <= 30


def test_what_is_asked_is_logged_before_it_is_answered(tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = FakeModel(log=str(log))
    replies = model.complete([question("x"), question("y")])
    next(replies)
    assert log.read_text().split() == [key_of(model.identity, COMPLETIONS.name, question("x"))]
    dict(model.read_levels([SLOTTED]))
    assert log.read_text().split()[1:] == [key_of(model.identity, LEVELS.name, SLOTTED)]

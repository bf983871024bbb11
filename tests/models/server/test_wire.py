from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.server.model import wire
from harness.models.server.wire import FailedAttempt
from harness.types import Message, NeuroglossError, Outcome, Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "choices",
    "message",
    "content",
    "logprobs",
    "top_logprobs",
    "token",
    "logprob",
    "bytes",
    "tokens",
    "text",
    "usage",
)


def read(document: object, api: str) -> wire.Answer | FailedAttempt:
    try:
        return wire.answer(document, api)
    except FailedAttempt as failure:
        return failure


@given(JSON, st.sampled_from([wire.CHAT, wire.COMPLETIONS]))
def test_whatever_comes_is_an_answer_or_a_reason(document: Any, api: str) -> None:
    for body in (document, {"choices": document}, {"choices": [{"message": document, "text": document}]}):
        found = read(body, api)
        assert isinstance(found, FailedAttempt) or found.text or found.outcome is not Outcome.OK


@given(JSON, st.sampled_from(FIELDS))
def test_a_reply_with_any_field_spoilt_is_an_answer_or_a_reason(value: Any, spoilt: str) -> None:
    def spoil(document: Any) -> Any:
        if isinstance(document, dict):
            return {name: value if name == spoilt else spoil(inner) for name, inner in document.items()}
        return [spoil(inner) for inner in document] if isinstance(document, list) else document

    entry = {"token": "5", "bytes": [53], "logprob": -0.1, "top_logprobs": [{"token": "5", "logprob": -0.1}]}
    message = {"content": "5"}
    document = {"choices": [{"message": message, "logprobs": {"content": [entry]}}], "usage": {"prompt_tokens": 1}}
    found = read(spoil(document), wire.CHAT)
    positions = () if isinstance(found, FailedAttempt) else found.positions or ()
    assert all(logprob <= 0.01 for position in positions for _, logprob in position.top)


def test_both_forms_of_log_probabilities_say_the_same() -> None:
    entry = {"token": "5", "bytes": [53], "logprob": -0.5, "top_logprobs": [{"token": "4", "logprob": -1.0}]}
    chat = wire.answer({"choices": [{"message": {"content": "5"}, "logprobs": {"content": [entry]}}]}, wire.CHAT)
    old = {"tokens": ["5"], "token_logprobs": [-0.5], "top_logprobs": [{"4": -1.0}]}
    text = wire.answer({"choices": [{"text": "5", "logprobs": old}]}, wire.COMPLETIONS)
    assert chat.positions == text.positions
    assert dict(chat.positions[0].top) == {b"5": -0.5, b"4": -1.0}  # type: ignore[index]


@pytest.mark.parametrize("value", [float("nan"), 0.5, "x", None, True, pytest.param(-(10**400), id="huge")])
def test_a_log_probability_that_is_none_spoils_the_reply(value: object) -> None:
    entry = {"token": "5", "logprob": value, "top_logprobs": []}
    with pytest.raises(FailedAttempt):
        wire.answer({"choices": [{"message": {"content": "5"}, "logprobs": {"content": [entry]}}]}, wire.CHAT)


@pytest.mark.parametrize("value", [-9999.0, -math.inf])
def test_what_is_too_unlikely_to_be_measured_is_not_seen(value: float) -> None:
    top = [{"token": "4", "logprob": value}]
    entry = {"token": "5", "logprob": -0.1, "top_logprobs": top}
    found = wire.answer({"choices": [{"message": {"content": "5"}, "logprobs": {"content": [entry]}}]}, wire.CHAT)
    assert found.positions is not None
    assert [text for text, _ in found.positions[0].top] == [b"5"]


def test_log_probabilities_may_cover_an_end_token_and_a_trimmed_space() -> None:
    entries = [{"token": one, "logprob": -0.1, "top_logprobs": []} for one in (" a", "b", "<|end|>")]
    found = wire.answer({"choices": [{"message": {"content": "ab"}, "logprobs": {"content": entries}}]}, wire.CHAT)
    assert [position.text for position in found.positions or ()] == [b" a", b"b", b"<|end|>"]
    with pytest.raises(FailedAttempt, match="not those of the text"):
        wire.answer({"choices": [{"message": {"content": "abc"}, "logprobs": {"content": entries}}]}, wire.CHAT)


def test_tokens_that_are_not_counted_are_not_zero() -> None:
    reply = {"choices": [{"message": {"content": "x"}}]}
    assert wire.answer(reply, wire.CHAT).usage is None
    counted = {**reply, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    assert wire.answer(counted, wire.CHAT).usage == Usage(1, 0, 3, 2)


@pytest.mark.parametrize("count", [-5, pytest.param(10**400, id="huge"), 1.5, "3"])
def test_a_count_that_is_none_is_not_counted(count: object) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": 2}
    found = wire.answer({"choices": [{"message": {"content": "x"}}], "usage": usage}, wire.CHAT).usage
    assert found is None


@pytest.mark.parametrize("api", [wire.CHAT, wire.COMPLETIONS])
def test_half_a_character_is_a_question_mark_everywhere(api: str) -> None:
    half = "5\ud83d"
    content = [{"token": half, "logprob": -0.1, "top_logprobs": []}]
    old = {"tokens": [half], "token_logprobs": [-0.1], "top_logprobs": [{half: -0.1}]}
    row = {"7": {"decoded_token": half, "logprob": -0.1}}
    forms = {wire.CHAT: {"content": content}, wire.COMPLETIONS: old}
    choice = {"message": {"content": half}, "text": half, "logprobs": forms[api], "prompt_logprobs": [None, row]}
    found = wire.answer({"choices": [choice]}, api)
    assert found.text == "5?"
    assert found.positions is not None
    assert found.prompt is not None
    assert [one.text for one in (*found.positions, *found.prompt[1:])] == [b"5?"] * 2


@pytest.mark.parametrize(("status", "body"), [(402, {}), (429, {"code": "insufficient_quota"})])
def test_an_account_without_money_says_so(status: int, body: object) -> None:
    assert "nothing left to spend" in str(wire.trouble(status, {}.get, body, "tiny at http://h"))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, {}, FailedAttempt),
        (503, None, FailedAttempt),
        (408, "text", FailedAttempt),
        (400, {"error": "no"}, wire.Rejected),
        (501, {}, wire.Rejected),
        (401, {"error": {"message": "key"}}, NeuroglossError),
        (429, {"code": "insufficient_quota"}, NeuroglossError),
    ],
)
def test_a_status_is_passing_or_final(status: int, body: object, kind: type) -> None:
    header: Callable[[str], str | None] = {"retry-after": "2"}.get
    found = wire.trouble(status, header, body, "tiny at http://h")
    assert type(found) is kind
    if isinstance(found, FailedAttempt):
        assert found.retry_after == 2.0
        assert found.congested == (status in (408, 429))


def test_a_conversation_without_a_template_is_plain_text() -> None:
    messages = [Message("system", "s"), Message("user", "u"), Message("assistant", "a"), Message("user", "\ud800")]
    assert wire.plain_text(messages, "turn\t") == "s\n\nu\na\n\n?\nturn\t"

"""The backend for servers, with the real client against a real socket."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import weights
from harness.models.backend import Backend, Probing, StoredModel
from harness.models.server.capabilities import NO_ECHO, NO_LOGPROBS, NO_SCHEMA, NO_TRIAL, Capabilities
from harness.models.server.model import PROBLEMS, ServerModel
from harness.models.store import COMPLETIONS, Store, key_of
from harness.simulators.all_at_once import AllAtOnce
from harness.simulators.one_at_a_time import OneAtATime
from harness.types import (
    CompletionPrompt,
    Explanation,
    Message,
    NeuroglossError,
    Outcome,
    Query,
    SlottedPrompt,
    Unit,
)

QUESTION = CompletionPrompt((Message("system", "short"), Message("user", "what is it?")), 5)
LINES = SlottedPrompt(
    (
        Message("system", "levels"),
        Message("user", "fires on a"),
        Message("assistant", "a\t9\nb\t0"),
        Message("user", "fires on storm"),
    ),
    (" the\t", "\n storm\t", "\n40\t"),
    "-",
    10,
)
ONE = SlottedPrompt(
    (Message("user", "fires on a"), Message("assistant", "a\t9"), Message("user", "on b")), ("b\t",), "", 10
)


def model(url: str, **settings: Any) -> ServerModel:
    return ServerModel("tiny", base_url=url, **{"attempts": 3, **settings})


def tokens(text: str, ten: bool = True) -> list[tuple[str, dict[str, float]]]:
    """``text`` as a tokenizer splits it: words with the space before them, tabs, line ends, numbers or digits."""
    number = r"\d+" if ten else r"\d"
    pieces = re.findall(rf"{number}| ?[^\W\d]+|.|\n", text)
    return [
        (piece, {piece: 0.5, "7": 0.25, "2": 0.125} if piece.isdigit() else {piece: 0.9, "x": 0.1}) for piece in pieces
    ]


def copied(body: dict[str, Any], level: str = "5") -> str:
    """What an obedient model answers: the lines of the question, with the level in place of each placeholder."""
    lines = body["messages"][-1]["content"].rpartition("\n\n")[2]
    return "\n".join(re.sub(r"-$", level, line) for line in lines.split("\n"))


# ------------------------------------------------------------------------------------------------------------- text


def test_a_prompt_is_answered_with_text(loopback: Any, act: Any, chat: Any) -> None:
    loopback.script = lambda path, body: act(chat("rain, mostly"))
    asked = model(loopback.url, usd_per_million_prompt_tokens=2.0, usd_per_million_completion_tokens=10.0)
    assert isinstance(asked, Backend)
    assert isinstance(asked, Probing)
    ((index, reply),) = asked.complete([QUESTION])
    assert (index, reply.text, reply.outcome) == (0, "rain, mostly", Outcome.OK)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (7, 3)
    assert reply.usage.usd == pytest.approx((7 * 2 + 3 * 10) / 1e6)
    ((path, body),) = loopback.asked
    assert path == "/chat/completions"
    assert body == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "short"}, {"role": "user", "content": "what is it?"}],
        "max_tokens": 5,
        "temperature": 0.0,
    }


def test_sampling_is_sent_and_each_repeat_has_a_seed_of_its_own(loopback: Any, act: Any, chat: Any) -> None:
    loopback.script = lambda path, body: act(chat("x"))
    prompts = [CompletionPrompt(QUESTION.messages, 5, 0.7, 0.9, ("\n",), 1, repeat) for repeat in (0, 1)]
    assert len(dict(model(loopback.url).complete(prompts))) == 2
    bodies = [body for _, body in loopback.asked]
    assert [(one["temperature"], one["top_p"], one["stop"]) for one in bodies] == [(0.7, 0.9, ["\n"])] * 2
    assert len({one["seed"] for one in bodies}) == 2


def test_fields_can_be_added_and_left_out(loopback: Any, act: Any, chat: Any) -> None:
    loopback.script = lambda path, body: act(chat("x"))
    settings = {"body": {"temperature": None, "reasoning_effort": "low"}, "max_tokens_field": "max_completion_tokens"}
    dict(model(loopback.url, **settings).complete([QUESTION]))
    ((_, body),) = loopback.asked
    assert "temperature" not in body
    assert "max_tokens" not in body
    assert (body["reasoning_effort"], body["max_completion_tokens"]) == ("low", 5)


def test_a_base_model_is_asked_by_completions(loopback: Any, act: Any) -> None:
    document = {"model": "tiny", "choices": [{"text": " rain", "finish_reason": "stop", "logprobs": None}]}
    loopback.script = lambda path, body: act(document)
    ((_, reply),) = model(loopback.url, api="completions").complete([QUESTION])
    assert reply.text == " rain"
    assert loopback.asked[0][0] == "/completions"
    assert loopback.asked[0][1]["prompt"] == "short\n\nwhat is it?\n"


@pytest.mark.parametrize(
    ("text", "extra", "outcome"),
    [
        ("half a sen", {"finish": "length"}, Outcome.TRUNCATED),
        (None, {"finish": "length"}, Outcome.TRUNCATED),
        (None, {}, Outcome.EMPTY),
        ("  ", {}, Outcome.EMPTY),
        (None, {"refusal": "I will not."}, Outcome.REFUSED),
        ("", {"finish": "content_filter"}, Outcome.REFUSED),
    ],
)
def test_what_became_of_a_request_has_a_name(
    loopback: Any, act: Any, chat: Any, text: str | None, extra: dict[str, Any], outcome: Outcome
) -> None:
    loopback.script = lambda path, body: act(chat(text, **extra))
    ((_, reply),) = model(loopback.url).complete([QUESTION])
    assert reply.outcome is outcome
    assert len(loopback.asked) == 1


def test_an_error_that_is_a_refusal_is_one(loopback: Any, act: Any) -> None:
    error = {"error": {"message": "filtered", "code": "content_filter"}}
    loopback.script = lambda path, body: act(error, 400)
    ((_, reply),) = model(loopback.url).complete([QUESTION])
    assert reply.outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [
        (401, {"message": "bad key"}, r"status 401: bad key.*check the key"),
        (404, {"message": "no such model"}, r"check model.base_url and model.name"),
        (400, {"message": "too long"}, r"too long.*length of its context"),
        (429, {"message": "no money", "code": "insufficient_quota"}, r"nothing left to spend"),
    ],
)
def test_what_no_second_attempt_mends_ends_the_run(
    loopback: Any, act: Any, status: int, error: dict[str, str], sentence: str
) -> None:
    loopback.script = lambda path, body: act({"error": error}, status)
    with pytest.raises(NeuroglossError, match=sentence):
        dict(model(loopback.url).complete([QUESTION]))
    assert len(loopback.asked) == 1


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    loopback: Any, act: Any, chat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loopback.script = lambda path, body: act(chat("x"))
    asked = model(loopback.url, api_key_env="TINY_KEY")
    with pytest.raises(NeuroglossError, match=r"TINY_KEY.*is not set"):
        dict(asked.complete([QUESTION]))
    monkeypatch.setenv("TINY_KEY", "not-in-any-file")
    dict(asked.complete([QUESTION]))
    assert loopback.headers[0]["authorization"] == "Bearer not-in-any-file"
    assert "not-in-any-file" not in repr(asked.identity) + repr(vars(asked))


# ------------------------------------------------------------------------------------------------- generated levels


def reading_model(act: Any, chat: Any, level: str = "5", ten: bool = True) -> Callable[[str, dict[str, Any]], Any]:
    def script(path: str, body: dict[str, Any]) -> Any:
        system = body["messages"][0]["content"]
        text = level if "number alone" in system else copied(body, "10" if "Write each word" in system else level)
        return act(chat(text, tokens(text, ten)))

    return script


def test_levels_are_read_where_the_copied_lines_have_them(loopback: Any, act: Any, chat: Any) -> None:
    loopback.script = reading_model(act, chat)
    asked = model(loopback.url)
    ((_, reading),) = asked.read_levels([LINES])
    assert reading.outcome is Outcome.OK
    assert reading.seen == (3, 3, 3)
    assert reading.mass == pytest.approx((0.875,) * 3)
    assert reading.probabilities[2][5] == pytest.approx(0.5 / 0.875)
    body = loopback.asked[-1][1]
    assert body["messages"][1]["content"].endswith("a\t-\nb\t-")
    assert body["messages"][2]["content"] == "a\t9\nb\t0"
    assert body["messages"][-1]["content"].endswith(" the\t-\n storm\t-\n40\t-")
    assert (body["logprobs"], body["top_logprobs"]) == (True, 20)


def test_one_slot_is_one_generated_position(loopback: Any, act: Any, chat: Any) -> None:
    loopback.script = reading_model(act, chat)
    ((_, reading),) = model(loopback.url).read_levels([ONE])
    assert reading.seen == (3,)
    body = loopback.asked[-1][1]
    assert [one["content"] for one in body["messages"][1:]] == ["fires on a\n\na\t", "9", "on b\n\nb\t"]
    assert body["max_tokens"] == 2


@pytest.mark.parametrize(("ten", "levels"), [(True, 11), (False, 10)])
def test_there_are_eleven_levels_where_ten_is_one_token(
    loopback: Any, act: Any, chat: Any, ten: bool, levels: int
) -> None:
    loopback.script = reading_model(act, chat, ten=ten)
    asked = model(loopback.url)
    assert asked.levels() == levels
    asked.levels()
    assert len(loopback.asked) == 1
    if not ten:
        with pytest.raises(NeuroglossError, match="can read 10 levels, not 11"):
            dict(asked.read_levels([SlottedPrompt(ONE.messages, ONE.parts, "", 11)]))


def test_a_line_that_is_not_copied_is_missing_and_moves_no_other(loopback: Any, act: Any, chat: Any) -> None:
    def script(path: str, body: dict[str, Any]) -> Any:
        text = copied(body).replace(" storm", "storm")
        return act(chat(text, tokens(text)))

    loopback.script = script
    ((_, reading),) = model(loopback.url).read_levels([LINES])
    assert [bool(seen) for seen in reading.seen] == [True, False, True]
    assert str(reading.probabilities[1][0]) == "nan"


def test_both_simulators_are_read(loopback: Any, act: Any, chat: Any, tmp_path: Path) -> None:
    loopback.script = reading_model(act, chat)
    words = (" the", "\n", " 40", "\t", '"', "<start>", "unknown", "�", " storm")
    query = Query(Explanation(Unit("N", 0, 0), text="storms", explainer="x"), words)
    with Store(tmp_path / "store.sqlite") as store:
        stored = StoredModel(model(loopback.url), store)
        (at_once,) = AllAtOnce(stored).simulate([query])
        (one_by_one,) = OneAtATime(stored).simulate([query])
        before = len(loopback.asked)
        AllAtOnce(StoredModel(model(loopback.url), store)).simulate([query])
    for found in (at_once, one_by_one):
        assert found.expected == pytest.approx([(5 * 0.5 + 7 * 0.25 + 2 * 0.125) / 0.875] * len(words))
    assert before == 1 + 1 + len(words)
    assert len(loopback.asked) == before, "the probe is stored too"


def test_a_server_without_log_probabilities_says_so_once(loopback: Any, act: Any, chat: Any, tmp_path: Path) -> None:
    loopback.script = lambda path, body: act(chat(copied(body, "10")))
    with Store(tmp_path / "store.sqlite") as store, pytest.raises(NeuroglossError, match=NO_LOGPROBS):
        StoredModel(model(loopback.url), store).read_levels([LINES])
    assert len(loopback.asked) == 1


# ----------------------------------------------------------------------------------------------------- echoed prompts


def echo(body: dict[str, Any], start: tuple[str, ...] = ()) -> dict[str, Any]:
    """The reply of a server that echoes, over a byte-wise tokenizer: level 3 is likely everywhere.

    A ``start`` token is listed before the others, as vLLM does, though the text does not hold it.
    """
    pieces = [*re.findall(r"\d+|.|\n", body["prompt"]), "9"]
    listed = [*start, *pieces]
    likeliest = [None, *({piece: -1.0, "3": -1.2, "4": -2.0} for piece in listed[1:])]
    logprobs = {"tokens": listed, "token_logprobs": [None] + [-0.1] * (len(listed) - 1), "top_logprobs": likeliest}
    return {"model": "tiny", "choices": [{"text": "".join(pieces), "finish_reason": "length", "logprobs": logprobs}]}


@pytest.mark.parametrize("start", [(), ("<s>",), ("<|begin_of_text|>",)])
def test_levels_are_read_from_an_echoed_prompt(loopback: Any, act: Any, start: tuple[str, ...]) -> None:
    loopback.script = lambda path, body: act(echo(body, start))
    asked = model(loopback.url, transport="prompt", api="completions")
    assert asked.levels() == 11
    ((_, reading),) = asked.read_levels([LINES])
    assert reading.seen == (2, 2, 2)
    assert reading.probabilities[0][3] > reading.probabilities[0][4] > 0
    path, body = loopback.asked[-1]
    assert path == "/completions"
    assert (body["echo"], body["logprobs"]) == (True, 20)
    assert body["prompt"].endswith("fires on storm\n the\t-\n storm\t-\n40\t-")


def test_a_server_that_ignores_echo_is_found_out(loopback: Any, act: Any) -> None:
    def script(path: str, body: dict[str, Any]) -> Any:
        content = [{"token": "9", "logprob": -0.1, "top_logprobs": [{"token": "9", "logprob": -0.1}]}]
        choice = {"text": "9", "finish_reason": "length", "logprobs": {"content": content}}
        return act({"model": "tiny", "choices": [choice]})

    loopback.script = script
    with pytest.raises(NeuroglossError, match=NO_ECHO):
        dict(model(loopback.url, transport="prompt", api="completions").read_levels([LINES]))


def test_a_server_that_refuses_echo_gives_the_same_sentence(loopback: Any, act: Any) -> None:
    loopback.script = lambda path, body: act({"error": {"message": "echo is not supported"}}, 400)
    with pytest.raises(NeuroglossError, match=f"{NO_ECHO}.*echo is not supported"):
        model(loopback.url, transport="prompt", api="completions").levels()


# ------------------------------------------------------------------------------------------------------ written levels


def test_levels_are_written_out(loopback: Any, act: Any, chat: Any) -> None:
    loopback.script = lambda path, body: act(chat(copied(body, "10")))
    asked = model(loopback.url, transport="text")
    assert asked.levels() == 11
    assert not loopback.asked
    ((_, reading),) = asked.read_levels([SlottedPrompt(LINES.messages, LINES.parts, "-", 11)])
    assert [row.index(1.0) for row in reading.probabilities] == [10, 10, 10]
    assert reading.seen == (1, 1, 1)


def test_levels_are_written_as_json(loopback: Any, act: Any, chat: Any) -> None:
    def script(path: str, body: dict[str, Any]) -> Any:
        rows = [line.split("\t")[0] for line in body["messages"][-1]["content"].rpartition("\n\n")[2].split("\n")]
        form = body["response_format"]["json_schema"]
        assert form["strict"] is True
        assert form["schema"]["properties"]["lines"]["maxItems"] == len(rows)
        return act(chat(json.dumps({"lines": [{"text": row, "level": index} for index, row in enumerate(rows)]})))

    loopback.script = script
    ((_, reading),) = model(loopback.url, transport="text", json_schema=True).read_levels([LINES])
    assert [row.index(1.0) for row in reading.probabilities] == [0, 1, 2]


def test_a_server_that_ignores_the_schema_is_found_out(loopback: Any, act: Any, chat: Any) -> None:
    loopback.script = lambda path, body: act(chat("Here you are!"))
    with pytest.raises(NeuroglossError, match=NO_SCHEMA):
        model(loopback.url, transport="text", json_schema=True).levels()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_reply_that_is_no_text_or_has_no_end_is_missing_levels(
    loopback: Any, act: Any, chat: Any, as_json: bool
) -> None:
    text = "[" * 100_000 if as_json else " the\t5\n storm\t5\n40\ud83d\t5"
    loopback.script = lambda path, body: act(chat(text))
    asked = model(loopback.url, transport="text", json_schema=as_json).with_capabilities(Capabilities(10))
    ((_, reading),) = asked.read_levels([LINES])
    assert reading.seen == ((0, 0, 0) if as_json else (1, 1, 0))


# ------------------------------------------------------------------------------------------ what a probe cannot tell


NOT_FOUND = {"error": {"message": "The model `tiny` does not exist", "code": "model_not_found"}}
TOO_LONG = {"error": {"message": "the context is 64 tokens", "code": "context_length_exceeded"}}


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [(404, NOT_FOUND, "does not exist"), (404, {"detail": "Not Found"}, "Not Found"), (400, TOO_LONG, "64 tokens")],
)
@pytest.mark.parametrize("transport", ["generated", "prompt"])
def test_what_any_request_is_refused_for_is_not_put_on_the_transport(
    loopback: Any, act: Any, transport: str, status: int, error: dict[str, Any], sentence: str
) -> None:
    loopback.script = lambda path, body: act(error, status)
    with pytest.raises(NeuroglossError, match=sentence) as raised:
        model(loopback.url, transport=transport).levels()
    assert PROBLEMS[transport] not in str(raised.value)


def test_a_missing_path_is_what_a_server_without_completions_gives(loopback: Any, act: Any) -> None:
    loopback.script = lambda path, body: act({"detail": "Not Found"}, 404)
    with pytest.raises(NeuroglossError, match=f"{NO_ECHO}.*Not Found"):
        model(loopback.url, transport="prompt", api="completions").levels()


@pytest.mark.parametrize(
    ("extra", "outcome"), [({"refusal": "I will not."}, "refused"), ({"finish": "length"}, "truncated")]
)
def test_a_probe_that_is_not_answered_says_why(
    loopback: Any, act: Any, chat: Any, extra: dict[str, Any], outcome: str
) -> None:
    loopback.script = lambda path, body: act(chat(None, **extra))
    with pytest.raises(NeuroglossError, match=rf"{NO_TRIAL} \({outcome}\)"):
        model(loopback.url).levels()


def test_a_server_that_gives_no_likeliest_tokens_is_found_out(loopback: Any, act: Any) -> None:
    logprobs = {"tokens": ["9"], "token_logprobs": [-0.1]}
    choice = {"text": "9", "finish_reason": "length", "logprobs": logprobs}
    loopback.script = lambda path, body: act({"model": "tiny", "choices": [choice]})
    with pytest.raises(NeuroglossError, match=f"{NO_ECHO}.*0 log-probabilities for 1 tokens"):
        model(loopback.url, transport="prompt", api="completions").levels()


# ------------------------------------------------------------------------------------------------------- identity, cost


def test_whatever_can_change_a_reply_changes_its_key() -> None:
    base: dict[str, Any] = {"name": "a", "base_url": "http://h/v1", "transport": "text"}
    shaping = {
        "name": "b",
        "base_url": "http://g/v1",
        "revision": "1",
        "api": "completions",
        "transport": "generated",
        "json_schema": True,
        "top_logprobs": 5,
        "max_tokens_field": "max_completion_tokens",
        "body": {"reasoning_effort": "low"},
    }
    others = {
        "api_key_env": "KEY",
        "answers_as": "c",
        "timeout": 1.0,
        "attempts": 1,
        "concurrency": 1,
        "requests_per_minute": 1.0,
        "tokens_per_minute": 1.0,
        "tokenizer": "somewhere",
        "usd_per_million_prompt_tokens": 1.0,
        "usd_per_million_completion_tokens": 1.0,
        "batch_price": 0.25,
    }
    arguments = set(inspect.signature(ServerModel).parameters)
    assert arguments == set(shaping) | set(others), "a new setting must be told apart here"

    def key(**change: Any) -> str:
        return key_of(ServerModel(**{**base, **change}).identity, COMPLETIONS.name, QUESTION)

    assert len({key(), *(key(**{name: value}) for name, value in shaping.items())}) == 1 + len(shaping)
    assert {key(**{name: value}) for name, value in others.items()} == {key()}


@pytest.mark.parametrize("prompt", [QUESTION, LINES, ONE])
@pytest.mark.parametrize("transport", ["prompt", "generated", "text"])
def test_the_cost_is_a_bound_that_needs_no_server(prompt: Any, transport: str) -> None:
    cost = model("http://127.0.0.1:9/v1", transport=transport, usd_per_million_prompt_tokens=1.0).cost(prompt)
    texts = [message.content for message in prompt.messages]
    assert cost.prompt_tokens >= sum(len(text.encode()) for text in texts)
    assert cost.usd == pytest.approx(cost.prompt_tokens / 1e6)


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({}, 5),
        ({"max_tokens": 4000}, 4000),
        ({"max_tokens": None, "max_completion_tokens": 4000}, 4000),
        ({"max_completion_tokens": 3}, 5),
        ({"n": 1}, 5),
    ],
)
def test_the_cost_is_that_of_the_body_that_is_sent(body: dict[str, Any], most: int) -> None:
    settings = {"body": body, "usd_per_million_completion_tokens": 1.0}
    cost = model("http://127.0.0.1:9/v1", **settings).cost(QUESTION)
    assert cost.completion_tokens == most
    assert cost.usd == pytest.approx(most / 1e6)


@pytest.mark.parametrize("transport", ["prompt", "generated", "text"])
def test_a_prompt_is_counted_in_tokens_where_the_tokenizer_is_named(tiny_llama: Path, transport: str) -> None:
    bound, counted = (
        model("http://127.0.0.1:9/v1", transport=transport, tokenizer=name).cost(LINES)
        for name in (None, str(tiny_llama))
    )
    tokenizer = weights.load_tokenizer(str(tiny_llama))
    fewest = sum(len(tokenizer(message.content)["input_ids"]) for message in LINES.messages)
    assert fewest < counted.prompt_tokens < bound.prompt_tokens
    assert counted.completion_tokens == bound.completion_tokens


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"transport": "guess"}, "write one of prompt, generated, text"),
        ({"api": "soap"}, "write one of chat, completions"),
        ({"json_schema": True}, "json_schema is for model.transport=text"),
        ({"concurrency": 0}, "write more than 0"),
        ({"timeout": float("nan")}, "timeout is nan; write more than 0"),
        ({"requests_per_minute": 0}, "requests_per_minute is 0; write more than 0, or null"),
        ({"requests_per_minute": -1.0}, "write more than 0, or null"),
        ({"tokens_per_minute": -1.0}, "write more than 0, or null"),
        ({"body": {"max_tokens": None}}, "leaves out max_tokens"),
        ({"body": {"max_completion_tokens": None}, "max_tokens_field": "max_completion_tokens"}, "leaves out max_comp"),
        ({"body": {"max_tokens": "many"}}, "max_tokens is 'many'; write a whole number"),
        ({"body": {"n": 8}}, r"model\.body\.n is 8; leave it out"),
        ({"body": {"best_of": 2}}, r"model\.body\.best_of is 2"),
        *(
            ({"base_url": url}, "write an address such as http://localhost:8000/v1")
            for url in (
                *("", "localhost:8000/v1", "127.0.0.1:9/v1", "ftp://h/v1", "http:///v1", "http://[::1/v1"),
                *("http://h:99999/v1", "http://h:x/v1", "http://h h/v1"),
            )
        ),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(NeuroglossError, match=sentence):
        ServerModel(**{"name": "tiny", "base_url": "http://127.0.0.1:9/v1", **settings})


@pytest.mark.parametrize("url", ["https://h/v1", "http://[::1]:8/v1", "http://localhost:8000/v1/"])
def test_an_address_is_taken(url: str) -> None:
    assert model(url).base_url == url.rstrip("/")


@pytest.mark.parametrize("key", ["sk-abc\r", "sk-abc\n", "sk abc", "sk-ab\u2019c"])
def test_a_key_that_can_be_none_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("TINY_KEY", key)
    with pytest.raises(NeuroglossError, match="TINY_KEY holds a character that no key has") as raised:
        dict(model("http://127.0.0.1:9/v1", api_key_env="TINY_KEY").complete([QUESTION]))
    assert key not in str(raised.value)


def test_slots_without_lines_are_refused(loopback: Any, act: Any, chat: Any) -> None:
    loopback.script = reading_model(act, chat)
    with pytest.raises(NeuroglossError, match="leaves its slots empty"):
        dict(model(loopback.url).read_levels([SlottedPrompt((Message("user", "x"),), ("a", "b"), "", 10)]))

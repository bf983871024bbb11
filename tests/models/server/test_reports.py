"""What servers do by public reports: each reply is read for what it says, or refused in one sentence that is true."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.models.server.capabilities import NO_ECHO, NO_LOGPROBS, Capabilities, Probe
from harness.models.server.model import ServerModel, slots, wire
from harness.models.server.pace import Backoff
from harness.models.server.wire import FailedAttempt, most_logprobs
from harness.types import CompletionPrompt, Message, NeuroglossError, Outcome, SlottedPrompt, Usage

QUESTION = CompletionPrompt((Message("user", "question"),), 8)
LINES = SlottedPrompt(
    (Message("user", "a"), Message("assistant", "a\t9"), Message("user", "b")),
    (" the\t", "\n storm\t", "\n40\t"),
    "-",
    10,
)
COPY = " the\t5\n storm\t5\n40\t5"


def server(url: str, **settings: Any) -> ServerModel:
    built = ServerModel("tiny", base_url=url, **{"attempts": 2, **settings})
    built.rules = replace(built.rules, backoff=Backoff(0.0, 0.0), timeout=5.0)
    return built


def chat_reply(content: object, logprobs: object = None, finish: str | None = "stop", **fields: Any) -> dict[str, Any]:
    choice = {"message": {"content": content}, "finish_reason": finish, "logprobs": logprobs}
    return {"model": "tiny", "choices": [choice], **fields}


def entries(*tokens: str, **likeliest: float) -> dict[str, Any]:
    top = [{"token": token, "logprob": logprob} for token, logprob in (likeliest or {"5": -0.1}).items()]
    return {"content": [{"token": token, "logprob": -0.1, "top_logprobs": top} for token in tokens]}


# ------------------------------------------------------------------------------------------------------- reasoning

BLOCKS = [
    "<think>\nhm\n</think>\n\n",
    "<think>\n\n</think>\n\n",
    "so it is\n</think>\n",  # the prompt has opened it
    "<thinking>a\t1</thinking>",
    "[THINK]hm[/THINK]",
    "◁think▷hm◁/think▷\n",
    "<|START_THINKING|>hm<|END_THINKING|>",
    "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>",
    "\n",
    " \n\n",
    "```\n",
    "<think>hm</think>\n```\n",
    "",
    " ",
]


@pytest.mark.parametrize("block", BLOCKS)
def test_what_stands_before_the_answer_loses_no_level(block: str) -> None:
    lines = slots.spoken(LINES).lines
    levels = slots.written(block + COPY, lines, 10, Usage())
    assert [shares.index(1.0) for shares in levels.probabilities if not math.isnan(shares[0])] == [5, 5, 5]
    pieces = [wire.Position(character.encode(), ((character.encode(), -0.1),)) for character in block + COPY]
    positions = slots.positions_of_lines(pieces, lines)
    assert [position and position.text for position in positions] == [b"5"] * 3


def test_a_space_that_the_server_trims_loses_no_level() -> None:
    lines = slots.spoken(LINES).lines
    assert slots.written(COPY.strip(), lines, 10, Usage()).seen == (1, 1, 1)
    assert slots.written(COPY.replace(" storm", "storm"), lines, 10, Usage()).seen == (1, 0, 1), "only at the start"


def test_one_level_is_read_behind_reasoning_and_in_json_too() -> None:
    assert slots.written("<think>3</think>\n 5", [""], 10, Usage()).seen == (1,)
    reading = slots.written_json('<think>{"level": 3}</think>\n{"level": 5}', ["a\t"], 10, Usage())
    assert reading.probabilities[0].index(1.0) == 5


@pytest.mark.parametrize("word", ["<think>", "</think>", "[THINK]", "```"])
def test_an_excerpt_may_hold_the_marks_of_reasoning(word: str) -> None:
    text = f"{word}\t5\nb\t3\n{word}\t2"
    assert slots.written(text, [f"{word}\t", "b\t", f"{word}\t"], 10, Usage()).seen == (1, 1, 1)


def test_a_reply_that_ends_within_its_reasoning_is_missing(loopback: Any, act: Any) -> None:
    loopback.script = lambda path, body: act(chat_reply(f"<think>{COPY}", finish="length"))
    ((_, reading),) = server(loopback.url, transport="text").read_levels([LINES])
    assert (reading.outcome, reading.seen) == (Outcome.TRUNCATED, (0, 0, 0))


def test_log_probabilities_of_reasoning_that_the_content_leaves_out_are_not_the_reply_s() -> None:
    with pytest.raises(FailedAttempt, match="not those of the text"):
        wire.answer(chat_reply("5", entries("hm", "</think>", "5")), wire.CHAT)


# ----------------------------------------------------------------------------------------------------------- parts

THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}


def test_the_text_parts_of_a_reply_are_its_text(loopback: Any, act: Any) -> None:
    parts = [THOUGHT, {"type": "text", "text": "words for "}, {"type": "text", "text": "weather"}]
    loopback.script = lambda path, body: act(chat_reply(parts))
    ((_, reply),) = server(loopback.url).complete([QUESTION])
    assert (reply.text, reply.outcome) == ("words for weather", Outcome.OK)


def test_parts_without_a_text_end_a_run_at_once(loopback: Any, act: Any) -> None:
    loopback.script = lambda path, body: act(chat_reply([THOUGHT, {"type": "image_url", "image_url": {}}]))
    with pytest.raises(NeuroglossError, match=r"in parts \(image_url, thinking\) without a text; choose a model"):
        list(server(loopback.url).complete([QUESTION]))
    assert len(loopback.asked) == 1


@pytest.mark.parametrize(
    ("parts", "finish", "outcome"),
    [
        ([THOUGHT], "length", Outcome.TRUNCATED),
        ([], "stop", Outcome.EMPTY),
        ([{"type": "refusal", "refusal": "I will not."}], "stop", Outcome.REFUSED),
    ],
)
def test_parts_have_outcomes_like_texts(parts: list[Any], finish: str, outcome: Outcome) -> None:
    assert wire.answer(chat_reply(parts, finish=finish), wire.CHAT).outcome is outcome


@pytest.mark.parametrize("parts", [["text"], [3], [{"type": "text"}], [{"type": "text", "text": 3}], [None]])
def test_parts_of_no_form_are_asked_for_again(parts: list[Any]) -> None:
    with pytest.raises(FailedAttempt):
        wire.answer(chat_reply(parts), wire.CHAT)


# ---------------------------------------------------------------------------------------- limits of log-probabilities


@pytest.mark.parametrize(
    ("complaint", "most"),
    [
        ("Invalid value for 'top_logprobs': must be less than or equal to 5.", 5),
        ("Cannot request more than 5 logprobs.", 5),
        ("Requested sample logprobs of 20, which is greater than max allowed: 5", 5),
        ("{'loc': ['body', 'top_logprobs'], 'msg': 'Input should be less than or equal to 8', 'ctx': {'le': 8}}", 8),
        ("logprobs must be between 0 and 5", 5),
        ("logprobs must be in the range [0, 5]", 5),
        ("top_logprobs must be less than 6", 5),
        ("logprobs exceeds the limit", 0),
        ("logprobs are not supported by this model", None),
        ("the maximum context length is 16 tokens", None),
        ("the model gpt-4-1 gives no logprobs", None),
    ],
)
def test_the_limit_that_a_server_names_is_found(complaint: str, most: int | None) -> None:
    assert most_logprobs(complaint, 20) == most


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "top_logprobs"),
        ({"api": "completions"}, "logprobs"),
        ({"api": "completions", "transport": "prompt"}, "logprobs"),
        ({"transport": "prompt"}, "prompt_logprobs"),
    ],
)
def test_a_limit_of_log_probabilities_is_not_put_on_the_transport(
    loopback: Any, act: Any, settings: dict[str, Any], field: str
) -> None:
    error = {"message": "must be less than or equal to 5", "type": "invalid", "param": field, "code": "above_max"}
    loopback.script = lambda path, body: act({"error": error}, 400)
    with pytest.raises(NeuroglossError, match=r"at most 5 log-probabilities.*set model.top_logprobs=5 ") as raised:
        server(loopback.url, **settings).levels()
    assert "use transport" not in str(raised.value)


def test_a_limit_of_one_leaves_no_distribution(loopback: Any, act: Any) -> None:
    loopback.script = lambda path, body: act({"error": {"message": "logprobs must be at most 1"}}, 400)
    with pytest.raises(NeuroglossError, match=NO_LOGPROBS):
        server(loopback.url).levels()


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported with this model.", "set model.max_tokens_field"),
        ("'temperature' does not support 0.0 with this model.", r"'model.body={temperature: null}'"),
    ],
)
@pytest.mark.parametrize("transport", ["generated", "text"])
def test_a_field_that_a_model_does_not_take_is_named_with_what_to_set(
    loopback: Any, act: Any, message: str, remedy: str, transport: str
) -> None:
    loopback.script = lambda path, body: act({"error": {"message": message, "code": "unsupported"}}, 400)
    with pytest.raises(NeuroglossError) as raised:
        list(server(loopback.url, transport=transport).read_levels([LINES]))
    assert remedy in str(raised.value)
    assert NO_LOGPROBS not in str(raised.value)
    assert len(loopback.asked) == 1


# ----------------------------------------------------------------------------------------------- log-probabilities


def test_log_probabilities_in_the_form_of_completions_are_read_in_a_chat() -> None:
    old = {"tokens": ["5"], "token_logprobs": [-0.5], "top_logprobs": [{"4": -1.0}]}
    (position,) = wire.answer(chat_reply("5", old), wire.CHAT).positions or ()
    assert dict(position.top) == {b"5": -0.5, b"4": -1.0}


@pytest.mark.parametrize(
    "entry",
    [
        {"token": " hello", "bytes": list("Ġhello".encode()), "logprob": -0.1, "top_logprobs": []},
        {"token": "token_id:12", "logprob": -0.1, "top_logprobs": []},
    ],
)
def test_tokens_that_are_spelled_otherwise_are_no_tokens_of_the_text(entry: dict[str, Any]) -> None:
    with pytest.raises(FailedAttempt, match="not those of the text"):
        wire.answer(chat_reply(" hello", {"content": [entry]}), wire.CHAT)


def test_a_null_among_the_likeliest_is_left_out() -> None:
    (position,) = wire.answer(chat_reply("5", entries("5", **{"4": None, "3": -2.0})), wire.CHAT).positions or ()  # type: ignore[arg-type]
    assert dict(position.top) == {b"5": -0.1, b"3": -2.0}
    old = {"tokens": ["5"], "token_logprobs": [-0.5], "top_logprobs": [{"4": None, "5": -0.5}]}
    (position,) = wire.answer(chat_reply("5", old), wire.CHAT).positions or ()
    assert dict(position.top) == {b"5": -0.5}
    row = {"7": {"decoded_token": "-", "logprob": None}, "8": {"decoded_token": "3", "logprob": -0.3}}
    (place,) = wire.answer(chat_reply("x", prompt_logprobs=[row]), wire.CHAT).prompt or ()
    assert (place.text, place.top) == (b"-", ((b"3", -0.3),))


def test_a_null_of_the_written_token_or_of_all_is_refused() -> None:
    written = entries("5")
    written["content"][0]["logprob"] = None
    with pytest.raises(FailedAttempt, match="a log-probability of None"):
        wire.answer(chat_reply("5", written), wire.CHAT)
    row = {"7": {"decoded_token": "-", "logprob": None}}
    with pytest.raises(FailedAttempt, match="without log-probabilities"):
        wire.answer(chat_reply("x", prompt_logprobs=[None, row]), wire.CHAT)


# ------------------------------------------------------------------------------------- log-probabilities of prompts


class Echoing:
    """A server that echoes prompts over single characters.

    ``stale`` makes it give other log-probabilities wherever it has seen the beginning of a prompt before, as vLLM does
    with prefix caching.
    """

    def __init__(self, stale: bool) -> None:
        self.stale = stale
        self.prompts: list[str] = []

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["prompt"]
        known = max((len(shared(prompt, earlier)) for earlier in self.prompts), default=0)
        self.prompts.append(prompt)
        pieces = [*prompt.replace("10", "X"), "9"]
        tops = [{piece: -1.0, "3": -1.2 - 1e-9 * (self.stale and place < known)} for place, piece in enumerate(pieces)]
        tokens = ["10" if piece == "X" else piece for piece in pieces]
        logprobs = {
            "tokens": tokens,
            "token_logprobs": [None] + [-1.0] * len(prompt),
            "top_logprobs": [None, *tops[1:]],
        }
        logprobs["token_logprobs"] = [None] + [-1.0] * (len(tokens) - 1)
        choice = {"text": "".join(tokens), "finish_reason": "length", "logprobs": logprobs}
        return {"model": "tiny", "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}


def shared(first: str, second: str) -> str:
    length = next((place for place, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), None)
    return first[: min(len(first), len(second)) if length is None else length]


def test_prompts_whose_log_probabilities_change_with_their_order_are_refused(loopback: Any, act: Any) -> None:
    echoing = Echoing(stale=True)
    loopback.script = lambda path, body: act(echoing.reply(body))
    for _ in range(2):  # the second time, the server has seen the probe before
        with pytest.raises(NeuroglossError, match=r"--no-enable-prefix-caching, or use model.transport=generated\.$"):
            server(loopback.url, transport="prompt", api="completions").levels()


def test_the_probe_of_a_prompt_asks_it_alone_and_after_a_sibling_and_counts_all_three(loopback: Any, act: Any) -> None:
    echoing = Echoing(stale=False)
    loopback.script = lambda path, body: act(echoing.reply(body))
    asked = server(loopback.url, transport="prompt", api="completions")
    ((_, capabilities),) = asked.probe([Probe()])
    first, sibling, last = echoing.prompts
    assert first == last != sibling
    assert len(shared(first, sibling)) > 0.8 * len(first), "they share all but their own turn"
    assert (capabilities.problem, capabilities.levels, capabilities.usage) == ("", 11, Usage(3, 0, 9, 3))
    assert asked.probe_cost(Probe()).requests == 3
    assert asked.probe_cost(Probe()).prompt_tokens >= len(first + sibling + last)
    list(asked.probe([Probe()]))
    assert len(shared(first, echoing.prompts[-1])) < 20, "what a server has stored of an earlier probe is not asked for"


def test_the_other_transports_are_probed_by_one_request(loopback: Any, act: Any, chat: Any) -> None:
    loopback.script = lambda path, body: act(chat("lamp\t10", [("lamp\t", {"a": 0.5, "b": 0.2}), ("10", {"10": 0.9})]))
    assert server(loopback.url).levels() == 11
    assert len(loopback.asked) == 1


@pytest.mark.parametrize("spoil", [lambda rows: rows[:-1], lambda rows: [None] * len(rows)])
def test_log_probabilities_of_another_prompt_or_of_a_part_are_asked_for_again_and_never_read(
    loopback: Any, act: Any, spoil: Callable[[list[Any]], list[Any]]
) -> None:
    text = "".join(f"{part}-" for part in LINES.parts)
    rows = [None, *({"7": {"decoded_token": piece, "logprob": -0.1}} for piece in text)]
    asked = server(loopback.url, transport="prompt").with_capabilities(Capabilities(10))
    loopback.script = lambda path, body: act(chat_reply("x", prompt_logprobs=rows))
    ((_, reading),) = asked.read_levels([LINES])
    assert reading.outcome is Outcome.OK
    loopback.script = lambda path, body: act(chat_reply("x", prompt_logprobs=spoil(rows)))
    with pytest.raises(NeuroglossError, match="of another prompt, or of a part of it"):
        list(server(loopback.url, transport="prompt").with_capabilities(Capabilities(10)).read_levels([LINES]))


def test_tokens_of_a_prompt_without_a_text_are_not_those_of_the_prompt(loopback: Any, act: Any) -> None:
    row = {"7": {"decoded_token": None, "logprob": -0.1}}
    loopback.script = lambda path, body: act(chat_reply("x", prompt_logprobs=[None, row, row]))
    with pytest.raises(NeuroglossError, match=NO_ECHO):
        server(loopback.url, transport="prompt").levels()


# ------------------------------------------------------------------------------------------------------------- HTTP

GOOD = json.dumps(chat_reply("words", usage={"prompt_tokens": 7, "completion_tokens": 3})).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
LENGTH = b"content-length: %d\r\n\r\n"
WHOLE = HEAD + LENGTH % len(GOOD) + GOOD

READ = {
    "no length": HEAD + b"\r\n" + GOOD,
    "HTTP/1.0": HEAD.replace(b"1.1", b"1.0") + b"\r\n" + GOOD,
    "100-continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + WHOLE,
    "chunked": CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD),
    "status 203": WHOLE.replace(b"200 OK", b"203 Non-Authoritative"),
    "finish_reason null": WHOLE.replace(b'"stop"', b"null  "),
}
REFUSED = {
    "no content type": WHOLE.replace(b"content-type: application/json\r\n", b""),
    "HTTP/0.9": GOOD,
    "longer than it says": HEAD + LENGTH % (len(GOOD) - 20) + GOOD,
    "shorter than it says": HEAD + LENGTH % (len(GOOD) + 20) + GOOD,
    "a negative length": HEAD + b"content-length: -5\r\n\r\n" + GOOD,
    "two lengths": HEAD + b"content-length: 5\r\n" + LENGTH % len(GOOD) + GOOD,
    "chunks of no number": CHUNKED + b"zz\r\n" + GOOD,
    "a chunk without end": CHUNKED + b"ffffffffffff\r\n" + GOOD,
    "only 100-continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    "headers without end": HEAD + b"x: y\r\n" * 50_000,
    "a header of a megabyte": HEAD + b"x: " + b"y" * (1 << 20) + b"\r\n" + LENGTH % len(GOOD) + GOOD,
    "status 204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "status 299 without body": b"HTTP/1.1 299 X\r\ncontent-length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 X\r\ncontent-length: 2\r\n\r\n{}",
    "status 99": b"HTTP/1.1 99 X\r\ncontent-length: 2\r\n\r\n{}",
    "events": HEAD.replace(b"application/json", b"text/event-stream") + b"\r\ndata: " + GOOD + b"\n\ndata: [DONE]\n\n",
    "not UTF-8": HEAD + LENGTH % 4 + b'"\xff\xfe"',
    "an unknown coding": HEAD + b"content-encoding: x-evil\r\n" + LENGTH % len(GOOD) + GOOD,
    "nothing": b"",
}


@pytest.mark.parametrize("name", READ)
def test_a_reply_in_an_unusual_envelope_is_read(loopback: Any, act: Any, name: str) -> None:
    loopback.script = lambda path, body: act(raw=READ[name])
    ((_, reply),) = server(loopback.url).complete([QUESTION])
    assert (reply.text, reply.outcome) == ("words", Outcome.OK)


@pytest.mark.parametrize("name", REFUSED)
def test_an_envelope_that_is_broken_is_a_sentence(loopback: Any, act: Any, name: str) -> None:
    loopback.script = lambda path, body: act(raw=REFUSED[name])
    try:
        ((_, reply),) = server(loopback.url).complete([QUESTION])
    except NeuroglossError as error:
        assert "\n" not in str(error)  # noqa: PT017  # some end as an outcome, some as a sentence
    else:
        assert (reply.text, reply.outcome) == ("", Outcome.FAILED)


@pytest.mark.parametrize("count", [-5, 10**30, "7", None, math.nan])
def test_a_count_that_is_none_costs_the_most_that_it_can(loopback: Any, act: Any, count: object) -> None:
    loopback.script = lambda path, body: act(chat_reply("words", usage={"prompt_tokens": count}))
    asked = server(loopback.url)
    ((_, reply),) = asked.complete([QUESTION])
    assert reply.usage == asked.cost(QUESTION)


# ------------------------------------------------------------------------------------------- further public reports


def token(text: str, logprob: float = -0.1, **likeliest: float) -> dict[str, Any]:
    top = [{"token": other, "logprob": value, "bytes": list(other.encode())} for other, value in likeliest.items()]
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": top}


@pytest.mark.parametrize(
    "text",
    [
        " the\t5\n\n storm\t5\n\n40\t5",
        " the\t5\r\n\r\n storm\t5\r\n40\t5\r\n",
        " the 5\n storm 5\n40 5",
        "the 5\n storm\t5\n40\t5",
        " the\t5.0\n storm\t5.0\n40\t5.0",
        " the\t5\n storm\t5\n40\t5\n\n",
    ],
)
def test_ways_to_copy_lines_lose_no_level(text: str) -> None:
    """https://github.com/openai/automated-interpretability/pull/34: no separator, and a line end too many."""
    reading = slots.written(text, slots.spoken(LINES).lines, 10, Usage())
    assert [shares.index(1.0) for shares in reading.probabilities if not math.isnan(shares[0])] == [5, 5, 5]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (" the 5\n storm\n40 5", (1, 0, 1)),
        (" the\t5\n\t5\n40\t5", (1, 0, 1)),
        (" the 5.5\n storm -5\n40 0.5", (0, 0, 0)),
    ],
)
def test_what_is_no_copy_or_no_level_stays_missing(text: str, seen: tuple[int, ...]) -> None:
    assert slots.written(text, slots.spoken(LINES).lines, 10, Usage()).seen == seen


def test_the_token_that_was_written_tells_the_place_of_a_level_even_if_another_was_likelier() -> None:
    """https://github.com/EleutherAI/delphi/pull/47: the likeliest token, a space, was taken for the one written."""
    pieces = [token(" the"), token("\t"), token("5", -1.2, **{" ": -0.6, "5": -1.2, "6": -2.2})]
    answer = wire.answer(chat_reply(" the\t5", {"content": pieces}), wire.CHAT)
    reading = slots.reading(slots.positions_of_lines(answer.positions or (), [" the\t"]), 10, Usage())
    five, six = math.exp(-1.2), math.exp(-2.2)
    assert reading.probabilities[0][5:7] == pytest.approx((five / (five + six), six / (five + six)))


@pytest.mark.parametrize(
    ("reply", "settings", "problem"),
    [
        # https://github.com/vllm-project/vllm-metal/issues/680: a placeholder in place of a token each
        (chat_reply("5", prompt_logprobs=[None]), {"transport": "prompt"}, NO_ECHO),
        # https://github.com/vllm-project/vllm/issues/27477: the first prompt token is null, the rest are there
        (
            chat_reply("5", prompt_logprobs=[None, {"1": {"logprob": -1.0, "rank": 1, "decoded_token": "a"}}]),
            {"transport": "prompt"},
            NO_ECHO,
        ),
        # https://github.com/ggml-org/llama.cpp/issues/27174: echo is ignored, so that all log-likelihoods are 0
        (
            {"model": "tiny", "choices": [{"text": " 5", "logprobs": {"content": [token(" 5", **{" 5": -0.1})]}}]},
            {"transport": "prompt", "api": "completions"},
            NO_ECHO,
        ),
        # https://github.com/ggml-org/llama.cpp/issues/11346: null, though they were asked for
        (
            {"model": "tiny", "choices": [{"text": " Ge", "finish_reason": "length", "logprobs": None}]},
            {"api": "completions"},
            NO_LOGPROBS,
        ),
        # https://github.com/vllm-project/vllm/issues/5334: tokens of other texts than the prompt's
        (
            {
                "model": "tiny",
                "choices": [
                    {
                        "text": "1. Carol",
                        "logprobs": {
                            "tokens": ["<s>", "1", "\n Carol"],
                            "token_logprobs": [None, -1.0, -1.0],
                            "top_logprobs": [None, {"1": -1.0}, {"x": -1.0}],
                        },
                    }
                ],
            },
            {"transport": "prompt", "api": "completions"},
            NO_ECHO,
        ),
        # https://github.com/InternLM/lmdeploy/issues/2802: tokens as the vocabulary spells them
        (chat_reply(" the", {"content": [token("\u0120the", **{"\u0120the": -0.1})]}), {}, "not those of the text"),
    ],
)
def test_log_probabilities_that_are_not_there_are_no_zeros(
    loopback: Any, act: Any, reply: dict[str, Any], settings: dict[str, Any], problem: str
) -> None:
    loopback.script = lambda path, body: act(reply)
    with pytest.raises(NeuroglossError, match=re.escape(problem)):
        server(loopback.url, **settings).levels()


def test_log_probabilities_of_a_chat_in_the_form_of_completions_are_read() -> None:
    """https://github.com/abetlen/llama-cpp-python/issues/1787"""
    logprobs = {
        "tokens": ["a", "\t", "5"],
        "token_logprobs": [-0.1, -0.1, -0.1],
        "top_logprobs": [{"a": -0.1}, {"\t": -0.1}, {"5": -0.1, "6": -2.5}],
        "text_offset": [0, 1, 2],
    }
    positions = wire.answer(chat_reply("a\t5", logprobs), wire.CHAT).positions or ()
    assert positions[2] == wire.Position(b"5", ((b"5", -0.1), (b"6", -2.5)))


@pytest.mark.parametrize("path", ["/chat/completions", "/completions", "/chat/completions/"])
def test_an_address_with_the_endpoint_in_it_is_refused_with_the_one_to_write(path: str) -> None:
    """https://github.com/EleutherAI/lm-evaluation-harness/issues/2402: there it is written so."""
    with pytest.raises(NeuroglossError, match=r"is added; write http://localhost:8000/v1\.$"):
        ServerModel("tiny", base_url=f"http://localhost:8000/v1{path}")
    assert ServerModel("tiny", base_url="http://localhost:8000/v1/").base_url == "http://localhost:8000/v1"


def test_an_endpoint_that_is_not_there_is_not_put_on_the_transport(loopback: Any, act: Any) -> None:
    """https://github.com/microsoft/autogen/issues/2514: LM Studio answers it with status 200."""
    loopback.script = lambda path, body: act({"error": "Unexpected endpoint or method. (POST /chat/completions)"})
    with pytest.raises(NeuroglossError, match=r"\(POST /chat/completions\).*; check model\.base_url\.$"):
        server(loopback.url).levels()
    with pytest.raises(NeuroglossError, match=r"check model\.base_url\.$"):
        list(server(loopback.url).complete([replace(QUESTION, seed=seed) for seed in range(9)]))

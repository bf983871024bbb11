"""What goes to an OpenAI-compatible server and what comes back: bodies of requests, and replies read without trust.

A reply is a decoded JSON document of which nothing is taken for granted: whatever cannot be read is an :class:`Again`
with its reason, never an empty answer and never a zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from harness.models.pace import retry_after_seconds
from harness.types import Message, NeuroglossError, Outcome, Usage

CHAT, COMPLETIONS = "chat", "completions"

PATHS = {CHAT: "/chat/completions", COMPLETIONS: "/completions"}

UNREADABLE = "\ufffd".encode()
"""What servers write in place of a token that is no whole character."""

LATER = "what was answered is kept, so run again when it is better"

_ENDLESS = 2**53  # tokens; a float holds every whole number below it
_NEVER = -9000.0  # servers write -9999 for "not among the likeliest", which is no measurement
_CONGESTED = (408, 429, 504)
_PASSING = (*_CONGESTED, 409, 425)
_REJECTED = (400, 404, 405, 415, 422, 501)
_REFUSALS = ("content_filter", "content_policy_violation", "invalid_prompt", "ResponsibleAIPolicyViolation")
_ANYHOW = ("model_not_found", "context_length_exceeded", "exceed_context_size_error")
_SPENT = "insufficient_quota"


class Again(Exception):  # noqa: N818  # not every attempt that comes to nothing is an error
    """An attempt that came to nothing; another one may do better.

    Attributes:
        reason: what happened, in a few words.
        retry_after: seconds that the server asks to wait, if it does.
        congested: whether fewer requests should be under way at once.
        remedy: what to do where every request fares like this; a run in which none succeeds is ended with it.
        usage: what the server says that the attempt cost, where the caller has filled it in.
    """

    def __init__(
        self,
        reason: str,
        *,
        retry_after: float | None = None,
        congested: bool = False,
        remedy: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.congested = congested
        self.remedy = remedy
        self.usage = Usage()


class Rejected(NeuroglossError):  # noqa: N818  # named by what happened
    """The server will not do what a request asks for: no second attempt mends that.

    Attributes:
        status: of the response.
        anyhow: whether another way of asking would be refused too, by what the server says.
    """

    def __init__(self, sentence: str, status: int = 0, anyhow: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.anyhow = anyhow


@dataclass(frozen=True, slots=True)
class Position:
    """One token of a reply, or of an echoed prompt: its bytes, and the likeliest tokens there with their natural
    log-probabilities, itself among them; none where the server gives none (the first token of a prompt)."""

    text: bytes
    top: tuple[tuple[bytes, float], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply that could be read.

    Attributes:
        text: what the model wrote; with ``echo``, behind the prompt.
        outcome: what became of the request.
        positions: the tokens of ``text``; None where the reply holds no log-probabilities.
        usage: what it cost, without a price; None where the server does not count.
        prompt: the tokens of the prompt, from vLLM's ``prompt_logprobs``; None where the reply holds none.
    """

    text: str
    outcome: Outcome
    positions: tuple[Position, ...] | None = None
    usage: Usage | None = None
    prompt: tuple[Position, ...] | None = None


# ---------------------------------------------------------------------------------------------------------- requests


def chat_body(messages: Sequence[Message]) -> dict[str, Any]:
    """The part of a chat request that holds the conversation."""
    return {"messages": [{"role": one.role, "content": valid(one.content)} for one in messages]}


def text_body(messages: Sequence[Message], turn: str = "") -> dict[str, Any]:
    """The same for plain completions: see :func:`plain_text`."""
    return {"prompt": plain_text(messages, turn)}


def plain_text(messages: Sequence[Message], turn: str = "") -> str:
    """A conversation without a chat template, up to and including the assistant's ``turn``: the turns of a user end a
    line, all others end a paragraph, as where a model in this process has no template."""
    ended = [one.content + ("\n" if one.role == "user" else "\n\n") for one in messages]
    return valid("".join(ended) + turn)


def valid(text: str) -> str:
    """``text`` as UTF-8 can hold it: a lone surrogate becomes a question mark."""
    return _bytes_of(text).decode("utf-8")


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "replace")


# ----------------------------------------------------------------------------------------------------------- replies


def answer(document: object, api: str) -> Answer:
    """What a reply says.

    Args:
        document: the decoded JSON, or whatever else came.
        api: ``chat`` or ``completions``.

    Raises:
        Again: it is no such reply, or is not whole.
    """
    try:
        return _choice(document, api)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, OverflowError) as error:
        raise Again(f"a reply of the wrong form ({type(error).__name__}: {error})") from error


def model_named(document: object) -> str:
    """The model that a reply says it is from; empty where it does not say."""
    name = document.get("model") if isinstance(document, Mapping) else None
    return name if isinstance(name, str) else ""


def _choice(document: Any, api: str) -> Answer:
    if not isinstance(document, Mapping):
        raise Again("a reply that is no JSON object")
    if document.get("error"):
        raise Again(f"an error in place of a reply ({_message(document)})")
    if not document["choices"]:
        raise Again("a reply without choices")
    first = document["choices"][0]
    finish, logprobs = first.get("finish_reason"), first.get("logprobs")
    if api == CHAT:
        content, refusal = first["message"].get("content"), first["message"].get("refusal")
    else:
        content, refusal = first["text"], None
    text = _text(refusal or content)
    positions = None if logprobs is None else _positions(logprobs)
    if positions is not None and not refusal:
        positions = _of_text(text, positions)
    rows = document.get("prompt_logprobs", first.get("prompt_logprobs"))
    prompt = None if rows is None else tuple(_prompt_position(row) for row in rows)
    return Answer(text, _outcome(text, finish, bool(refusal)), positions, usage_of(document), prompt)


def _text(content: object) -> str:
    if content is None:
        return ""
    if not isinstance(content, str):
        raise TypeError(f"the content is a {type(content).__name__}")
    return valid(content)


def _outcome(text: str, finish: object, refused: bool) -> Outcome:
    if refused or finish == "content_filter":
        return Outcome.REFUSED
    if finish == "length":
        return Outcome.TRUNCATED
    return Outcome.OK if text.strip() else Outcome.EMPTY


def usage_of(document: object) -> Usage | None:
    """What a reply says that it cost, in tokens; None where it does not say."""
    counted = document.get("usage") if isinstance(document, Mapping) else None
    if not isinstance(counted, Mapping):
        return None
    prompt, completion = (counted.get(name) for name in ("prompt_tokens", "completion_tokens"))
    completion = 0 if completion is None else completion
    return Usage(1, 0, prompt, completion) if _is_count(prompt) and _is_count(completion) else None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value < _ENDLESS


def _positions(logprobs: Mapping[str, Any]) -> tuple[Position, ...] | None:
    """Log-probabilities in the form of chat, or in that of completions; None where there are none."""
    if logprobs.get("content") is not None:
        return tuple(_chat_position(entry) for entry in logprobs["content"])
    if logprobs.get("tokens") is None:
        return None
    tokens, tops = logprobs["tokens"], logprobs.get("top_logprobs") or []
    own = logprobs["token_logprobs"]
    if not len(tokens) == len(tops) == len(own):
        raise Again(f"{len(tops)} log-probabilities for {len(tokens)} tokens")
    return tuple(_text_position(*entry) for entry in zip(tokens, own, tops, strict=True))


def _chat_position(entry: Mapping[str, Any]) -> Position:
    likeliest = {_bytes(one): _logprob(one["logprob"]) for one in entry["top_logprobs"]}
    text = _bytes(entry)
    likeliest.setdefault(text, _logprob(entry["logprob"]))
    return Position(text, _measured(likeliest.items()))


def _bytes(entry: Mapping[str, Any]) -> bytes:
    given = entry.get("bytes")
    return bytes(given) if given is not None else _bytes_of(str(entry["token"]))


def _text_position(token: str, own: float | None, top: Mapping[str, float] | None) -> Position:
    written = _bytes_of(token)
    if own is None or top is None:
        return Position(written, ())
    likeliest = {_bytes_of(text): _logprob(value) for text, value in top.items()}
    likeliest.setdefault(written, _logprob(own))
    return Position(written, _measured(likeliest.items()))


def _prompt_position(row: Mapping[str, Any] | None) -> Position:
    """A token of vLLM's ``prompt_logprobs``: its entries are by token id, the prompt's own token first, and tokens that
    differ may be written alike; of the first token of all there are none, not even what it is."""
    if row is None:
        return Position(UNREADABLE, ())
    entries = [(_bytes_of(str(entry["decoded_token"])), _logprob(entry["logprob"])) for entry in row.values()]
    return Position(entries[0][0], _measured(entries))


def _logprob(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value > 0.01:
        raise Again(f"a log-probability of {value!r}")
    return float(value)


def _measured(likeliest: Iterable[tuple[bytes, float]]) -> tuple[tuple[bytes, float], ...]:
    return tuple((text, value) for text, value in likeliest if value > _NEVER)


def _of_text(text: str, positions: tuple[Position, ...]) -> tuple[Position, ...]:
    """The log-probabilities of the text: all of them, or all but those of a start token, which stands before the text
    and has none; a server that echoes may list it."""
    without_start = positions[1:] if positions and not positions[0].top else positions
    for some in (positions, without_start):
        if _cover(text, some):
            return some
    raise Again(f"log-probabilities of {len(positions)} tokens, which are not those of the text")


def _cover(text: str, positions: Sequence[Position]) -> bool:
    """Whether log-probabilities cover the text; they may cover more (an end token), and the server may trim the text.

    Spaces do not count: some tokenizers lose them where tokens are decoded one by one; nor what comes after a token
    that is no whole character.
    """
    covered = b"".join(position.text for position in positions).replace(b" ", b"").strip()
    said = _bytes_of(text.strip().rstrip("\ufffd").replace(" ", ""))
    readable, unreadable, _ = covered.partition(UNREADABLE)
    return covered.startswith(said) or bool(unreadable and said.startswith(readable))


# ---------------------------------------------------------------------------------------------------------- troubles


def refusal(status: int, body: object) -> Answer | None:
    """The answer that an error stands for, where it says that the model's provider refuses what is asked."""
    codes = {_field(body, "code"), _field(body, "type")}
    return Answer("", Outcome.REFUSED, usage=Usage(1)) if status == 400 and codes & set(_REFUSALS) else None


def trouble(status: int, header: Callable[[str], str | None], body: object, where: str) -> Again | NeuroglossError:
    """What an HTTP status of 400 or more means: another attempt may help, or none ever will.

    Args:
        status: of the response.
        header: gives a header's value by its name.
        body: of the response, decoded where it is JSON.
        where: the model and its server, for the message.
    """
    if _field(body, "code") != _SPENT and (status in _PASSING or (status >= 500 and status != 501)):
        wait = retry_after_seconds(header("retry-after"))
        return Again(f"status {status}", retry_after=wait, congested=status in _CONGESTED, remedy=LATER)
    sentence = f"{where} refuses the request (status {status}: {_message(body)}); {_remedy(status)}."
    if status in _REJECTED:
        return Rejected(sentence, status, bool({_field(body, "code"), _field(body, "type")} & set(_ANYHOW)))
    return NeuroglossError(sentence)


def _remedy(status: int) -> str:
    nothing_left = "the account has nothing left to spend: top it up, and run again; what was answered is kept"
    remedies = {
        401: "check the key in the environment variable that model.api_key_env names",
        402: nothing_left,
        403: "check what the key in the environment variable that model.api_key_env names may do",
        404: "check model.base_url and model.name",
        429: nothing_left,
    }
    return remedies.get(status, "check what the model takes: model.api, model.body, and the length of its context")


def _field(body: object, name: str) -> str:
    found = _inside(body).get(name)
    return str(found) if found is not None else ""


def _message(body: object) -> str:
    said = _inside(body).get("message") or body or "no message"
    return valid(" ".join(str(said).split())[:300])


def _inside(body: object) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        return {}
    inner = body.get("error", body)
    return inner if isinstance(inner, Mapping) else {"message": inner}

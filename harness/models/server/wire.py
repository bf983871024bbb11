"""Request bodies for an OpenAI-compatible server, and validated reading of its replies.

A reply is decoded JSON whose form is checked throughout. A reply that cannot be read raises :class:`FailedAttempt` with
the reason; it never becomes an empty answer or a zero.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from harness.guards.printing import shortened
from harness.guards.secrets import scrubbed
from harness.models.server.pace import retry_after_seconds
from harness.types import Message, NeuroglossError, Outcome, Usage

CHAT, COMPLETIONS = "chat", "completions"

PATHS = {CHAT: "/chat/completions", COMPLETIONS: "/completions"}

UNREADABLE = "\ufffd".encode()
"""The replacement character, which servers write for a token that is not a complete character."""

LATER = "replies that have arrived are stored, so run again when the server is back"

PATIENCE = 600.0
"""Seconds that a request waits at most before another attempt, whatever the server asks for."""
_log = logging.getLogger(__name__)
_ENDLESS = 2**53  # tokens; a float represents every integer below it exactly
_NEVER = -9000.0  # servers write -9999 for a token outside the likeliest, which is not a log-probability
_CONGESTED = (408, 429, 504)
_TEMPORARY = (*_CONGESTED, 409, 425)
_REJECTED = (400, 404, 405, 415, 422, 501)
_REFUSALS = ("content_filter", "content_policy_violation", "invalid_prompt", "ResponsibleAIPolicyViolation")
_ANY_TRANSPORT = ("model_not_found", "context_length_exceeded", "exceed_context_size_error")
_NO_CREDIT = "insufficient_quota"
_ABOUT_LOGPROBS = re.compile(r"logprobs|log.?probabilit", re.IGNORECASE)
_BOUND = re.compile(
    r"\b(less|most|max|maximum|more|greater|larger|between|range|exceeds?|up to|limit)\b|<=|≤", re.IGNORECASE
)
_NUMBER = re.compile(r"(?<![\w.-])\d{1,6}(?![\w-]|\.\d)")
_COMMON_FIELD = re.compile(r"\b(max_tokens|max_completion_tokens|temperature|top_p|seed|stop)\b")
_NO_ENDPOINT = re.compile(r"\b(unexpected|unknown|invalid|no such) (endpoint|route|path|url)\b", re.IGNORECASE)
_OF_A_TRANSPORT = re.compile(r"logprobs|echo|response_format|json_schema|add_generation_prompt|continue_final_message")
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|n[o']t support|unrecogni[sz]ed|unknown|unexpected|extra (inputs|fields)|not permitted",
    re.IGNORECASE,
)
_TEXT_PARTS = ("text", "output_text")


class FailedAttempt(Exception):  # noqa: N818  # an attempt without a usable reply, which is not always an error
    """An attempt without a usable reply; another attempt may succeed.

    Attributes:
        reason: the failure in a few words.
        retry_after: seconds to wait before the next attempt, if the server states them.
        congested: true if fewer requests should be in flight at once.
        remedy: advice for the case that every request fails in this way; empty if there is none.
        usage: the cost of the attempt by the server's count, set by the caller.
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


class Rejected(NeuroglossError):  # noqa: N818  # named after the event
    """A request that the server rejects; a second attempt would not help.

    Attributes:
        status: the HTTP status.
        complaint: all that the server says of it, codes apart.
        anyhow: true if the server would reject the request by every transport.
    """

    def __init__(self, sentence: str, status: int = 0, complaint: str = "", anyhow: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.complaint = complaint
        self.anyhow = anyhow


@dataclass(frozen=True, slots=True)
class Position:
    """One token of a reply or of an echoed prompt.

    Attributes:
        text: the token's bytes.
        top: the likeliest tokens at its place and the token itself, with natural log-probabilities; empty if the server
            gives none, as for the first token of a prompt.
    """

    text: bytes
    top: tuple[tuple[bytes, float], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply that could be read.

    Attributes:
        text: the model's text; with ``echo``, it follows the prompt.
        outcome: the outcome of the request.
        positions: the tokens of ``text``; None if the reply holds no log-probabilities.
        usage: the tokens that it cost, without a price; None if the server does not count them.
        prompt: the tokens of the prompt, from vLLM's ``prompt_logprobs``; None if the reply holds none.
    """

    text: str
    outcome: Outcome
    positions: tuple[Position, ...] | None = None
    usage: Usage | None = None
    prompt: tuple[Position, ...] | None = None


# ---------------------------------------------------------------------------------------------------------- requests


def chat_body(messages: Sequence[Message]) -> dict[str, Any]:
    """Return the field of a chat request that holds the conversation."""
    return {"messages": [{"role": message.role, "content": valid(message.content)} for message in messages]}


def text_body(messages: Sequence[Message], turn: str = "") -> dict[str, Any]:
    """Return the field of a plain completion request that holds the conversation; see :func:`plain_text`."""
    return {"prompt": plain_text(messages, turn)}


def plain_text(messages: Sequence[Message], turn: str = "") -> str:
    """Return a conversation without a chat template, with the assistant's ``turn`` at the end.

    A user's turn ends with a line break, every other turn with an empty line, as for a local model without a template.
    """
    paragraphs = [message.content + ("\n" if message.role == "user" else "\n\n") for message in messages]
    return valid("".join(paragraphs) + turn)


def valid(text: str) -> str:
    """Return ``text`` as valid UTF-8: a lone surrogate becomes a question mark."""
    return _bytes_of(text).decode("utf-8")


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "replace")


# ----------------------------------------------------------------------------------------------------------- replies


def answer(document: object, api: str) -> Answer:
    """Read a reply.

    Args:
        document: the decoded JSON, of any form.
        api: ``chat`` or ``completions``.

    Raises:
        FailedAttempt: the reply is incomplete or of the wrong form.
    """
    try:
        return _choice(document, api)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, OverflowError) as error:
        raise FailedAttempt(f"a reply of the wrong form ({type(error).__name__}: {error})") from error


def model_named(document: object) -> str:
    """Return the name of the model in a reply; empty if it is missing."""
    name = document.get("model") if isinstance(document, Mapping) else None
    return name if isinstance(name, str) else ""


def _choice(document: Any, api: str) -> Answer:
    if not isinstance(document, Mapping):
        raise FailedAttempt("a reply that is no JSON object")
    if document.get("error"):
        message = _message(document)
        remedy = "check model.base_url" if _NO_ENDPOINT.search(message) else ""
        raise FailedAttempt(f"an error in place of a reply ({message})", remedy=remedy)
    if not document["choices"]:
        raise FailedAttempt("a reply without choices")
    first = document["choices"][0]
    finish, logprobs = first.get("finish_reason"), first.get("logprobs")
    content = first["message"].get("content") if api == CHAT else first["text"]
    refusal = (first["message"].get("refusal") if api == CHAT else None) or _refusal_among(content)
    text = _text(refusal or content, finish)
    positions = None if logprobs is None else _positions(logprobs)
    if positions is not None and not refusal:
        positions = _of_text(text, positions)
    rows = document.get("prompt_logprobs", first.get("prompt_logprobs"))
    prompt = None if rows is None else tuple(_prompt_position(row) for row in rows)
    return Answer(scrubbed(text), _outcome(text, finish, bool(refusal)), positions, usage_of(document), prompt)


def _text(content: object, finish: object) -> str:
    """Return the text of a reply, of which some servers make a list of parts: reasoning, and texts.

    Raises:
        NeuroglossError: there are parts, and no text among them; another reply would have none either.
    """
    if content is None:
        return ""
    if isinstance(content, list):
        texts = _texts_among(content)
        if content and not texts and finish != "length":
            kinds = ", ".join(sorted({str(part.get("type")) for part in content}))
            raise NeuroglossError(
                f"the server answers in parts ({shortened(kinds)}) without a text; choose a model that writes text."
            )
        return valid("".join(texts))
    if not isinstance(content, str):
        raise TypeError(f"the content is a {type(content).__name__}")
    return valid(content)


def _texts_among(parts: Sequence[Any]) -> list[str]:
    """Return the texts of the parts of a reply that are texts."""
    texts = [part["text"] for part in parts if part.get("type", "text") in _TEXT_PARTS]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a part of the content is no text")
    return texts


def _refusal_among(content: object) -> str | None:
    """Return the refusal among the parts of a reply; None if there is none."""
    parts = content if isinstance(content, list) else []
    return next((str(part["refusal"]) for part in parts if part.get("type") == "refusal"), None)


def _outcome(text: str, finish: object, refused: bool) -> Outcome:
    if refused or finish == "content_filter":
        return Outcome.REFUSED
    if finish == "length":
        return Outcome.TRUNCATED
    return Outcome.OK if text.strip() else Outcome.EMPTY


def usage_of(document: object) -> Usage | None:
    """Return the cost in tokens that a reply states; None if it is missing."""
    usage = document.get("usage") if isinstance(document, Mapping) else None
    if not isinstance(usage, Mapping):
        return None
    prompt, completion = (usage.get(name) for name in ("prompt_tokens", "completion_tokens"))
    completion = 0 if completion is None else completion
    return Usage(1, 0, prompt, completion) if _is_count(prompt) and _is_count(completion) else None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value < _ENDLESS


def _positions(logprobs: Mapping[str, Any]) -> tuple[Position, ...] | None:
    """Read log-probabilities in the format of chat or of completions; None if they are missing."""
    if logprobs.get("content") is not None:
        return tuple(_chat_position(entry) for entry in logprobs["content"])
    if logprobs.get("tokens") is None:
        return None
    tokens, tops = logprobs["tokens"], logprobs.get("top_logprobs") or []
    token_logprobs = logprobs["token_logprobs"]
    if not len(tokens) == len(tops) == len(token_logprobs):
        raise FailedAttempt(f"{len(tops)} log-probabilities for {len(tokens)} tokens")
    return tuple(_text_position(*entry) for entry in zip(tokens, token_logprobs, tops, strict=True))


def _chat_position(entry: Mapping[str, Any]) -> Position:
    text, logprob = _bytes(entry), _logprob(entry["logprob"])
    likeliest = dict(_likeliest((_bytes(token), token["logprob"]) for token in entry["top_logprobs"]))
    likeliest.setdefault(text, logprob)
    return Position(text, _without_placeholders(likeliest.items()))


def _bytes(entry: Mapping[str, Any]) -> bytes:
    values = entry.get("bytes")
    if values is None:
        return _bytes_of(str(entry["token"]))
    if not isinstance(values, list):
        raise TypeError("the bytes of a token are no list")  # of a number, bytes() would make as many zeros
    return bytes(values)


def _text_position(token: str, logprob: float | None, top: Mapping[str, float] | None) -> Position:
    token_bytes = _bytes_of(token)
    if logprob is None or top is None:
        return Position(token_bytes, ())
    likeliest = dict(_likeliest((_bytes_of(text), value) for text, value in top.items()))
    likeliest.setdefault(token_bytes, _logprob(logprob))
    return Position(token_bytes, _without_placeholders(likeliest.items()))


def _prompt_position(row: Mapping[str, Any] | None) -> Position:
    """Read a token of vLLM's ``prompt_logprobs``.

    ``row`` maps token ids to entries, the prompt's own token first; different ids may have the same text. ``row`` is
    None for the first token of a prompt, whose text is unknown.
    """
    if row is None:
        return Position(UNREADABLE, ())
    entries = [(_bytes_of(str(entry["decoded_token"])), entry["logprob"]) for entry in row.values()]
    likeliest = _likeliest(entries)
    if not likeliest:
        raise FailedAttempt("a place of the prompt without log-probabilities")
    return Position(entries[0][0], _without_placeholders(likeliest))


def _likeliest(entries: Iterable[tuple[bytes, object]]) -> list[tuple[bytes, float]]:
    """Return the likeliest tokens of one place with their log-probabilities, without those that are null.

    JSON has neither infinity nor NaN, so that libraries write both as null. Where other tokens of the place have
    numbers, a null is minus infinity, the log-probability of a token that cannot come, and leaving it out loses
    nothing: with a NaN among its logits, softmax would have made all of the place NaN. A null of the token that the
    model wrote, which cannot be minus infinity, or of all tokens of a place of a prompt, is refused; in the form of
    completions, which has nulls at the first token of a prompt, such a place is read as one that has none.
    """
    return [(text, _logprob(value)) for text, value in entries if value is not None]


def _logprob(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value > 0.01:
        raise FailedAttempt(f"a log-probability of {value!r}")
    return float(value)


def _without_placeholders(likeliest: Iterable[tuple[bytes, float]]) -> tuple[tuple[bytes, float], ...]:
    return tuple((text, value) for text, value in likeliest if value > _NEVER)


def _of_text(text: str, positions: tuple[Position, ...]) -> tuple[Position, ...]:
    """Return the positions of the text, without the start token that a server with ``echo`` may list first.

    Raises:
        FailedAttempt: the tokens are not those of the text.
    """
    without_start = positions[1:] if positions and not positions[0].top else positions
    for candidates in (positions, without_start):
        if _cover(text, candidates):
            return candidates
    raise FailedAttempt(f"log-probabilities of {len(positions)} tokens, which are not those of the text")


def _cover(text: str, positions: Sequence[Position]) -> bool:
    """Return whether the tokens of ``positions`` cover the text.

    They may cover more (an end token), and the server may trim the text. Spaces are ignored: some tokenizers lose them
    when they decode single tokens. Text after a token that is not a complete character is ignored too.
    """
    covered = b"".join(position.text for position in positions).replace(b" ", b"").strip()
    expected = _bytes_of(text.strip().rstrip("\ufffd").replace(" ", ""))
    readable, unreadable, _ = covered.partition(UNREADABLE)
    return covered.startswith(expected) or bool(unreadable and expected.startswith(readable))


# ---------------------------------------------------------------------------------------------------------- troubles


def refusal(status: int, body: object) -> Answer | None:
    """Return a refusal if the error says that the model's provider refuses the prompt, else None."""
    codes = {_field(body, "code"), _field(body, "type")}
    return Answer("", Outcome.REFUSED, usage=Usage(1)) if status == 400 and codes & set(_REFUSALS) else None


def trouble(
    status: int, header: Callable[[str], str | None], body: object, where: str
) -> FailedAttempt | NeuroglossError:
    """Return the error for an HTTP status of 400 or more: a failed attempt if another attempt may succeed.

    Args:
        status: the HTTP status.
        header: returns a header's value by its name.
        body: the body of the response, decoded if it is JSON.
        where: the model and its server, for the message.
    """
    if 300 <= status < 400:
        place = shortened(header("location") or "nowhere")
        return NeuroglossError(
            f"{where} answers with a redirect (status {status}, to {place}), and prompts go to no other address than "
            "the config's; if that one is right, set model.base_url to it."
        )
    if _field(body, "code") != _NO_CREDIT and (status in _TEMPORARY or (status >= 500 and status != 501)):
        wait = retry_after_seconds(header("retry-after"))
        if wait is not None and wait > PATIENCE:
            _log.warning("%s asks to wait %.3g s; the next attempt is made after %.0f s.", where, wait, PATIENCE)
            wait = PATIENCE
        return FailedAttempt(f"status {status}", retry_after=wait, congested=status in _CONGESTED, remedy=LATER)
    complaint = _complaint(body)
    unknown_field = _unknown_field(complaint)
    remedy = _remedy_of_field(unknown_field) if unknown_field else _remedy(status)
    sentence = f"{where} refuses the request (status {status}: {_message(body)}); {remedy}."
    if status in _REJECTED:
        codes = {_field(body, "code"), _field(body, "type")}
        return Rejected(sentence, status, complaint, bool(unknown_field or codes & set(_ANY_TRANSPORT)))
    return NeuroglossError(sentence)


def most_logprobs(complaint: str, requested: int) -> int | None:
    """Return how many log-probabilities at one place a server allows, by its complaint about more of them.

    Servers word it in many ways, and all name the limit, which is the largest number below what was requested. Returns
    0 if they name none, and None if the complaint is about something else.
    """
    if not _ABOUT_LOGPROBS.search(complaint) or not _BOUND.search(complaint):
        return None
    below = re.search(r"less than (\d+)", complaint)
    numbers = [int(below[1]) - 1] if below else [int(digits) for digits in _NUMBER.findall(complaint)]
    return max((number for number in numbers if number < requested), default=0)


def _complaint(body: object) -> str:
    """Return all that the body of an error says, but for its codes."""
    items = {name: value for name, value in _error_of(body).items() if name not in ("code", "status", "type")}
    return shortened(scrubbed(valid(str(items or body or ""))), 2000)


def _unknown_field(complaint: str) -> str:
    """Return the field that a server does not take, if requests by every transport have it; else an empty text."""
    field = _COMMON_FIELD.search(complaint) if _UNSUPPORTED.search(complaint) else None
    return field[0] if field and not _OF_A_TRANSPORT.search(complaint) else ""


def _remedy_of_field(field: str) -> str:
    if field.startswith("max_"):
        return "set model.max_tokens_field to the name that the server wants for it, such as max_completion_tokens"
    return f"leave the field out by 'model.body={{{field}: null}}'"


def _remedy(status: int) -> str:
    no_credit = "the account has nothing left to spend: top it up and run again; replies that have arrived are stored"
    remedies = {
        401: "check the key in the environment variable that model.api_key_env names",
        402: no_credit,
        403: "check what the key in the environment variable that model.api_key_env names may do",
        404: "check model.base_url and model.name",
        429: no_credit,
    }
    return remedies.get(status, "check what the model takes: model.api, model.body, and the length of its context")


def _field(body: object, name: str) -> str:
    value = _error_of(body).get(name)
    return str(value) if value is not None else ""


def _message(body: object) -> str:
    message = _error_of(body).get("message") or body or "no message"
    return shortened(scrubbed(valid(str(message))), 300)


def _error_of(body: object) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        return {}
    error = body.get("error", body)
    return error if isinstance(error, Mapping) else {"message": error}

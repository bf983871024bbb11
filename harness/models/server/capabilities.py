"""Abilities of a server, tested with small requests, because a server may silently ignore a field of a request.

One request suffices for what a model writes. The log-probabilities of a prompt are requested three times: for a prompt,
for a sibling that shares its beginning, and for the prompt again. Servers that keep what such prompts share (vLLM does,
unless told otherwise) can give others the third time (https://github.com/vllm-project/vllm/issues/42019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from harness.models.prompts import load
from harness.models.server import slots
from harness.models.server.wire import Answer, Position, most_logprobs
from harness.types import HIGHEST_LEVEL, Message, SlottedPrompt, Usage

NO_ECHO = "this server cannot give prompt log-probabilities; use model.transport=generated"
NO_LOGPROBS = "this server gives no log-probabilities of what the model writes; use model.transport=text"
NO_SCHEMA = "this server does not hold replies to a JSON schema; use model.json_schema=false"
NO_TRIAL = "this model does not answer the trial question; choose another model, or check model.body"
NO_SLOT = "this model's tokenizer joins the placeholder to the text before it; use model.transport=generated"
ORDER = (
    "this server's log-probabilities of a prompt change with what was asked before it; start vLLM with "
    "--no-enable-prefix-caching, or use model.transport=generated"
)

MOST_LEVELS = HIGHEST_LEVEL + 1


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Result of a probe: how many ``levels`` are single tokens, or the ``problem`` that rules the transport out."""

    levels: int = MOST_LEVELS - 1
    problem: str = ""
    usage: Usage = field(default_factory=Usage)


def _prompt(lines: str = "lines") -> SlottedPrompt:
    """Return a prompt whose own turn has the lines of the prompt file that are named so."""
    prompt = load(slots.PROMPTS, "probe-v1")
    question = Message("user", prompt.render("user", {}))
    words, example = (prompt.render(part, {}).split("\n") for part in (lines, "example"))
    demonstration = Message("assistant", "\n".join(f"{word}\t10" for word in example))
    parts = (f"{words[0]}\t", *(f"\n{word}\t" for word in words[1:]))
    messages = (Message("system", prompt.render("system", {})), question, demonstration, question)
    return SlottedPrompt(messages, parts, "-", MOST_LEVELS, prompt.version)


def _marked(prompt: SlottedPrompt, mark: str) -> SlottedPrompt:
    opening, *messages = prompt.messages
    return replace(prompt, messages=(replace(opening, content=f"{mark} {opening.content}"), *messages))


@dataclass(frozen=True, slots=True)
class Probe:
    """Small requests, sent and read in the same way as readings; their worked example holds the level 10.

    Attributes:
        prompt: the request.
        sibling: another one, the same up to its own turn.
    """

    prompt: SlottedPrompt = field(default_factory=_prompt)
    sibling: SlottedPrompt = field(default_factory=lambda: _prompt("sibling"))

    def marked(self, mark: str) -> Self:
        """Return the probe with a mark at the beginning, which a server has nothing stored of if it is a new one."""
        return type(self)(_marked(self.prompt, mark), _marked(self.sibling, mark))

    def of_prompt(self, answer: Answer, usage: Usage) -> Capabilities:
        """Return the capabilities that the log-probabilities of the prompt show."""
        positions = slots.positions_of_prompt(answer, self.prompt)
        if positions is None or not all(position is None or len(position.top) > 1 for position in positions):
            return Capabilities(problem=NO_ECHO, usage=usage)
        if None in positions:
            return Capabilities(problem=NO_SLOT, usage=usage)
        return Capabilities(_levels(answer.prompt or answer.positions or ()), usage=usage)

    def of_generated(self, answer: Answer, usage: Usage) -> Capabilities:
        """Return the capabilities that the log-probabilities of the copied lines show."""
        positions = answer.positions or ()
        if not any(len(position.top) > 1 for position in positions):
            return Capabilities(problem=NO_LOGPROBS, usage=usage)
        return Capabilities(_levels(positions), usage=usage)

    def of_json(self, answer: Answer, lines: Sequence[str], usage: Usage) -> Capabilities:
        """Return the capabilities that a reply in JSON shows; the schema is not enforced if no level can be read."""
        reading = slots.written_json(answer.text, lines, MOST_LEVELS, usage)
        return Capabilities(MOST_LEVELS, "" if any(reading.seen) else NO_SCHEMA, usage)


def rejected(transport_problem: str, complaint: str, top_logprobs: int, error: object) -> Capabilities:
    """Return what a server that rejects a probe can do: nothing by the transport, or all with fewer log-probabilities.

    Args:
        transport_problem: the problem of a server that cannot use the transport.
        complaint: what the server says.
        top_logprobs: number of log-probabilities that were requested at each place.
        error: the whole sentence about the rejection.
    """
    most = most_logprobs(complaint, top_logprobs)
    if most is None or most == 1:  # a single one tells no distribution over levels
        return Capabilities(problem=f"{transport_problem} ({error})")
    number = f"at most {most}" if most else f"less than {top_logprobs}"
    remedy = f"set model.top_logprobs={most}" if most else "set model.top_logprobs to fewer"
    return Capabilities(problem=f"this server gives {number} log-probabilities at one place; {remedy} ({complaint})")


def _levels(positions: Sequence[Position]) -> int:
    """Return 11 if the tokenizer has a single token for level 10, else 10."""
    tokens = {text.strip() for position in positions for text in (position.text, *(text for text, _ in position.top))}
    return MOST_LEVELS if b"10" in tokens else MOST_LEVELS - 1

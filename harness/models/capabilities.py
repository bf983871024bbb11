"""What a server can really do, found by asking it once: a server that ignores a field of a request does not say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.models import slots
from harness.models.prompts import load
from harness.models.wire import Answer, Position
from harness.types import Message, SlottedPrompt, Usage

NO_ECHO = "this server cannot give prompt log-probabilities; use transport=generated"
NO_LOGPROBS = "this server gives no log-probabilities of what the model writes; use transport=text"
NO_SCHEMA = "this server does not hold replies to a JSON schema; use json_schema=false"
NO_TRIAL = "this model does not answer the question that it is tried out with; choose another, or see to model.body"
NO_SLOT = "this model's tokenizer joins the placeholder to the text before it; use transport=generated"

MOST_LEVELS = 11


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a probe found: how many ``levels`` are one token each, or the ``problem`` that rules the transport out."""

    levels: int = MOST_LEVELS - 1
    problem: str = ""
    usage: Usage = field(default_factory=Usage)


def _prompt() -> SlottedPrompt:
    prompt = load(slots.PROMPTS, "probe-v1")
    question = Message("user", prompt.render("user", {}))
    words, example = (prompt.render(part, {}).split("\n") for part in ("lines", "example"))
    worked = Message("assistant", "\n".join(f"{word}\t10" for word in example))
    parts = (f"{words[0]}\t", *(f"\n{word}\t" for word in words[1:]))
    messages = (Message("system", prompt.render("system", {})), question, worked, question)
    return SlottedPrompt(messages, parts, "-", MOST_LEVELS, prompt.version)


@dataclass(frozen=True, slots=True)
class Probe:
    """One small request by the very path that readings take; the example in it holds the level 10."""

    prompt: SlottedPrompt = field(default_factory=_prompt)

    def of_prompt(self, answer: Answer, usage: Usage) -> Capabilities:
        """What the log-probabilities of the prompt say of a server."""
        found = slots.positions_of_prompt(answer, self.prompt)
        if found is None or not all(one is None or len(one.top) > 1 for one in found):
            return Capabilities(problem=NO_ECHO, usage=usage)
        if None in found:
            return Capabilities(problem=NO_SLOT, usage=usage)
        return Capabilities(_levels(answer.prompt or answer.positions or ()), usage=usage)

    def of_generated(self, answer: Answer, usage: Usage) -> Capabilities:
        """What the log-probabilities of the copied lines say of a server."""
        positions = answer.positions or ()
        if not any(len(one.top) > 1 for one in positions):
            return Capabilities(problem=NO_LOGPROBS, usage=usage)
        return Capabilities(_levels(positions), usage=usage)

    def of_json(self, answer: Answer, lines: Sequence[str], usage: Usage) -> Capabilities:
        """What the text of a reply says: one that does not follow the schema shows that it is not held to it."""
        reading = slots.written_json(answer.text, lines, MOST_LEVELS, usage)
        return Capabilities(MOST_LEVELS, "" if any(reading.seen) else NO_SCHEMA, usage)


def _levels(positions: Sequence[Position]) -> int:
    """11 where the tokenizer has written 10 as one token, or has offered to."""
    tokens = {text.strip() for one in positions for text in (one.text, *(text for text, _ in one.top))}
    return MOST_LEVELS if b"10" in tokens else MOST_LEVELS - 1

"""From a model's reply to an explanation, gently: what cannot be one is named, and nothing inside it is lost."""

from __future__ import annotations

import re

from harness.types import Completion, Outcome, utf8

VERSION = "cleaning-v1"
"""Grows with every change here that can make another explanation of a reply; results say which it was."""
LONGEST = 2000
"""A reply of more characters than this (a closed block of reasoning before it apart) is no explanation."""

_REFUSAL = re.compile(
    r"(i['’]?m sorry|i am sorry|sorry[,.]|i apologi[sz]e\b|as an? (ai|artificial|large language model|language model)\b"
    r"|(unfortunately,? )?i (cannot|can['’]?t|cannot|am unable to|am not able to|won['’]?t) "
    r"(help|assist|provide|explain|determine|comply|answer|identify|tell|see|say)\b)",
    re.IGNORECASE,
)
_WHOLE_SENTENCES = re.compile(r".*[.!?;](?=\s|$)", re.DOTALL)
_REASONING = re.compile(r"\A\s*(?:<(think(?:ing)?)>.*?(?:</\1>|\Z)|.*?</think(?:ing)?>[ \t]*(?=\n|\Z))", re.DOTALL)
"""A block of reasoning that begins a reply, or, without its opening tag, that the end of the prompt began."""
_FENCE = re.compile(r"```\w*")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}


def explanation_of(reply: Completion, lead_in: str = "") -> tuple[str, Outcome]:
    """The explanation in a model's reply, and what became of it; where that is not ok the text is only for the record.

    The first line that says something is taken, a lead-in of the prompt's that the model repeated is dropped, and so
    are quotes around the whole. Text in parentheses or in quotes stays, as do markup and control characters.

    Args:
        reply: the model's reply to a prompt.
        lead_in: the beginning of the sentence that the prompt asked the model to finish.
    """
    if reply.outcome not in (Outcome.OK, Outcome.TRUNCATED):
        return utf8(reply.text)[:LONGEST].strip(), reply.outcome
    body = _REASONING.sub("", utf8(reply.text), count=1)
    if len(body) > LONGEST:
        return body[:LONGEST], Outcome.TRUNCATED
    line, finished = _first_line(body)
    text = _without_quotes(_without_lead_in(line, lead_in))
    cut = reply.outcome is Outcome.TRUNCATED and not finished
    if _REFUSAL.match(text):
        return text, Outcome.REFUSED
    if not text.strip(" .…"):
        return text, Outcome.TRUNCATED if cut else Outcome.EMPTY
    return _up_to_its_last_sentence(text) if cut else (text, Outcome.OK)


def _first_line(text: str) -> tuple[str, bool]:
    """The first line with text that does not merely announce the next one, and whether the reply went on after it."""
    lines = [line.strip() for line in text.split("\n")]
    filled = [index for index, line in enumerate(lines) if line and not _FENCE.fullmatch(line)]
    while len(filled) > 1 and lines[filled[0]].endswith(":"):
        filled.pop(0)
    return (lines[filled[0]], filled[0] < len(lines) - 1) if filled else ("", False)


def _without_lead_in(line: str, lead_in: str) -> str:
    start, rest = line[: len(lead_in)], line[len(lead_in) :]
    return rest.lstrip(" :") if lead_in and start.casefold() == lead_in.casefold() else line


def _without_quotes(text: str) -> str:
    """``text`` without the quotes around all of it; ``"a" and "b"`` is not quoted as a whole and stays."""
    opening, inside, closing = text[:1], text[1:-1], text[-1:]
    whole = len(text) > 2 and _QUOTES.get(opening) == closing and not {opening, closing} & set(inside)
    return inside.strip() if whole else text


def _up_to_its_last_sentence(text: str) -> tuple[str, Outcome]:
    """What a reply that ran into its limit says in whole sentences; without one there is no explanation."""
    sentences = _WHOLE_SENTENCES.match(text)
    return (sentences.group(), Outcome.OK) if sentences else (text, Outcome.TRUNCATED)

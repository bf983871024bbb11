"""Extraction of the explanation from a model's reply; an outcome says why a reply has none."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.models.replies import without_reasoning
from harness.types import Completion, Outcome, utf8

VERSION = "cleaning-v4"
"""Raised with every change here that can alter the explanation of a reply; recorded in the results."""
LONGEST = 2000
"""A reply of more characters than this, without the block of reasoning before it, is no explanation."""

_REFUSAL = re.compile(
    r"(i['’]?m sorry|i am sorry|sorry[,.]|i apologi[sz]e\b|as an? (ai|artificial|large language model|language model)\b"
    r"|(unfortunately,? )?i (cannot|can['’]?t|can not|am unable to|am not able to|won['’]?t) "
    r"(help|assist|provide|explain|determine|comply|answer|identify|tell|see|say)\b)",
    re.IGNORECASE,
)
_WHOLE_SENTENCES = re.compile(r".*[.!?;](?=\s|$)", re.DOTALL)
_WHOLE_QUOTATIONS = re.compile(r'[^"]*\w[^"]*(?:"[^"]*"[^"]*)*"[^"]*"(?=[,;\s]|$)')
_FENCE = re.compile(r"```\w*")
_EVIDENCE = re.compile(r"(?:,?\s*(?:such as|like|for example|e\.g\.))?\s*[\"“‘`]")
SAYING = 3
"""Words before the first quotation that say something by themselves; ``the word "of"`` says nothing before it."""
_GENERIC = re.compile(
    r"excerpt|excerpts|kind|language|lines|model|neuron|phrases|text|texts|token|tokens|type|types|word|"
    r"words"
)
_GLUE = re.compile(
    r"a|all|an|and|any|are|certain|common|different|each|every|fire|fires|firing|following|for|given|have|"
    r"in|is|it|many|marked|most|of|on|or|other|share|several|some|specific|strong|strongest|strongly|that|"
    r"the|them|there|these|they|this|to|various|which|with"
)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}


def explanation_of(reply: Completion, lead_in: str = "") -> tuple[str, Outcome]:
    """Return the explanation in a model's reply, and its outcome; unless that is OK, the text is only for the record.

    The first line with content is taken. A lead-in that the model repeated is dropped, and so are quotes around the
    whole text. Text in parentheses or in quotes stays, as do markup and control characters.

    Args:
        reply: the model's reply to a prompt.
        lead_in: the beginning of the sentence that the prompt asked the model to finish.
    """
    if reply.outcome not in (Outcome.OK, Outcome.TRUNCATED):
        return utf8(reply.text)[:LONGEST].strip(), reply.outcome
    body = without_reasoning(utf8(reply.text))
    if len(body) > LONGEST:
        return body[:LONGEST], Outcome.TRUNCATED
    line, continues = _first_line(body)
    text = _without_quotes(_without_lead_in(line, lead_in))
    incomplete = reply.outcome is Outcome.TRUNCATED and not continues
    if _REFUSAL.match(text):
        return text, Outcome.REFUSED
    if not text.strip(" .…"):
        return text, Outcome.TRUNCATED if incomplete else Outcome.EMPTY
    return _up_to_its_last_sentence(text) if incomplete else (text, Outcome.OK)


def is_copy(text: str, examples: Iterable[str]) -> bool:
    """Return whether an explanation is that of a worked example of its own prompt, but for case and punctuation.

    It is one too where the tokens that it quotes are others, and all that it says of them before is the example's. A
    weak model repeats what it was shown. Where the example happens to be true of the unit, the copy is still no
    explanation of it.
    """
    sayings = {saying for example in examples for saying in _sayings(example)}
    return not sayings.isdisjoint(_sayings(text))


def _sayings(text: str) -> set[str]:
    """Return the words of an explanation, and those before its first quotation if they are enough to say something."""
    description = _EVIDENCE.split(text, maxsplit=1)[0]
    sayings = {_bare(text), _bare(description) if len(_bare(description).split()) >= SAYING else ""}
    return sayings - {""}


def is_contentless(text: str) -> bool:
    """Return whether an explanation is true of every neuron: it speaks of words, and says nothing of which."""
    words = _bare(text).split()
    generic = [word for word in words if _GENERIC.fullmatch(word)]
    return bool(generic) and not _EVIDENCE.search(text) and all(map(_GLUE.fullmatch, set(words) - set(generic)))


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _first_line(text: str) -> tuple[str, bool]:
    """Return the first line with text that does not merely announce the next, and whether the reply continues."""
    lines = [line.strip() for line in text.split("\n")]
    filled = [index for index, line in enumerate(lines) if line and not _FENCE.fullmatch(line)]
    while len(filled) > 1 and lines[filled[0]].endswith(":"):
        filled.pop(0)
    return (lines[filled[0]], filled[0] < len(lines) - 1) if filled else ("", False)


def _without_lead_in(line: str, lead_in: str) -> str:
    beginning, remainder = line[: len(lead_in)], line[len(lead_in) :]
    return remainder.lstrip(" :") if lead_in and beginning.casefold() == lead_in.casefold() else line


def _without_quotes(text: str) -> str:
    """Return ``text`` without quotes around all of it; ``"a" and "b"`` is not quoted as a whole and stays."""
    opening, content, closing = text[:1], text[1:-1], text[-1:]
    is_quoted = len(text) > 2 and _QUOTES.get(opening) == closing and not {opening, closing} & set(content)
    return content.strip() if is_quoted else text


def _up_to_its_last_sentence(text: str) -> tuple[str, Outcome]:
    """Return the complete sentences of a truncated reply, or what it says up to the last token that it quotes; without
    either there is no explanation."""
    whole = _WHOLE_SENTENCES.match(text) or _WHOLE_QUOTATIONS.match(text)
    return (whole.group(), Outcome.OK) if whole else (text, Outcome.TRUNCATED)

"""Slotted prompts for a model on a server: building the request, and locating the levels in the reply.

A server that continues a text receives the text itself (:func:`echoed`, or a single slot at the end of a prompt).

A chat model writes its own turn: it receives the lines with placeholders, copies them and writes the levels. A prompt
with one slot becomes a question whose answer is the level alone. Line k of the reply belongs to line k of the prompt,
counted from the end of its reasoning; if the text before the level is not an exact copy, the slot is missing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from harness.models.prompts import load
from harness.models.replies import without_reasoning
from harness.models.server.wire import UNREADABLE, Answer, FailedAttempt, Position, plain_text, valid
from harness.types import LevelReading, Message, NeuroglossError, SlottedPrompt, Usage

PROMPTS = Path(__file__).parent / "prompts"
MOST_MASS = 1.02
"""The most that the probabilities of the tokens at one place may add up to: 1, and what rounding adds to it."""
FILES = ("one_level-v1", "copied_lines-v1")

_EXAMPLE_LINE = re.compile(r"(|.*\D)(\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A slotted prompt for a model that writes its own turn.

    Attributes:
        messages: the conversation, up to the question.
        lines: the text before the level on each line of the reply [slots]; one empty text if the reply is the level
            alone.
        longest: the most tokens that such a reply can need, as a token has at least one byte.
    """

    messages: tuple[Message, ...]
    lines: tuple[str, ...]
    longest: int


def versions() -> tuple[str, ...]:
    """Return the versions of the prompt files that :func:`spoken` uses; they are part of a model's identity."""
    return tuple(load(PROMPTS, name).version for name in FILES)


# ------------------------------------------------------------------------------------------------------------ asking


def spoken(prompt: SlottedPrompt, as_json: bool = False) -> Spoken:
    """Return ``prompt`` for a model that writes its own turn.

    Args:
        prompt: a prompt with one slot, or with each slot on a line of its own.
        as_json: true if the reply is to be a JSON object of :func:`schema`.

    Raises:
        NeuroglossError: the slots do not stand on lines of their own.
    """
    lines, single = _lines(prompt), len(prompt.parts) == 1
    template = load(PROMPTS, FILES[0] if single else FILES[1])
    messages = list(prompt.messages)
    system = messages.pop(0).content if messages and messages[0].role == "system" else ""
    variables = {"text": system, "placeholder": prompt.placeholder}
    turns = [Message("system", template.render("system_json" if as_json else "system", variables).strip())]
    for message, following in zip(messages, [*messages[1:], None], strict=True):
        if message.role == "user":
            rows = _rows(following, single) if following else [(line, None) for line in lines]
            blank_lines = "\n".join(text + prompt.placeholder for text, _ in rows)
            turns.append(Message("user", template.render("user", {"text": message.content, "lines": blank_lines})))
        else:
            turns.append(Message(message.role, _reply(_rows(message, single), single, as_json)))
    overhead = 48 if as_json else 4
    longest = 16 + overhead + (0 if single else sum(len(line.encode()) + overhead for line in lines))
    return Spoken(tuple(turns), ("",) if single and not as_json else lines, longest)


def schema(count: int) -> dict[str, Any]:
    """Return the JSON schema of a reply for ``count`` slots.

    A reply for one slot is ``{"level": 3}``; for several slots, ``{"lines": [{"text": "a", "level": 3}, ...]}``.
    """
    level = {"level": {"type": "integer"}}
    if count == 1:
        return _object(level)
    line = _object({"text": {"type": "string"}, **level})
    return _object({"lines": {"type": "array", "items": line, "minItems": count, "maxItems": count}})


def turn(prompt: SlottedPrompt) -> tuple[str, tuple[int, ...]]:
    """Return the assistant's turn with placeholders in all slots, and the byte offset of each slot."""
    filler = _placeholder(prompt)
    cells = [valid(part + filler) for part in prompt.parts]
    width = len(filler.encode())
    return "".join(cells), tuple(end - width for end in accumulate(len(cell.encode()) for cell in cells))


def echoed(prompt: SlottedPrompt) -> tuple[str, tuple[int, ...]]:
    """Return the conversation and the assistant's turn without a chat template, and the byte offset of each slot."""
    conversation, (text, places) = plain_text(prompt.messages), turn(prompt)
    start = len(conversation.encode())
    return conversation + text, tuple(start + place for place in places)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _lines(prompt: SlottedPrompt) -> tuple[str, ...]:
    """Return the text before each slot on its line [slots]."""
    first, *following = map(valid, prompt.parts)
    if not following:
        return (first,)
    _placeholder(prompt)
    if "\n" in first or any(part[:1] != "\n" or "\n" in part[1:] for part in following):
        raise NeuroglossError(
            "a model that writes its own turn needs each slot on a line of its own, which this simulator does not "
            "write; choose simulator=all_at_once or simulator=one_at_a_time."
        )
    return (first, *(part[1:] for part in following))


def _placeholder(prompt: SlottedPrompt) -> str:
    if len(prompt.parts) > 1 and not prompt.placeholder:
        raise NeuroglossError(
            "this simulator leaves its slots empty, which only its own model can read; choose "
            "simulator=all_at_once or simulator=one_at_a_time for a model on a server."
        )
    return valid(prompt.placeholder) or "0"


def _rows(example: Message, single: bool) -> list[tuple[str, str]]:
    """Return the text and the level of each line of a worked example, each of which ends with its level."""
    rows = [_EXAMPLE_LINE.fullmatch(line) for line in ([example.content] if single else example.content.split("\n"))]
    if example.role != "assistant" or not all(rows):
        raise NeuroglossError(
            "each line of a worked example must end with its level; correct the prompt file of the simulator."
        )
    return [(row[1], row[2]) for row in rows if row]


def _reply(rows: Sequence[tuple[str, str]], single: bool, as_json: bool) -> str:
    if as_json:
        levels = [{"text": _copied(text), "level": int(level)} for text, level in rows]
        return json.dumps({"level": levels[0]["level"]} if single else {"lines": levels}, ensure_ascii=False)
    return rows[0][1] if single else "\n".join(text + level for text, level in rows)


def _copied(line: str) -> str:
    """Return a line as it is written in JSON: without the tab before its level."""
    return line.removesuffix("\t")


# ----------------------------------------------------------------------------------------------------------- reading


def positions_of_lines(positions: Sequence[Position], lines: Sequence[str]) -> list[Position | None]:
    """Return the token of the reply at the place of each level [slots]; None if it is missing.

    Args:
        positions: the tokens of the reply.
        lines: the text to be copied before each level [slots].
    """
    starts = list(accumulate((len(position.text) for position in positions), initial=0))
    index_by_start = dict(zip(starts, range(len(positions)), strict=False))
    text = b"".join(position.text for position in positions)
    level_positions: list[Position | None] = []
    for start, row, offset in _copies(text, lines):
        index = None if offset is None else index_by_start.get(start + offset)
        while index is not None and index < len(positions) and not positions[index].text.strip(b" \t"):
            index += 1
        inside = index is not None and index < len(positions) and starts[index] < start + len(row)
        level_positions.append(positions[index] if inside and index is not None else None)
    return level_positions + [None] * (len(lines) - len(level_positions))


def _copies(text: bytes, lines: Sequence[str]) -> Iterable[tuple[int, bytes, int | None]]:
    """Return, for each line of the reply, its byte offset, its text, and the offset in it at which the level stands.

    The last is None where the line is no copy. A block of reasoning, blank lines and a code fence before the first line
    are skipped, and empty lines between others, which are copies of nothing.
    """
    begins_at_once = lines and _level_offset(text.lstrip(b"\r\n"), lines[0], is_first=True)
    answer = text if begins_at_once else without_reasoning(text)
    rows = answer.split(b"\n")
    starts = list(accumulate((len(row) + 1 for row in rows), initial=len(text) - len(answer)))
    skipped = next((number for number, row in enumerate(rows) if row.strip()), len(rows))
    if lines and not lines[0].startswith("```") and b"".join(rows[skipped : skipped + 1]).startswith(b"```"):
        skipped += 1
    written = [(start, row) for start, row in zip(starts[skipped:], rows[skipped:], strict=False) if row.strip(b"\r")]
    return (
        (start, row, _level_offset(row, line, is_first=number == 0))
        for number, ((start, row), line) in enumerate(zip(written, lines, strict=False))
    )


def _level_offset(row: bytes, line: str, is_first: bool) -> int | None:
    """Return the offset of the level in a row that copies ``line``; None if it is no copy.

    Spaces before the first line do not count, as servers add one there, or trim those that the model wrote. Some models
    write a space in place of the tab before a level.
    """
    prefix = line.encode()
    if prefix.endswith(b"\t") and not _begins(row, prefix, is_first) and _begins(row, prefix[:-1] + b" ", is_first):
        prefix = prefix[:-1] + b" "
    if is_first:
        row_spaces, prefix = len(row) - len(row.lstrip(b" ")), prefix.lstrip(b" ")
        offset = row_spaces + len(prefix) if prefix else 0
        return offset if row.lstrip(b" ").startswith(prefix) else None
    return len(prefix) if row.startswith(prefix) else None


def _begins(row: bytes, prefix: bytes, is_first: bool) -> bool:
    return row.lstrip(b" ").startswith(prefix.lstrip(b" ")) if is_first else row.startswith(prefix)


def positions_of_prompt(answer: Answer, prompt: SlottedPrompt) -> list[Position | None] | None:
    """Return the token of the prompt that begins at each slot [slots]; None for a slot at which no token begins.

    Returns None if the tokens of ``answer`` are not those of the prompt. An echo begins with the prompt, and a reply
    may follow it. The tokens of ``prompt_logprobs`` end with the assistant's turn; text of the server's chat template
    comes before it.
    """
    text, places = echoed(prompt) if answer.prompt is None else turn(prompt)
    data = text.encode()
    squeezed = _without_spaces(data)
    squeezed_places = [place - data.count(b" ", 0, place) for place in places]
    if answer.prompt is None:
        positions = answer.positions or ()
        index_by_start = _starts([_without_spaces(position.text) for position in positions], squeezed)
    else:
        positions = answer.prompt[::-1]
        tokens = [_without_spaces(position.text)[::-1] for position in positions]
        ends = _starts(tokens, squeezed[::-1], UNREADABLE[::-1])
        index_by_start = {len(squeezed) - end - len(tokens[index]): index for end, index in ends.items()}
    if not index_by_start:
        return None
    return [positions[index_by_start[place]] if place in index_by_start else None for place in squeezed_places]


def _without_spaces(text: bytes) -> bytes:
    """Return ``text`` without spaces: some tokenizers lose spaces when they decode a single token."""
    return text.replace(b" ", b"")


def _starts(tokens: Sequence[bytes], text: bytes, unreadable: bytes = UNREADABLE) -> dict[int, int]:
    """Return the index of each token by its byte offset in ``text``; empty if the text does not begin with the tokens.

    A token that is not a complete character is located by its neighbours. The last token may extend beyond the text.
    """
    index_by_start: dict[int, int] = {}
    offset, unreadable_run = 0, b""
    for index, token in enumerate(tokens):
        if unreadable in token or not token:
            unreadable_run += token
            continue
        if unreadable_run:
            match = _unreadable_pattern(unreadable_run, unreadable, token).match(text, offset)
            offset = match.start(1) if match else -1
        if offset == len(text):
            return index_by_start
        if offset < 0 or not (text.startswith(token, offset) or token.startswith(text[offset:])):
            return {}
        index_by_start[offset], offset, unreadable_run = index, offset + len(token), b""
        if offset >= len(text):
            return index_by_start
    return {}


def _unreadable_pattern(tokens: bytes, unreadable: bytes, following: bytes) -> re.Pattern[bytes]:
    """Return a pattern for the text of ``tokens`` and the token after them, which may lie beyond the text.

    Each replacement character in ``tokens`` matches 1 to 3 bytes.
    """
    pieces = re.split(b"((?:" + re.escape(unreadable) + b")+)", tokens)
    counts = [len(marks) // len(unreadable) for marks in pieces[1::2]]
    pieces[::2] = map(re.escape, pieces[::2])
    pieces[1::2] = [b"[\x80-\xff]{%d,%d}?" % (count, 3 * count) for count in counts]
    return re.compile(b"".join(pieces) + b"(" + re.escape(following) + b"|\\Z)")


def reading(positions: Sequence[Position | None], levels: int, usage: Usage) -> LevelReading:
    """Return the distribution over the levels at each slot, renormalised over the visible levels.

    Probabilities of tokens that write the same level, with or without a space before it, are added.

    Args:
        positions: the token at each slot [slots].
        levels: number of levels.
        usage: the usage of the request.
    """
    for position in positions:
        _check_mass(position)
    masses = [_masses(position, levels) for position in positions]
    totals = [
        math.nan if position is None else sum(mass.values()) for position, mass in zip(positions, masses, strict=True)
    ]
    return _reading(masses, levels, totals, usage)


def written(text: str, lines: Sequence[str], levels: int, usage: Usage) -> LevelReading:
    """Read levels written after copies of ``lines``; they have no probabilities, so their mass is NaN."""
    slot_levels: list[int | None] = [
        None if offset is None else level_of(row[offset:], levels) for _, row, offset in _copies(text.encode(), lines)
    ]
    return _written(slot_levels + [None] * (len(lines) - len(slot_levels)), levels, usage)


def written_json(text: str, lines: Sequence[str], levels: int, usage: Usage) -> LevelReading:
    """Read levels from a JSON object of :func:`schema`, before which a block of reasoning may stand.

    Lines that do not follow the schema are missing.
    """
    try:
        document = json.loads(without_reasoning(text))
        rows = document["lines"] if len(lines) > 1 else [{"text": _copied(lines[0]), "level": document["level"]}]
        slot_levels = [_json_level(row, line, levels) for row, line in zip(rows, lines, strict=False)]
    except (ValueError, KeyError, TypeError, RecursionError):
        slot_levels = []
    return _written(slot_levels + [None] * (len(lines) - len(slot_levels)), levels, usage)


def level_of(text: bytes, levels: int) -> int | None:
    """Return the level that ``text`` writes, without regard to spaces or a decimal of 0; None if it is no level."""
    digits = text.strip().removesuffix(b".0")
    plain = digits.isdigit() and len(digits) <= 2 and (len(digits) == 1 or digits[:1] != b"0")
    return int(digits) if plain and int(digits) < levels else None


def _json_level(row: Any, line: str, levels: int) -> int | None:
    if not isinstance(row, dict) or str(row.get("text")).strip() != _copied(line).strip():
        return None
    level = row.get("level")
    return level if type(level) is int and 0 <= level < levels else None


def _check_mass(position: Position | None) -> None:
    """Refuse log-probabilities that cannot all be true."""
    mass = sum(math.exp(logprob) for _, logprob in position.top) if position else 0.0
    if mass > MOST_MASS:
        raise FailedAttempt(f"probabilities that add up to {mass:.3g} at one place")


def _masses(position: Position | None, levels: int) -> dict[int, float]:
    shares: dict[int, float] = {}
    for text, logprob in position.top if position else ():
        level, share = level_of(text, levels), math.exp(logprob)
        if level is not None and share > 0.0:
            shares[level] = shares.get(level, 0.0) + share
    return shares


def _written(slot_levels: Sequence[int | None], levels: int, usage: Usage) -> LevelReading:
    masses = [{} if level is None else {level: 1.0} for level in slot_levels]
    return _reading(masses, levels, [math.nan] * len(slot_levels), usage)


def _reading(masses: Sequence[dict[int, float]], levels: int, total: Sequence[float], usage: Usage) -> LevelReading:
    return LevelReading(
        tuple(_shares(mass, levels) for mass in masses), tuple(total), tuple(len(mass) for mass in masses), usage=usage
    )


def _shares(mass: dict[int, float], levels: int) -> tuple[float, ...]:
    total = sum(mass.values())
    return tuple(mass.get(level, 0.0) / total if total > 0.0 else math.nan for level in range(levels))

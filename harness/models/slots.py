"""Slotted prompts for a model on a server: what it is shown, and where the levels stand in what it sends back.

A server that continues our text is given it (:func:`echoed`, and a single slot at the end of a plain prompt). A chat
model writes its own turn: it is given the lines with the placeholder, copies them and writes the levels; a prompt with
one slot becomes a question whose answer is the level alone. Line k of the reply is line k of the prompt: where the text
before the level is not the text that was to be copied, the slot is missing, and nothing is searched for.
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
from harness.models.wire import UNREADABLE, Answer, Position, plain_text, valid
from harness.types import LevelReading, Message, NeuroglossError, SlottedPrompt, Usage

PROMPTS = Path(__file__).parent / "server_prompts"
FILES = ("one_level-v1", "copied_lines-v1")

_WORKED = re.compile(r"(|.*\D)(\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A slotted prompt for a model that writes its own turn.

    Attributes:
        messages: the conversation, up to the question.
        lines: what stands before each level in the reply, a line each [slots]; one empty text where the reply is the
            level alone.
        longest: the most tokens that such a reply can need: no token is shorter than a byte.
    """

    messages: tuple[Message, ...]
    lines: tuple[str, ...]
    longest: int


def versions() -> tuple[str, ...]:
    """Versions of the prompt files that :func:`spoken` uses: they are part of what is asked."""
    return tuple(load(PROMPTS, name).version for name in FILES)


# ------------------------------------------------------------------------------------------------------------ asking


def spoken(prompt: SlottedPrompt, as_json: bool = False) -> Spoken:
    """``prompt`` for a model that writes its own turn.

    Args:
        prompt: one slot, or a line for each.
        as_json: whether the reply is to be a JSON object of :func:`schema`.

    Raises:
        NeuroglossError: its slots cannot be told apart on lines of their own.
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
            shown = "\n".join(text + prompt.placeholder for text, _ in rows)
            turns.append(Message("user", template.render("user", {"text": message.content, "lines": shown})))
        else:
            turns.append(Message(message.role, _reply(_rows(message, single), single, as_json)))
    overhead = 48 if as_json else 4
    longest = 16 + overhead + (0 if single else sum(len(line.encode()) + overhead for line in lines))
    return Spoken(tuple(turns), ("",) if single and not as_json else lines, longest)


def schema(count: int) -> dict[str, Any]:
    """The JSON schema of a reply for ``count`` slots: ``{"level": 3}`` for one, for several
    ``{"lines": [{"text": "a", "level": 3}, ...]}``, as many as there are."""
    level = {"level": {"type": "integer"}}
    if count == 1:
        return _object(level)
    line = _object({"text": {"type": "string"}, **level})
    return _object({"lines": {"type": "array", "items": line, "minItems": count, "maxItems": count}})


def turn(prompt: SlottedPrompt) -> tuple[str, tuple[int, ...]]:
    """The assistant's turn with placeholders in all slots, and the byte of each slot."""
    filler = _placeholder(prompt)
    cells = [valid(part + filler) for part in prompt.parts]
    width = len(filler.encode())
    return "".join(cells), tuple(end - width for end in accumulate(len(cell.encode()) for cell in cells))


def echoed(prompt: SlottedPrompt) -> tuple[str, tuple[int, ...]]:
    """The same behind the whole conversation, without a chat template."""
    before, (text, places) = plain_text(prompt.messages), turn(prompt)
    start = len(before.encode())
    return before + text, tuple(start + place for place in places)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _lines(prompt: SlottedPrompt) -> tuple[str, ...]:
    """What stands before each slot, on its line."""
    first, *others = map(valid, prompt.parts)
    if not others:
        return (first,)
    _placeholder(prompt)
    if "\n" in first or any(part[:1] != "\n" or "\n" in part[1:] for part in others):
        raise NeuroglossError(
            "a model that writes its own turn needs each slot on a line of its own, which this simulator does not "
            "make; choose simulator=all_at_once or simulator=one_at_a_time."
        )
    return (first, *(part[1:] for part in others))


def _placeholder(prompt: SlottedPrompt) -> str:
    if len(prompt.parts) > 1 and not prompt.placeholder:
        raise NeuroglossError(
            "this simulator leaves its slots empty, which only its own model can read; choose "
            "simulator=all_at_once or simulator=one_at_a_time for a model on a server."
        )
    return valid(prompt.placeholder) or "0"


def _rows(worked: Message, single: bool) -> list[tuple[str, str]]:
    """The text and the level of each line of a worked example, whose lines end with their levels as ours do."""
    rows = [_WORKED.fullmatch(line) for line in ([worked.content] if single else worked.content.split("\n"))]
    if worked.role != "assistant" or not all(rows):
        raise NeuroglossError(
            "each line of a worked example must end with its level; mend the prompt file of the simulator."
        )
    return [(row[1], row[2]) for row in rows if row]


def _reply(rows: Sequence[tuple[str, str]], single: bool, as_json: bool) -> str:
    if as_json:
        levels = [{"text": _copied(text), "level": int(level)} for text, level in rows]
        return json.dumps({"level": levels[0]["level"]} if single else {"lines": levels}, ensure_ascii=False)
    return rows[0][1] if single else "\n".join(text + level for text, level in rows)


def _copied(line: str) -> str:
    """A line as it stands in JSON: without the tab before its level."""
    return line.removesuffix("\t")


# ----------------------------------------------------------------------------------------------------------- reading


def positions_of_lines(positions: Sequence[Position], lines: Sequence[str]) -> list[Position | None]:
    """The token of the reply that stands where each level was to be written [slots]; None where there is none.

    Args:
        positions: the tokens of the reply.
        lines: what was to be written before each level.
    """
    starts = list(accumulate((len(one.text) for one in positions), initial=0))
    at = dict(zip(starts, range(len(positions)), strict=False))
    text = b"".join(one.text for one in positions)
    found: list[Position | None] = []
    for start, row, line in _matched(text, lines):
        copied = line.encode()
        index = at.get(start + len(copied)) if row.startswith(copied) else None
        while index is not None and index < len(positions) and not positions[index].text.strip(b" \t"):
            index += 1
        inside = index is not None and index < len(positions) and starts[index] < start + len(row)
        found.append(positions[index] if inside and index is not None else None)
    return found + [None] * (len(lines) - len(found))


def _matched(text: bytes, lines: Sequence[str]) -> Iterable[tuple[int, bytes, str]]:
    """Each line of the reply with the byte at which it starts, and the line that it was to be a copy of."""
    rows = text.split(b"\n")
    starts = list(accumulate((len(row) + 1 for row in rows), initial=0))
    if lines and rows[0].startswith(b"```") and not lines[0].startswith("```"):
        rows, starts = rows[1:], starts[1:]  # a fence around the copy is no line of it
    return zip(starts, rows, lines, strict=False)


def positions_of_prompt(answer: Answer, prompt: SlottedPrompt) -> list[Position | None] | None:
    """The token of the prompt that begins at each slot [slots]; None for one at which no token begins, and in place of
    all where the tokens of ``answer`` are not those of the prompt.

    An echo begins with the prompt, and a reply may stand behind it. What ``prompt_logprobs`` gives ends with it; the
    text before the assistant's turn is the server's, by its chat template.
    """
    text, places = echoed(prompt) if answer.prompt is None else turn(prompt)
    data = text.encode()
    squeezed, at = _squeezed(data), [place - data.count(b" ", 0, place) for place in places]
    if answer.prompt is None:
        positions = answer.positions or ()
        found = _starts([_squeezed(one.text) for one in positions], squeezed)
    else:
        positions = answer.prompt[::-1]
        tokens = [_squeezed(one.text)[::-1] for one in positions]
        ends = _starts(tokens, squeezed[::-1], UNREADABLE[::-1])
        found = {len(squeezed) - end - len(tokens[index]): index for end, index in ends.items()}
    return [positions[found[place]] if place in found else None for place in at] if found else None


def _squeezed(text: bytes) -> bytes:
    """``text`` without spaces: some tokenizers lose those within a token when they decode it alone."""
    return text.replace(b" ", b"")


def _starts(tokens: Sequence[bytes], text: bytes, unreadable: bytes = UNREADABLE) -> dict[int, int]:
    """Which token begins at which byte of ``text``; none where the text does not begin with the tokens.

    A token that is no whole character is known by its neighbours alone. The last one may go on beyond the text.
    """
    found: dict[int, int] = {}
    at, lost = 0, b""
    for index, token in enumerate(tokens):
        if unreadable in token or not token:
            lost += token
            continue
        if lost:
            match = _lost(lost, unreadable, token).match(text, at)
            at = match.start(1) if match else -1
        if at == len(text):
            return found
        if at < 0 or not (text.startswith(token, at) or token.startswith(text[at:])):
            return {}
        found[at], at, lost = index, at + len(token), b""
        if at >= len(text):
            return found
    return {}


def _lost(tokens: bytes, unreadable: bytes, following: bytes) -> re.Pattern[bytes]:
    """What ``tokens`` may stand for, each mark in them for 1 to 3 bytes of a character, and the token after them, which
    may be beyond the text."""
    pieces = re.split(b"((?:" + re.escape(unreadable) + b")+)", tokens)
    counts = [len(marks) // len(unreadable) for marks in pieces[1::2]]
    pieces[::2] = map(re.escape, pieces[::2])
    pieces[1::2] = [b"[\x80-\xff]{%d,%d}?" % (count, 3 * count) for count in counts]
    return re.compile(b"".join(pieces) + b"(" + re.escape(following) + b"|\\Z)")


def reading(found: Sequence[Position | None], levels: int, usage: Usage) -> LevelReading:
    """The distribution over the levels at each slot: the probabilities of tokens that write the same level (with a
    space before it or without) are added, and what was seen is renormalised.

    Args:
        found: the token at each slot.
        levels: how many levels there are.
        usage: of the request.
    """
    masses = [_masses(position, levels) for position in found]
    totals = [math.nan if one is None else sum(mass.values()) for one, mass in zip(found, masses, strict=True)]
    return _reading(masses, levels, totals, usage)


def written(text: str, lines: Sequence[str], levels: int, usage: Usage) -> LevelReading:
    """Levels that the model wrote out after copies of ``lines``; they have no probabilities, so their mass is NaN."""
    found: list[int | None] = [
        level_of(row[len(line.encode()) :], levels) if row.startswith(line.encode()) else None
        for _, row, line in _matched(text.encode(), lines)
    ]
    return _written(found + [None] * (len(lines) - len(found)), levels, usage)


def written_json(text: str, lines: Sequence[str], levels: int, usage: Usage) -> LevelReading:
    """The same from a JSON object of :func:`schema`; what does not follow it is missing."""
    try:
        document = json.loads(text)
        rows = document["lines"] if len(lines) > 1 else [{"text": _copied(lines[0]), "level": document["level"]}]
        found = [_json_level(row, line, levels) for row, line in zip(rows, lines, strict=False)]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = []
    return _written(found + [None] * (len(lines) - len(found)), levels, usage)


def level_of(text: bytes, levels: int) -> int | None:
    """The level that ``text`` writes, spaces apart; None where it writes none."""
    digits = text.strip()
    plain = digits.isdigit() and len(digits) <= 2 and (len(digits) == 1 or digits[:1] != b"0")
    return int(digits) if plain and int(digits) < levels else None


def _json_level(row: Any, line: str, levels: int) -> int | None:
    if not isinstance(row, dict) or str(row.get("text")).strip() != _copied(line).strip():
        return None
    level = row.get("level")
    return level if type(level) is int and 0 <= level < levels else None


def _masses(position: Position | None, levels: int) -> dict[int, float]:
    found: dict[int, float] = {}
    for text, logprob in position.top if position else ():
        level, share = level_of(text, levels), math.exp(logprob)
        if level is not None and share > 0.0:
            found[level] = found.get(level, 0.0) + share
    return found


def _written(found: Sequence[int | None], levels: int, usage: Usage) -> LevelReading:
    masses = [{} if level is None else {level: 1.0} for level in found]
    return _reading(masses, levels, [math.nan] * len(found), usage)


def _reading(masses: Sequence[dict[int, float]], levels: int, total: Sequence[float], usage: Usage) -> LevelReading:
    return LevelReading(
        tuple(_shares(mass, levels) for mass in masses), tuple(total), tuple(len(mass) for mass in masses), usage=usage
    )


def _shares(mass: dict[int, float], levels: int) -> tuple[float, ...]:
    total = sum(mass.values())
    return tuple(mass.get(level, 0.0) / total if total > 0.0 else math.nan for level in range(levels))

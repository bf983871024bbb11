from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.prompts import visible
from harness.models.server import slots
from harness.models.server.wire import Answer, Position
from harness.types import Message, NeuroglossError, Outcome, SlottedPrompt, Usage

WORDS = st.lists(
    st.text(max_size=6) | st.sampled_from([" 10", "7", "\n", "\t", "<start>", "unknown", '"', "é", "```"]),
    min_size=2,
    max_size=12,
)


def prompt(words: list[str]) -> SlottedPrompt:
    lines = [f"{visible(word)}\t" for word in words]
    parts = (lines[0], *(f"\n{line}" for line in lines[1:]))
    worked = Message("assistant", "a\t9\n10\t3")
    return SlottedPrompt((Message("user", "x"), worked, Message("user", "y")), parts, "-", 11)


def pieces(text: str, levels: list[int], cuts: random.Random) -> list[bytes]:
    """``text`` cut anywhere, in the middle of characters too; a level, marked by a NUL, is a piece of its own."""
    found = []
    for number, run in enumerate(text.split("\0")):
        rest = run.encode()
        while rest:
            width = cuts.randint(1, 4)
            found.append(rest[:width])
            rest = rest[width:]
        if number < len(levels):
            found.append(str(levels[number]).encode())
    return found


@pytest.mark.slow
@given(WORDS, st.randoms(use_true_random=False))
def test_every_slot_of_a_copy_is_found_however_it_is_cut(words: list[str], cuts: random.Random) -> None:
    asked = slots.spoken(prompt(words))
    levels = [cuts.randint(0, 10) for _ in words]
    positions = [
        Position(piece, ((piece, -0.5),))
        for piece in pieces("\n".join(line + "\0" for line in asked.lines), levels, cuts)
    ]
    found = slots.positions_of_lines(positions, asked.lines)
    assert [one and one.text for one in found] == [str(level).encode() for level in levels]
    reading = slots.reading(found, 11, Usage())
    assert [shares.index(1.0) for shares in reading.probabilities] == levels


@given(WORDS, st.integers(0, 11), st.randoms(use_true_random=False))
def test_a_cut_copy_loses_only_what_is_cut_off(words: list[str], kept: int, cuts: random.Random) -> None:
    asked = slots.spoken(prompt(words))
    whole = "\n".join(line + "3" for line in asked.lines[:kept])
    reading = slots.written(whole, asked.lines, 11, Usage())
    assert reading.seen == tuple(int(number < kept) for number in range(len(words)))
    assert all(math.isnan(mass) for mass in reading.mass)


def test_a_fence_around_the_copy_is_no_line_of_it() -> None:
    reading = slots.written("```text\na\t1\nb\t2\n```", ["a\t", "b\t"], 11, Usage())
    assert reading.seen == (1, 1)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (b"0", 0),
        (b" 7", 7),
        (b"10", 10),
        (b"11", None),
        (b"07", None),
        (b"-1", None),
        (b"5.5", None),
        (b"", None),
        ("٣".encode(), None),
    ],
)
def test_only_a_plain_number_in_range_is_a_level(text: bytes, level: int | None) -> None:
    assert slots.level_of(text, 11) == level


def test_tokens_that_write_the_same_level_are_added_and_the_rest_is_left_out() -> None:
    top = ((b"5", math.log(0.3)), (b" 5", math.log(0.1)), (b"2", math.log(0.1)), (b"the", math.log(0.2)))
    reading = slots.reading([Position(b"5", top), Position(b"x", ((b"x", -0.1),)), None], 11, Usage())
    assert reading.probabilities[0][5] == pytest.approx(0.8)
    assert reading.mass[0] == pytest.approx(0.5)
    assert reading.seen == (2, 0, 0)
    assert all(math.isnan(share) for share in reading.probabilities[1])
    assert reading.outcome is Outcome.OK


@given(WORDS)
def test_the_slots_of_an_echo_are_where_its_placeholders_are(words: list[str]) -> None:
    text, places = slots.echoed(prompt(words))
    assert len(places) == len(words)
    data = text.encode()
    assert all(data[place : place + 1] == b"-" and data[place - 1 : place] == b"\t" for place in places)
    positions = [Position(bytes([byte]), ((bytes([byte]), -0.5),)) for byte in data]
    found = slots.positions_of_prompt(echo(positions), prompt(words))
    assert [one and one.text for one in found or ()] == [b"-"] * len(words)
    assert slots.positions_of_prompt(echo(positions[1:]), prompt(words)) is None


def echo(positions: Sequence[Position]) -> Answer:
    return Answer("", Outcome.OK, tuple(positions))


def decoded(text: str, cuts: random.Random) -> list[Position]:
    """``text`` cut anywhere, each piece decoded apart: perhaps without a space before it, and with marks where it is no
    whole character."""
    found = []
    rest = text.encode()
    while rest:
        width = cuts.randint(1, 4)
        piece = rest[:width].decode(errors="replace")
        found.append(Position((piece[1:] if piece[:1] == " " and cuts.random() < 0.5 else piece).encode(), ()))
        rest = rest[width:]
    return found


def decoded_turn(asked: SlottedPrompt, cuts: random.Random) -> tuple[list[Position], list[Position]]:
    """The tokens of the assistant's turn, and those among them that stand in its slots: each is a token of its own,
    as a piece of a word may be that is written alike."""
    tokens: list[Position] = []
    in_slots: list[Position] = []
    for part in asked.parts:
        in_slots.append(Position(asked.placeholder.encode(), ()))
        tokens += [*decoded(part, cuts), in_slots[-1]]
    return tokens, in_slots


@pytest.mark.slow
@given(WORDS.filter(lambda words: "\ufffd" not in "".join(words)), st.randoms(use_true_random=False))
def test_slots_are_found_though_tokens_are_decoded_one_by_one(words: list[str], cuts: random.Random) -> None:
    asked = prompt(words)
    turn = "".join(part + asked.placeholder for part in asked.parts)
    assert slots.turn(asked)[0] == turn
    text, _ = slots.echoed(asked)
    assert text.endswith(turn)
    tokens, in_slots = decoded_turn(asked, cuts)
    echoing = [*decoded(text.removesuffix(turn), cuts), *tokens, Position(b"7", ())]
    templated = (Position(b"<|start|>", ()), *decoded("system\na\t9", cuts), *tokens)
    for answer in (echo(echoing), Answer("", Outcome.OK, prompt=templated)):
        found = slots.positions_of_prompt(answer, asked)
        assert found is not None
        assert [id(one) for one in found] == [id(one) for one in in_slots]


@pytest.mark.parametrize(
    "reply", ["", "no", "[]", '{"lines": 3}', '{"lines": [3, {"text": "b"}]}', '{"lines": [{"text": "b", "level": 2}]}']
)
def test_json_that_does_not_follow_the_schema_is_missing(reply: str) -> None:
    assert slots.written_json(reply, ["a\t", "b\t"], 11, Usage()).seen == (0, 0)


def test_json_of_one_level_and_of_lines() -> None:
    assert slots.written_json('{"level": 4}', ["a\t"], 11, Usage()).probabilities[0].index(1.0) == 4
    rows = '{"lines": [{"text": "a", "level": 4}, {"text": "zz", "level": 5}, {"text": "c", "level": true}]}'
    assert slots.written_json(rows, ["a\t", "b\t", "c\t"], 11, Usage()).seen == (1, 0, 0)


def test_worked_examples_take_the_form_of_the_question() -> None:
    asked = slots.spoken(prompt(["b", "c"]), as_json=True)
    assert asked.messages[1].content == "x\n\na\t-\n10\t-"
    assert asked.messages[2].content == '{"lines": [{"text": "a", "level": 9}, {"text": "10", "level": 3}]}'
    one = SlottedPrompt((Message("user", "x"), Message("assistant", "7\t9"), Message("user", "y")), ("b\t",), "", 11)
    assert [turn.content for turn in slots.spoken(one).messages[1:]] == ["x\n\n7\t", "9", "y\n\nb\t"]


@pytest.mark.parametrize(
    ("messages", "parts", "placeholder", "sentence"),
    [
        ((), ("a", "b"), "", "leaves its slots empty"),
        ((), ("a ", "b "), "-", "line of its own"),
        ((Message("user", "x"), Message("assistant", "no level")), ("a",), "", "must end with its level"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    messages: tuple[Message, ...], parts: tuple[str, ...], placeholder: str, sentence: str
) -> None:
    with pytest.raises(NeuroglossError, match=sentence):
        slots.spoken(SlottedPrompt(messages, parts, placeholder, 10))

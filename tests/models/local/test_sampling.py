"""Replies end where they should, and each has random numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from harness.models.local.sampling import Sample, Sampler, finish
from harness.types import CompletionPrompt, Message, Outcome

END = 0
LETTERS = " abcdefgh"


def decode(ids: Sequence[int]) -> str:
    return "".join(LETTERS[token] for token in ids)


def sampler(stream: int = 0, **fields: object) -> Sampler:
    prompt = CompletionPrompt((Message("user", "?"),), **fields)  # type: ignore[arg-type]
    return Sampler(prompt, frozenset({END}), decode, stream)


class Scripted:
    """A decoder whose rows give the letters of a text, one after another, and then end."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)
        self.step_number = 0
        self.rows: list[int] = []
        self._show()

    def _show(self) -> None:
        self.logits = torch.full((len(self.texts), len(LETTERS)), -9.0)
        for row, text in enumerate(self.texts):
            self.logits[row, LETTERS.index((text + " " * 99)[self.step_number])] = 9.0

    def step(self, tokens: Sequence[int]) -> None:
        assert len(tokens) == len(self.texts)
        self.rows.append(len(tokens))
        self.step_number += 1
        self._show()

    def keep(self, rows: Sequence[int]) -> None:
        self.texts = [self.texts[row] for row in rows]
        self.logits = self.logits[list(rows)]


def test_replies_end_at_an_end_token_a_stop_text_or_their_most_tokens() -> None:
    texts = ["abc", "abcdefgh", "abcdef", ""]
    samplers = [sampler(), sampler(stop=("de",)), sampler(max_tokens=4), sampler()]
    found = dict(finish(Scripted(texts), samplers))
    assert found[0] == Sample("abc", (1, 2, 3, 0), Outcome.OK)
    assert found[1] == Sample("abc", (1, 2, 3, 4, 5), Outcome.OK)
    assert found[2] == Sample("abcd", (1, 2, 3, 4), Outcome.TRUNCATED)
    assert found[3] == Sample("", (0,), Outcome.EMPTY)


def test_nothing_but_a_stop_text_is_empty() -> None:
    ((_, found),) = finish(Scripted(["abc"]), [sampler(stop=("a",))])
    assert found == Sample("", (1,), Outcome.EMPTY)


def test_finished_rows_are_let_go() -> None:
    decoder = Scripted(["a", "a", "a", "abcdefgh"])
    assert len(dict(finish(decoder, [sampler(max_tokens=9) for _ in range(4)]))) == 4
    assert decoder.rows == [4, 1, 1, 1, 1, 1, 1, 1]


def test_nan_logits_are_a_failure_and_no_token() -> None:
    found = sampler().take(torch.full((9,), float("nan")))
    assert found == Sample("", (), Outcome.FAILED)


def drawn(stream: int, temperature: float, top_p: float, count: int = 400) -> list[int]:
    one = sampler(stream, temperature=temperature, top_p=top_p, max_tokens=10**6)
    logits = torch.tensor([-30.0, 2.0, 1.0, 0.0, -30.0, -30.0, -30.0, -30.0, -30.0])
    for _ in range(count):
        assert one.take(logits) is None
    return one.ids


def test_sampling_follows_the_distribution_and_its_own_stream() -> None:
    first = drawn(1, 1.0, 1.0)
    assert first == drawn(1, 1.0, 1.0)
    assert first != drawn(2, 1.0, 1.0)
    shares = torch.tensor([2.0, 1.0, 0.0]).softmax(0)
    counts = torch.tensor([first.count(token) / len(first) for token in (1, 2, 3)])
    assert counts.tolist() == pytest.approx(shares.tolist(), abs=0.06)


def test_a_low_top_p_or_temperature_leaves_the_likeliest() -> None:
    assert set(drawn(1, 1.0, 0.5)) == {1}
    assert set(drawn(1, 1.0, 0.7)) == {1, 2}
    assert set(drawn(1, 0.05, 1.0)) == {1}
    assert set(drawn(1, 0.0, 1.0)) == {1}

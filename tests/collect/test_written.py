"""Text is kept as it is written: nothing is lost or written twice when the process ends, wherever it ends."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.collect.corpora import Sampled, Tokens
from harness.collect.written import WrittenText
from harness.subjects.sampling import Sampling
from harness.types import NeuroglossError, Progress

TEXTS = [(2, (5, 6, 7)), (0, ()), (1, (8,))]


@pytest.fixture
def text(tmp_path: Path) -> WrittenText:
    return WrittenText(tmp_path / "deep" / "text.jsonl", "abc")


def test_what_was_written_is_there_again(text: WrittenText) -> None:
    assert text.read() == {}
    assert list(text.adding(TEXTS)) == TEXTS
    assert text.read() == dict(TEXTS)
    before = text.path.read_bytes()
    assert list(text.adding(TEXTS)) == TEXTS
    assert text.path.read_bytes() == before


def test_wherever_it_is_cut_off_it_goes_on(text: WrittenText) -> None:
    list(text.adding(TEXTS))
    whole = text.path.read_bytes()
    for kept in range(len(whole)):
        text.path.write_bytes(whole[:kept])
        found = text.read()
        assert found == dict(TEXTS[: max(0, whole[:kept].count(b"\n") - 1)])
        assert list(text.adding(TEXTS)) == TEXTS
        assert text.path.read_bytes() == whole


def test_text_of_another_collection_or_a_damaged_file_is_refused(text: WrittenText) -> None:
    list(text.adding(TEXTS))
    with pytest.raises(NeuroglossError, match="is text of a collection with other settings"):
        dataclasses.replace(text, origin="abd").read()
    text.path.write_bytes(b'"abc"\n[1, 2, 3]\n')
    with pytest.raises(NeuroglossError, match=r"text.jsonl is damaged; delete it"):
        text.read()


def test_a_full_disk_leaves_what_was_written(text: WrittenText, monkeypatch: pytest.MonkeyPatch) -> None:
    list(text.adding(TEXTS[:1]))

    opened = Path.open

    def full(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
        if mode == "ab":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, *more, **named)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(NeuroglossError, match=r"cannot be written .*No space left.*goes on from what was written"):
        list(text.adding(TEXTS))
    monkeypatch.undo()
    assert text.read() == dict(TEXTS[:1])


class Writer:
    """Writes one text for each prompt, and knows how many it wrote."""

    vocabulary = 9
    written = 0

    def encode(self, text: str) -> Tokens:
        raise NotImplementedError

    def sample(
        self, prompts: Sequence[str], sampling: Sampling, progress: Progress, known: Mapping[int, Tokens]
    ) -> Iterator[tuple[int, Tokens]]:
        for index in range(len(prompts)):
            self.written += index not in known
            yield index, known.get(index, (index,))


def test_a_sampled_corpus_has_nothing_written_twice(text: WrittenText) -> None:
    corpus, writer = Sampled([{"ask": ["{about}"], "about": ["a", "b"]}], documents=5), Writer()
    corpus.written = text
    begun = corpus.documents(writer, lambda *_: None)
    first = [next(begun), next(begun)]
    again = list(corpus.documents(writer, lambda *_: None))
    assert again[:2] == first
    assert [one.token_ids for one in again] == [(0,), (1,), (2,), (3,), (4,)]
    assert writer.written == 5

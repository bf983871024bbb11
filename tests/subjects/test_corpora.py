"""Documents come from where they should, and are cut into passages that stay within them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.subjects.corpora import Corpus, Document, HubDataset, Sampled, TextFiles, Tokens, passages
from harness.subjects.sampling import Sampling
from harness.types import Excerpt, ExcerptKind, NeuroglossError, Progress

OPENINGS = [{"ask": ["Tell of {about}.", "Sing of {about}."], "about": ["a", "b {c}"]}]


class Characters:
    """A text model whose tokens are characters, and who answers a prompt with the prompt."""

    def encode(self, text: str) -> Tokens:
        return tuple(map(ord, text))

    def sample(self, prompts: Sequence[str], sampling: Sampling, progress: Progress) -> Iterator[tuple[int, Tokens]]:
        yield from reversed([(index, self.encode(prompt)) for index, prompt in enumerate(prompts)])


def read(corpus: Corpus) -> dict[str, str]:
    found = corpus.documents(Characters(), lambda *_: None)
    return {document.source: "".join(map(chr, document.token_ids)) for document in found}


# ------------------------------------------------------------------------------------------------------------ passages


@given(st.lists(st.text("ab", max_size=12), max_size=5), st.integers(1, 4))
def test_passages_stay_within_their_document_and_are_distinct(texts: list[str], length: int) -> None:
    documents = [Document(f"d{number}", tuple(map(ord, text))) for number, text in enumerate(texts)]
    found = list(passages(documents, length, chr))
    assert all(len(passage.token_ids) == length for passage in found)
    assert len({passage.token_ids for passage in found}) == len(found)
    for passage in found:
        name, first = passage.source.split(":")
        place = int(first)
        assert texts[int(name[1:])][place : place + length] == "".join(map(chr, passage.token_ids))
    pieces = {text[at : at + length] for text in texts for at in range(0, len(text) - length + 1, length)}
    assert pieces == {"".join(map(chr, passage.token_ids)) for passage in found}


def test_a_passage_has_the_digest_of_its_excerpt() -> None:
    (passage,) = passages([Document("d", (97, 98))], 2, chr)
    assert passage.digest == Excerpt(("a", "b"), (), (0.0, 0.0), ExcerptKind.TOP).digest


def test_ids_that_decode_alike_make_the_same_passage() -> None:
    documents = [Document("d", (1, 2)), Document("e", (3, 2))]
    assert len(list(passages(documents, 2, lambda token: "�" if token in (1, 3) else "x"))) == 1


# ------------------------------------------------------------------------------------------------------------- sampled


def test_every_combination_is_asked_in_a_seeded_order() -> None:
    corpus = Sampled(OPENINGS, documents=4, seed=1)
    assert sorted(corpus.prompts) == ["Sing of a.", "Sing of b {c}.", "Tell of a.", "Tell of b {c}."]
    assert Sampled(OPENINGS, documents=6, seed=1).prompts == corpus.prompts + corpus.prompts[:2]
    orders = {tuple(Sampled(OPENINGS, documents=4, seed=seed).prompts) for seed in range(10)}
    assert len(orders) > 1


def test_a_text_is_named_by_its_prompt() -> None:
    corpus = Sampled(OPENINGS, documents=2, seed=1)
    assert read(corpus) == {"sampled-00000": corpus.prompts[0], "sampled-00001": corpus.prompts[1]}


def test_openings_that_ask_for_nothing_are_refused() -> None:
    with pytest.raises(NeuroglossError, match="nothing to ask for"):
        Sampled([])
    with pytest.raises(NeuroglossError, match="has ask, abuot; give it ask and about"):
        Sampled([{"ask": ["x"], "abuot": ["y"]}])


# --------------------------------------------------------------------------------------------------------------- files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b.txt").write_text("one document\nof two lines")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text, "n": 1}) + "\n" for text in ("x", "y\nz")))
    (tmp_path / "deep").mkdir()
    pq.write_table(pa.table({"text": ["p", "q"], "n": [1, 2]}), tmp_path / "deep" / "c.parquet")
    (tmp_path / "notes.md").write_text("not read")
    return tmp_path


def test_a_folder_is_read_in_the_order_of_names(folder: Path) -> None:
    assert list(read(TextFiles(str(folder))).items()) == [
        ("a.jsonl#0", "x"),
        ("a.jsonl#1", "y\nz"),
        ("b.txt#0", "one document\nof two lines"),
        ("deep/c.parquet#0", "p"),
        ("deep/c.parquet#1", "q"),
    ]


def test_one_file_is_read_up_to_the_limit(folder: Path) -> None:
    assert read(TextFiles(str(folder / "a.jsonl"), documents=1)) == {"a.jsonl#0": "x"}


def test_a_missing_or_unknown_file_is_refused(folder: Path) -> None:
    for path in ("nowhere", "notes.md", "nowhere.txt"):
        with pytest.raises(NeuroglossError, match=rf"{path} is neither a file .*set corpus.path"):
            read(TextFiles(str(folder / path)))


def test_what_holds_no_text_is_refused_with_its_place(folder: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"a.jsonl has no text in 'n' at entry 0"):
        read(TextFiles(str(folder), text_field="n"))
    with pytest.raises(NeuroglossError, match=r"c.parquet can not be read as Parquet with a column 'other'"):
        read(TextFiles(str(folder / "deep" / "c.parquet"), text_field="other"))
    (folder / "a.jsonl").write_text('{"text": "x"}\nnot json\n')
    with pytest.raises(NeuroglossError, match=r"line 2 of .*a.jsonl is not a JSON object"):
        read(TextFiles(str(folder / "a.jsonl")))
    (folder / "b.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(NeuroglossError, match=r"b.txt is not UTF-8 text"):
        read(TextFiles(str(folder / "b.txt")))


# ------------------------------------------------------------------------------------------------------------- dataset


def test_a_dataset_is_streamed(folder: Path) -> None:
    found = read(HubDataset(str(folder / "deep"), documents=2))
    assert list(found.values()) == ["p", "q"]
    assert list(found) == [f"{folder / 'deep'}/train#{number}" for number in range(2)]


def test_a_dataset_without_such_text_or_split_is_refused(folder: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"no text column 'body'; it has text, n"):
        read(HubDataset(str(folder / "deep"), text_field="body"))
    with pytest.raises(NeuroglossError, match=r"can not be read .*check its name, split and revision"):
        read(HubDataset(str(folder / "deep"), split="test"))

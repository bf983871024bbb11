"""Documents come from where they should, and are cut into passages that stay within them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.collect.corpora import (
    Corpus,
    Cutting,
    Document,
    HubDataset,
    Sampled,
    Seen,
    TextFiles,
    TokenFiles,
    Tokens,
    passages,
)
from harness.subjects.sampling import Sampling
from harness.types import Excerpt, ExcerptKind, NeuroglossError, Progress

OPENINGS = [{"ask": ["Tell of {about}.", "Sing of {about}."], "about": ["a", "b {c}"]}]


class Characters:
    """A text model whose tokens are characters, and who answers a prompt with the prompt."""

    vocabulary = 200

    def encode(self, text: str) -> Tokens:
        return tuple(map(ord, text))

    def sample(
        self, prompts: Sequence[str], sampling: Sampling, progress: Progress, known: Mapping[int, Tokens]
    ) -> Iterator[tuple[int, Tokens]]:
        yield from reversed([(index, self.encode(prompt)) for index, prompt in enumerate(prompts)])


def read(corpus: Corpus) -> dict[str, str]:
    found = corpus.documents(Characters(), lambda *_: None)
    return {document.source: "".join(map(chr, document.token_ids)) for document in found}


# ------------------------------------------------------------------------------------------------------------ passages


@given(st.lists(st.text("ab", max_size=12), max_size=5), st.integers(1, 4))
def test_passages_stay_within_their_document_and_are_distinct(texts: list[str], length: int) -> None:
    documents = [Document(f"d{number}", tuple(map(ord, text))) for number, text in enumerate(texts)]
    found = list(passages(documents, Cutting(length), chr))
    assert all(len(passage.token_ids) == length for passage in found)
    assert len({passage.token_ids for passage in found}) == len(found)
    for passage in found:
        name, first = passage.source.split(":")
        place = int(first)
        assert texts[int(name[1:])][place : place + length] == "".join(map(chr, passage.token_ids))
    pieces = {text[at : at + length] for text in texts for at in range(0, len(text) - length + 1, length)}
    assert pieces == {"".join(map(chr, passage.token_ids)) for passage in found}


def test_a_passage_has_the_digest_of_its_excerpt() -> None:
    (passage,) = passages([Document("d", (97, 98))], Cutting(2), chr)
    assert passage.digest == Excerpt(("a", "b"), (), (0.0, 0.0), ExcerptKind.TOP).digest


def test_ids_that_decode_alike_make_the_same_passage() -> None:
    documents = [Document("d", (1, 2)), Document("e", (3, 2))]
    assert len(list(passages(documents, Cutting(2), lambda token: "�" if token in (1, 3) else "x"))) == 1


@given(st.lists(st.text("abcdefgh", max_size=12), max_size=5), st.integers(1, 5))
def test_passages_across_documents_leave_nothing_out_between_them(texts: list[str], length: int) -> None:
    documents = [Document(f"d{number}", tuple(map(ord, text))) for number, text in enumerate(texts)]
    found = list(passages(documents, Cutting(length, across=True), chr))
    joined = "".join(texts)
    pieces = [joined[at : at + length] for at in range(0, len(joined) - length + 1, length)]
    assert ["".join(map(chr, one.token_ids)) for one in found] == list(dict.fromkeys(pieces))
    for passage in found:
        name, first = passage.source.split(":")
        assert texts[int(name[1:])][int(first)] == chr(passage.token_ids[0])


def test_a_start_token_comes_first_and_the_text_is_one_shorter() -> None:
    found = list(passages([Document("d", tuple(b"abcdefg"))], Cutting(4, start=1), chr))
    assert [passage.token_ids for passage in found] == [(1, 97, 98, 99), (1, 100, 101, 102)]
    assert [passage.source for passage in found] == ["d:0", "d:3"]


def test_what_was_seen_is_always_known_and_what_was_not_hardly_ever() -> None:
    seen = Seen()
    digests = [hashlib.sha256(bytes([a, b])).digest() for a in range(256) for b in range(100)]
    assert all(seen.add(digest) for digest in digests)
    assert not any(seen.add(digest) for digest in digests)


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
    with pytest.raises(NeuroglossError, match="no prompt to use"):
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


def test_line_ends_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\r\nb\rc\n")
    assert read(TextFiles(str(tmp_path))) == {"a.txt#0": "a\r\nb\rc\n"}


def test_one_file_is_read_up_to_the_limit(folder: Path) -> None:
    assert read(TextFiles(str(folder / "a.jsonl"), documents=1)) == {"a.jsonl#0": "x"}


def test_a_missing_or_unknown_file_is_refused(folder: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"notes.md is neither a file .*set corpus.path"):
        read(TextFiles(str(folder / "notes.md")))
    for kind in (TextFiles, TokenFiles):  # before a subject is loaded to read it
        with pytest.raises(NeuroglossError, match=r"no file or folder .*nowhere\.txt; set corpus\.path"):
            kind(str(folder / "nowhere.txt"))


def test_what_holds_no_text_is_refused_with_its_place(folder: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"a.jsonl has no text in 'n' at entry 0"):
        read(TextFiles(str(folder), text_field="n"))
    with pytest.raises(NeuroglossError, match=r"c.parquet cannot be read as Parquet with a column 'other'"):
        read(TextFiles(str(folder / "deep" / "c.parquet"), text_field="other"))
    (folder / "a.jsonl").write_text('{"text": "x"}\nnot json\n')
    with pytest.raises(NeuroglossError, match=r"line 2 of .*a.jsonl is not a JSON object"):
        read(TextFiles(str(folder / "a.jsonl")))
    (folder / "b.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(NeuroglossError, match=r"b.txt is not UTF-8 text"):
        read(TextFiles(str(folder / "b.txt")))


def test_byte_order_marks_and_empty_lines_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('\ufeff{"text": "x"}\n\n{"text": "y"}\n \r\n\n', encoding="utf-8")
    (tmp_path / "b.txt").write_text("\ufeffz\n", encoding="utf-8")
    assert read(TextFiles(str(tmp_path))) == {"a.jsonl#0": "x", "a.jsonl#1": "y", "b.txt#0": "z\n"}


# ------------------------------------------------------------------------------------------------------------- dataset


def test_a_dataset_is_streamed(folder: Path) -> None:
    found = read(HubDataset(str(folder / "deep"), documents=2))
    assert list(found.values()) == ["p", "q"]
    assert list(found) == [f"{folder / 'deep'}/train#{number}" for number in range(2)]


def test_a_dataset_without_such_text_or_split_is_refused(folder: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"no text column 'body'; it has text, n"):
        read(HubDataset(str(folder / "deep"), text_field="body"))
    with pytest.raises(NeuroglossError, match=r"cannot be read .*check its name, split and revision"):
        read(HubDataset(str(folder / "deep"), split="test"))


def test_an_error_that_says_nothing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("datasets.load_dataset", fails)
    with pytest.raises(NeuroglossError, match=r"cannot be read \(TimeoutError\); check its name"):
        read(HubDataset(str(folder / "deep")))


def test_a_dataset_on_the_hub_is_pinned() -> None:
    for revision in (None, "main", "v1.0", "abcdef1"):
        with pytest.raises(NeuroglossError, match=r"dataset some/data has the revision .*pin the full commit hash"):
            HubDataset("some/data", revision=revision)
    assert HubDataset("some/data", revision="0123456789abcdef" * 2 + "01234567").revision


def test_a_dataset_that_ends_early_is_an_error_after_what_it_has(folder: Path) -> None:
    found = HubDataset(str(folder / "deep"), documents=3).documents(Characters(), lambda *_: None)
    assert [next(found).token_ids for _ in range(2)] == [(112,), (113,)]
    with pytest.raises(NeuroglossError, match=r"ended after 2 of 3 documents"):
        next(found)


# -------------------------------------------------------------------------------------------------------------- tokens


def test_token_ids_are_read_as_they_are(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"input_ids": pa.array([[97, 98], [], [99]], pa.list_(pa.int32()))}), tmp_path / "a.parquet"
    )
    assert read(TokenFiles(str(tmp_path))) == {"a.parquet#0": "ab", "a.parquet#1": "", "a.parquet#2": "c"}
    assert read(TokenFiles(str(tmp_path / "a.parquet"), documents=1)) == {"a.parquet#0": "ab"}


@pytest.mark.parametrize("wrong", [[[97, 200]], [[-1]], [None], ["text"], [97]])
def test_what_is_no_list_of_token_ids_is_refused(tmp_path: Path, wrong: list[object]) -> None:
    pq.write_table(pa.table({"input_ids": wrong}), tmp_path / "a.parquet")
    with pytest.raises(NeuroglossError, match=r"a.parquet has no token ids from 0 to 199 in 'input_ids' at entry 0"):
        read(TokenFiles(str(tmp_path)))
    with pytest.raises(NeuroglossError, match=r"with a column 'tokens'; set corpus.text_field or corpus.ids_field"):
        read(TokenFiles(str(tmp_path), ids_field="tokens"))
    (tmp_path / "b.txt").write_text("1 2")
    with pytest.raises(NeuroglossError, match=r"neither a file \(\.parquet\) nor a folder"):
        read(TokenFiles(str(tmp_path / "b.txt")))

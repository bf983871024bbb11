"""Prompt files: what is shown stays unambiguous, and a file that cannot be used is refused with a sentence."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.prompts import Prompt, load, one_line, visible
from harness.types import Message, NeuroglossError

FILE = """
system: Say {{ most }}.
user: |-
  {% for word in words %}
  {{ word | visible }}
  {% endfor %}
  {{ question }}
assistant: "{{ answer }}"
examples:
  - {words: [a, b], question: "What?", answer: Letters.}
"""
ALPHABET = st.characters() | st.sampled_from("\\\t\n\r\x00\x0b\x85\u2028\u2029\u200b\ufffd\ud800 <>'\"nt")


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str, name: str = "ask-v1") -> Prompt:
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return load(tmp_path, name)

    return write


@pytest.mark.parametrize(
    ("token", "line"),
    [
        (" the", " the"),
        ("\t", r"\t"),
        (" \n\n", r" \n\n"),
        ("\\n", r"\\n"),
        ("\x00", r"\x00"),
        ("\u2028", r"\u2028"),
        ("\ufffd", "\ufffd"),
        ("\ud83d", r"\ud83d"),
        ("é€漢", "é€漢"),
        ("<start>", "<start>"),
        ("", ""),
    ],
)
def test_a_token_is_written_so_that_it_can_be_seen(token: str, line: str) -> None:
    assert visible(token) == line


@given(st.text(ALPHABET))
def test_a_visible_token_is_one_line_and_can_be_read_back(token: str) -> None:
    line = visible(token)
    assert len(line.splitlines()) <= 1
    assert "\t" not in line
    line.encode("utf-8")
    escapes = r"\\(\\|t|n|r|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"
    assert re.sub(escapes, lambda match: ast.literal_eval(f"'{match.group()}'"), line) == token


def test_one_line_keeps_all_but_white_space() -> None:
    assert one_line(" a\n b\t(c)  'd' ") == "a b (c) 'd'"


def test_a_prompt_becomes_a_conversation(written) -> None:
    messages = written(FILE).messages({"most": "little", "words": [" x", "\n"], "question": "Why?"})
    assert messages == (
        Message("system", "Say little."),
        Message("user", "a\nb\nWhat?"),
        Message("assistant", "Letters."),
        Message("user", " x\n\\n\nWhy?"),
    )


def test_what_is_filled_in_is_neither_escaped_nor_rendered(written) -> None:
    prompt = written(FILE)
    text = prompt.render("user", {"words": ["{{ 1 + 1 }}", "<b>&amp;"], "question": "{% raw %}"})
    assert text == "{{ 1 + 1 }}\n<b>&amp;\n{% raw %}"


def test_the_answers_of_examples_can_be_written_by_the_caller(written) -> None:
    opening = written(FILE).opening({"most": "x"}, lambda example: example["question"].upper())
    assert opening[-1] == Message("assistant", "WHAT?")


@pytest.mark.slow
@given(st.integers(0, len(FILE) - 1))
def test_any_change_of_a_file_is_another_version(tmp_path_factory: pytest.TempPathFactory, at: int) -> None:
    folder = tmp_path_factory.mktemp("prompts")
    comment = "# " + FILE.replace("\n", " ") + "\n"
    (folder / "ask-v1.yaml").write_text(comment + FILE)
    before = load(folder, "ask-v1").version
    (folder / "ask-v1.yaml").write_text(comment[: at + 2] + "~" + comment[at + 2 :] + FILE)
    assert load(folder, "ask-v1").version != before
    assert before.startswith("ask-v1+")


def test_line_endings_do_not_change_the_version(tmp_path: Path) -> None:
    (tmp_path / "ask-v1.yaml").write_bytes(FILE.encode())
    (tmp_path / "ask-v2.yaml").write_bytes(FILE.replace("\n", "\r\n").encode())
    first, second = load(tmp_path, "ask-v1"), load(tmp_path, "ask-v2")
    assert first.version.removeprefix("ask-v1") == second.version.removeprefix("ask-v2")
    assert first.parts == second.parts


def test_a_missing_variable_is_named(written) -> None:
    with pytest.raises(NeuroglossError, match=r"ask-v1\+.*'user': 'question' is undefined; it can use words"):
        written(FILE).render("user", {"words": []})


def test_a_missing_part_is_named(written) -> None:
    with pytest.raises(NeuroglossError, match="no part 'slot'"):
        written(FILE).render("slot", {})


@pytest.mark.parametrize("name", ["ask-v2", "ask", "../ask-v1", "ask-v1.yaml", ""])
def test_a_missing_prompt_is_refused_with_those_there_are(written, tmp_path: Path, name: str) -> None:
    written(FILE)
    with pytest.raises(NeuroglossError, match=r"there is no prompt .*; there are: ask-v1\."):
        load(tmp_path, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping"),
        ("system: a\n", "needs a text for the part 'user'"),
        ("system: a\nuser: b\nexmaples: [{}]\n", "needs a text for the part 'exmaples'"),
        ("system: a\nuser: '{% if %}'\n", "part 'user', line 1"),
        ("system: a\nuser: b\nexamples: [1]\n", "must be a list of mappings"),
        ("system: [\n", "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_refused(written, text: str, message: str) -> None:
    with pytest.raises(NeuroglossError, match=message):
        written(text)

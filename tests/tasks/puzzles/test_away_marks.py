from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.tasks.puzzles import marks, rules, source, task
from harness.types import NeuroglossError

words = st.lists(st.tuples(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.integers(0, 10)), min_size=1, max_size=9)


def levels(marked: str) -> list[tuple[str, int]]:
    text = marks.levelled(marked)
    return list(zip(text.tokens, text.levels, strict=True))


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("He {{ran}} home.", [("He", 0), (" ran", 10), (" home", 0), (".", 0)]),
        ("a {{warm|4}} day", [("a", 0), (" warm", 4), (" day", 0)]),
        ("in {{1987}} it", [("in", 0), (" 198", 10), ("7", 10), (" it", 0)]),
        ("f(x{{)}};", [("f", 0), ("(", 0), ("x", 0), (");", 10)]),
        ("if a:\n{{    }}b", [("if", 0), (" a", 0), (":", 0), ("\n   ", 10), (" b", 0)]),
        ("{{to the}} left", [("to", 10), (" the", 10), (" left", 0)]),
        ("{{a}}{{b|3}}", [("ab", 10)]),
        ("{{x|y}} and {x}", [("x", 10), ("|", 10), ("y", 10), (" and", 0), (" {", 0), ("x", 0), ("}", 0)]),
    ],
)
def test_tokens_have_the_level_of_their_mark(marked: str, expected: list[tuple[str, int]]) -> None:
    assert levels(marked) == expected


@given(words)
def test_a_marked_text_is_the_text_with_the_levels_that_were_marked(pairs: list[tuple[str, int]]) -> None:
    text = marks.levelled(" ".join(f"{{{{{word}|{level}}}}}" if level else word for word, level in pairs))
    assert text.tokens == tuple(rules.pieces(" ".join(word for word, _ in pairs)))
    assert text.levels == tuple(level for _, level in pairs)


@pytest.mark.parametrize("marked", ["{{open", "closed}}", "a {{}} b"])
def test_a_mark_that_is_not_whole_is_refused(marked: str) -> None:
    with pytest.raises(NeuroglossError, match="a mark that is not whole"):
        marks.levelled(marked)


@pytest.mark.parametrize("marked", ["{{a|0}}", "{{a|11}}"])
def test_a_level_off_the_scale_is_refused(marked: str) -> None:
    with pytest.raises(NeuroglossError, match="from 1 to 10"):
        marks.levelled(marked)


def test_a_puzzle_without_a_rule_has_marked_texts(puzzle_source: Path) -> None:
    path = puzzle_source / "puzzles.yaml"
    first, *others = yaml.safe_load(path.read_text())
    del first["rule"]
    texts = ["The {{dog|6}} barked.", "Nothing.", "A {{cat}}.", "Nobody."]
    path.write_text(yaml.safe_dump([{**first, "texts": texts}, *others]))
    assert source.read(path)[0].texts[0].levels == (0, 6, 0, 0)
    path.write_text(yaml.safe_dump([{**first, "texts": texts[:2] * 2 + ["a", "b", "c", "d"]}, *others]))
    with pytest.raises(NeuroglossError, match="nothing is marked in one half of its texts"):
        source.read(path)


def test_in_a_puzzle_with_a_rule_braces_are_text(puzzle_source: Path) -> None:
    item = yaml.safe_load((puzzle_source / "puzzles.yaml").read_text())[0]
    puzzle = source.compiled({**item, "pair": None, "texts": ["a {{dog}}", "the cat"]}, "here")
    assert "".join(puzzle.texts[0].tokens) == "a {{dog}}"


def test_the_first_paragraph_of_a_page_describes_the_task(puzzle_source: Path) -> None:
    (puzzle_source / "README.md").write_text("# Mine\n\nPuzzles about\npets.\n\nMore.\n")
    task.write(puzzle_source, puzzle_source)
    assert task.read(puzzle_source).description == "Puzzles about pets."

"""A WordNet of a few made-up entries in the format of the real one, and examples drawn over a few texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from harness import weights
from harness.models.tuned.text import Tokenizer
from harness.training import sources
from harness.training.examples import Examples, Pool, windows
from harness.training.families import Makers
from harness.training.wordnet import WordNet

Entry = tuple[str, Sequence[str], str, Mapping[str, Sequence[int]]]
"""Part of speech, lemmas, gloss with examples, pointers by symbol to the numbers of other entries."""

ENTRIES: list[Entry] = [
    ("n", ["vessel"], 'a thing that floats; "the vessel left the harbour"', {"~": [1, 2, 3, 4, 5], "@": [19]}),
    ("n", ["boat"], "a small vessel", {"@": [0]}),
    ("n", ["ferry"], "a vessel that carries people across", {"@": [0]}),
    ("n", ["raft"], "logs that float", {"@": [0]}),
    ("n", ["barge"], "a flat vessel", {"@": [0]}),
    ("n", ["canoe", "dugout_canoe"], "a narrow vessel", {"@": [0]}),
    ("n", ["bank"], "where money is kept", {}),
    ("n", ["bank"], "the side of a river", {}),
    ("v", ["move"], 'go from a place; "they moved to the coast"', {"~": [9, 10, 11, 12]}),
    ("v", ["run"], "move fast on foot", {"@": [8]}),
    ("v", ["walk"], "move on foot", {"@": [8]}),
    ("v", ["carry"], "move with a load", {"@": [8]}),
    ("v", ["sail"], "move on water", {"@": [8]}),
    ("a", ["large"], "above the usual size", {"&": [14, 15, 16], "!": [17]}),
    ("s", ["huge"], "very large", {"&": [13]}),
    ("s", ["vast"], "very large in extent", {"&": [13]}),
    ("s", ["giant"], "very large for its kind", {"&": [13]}),
    ("a", ["small"], "below the usual size", {"!": [13]}),
    ("r", ["quickly"], "with speed", {}),
    ("n", ["craft"], "a thing to travel in", {"~": [0]}),
]
_FILES = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}
_NUMBERS = {"n": 1, "v": 2, "a": 3, "r": 4, "s": 5}
TEXTS = [
    "The boat lay at the bank. A ferry and a raft came down the river, and the canoe ran behind the barge!",
    "They walked to the harbour, carried 12 crates to the vessel and sailed quickly. Was it a huge ship?",
    "A giant stood on the vast plain. The small man ran; the large one walked (slowly). Boats moved on.",
    "Nobody had seen the ferry since Monday. It brought flour, lamps, paper, letters and now and then a stranger.",
    "In the end the school took the bottles, and they stood on the shelf above the stove for 10 years, or 12.",
    "Sail or walk, run or move, they said; nobody would carry the barge to the bank for them.",
]
"""Texts that hold enough words of a noun, a verb and an adjective of the made-up WordNet to make categories of them."""


def write(folder: Path, tagged: Mapping[tuple[int, str], int]) -> Path:
    """Write the entries as WordNet's files, an entry's offset being 1000 and its number; ``tagged`` counts senses."""
    entries = ENTRIES
    data: dict[str, list[str]] = {name: ["  1 a licence"] for name in _FILES.values()}
    senses: dict[tuple[str, str], list[int]] = {}
    counts = []
    for number, (part, lemmas, gloss, pointers) in enumerate(entries):
        listed = [(symbol, other) for symbol, others in pointers.items() for other in others]
        linked = " ".join(f"{symbol} {1000 + other:08d} {entries[other][0]} 0000" for symbol, other in listed)
        words = " ".join(f"{lemma} {_rank(number, lemma):x}" for lemma in lemmas)
        line = f"{1000 + number:08d} 05 {part} {len(lemmas):02x} {words} {len(listed):03d} {linked}".rstrip()
        data[_FILES[part]].append(f"{line} | {gloss}  ")
        for lemma in lemmas:
            senses.setdefault((_FILES[part], lemma), []).append(1000 + number)
            count = tagged.get((number, lemma), 0)
            if count:
                counts.append(f"{lemma}%{_NUMBERS[part]}:05:{_rank(number, lemma):02d}:: 1 {count}")
    for name, lines in data.items():
        (folder / f"data.{name}").write_text("\n".join(lines) + "\n")
        index = [
            f"{lemma} {name[0]} {len(found)} 0 {len(found)} 0 {' '.join(f'{one:08d}' for one in found)}  "
            for (kind, lemma), found in senses.items()
            if kind == name
        ]
        (folder / f"index.{name}").write_text("\n".join(["  1 a licence", *index]) + "\n")
        (folder / f"{name}.exc").write_text("ran run\n" if name == "verb" else "")
    (folder / "cntlist.rev").write_text("\n".join(counts) + "\n")
    return folder


def _rank(number: int, lemma: str) -> int:
    """How many entries of the same part of speech before this one have the lemma: it tells their senses apart."""
    part = ENTRIES[number][0]
    return sum(part == other and lemma in lemmas for other, lemmas, _, _ in ENTRIES[:number])


@pytest.fixture(scope="session")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> WordNet:
    """The made-up WordNet."""
    return WordNet(write(tmp_path_factory.mktemp("wordnet"), {}))


@pytest.fixture
def tagged_wordnet(tmp_path: Path) -> Callable[[Mapping[tuple[int, str], int]], WordNet]:
    """The same with senses that are tagged so often, by entry and lemma."""
    return lambda tagged: WordNet(write(tmp_path, tagged))


@pytest.fixture(scope="session")
def examples(wordnet: WordNet, tiny_llama: Path) -> Examples:
    """Examples over a few texts, with the tokenizer of a small random model."""
    tokenizer = Tokenizer.of(weights.load_tokenizer(str(tiny_llama)))
    documents = TEXTS * 8  # makers ask for words that stand in the texts 8 times
    makers = Makers(wordnet, sources.counts(documents))
    return Examples(
        [Pool(list(windows(documents, tokenizer, limit, 0)), limit) for limit in (24, 40)], makers, tokenizer
    )

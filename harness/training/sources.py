"""Texts that training examples are cut from: texts of SmolLM2, example sentences of WordNet, pieces of source code."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.tasks.puzzles import rules
from harness.training.wordnet import WordNet
from harness.types import NeuroglossError

CODE = Path(__file__).with_name("data") / "code.txt"


def written(path: Path) -> list[str]:
    """Return the texts of a folder: ``text`` of the JSON object on each line of its ``.jsonl`` files, by file name.

    Raises:
        NeuroglossError: the folder has no such file.
    """
    files = sorted(path.glob("*.jsonl"))
    if not files:
        raise NeuroglossError(f"{path} holds no texts; run `make simulator`, which writes them first.")
    return [json.loads(line)["text"] for file in files for line in file.read_text("utf-8").splitlines()]


def examples(wordnet: WordNet, seed: int) -> Iterator[str]:
    """Yield texts of two to seven example sentences of WordNet, three quarters of them with capitals and full stops."""
    chance = random.Random(seed)
    shuffled = list(wordnet.examples)
    chance.shuffle(shuffled)
    while shuffled:
        sentences = [shuffled.pop() for _ in range(min(len(shuffled), chance.randint(2, 7)))]
        yield "; ".join(sentences) if chance.random() < 0.25 else " ".join(map(_as_sentence, sentences))


def code() -> list[str]:
    """Return pieces of this project's source, from a file that stays the same when the source changes."""
    return CODE.read_text("utf-8").rstrip("\n").split("\n\f\n")


def counts(texts: Iterable[str]) -> Counter[str]:
    """Return the number of occurrences of each word, in lower case, in the texts."""
    return Counter(word.lower for text in texts for word in rules.read(text).words)


def _as_sentence(example: str) -> str:
    text = example[:1].upper() + example[1:]
    return text if text.endswith((".", "!", "?")) else text + "."

"""The texts that training examples are cut from: SmolLM2's own, WordNet's example sentences, pieces of our code."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.puzzles import rules
from harness.tuning.wordnet import WordNet
from harness.types import NeuroglossError

CODE = Path(__file__).with_name("data") / "code.txt"


def written(path: Path) -> list[str]:
    """The texts that SmolLM2 wrote: a JSON object with ``text`` on each line of every ``.jsonl`` file of a folder."""
    files = sorted(path.glob("*.jsonl"))
    if not files:
        raise NeuroglossError(f"{path} holds no texts; run `make simulator`, which writes them first.")
    return [json.loads(line)["text"] for file in files for line in file.read_text("utf-8").splitlines()]


def examples(wordnet: WordNet, seed: int) -> Iterator[str]:
    """WordNet's example sentences, from two to seven in a text, some written as sentences and some as they stand."""
    chance = random.Random(seed)
    shuffled = list(wordnet.examples)
    chance.shuffle(shuffled)
    while shuffled:
        some = [shuffled.pop() for _ in range(min(len(shuffled), chance.randint(2, 7)))]
        yield "; ".join(some) if chance.random() < 0.25 else " ".join(map(_as_sentence, some))


def code() -> list[str]:
    """Pieces of this project's own source, as they were when the file was made: they stay the same as it goes on."""
    return CODE.read_text("utf-8").rstrip("\n").split("\n\f\n")


def counts(texts: Iterable[str]) -> Counter[str]:
    """How often each word, in lower case, stands in the texts."""
    return Counter(word.lower for text in texts for word in rules.read(text).words)


def _as_sentence(example: str) -> str:
    text = example[:1].upper() + example[1:]
    return text if text.endswith((".", "!", "?")) else text + "."

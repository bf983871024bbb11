"""The folder of a planted model: what ``subject=transformers`` loads, beside the truth and a corpus.

``truth.json`` holds, for each planted neuron by its name, its family, the true explanation, near misses, and whether
the truth is about its output. It is what the ``planted`` control reads, and nothing else may.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness import files, weights
from harness.tasks.planted import construction, text
from harness.tasks.planted.draw import draw
from harness.tasks.planted.rules import Planted
from harness.types import NeuroglossError

TRUTH, CORPUS = "truth.json", "corpus.jsonl"
FORMAT = "neurogloss planted truths 1"
NEURONS = 128


def plant(folder: Path, tokenizer: str, seed: int, neurons: int = NEURONS, documents: int = text.DOCUMENTS) -> Planted:
    """Make a model with planted neurons, and write it with its truth and a corpus, whole or not at all.

    Args:
        folder: a new one.
        tokenizer: the name of a model whose tokenizer is used, as :func:`harness.weights.load_tokenizer` takes it.
        seed: of everything that is drawn; a fresh one for each release.
        neurons: the width of each MLP.
        documents: the size of the corpus.

    Raises:
        NeuroglossError: the folder exists or cannot be written, the tokenizer lacks words, or ``neurons`` is too small.
    """
    if folder.exists():
        raise NeuroglossError(f"{folder} exists; name a new folder.")
    loaded = weights.load_tokenizer(tokenizer)
    planted = draw(texts_of(loaded), lambda words: loaded(words, add_special_tokens=False)["input_ids"], seed, neurons)
    _check_room(planted, neurons)
    try:
        with files.unfinished(folder) as draft:
            construction.build(planted, neurons).save_pretrained(draft)
            loaded.save_pretrained(draft)
            _write(draft, planted, seed, documents)
            draft.rename(folder)
    except OSError as error:
        reason = error.strerror or error
        raise NeuroglossError(f"{folder} cannot be written ({reason}); name another folder.") from error
    return planted


def _check_room(planted: Planted, neurons: int) -> None:
    """Refuse a layer 0 that has no room for its helpers."""
    helpers = len(construction.layout_of(planted).of_previous)
    if len(construction.free(planted, 0, neurons)) < helpers:
        raise NeuroglossError(
            f"neurons is {neurons}, and layer 0 needs {helpers} more beside the planted ones; raise it."
        )


def _write(folder: Path, planted: Planted, seed: int, documents: int) -> None:
    """Write the corpus and the truth."""
    lines = [json.dumps({"text": document}) for document in text.documents(planted, seed, documents)]
    (folder / CORPUS).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    content = json.dumps(truths(planted, seed), ensure_ascii=False, indent=1)
    (folder / TRUTH).write_text(content + "\n", encoding="utf-8", newline="\n")


def texts_of(tokenizer: Any) -> list[str]:
    """Return the text of each token, by its id, with the space that it begins with."""
    return [tokenizer.decode([token]) for token in range(len(tokenizer))]


def truths(planted: Planted, seed: int) -> dict[str, Any]:
    """Return the content of ``truth.json``."""
    return {
        "format": FORMAT,
        "seed": seed,
        "units": {
            str(neuron.unit): {
                "family": neuron.family,
                "truth": neuron.truth,
                "near": list(neuron.near),
                "by_output": neuron.by_output,
            }
            for neuron in planted.neurons
        },
    }

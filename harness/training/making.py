"""Steps of making an adapter that need no config: examples over texts, readings of a network, the adapter file."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import save

from harness import files
from harness.models.tuned.network import Architecture, TunedNetwork
from harness.models.tuned.text import Tokenizer
from harness.training import calibrate, sources
from harness.training.examples import Examples, Pool, Window, windows
from harness.training.families import Makers
from harness.training.judge import Reader
from harness.training.train import expected
from harness.training.wordnet import WordNet
from harness.types import FloatArray

SHORT, LONG = 34, 64
"""The most tokens of a text, in the two pools."""
_PARTS = 32
"""Parts in which documents are counted and cut; it decides the draws, so it does not depend on the processes."""
_READ_AT_ONCE = 256  # readings of one pass of a network

T = TypeVar("T")


def examples_from(texts: Sequence[str], tokenizer: Tokenizer, seed: int, workers: int = 1) -> Examples:
    """Return the examples over texts of the subject, sentences of WordNet and pieces of code.

    Args:
        texts: texts of the subject.
        tokenizer: of the base model.
        seed: decides how texts are put together and cut.
        workers: processes that count words and cut texts.
    """
    wordnet = WordNet()
    documents = [*texts, *sources.examples(wordnet, seed), *sources.code()]
    parts = [documents[first::_PARTS] for first in range(_PARTS)]
    counts = sum(_each(sources.counts, parts, workers), Counter[str]())
    pools = []
    for limit in (SHORT, LONG):
        cut = partial(_cut, tokenizer=tokenizer, limit=limit, seed=seed)
        pools.append(Pool([window for part in _each(cut, parts, workers) for window in part], limit))
    return Examples(pools, Makers(wordnet, counts), tokenizer)


def _each(work: Callable[[list[str]], T], parts: Sequence[list[str]], workers: int) -> list[T]:
    if workers == 1:
        return [work(part) for part in parts]
    with ProcessPoolExecutor(workers) as processes:
        return list(processes.map(work, parts))


def _cut(documents: Iterable[str], tokenizer: Tokenizer, limit: int, seed: int) -> list[Window]:
    return list(windows(documents, tokenizer, limit, seed))


def network_reader(network: TunedNetwork, tokenizer: Tokenizer) -> Reader:
    """Return a reader that asks a network in training for expected levels, at the tokens of its own tokenizer."""

    @torch.inference_mode()
    def read(pairs: Sequence[tuple[str, tuple[str, ...]]]) -> list[FloatArray]:
        order = sorted(range(len(pairs)), key=lambda index: (len(pairs[index][1]), pairs[index]))
        readings: dict[int, FloatArray] = {}
        for first in range(0, len(order), _READ_AT_ONCE):
            chosen = order[first : first + _READ_AT_ONCE]
            asked = [tokenizer.explanation(pairs[index][0]) for index in chosen]
            texts = [tokenizer.text(tokenizer.encode("".join(pairs[index][1]))[0]) for index in chosen]
            logits = network(asked, texts, [(place, place) for place in range(len(chosen))])[:, 1:]
            levels = expected(logits.float()).cpu().numpy().astype(np.float64)
            for index, row in zip(chosen, levels, strict=True):
                readings[index] = np.resize(row, len(pairs[index][1]))
        return [readings[index] for index in range(len(pairs))]

    return read


def write_adapter(
    network: TunedNetwork, architecture: Architecture, calibration: calibrate.Fitted, base: str, path: Path
) -> None:
    """Write the trained tensors in half precision, with the base, architecture and calibration as metadata."""
    metadata: dict[str, Any] = {
        "base": base,
        "architecture": dataclasses.asdict(architecture),
        "temperature": calibration.temperature,
        "bias": list(calibration.bias),
    }
    tensors = {
        name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in network.trained().items()
    }
    files.write_whole(path, save(tensors, metadata={"neurogloss": json.dumps(metadata), "format": "pt"}))

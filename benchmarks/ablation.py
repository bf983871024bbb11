"""How fast neurons are ablated, against full forward passes, and how the cost grows.

Run it by hand, on a quiet machine: ``python benchmarks/ablation.py``. Both sides replace the same neurons, spread over
all layers, on the same random excerpts, in this one process, in turns and in the same batches; both compute the
original distributions once for each excerpt. The other side runs the whole model under each replacement and takes the
divergence of its whole logits. Their answers must agree to 1e-4, or nothing is reported.

The model is a random GPT-2 as deep as GPT-2 XL, the subject of Bills et al., whose unembedding is the same share of the
work (5 %); only layers can be saved, so the bound is about 2 for it, and nearer to 1 the larger the vocabulary of a
small model is. ``--model`` names a real one instead: embedded:smollm2-135m-instruct, a folder, a name on the hub.
``--scaling`` prints how cost grows with neurons, excerpts and vocabulary. ``--cpu-time`` measures the processor time of
one thread instead of wall time, for a machine that is not quiet. The last line is one JSON object:

* ``speedup``: time of the other side divided by ours, the median over rounds.
* ``peak_mb``: the most memory that the process held up to the end of our side, the model included;
  ``peak_mb_full_passes``: to the end of the other.
* ``largest_error``: between the divergences, and the changes in loss, of both (nats).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from harness.subjects.locate import locate
from harness.subjects.partial import PartialModel
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import Effect, Identity, NeuronId, Replacement

LAYERS, WIDTH, VOCABULARY, HEADS = 48, 256, 8192, 4
TOLERANCE = 1e-4


class RandomSubject(TransformersSubject):
    """A GPT-2 with random weights, large enough for a neuron to matter."""

    def __init__(self, vocabulary: int, batch_size: int) -> None:
        super().__init__("random gpt2", batch_size=batch_size)
        config = GPT2Config(
            n_layer=LAYERS,
            n_embd=WIDTH,
            n_head=HEADS,
            vocab_size=vocabulary,
            n_positions=256,
            initializer_range=0.1,
            bos_token_id=None,
            eos_token_id=None,
        )
        torch.manual_seed(0)
        self.network = GPT2LMHeadModel(config).eval()
        self.__dict__.update(_model=PartialModel(self.network), _identity=Identity("random gpt2", "0"))


class LoadedSubject(TransformersSubject):
    """A real model."""

    def __init__(self, name: str, batch_size: int) -> None:
        super().__init__(name, batch_size=batch_size)
        self.network: Any = self._loaded.model


Subject = RandomSubject | LoadedSubject


def main() -> None:
    options = _options()
    torch.set_grad_enabled(False)
    if options.cpu_time:
        torch.set_num_threads(1)
        global _clock  # noqa: PLW0603  # one clock for the whole run
        _clock = time.process_time
    named = options.model
    subject = LoadedSubject(named, options.batch) if named else RandomSubject(options.vocabulary, options.batch)
    asked = _replacements(subject, options.neurons or subject.shape[0], options.excerpts, options.length)
    _ours(subject, asked[:2])  # what is done once for a model is not what is measured
    ours, others, peak = [], [], 0.0
    for number in range(options.rounds):
        fast, took = _timed(lambda: _ours(subject, asked))
        peak = peak or _peak()
        slow, takes = _timed(lambda: _full_passes(subject, asked))
        ours.append(took)
        others.append(takes)
        error = _error(fast, slow)
        print(f"round {number + 1}: ours {took:.2f} s, full passes {takes:.2f} s, {takes / took:.2f} x, {error:.1e}")
        if not error < TOLERANCE:
            raise SystemExit(f"the two sides differ by {error}, more than {TOLERANCE}")
    print(f"{len(asked)} replacements, {torch.get_num_threads()} threads, batches of {options.batch}")
    if options.scaling:
        _scaling(options)
    report = {
        "speedup": round(statistics.median(slow / fast for slow, fast in zip(others, ours, strict=True)), 3),
        "peak_mb": round(peak),
        "peak_mb_full_passes": round(_peak()),
        "largest_error": error,
        "model": named or f"random GPT-2, {LAYERS} layers of {WIDTH}, {options.vocabulary} tokens",
        "replacements": len(asked),
        "clock": _clock.__name__,
    }
    print(json.dumps(report))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a real model, in place of the random one")
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY, help="of the random model")
    parser.add_argument("--neurons", type=int, help="spread over the layers; one a layer unless given")
    parser.add_argument("--excerpts", type=int, default=16, help="on each of which every neuron is replaced")
    parser.add_argument("--length", type=int, default=64, help="of an excerpt")
    parser.add_argument("--batch", type=int, default=16, help="sequences that go through the model together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true", help="of one thread, for a machine that is not quiet")
    parser.add_argument("--scaling", action="store_true", help="also print how cost grows")
    return parser.parse_args()


_clock = time.perf_counter


def _timed(work: Callable[[], list[Effect]]) -> tuple[list[Effect], float]:
    began = _clock()
    found = work()
    return found, _clock() - began


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _replacements(subject: Subject, neurons: int, excerpts: int, length: int) -> list[Replacement]:
    """Every neuron on every excerpt, by random activations."""
    generator = torch.Generator().manual_seed(0)
    layers, width = subject.shape
    ids = torch.randint(subject.vocabulary, (excerpts, length), generator=generator).tolist()
    where = [NeuronId(place * layers // neurons, place * 7919 % width) for place in range(neurons)]
    values = 3 * torch.randn(neurons, excerpts, length, generator=generator)
    return [
        Replacement(neuron, tuple(tokens), tuple(values[row, column].tolist()), leading=1)
        for row, neuron in enumerate(where)
        for column, tokens in enumerate(ids)
    ]


def _ours(subject: Subject, asked: Sequence[Replacement]) -> list[Effect]:
    found = dict(subject.effects(asked))
    return [found[index] for index in range(len(asked))]


def _full_passes(subject: Subject, asked: Sequence[Replacement]) -> list[Effect]:
    """The whole model under every replacement; replacements in one layer go through it together."""
    originals = _whole(subject, list(dict.fromkeys(one.token_ids for one in asked)))
    found: list[Effect] = []
    for first in range(0, len(asked), subject.batch_size):
        batch = asked[first : first + subject.batch_size]
        before = torch.stack([originals[one.token_ids] for one in batch])
        handles = [_hook(subject, layer, batch) for layer in {one.neuron.layer for one in batch}]
        after = subject.network(torch.tensor([one.token_ids for one in batch])).logits.float().log_softmax(-1)
        for handle in handles:
            handle.remove()
        targets = torch.tensor([one.token_ids for one in batch])[:, 1:, None]
        lost = (before[:, :-1].gather(2, targets) - after[:, :-1].gather(2, targets)).mean(dim=(1, 2))
        found += map(Effect, _divergence(before, after).mean(dim=1).tolist(), lost.tolist())
    return found


def _divergence(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """By the definition."""
    middle = torch.logaddexp(before, after) - torch.log(torch.tensor(2.0))
    sides = [(one.exp() * (one - middle)).sum(-1) for one in (before, after)]
    return (sides[0] + sides[1]) / 2


def _whole(subject: Subject, sequences: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], torch.Tensor]:
    kept: dict[tuple[int, ...], torch.Tensor] = {}
    for first in range(0, len(sequences), subject.batch_size):
        some = sequences[first : first + subject.batch_size]
        kept |= zip(some, subject.network(torch.tensor(some)).logits.float().log_softmax(-1), strict=True)
    return kept


def _hook(subject: Subject, layer: int, batch: Sequence[Replacement]) -> Any:
    rows = [row for row, one in enumerate(batch) if one.neuron.layer == layer]
    columns = [batch[row].neuron.index for row in rows]
    values = torch.tensor([batch[row].values[batch[row].leading :] for row in rows])

    def replaced(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        changed = inputs[0].reshape(len(batch), -1, inputs[0].shape[-1]).clone()
        for row, column, some in zip(rows, columns, values, strict=True):
            changed[row, batch[row].leading :, column] = some
        return (changed.reshape(inputs[0].shape), *inputs[1:])

    return locate(subject.network).projections[layer].register_forward_pre_hook(replaced)


def _error(fast: Sequence[Effect], slow: Sequence[Effect]) -> float:
    sides = [torch.tensor([[one.divergence, one.loss_change] for one in side]) for side in (fast, slow)]
    return float((sides[0] - sides[1]).abs().max())


def _scaling(options: argparse.Namespace) -> None:
    print("\n| neurons | excerpts | vocabulary | ours, s | full passes, s | speedup | ms for a replacement |")
    print("|" + " ---: |" * 7)
    cases = [(neurons, 4, VOCABULARY) for neurons in (6, 12, 24, 48)]
    cases += [(12, excerpts, VOCABULARY) for excerpts in (2, 8, 16)]
    cases += [(12, 4, vocabulary) for vocabulary in (2048, 16384, 50257)]
    for neurons, excerpts, vocabulary in cases:
        subject = RandomSubject(vocabulary, options.batch)
        asked = _replacements(subject, neurons, excerpts, options.length)
        _ours(subject, asked[:2])
        _, took = _timed(lambda: _ours(subject, asked))  # noqa: B023  # called at once
        _, takes = _timed(lambda: _full_passes(subject, asked))  # noqa: B023
        each = 1000 * took / len(asked)
        print(f"| {neurons} | {excerpts} | {vocabulary} | {took:.2f} | {takes:.2f} | {takes / took:.2f} | {each:.1f} |")
    print()


if __name__ == "__main__":
    main()

"""Measure the speed of neuron ablation against full forward passes, and the growth of its cost.

Run it by hand, on a quiet machine: ``python benchmarks/ablation.py``. Both sides replace the same neurons, spread over
all layers, on the same random excerpts, in one process, in turns and in the same batches; both compute the original
distributions once for each excerpt. The reference runs the whole model under each replacement and takes the divergence
of the full logits. If the two sides differ by more than 1e-4, nothing is reported.

The model is a random GPT-2 as deep as GPT-2 XL, the subject of Bills et al., with the same share of work in the
unembedding (5 %). Only layers can be saved, so the bound of the speedup is about 2; in small models with a large
vocabulary it is nearer to 1. ``--model`` names a pretrained model: embedded:smollm2-135m-instruct, a folder, or a name
on the hub. ``--scaling`` prints the cost by neurons, excerpts and vocabulary. ``--cpu-time`` measures the processor
time of one thread in place of wall time, for a machine that is not quiet. The last line is one JSON object:

* ``speedup``: time of full passes divided by time of ablation, the median over rounds.
* ``peak_mb``: peak memory of the process at the end of the first ablation, the model included;
  ``peak_mb_full_passes``: at the end of the run, full passes included.
* ``largest_error``: largest difference between the two sides in divergence or change in loss (nats), in the last round.
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
from harness.types import Effect, Identity, Replacement, Unit

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
    """A pretrained model."""

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
    model = options.model
    subject = LoadedSubject(model, options.batch) if model else RandomSubject(options.vocabulary, options.batch)
    replacements = _replacements(
        subject, options.neurons or len(subject.units.widths), options.excerpts, options.length
    )
    _ablate(subject, replacements[:2])  # work that is done once for a model is not measured
    speedups, peak = [], 0.0
    for number in range(options.rounds):
        effects, seconds = _timed(lambda: _ablate(subject, replacements))
        peak = peak or _peak()
        full_effects, full_seconds = _timed(lambda: _full_passes(subject, replacements))
        speedups.append(full_seconds / seconds)
        error = _error(effects, full_effects)
        print(
            f"round {number + 1}: ours {seconds:.2f} s, full passes {full_seconds:.2f} s, {speedups[-1]:.2f} x, "
            f"{error:.1e}"
        )
        if not error < TOLERANCE:
            raise SystemExit(f"the two sides differ by {error}, more than {TOLERANCE}")
    print(f"{len(replacements)} replacements, {torch.get_num_threads()} threads, batches of {options.batch}")
    if options.scaling:
        _scaling(options)
    report = {
        "speedup": round(statistics.median(speedups), 3),
        "peak_mb": round(peak),
        "peak_mb_full_passes": round(_peak()),
        "largest_error": error,
        "model": model or f"random GPT-2, {LAYERS} layers of {WIDTH}, {options.vocabulary} tokens",
        "replacements": len(replacements),
        "clock": _clock.__name__,
    }
    print(json.dumps(report))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a pretrained model, in place of the random one")
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
    effects = work()
    return effects, _clock() - began


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _replacements(subject: Subject, neurons: int, excerpts: int, length: int) -> list[Replacement]:
    """Return replacements of each neuron on each excerpt by random activations."""
    generator = torch.Generator().manual_seed(0)
    layers, width = len(subject.units.widths), subject.units.widths[0]
    ids = torch.randint(subject.vocabulary, (excerpts, length), generator=generator).tolist()
    units = [Unit("N", place * layers // neurons, place * 7919 % width) for place in range(neurons)]
    values = 3 * torch.randn(neurons, excerpts, length, generator=generator)
    return [
        Replacement(neuron, tuple(tokens), tuple(values[row, column].tolist()), leading=1)
        for row, neuron in enumerate(units)
        for column, tokens in enumerate(ids)
    ]


def _ablate(subject: Subject, replacements: Sequence[Replacement]) -> list[Effect]:
    effects = dict(subject.effects(replacements))
    return [effects[index] for index in range(len(replacements))]


def _full_passes(subject: Subject, replacements: Sequence[Replacement]) -> list[Effect]:
    """Return the effects from passes of the whole model, a batch of replacements at a time."""
    originals = _log_probabilities(subject, list(dict.fromkeys(replacement.token_ids for replacement in replacements)))
    effects: list[Effect] = []
    for first in range(0, len(replacements), subject.batch_size):
        batch = replacements[first : first + subject.batch_size]
        token_ids = torch.tensor([replacement.token_ids for replacement in batch])
        original = torch.stack([originals[replacement.token_ids] for replacement in batch])
        handles = [_hook(subject, layer, batch) for layer in {replacement.unit.place for replacement in batch}]
        ablated = subject.network(token_ids).logits.float().log_softmax(-1)
        for handle in handles:
            handle.remove()
        targets = token_ids[:, 1:, None]
        loss_change = (original[:, :-1].gather(2, targets) - ablated[:, :-1].gather(2, targets)).mean(dim=(1, 2))
        effects += map(Effect, _divergence(original, ablated).mean(dim=1).tolist(), loss_change.tolist())
    return effects


def _divergence(original: torch.Tensor, ablated: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon divergence of log probabilities [..., vocabulary] by its definition, in nats [...]."""
    middle = torch.logaddexp(original, ablated) - torch.log(torch.tensor(2.0))
    sides = [(side.exp() * (side - middle)).sum(-1) for side in (original, ablated)]
    return (sides[0] + sides[1]) / 2


def _log_probabilities(subject: Subject, sequences: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], torch.Tensor]:
    log_probabilities: dict[tuple[int, ...], torch.Tensor] = {}
    for first in range(0, len(sequences), subject.batch_size):
        batch = sequences[first : first + subject.batch_size]
        logits = subject.network(torch.tensor(batch)).logits
        log_probabilities |= zip(batch, logits.float().log_softmax(-1), strict=True)
    return log_probabilities


def _hook(subject: Subject, layer: int, batch: Sequence[Replacement]) -> Any:
    rows = [row for row, replacement in enumerate(batch) if replacement.unit.place == layer]
    columns = [batch[row].unit.index for row in rows]
    values = torch.tensor([batch[row].values[batch[row].leading :] for row in rows])

    def replaced(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        changed = inputs[0].reshape(len(batch), -1, inputs[0].shape[-1]).clone()
        for row, column, activations in zip(rows, columns, values, strict=True):
            changed[row, batch[row].leading :, column] = activations
        return (changed.reshape(inputs[0].shape), *inputs[1:])

    return locate(subject.network).projections[layer].register_forward_pre_hook(replaced)


def _error(fast: Sequence[Effect], slow: Sequence[Effect]) -> float:
    sides = [torch.tensor([[effect.divergence, effect.loss_change] for effect in side]) for side in (fast, slow)]
    return float((sides[0] - sides[1]).abs().max())


def _scaling(options: argparse.Namespace) -> None:
    print("\n| neurons | excerpts | vocabulary | ours, s | full passes, s | speedup | ms for a replacement |")
    print("|" + " ---: |" * 7)
    cases = [(neurons, 4, VOCABULARY) for neurons in (6, 12, 24, 48)]
    cases += [(12, excerpts, VOCABULARY) for excerpts in (2, 8, 16)]
    cases += [(12, 4, vocabulary) for vocabulary in (2048, 16384, 50257)]
    for neurons, excerpts, vocabulary in cases:
        subject = RandomSubject(vocabulary, options.batch)
        replacements = _replacements(subject, neurons, excerpts, options.length)
        _ablate(subject, replacements[:2])
        _, seconds = _timed(lambda: _ablate(subject, replacements))  # noqa: B023  # called at once
        _, full_seconds = _timed(lambda: _full_passes(subject, replacements))  # noqa: B023
        milliseconds = 1000 * seconds / len(replacements)
        print(
            f"| {neurons} | {excerpts} | {vocabulary} | {seconds:.2f} | {full_seconds:.2f} "
            f"| {full_seconds / seconds:.2f} | {milliseconds:.1f} |"
        )
    print()


if __name__ == "__main__":
    main()

"""Training loop: batches by number, optimiser steps, and checkpoints from which it resumes."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset

from harness import files
from harness.models.tuned.network import LEVELS, Sequences, TunedNetwork
from harness.training.examples import IGNORED, Examples, Group
from harness.training.voices import Voices
from harness.types import NeuroglossError


@dataclass(frozen=True)
class Training:
    """Settings of the training loop.

    Attributes:
        steps: number of optimiser steps.
        units: units in a batch; a unit is two explanations on the same texts.
        each: texts of a unit in the pool of short texts and in that of long ones.
        long_share: share of the batches that have long texts.
        learning_rate: peak rate of the low-rank maps down.
        up_ratio: rate of the low-rank maps up, as a multiple of ``learning_rate`` (Hayou et al., arXiv 2402.12354).
        head_ratio: rate of the head, which begins at zero, as a multiple of ``learning_rate``.
        positive_weight: weight in the loss of a token that fires; a token that does not fire has weight 1.
        warmup: steps over which the learning rate rises; then it falls along a cosine to a twentieth.
        growth: share of the steps over which all families come in.
        weight_decay: weight decay of all trained tensors.
        clip: largest norm of the gradient.
        checkpoint_every: steps between checkpoints.
        seed: decides every batch and the initial values of the trained tensors.
        voiced: share of the units in the voices of many hands (:mod:`harness.training.voices`).
        block: batches that are drawn together, and sorted by the length of their explanations.
        workers: processes that draw batches.
        device: ``cpu`` or ``cuda``.
        seconds: time after which training has ended even if steps remain; the learning rate falls by whichever of
            time and steps is further. None for no limit.
        base: name of the weights that are trained on.
    """

    steps: int = 760
    units: int = 4
    each: tuple[int, int] = (3, 2)
    long_share: float = 0.25
    learning_rate: float = 6e-4
    up_ratio: float = 1.0
    head_ratio: float = 3.0
    positive_weight: float = 3.0
    warmup: int = 25
    growth: float = 0.3
    weight_decay: float = 0.01
    clip: float = 1.0
    checkpoint_every: int = 50
    seed: int = 0
    voiced: float = 0.0
    block: int = 1
    workers: int = 1
    device: str = "cpu"
    seconds: float | None = None
    base: str = "embedded:smollm2-135m-instruct"


@dataclass(frozen=True, eq=False)
class Batch:
    """Input of one step; ``levels`` [pairs, longest text] are :data:`IGNORED` for tokens that are not asked about."""

    explanations: Sequences
    texts: Sequences
    pairs: torch.Tensor
    levels: torch.Tensor


def batch_of(groups: Sequence[Group], examples: Examples, pieces: Sequence[str] | None = None) -> Batch:
    """Return the batch of some groups; a text that several groups share is held once.

    Args:
        groups: explanations and the texts that each is read on.
        examples: whose tokenizer encodes the explanations.
        pieces: texts of the base model's tokens, for a network that reads spelling.
    """
    tokenizer = examples.tokenizer
    windows = list({id(window): window for group in groups for window in group.windows}.values())
    number = {id(window): index for index, window in enumerate(windows)}
    readings = [
        (row, number[id(window)], window_levels)
        for row, group in enumerate(groups)
        for window, window_levels in zip(group.windows, group.levels, strict=True)
    ]
    levels = np.full((len(readings), max(len(reading) for *_, reading in readings)), IGNORED, dtype=np.int64)
    for place, (*_, reading) in enumerate(readings):
        levels[place, : len(reading)] = reading
    return Batch(
        Sequences.of([tokenizer.explanation(group.explanation) for group in groups], pieces),
        Sequences.of([tokenizer.text(window.ids) for window in windows], pieces),
        torch.tensor([(row, column) for row, column, _ in readings]),
        torch.from_numpy(levels),
    )


class Batches(Dataset[list[Batch]]):
    """Batches by number of their block, a block being as many steps as ``training.block``."""

    def __init__(
        self,
        examples: Examples,
        training: Training,
        pieces: Sequence[str] | None = None,
        voices: Voices | None = None,
    ) -> None:
        self.examples = examples
        self.training = training
        self.pieces = pieces
        self.voices = voices

    def __len__(self) -> int:
        return math.ceil(self.training.steps / self.training.block)

    def __getitem__(self, block: int) -> list[Batch]:
        training = self.training
        chance = random.Random(f"{training.seed} {block}")
        long = int(chance.random() < training.long_share)
        growth = min(1.0, block * training.block / (training.growth * training.steps))
        units = [self._unit(chance, long, growth) for _ in range(training.block * training.units)]
        if training.block > 1:  # long explanations pad short ones if they are in one batch
            units.sort(key=lambda unit: max(len(group.explanation) for group in unit))
        parts = [units[first : first + training.units] for first in range(0, len(units), training.units)]
        chance.shuffle(parts)
        return [batch_of([group for unit in part for group in unit], self.examples, self.pieces) for part in parts]

    def _unit(self, chance: random.Random, long: int, growth: float) -> list[Group]:
        pool, texts = self.examples.pools[long], self.training.each[long]
        if self.voices is not None and chance.random() < self.training.voiced:
            return self.voices.unit(chance, pool, texts, growth)
        return self.examples.unit(chance, pool, texts, growth)


def expected(logits: torch.Tensor) -> torch.Tensor:
    """Return the expected level [...] of logits [..., levels]."""
    return logits.softmax(-1) @ torch.arange(LEVELS, dtype=logits.dtype, device=logits.device)


def loss_of(logits: torch.Tensor, levels: torch.Tensor, positive_weight: float = 1.0) -> torch.Tensor:
    """Return the cross-entropy of the levels, a weighted mean over the tokens that are asked about.

    Most tokens never fire. Without a larger weight on those that do, a network first learns to predict 0 everywhere.

    Args:
        logits: [..., tokens, levels].
        levels: [..., tokens].
        positive_weight: weight of a token that fires; the others have weight 1.
    """
    mask = levels != IGNORED
    losses = torch.nn.functional.cross_entropy(logits[mask], levels[mask], reduction="none")
    weights = torch.where(levels[mask] > 0, positive_weight, 1.0)
    return (losses * weights).sum() / weights.sum()


def rate(step: float, training: Training) -> float:
    """Return the factor of the learning rates at a step: a linear warmup, then a cosine down to 0.05."""
    if step < training.warmup:
        return (step + 1) / training.warmup
    share = (step - training.warmup) / max(1, training.steps - training.warmup)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share))


class Trainer:
    """A network, its optimiser and the current step, saved in ``folder``.

    Args:
        network: the network to train.
        training: settings of the loop.
        folder: holds the checkpoint and the log; training resumes from the checkpoint if there is one.
        origin: digest of everything that decides the training; a checkpoint of another origin is refused.
    """

    def __init__(self, network: TunedNetwork, training: Training, folder: Path, origin: str) -> None:
        self.network = network
        self.origin = origin
        self.training = training
        self.folder = folder
        self.step = 0
        self.seconds = 0.0
        self._begun = 0.0
        ratios = {".down": 1.0, ".up": training.up_ratio, "": training.head_ratio}
        groups: dict[str, list[torch.Tensor]] = {ending: [] for ending in ratios}
        for name, tensor in network.trained().items():
            groups[next(ending for ending in ratios if name.endswith(ending))].append(tensor)
        self.optimizer = torch.optim.AdamW(
            [{"params": group, "peak": training.learning_rate * ratios[ending]} for ending, group in groups.items()],
            lr=training.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=training.weight_decay,
        )

    def run(self, batches: Batches, watch: Callable[[int], Mapping[str, float]] = lambda _: {}) -> None:
        """Train to the last step, and log figures every 10 steps.

        Args:
            batches: the batch of each step.
            watch: returns further figures for the log; it is called with the step at each checkpoint.

        Raises:
            NeuroglossError: the checkpoint in the folder was made with other settings.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        self._begun, tokens, recent = time.monotonic() - self.seconds, 0, list[dict[str, torch.Tensor]]()
        start = self.seconds
        for batch in self._remaining(batches):
            recent.append(self._take(batch))
            tokens += batch.levels.numel()
            ended = self._place() >= self.training.steps
            if self.step % 10 == 0 or ended:
                figures = {name: float(torch.stack([step[name] for step in recent]).mean()) for name in recent[0]}
                self.seconds = time.monotonic() - self._begun
                figures |= {"seconds": self.seconds, "tokens_per_second": tokens / (self.seconds - start)}
                if self.step % self.training.checkpoint_every == 0 or ended:
                    self._save()
                    figures |= watch(self.step)
                self._log(figures)
                recent = []
            if ended:
                break

    def _remaining(self, batches: Batches) -> Iterator[Batch]:
        numbers = range(self.step // self.training.block, len(batches))
        workers = self.training.workers
        loader = DataLoader(batches, batch_size=None, sampler=numbers, num_workers=workers, prefetch_factor=4)
        skipped = self.step % self.training.block
        for block in loader:
            yield from block[skipped:]
            skipped = 0

    def _place(self) -> float:
        """Return the step at which training is, or the later one at which it should be by its time."""
        limit, steps = self.training.seconds, self.training.steps
        return max(float(self.step), steps * (time.monotonic() - self._begun) / limit) if limit else float(self.step)

    def _take(self, batch: Batch) -> dict[str, torch.Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate(self._place(), self.training)
        levels = batch.levels.to(self.training.device)
        with self._kernel():
            logits = self.network(batch.explanations, batch.texts, batch.pairs)[:, 1:]
        loss = loss_of(logits, levels, self.training.positive_weight)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(self.network.trained().values()), self.training.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return {"loss": loss.detach(), "correlation": _correlation(expected(logits.detach()), levels)}

    def _kernel(self) -> AbstractContextManager[Any]:
        """Return the choice of the attention kernel; the fused one is slow backwards on a processor."""
        return sdpa_kernel(SDPBackend.MATH) if self.training.device == "cpu" else nullcontext()

    # ---------------------------------------------------------------------------------------------------- checkpoints

    def _save(self) -> None:
        """Write the trained tensors, the optimiser's state and the step to one file, complete or not at all."""
        names = {id(tensor): name for name, tensor in self.network.trained().items()}
        tensors = {f"value/{name}": tensor.detach() for name, tensor in self.network.trained().items()}
        for tensor, state in self.optimizer.state.items():
            tensors |= {f"{key}/{names[id(tensor)]}": torch.as_tensor(value) for key, value in state.items()}
        metadata = {"step": str(self.step), "origin": self.origin, "seconds": str(self.seconds)}
        content = save({name: tensor.cpu() for name, tensor in tensors.items()}, metadata=metadata)
        files.write_whole(self.folder / "checkpoint.safetensors", content)

    def _resume(self) -> None:
        path = self.folder / "checkpoint.safetensors"
        if not path.is_file():
            return
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        origin = metadata.get("origin")
        if origin != self.origin:
            raise NeuroglossError(
                f"{path} was made by a training with other settings; name another folder, or delete it to begin anew."
            )
        tensors = load_file(path)
        self.network.restore(_under("value", tensors))
        for name, tensor in self.network.trained().items():
            self.optimizer.state[tensor] = {
                key: tensors[f"{key}/{name}"].to("cpu" if key == "step" else tensor.device)
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{key}/{name}" in tensors
            }
        self.step = round(float(next(iter(_under("step", tensors).values()))))
        self.seconds = float(metadata.get("seconds", 0.0))

    def _log(self, figures: Mapping[str, float]) -> None:
        line = json.dumps({"step": self.step, **{name: round(value, 4) for name, value in figures.items()}})
        print(line, flush=True)
        with (self.folder / "curve.jsonl").open("a", encoding="utf-8") as log:
            log.write(line + "\n")


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(f"{prefix}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")
    }


def _correlation(predicted: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Return Pearson's correlation over all tokens of a batch that are asked about."""
    mask = levels != IGNORED
    pair = torch.stack([predicted[mask].double(), levels[mask].double()])
    return torch.corrcoef(pair)[0, 1].nan_to_num()

"""Training loop: batches by number, optimiser steps, and checkpoints from which it resumes."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset

from harness import files
from harness.models.tuned.network import LEVELS, Pairs, TunedNetwork
from harness.training.examples import IGNORED, Examples, Group
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


@dataclass(frozen=True, eq=False)
class Batch:
    """Input of one step; ``levels`` [pairs, longest text] are :data:`IGNORED` for tokens that are not asked about."""

    explanations: Sequence[tuple[int, ...]]
    texts: Sequence[tuple[int, ...]]
    pairs: Pairs
    levels: torch.Tensor


def batch_of(groups: Sequence[Group], examples: Examples) -> Batch:
    """Return the batch of some groups; a text that several groups share is held once."""
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
        [tokenizer.explanation(group.explanation) for group in groups],
        [tokenizer.text(window.ids) for window in windows],
        [(row, column) for row, column, _ in readings],
        torch.from_numpy(levels),
    )


class Batches(Dataset[Batch]):
    """Batches by number of the step."""

    def __init__(self, examples: Examples, training: Training) -> None:
        self.examples = examples
        self.training = training

    def __len__(self) -> int:
        return self.training.steps

    def __getitem__(self, step: int) -> Batch:
        chance = random.Random(f"{self.training.seed} {step}")
        long = int(chance.random() < self.training.long_share)
        pool, texts = self.examples.pools[long], self.training.each[long]
        growth = min(1.0, step / (self.training.growth * self.training.steps))
        groups = [
            group for _ in range(self.training.units) for group in self.examples.unit(chance, pool, texts, growth)
        ]
        return batch_of(groups, self.examples)


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


def rate(step: int, training: Training) -> float:
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
        start, tokens, recent = time.monotonic(), 0, []
        for batch in self._remaining(batches):
            recent.append(self._take(batch))
            tokens += batch.levels.numel()
            if self.step % 10 == 0 or self.step == self.training.steps:
                figures = {name: float(np.mean([step[name] for step in recent])) for name in recent[0]}
                if self.step % self.training.checkpoint_every == 0 or self.step == self.training.steps:
                    self._save()
                    figures |= watch(self.step)
                self._log(figures | {"tokens_per_second": tokens / (time.monotonic() - start)})
                recent = []

    def _remaining(self, batches: Batches) -> Iterator[Batch]:
        numbers = range(self.step, self.training.steps)
        return iter(DataLoader(batches, batch_size=None, sampler=numbers, num_workers=1, prefetch_factor=4))

    def _take(self, batch: Batch) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate(self.step, self.training)
        with sdpa_kernel(SDPBackend.MATH):  # on a processor the fused kernel's backward pass takes six times as long
            logits = self.network(batch.explanations, batch.texts, batch.pairs)[:, 1:]
        loss = loss_of(logits, batch.levels, self.training.positive_weight)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(self.network.trained().values()), self.training.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return {"loss": loss.item(), "correlation": _correlation(expected(logits.detach()), batch.levels)}

    # ---------------------------------------------------------------------------------------------------- checkpoints

    def _save(self) -> None:
        """Write the trained tensors, the optimiser's state and the step to one file, complete or not at all."""
        names = {id(tensor): name for name, tensor in self.network.trained().items()}
        tensors = {f"value/{name}": tensor.detach() for name, tensor in self.network.trained().items()}
        for tensor, state in self.optimizer.state.items():
            tensors |= {f"{key}/{names[id(tensor)]}": torch.as_tensor(value) for key, value in state.items()}
        content = save(tensors, metadata={"step": str(self.step), "origin": self.origin})
        files.write_whole(self.folder / "checkpoint.safetensors", content)

    def _resume(self) -> None:
        path = self.folder / "checkpoint.safetensors"
        if not path.is_file():
            return
        with safe_open(path, "pt") as file:
            origin = (file.metadata() or {}).get("origin")
        if origin != self.origin:
            raise NeuroglossError(
                f"{path} was made by a training with other settings; name another folder, or delete it to begin anew."
            )
        tensors = load_file(path)
        self.network.restore(_under("value", tensors))
        for name, tensor in self.network.trained().items():
            self.optimizer.state[tensor] = {
                key: tensors[f"{key}/{name}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in tensors
            }
        self.step = round(float(next(iter(_under("step", tensors).values()))))

    def _log(self, figures: Mapping[str, float]) -> None:
        line = json.dumps({"step": self.step, **{name: round(value, 4) for name, value in figures.items()}})
        print(line, flush=True)
        with (self.folder / "curve.jsonl").open("a", encoding="utf-8") as log:
            log.write(line + "\n")


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(f"{prefix}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")
    }


def _correlation(predicted: torch.Tensor, levels: torch.Tensor) -> float:
    """Return Pearson's correlation over all tokens of a batch that are asked about."""
    mask = levels != IGNORED
    pair = torch.stack([predicted[mask].double(), levels[mask].double()])
    return float(torch.corrcoef(pair)[0, 1].nan_to_num())

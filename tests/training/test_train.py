"""Training: batches by number, learning, and going on from a checkpoint as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness import weights
from harness.models.tuned.network import LEVELS, Architecture, TunedNetwork
from harness.models.tuned.text import Tokenizer
from harness.training.examples import IGNORED, Examples
from harness.training.scenes import Scenes
from harness.training.train import Batches, Trainer, Training, expected, loss_of, rate
from harness.training.voices import Voices
from harness.types import NeuroglossError

TRAINING = Training(steps=6, units=2, warmup=2, checkpoint_every=3, learning_rate=1e-2)


def network(base: Path) -> TunedNetwork:
    torch.manual_seed(0)
    pieces = Tokenizer.of(weights.load_tokenizer(str(base))).pieces
    return TunedNetwork(
        weights.load(str(base)).model.model, Architecture(joint=1, top=3, rank=2, hidden=8, spelled=4), pieces
    )


def batches(examples: Examples, training: Training = TRAINING) -> Batches:
    return Batches(examples, training, examples.tokenizer.pieces, Voices(examples, Scenes()))


def test_a_batch_is_the_same_whenever_it_is_made(examples: Examples) -> None:
    (first,), (second,) = batches(examples)[4], batches(examples)[4]
    assert torch.equal(first.explanations.ids, second.explanations.ids)
    assert torch.equal(first.texts.ids, second.texts.ids)
    assert torch.equal(first.levels, second.levels)
    assert not torch.equal(first.levels, batches(examples)[5][0].levels)


def test_a_block_is_sorted_by_the_length_of_explanations(examples: Examples) -> None:
    block = batches(examples, replace(TRAINING, block=3, voiced=0.5))[0]
    longest = sorted(batch.explanations.lengths.max().item() for batch in block)
    shortest = sorted(batch.explanations.lengths.min().item() for batch in block)
    assert len(block) == 3
    assert longest[0] < longest[-1]
    assert shortest[0] <= shortest[-1]


def test_training_ends_when_its_time_is_over(examples: Examples, tiny_llama: Path, tmp_path: Path) -> None:
    hurried = replace(TRAINING, steps=10_000, seconds=0.5)
    trainer = Trainer(network(tiny_llama), hurried, tmp_path, "these")
    trainer.run(batches(examples, hurried))
    assert 0 < trainer.step < 10_000
    assert (tmp_path / "checkpoint.safetensors").is_file()


def test_both_explanations_of_a_unit_are_read_on_the_same_texts(examples: Examples) -> None:
    for step in range(5):
        (batch,) = batches(examples)[step]
        pairs, groups = batch.pairs.tolist(), range(len(batch.explanations.ids))
        texts = [[column for row, column in pairs if row == group] for group in groups]
        for first, second in zip(texts[::2], texts[1::2], strict=True):
            assert first == second


def test_training_that_was_stopped_ends_as_training_that_was_not(
    examples: Examples, tiny_llama: Path, tmp_path: Path
) -> None:
    whole = Trainer(network(tiny_llama), TRAINING, tmp_path / "whole", "these")
    whole.run(batches(examples))
    stopped = Trainer(network(tiny_llama), TRAINING, tmp_path / "stopped", "these")

    def stop(step: int) -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.run(batches(examples), stop)
    gone_on = Trainer(network(tiny_llama), TRAINING, tmp_path / "stopped", "these")
    gone_on.run(batches(examples))
    assert gone_on.step == whole.step == 6
    for name, tensor in whole.network.trained().items():
        assert torch.equal(tensor, gone_on.network.trained()[name]), name


def test_training_changes_the_additions_and_not_the_base(examples: Examples, tiny_llama: Path, tmp_path: Path) -> None:
    before, trainer = network(tiny_llama), Trainer(network(tiny_llama), TRAINING, tmp_path, "these")
    trainer.run(batches(examples))
    changed = {
        name
        for (name, one), (_, other) in zip(before.named_parameters(), trainer.network.named_parameters(), strict=True)
        if not torch.equal(one, other)
    }
    assert changed <= set(trainer.network.trained())
    assert any(name.endswith(".up") for name in changed)


def test_what_is_not_asked_about_has_no_part_in_the_loss() -> None:
    logits = torch.randn(1, 1, 4, LEVELS, generator=torch.Generator().manual_seed(0))
    levels = torch.tensor([[[0, 10, IGNORED, IGNORED]]])
    loss = loss_of(logits, levels)
    logits[..., 2:, :] = 100 * torch.randn(2, LEVELS)
    assert torch.equal(loss, loss_of(logits, levels))
    assert loss == pytest.approx(float(-(logits[0, 0, 0].log_softmax(-1)[0] + logits[0, 0, 1].log_softmax(-1)[10]) / 2))


def test_the_expected_level_is_the_mean_of_the_levels() -> None:
    logits = torch.full((LEVELS,), -1e9)
    logits[[2, 6]] = torch.tensor([0.0, torch.log(torch.tensor(3.0))])
    assert float(expected(logits)) == pytest.approx(0.25 * 2 + 0.75 * 6)


def test_the_learning_rate_rises_and_falls() -> None:
    training = Training(steps=100, warmup=10)
    rates = [rate(step, training) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.05, abs=0.01)


def test_a_training_with_other_settings_is_not_gone_on_with(
    tiny_llama: Path, examples: Examples, tmp_path: Path
) -> None:
    Trainer(network(tiny_llama), TRAINING, tmp_path, "these").run(batches(examples))
    with pytest.raises(NeuroglossError, match="with other settings; name another folder"):
        Trainer(network(tiny_llama), TRAINING, tmp_path, "others").run(batches(examples))

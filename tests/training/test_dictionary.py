"""A dictionary finds the directions that vectors are made of, and is read back as it was written."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from harness.collect.corpora import Passage
from harness.subjects.checkpoints import read
from harness.subjects.dictionary import Dictionary, fit
from harness.subjects.latents import EMBEDDED, Latents
from harness.subjects.sites import Site
from harness.training.dictionary import DictionaryTraining, parted, train, write

SETTINGS = DictionaryTraining(layer=1, latents=24, k=2, batch=64, epochs=40, rate=3e-3, patience=20, revived=8)


def sparse(count: int, seed: int) -> torch.Tensor:
    """Sums of two of twelve directions each, around a centre; the last vector is massive."""
    atoms = torch.nn.functional.normalize(torch.randn(12, 16, generator=torch.Generator().manual_seed(0)), dim=-1)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.stack([torch.randperm(12, generator=generator)[:2] for _ in range(count)])
    sizes = 1 + torch.rand(count, 2, generator=generator)
    states = (atoms[chosen] * sizes[..., None]).sum(dim=1) + 0.5
    return torch.cat([states, 500 * torch.ones(1, 16)])


@pytest.fixture(scope="module")
def trained() -> Dictionary:
    return train(sparse(640, 1), SETTINGS, lambda *_: None)


def test_most_of_the_variance_of_other_vectors_is_explained_by_few_latents(trained: Dictionary) -> None:
    quality = fit(trained, sparse(200, 2), sparse(200, 2))
    assert quality.unexplained < 0.25
    assert quality.active == pytest.approx(2, abs=0.1)
    torch.testing.assert_close(trained.decoder.norm(dim=-1), torch.ones(24))


def test_the_same_seed_gives_the_same_dictionary() -> None:
    short = dataclasses.replace(SETTINGS, epochs=1)
    first, again = (train(sparse(128, 1), short, lambda *_: None) for _ in range(2))
    other = train(sparse(128, 1), dataclasses.replace(short, seed=1), lambda *_: None)
    assert torch.equal(first.encoder, again.encoder)
    assert not torch.equal(first.encoder, other.encoder)


def test_what_is_written_is_read_as_it_was(trained: Dictionary, tmp_path: Path) -> None:
    """But for what float16 rounds."""
    states = sparse(200, 2)
    write(tmp_path, trained, SETTINGS, fit(trained, states, states), len(states))
    checkpoint = read(tmp_path)
    assert checkpoint.dictionary.k == 2
    assert Latents(str(tmp_path))._reads == Site(1)
    latents = trained.encode(states[:-1])
    torch.testing.assert_close(checkpoint.dictionary.encode(states[:-1]), latents, rtol=0.05, atol=0.02)
    assert fit(checkpoint.dictionary, states, states).unexplained == pytest.approx(
        fit(trained, states, states).unexplained, abs=0.01
    )


def test_passages_of_a_document_are_in_one_part() -> None:
    cut = [Passage(f"document-{number // 3}:{64 * (number % 3)}", (), "") for number in range(300)]
    trained_on, measured = parted(cut, 10)
    documents = [{passage.source.partition(":")[0] for passage in part} for part in (trained_on, measured)]
    assert not documents[0] & documents[1]
    assert len(trained_on) + len(measured) == 300
    assert 5 <= len(documents[1]) <= 20


def test_the_dictionary_that_ships_is_small_and_says_what_it_is() -> None:
    latents = Latents(EMBEDDED)
    checkpoint = latents._checkpoint
    assert checkpoint.dictionary.encoder.shape == (2048, 576)
    assert (checkpoint.reads, latents._published) == ("blocks.15.hook_resid_post", 32)
    from harness.subjects.latents import DICTIONARIES

    files = list((DICTIONARIES / "smollm2-layer15").iterdir())
    assert sum(file.stat().st_size for file in files) < 5_000_000

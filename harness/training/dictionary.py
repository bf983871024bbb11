"""Make the dictionary of SmolLM2 that ships: read its residual stream, train an autoencoder on it, and write that.

``python -m harness.training.dictionary FOLDER``; ``make dictionary`` writes into the package. The autoencoder keeps the
k largest latents of a token (TopK; Gao et al. 2024, arXiv 2406.04093), and revives latents that no longer fire by the
auxiliary loss of that paper. It is written in the format of SAELens 6, whose own reader loads it too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from safetensors.torch import save
from torch.nn import functional

from harness import files, weights
from harness.collect.corpora import Cutting, Document, Passage, passages
from harness.progress import ProgressReporter
from harness.subjects import sites
from harness.subjects.checkpoints import read
from harness.subjects.dictionary import Dictionary, Fit, fit, ordinary
from harness.subjects.partial import PartialModel
from harness.subjects.sites import Site
from harness.subjects.token_text import token_text
from harness.tasks import catalog, units
from harness.tasks.openai_format import every_excerpt
from harness.training import sources
from harness.training.families import tables
from harness.types import Progress
from harness.weights.places import PUBLISHER

TASK = "smollm2-v2"
"""The task whose excerpts are half of the text: what SmolLM2 wrote on many kinds of requests."""
TOGETHER = 16
"""Passages that are read together."""


@dataclass(frozen=True, slots=True)
class DictionaryTraining:
    """Settings of a training.

    Attributes:
        layer: the decoder layer whose residual stream is read, behind it.
        latents: number of latents.
        k: number of latents that are not 0 at a token.
        tokens: of a passage, of which the first is left out, as in a collection.
        batch: vectors of a step.
        epochs: how often each vector is seen.
        rate: Adam's learning rate, which falls to 0 over the last fifth of the steps.
        patience: steps without firing after which a latent counts as dead.
        revived: number of dead latents that the auxiliary loss uses at a token.
        revival: the factor of that loss.
        held_out: one document in so many is not trained on, but measured.
        seed: of the first weights and of the order of the vectors.
    """

    layer: int = 15
    latents: int = 2048
    k: int = 32
    tokens: int = 64
    batch: int = 1024
    epochs: int = 12
    rate: float = 1e-3
    patience: int = 100
    revived: int = 256
    revival: float = 1 / 32
    held_out: int = 10
    seed: int = 0

    @property
    def site(self) -> Site:
        """Where vectors are read."""
        return Site(self.layer)


# ------------------------------------------------------------------------------------------------------------ the text


def documents(encode: Callable[[str], tuple[int, ...]]) -> Iterator[Document]:
    """Yield the text: excerpts of the task, and the sentences and the code of the tuned simulator's training."""
    task = units.read_task(catalog.find_task(TASK))
    excerpts = {excerpt.source: excerpt for record in task.records for excerpt in every_excerpt(record)}
    for source in sorted(excerpts):
        yield Document(source, excerpts[source].token_ids)
    for number, text in enumerate([*_paragraphs(), *sources.code()]):
        yield Document(f"text-{number}", encode(text))


def _paragraphs() -> Iterator[str]:
    """Yield the sentences of each theme, and of each word with several senses, as one text."""
    for entry in tables.entries("sentences*.yaml"):
        yield " ".join(entry["sentences"])
    for entry in tables.entries("senses*.yaml"):
        yield " ".join(sentence for sense in entry["senses"] for sentence in sense["sentences"])


def parted(read_passages: Sequence[Passage], held_out: int) -> tuple[list[Passage], list[Passage]]:
    """Return passages to train on and to measure on; those of one document are in the same part."""
    train: list[Passage] = []
    measured: list[Passage] = []
    for passage in read_passages:
        document = passage.source.partition(":")[0]
        digest = int(hashlib.sha256(document.encode()).hexdigest(), 16)
        (train if digest % held_out else measured).append(passage)
    return train, measured


@torch.inference_mode()
def vectors(model: PartialModel, site: Site, read_passages: Sequence[Passage], progress: Progress) -> torch.Tensor:
    """Return what stands at the site, float32 [tokens, hidden], without the first token of each passage."""
    states: list[torch.Tensor] = []
    for first in range(0, len(read_passages), TOGETHER):
        ids = model.ids([passage.token_ids for passage in read_passages[first : first + TOGETHER]])
        with sites.reading(model, site, ids.shape, lambda read: states.append(read[:, 1:].flatten(0, 1).clone())):
            model.run(ids, stop=site.layer + 1)
        progress("reading text", first + len(ids), len(read_passages))
    return torch.cat(states)


# -------------------------------------------------------------------------------------------------------- the training


def train(states: torch.Tensor, settings: DictionaryTraining, progress: Progress) -> Dictionary:
    """Return the autoencoder of vectors [tokens, hidden]; the rows of its decoder are of length 1."""
    generator = torch.Generator().manual_seed(settings.seed)
    trainer = _Trainer(states, settings, generator)
    steps = settings.epochs * (len(states) // settings.batch)
    for epoch in range(settings.epochs):
        order = torch.randperm(len(states), generator=generator)
        for number in range(len(states) // settings.batch):
            rows = order[number * settings.batch : (number + 1) * settings.batch]
            step = epoch * (len(states) // settings.batch) + number
            trainer.step(states[rows], min(1.0, 5 * (1 - step / steps)))
            progress("training", step + 1, steps)
    return trainer.dictionary()


class _Trainer:
    """The weights of an autoencoder in training; its input is scaled so that the mean square of a coordinate is 1.

    The error of a token counts in proportion to the length of its vector, so that massive tokens count as others do.
    """

    def __init__(self, states: torch.Tensor, settings: DictionaryTraining, generator: torch.Generator) -> None:
        usual = states[ordinary(states)]
        centre = usual.mean(dim=0)
        self.settings = settings
        self.scale = float((usual - centre).square().mean().sqrt())
        decoder = functional.normalize(torch.randn(settings.latents, states.shape[1], generator=generator), dim=-1)
        start = (decoder.clone(), torch.zeros(settings.latents), decoder, centre / self.scale)
        self.encoder, self.bias, self.decoder, self.centre = (tensor.requires_grad_() for tensor in start)
        parameters = [self.encoder, self.bias, self.decoder, self.centre]
        self.optimiser = torch.optim.Adam(parameters, lr=settings.rate, betas=(0.9, 0.999), eps=1e-8)
        self.silence = torch.zeros(settings.latents, dtype=torch.long)  # steps since each latent fired

    def step(self, states: torch.Tensor, slowing: float) -> None:
        """Take one step down the loss on vectors [batch, hidden], at a share of the learning rate."""
        inputs = states / self.scale
        latents = functional.linear(inputs - self.centre, self.encoder, self.bias).relu()
        top = latents.topk(self.settings.k, dim=-1)
        error = inputs - self._written(top.indices, top.values) - self.centre
        weights = 1 / (inputs - self.centre).detach().square().mean(dim=-1, keepdim=True)
        self.silence += 1
        self.silence[top.indices[top.values > 0]] = 0
        revival = self.settings.revival * self._revival(latents, error.detach())
        loss = (weights * (error.square() + revival)).mean()
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate * slowing
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.optimiser.step()
        with torch.no_grad():
            self.decoder /= self.decoder.norm(dim=-1, keepdim=True)

    def _revival(self, latents: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
        """Return the squares of what dead latents leave of the error [batch, hidden], which they are to write."""
        dead = (self.silence > self.settings.patience).nonzero()[:, 0]
        if not len(dead):
            return torch.zeros_like(error)
        top = latents[:, dead].topk(min(self.settings.revived, len(dead)), dim=-1)
        return (error - self._written(dead[top.indices], top.values)).square()

    def _written(self, indices: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of decoder rows ``indices`` [batch, k] times ``values`` [batch, k]."""
        return functional.embedding_bag(indices, self.decoder, per_sample_weights=values, mode="sum")

    def dictionary(self) -> Dictionary:
        """Return the autoencoder of vectors that are not scaled."""
        encoder, bias, decoder, centre = (
            tensor.detach() for tensor in (self.encoder, self.bias, self.decoder, self.centre)
        )
        return Dictionary(
            encoder, (bias - encoder @ centre) * self.scale, decoder, centre * self.scale, k=self.settings.k
        )


# --------------------------------------------------------------------------------------------------------- the writing


def write(folder: Path, dictionary: Dictionary, settings: DictionaryTraining, figures: Fit, tokens: int) -> None:
    """Write a dictionary in the format of SAELens 6, in float16.

    Raises:
        OSError: the folder cannot be written.
    """
    centre = dictionary.decoder_bias
    tensors = {
        "W_enc": dictionary.encoder.T,
        "b_enc": dictionary.bias + dictionary.encoder @ centre,  # SAELens takes the centre from the input itself
        "W_dec": dictionary.decoder,
        "b_dec": centre,
    }
    config = {
        "architecture": "topk",
        "k": settings.k,
        "d_in": len(centre),
        "d_sae": settings.latents,
        "dtype": "float16",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "rescale_acts_by_decoder_norm": False,
        "reshape_activations": "none",
        "metadata": {
            "model_name": PUBLISHER,  # for those who load the dictionary elsewhere
            "hook_name": f"blocks.{settings.layer}.hook_resid_post",
            "hf_hook_name": f"model.layers.{settings.layer}",
            "prepend_bos": False,
            "training": {**dataclasses.asdict(settings), "trained_tokens": tokens},
            "fraction_of_variance_unexplained": round(figures.unexplained, 4),
            "active_latents": round(figures.active, 2),
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()}
    files.write_whole(folder / "sae_weights.safetensors", save(halves))
    files.write_whole(folder / "cfg.json", (json.dumps(config, indent=1) + "\n").encode())


def main(folder: Path, settings: DictionaryTraining = DictionaryTraining()) -> None:
    """Make the dictionary in a folder, and print how well it fits text that it was not trained on."""
    started, console = time.monotonic(), Console(highlight=False)
    loaded = weights.load(weights.EMBEDDED)
    model, tokenizer = PartialModel(loaded.model, weights.EMBEDDED), loaded.tokenizer
    text = documents(lambda text: tuple(tokenizer(text, add_special_tokens=False)["input_ids"]))
    cut = list(passages(text, Cutting(settings.tokens), lambda token_id: token_text(tokenizer, token_id)))
    with ProgressReporter(console) as progress:
        states, held_out = (vectors(model, settings.site, part, progress) for part in parted(cut, settings.held_out))
        dictionary = train(states, settings, progress)
    write(folder, dictionary, settings, fit(dictionary, held_out, held_out), len(states))
    stored = read(folder).dictionary
    figures = fit(stored, held_out, held_out)
    fires = (stored.encode(states) != 0).any(dim=0).sum()
    console.print(
        f"{folder}: fraction of variance unexplained {figures.unexplained:.3f}, {figures.active:.1f} active latents a "
        f"token, on {len(held_out)} tokens held out; trained on {len(states)} in {time.monotonic() - started:.0f} s; "
        f"{fires} of {settings.latents} latents fire"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

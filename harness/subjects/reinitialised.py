"""An untrained subject: the architecture and the tokenizer of a trained one, with random weights."""

from __future__ import annotations

import dataclasses
import hashlib
from functools import cached_property

import torch
from transformers import AutoModelForCausalLM

from harness import weights
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import Identity


class ReinitialisedSubject(TransformersSubject):
    """A subject with random weights, as its architecture initialises them.

    Args:
        trained: the subject whose architecture, tokenizer, number format and device are used.
        seed: seed of the random weights.
    """

    def __init__(self, trained: TransformersSubject, seed: int = 0) -> None:
        super().__init__(
            trained.name,
            revision=trained.revision,
            dtype=trained.dtype,
            device=trained.device,
            batch_size=trained.batch_size,
            trust_remote_code=trained.trust_remote_code,
            unit=trained.unit,
        )
        self.seed = seed

    @cached_property
    def _loaded(self) -> weights.Loaded:
        trained = super()._loaded
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = AutoModelForCausalLM.from_config(trained.model.config, dtype=trained.model.dtype)
        model = model.requires_grad_(False).eval().to(trained.model.device)
        return weights.Loaded(model, trained.tokenizer, self._identity)

    @cached_property
    def _identity(self) -> Identity:
        trained = super()._identity
        revision = hashlib.sha256(f"{trained.revision} re-initialised {self.seed}".encode()).hexdigest()
        return dataclasses.replace(trained, revision=revision, backend="re-initialised")

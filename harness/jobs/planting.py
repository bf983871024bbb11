"""The command ``neurogloss plant``: a model with planted neurons, and the commands that make a task of it."""

from __future__ import annotations

import argparse
import shlex

# ruff: noqa: PLC0415  # the command imports what it works with, so that no other waits for it


def plant(options: argparse.Namespace) -> None:
    """Make a model with planted neurons in a new folder, and print what comes next."""
    from harness.tasks.planted import folder

    planted = folder.plant(options.folder, options.tokenizer, options.seed, options.neurons, options.documents)
    units = [str(neuron.unit) for neuron in planted.neurons if neuron.cases]
    place = shlex.quote(str(options.folder))
    print(f"{options.folder}: {len(planted.neurons)} planted neurons, {len(units)} of which fire; seed {options.seed}")
    print(
        f"next: neurogloss collect name=planted-v1 subject=transformers subject.name={place} "
        f"corpus=text_files corpus.path={place}/{folder.CORPUS} sample=listed 'sample.ids=[{','.join(units)}]'"
    )
    print(f"then: neurogloss run experiment=planted task=planted-v1 subject.name={place}")

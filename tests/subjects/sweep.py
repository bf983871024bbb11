"""What becomes of the neurons of each causal family of the installed transformers: the table ``sweep.json`` beside.

``python -m tests.subjects.sweep`` (``make sweep``) tries every family and prints where the table differs;
``--write`` writes the table anew, and names of families try only these.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging

from harness.subjects.locate import CANNOT_RUN, locate
from harness.subjects.neurons import Neurons
from harness.subjects.partial import PartialModel
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import NeuroglossError, Replacement, Unit
from tests.subjects.small import FAMILIES, small

TABLE = Path(__file__).with_name("sweep.json")
TOKENS = (5, 17, 300, 2, 44, 9)
VALUES = (0.0, 1.5, 0.2, 3.0, 0.0, 1.0)
LEADING = 1


def outcome(family: str) -> str:
    """Return what becomes of a family's neurons, in one line.

    ``exact at PATH``: reading one equals a plain hook on the module, replacing it by itself changes nothing, and its
    effect equals two whole passes of the model. ``effects refused at PATH``: it can be read only. ``refused:
    SENTENCE``: that is what a user is told. ``not built``: the small settings do not fit
    the family, or its own code fails.
    """
    try:
        model = small(family)
        model(input_ids=torch.tensor([TOKENS]), use_cache=False)
    except Exception as error:  # noqa: BLE001  # any error of the family's own code
        return f"not built: {type(error).__name__}"
    try:
        subject = TransformersSubject(family, unit=Neurons())
        subject.__dict__.update(_model=PartialModel(model, "it"))
        place = len(subject.units.widths) - 1
        projection = locate(model).projections[place]
    except NeuroglossError as error:
        return f"refused: {error}"
    except CANNOT_RUN as error:
        return f"CRASHES: {type(error).__name__}"
    path = next(name for name, module in model.named_modules() if module is projection)
    return f"{tried(model, projection, subject, Unit('N', place, 3))} at {path}"


def tried(model: Any, projection: torch.nn.Module, subject: TransformersSubject, unit: Unit) -> str:
    """Return what becomes of a neuron that is read and replaced."""
    read: list[torch.Tensor] = []
    original = distribution(model, projection, lambda states: read.append(states[:, unit.index].clone()))
    (activations,) = subject.activations(unit, [TOKENS])
    if len(read) != 1 or (torch.tensor(activations) - read[0].double()).abs().max() > 1e-4:
        return "READ WRONGLY"

    def put(states: torch.Tensor) -> None:
        states[LEADING:, unit.index] = torch.tensor(VALUES[LEADING:])

    expected = divergence(distribution(model, projection, put), original)
    same = Replacement(unit, TOKENS, tuple(activations.tolist()), 0)
    try:
        effects = dict(subject.effects([Replacement(unit, TOKENS, VALUES, LEADING), same]))
    except NeuroglossError:
        return "effects refused"
    except CANNOT_RUN as error:
        return f"CRASHES ({type(error).__name__}) when replaced"
    is_near = abs(effects[0].divergence - expected) <= 1e-2 * expected + 1e-6
    return "exact" if is_near and effects[1].divergence < 1e-6 else "REPLACED WRONGLY"


@torch.inference_mode()
def distribution(model: Any, projection: torch.nn.Module, see: Any) -> torch.Tensor:
    """Return the model's own next-token probabilities [tokens, vocabulary]; ``see`` may change the neurons' states."""

    def hook(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        states = inputs[0].clone()
        see(states.view(len(TOKENS), -1))
        return (states, *inputs[1:])

    handle = projection.register_forward_pre_hook(hook)
    logits: torch.Tensor = model(input_ids=torch.tensor([TOKENS]), use_cache=False).logits[0]
    handle.remove()
    return logits.double().softmax(-1)


def divergence(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the Jensen-Shannon divergence (nats), averaged over the tokens."""
    middle = (first + second) / 2
    terms = first * (first / middle).log() + second * (second / middle).log()
    return float(terms.nan_to_num(0.0).sum(-1).mean()) / 2


def table() -> dict[str, str]:
    """Return the table of the repository, family -> outcome."""
    outcomes: dict[str, str] = json.loads(TABLE.read_text(encoding="utf-8"))
    return outcomes


def main() -> int:
    """Try families, and print those whose outcome is another than the table's; 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=FAMILIES)
    parser.add_argument("--write", action="store_true", help="write what comes out into the table")
    options = parser.parse_args()
    logging.set_verbosity(100)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # these models are too small for more
    before = table() if TABLE.exists() else {}
    after = {}
    for family in options.families:
        after[family] = outcome(family)
        if after[family] != before.get(family):
            print(f"{family}: {after[family]}\n    (table: {before.get(family)})", flush=True)
    if options.write:
        merged = {name: value for name, value in {**before, **after}.items() if name in FAMILIES}
        TABLE.write_text(json.dumps(dict(sorted(merged.items())), indent=1) + "\n", encoding="utf-8")
    changed = sum(before.get(family) != value for family, value in after.items())
    print(f"transformers {transformers.__version__}: {len(after)} families, {changed} other than in the table")
    return int(bool(changed) and not options.write)


if __name__ == "__main__":
    sys.exit(main())

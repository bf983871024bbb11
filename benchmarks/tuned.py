"""How fast the tuned simulator is, against all-at-once and one-at-a-time asked in a prompt, in this process.

Run it by hand, on a quiet machine: ``python benchmarks/tuned.py``. All sides read the same excerpts under the same
explanations, in turns, in the same number format, and each is given the best way it has to share work: all-at-once
computes the worked examples and each explanation once; the tuned simulator computes each explanation once, and each
excerpt once up to where it meets the explanation. Two questions are asked: one explanation for each neuron, and four,
as a board of four explainers asks. The last line is one JSON object:

* ``speedup_over_all_at_once``: best seconds of all-at-once divided by those of the tuned simulator, four explanations.
* ``speedup_of_one_explanation``: the same where each excerpt is read under one explanation only.
* ``speedup_over_one_at_a_time``: over one-at-a-time, on the excerpts of one explanation; null unless asked for.
* ``tokens_per_s``: subject tokens that the tuned simulator answers in a second, four explanations.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import workload

from harness.models.backend import Backend
from harness.models.local import LocalModel
from harness.models.tuned import TunedModel
from harness.simulators.all_at_once import AllAtOnce
from harness.simulators.one_at_a_time import OneAtATime
from harness.simulators.tuned import Tuned
from harness.types import Query


def main() -> None:
    options = _options()
    tuned, prompted = TunedModel(options.adapter, dtype=options.dtype), LocalModel(dtype=options.dtype)
    four = workload.queries(options.neurons, options.excerpts, explanations=4)
    one = workload.queries(options.neurons, options.excerpts)
    sides: dict[str, tuple[Callable[[Any], Any], Backend, list[Query]]] = {
        "tuned, four explanations": (Tuned, tuned, four),
        "all-at-once, four explanations": (AllAtOnce, prompted, four),
        "tuned, one explanation": (Tuned, tuned, one),
        "all-at-once, one explanation": (AllAtOnce, prompted, one),
    }
    if options.one_at_a_time:
        sides["one-at-a-time, one explanation"] = (OneAtATime, prompted, one[: options.excerpts])
    for kind, model, asked in sides.values():  # loads the weights
        _seconds(kind, model, asked[:1])
    best: dict[str, float] = {}
    for _ in range(options.rounds):
        for name, (kind, model, asked) in sides.items():
            taken = _seconds(kind, model, asked) / len(asked)
            best[name] = min(taken, best.get(name, taken))
    for name, taken in best.items():
        print(f"{name}: {1000 * taken:.1f} ms a reading, {options.dtype}")
    read_one, read_four = best["tuned, one explanation"], best["tuned, four explanations"]
    tokens = sum(len(query.tokens) for query in four) / len(four)
    report = {
        "speedup_over_all_at_once": best["all-at-once, four explanations"] / read_four,
        "speedup_of_one_explanation": best["all-at-once, one explanation"] / read_one,
        "speedup_over_one_at_a_time": best["one-at-a-time, one explanation"] / read_one
        if options.one_at_a_time
        else None,
        "tokens_per_s": tokens / read_four,
    }
    print(json.dumps({key: value and round(value, 1) for key, value in report.items()}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", default="smollm2-simulator-v5")
    parser.add_argument("--neurons", type=int, default=4)
    parser.add_argument("--excerpts", type=int, default=10, help="for each neuron")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many is taken")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--one-at-a-time", action="store_true", help="time that too; it takes minutes")
    return parser.parse_args()


def _seconds(kind: Callable[[Any], Any], model: Backend, queries: Sequence[Query]) -> float:
    requests = kind(model).requests(queries, model.levels())
    prompts = [prompt for some in requests for prompt in some]
    began = time.perf_counter()
    found = dict(model.read_levels(prompts))
    taken = time.perf_counter() - began
    assert len(found) == len(prompts)
    return taken


if __name__ == "__main__":
    main()

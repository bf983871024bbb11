"""Measure the speed of the tuned simulator against the prompted simulators all-at-once and one-at-a-time.

Run it by hand, on a quiet machine: ``python benchmarks/tuned.py``. All sides read the same excerpts under the same
explanations, in turns, in one process and in the same number format, and each shares as much work as it can:
all-at-once computes the worked examples and each explanation once; the tuned simulator computes each explanation once,
and the lower layers once for each excerpt. There are two workloads: one explanation for each neuron, and four, as for
a leaderboard of four explainers. The last line is one JSON object:

* ``speedup_over_all_at_once``: best seconds of all-at-once divided by those of the tuned simulator, four explanations.
* ``speedup_of_one_explanation``: the same with one explanation for each neuron.
* ``speedup_over_one_at_a_time``: over one-at-a-time, with one explanation; null without ``--one-at-a-time``.
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
from harness.models.local.model import LocalModel
from harness.models.tuned.model import TunedModel
from harness.simulators.all_at_once import AllAtOnce
from harness.simulators.one_at_a_time import OneAtATime
from harness.simulators.tuned import Tuned
from harness.types import Query


def main() -> None:
    options = _options()
    tuned, prompted = TunedModel(options.adapter, dtype=options.dtype), LocalModel(dtype=options.dtype)
    quadruple = workload.queries(options.neurons, options.excerpts, explanations=4)
    single = workload.queries(options.neurons, options.excerpts)
    sides: dict[str, tuple[Callable[[Any], Any], Backend, list[Query]]] = {
        "tuned, four explanations": (Tuned, tuned, quadruple),
        "all-at-once, four explanations": (AllAtOnce, prompted, quadruple),
        "tuned, one explanation": (Tuned, tuned, single),
        "all-at-once, one explanation": (AllAtOnce, prompted, single),
    }
    if options.one_at_a_time:
        sides["one-at-a-time, one explanation"] = (OneAtATime, prompted, single[: options.excerpts])
    for kind, model, queries in sides.values():  # loads the weights
        _seconds(kind, model, queries[:1])
    best: dict[str, float] = {}
    for _ in range(options.rounds):
        for name, (kind, model, queries) in sides.items():
            seconds = _seconds(kind, model, queries) / len(queries)
            best[name] = min(seconds, best.get(name, seconds))
    for name, seconds in best.items():
        print(f"{name}: {1000 * seconds:.1f} ms a reading, {options.dtype}")
    read_single, read_quadruple = best["tuned, one explanation"], best["tuned, four explanations"]
    tokens = sum(len(query.tokens) for query in quadruple) / len(quadruple)
    report = {
        "speedup_over_all_at_once": best["all-at-once, four explanations"] / read_quadruple,
        "speedup_of_one_explanation": best["all-at-once, one explanation"] / read_single,
        "speedup_over_one_at_a_time": best["one-at-a-time, one explanation"] / read_single
        if options.one_at_a_time
        else None,
        "tokens_per_s": tokens / read_quadruple,
    }
    print(json.dumps({key: value and round(value, 1) for key, value in report.items()}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", default="smollm2-simulator-v6")
    parser.add_argument("--neurons", type=int, default=4)
    parser.add_argument("--excerpts", type=int, default=10, help="for each neuron")
    parser.add_argument("--rounds", type=int, default=3, help="the best round counts")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--one-at-a-time", action="store_true", help="measure one-at-a-time too; it takes minutes")
    return parser.parse_args()


def _seconds(kind: Callable[[Any], Any], model: Backend, queries: Sequence[Query]) -> float:
    requests = kind(model).requests(queries, model.levels())
    prompts = [prompt for group in requests for prompt in group]
    start = time.perf_counter()
    replies = dict(model.read_levels(prompts))
    seconds = time.perf_counter() - start
    assert len(replies) == len(prompts)
    return seconds


if __name__ == "__main__":
    main()

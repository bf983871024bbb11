"""Measure the speed of reading levels, with shared prefixes against full prompts, of a server and of the store.

Run it by hand, on a quiet machine: ``python benchmarks/models.py``. Both sides run in one process, in turns;
``--quick`` runs a tenth, to see that everything works. The last line is one JSON object:

* ``all_at_once_token_ratio``: tokens computed, divided by the bound: the worked examples once, each explanation once,
  each excerpt's lines once.
* ``all_at_once_gain_share``: share of the wall time saved, divided by the share of the tokens saved.
* ``one_at_a_time_ratio``: wall time of one-at-a-time divided by that of all-at-once, on the same excerpts.
* ``server_efficiency``: ideal time of 5,000 requests to a server that answers in 100 ms, 64 requests at once, divided
  by the measured wall time; the server runs in a process of its own.
* ``store_reads_per_s``: stored replies read in a second, 100,000 of them in one call, from request to reply.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import workload
from loopback import serving

from harness.models.backend import StoredModel
from harness.models.fake import FakeModel
from harness.models.server.model import ServerModel
from harness.models.store import Store
from harness.simulators.all_at_once import AllAtOnce
from harness.simulators.one_at_a_time import OneAtATime
from harness.types import CompletionPrompt, Message, Outcome, Query, SlottedPrompt

if TYPE_CHECKING:
    from harness.models.local.model import LocalModel


def main() -> None:
    options = _options()
    if options.only:
        measures = {"server": (_server_efficiency, options.requests), "store": (_store_reads, options.replies)}
        measure, count = measures[options.only]
        print(json.dumps({options.only: round(measure(count), 3)}))
        return
    from harness.models.local.model import LocalModel  # torch takes seconds to import, and --only needs none

    model = LocalModel(dtype=options.dtype)
    queries = workload.queries(options.explanations, options.excerpts)
    in_full, shared = _all_at_once(model, queries, options.rounds)
    one_at_a_time = _ratio(model, queries[: options.excerpts], options.rounds)
    report = {
        "all_at_once_token_ratio": shared["tokens"] / _bound(model, queries),
        "all_at_once_gain_share": _share(in_full, shared),
        "one_at_a_time_ratio": one_at_a_time,
        "server_efficiency": _server_efficiency(options.requests),
        "store_reads_per_s": _store_reads(options.replies),
    }
    print(json.dumps({key: value and round(value, 3) for key, value in report.items()}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--explanations", type=int, default=3)
    parser.add_argument("--excerpts", type=int, default=10, help="for each explanation")
    parser.add_argument("--rounds", type=int, default=2, help="the best round counts")
    parser.add_argument("--replies", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=5_000, help="to the server")
    parser.add_argument("--dtype", default="float32", help="of the embedded model; its config says float32")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: no figures to quote")
    parser.add_argument("--only", choices=("server", "store"), help="measure only this; it needs no model")
    options = parser.parse_args()
    if options.quick:
        options.explanations, options.excerpts, options.rounds = 2, 2, 1
        options.replies, options.requests = options.replies // 10, options.requests // 10
    return options


def _all_at_once(model: LocalModel, queries: Sequence[Query], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the tokens and the best seconds of full prompts, and those of shared prefixes."""
    prompts = _prompts(AllAtOnce, model, queries)
    dict(model.read_levels(prompts[:1]))
    _in_full(model, prompts[:1])
    in_full = {"tokens": 0.0, "seconds": float("inf")}
    shared = {"tokens": 0.0, "seconds": float("inf")}
    for _ in range(rounds):
        for side, run in ((shared, _shared), (in_full, _in_full)):
            computed, start = model.engine.computed, time.perf_counter()
            run(model, prompts)
            side["seconds"] = min(side["seconds"], time.perf_counter() - start)
            side["tokens"] = model.engine.computed - computed
    for name, side in (("in full", in_full), ("shared", shared)):
        per_token = 1000 * side["seconds"] / side["tokens"]
        print(f"all-at-once, {name}: {side['tokens']:.0f} tokens, {side['seconds']:.2f} s, {per_token:.3f} ms a token")
    return in_full, shared


def _prompts(
    kind: type[AllAtOnce] | type[OneAtATime], model: LocalModel, queries: Sequence[Query]
) -> list[SlottedPrompt]:
    with Store(":memory:") as store:
        simulator = kind(StoredModel(model, store))
        return [prompt for group in simulator.requests(queries, model.levels()) for prompt in group]


def _shared(model: LocalModel, prompts: Sequence[SlottedPrompt]) -> None:
    dict(model.read_levels(prompts))


def _in_full(model: LocalModel, prompts: Sequence[SlottedPrompt]) -> None:
    for prompt in prompts:
        rendered = model.renderer.slotted(prompt)
        model.engine.read_alone(rendered.ids, rendered.slots, model.renderer.level_tokens)


def _share(in_full: dict[str, float], shared: dict[str, float]) -> float:
    savings = {key: 1 - shared[key] / in_full[key] for key in shared}
    return savings["seconds"] / savings["tokens"]


def _bound(model: LocalModel, queries: Sequence[Query]) -> int:
    """Return the fewest tokens that the queries need, counted from their texts."""
    prompts = _prompts(AllAtOnce, model, queries)
    single, double = (len(model.renderer.completion(prompts[0].messages[:1] * times).ids) for times in (1, 2))
    turn = 2 * single - double  # tokens that begin the assistant's turn, at the end of every conversation
    examples = len(model.renderer.completion(prompts[0].messages[:-1]).ids) - turn
    explanations = {
        prompt.messages: len(model.renderer.completion(prompt.messages).ids) - examples for prompt in prompts
    }
    lines = [len(model.renderer.slotted(prompt).ids) - examples - explanations[prompt.messages] for prompt in prompts]
    return examples + sum(explanations.values()) + sum(lines)


def _ratio(model: LocalModel, queries: Sequence[Query], rounds: int) -> float:
    """Return the best wall time of one-at-a-time divided by that of all-at-once."""
    best = []
    for kind in (OneAtATime, AllAtOnce):
        prompts = _prompts(kind, model, queries)
        seconds = []
        for _ in range(rounds):
            computed, start = model.engine.computed, time.perf_counter()
            dict(model.read_levels(prompts))
            seconds.append(time.perf_counter() - start)
        best.append(min(seconds))
        print(f"{kind.__name__}: {len(prompts)} prompts, {model.engine.computed - computed} tokens, {best[-1]:.2f} s")
    return best[0] / best[1]


def _store_reads(replies: int) -> float:
    prompts = [SlottedPrompt((Message("user", f"question {n}"),), ("a\t",), "-", 10) for n in range(replies)]
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        model = StoredModel(FakeModel(), store)
        start = time.perf_counter()
        model.read_levels(prompts)
        middle = time.perf_counter()
        model.read_levels(prompts)
        end = time.perf_counter()
        if len(store) != replies:
            raise AssertionError("some replies were not stored")
    print(f"store: {replies} replies stored in {middle - start:.2f} s, looked up in {end - middle:.2f} s")
    return replies / (end - middle)


def _server_efficiency(requests: int, seconds: float = 0.1, at_once: int = 64) -> float:
    prompts = [CompletionPrompt((Message("user", f"question {n}"),), 8) for n in range(at_once + requests)]
    with serving(seconds, at_once) as url, tempfile.TemporaryDirectory() as folder:
        server = ServerModel("loopback", base_url=url, concurrency=at_once)
        with Store(Path(folder) / "store.sqlite") as store:
            StoredModel(server, store).complete(prompts[:at_once])
            memory, start, busy = _memory(), time.perf_counter(), time.process_time()
            replies = StoredModel(server, store).complete(prompts[at_once:])
            wall, busy = time.perf_counter() - start, time.process_time() - busy
    count = sum(reply.outcome is Outcome.OK for reply in replies)
    if count != requests:
        raise AssertionError("some requests were not answered")
    ideal = count * seconds / at_once
    print(
        f"server: {count} requests in {wall:.2f} s, at best {ideal:.2f} s; {1000 * busy / count:.2f} ms of CPU each; "
        f"at the peak {_memory():.0f} MiB of memory, {_memory() - memory:.1f} MiB more than before"
    )
    return ideal / wall


def _memory() -> float:
    """Return the peak memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

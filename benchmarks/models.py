"""How fast levels are read: with shared beginnings computed once against each prompt in full, and from the store.

Run it by hand, on a quiet machine: ``python benchmarks/models.py``. Both sides run in this one process, in turns;
``--quick`` asks a tenth, to see that everything works. The last line is one JSON object:

* ``all_at_once_token_ratio``: tokens computed, divided by the bound: the worked examples once, each explanation once,
  each excerpt's lines once.
* ``all_at_once_gain_share``: the share of the wall time that is saved, divided by the share of the tokens that is.
* ``one_at_a_time_ratio``: wall time of one-at-a-time divided by that of all-at-once, on the same excerpts.
* ``server_efficiency``: the time that a server which answers in 100 ms, 64 requests at once, needs for 5,000 of them,
  divided by the wall time that we need; the server runs in a process of its own.
* ``store_reads_per_s``: stored replies looked up in a second, 100,000 of them at once, from request to reply.
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
from harness.models.server import ServerModel
from harness.models.store import Store
from harness.simulators.all_at_once import AllAtOnce
from harness.simulators.one_at_a_time import OneAtATime
from harness.types import CompletionPrompt, Message, Outcome, Query, SlottedPrompt

if TYPE_CHECKING:
    from harness.models.local import LocalModel


def main() -> None:
    options = _options()
    if options.only:
        measured = {"server": (_server_efficiency, options.requests), "store": (_store_reads, options.replies)}
        measure, count = measured[options.only]
        print(json.dumps({options.only: round(measure(count), 3)}))
        return
    from harness.models.local import LocalModel  # torch takes seconds to import, and --only needs none

    model = LocalModel(dtype=options.dtype)
    asked = workload.queries(options.explanations, options.excerpts)
    in_full, shared = _all_at_once(model, asked, options.rounds)
    few = asked[: options.excerpts]
    one_at_a_time = _ratio(model, few, options.rounds)
    report = {
        "all_at_once_token_ratio": shared["tokens"] / _bound(model, asked),
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
    parser.add_argument("--rounds", type=int, default=2, help="the best of so many is taken")
    parser.add_argument("--replies", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=5_000, help="to the server")
    parser.add_argument("--dtype", default="float32", help="of the embedded model; its config says float32")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: no figures to quote")
    parser.add_argument("--only", choices=("server", "store"), help="measure one thing that needs no model")
    options = parser.parse_args()
    if options.quick:
        options.explanations, options.excerpts, options.rounds = 2, 2, 1
        options.replies, options.requests = options.replies // 10, options.requests // 10
    return options


def _all_at_once(model: LocalModel, queries: Sequence[Query], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Tokens and best seconds of computing each prompt in full, and of sharing beginnings."""
    prompts = _prompts(AllAtOnce, model, queries)
    dict(model.read_levels(prompts[:1]))
    _in_full(model, prompts[:1])
    in_full = {"tokens": 0.0, "seconds": float("inf")}
    shared = {"tokens": 0.0, "seconds": float("inf")}
    for _ in range(rounds):
        for side, run in ((shared, _shared), (in_full, _in_full)):
            before, began = model.engine.computed, time.perf_counter()
            run(model, prompts)
            side["seconds"] = min(side["seconds"], time.perf_counter() - began)
            side["tokens"] = model.engine.computed - before
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
    saved = {key: 1 - shared[key] / in_full[key] for key in shared}
    return saved["seconds"] / saved["tokens"]


def _bound(model: LocalModel, queries: Sequence[Query]) -> int:
    """The fewest tokens that these queries need, counted from their texts and not from what they share."""
    prompts = _prompts(AllAtOnce, model, queries)
    once, twice = (len(model.renderer.completion(prompts[0].messages[:1] * times).ids) for times in (1, 2))
    turn = 2 * once - twice  # the beginning of the assistant's turn, which ends every conversation
    examples = len(model.renderer.completion(prompts[0].messages[:-1]).ids) - turn
    explanations = {
        prompt.messages: len(model.renderer.completion(prompt.messages).ids) - examples for prompt in prompts
    }
    lines = [len(model.renderer.slotted(prompt).ids) - examples - explanations[prompt.messages] for prompt in prompts]
    return examples + sum(explanations.values()) + sum(lines)


def _ratio(model: LocalModel, queries: Sequence[Query], rounds: int) -> float:
    """Best wall time of one-at-a-time divided by that of all-at-once."""
    best = []
    for kind in (OneAtATime, AllAtOnce):
        prompts = _prompts(kind, model, queries)
        seconds = []
        for _ in range(rounds):
            before, began = model.engine.computed, time.perf_counter()
            dict(model.read_levels(prompts))
            seconds.append(time.perf_counter() - began)
        best.append(min(seconds))
        print(f"{kind.__name__}: {len(prompts)} prompts, {model.engine.computed - before} tokens, {best[-1]:.2f} s")
    return best[0] / best[1]


def _store_reads(replies: int) -> float:
    prompts = [SlottedPrompt((Message("user", f"question {n}"),), ("a\t",), "-", 10) for n in range(replies)]
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        model = StoredModel(FakeModel(), store)
        began = time.perf_counter()
        model.read_levels(prompts)
        stored = time.perf_counter()
        model.read_levels(prompts)
        seconds = time.perf_counter() - stored
        if len(store) != replies:
            raise AssertionError("some replies were not stored")
    print(f"store: {replies} replies stored in {stored - began:.2f} s, looked up in {seconds:.2f} s")
    return replies / seconds


def _server_efficiency(requests: int, seconds: float = 0.1, at_once: int = 64) -> float:
    prompts = [CompletionPrompt((Message("user", f"question {n}"),), 8) for n in range(at_once + requests)]
    with serving(seconds, at_once) as url, tempfile.TemporaryDirectory() as folder:
        server = ServerModel("loopback", base_url=url, concurrency=at_once)
        with Store(Path(folder) / "store.sqlite") as store:
            StoredModel(server, store).complete(prompts[:at_once])
            before, began, busy = _memory(), time.perf_counter(), time.process_time()
            replies = StoredModel(server, store).complete(prompts[at_once:])
            wall, busy = time.perf_counter() - began, time.process_time() - busy
    asked = sum(reply.outcome is Outcome.OK for reply in replies)
    if asked != requests:
        raise AssertionError("some requests were not answered")
    ideal = asked * seconds / at_once
    print(
        f"server: {asked} requests in {wall:.2f} s, at best {ideal:.2f} s; {1000 * busy / asked:.2f} ms of CPU each; "
        f"at the peak {_memory():.0f} MiB of memory, {_memory() - before:.1f} MiB more than before"
    )
    return ideal / wall


def _memory() -> float:
    """The most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

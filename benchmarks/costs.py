"""Compute what it costs to explain all neurons of a model, and write docs/costs.md.

Run it from the root of the repository: ``python -m benchmarks.costs``. A plan of a few units (``neurogloss plan``) is
scaled to all neurons. ``--plan`` makes that plan again and keeps it in benchmarks/costs_plan.json; it needs the
embedded weights' tokenizer and a minute or two. What is taken for granted stands in benchmarks/costs.yaml.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness import stats
from harness.config.compose import composed
from harness.jobs import estimate, run
from harness.models.fake import FakeModel
from harness.models.server.batch import MOST_REQUESTS
from harness.models.server.capabilities import MOST_LEVELS, Capabilities, Probe
from harness.models.server.model import ServerModel
from harness.models.store import CAPABILITIES, COMPLETIONS, LEVELS, Store, keep, key_of
from harness.report import page, power
from harness.report.page import Page, Row, Table
from harness.results.run import Results, read_results
from harness.tasks import catalog, frozen
from harness.types import Completion, Message, SlottedPrompt

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "costs.md"
PLAN = ROOT / "benchmarks" / "costs_plan.json"
ASSUMED = ROOT / "benchmarks" / "costs.yaml"

SIMULATORS = {
    "overlap": ("token_overlap", ""),
    "tuned": ("tuned", ""),
    "all-at-once, log-probabilities of the prompt": ("all_at_once", "prompt"),
    "all-at-once, the model writes": ("all_at_once", "generated"),
    "one-at-a-time, log-probabilities of the prompt": ("one_at_a_time", "prompt"),
    "one-at-a-time, the model writes": ("one_at_a_time", "generated"),
}
"""Each way to simulate: its option of ``conf/simulator``, and how a server's levels are read."""


@dataclass(frozen=True)
class Work:
    """What one unit takes of a model, at most: requests, and tokens of prompts and of replies."""

    requests: float
    prompt_tokens: float
    reply_tokens: float

    def __add__(self, other: Work) -> Work:
        return Work(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.reply_tokens + other.reply_tokens,
        )


@dataclass(frozen=True)
class Way:
    """What one unit takes by one way to simulate.

    Attributes:
        label: of the way.
        explain: asked of the explainer's model.
        simulate: asked of the simulator's model.
        usd: dollars of both by the token, at the prices of single requests.
        small: true if the simulator's model is the tuned one, which runs in this process.
        open_prompt: true if levels are read from the prompt's log-probabilities, which providers do not give.
        slots: tokens that are simulated.
    """

    label: str
    explain: Work
    simulate: Work
    usd: float
    small: bool
    open_prompt: bool
    slots: float

    @property
    def work(self) -> Work:
        return self.explain + self.simulate

    @property
    def reply_bytes(self) -> float:
        """Bytes of replies as JSON: what the store keeps, before it compresses them."""
        of_reading, of_slot = _bytes_of_readings()
        explanation = COMPLETIONS.encode(Completion("x" * round(4 * self.explain.reply_tokens)))
        return self.explain.requests * _size(explanation) + self.simulate.requests * of_reading + self.slots * of_slot

    def gpu_hours(self, gpu: Mapping[str, Any]) -> float:
        """Return the hours of one GPU that a unit takes."""
        speed = gpu["small" if self.small else "large"]
        return _hours(self.explain, gpu["large"]) + _hours(self.simulate, speed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", action="store_true", help="make the plan again")
    assumed = assumptions()
    if parser.parse_args().plan:
        PLAN.write_text(json.dumps(planned(assumed), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(text(assumed, json.loads(PLAN.read_text(encoding="utf-8"))), encoding="utf-8")
    print(PAGE)


def assumptions() -> dict[str, Any]:
    """Return what is taken for granted."""
    content: dict[str, Any] = yaml.safe_load(ASSUMED.read_text(encoding="utf-8"))
    return content


# ------------------------------------------------------------------------------------------------------------ the plan


def planned(assumed: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a unit takes by each way, as the plan of a run says: requests, tokens and dollars by stage."""
    return {label: _plan(assumed, *way) for label, way in SIMULATORS.items()}


def _plan(assumed: Mapping[str, Any], simulator: str, transport: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"task={assumed['task']}", f"units.limit={assumed['units']}", f"explainer={assumed['explainer']}"]
        settings += ["scores=panel", f"output={folder}", f"simulator={simulator}", "explainer_model=server"]
        settings += _server("explainer_model.server", "generated", assumed)
        if transport:
            where = f"simulator.{simulator}.model"
            settings += [f"model@{where}=server", *_server(where, transport, assumed)]
            _store_trial(Path(folder) / "store.sqlite", transport, assumed)
        rows = estimate.estimate(run.prepare(composed("run", settings)))
    return {
        stage: {
            "requests": sum(row.new.requests for row in rows if row.stage.startswith(stage)),
            "prompt_tokens": sum(row.new.prompt_tokens for row in rows if row.stage.startswith(stage)),
            "reply_tokens": sum(row.new.completion_tokens for row in rows if row.stage.startswith(stage)),
            "usd": sum(row.new.usd for row in rows if row.stage.startswith(stage)),
        }
        for stage in ("explain", "simulate")
    }


def _server(where: str, transport: str, assumed: Mapping[str, Any]) -> list[str]:
    return [f"{where}.{name}={value}" for name, value in _settings(transport, assumed).items()]


def _settings(transport: str, assumed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a model on a server."""
    server = {"name": "NAME", "base_url": "http://localhost:8000/v1", "transport": transport}
    return {**server, "tokenizer": assumed["tokenizer"], **assumed["prices"]}


def _store_trial(path: Path, transport: str, assumed: Mapping[str, Any]) -> None:
    """Store that a server reads all levels, so that its trial, one for all neurons, is not counted for a few."""
    server = ServerModel(**_settings(transport, assumed))
    with Store(path) as store:
        keep(store, CAPABILITIES, key_of(server.identity, CAPABILITIES.name, Probe()), Capabilities(MOST_LEVELS))


def ways(assumed: Mapping[str, Any], plan: Mapping[str, Any]) -> list[Way]:
    """Return what one unit takes by each way."""
    units = assumed["units"]
    slots = plan["one-at-a-time, log-probabilities of the prompt"]["simulate"]["requests"] / units
    return [
        Way(
            label,
            *(_work(plan[label][stage], units) for stage in ("explain", "simulate")),
            sum(plan[label][stage]["usd"] for stage in ("explain", "simulate")) / units,
            simulator == "tuned",
            transport == "prompt",
            slots if simulator != "token_overlap" else 0.0,
        )
        for label, (simulator, transport) in SIMULATORS.items()
    ]


def _work(stage: Mapping[str, float], units: int) -> Work:
    return Work(stage["requests"] / units, stage["prompt_tokens"] / units, stage["reply_tokens"] / units)


def _hours(work: Work, speed: Mapping[str, float]) -> float:
    seconds = work.prompt_tokens / speed["prompt_tokens_per_second"]
    if work.reply_tokens:
        seconds += work.reply_tokens / speed["reply_tokens_per_second"]
    return seconds / 3600


def _bytes_of_readings() -> tuple[float, float]:
    """Return the bytes of a reading as JSON without its slots, and those of a slot, by two readings of a fake model."""
    sizes = {}
    for slots in (1, 65):
        prompt = SlottedPrompt((Message("user", "a"),), ("b",) * slots, "-", 11)
        ((_, reading),) = FakeModel().read_levels([prompt])
        sizes[slots] = _size(LEVELS.encode(reading))
    of_slot = (sizes[65] - sizes[1]) / 64
    return sizes[1] - of_slot, of_slot


def _size(value: object) -> int:
    return len(json.dumps(value, separators=(",", ":")))


# ------------------------------------------------------------------------------------------------------------ the page


def text(assumed: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Return the page."""
    of_unit = ways(assumed, plan)
    tables = [
        _of_unit(of_unit),
        *(_of_subject(subject, of_unit, assumed) for subject in assumed["subjects"]),
        _of_samples(of_unit, assumed),
    ]
    return page.markdown_page(
        Page("What explaining all neurons costs", _facts(assumed), tuple(tables), tuple(_sentences(of_unit, assumed)))
    )


def _facts(assumed: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    prices, gpu = assumed["prices"], assumed["gpu"]
    large, small = gpu["large"], gpu["small"]
    return (
        ("planned", f"{assumed['units']} units of {assumed['task']}, one explanation each by {assumed['explainer']}"),
        (
            "assumed prices (recalled, not checked)",
            f"{prices['usd_per_million_prompt_tokens']} and {prices['usd_per_million_completion_tokens']} USD for a "
            f"million prompt and reply tokens, {prices['batch_price']} of that in batch files; a GPU "
            f"{gpu['usd_per_hour']} USD an hour",
        ),
        (
            "assumed speed of one GPU (not measured)",
            f"a model of 8B {large['prompt_tokens_per_second']:,} prompt tokens and "
            f"{large['reply_tokens_per_second']:,} reply tokens a second; the tuned simulator "
            f"{small['prompt_tokens_per_second']:,} tokens a second",
        ),
        ("written by", "python -m benchmarks.costs; benchmarks/costs.yaml holds what is assumed"),
    )


def _of_unit(of_unit: Sequence[Way]) -> Table:
    columns = ("simulator", "requests", "prompt tokens", "reply tokens", "bytes of replies")
    rows = [
        (
            way.label,
            *(f"{count:,.0f}" for count in (way.work.requests, way.work.prompt_tokens, way.work.reply_tokens)),
            _bytes(way.reply_bytes),
        )
        for way in of_unit
    ]
    return Table("One neuron, at most", _named(columns), tuple(rows))


def _of_subject(subject: Mapping[str, Any], of_unit: Sequence[Way], assumed: Mapping[str, Any]) -> Table:
    neurons = _neurons(subject)
    dollars = ("dollars, own GPU", "dollars, by token", "in batch files")
    columns = ("simulator", "tokens", "GPU hours", *dollars, "bytes of replies", "batch files")
    title = f"{subject['name']}: {subject['layers']} layers of {subject['width']:,}, {neurons:,} neurons"
    return Table(title, _named(columns), tuple(_row(way, neurons, assumed) for way in of_unit))


def _row(way: Way, neurons: int, assumed: Mapping[str, Any]) -> Row:
    hours, usd = way.gpu_hours(assumed["gpu"]) * neurons, way.usd * neurons
    by_token = ("–", "–") if way.open_prompt else (_usd(usd), _usd(usd * assumed["prices"]["batch_price"]))
    sent = way.explain.requests + (0.0 if way.small else way.simulate.requests)
    return (
        way.label,
        page.short(round((way.work.prompt_tokens + way.work.reply_tokens) * neurons)),
        f"{hours:,.0f}",
        _usd(hours * assumed["gpu"]["usd_per_hour"]),
        *by_token,
        _bytes(way.reply_bytes * neurons),
        f"{-(-sent * neurons // MOST_REQUESTS):,.0f}",
    )


def _of_samples(of_unit: Sequence[Way], assumed: Mapping[str, Any]) -> Table:
    samples = {f"to see {size:g}": _needed(assumed, size) for size in assumed["power"]["differences"]}
    samples |= {f"all of {subject['name']}": _neurons(subject) for subject in assumed["subjects"]}
    hours = [
        (way.label, *(f"{way.gpu_hours(assumed['gpu']) * count:,.2f}" for count in samples.values())) for way in of_unit
    ]
    counts = ("neurons", *(f"{count:,}" for count in samples.values()))
    return Table("GPU hours of a sample that is enough", _named(("simulator", *samples)), (counts, *hours))


def _sentences(of_unit: Sequence[Way], assumed: Mapping[str, Any]) -> list[str]:
    subject, *_ = assumed["subjects"]
    neurons = _neurons(subject)
    return [
        "All counts are those of neurogloss plan: a reply is as long as it may be, an explanation that is not known "
        "yet too, and no prompt shares its beginning with another. A server that keeps what prompts share computes "
        "far fewer, of one-at-a-time above all.",
        f"An excerpt is taken to have as many tokens as those of {assumed['task']}. Collecting is not in the figures: "
        "it is one pass over a corpus for all neurons at once. What a task keeps of it takes "
        f"{_bytes(_bytes_of_task(assumed))} a neuron here, so {_bytes(_bytes_of_task(assumed) * neurons)} for "
        f"{subject['name']}.",
        "Dollars by token are those of explaining, and of simulating unless the tuned simulator or no model does that. "
        "Where levels are read from the prompt's log-probabilities they stand for no provider: OpenAI gives none.",
        "Bytes are those of replies as JSON; the store compresses them. Batch files are counted by their limit of "
        f"{MOST_REQUESTS:,} requests; that of bytes may ask for more.",
        _limits(of_unit, subject, assumed),
        _advice(neurons, assumed),
    ]


def _limits(of_unit: Sequence[Way], subject: Mapping[str, Any], assumed: Mapping[str, Any]) -> str:
    """Return what the dearest and the cheapest way that asks a model take of a whole subject."""
    by_hours = sorted((way for way in of_unit if way.slots), key=lambda way: way.gpu_hours(assumed["gpu"]))
    cheapest, dearest = by_hours[0], by_hours[-1]
    neurons = _neurons(subject)
    days = [way.gpu_hours(assumed["gpu"]) * neurons / 24 for way in (cheapest, dearest)]
    return (
        f'Where the limits are: "{dearest.label}" takes {days[1]:,.0f} days of one GPU for {subject["name"]} '
        f"({days[1] / 7:,.0f} GPUs for a week), {page.short(round(dearest.work.requests * neurons))} requests, each a "
        f'row of the store, and {_bytes(dearest.reply_bytes * neurons)} of replies; "{cheapest.label}" takes '
        f"{days[0]:,.1f} days and {_bytes(cheapest.reply_bytes * neurons)}."
    )


def _advice(neurons: int, assumed: Mapping[str, Any]) -> str:
    """Return when a sample is enough."""
    finest = min(assumed["power"]["differences"])
    first, second = assumed["power"]["explainers"]
    row = _power(assumed, finest)
    return (
        f"When to stop: neurogloss power says of the leaderboard's entry that {first} and {second} take "
        f"{int(row['needed']):,} neurons to be told apart where they differ by {finest:g} ({row['95 % range']}, for "
        f"{row['units']} units do not tell the variance exactly). {neurons:,} would tell "
        f"{_smallest(assumed, neurons):.4f} apart: to compare explainers stop at a sample, and explain "
        "all neurons where the explanations themselves are wanted."
    )


# ------------------------------------------------------------------------------------------------------------- samples


def _power(assumed: Mapping[str, Any], difference: float) -> dict[str, str]:
    """Return the row of the power analysis of the two rows that are to be told apart, by its columns."""
    explainers = tuple(assumed["power"]["explainers"])
    analysis = power.build(_entry(assumed), power.PowerSettings(difference, explainers=explainers))
    return dict(zip([name for name, _ in power.COLUMNS], analysis.tables[0].rows[0], strict=True))


def _entry(assumed: Mapping[str, Any]) -> Results:
    """Return the entry of the leaderboard that has both rows."""
    wanted = set(assumed["power"]["explainers"])
    entries = [read_results(path) for path in sorted((ROOT / assumed["power"]["entry"]).glob("*.json"))]
    return next(entry for entry in entries if wanted <= {row.explainer for row in entry.summaries})


def _needed(assumed: Mapping[str, Any], difference: float) -> int:
    return int(_power(assumed, difference)["needed"])


def _smallest(assumed: Mapping[str, Any], neurons: int) -> float:
    """Return the smallest difference that so many neurons tell apart."""
    return stats.smallest_difference(float(_power(assumed, 0.05)["deviation"]) ** 2, neurons)


# -------------------------------------------------------------------------------------------------------------- figures


def _neurons(subject: Mapping[str, Any]) -> int:
    return int(subject["layers"]) * int(subject["width"])


def _bytes_of_task(assumed: Mapping[str, Any]) -> float:
    """Return the bytes that a frozen task keeps of a unit."""
    folder = catalog.find_task(assumed["task"])
    units = len(frozen.read(folder)["neurons"])
    return sum(path.stat().st_size for path in folder.glob("*.parquet")) / units


def _named(columns: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in columns)


def _usd(value: float) -> str:
    return f"{value:,.0f}"


def _bytes(count: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} B"


if __name__ == "__main__":
    main()

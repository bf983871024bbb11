"""The card of a published dataset: what it holds, how to load it, how it was made, and what it is not good for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pyarrow as pa
import yaml

from harness.config.settings import PublishSettings
from harness.results.run import Results
from harness.share.dataset_tables import warnings
from harness.stats import HEADLINE
from harness.text import figure, markdown, span
from harness.types import Role, Summary

SPLIT = "results"
"""The split of each subset: train, valid and test are words for a unit's excerpts here."""
_TAGS = ["interpretability", "automated-interpretability", "explanations", "language-models", "neurogloss"]
_CARD = Path(__file__).with_name("dataset_card.md")


@dataclass(frozen=True, slots=True)
class Subset:
    """A table of a dataset: its columns, and the rows and bytes of all its shards, as Arrow counts them."""

    schema: pa.Schema
    rows: int
    size: int


def card(results: Results, subsets: Mapping[str, Subset], settings: PublishSettings, people: int, tag: str) -> str:
    """Return the card of a dataset in Markdown, whose front matter is what the hub and ``datasets`` read.

    Args:
        results: of the run.
        subsets: each table, by its name.
        settings: the licences, and the repository that it goes to, if it goes to one.
        people: how many people's explanations there are.
        tag: the name of the publication's revision.
    """
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, finalize=_escaped, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    text = environment.from_string(_CARD.read_text(encoding="utf-8")).render(
        run=results,
        subsets=subsets,
        people=people,
        license=settings.license,
        subject_license=settings.subject_license,
        repository=settings.repo_id,
        split=SPLIT,
        tag=tag,
        units=units_in_words(results),
        explainers=explainers_in_words(results),
        headline=HEADLINE,
        span=span,
        metrics=_metrics(results.summaries),
        warnings={(row.explainer, row.simulator): list(warnings(results, row)) for row in results.summaries},
        infos={info.name: info for info in results.explainers},
        told=any(info.role is Role.TOLD for info in results.explainers),
        truths=[summary for summary in results.truths if not summary.category],
        small=small_models(results),
        git=results.provenance.get("git"),
        version=results.provenance.get("neurogloss", "unknown"),
    )
    front = yaml.safe_dump(_front_matter(results, subsets, settings.license), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{text}"


def _escaped(value: object) -> str:
    """Return what a place of the template shows: a figure, or a text in which nothing is markup."""
    return figure(value) if isinstance(value, float) else markdown(str(value))


def _metrics(summaries: tuple[Summary, ...]) -> list[str]:
    """Return the board's columns: every metric of any row but the headline, which has a column of its own."""
    return [name for name in dict.fromkeys(name for row in summaries for name in row.metrics) if name != HEADLINE]


def units_in_words(results: Results) -> str:
    """Return how many units of what a run asked for."""
    count = len(results.task.units)
    noun = "puzzles" if all(unit.is_puzzle for unit in results.task.units) else "units"
    return f"{count} {noun} of {results.task.name if results.subject is None else results.subject.name}"


_KINDS = (
    ((Role.EXPLAINER,), "method", "methods"),
    ((Role.HUMAN,), "set of explanations by people", "sets of explanations by people"),
    ((Role.FLOOR, Role.CEILING, Role.TABLE, Role.NULL), "control", "controls"),
)
"""Roles of explainers that are counted together, and what they are called."""


def explainers_in_words(results: Results) -> str:
    """Return how many methods and how many controls explained; a method counts once for each model that it asks.

    It is empty if the explanations only came with the units.
    """
    count = Counter(info.role for info in results.explainers)
    numbers = [(sum(count[role] for role in roles), *words) for roles, *words in _KINDS]
    return _listed(
        [f"{number} {singular if number == 1 else plural}" for number, singular, plural in numbers if number]
    )


def _listed(words: list[str]) -> str:
    """Return words as a list in a sentence: a, b and c."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def small_models(results: Results) -> list[str]:
    """Return the models that explained or simulated and, by their name, have less than 1,000 million parameters."""
    identities = [info.identity for info in results.explainers] + [info.identity for info in results.simulators]
    names = dict.fromkeys(identity.name for identity in identities if identity is not None)
    return [name for name in names if _is_small(name)]


def _is_small(name: str) -> bool:
    sizes = re.findall(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", name.lower())
    return any(unit == "m" or float(size) < 1 for size, unit in sizes)


# ----------------------------------------------------------------------------------------------------- the front matter


def _front_matter(results: Results, subsets: Mapping[str, Subset], license_name: str) -> dict[str, object]:
    return {
        "license": license_name,
        "pretty_name": f"{units_in_words(results)}, explained ({results.task.name})",
        "tags": _TAGS,
        "configs": [
            {
                "config_name": name,
                "data_files": [{"split": SPLIT, "path": f"data/{name}/*.parquet"}],
                "default": name == "explanations",
            }
            for name in subsets
        ],
        "dataset_info": [
            {
                "config_name": name,
                "features": features(subset.schema),
                "splits": [{"name": SPLIT, "num_bytes": subset.size, "num_examples": subset.rows}],
            }
            for name, subset in subsets.items()
        ],
    }


def features(schema: pa.Schema) -> list[dict[str, object]]:
    """Return a table's columns as ``datasets`` writes them in a card."""
    return [{"name": column.name, **_feature(column.type)} for column in schema]


def _feature(kind: pa.DataType) -> dict[str, object]:
    if pa.types.is_struct(kind):
        return {"struct": features(pa.schema(list(kind)))}
    if not pa.types.is_list(kind):
        return {"dtype": {"double": "float64", "float": "float32"}.get(str(kind), str(kind))}
    inner = _feature(kind.value_type)
    return {"list": inner.get("dtype") or inner.get("struct") or inner}

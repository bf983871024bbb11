"""A run as a Hugging Face dataset: always in the run's own folder; elsewhere, or on the hub, only when asked.

The dataset holds the run's three tables as they are, one subset each, with a card that says how they were made and what
they are not good for. People who explained are numbered, not named.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from harness.provenance import redact
from harness.results import Results, figure, markdown, span, to_json, write_whole
from harness.stats import HEADLINE
from harness.types import NeuroglossError, Summary

FOLDER = "dataset"
SUBSETS = ("explanations", "simulations", "scores")
SPLIT = "results"
"""Each subset has this one split: train, valid and test are words for a neuron's excerpts here."""
DESTINATIONS = ("run", "folder", "hub")
_TAGS = ["interpretability", "automated-interpretability", "explanations", "language-models", "neurogloss"]
_CARD = Path(__file__).with_name("dataset_card.md")


@dataclass(frozen=True)
class PublishSettings:
    """Where a run's dataset goes.

    Attributes:
        to: ``run`` (its own folder, nowhere else), ``folder`` (a copy there) or ``hub`` (the Hugging Face hub).
        folder: for ``to=folder``: the copy, which may replace an older dataset of ours and nothing else.
        repo_id: for ``to=hub``: ``account/name``.
        private: whether the repository on the hub is, or must be, private.
        token_env: the name of the environment variable that holds the hub's token.
        license: the licence of the task's texts, as the hub abbreviates it; it stands in the card.
    """

    to: str = "run"
    folder: str | None = None
    repo_id: str | None = None
    private: bool = True
    token_env: str = "HF_TOKEN"
    license: str = "unknown"


def check(settings: PublishSettings) -> None:
    """Refuse, before any work, settings with which :func:`publish` could not publish."""
    if settings.to not in DESTINATIONS:
        raise NeuroglossError(f"publish.to is {settings.to!r}; write publish=none, publish=local or publish=hub.")
    if settings.to != "hub" and settings.repo_id:
        raise NeuroglossError("publish.repo_id is given, but nothing goes to the hub; write publish=hub as well.")
    if settings.to != "folder" and settings.folder:
        raise NeuroglossError("publish.folder is given, but nothing goes there; write publish=local as well.")
    if settings.to == "folder":
        _check_folder(settings)
    if settings.to == "hub":
        _check_hub(settings)


def _check_folder(settings: PublishSettings) -> None:
    if not settings.folder:
        raise NeuroglossError("publish=local needs a folder; add publish.folder=FOLDER to the command.")
    folder = _target(settings)
    if folder.exists() and not _is_ours(folder):
        raise NeuroglossError(f"publish.folder {folder} holds something else; give a new folder, or remove that one.")


def _check_hub(settings: PublishSettings) -> None:
    from huggingface_hub import constants  # noqa: PLC0415  # only where the hub is asked for
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # noqa: PLC0415

    if not settings.repo_id:
        raise NeuroglossError("publish=hub needs a repository; add publish.repo_id=ACCOUNT/NAME to the command.")
    try:
        validate_repo_id(settings.repo_id)
    except HFValidationError as error:
        raise NeuroglossError(f"publish.repo_id is {settings.repo_id!r}; write ACCOUNT/NAME.") from error
    if not os.environ.get(settings.token_env):
        raise NeuroglossError(
            f"the environment variable {settings.token_env} is not set, and publish=hub needs a token in it that may "
            "write; set it, or write publish=none."
        )
    if constants.HF_HUB_OFFLINE:
        raise NeuroglossError("HF_HUB_OFFLINE is set, so nothing can go to the hub; unset it, or write publish=none.")


# ------------------------------------------------------------------------------------------------------- the dataset


def write_dataset(results: Results, settings: PublishSettings, folder: Path) -> None:
    """Make ``dataset/`` in a run's folder of the tables that stand there; an older one is replaced.

    ``datasets.load_dataset("<run>/dataset", "scores")`` reads it.

    Args:
        results: of the run, for the card; simulated excerpts are not needed.
        settings: the licence.
        folder: the run's, which may be unfinished but has its tables.

    Raises:
        OSError: it cannot be written; nothing half-written is left.
    """
    tables = {subset: pq.read_table(folder / f"{subset}.parquet") for subset in SUBSETS}
    names = _annotators(tables)
    tables = {subset: _unnamed(table, names) for subset, table in tables.items()}
    files = {f"data/{subset}/{SPLIT}.parquet": _parquet(table) for subset, table in tables.items()}
    with _replaced(folder / FOLDER) as draft:
        for name, content in files.items():
            write_whole(draft / name, content)
        write_whole(draft / "README.md", card(results, tables, settings.license, len(names)).encode())
        write_whole(draft / "run.json", json.dumps(_about(results, names), indent=1, allow_nan=False).encode())


def _annotators(tables: Mapping[str, pa.Table]) -> dict[str, str]:
    """A number for each person, in order of their first row."""
    found = dict.fromkeys(name for name in tables["explanations"]["annotator"].to_pylist() if name)
    return {name: f"annotator {number}" for number, name in enumerate(found, start=1)}


def _unnamed(table: pa.Table, names: Mapping[str, str]) -> pa.Table:
    index = table.schema.get_field_index("annotator")
    numbered = [names.get(name, name) for name in table["annotator"].to_pylist()]
    return table.set_column(index, table.schema.field(index), pa.array(numbered, pa.string()))


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _about(results: Results, names: Mapping[str, str]) -> object:
    """All that ``results.json`` says of the run but the explanations themselves, which are in the tables."""
    about = dataclasses.replace(results, scored={}, config=redact(results.config))
    return _numbered(to_json(about), names)


def _numbered(value: object, names: Mapping[str, str]) -> object:
    """The same with numbers for people, where the config or an override of it names them."""
    if isinstance(value, Mapping):
        return {
            key: names.get(str(item)) if key == "annotator" else _numbered(item, names) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_numbered(item, names) for item in value]
    match = re.fullmatch(r"(.*annotator=)(.*)", value) if isinstance(value, str) else None
    return value if match is None else match[1] + names.get(match[2], "null")


# ----------------------------------------------------------------------------------------------------------- the card


def card(results: Results, tables: Mapping[str, pa.Table], license_name: str, people: int) -> str:
    """The dataset's README: front matter that the hub and ``datasets`` read, then what a person should know.

    Args:
        results: of the run.
        tables: each subset's table, as it is written.
        license_name: of the texts.
        people: how many people's explanations there are.
    """
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, finalize=_escaped, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    text = environment.from_string(_CARD.read_text(encoding="utf-8")).render(
        run=results,
        tables=tables,
        people=people,
        license=license_name,
        headline=HEADLINE,
        span=span,
        metrics=_metrics(results.summaries),
        small=small_models(results),
        git=results.provenance.get("git"),
        version=results.provenance.get("neurogloss", "unknown"),
    )
    front = yaml.safe_dump(_front_matter(results, tables, license_name), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{text}"


def _escaped(value: object) -> str:
    """What a place of the template shows: a figure, or a text in which nothing is markup."""
    return figure(value) if isinstance(value, float) else markdown(str(value))


def _metrics(summaries: tuple[Summary, ...]) -> list[str]:
    """The board's columns: every metric of any row but the headline, which has a column of its own."""
    return [name for name in dict.fromkeys(name for row in summaries for name in row.metrics) if name != HEADLINE]


def small_models(results: Results) -> list[str]:
    """The models that explained or simulated and, by their name, have less than a thousand million parameters."""
    asked = [explainer.identity for explainer in results.explainers] + [results.simulator.identity]
    names = dict.fromkeys(identity.name for identity in asked if identity is not None)
    return [name for name in names if _is_small(name)]


def _is_small(name: str) -> bool:
    sizes = re.findall(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", name.lower())
    return any(unit == "m" or float(size) < 1 for size, unit in sizes)


def _front_matter(results: Results, tables: Mapping[str, pa.Table], license_name: str) -> dict[str, object]:
    return {
        "license": license_name,
        "pretty_name": f"Neurons of {results.subject.name}, explained ({results.task.name})",
        "tags": _TAGS,
        "configs": [
            {
                "config_name": subset,
                "data_files": [{"split": SPLIT, "path": f"data/{subset}/{SPLIT}.parquet"}],
                "default": subset == SUBSETS[0],
            }
            for subset in tables
        ],
        "dataset_info": [
            {
                "config_name": subset,
                "features": features(table.schema),
                "splits": [{"name": SPLIT, "num_bytes": table.nbytes, "num_examples": table.num_rows}],
            }
            for subset, table in tables.items()
        ],
    }


def features(schema: pa.Schema) -> list[dict[str, object]]:
    """A table's columns as ``datasets`` writes them in a card."""
    return [{"name": column.name, **_feature(column.type)} for column in schema]


def _feature(kind: pa.DataType) -> dict[str, object]:
    if pa.types.is_struct(kind):
        return {"struct": features(pa.schema(list(kind)))}
    if not pa.types.is_list(kind):
        return {"dtype": {"double": "float64", "float": "float32"}.get(str(kind), str(kind))}
    inner = _feature(kind.value_type)
    return {"list": inner.get("dtype") or inner.get("struct") or inner}


# -------------------------------------------------------------------------------------------------------- publishing


def publish(folder: Path, settings: PublishSettings) -> str | None:
    """Bring a dataset where the settings say; the return value is that place, None where it stays in the run's folder.

    Args:
        folder: the run's, with its ``dataset/``; it is kept whatever happens.
        settings: where to.

    Raises:
        NeuroglossError: the settings do not hold (see :func:`check`), or the hub refused or could not be reached.
    """
    check(settings)
    if settings.to == "hub":
        return _upload(folder / FOLDER, settings)
    if settings.to == "folder":
        return str(_copy(folder / FOLDER, _target(settings)))
    return None


def _copy(folder: Path, target: Path) -> Path:
    try:
        with _replaced(target) as draft:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                write_whole(draft / path.relative_to(folder), path.read_bytes())
    except OSError as error:
        raise NeuroglossError(
            f"the dataset cannot be written to {target} ({error.strerror or error}); it is whole in {folder}."
        ) from error
    return target


def _upload(folder: Path, settings: PublishSettings) -> str:
    import httpx2  # noqa: PLC0415  # only where the hub is asked for
    from huggingface_hub import HfApi  # noqa: PLC0415

    repository = str(settings.repo_id)
    api = HfApi(token=os.environ[settings.token_env])
    try:
        url = api.create_repo(repository, repo_type="dataset", private=settings.private, exist_ok=True)
        if settings.private and not api.repo_info(url.repo_id, repo_type="dataset").private:
            raise NeuroglossError(
                f"{url} is public already, but publish.private is true; write publish.private=false, or another "
                "publish.repo_id."
            )
        api.upload_folder(
            repo_id=url.repo_id, repo_type="dataset", folder_path=folder, commit_message=f"Add {folder.parent.name}"
        )
    except (httpx2.HTTPError, OSError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".: ")
        raise NeuroglossError(
            f"the hub did not take the dataset ({reason}); it is whole in {folder}: run the same command again."
        ) from error
    return str(url)


def _target(settings: PublishSettings) -> Path:
    return Path(str(settings.folder)).expanduser().resolve()


def _is_ours(folder: Path) -> bool:
    return folder.is_dir() and (not any(folder.iterdir()) or (folder / "run.json").is_file())


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A new folder to build in, which takes the place of ``folder`` at the end, or goes away on any failure."""
    draft = folder.with_name(f".{folder.name}.{os.urandom(4).hex()}.tmp")
    aside = draft.with_suffix(".old")
    draft.mkdir(parents=True)
    try:
        yield draft
        if folder.exists():
            folder.rename(aside)
        draft.rename(folder)
    finally:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        for remains in (draft, aside):
            if remains.exists():
                shutil.rmtree(remains)

"""A run as a Hugging Face dataset: always in the run's own folder; elsewhere, or on the hub, only when asked.

The dataset holds three tables of the run as they are, one subset each, with a card that says how they were made and
what they are not good for. People who explained are numbered, not named.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from harness.config.settings import PublishSettings
from harness.files import put, sync_tree, unfinished
from harness.guards import secrets
from harness.results.provenance import redact
from harness.results.run import Results
from harness.stats import HEADLINE
from harness.text import figure, markdown, span
from harness.typed_json import dump, read_json, to_json
from harness.types import NeuroglossError, Role, Summary

FOLDER = "dataset"
MANIFEST = "run.json"
"""What a dataset says of its run, and the digests of the files beside it, by which it is known again."""
SUBSETS = ("explanations", "simulations", "scores")
SPLIT = "results"
"""The split of each subset: train, valid and test are words for a unit's excerpts here."""
_TAGS = ["interpretability", "automated-interpretability", "explanations", "language-models", "neurogloss"]
_CARD = Path(__file__).with_name("dataset_card.md")


def check(settings: PublishSettings) -> None:
    """Refuse, before any work, settings with which :func:`publish` could not publish."""
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
        raise NeuroglossError(
            f"publish.folder {folder} holds something else, or files that were changed; give a new folder, or remove "
            "that one."
        )


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
    """Make ``dataset/`` in a run's folder out of the tables that stand there; an older one is replaced.

    ``datasets.load_dataset("<run>/dataset", "scores")`` reads it.

    Args:
        results: of the run, for the card; simulated excerpts are not needed.
        settings: the licence.
        folder: the run's, which may be unfinished but has its tables.

    Raises:
        OSError: it cannot be written; nothing half-written is left.
    """
    tables = {subset: pq.read_table(folder / f"{subset}.parquet") for subset in SUBSETS}
    numbers = _annotators(tables["explanations"])
    tables = {subset: _without_names(table, numbers) for subset, table in tables.items()}
    files = {f"data/{subset}/{SPLIT}.parquet": _parquet(table) for subset, table in tables.items()}
    files["README.md"] = card(results, tables, settings.license, len(numbers)).encode()
    files = {
        name: secrets.scrubbed(content.decode()).encode() if name.endswith(".md") else content
        for name, content in files.items()
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[MANIFEST] = dump({**_about(results, numbers), "files": digests})
    _write_folder(folder / FOLDER, files)


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, by their path within a folder, whole or not at all, in place of an older folder."""
    with unfinished(folder) as draft:
        for name, content in files.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(content)
        sync_tree(draft)
        put(draft, folder)


def _annotators(explanations: pa.Table) -> dict[str, str]:
    """Return a number for each person, in the order of their first explanation."""
    names = dict.fromkeys(name for name in explanations["annotator"].to_pylist() if name)
    return {name: f"annotator {number}" for number, name in enumerate(names, start=1)}


def _without_names(table: pa.Table, numbers: Mapping[str, str]) -> pa.Table:
    index = table.schema.get_field_index("annotator")
    annotators = [numbers.get(name, name) for name in table["annotator"].to_pylist()]
    return table.set_column(index, table.schema.field(index), pa.array(annotators, pa.string()))


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _about(results: Results, numbers: Mapping[str, str]) -> dict[str, object]:
    """Return all that ``results.json`` says of the run but its explanations, which are in the tables.

    Of each row there is its summary.
    """
    rows = tuple(dataclasses.replace(row, scored=()) for row in results.rows)
    about = dataclasses.replace(results, rows=rows, config=redact(results.config))
    return dict(_numbered(to_json(about), numbers))


def _numbered(value: Any, numbers: Mapping[str, str]) -> Any:
    """Return a JSON value with numbers for people, where the config or an override of it names them."""
    if isinstance(value, Mapping):
        return {
            key: numbers.get(str(item)) if key == "annotator" else _numbered(item, numbers)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_numbered(item, numbers) for item in value]
    match = re.fullmatch(r"(.*annotator=)(.*)", value) if isinstance(value, str) else None
    return value if match is None else match[1] + numbers.get(match[2], "null")


# ----------------------------------------------------------------------------------------------------------- the card


def card(results: Results, tables: Mapping[str, pa.Table], license_name: str, people: int) -> str:
    """Return the dataset's README: front matter that the hub and ``datasets`` read, then what a person should know.

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
        units=units_in_words(results),
        explainers=explainers_in_words(results),
        headline=HEADLINE,
        span=span,
        metrics=_metrics(results.summaries),
        infos={info.name: info for info in results.explainers},
        told=any(info.role is Role.TOLD for info in results.explainers),
        truths=[summary for summary in results.truths if not summary.category],
        small=small_models(results),
        git=results.provenance.get("git"),
        version=results.provenance.get("neurogloss", "unknown"),
    )
    front = yaml.safe_dump(_front_matter(results, tables, license_name), sort_keys=False, allow_unicode=True)
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


def _front_matter(results: Results, tables: Mapping[str, pa.Table], license_name: str) -> dict[str, object]:
    return {
        "license": license_name,
        "pretty_name": f"{units_in_words(results)}, explained ({results.task.name})",
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
    """Return a table's columns as ``datasets`` writes them in a card."""
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
    """Bring a dataset where the settings say, and return that place; None if it stays in the run's folder.

    Args:
        folder: the run's, with its ``dataset/``, which stays whatever happens.
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
        _write_folder(
            target,
            {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()},
        )
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
    """Return whether a folder holds nothing but a dataset as we wrote it, or nothing: such a folder may be replaced."""
    if not folder.is_dir():
        return False
    paths = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    files = {path.relative_to(folder).as_posix(): path for path in paths}
    if not files:
        return not any(folder.iterdir())
    if any(path.is_symlink() or not path.is_file() for path in paths) or MANIFEST not in files:
        return False
    digests = _manifest(files.pop(MANIFEST))
    return bool(digests) and digests == {name: _digest(path) for name, path in files.items()}


def _manifest(path: Path) -> dict[str, str]:
    """Return the digest of each file that we have written beside a manifest; none if it is no manifest."""
    try:
        digests = read_json(path).get("files")
    except NeuroglossError:
        return {}
    return digests if isinstance(digests, dict) else {}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

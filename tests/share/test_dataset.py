"""The dataset: ``datasets`` reads back what was written, the card is safe, nothing leaves the machine unless asked."""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from markdown_it import MarkdownIt

from harness.config.settings import PublishSettings
from harness.results.run import Results, read_run, write_run
from harness.results.vocabulary import ExplainerInfo, TaskInfo
from harness.share import dataset
from harness.share.dataset import SUBSETS
from harness.types import (
    Calibration,
    Excerpt,
    ExcerptKind,
    Explanation,
    Identity,
    NeuroglossError,
    Outcome,
    Role,
    RowKey,
    ScoredExplanation,
    ScorerInfo,
    Scores,
    SimulatedExcerpt,
    Simulation,
    SimulatorInfo,
    Unit,
)

Make = Callable[..., Results]
UNITS = (Unit("N", 0, 7), Unit("N", 29, 1535))
SMALL = Identity("HuggingFaceTB/SmolLM2-135M-Instruct", "0123abcd", transport="prompt")
LARGE = Identity("some/Model-70B", "ffff")
SIMULATOR = SimulatorInfo("all_at_once", SMALL, "prompt", 11, "all-at-once-v1")
TOKENS = (" tea", "\n", "\ufffd", "日本", "a|b", "\t\r", "", "\ud800")
TOKEN = "a-token-that-must-not-appear"
HUB = PublishSettings(to="hub", repo_id="someone/some-set")
TASK = TaskInfo("tiny-v1", "feedface", 2, UNITS)


def scored(text: str, annotator: str = "", unit: Unit = UNITS[0]) -> ScoredExplanation:
    real = tuple(0.5 * i - 1 for i in range(len(TOKENS)))
    expected = (math.nan, *(float(i) for i in range(1, len(TOKENS))))
    excerpt = Excerpt(TOKENS, (), real, ExcerptKind.RANDOM, weight=2.5, source="doc 1:0", leading=1)
    empty = Excerpt((), (), (), ExcerptKind.TOP)
    explanation = Explanation(unit, text, prompt_version="pairs-v1" * bool(text), annotator=annotator)
    simulated = (
        SimulatedExcerpt("valid", excerpt, Simulation(expected, mass=(0.5,) * len(TOKENS)), (math.nan, *real[1:])),
        SimulatedExcerpt("calibration", empty, Simulation((), outcome=Outcome.FAILED), ()),
    )
    scores = Scores(
        {"correlation": 0.25, "abs_dev": -3.5}, degenerate=("correlation",), missing={"ablation": "no, 0/0"}
    )
    return ScoredExplanation(explanation, "", simulated, Calibration(1.5, -0.25), scores)


def table(value: float | None = None) -> ScoredExplanation:
    explanation = Explanation(UNITS[1], table={" tea": 1.5, "\ufffd": -0.5}, default=0.125)
    scores = (
        Scores({}, missing={"correlation": "nothing to score"}) if value is None else Scores({"correlation": value})
    )
    return ScoredExplanation(explanation, "", (), None, scores)


@pytest.fixture
def make(make_results: Make) -> Make:
    """Makes results of two units: a method that asks a small model, and a lookup."""

    def results(rows: Mapping[str | RowKey, Any] | None = None, **changes: Any) -> Results:
        usual = {
            "summary · smollm2": (Role.EXPLAINER, (scored(" words\nabout “tea” | \ufffd"),)),
            RowKey("lookup", "lookup"): (Role.CEILING, (table(),)),
        }
        fields = {
            "run_id": "tiny-v1-0123456789ab",
            "task": TASK,
            "subject": SMALL,
            "simulators": (SIMULATOR,),
            "explainers": (
                ExplainerInfo("summary · smollm2", "summary", "smollm2", Role.EXPLAINER, SMALL, "pairs-v1"),
                ExplainerInfo("lookup", "lookup", "", Role.CEILING),
            ),
            "config": {"seed": 0, "model": {"api_key_env": "OPENAI_API_KEY"}},
            "provenance": {"neurogloss": "0.1.0", "git": {"commit": "c0ffee", "dirty": True}, "overrides": []},
        }
        return make_results(usual if rows is None else rows, **{**fields, **changes})

    return results


@pytest.fixture
def results(make: Make) -> Results:
    return make()


def written(results: Results, root: Path, settings: PublishSettings | None = None) -> Path:
    """The folder of a run with its dataset, as a run writes it."""
    writer = partial(dataset.write_dataset, results, settings or PublishSettings())
    return write_run(root, results, "board", [writer])


def front_matter(folder: Path) -> dict[str, Any]:
    _, front, _ = (folder / "dataset" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    matter: dict[str, Any] = yaml.safe_load(front)
    return matter


def body(folder: Path) -> str:
    return (folder / "dataset" / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]


# ---------------------------------------------------------------------------------------------------- the dataset


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``datasets.load_dataset`` with a cache of its own, cut off from the hub."""
    import datasets

    cache = tmp_path_factory.mktemp("cache")

    def load(folder: Path, subset: str | None = None) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
            patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
            return datasets.load_dataset(str(folder), subset, cache_dir=str(cache))

    return load


@pytest.mark.parametrize("subset", SUBSETS)
def test_datasets_reads_back_equal(subset: str, results: Results, tmp_path: Path, loaded: Any) -> None:
    folder = written(results, tmp_path)
    (split, back), *more = loaded(folder / "dataset", subset).items()
    table = pq.read_table(folder / f"{subset}.parquet")
    assert (split, more) == ("results", [])
    assert back.to_list() == table.to_pylist()
    assert back.data.table.schema.types == table.schema.types
    assert back.num_rows > 0


def test_what_is_missing_or_odd_survives(results: Results, tmp_path: Path, loaded: Any) -> None:
    folder = written(results, tmp_path) / "dataset"
    explanations = loaded(folder)["results"].to_list()  # the default subset
    assert [row["text"] for row in explanations] == [" words\nabout “tea” | \ufffd", ""]
    assert [row["table_tokens"] for row in explanations] == [None, [" tea", "\ufffd"]]
    simulations = loaded(folder, "simulations")["results"].to_list()
    assert simulations[0]["tokens"] == [*TOKENS[:-1], "\ufffd"]
    assert simulations[0]["simulated"] == [None, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert (simulations[1]["tokens"], simulations[1]["real"], simulations[1]["mass"]) == ([], [], None)
    scores = {row["metric"]: row for row in loaded(folder, "scores")["results"].to_list() if row["unit"] == "L0N7"}
    assert (scores["correlation"]["value"], scores["correlation"]["degenerate"]) == (0.25, True)
    assert (scores["ablation"]["value"], scores["ablation"]["reason"]) == (None, "no, 0/0")


def test_the_card_says_what_datasets_would_infer(results: Results, tmp_path: Path) -> None:
    from datasets import Features

    folder = written(results, tmp_path)
    matter = front_matter(folder)
    assert [item["config_name"] for item in matter["configs"]] == list(SUBSETS)
    for info in matter["dataset_info"]:
        table = pq.read_table(folder / f"{info['config_name']}.parquet")
        assert info["features"] == Features.from_arrow_schema(table.schema)._to_yaml_list()
        assert info["splits"] == [{"name": "results", "num_bytes": table.nbytes, "num_examples": table.num_rows}]


def test_columns_of_all_kinds_that_we_write_are_named_as_datasets_names_them() -> None:
    from datasets import Features

    kinds: list[pa.DataType] = [pa.string(), pa.int64(), pa.int32(), pa.float64(), pa.float32(), pa.bool_()]
    kinds += [pa.list_(kind) for kind in kinds] + [pa.list_(pa.list_(pa.float64()))]
    schema = pa.schema([(f"column {i}", kind) for i, kind in enumerate(kinds)])
    assert dataset.features(schema) == Features.from_arrow_schema(schema)._to_yaml_list()


def test_a_run_that_was_read_back_gives_the_same_dataset(results: Results, tmp_path: Path) -> None:
    folder = written(results, tmp_path)
    first = {path.name: path.read_bytes() for path in (folder / "dataset").rglob("*") if path.is_file()}
    dataset.write_dataset(read_run(folder), PublishSettings(), folder)
    assert {path.name: path.read_bytes() for path in (folder / "dataset").rglob("*") if path.is_file()} == first
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_failure_leaves_the_old_dataset(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(results, tmp_path)
    first = (folder / "dataset" / "README.md").read_bytes()

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dataset, "sync_tree", full)
    with pytest.raises(OSError, match="No space"):
        dataset.write_dataset(results, PublishSettings(license="mit"), folder)
    assert (folder / "dataset" / "README.md").read_bytes() == first
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


# ------------------------------------------------------------------------------------------------------- the card


def test_the_card_has_the_board_and_how_it_was_made(make: Make, tmp_path: Path) -> None:
    results = make(scorers=(ScorerInfo("panel"), ScorerInfo("detection", LARGE, "detection-v1")))
    folder = written(results, tmp_path, PublishSettings(license="apache-2.0"))
    assert front_matter(folder)["license"] == "apache-2.0"
    text = body(folder)
    assert "| summary | smollm2 | explainer | all_at_once | 0.250 [–] | 1 of 1 |\n" in text
    assert "| lookup | none | ceiling | lookup | none | 0 of 1 |" in text
    for words in ("feedface", "0123abcd", "pairs-v1", "transport prompt, 11 levels", "c0ffee, with changes"):
        assert words in text
    assert "| explainer summary · smollm2 | explainer, HuggingFaceTB/SmolLM2-135M-Instruct, revision 0123abcd" in text
    assert "| scorer detection | some/Model-70B, revision ffff, prompt detection-v1 |" in text
    assert "{{" not in text
    assert "licence" not in text
    assert "puzzle" not in text


def test_the_card_counts_methods_and_controls_apart(make: Make, tmp_path: Path) -> None:
    rows = {
        "a": (Role.EXPLAINER, 0.5),
        "summary · x": (Role.EXPLAINER, 0.5),
        "summary · y": (Role.EXPLAINER, 0.5),
        "people": (Role.HUMAN, 0.5),
        "shuffled": (Role.FLOOR, 0.0),
        RowKey("lookup", "lookup"): (Role.CEILING, 0.7),
    }
    results = make(rows, explainers=tuple(ExplainerInfo(str(name), "m", "", role) for name, (role, _) in rows.items()))
    assert dataset.explainers_in_words(results) == "3 methods, 1 set of explanations by people and 2 controls"
    assert dataset.explainers_in_words(make()) == "1 method and 1 control"
    text = body(written(make(), tmp_path))
    assert (
        "\n1 method and 1 control said what each of 2 units of HuggingFaceTB/SmolLM2-135M-Instruct responds to." in text
    )


def test_the_card_has_a_line_for_every_other_metric(make: Make, tmp_path: Path) -> None:
    plain = make({"summary · smollm2": (Role.EXPLAINER, 0.5), RowKey("lookup", "lookup"): (Role.CEILING, 0.7)})
    assert "every other metric" not in body(written(plain, tmp_path / "one"))
    text = body(written(make(), tmp_path / "two"))
    heading = "| every other metric | summary · smollm2 by all_at_once | lookup by lookup |"
    assert f"\n{heading}\n|---|---|---|\n| abs_dev | -3.500 | none |\n" in text


def test_the_card_says_that_small_models_are_weak_and_only_then(make: Make, results: Results, tmp_path: Path) -> None:
    assert "The models asked are small" in body(written(results, tmp_path))
    large = make(
        {"big": (Role.EXPLAINER, 0.5)},
        explainers=(ExplainerInfo("big", "big", "", Role.EXPLAINER, LARGE),),
        simulators=(SimulatorInfo("all_at_once", LARGE, "prompt", 11),),
    )
    assert "small" not in body(written(large, tmp_path / "large"))


@pytest.mark.parametrize(
    ("name", "small"),
    [
        ("SmolLM2-135M-Instruct", True),
        ("embedded:smollm2-135m-instruct", True),
        ("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", True),
        ("Qwen/Qwen2.5-0.5B", True),
        ("meta-llama/Llama-3.1-8B-Instruct", False),
        ("gpt-4o", False),
        ("a/7BM", False),
    ],
)
def test_small_models_are_known_by_their_names(name: str, small: bool, results: Results) -> None:
    simulators = (SimulatorInfo("chance", control=True), replace(SIMULATOR, identity=Identity(name, "r")))
    assert dataset.small_models(replace(results, simulators=simulators, explainers=())) == ([name] if small else [])


def test_people_are_counted_and_numbered_never_named(make: Make, results: Results, tmp_path: Path) -> None:
    assert "It holds no explanation, rating or other data by people." in body(written(results, tmp_path / "without"))
    people = make(
        {"people": (Role.HUMAN, (scored("tea", "Zoe Zander"), scored("cups", "Ann")))},
        explainers=(ExplainerInfo("people", "people", "", Role.HUMAN),),
        config={"human": {"file": "people.csv", "annotator": "Zoe Zander"}},
        provenance={**results.provenance, "overrides": ["human.annotator=Zoe Zander", "explainer.p.annotator=Else"]},
    )
    folder = written(people, tmp_path / "with")
    for subset in SUBSETS:
        rows = pq.read_table(folder / "dataset" / "data" / subset / "results.parquet").to_pylist()
        assert {row["annotator"] for row in rows} == {"annotator 1", "annotator 2"}
    assert "Explanations by 2 people are included" in body(folder)
    content = b"".join(path.read_bytes() for path in (folder / "dataset").rglob("*") if path.is_file())
    assert not any(name in content for name in (b"Zander", b"Ann\x00", b"Else"))
    about = json.loads((folder / "dataset" / "run.json").read_text(encoding="utf-8"))
    assert about["config"]["human"]["annotator"] == "annotator 1"
    assert about["provenance"]["overrides"] == ["human.annotator=annotator 1", "explainer.p.annotator=null"]


def test_run_json_says_all_but_the_explanations(results: Results, tmp_path: Path) -> None:
    about = json.loads((written(results, tmp_path) / "dataset" / "run.json").read_text(encoding="utf-8"))
    assert about["rows"][0]["summary"]["metrics"]["correlation"]["mean"] == 0.25
    assert [row["scored"] for row in about["rows"]] == [[], []]
    assert about["standings"][0]["simulator"] == "all_at_once"


def test_nothing_from_outside_is_markup_in_the_card(make: Make, tmp_path: Path) -> None:
    bad = '<script>x</script> | [a](http://example.org) `b` **c** \n# d\n---\nlicense: mit {{ 7 * 7 }} "'
    identity = Identity(bad, bad)
    hostile = make(
        {bad: (Role.EXPLAINER, (scored("words"),)), RowKey("true", bad): (Role.TOLD, (scored("words"),))},
        task=replace(TASK, name=bad),
        subject=identity,
        simulators=(SimulatorInfo(bad, identity, bad, 11, bad),),
        explainers=(
            ExplainerInfo(bad, bad, bad, Role.EXPLAINER, identity, bad),
            ExplainerInfo("true", "true", "", Role.TOLD),
        ),
        scorers=(ScorerInfo(bad, identity, bad),),
    )
    folder = written(hostile, tmp_path)
    assert front_matter(folder)["license"] == "unknown"
    page = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(body(folder))
    assert "&lt;script&gt;" in page
    assert not any(markup in page for markup in ("<script", "<a ", "<code", "<strong>c", "<h1>d", "<hr", " 49 "))
    row, truth = (line for line in page.split("<tr>") if "0.250" in line)
    assert (row.count("<td"), truth.count("<td")) == (6, 5)


# -------------------------------------------------------------------------------------------------------- puzzles


@pytest.mark.parametrize("subset", SUBSETS)
def test_a_run_of_puzzles_reads_back_equal(subset: str, puzzle_results: Make, tmp_path: Path, loaded: Any) -> None:
    folder = written(puzzle_results(), tmp_path)
    back = loaded(folder / "dataset", subset)["results"]
    assert back.to_list() == pq.read_table(folder / f"{subset}.parquet").to_pylist()
    rows = back.to_list()
    assert {row["unit"] for row in rows} == {"puzzle:pets", "puzzle:ing"}
    assert {row["simulator"] for row in rows} == {"oracle", "token_overlap", "chance", "lookup"}
    assert {row["explainer"] for row in rows} >= {"true", "near", "unrelated", "max_activation"}


def test_the_card_of_puzzles_has_the_simulators_and_no_subject(puzzle_results: Make, tmp_path: Path) -> None:
    folder = written(puzzle_results(), tmp_path)
    text = body(folder)
    assert text.startswith("\n# 2 puzzles of puzzles-v1, explained\n")
    assert "1 method and 2 controls said what each of 2 puzzles of puzzles-v1 responds to." in text
    assert "Each unit comes with true and false explanations." in text
    assert "| oracle | 1.000 [1.000 to 1.000] | 1.000 | 1.000 | 2 of 2 |\n" in text
    assert "| control | token_overlap |" in text
    assert "| subject |" not in text
    assert "L12N345" not in text
    assert front_matter(folder)["pretty_name"] == "2 puzzles of puzzles-v1, explained (puzzles-v1)"


def test_the_card_of_simulators_alone_has_no_board(puzzle_results: Make, tmp_path: Path) -> None:
    results = puzzle_results()
    alone = replace(
        results,
        rows=tuple(row for row in results.rows if row.summary.role is Role.TOLD),
        explainers=tuple(info for info in results.explainers if info.role is Role.TOLD),
    )
    text = body(written(alone, tmp_path))
    assert "## The board" not in text
    assert "said what" not in text
    assert "## The simulators" in text


# -------------------------------------------------------------------------------------------------------- secrets


def test_secrets_never_reach_the_dataset(results: Results, tmp_path: Path) -> None:
    folder = written(results, tmp_path)
    leaky = replace(results, config={"model": {"name": "hf" + "_AbCdEfGhIjKlMnOpQr"}})
    with pytest.raises(NeuroglossError, match=r"model\.name"):
        dataset.write_dataset(leaky, PublishSettings(), folder)


# ------------------------------------------------------------------------------------------------------ elsewhere


def test_by_default_nothing_leaves_the_runs_folder(results: Results, tmp_path: Path) -> None:
    folder = written(results, tmp_path)
    assert dataset.publish(folder, PublishSettings()) is None


def test_a_copy_may_replace_an_older_dataset_and_nothing_else(results: Results, tmp_path: Path) -> None:
    folder, target = written(results, tmp_path / "runs"), tmp_path / "far" / "copy"
    settings = PublishSettings(to="folder", folder=str(target))
    for _ in range(2):
        assert dataset.publish(folder, settings) == str(target)
        copied = {path.relative_to(target) for path in target.rglob("*")}
        assert copied == {path.relative_to(folder / "dataset") for path in (folder / "dataset").rglob("*")}
    (target / "run.json").unlink()
    with pytest.raises(NeuroglossError, match="holds something else"):
        dataset.check(settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (PublishSettings(to="folder"), r"publish\.folder=FOLDER"),
        (PublishSettings(to="hub"), r"publish\.repo_id=ACCOUNT/NAME"),
        (PublishSettings(repo_id="someone/some-set"), "publish=hub as well"),
        (PublishSettings(folder="somewhere"), "publish=local as well"),
        (PublishSettings(to="hub", repo_id="a/b/c"), "ACCOUNT/NAME"),
        (HUB, "HF_TOKEN is not set"),
        (replace(HUB, token_env="MY_TOKEN"), "MY_TOKEN is not set"),
    ],
)
def test_impossible_settings_are_refused_before_work(
    settings: PublishSettings, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(NeuroglossError, match=sentence):
        dataset.check(settings)


def test_no_other_place_can_be_named() -> None:
    with pytest.raises(NeuroglossError, match="publish=none, publish=local or publish=hub"):
        PublishSettings(to="nowhere")


def test_an_offline_hub_is_refused_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    dataset.check(HUB)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NeuroglossError, match="HF_HUB_OFFLINE is set"):
        dataset.check(HUB)


# -------------------------------------------------------------------------------------------------------- the hub


class Hub(ThreadingHTTPServer):
    """As much of the hub as an upload needs, on loopback: it keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.calls: list[tuple[str, str]] = []
        self.created: dict[str, Any] = {}
        self.tokens: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.private = True
        self.refusal = 0


class Answer(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.calls.append((self.command, self.path))
        self.server.tokens.add(self.headers.get("Authorization", ""))
        if self.server.refusal:
            return self.reply({"error": "not you"}, self.server.refusal)
        return self.reply(self.answer(self.path.split("?")[0], content))

    def answer(self, path: str, content: bytes) -> Any:
        if path == "/api/repos/create":
            self.server.created = json.loads(content)
            return {"url": f"{self.server.url}/datasets/someone/some-set"}
        if "/preupload/" in path:
            files = json.loads(content)["files"]
            uploads = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            return {"files": uploads}
        if "/commit/" in path:
            for line in map(json.loads, content.decode().splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return {"commitUrl": f"{self.server.url}/datasets/someone/some-set/commit/1", "commitOid": "1"}
        return {"id": "someone/some-set", "private": self.server.private, "sha": "1", "siblings": [], "tags": []}

    def reply(self, answer: Any, status: int = 200) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_hub_gets_every_file_with_the_token_from_the_environment(
    results: Results, tmp_path: Path, hub: Hub
) -> None:
    """In a process of its own, as a user's: ``huggingface_hub`` reads its environment once."""
    folder = written(results, tmp_path / "runs")
    code = (
        "import sys; from pathlib import Path; from harness.share.dataset import *\n"
        "print(publish(Path(sys.argv[1]), PublishSettings(to='hub', repo_id='someone/some-set', token_env='MINE')))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    variables = {
        "HF_ENDPOINT": hub.url,
        "MINE": TOKEN,
        "HF_HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-c", code, str(folder)]
    process = subprocess.run(
        command, env=environment | variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == f"{hub.url}/datasets/someone/some-set"
    assert (hub.created["name"], hub.created["type"]) == ("some-set", "dataset")
    assert hub.created.get("private") is True or hub.created.get("visibility") == "private"
    files = [path for path in (folder / "dataset").rglob("*") if path.is_file()]
    assert hub.files == {path.relative_to(folder / "dataset").as_posix(): path.read_bytes() for path in files}
    assert f"Bearer {TOKEN}" in hub.tokens
    assert not any(TOKEN.encode() in content for content in hub.files.values())
    assert TOKEN not in process.stdout + process.stderr


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes ``huggingface_hub`` in this process take an address for the hub's."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return lambda url: monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)


def test_a_private_dataset_never_goes_to_a_public_repository(
    results: Results, tmp_path: Path, hub: Hub, at: Callable[[str], None]
) -> None:
    folder = written(results, tmp_path)
    at(hub.url)
    hub.private = False
    with pytest.raises(NeuroglossError, match="is public already"):
        dataset.publish(folder, HUB)
    assert hub.files == {}
    dataset.publish(folder, replace(HUB, private=False))
    assert "README.md" in hub.files


@pytest.mark.parametrize("refusal", [401, 403, None])
def test_a_hub_that_refuses_or_is_out_of_reach_is_one_sentence(
    refusal: int | None, results: Results, tmp_path: Path, hub: Hub, at: Callable[[str], None]
) -> None:
    folder = written(results, tmp_path)
    at(hub.url if refusal else "http://127.0.0.1:9")
    hub.refusal = refusal or 0
    with pytest.raises(NeuroglossError, match="the hub did not take the dataset") as refused:
        dataset.publish(folder, HUB)
    assert str(folder / "dataset") in str(refused.value)
    assert TOKEN not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (folder / "dataset" / "README.md").is_file()


@pytest.mark.parametrize("name", ["notes.txt", "data/scores/mine.parquet", "data/README.md"])
def test_a_folder_that_holds_anything_else_is_left_as_it_is(results: Results, tmp_path: Path, name: str) -> None:
    folder, target = written(results, tmp_path / "runs"), tmp_path / "copy"
    settings = PublishSettings(to="folder", folder=str(target))
    dataset.publish(folder, settings)
    (target / name).write_text("mine")
    for work in (lambda: dataset.check(settings), lambda: dataset.publish(folder, settings)):
        with pytest.raises(NeuroglossError, match="holds something else"):
            work()
    assert (target / name).read_text() == "mine"


def test_a_run_json_alone_gives_nobody_leave_to_replace_a_folder(results: Results, tmp_path: Path) -> None:
    folder, target = written(results, tmp_path / "runs"), tmp_path / "thesis"
    target.mkdir()
    for name, text in {"run.json": "{}", "thesis.tex": "years of work"}.items():
        (target / name).write_text(text)
    settings = PublishSettings(to="folder", folder=str(target))
    with pytest.raises(NeuroglossError, match="holds something else"):
        dataset.publish(folder, settings)
    (target / "thesis.tex").unlink()
    with pytest.raises(NeuroglossError, match="holds something else"):
        dataset.publish(folder, settings)
    (target / "run.json").unlink()
    (target / "link").symlink_to("/etc")
    with pytest.raises(NeuroglossError, match="holds something else"):
        dataset.publish(folder, settings)


def test_a_file_of_ours_that_was_changed_is_not_replaced(results: Results, tmp_path: Path) -> None:
    folder, target = written(results, tmp_path / "runs"), tmp_path / "copy"
    settings = PublishSettings(to="folder", folder=str(target))
    dataset.publish(folder, settings)
    with (target / "README.md").open("a") as card:
        card.write("my own words")
    with pytest.raises(NeuroglossError, match="holds something else, or files that were changed"):
        dataset.publish(folder, settings)

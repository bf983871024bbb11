"""The dataset: ``datasets`` reads back what was written, the card is safe, people have no names."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.config.settings import PublishSettings
from harness.results.run import Results, read_run
from harness.results.vocabulary import ExplainerInfo
from harness.share import dataset, dataset_card, dataset_tables
from harness.tasks.puzzles import records, source
from harness.types import (
    Excerpt,
    ExcerptKind,
    Identity,
    Judged,
    Judgement,
    NeuroglossError,
    Outcome,
    Record,
    Role,
    RowKey,
    ScorerInfo,
    SimulatorInfo,
)
from tests.share.conftest import RECORDS, SIMULATOR, TASK, TOKENS, Make, scored, written

OF_A_RUN = ("explanations", "simulations", "scores")
LARGE = Identity("some/Model-70B", "ffff")
Load = Callable[..., Any]


def front_matter(folder: Path) -> dict[str, Any]:
    _, front, _ = (folder / "dataset" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    matter: dict[str, Any] = yaml.safe_load(front)
    return matter


def body(folder: Path) -> str:
    return (folder / "dataset" / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]


def shards(folder: Path, subset: str) -> list[Path]:
    return sorted((folder / "dataset" / "data" / subset).iterdir())


# ---------------------------------------------------------------------------------------------------- the dataset

SUBSETS = ["units", "explanations", "simulations", "scores", "leaderboard"]


@pytest.mark.parametrize("subset", OF_A_RUN)
def test_datasets_reads_back_equal(subset: str, results: Results, tmp_path: Path, loaded: Load) -> None:
    folder = written(results, tmp_path)
    (split, back), *more = loaded(folder / "dataset", subset).items()
    table = pq.read_table(folder / f"{subset}.parquet")
    assert (split, more) == ("results", [])
    assert back.to_list() == table.to_pylist()
    assert back.data.table.schema.types == table.schema.types
    assert back.num_rows > 0


def test_judgements_are_published_where_there_are_any(make: Make, tmp_path: Path, loaded: Load) -> None:
    item = scored("words")
    excerpt = Excerpt((" tea", "\ud800"), (), (0.5, 0.25), ExcerptKind.HARD, 2.0, "doc 1:0")
    cases = (
        Judged("detection", excerpt, (), True, Judgement(0.75)),
        Judged("fuzzing", excerpt, (1,), False, Judgement(math.nan, Outcome.REFUSED)),
    )
    folder = written(make({"summary · smollm2": (Role.EXPLAINER, (replace(item, judged=cases),))}), tmp_path)
    back = loaded(folder / "dataset", "judgements")["results"].to_list()
    assert back == pq.read_table(folder / "judgements.parquet").to_pylist()
    assert [(row["judge"], row["tokens"][1], row["probability"]) for row in back] == [
        ("detection", "\ufffd", 0.75),
        ("fuzzing", "\ufffd", None),
    ]
    assert "judgements" in [subset["config_name"] for subset in front_matter(folder)["configs"]]
    assert re.search(r"\| judgements \| .* \| 2 \|\n\| leaderboard", body(folder))


def test_units_read_back_with_their_excerpts_splits_and_moments(results: Results, tmp_path: Path, loaded: Load) -> None:
    folder = written(results, tmp_path)
    back = loaded(folder / "dataset", "units")["results"].to_list()
    assert [row["unit"] for row in back] == [str(record.unit) for record in RECORDS]
    for row, record in zip(back, RECORDS, strict=True):
        assert (row["unit_kind"], row["place"], row["index"]) == ("N", record.unit.place, record.unit.index)
        assert (row["mean"], row["count"], row["fraction_active"], row["maximum"]) == (0.25, 1000, 0.125, 9.0)
        assert (row["skewness"], row["positive_share"], row["category"]) == (None, None, None)
        assert row["quantile_boundaries"] == [0.5, 0.9]
        excerpts = [(split, item) for split in ("train", "calibration", "valid", "test")
                    for item in getattr(record.splits, split)] + [(None, record.source.by_quantile[0][0])]  # fmt: skip
        for (split, excerpt), told in zip(excerpts, row["excerpts"], strict=True):
            assert (told["split"], told["kind"], told["source"]) == (split, excerpt.kind.value, excerpt.source)
            assert (told["weight"], told["leading"]) == (excerpt.weight, excerpt.leading)
            assert (told["tokens"], told["token_ids"]) == (list(excerpt.tokens), list(excerpt.token_ids))
            assert told["activations"] == list(excerpt.activations), "float32 values, exactly"


def test_the_board_reads_back_with_ranks_intervals_and_warnings(
    make_results: Make, tmp_path: Path, loaded: Load
) -> None:
    results = make_results()
    folder = written(results, tmp_path, records=[])
    back = {row["explainer"]: row for row in loaded(folder / "dataset", "leaderboard")["results"].to_list()}
    assert list(back) == ["good · large", "bad", "shuffled"]
    (standing,) = results.standings
    for summary in results.summaries:
        row, interval = back[summary.explainer], summary.metrics["correlation"]
        assert (row["mean"], row["low"], row["high"]) == (interval.mean, interval.low, interval.high)
        assert row["metrics"] == [{"metric": "correlation", "mean": interval.mean, "low": interval.low,
                                   "high": interval.high, "units": interval.units}]  # fmt: skip
        assert (row["units"], row["scored"], row["role"]) == (24, 24, summary.role.value)
    ranks = {name: (rank.best, rank.worst) for name, rank in standing.ranks.items()}
    assert {name: (row["best_rank"], row["worst_rank"]) for name, row in back.items() if name in ranks} == ranks
    assert back["shuffled"]["best_rank"] is None
    assert [row["warnings"] for row in back.values()] == [[], [], []]


def test_a_row_comes_with_what_must_be_known_before_it_is_quoted(make: Make, make_results: Make) -> None:
    rows = {"same": (Role.EXPLAINER, 0.1), "worse": (Role.EXPLAINER, -0.5), "shuffled": (Role.FLOOR, 0.1)}
    infos = tuple(ExplainerInfo(name, name, "", role, candidates=5 * (name == "same"))
                  for name, (role, _) in rows.items())  # fmt: skip
    results = make_results(rows, explainers=infos)
    found = {row.explainer: list(dataset_tables.warnings(results, row)) for row in results.summaries}
    assert found == {
        "same": [
            "Cannot be told from the floor (shuffled).",
            "Chosen among up to 5 explanations of a unit by their score.",
        ],
        "worse": ["Below the floor (shuffled)."],
        "shuffled": [],
    }
    alone = make()
    method, lookup = alone.summaries
    assert list(dataset_tables.warnings(alone, method)) == [
        "Compared with no floor: nothing says what a meaningless explanation would score.",
        "1 scores are 0 by convention, for an input was constant.",
    ]
    assert list(dataset_tables.warnings(alone, lookup)) == ["Only 0 of 1 units have a score."]


@given(sizes=st.lists(st.integers(0, 40), max_size=12), most=st.integers(1, 400))
def test_shards_are_bounded_and_hold_every_row_in_order(sizes: list[int], most: int) -> None:
    schema = pa.schema({"text": pa.string()})
    batches = [pa.RecordBatch.from_pydict({"text": [f"{number}" * size for size in sizes]}, schema)
               for number in range(3)]  # fmt: skip
    tables = list(dataset._shards(batches, schema, most))
    assert [text for table in tables for text in table["text"].to_pylist()] == [
        f"{number}" * size for number in range(3) for size in sizes
    ]
    assert tables
    assert all(table.nbytes <= most or table.num_rows == 1 for table in tables if table.num_rows)


def test_shards_are_named_by_their_number_and_read_as_one(results: Results, tmp_path: Path, loaded: Load) -> None:
    folder = written(results, tmp_path)
    dataset.write_dataset(results, RECORDS, PublishSettings(), folder, most=1)
    names = [path.name for path in shards(folder, "scores")]
    number = pq.read_table(folder / "scores.parquet").num_rows
    assert names == [f"results-{place:05}-of-{number:05}.parquet" for place in range(number)]
    back = loaded(folder / "dataset", "scores")["results"].to_list()
    assert back == pq.read_table(folder / "scores.parquet").to_pylist()


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
    assert [item["config_name"] for item in matter["configs"]] == SUBSETS
    for info in matter["dataset_info"]:
        table = pa.concat_tables(map(pq.read_table, shards(folder, info["config_name"])))
        assert info["features"] == Features.from_arrow_schema(table.schema)._to_yaml_list()
        (split,) = info["splits"]
        assert (split["name"], split["num_examples"]) == ("results", table.num_rows)
        assert split["num_bytes"] == pytest.approx(table.nbytes, rel=0.1), "Arrow counts masks by the batch"


def test_columns_of_all_kinds_that_we_write_are_named_as_datasets_names_them() -> None:
    from datasets import Features

    kinds: list[pa.DataType] = [pa.string(), pa.int64(), pa.int32(), pa.float64(), pa.float32(), pa.bool_()]
    kinds += [pa.list_(kind) for kind in kinds] + [pa.list_(pa.list_(pa.float64()))]
    schema = pa.schema([(f"column {i}", kind) for i, kind in enumerate(kinds)])
    assert dataset_card.features(schema) == Features.from_arrow_schema(schema)._to_yaml_list()


def test_a_run_that_was_read_back_gives_the_same_dataset(results: Results, tmp_path: Path) -> None:
    folder = written(results, tmp_path)
    first = {name: path.read_bytes() for name, path in dataset.files_of(folder / "dataset").items()}
    dataset.write_dataset(read_run(folder), RECORDS, PublishSettings(), folder)
    assert {name: path.read_bytes() for name, path in dataset.files_of(folder / "dataset").items()} == first
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_failure_leaves_the_old_dataset(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(results, tmp_path)
    first = (folder / "dataset" / "README.md").read_bytes()

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dataset, "sync_tree", full)
    with pytest.raises(OSError, match="No space"):
        dataset.write_dataset(results, RECORDS, PublishSettings(license="mit"), folder)
    assert (folder / "dataset" / "README.md").read_bytes() == first
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


# ------------------------------------------------------------------------------------------------------- the card


def test_the_card_has_the_board_and_how_it_was_made(make: Make, tmp_path: Path) -> None:
    results = make(scorers=(ScorerInfo("panel"), ScorerInfo("detection", LARGE, "detection-v1")))
    folder = written(results, tmp_path, PublishSettings(license="apache-2.0", subject_license="mit"))
    assert front_matter(folder)["license"] == "apache-2.0"
    text = body(folder)
    assert "| summary | smollm2 | explainer | all_at_once | 0.250 [–] | 1 of 1 |\n" in text
    assert "| lookup | none | ceiling | lookup | none | 0 of 1 |" in text
    for words in ("feedface", "0123abcd", "pairs-v1", "transport prompt, 11 levels", "c0ffee, with changes"):
        assert words in text
    assert "| explainer summary · smollm2 | explainer, HuggingFaceTB/SmolLM2-135M-Instruct, revision 0123abcd" in text
    assert "| scorer detection | some/Model-70B, revision ffff, prompt detection-v1 |" in text
    assert "{{" not in text
    assert "| licence of the texts | apache-2.0 |\n| licence of the subject | mit |\n" in text
    assert "Nobody has said under which licence" not in text
    assert "puzzle" not in text


def test_the_card_says_how_to_load_it_and_what_its_scores_are_worth(results: Results, tmp_path: Path) -> None:
    text = body(written(results, tmp_path / "here"))
    assert 'scores = load_dataset("FOLDER", "scores", split="results")  # the folder of this card\n' in text
    warning = "* summary · smollm2 by all_at_once: Compared with no floor: nothing says what a meaningless explanation"
    assert f"Before you quote a score:\n\n{warning} would score. 1 scores are 0 by convention" in text
    for sentence in (
        "Nobody has said under which licence the subject stands",
        "Nobody has said under which licence the t",
    ):
        assert sentence in text
    there = body(written(results, tmp_path / "there", PublishSettings(to="hub", repo_id="someone/some_set-2.0")))
    revision = 'load_dataset("someone/some_set-2.0", "scores", split="results", revision="tiny-v1-feedfacefeed")'
    assert revision in there
    assert "| revision | tiny-v1-feedfacefeed |" in there


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
    assert dataset_card.explainers_in_words(results) == "3 methods, 1 set of explanations by people and 2 controls"
    assert dataset_card.explainers_in_words(make()) == "1 method and 1 control"
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
    assert dataset_card.small_models(replace(results, simulators=simulators, explainers=())) == (
        [name] if small else []
    )


def test_people_are_counted_and_numbered_never_named(make: Make, results: Results, tmp_path: Path) -> None:
    assert "It holds no explanation, rating or other data by people." in body(written(results, tmp_path / "without"))
    people = make(
        {"people": (Role.HUMAN, (scored("tea", "Zoe Zander"), scored("cups", "Ann")))},
        explainers=(ExplainerInfo("people", "people", "", Role.HUMAN),),
        config={"human": {"file": "people.csv", "annotator": "Zoe Zander"}},
        provenance={**results.provenance, "overrides": ["human.annotator=Zoe Zander", "explainer.p.annotator=Else"]},
    )
    folder = written(people, tmp_path / "with")
    for subset in OF_A_RUN:
        rows = [row for path in shards(folder, subset) for row in pq.read_table(path).to_pylist()]
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
    text, snippet, more = body(folder).split("```")
    assert snippet.count("\n") == 5, "nothing from outside is in the code"
    page = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text + more)
    assert "&lt;script&gt;" in page
    assert not any(markup in page for markup in ("<script", "<a ", "<code", "<strong>c", "<h1>d", "<hr", " 49 "))
    row, truth = (line for line in page.split("<tr>") if "0.250" in line)
    assert (row.count("<td"), truth.count("<td")) == (6, 5)


# -------------------------------------------------------------------------------------------------------- puzzles


@pytest.fixture
def puzzle_records(puzzle_source: Path) -> list[Record]:
    return [records.record(puzzle) for puzzle in source.read(puzzle_source / "puzzles.yaml")]


def test_puzzles_are_units_without_moments(
    puzzle_results: Make, puzzle_records: list[Record], tmp_path: Path, loaded: Load
) -> None:
    folder = written(puzzle_results(), tmp_path, records=puzzle_records)
    back = loaded(folder / "dataset", "units")["results"].to_list()
    assert [(row["unit"], row["category"], row["place"], row["mean"]) for row in back] == [
        ("puzzle:pets", "lexical", None, None),
        ("puzzle:ing", "morphological", None, None),
    ]
    levels = [list(excerpt.activations) for excerpt in puzzle_records[0].splits.valid]
    assert [item["activations"] for item in back[0]["excerpts"] if item["split"] == "valid"] == levels
    board = loaded(folder / "dataset", "leaderboard")["results"].to_list()
    assert [row["role"] for row in board][-3:] == ["told"] * 3, "the explanations that came with units stand last"


@pytest.mark.parametrize("subset", OF_A_RUN)
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
        dataset.write_dataset(leaky, RECORDS, PublishSettings(), folder)


def test_where_a_run_lay_is_not_published(make: Make, tmp_path: Path) -> None:
    places = {"output": "/data/runs", "store": "/data/store.sqlite", "track": {"jsonl": {"file": "/a/b"}}}
    overrides = ["output=/data/runs", "+publish.folder=/a/b", "publish=local", "track@x=/a/b", "seed=3", "tracks=2"]
    results = make(config={"seed": 3, **places, "publish": {"folder": "/a/b"}}, provenance={"overrides": overrides})
    about = json.loads((written(results, tmp_path) / "dataset" / "run.json").read_text(encoding="utf-8"))
    assert about["config"] == {"seed": 3}
    assert about["provenance"]["overrides"] == ["seed=3", "tracks=2"]

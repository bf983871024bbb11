"""Measure a run over thousands of units: its time, its memory, and how both grow.

Run it by hand, on a quiet machine: ``python benchmarks/run.py``. Tasks of 1,000, 3,000 and 10,000 units are made of the
records of the default task, each copy of a unit under a name of its own. Five rows are run over each (the tokens of the
strongest activations, two floors, a table of means and a ceiling) with the simulator of word overlap, which asks no
model, each in a process of its own with one thread.

The last line is one JSON object:

* ``units``: of each run.
* ``seconds``: processor time of each run, of its process and what it started.
* ``seconds_a_unit``: the same, divided by the units.
* ``peak_mb``: peak memory of each run's process.
* ``megabytes_written``: the size of each run's folder.
* ``linear``: time a unit of the largest run, divided by that of the smallest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.tasks import frozen

SOURCE = Path(__file__).parents[1] / "tasks" / "smollm2-v2"
ROWS = "explainer=[max_activation,shuffled,random_words,token_lookup,oracle]"
UNITS_OF_A_GROUP = 64
"""Units whose excerpts are one row group of a file."""


def copied_task(units: int, folder: Path) -> Path:
    """Freeze a task of so many units: those of the default task, again and again under other names."""
    described = frozen.read(SOURCE)
    originals = list(described["neurons"])
    copies = [(originals[number % len(originals)], f"L{number // 1000}N{number % 1000}") for number in range(units)]
    with frozen.whole(folder / f"copied-{units}-v1") as draft:
        _write_records(draft / "records.parquet", copies)
        sums = pq.read_table(SOURCE / "sums.parquet")
        columns = {"text": sums["text"], "count": sums["count"]}
        pq.write_table(pa.table(columns | {name: sums[original] for original, name in copies}), draft / "sums.parquet")
        for name in ("tokens.parquet", "README.md"):
            (draft / name).write_bytes((SOURCE / name).read_bytes())
        described |= {
            "name": f"copied-{units}-v1",
            "neurons": {name: described["neurons"][original] for original, name in copies},
        }
        frozen.seal(draft, described, frozen.FILES["neurons"])
    return folder / f"copied-{units}-v1"


def _write_records(path: Path, copies: Sequence[tuple[str, str]]) -> None:
    table = pq.read_table(SOURCE / "records.parquet")
    names = table["neuron"].to_pylist()
    places = {name: [place for place, other in enumerate(names) if other == name] for name in dict.fromkeys(names)}
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for start in range(0, len(copies), UNITS_OF_A_GROUP):
            members = copies[start : start + UNITS_OF_A_GROUP]
            rows = table.take([place for original, _ in members for place in places[original]])
            units = [name for original, name in members for _ in places[original]]
            writer.write_table(rows.set_column(0, "neuron", pa.array(units)), row_group_size=len(units))


def measured(task: Path, folder: Path) -> dict[str, float]:
    """Run all rows over a task in a process of its own, and return what it took."""
    command = [
        sys.executable,
        "-m",
        "harness",
        "run",
        f"task.path={task}",
        "units=all",
        ROWS,
        "simulator=token_overlap",
    ]
    command += ["scores=panel", f"store={folder / 'store.sqlite'}", f"output={folder / 'runs'}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the run of {task.name} failed")
    written = sum(path.stat().st_size for path in (folder / "runs").rglob("*") if path.is_file())
    return {
        "seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
        "megabytes_written": round(written / 1e6),
    }


def figures(sizes: Sequence[int]) -> Iterator[dict[str, float]]:
    """Yield what the run over a task of each size took."""
    for units in sizes:
        with tempfile.TemporaryDirectory(prefix="neurogloss-run-") as folder:
            result = {"units": units, **measured(copied_task(units, Path(folder)), Path(folder))}
            result["seconds_a_unit"] = round(result["seconds"] / units, 5)
            print(json.dumps(result), flush=True)
            yield result


def main() -> None:
    """Measure, and print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[1000, 3000, 10000], help="sizes of the tasks")
    results = list(figures(parser.parse_args().units))
    summary = {name: [result[name] for result in results] for name in results[0]}
    print(json.dumps(summary | {"linear": round(summary["seconds_a_unit"][-1] / summary["seconds_a_unit"][0], 3)}))


if __name__ == "__main__":
    main()

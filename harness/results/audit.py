"""The result of an audit: verdicts on the metrics of a run, in ``audit.json`` and ``audit.md`` in its folder.

A verdict says whether one metric passed one test. Boards print the verdicts on the metric that they rank by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from harness import typed_json
from harness.results import run
from harness.results.vocabulary import StageUsage, TaskInfo
from harness.types import Interval, NeuroglossError, SimulatorInfo

SCHEMA_VERSION = 3
NAME = "audit"


class Test(StrEnum):
    """A test of metrics; see :mod:`harness.studies` for each."""

    __test__ = False  # pytest takes the name for one of its own

    MISSING_LABELS = "missing_labels"
    EXTRA_LABELS = "extra_labels"
    SHUFFLED = "shuffled"
    RANDOM = "random"
    REINITIALISED = "reinitialised"
    RETEST = "retest"

    @property
    def words(self) -> str:
        """Return its name for people."""
        return _WORDS[self]


_WORDS = {
    Test.MISSING_LABELS: "missing labels",
    Test.EXTRA_LABELS: "extra labels",
    Test.SHUFFLED: "shuffled explanations",
    Test.RANDOM: "random explanations",
    Test.REINITIALISED: "re-initialised subject",
    Test.RETEST: "test-retest",
}


class Finding(StrEnum):
    """The outcome of a test for one metric."""

    PASS = "pass"
    FAIL = "fail"
    UNTESTED = "not tested"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One metric in one test.

    Attributes:
        metric, test: which.
        finding: whether it passed; a metric without a value to test is not tested, and never passes for it.
        value: the figure that was compared with the bound of the test: a share of draws, a difference or a reliability.
        interval: of ``value`` over units (of the retest: of the standard deviation over repeats); its ends are NaN if
            there are too few.
        figures: further measurements, by name.
        sentence: all of it in words.
    """

    metric: str
    test: Test
    finding: Finding
    value: float
    interval: Interval
    figures: Mapping[str, float]
    sentence: str


@dataclass(frozen=True, slots=True)
class MatrixScore:
    """A score against length and truth.

    Attributes:
        metric: which.
        length: rank correlation over units with the number of words of the explanation, averaged over rows; NaN where
            there is none.
        p_value: of that being chance, corrected for the number of scores; NaN likewise.
        truth: share of pairs in which a true explanation outscores a false one of its unit; NaN where none is known.
        truth_units: number of units behind ``truth``.
    """

    metric: str
    length: float
    p_value: float
    truth: float
    truth_units: int


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """Two scores against each other: rank correlation over the units of a row, averaged over rows, and over the means
    of rows; NaN where there are too few."""

    first: str
    second: str
    over_units: float
    over_rows: float


@dataclass(frozen=True, slots=True)
class Matrix:
    """The scores of a run against each other, see :mod:`harness.studies.matrix`: ``rows`` are those that were held
    against each other."""

    rows: tuple[str, ...] = ()
    scores: tuple[MatrixScore, ...] = ()
    cells: tuple[MatrixCell, ...] = ()


@dataclass(frozen=True, slots=True)
class FinalRow:
    """An explainer's headline on valid and on test excerpts, and the difference, over the units that have both."""

    explainer: str
    valid: Interval
    test: Interval
    gap: Interval


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything that an audit says about itself.

    Attributes:
        run_id: of the run that was audited.
        created: when it ended, ISO 8601 in UTC.
        task: which units.
        simulator: the run's own.
        explainer: the explainer whose explanations the nulls were held against; empty where no test asked for them.
        verdicts: metric by metric, test by test.
        matrix: the scores of the run against each other.
        final: scores on test excerpts, if these were looked at.
        by_group: whether whole groups of units (layers) were drawn and flipped.
        settings: of the audit, as they were resolved.
        provenance: versions, commit and machine that made it.
        seconds, usage: of each stage, as in :class:`harness.results.run.Results`.
    """

    run_id: str
    created: str
    task: TaskInfo
    simulator: SimulatorInfo
    explainer: str
    verdicts: tuple[Verdict, ...]
    matrix: Matrix = field(default_factory=Matrix)
    final: tuple[FinalRow, ...] = ()
    by_group: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    usage: Mapping[str, StageUsage] = field(default_factory=dict)

    @property
    def metrics(self) -> list[str]:
        """Return the metrics, in order."""
        return list(dict.fromkeys(verdict.metric for verdict in self.verdicts))

    @property
    def tests(self) -> list[Test]:
        """Return the tests that were made, in order."""
        present = {verdict.test for verdict in self.verdicts}
        return [test for test in Test if test in present]

    def verdict(self, metric: str, test: Test) -> Verdict | None:
        """Return the verdict on a metric in a test, if that was made."""
        return next((item for item in self.verdicts if (item.metric, item.test) == (metric, test)), None)


def write(folder: Path, audit: Audit, page: str) -> None:
    """Add an audit to the folder of its run, in place of an earlier one.

    Raises:
        NeuroglossError: it cannot be written.
    """
    run.write_report(folder, NAME, {"schema_version": SCHEMA_VERSION, **typed_json.to_json(audit, NAME)}, page)


def read(folder: Path) -> Audit | None:
    """Return the audit of a run; None where it has none.

    Raises:
        NeuroglossError: it is damaged, or another version of this package wrote it.
    """
    path = folder / f"{NAME}.json"
    if not path.is_file():
        return None
    document = typed_json.read_json(path)
    version = document.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise NeuroglossError(
            f"{path} has schema version {version}, and this version reads {SCHEMA_VERSION}; audit the run again."
        )
    audit: Audit = typed_json.from_json(Audit, document, str(path))
    return audit


def sentence(audit: Audit | None, metric: str) -> str:
    """Return an audit's verdicts on one metric, in one line for a board: the tests that it failed come first."""
    if audit is None:
        return "not audited: neurogloss audit"
    verdicts = [verdict for verdict in audit.verdicts if verdict.metric == metric]
    if not verdicts:
        return f"{metric} was not audited"
    clauses = [_listed(finding, verdicts) for finding in (Finding.FAIL, Finding.PASS, Finding.UNTESTED)]
    return f"{metric}: {'; '.join(filter(None, clauses))}"


def _listed(finding: Finding, verdicts: Sequence[Verdict]) -> str:
    names = [verdict.test.words for verdict in verdicts if verdict.finding is finding]
    verb = {Finding.FAIL: "fails", Finding.PASS: "passes", Finding.UNTESTED: "not tested:"}[finding]
    return f"{verb} {', '.join(names)}" if names else ""


NOWHERE = Interval(math.nan, math.nan, math.nan, 0)
"""The interval of a metric without a value."""

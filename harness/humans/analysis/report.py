"""The report of a study: what its answers say, in tables and in sentences that they support.

Everything is worked out twice where the study's rule leaves people out: of everybody, and without these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import stats
from harness.config.settings import ExclusionSettings
from harness.humans import store
from harness.humans.analysis import (
    agreement,
    concordance,
    explained,
    people,
    raters,
    reliability,
    simulated,
    simulations,
    strengths,
)
from harness.humans.analysis.agreement import Ratings
from harness.humans.analysis.comparisons import Comparison, Preference, comparisons
from harness.humans.analysis.strengths import Strengths
from harness.humans.answers import (
    INTRUDERS_AMONG,
    IntruderQuestion,
    Mode,
    Picked,
    Response,
    SimulateQuestion,
    joined,
)
from harness.humans.exchange import tables
from harness.report.page import Columns, Page, Row, Table
from harness.report.resolution import too_few
from harness.report.standing_words import p_text
from harness.results.rows import Resampling
from harness.results.run import Results, read_run
from harness.stats import differs
from harness.text import figure, percent, plain, span
from harness.typed_json import from_json
from harness.types import Comparison as PairedComparison
from harness.types import FloatArray, Interval, Unit

EVERYBODY, KEPT = "everybody", "without those left out"
Cohorts = Mapping[str, Sequence[Response]]
"""The answers of everybody, and without those whom the rule leaves out, if there are any."""


@dataclass(frozen=True, slots=True)
class StudyAnswers:
    """What a study was answered: the answers that hold, and the rule that it fixed before them."""

    name: str
    responses: tuple[Response, ...]
    rule: ExclusionSettings

    @property
    def left_out(self) -> dict[str, tuple[str, ...]]:
        """Whom the rule leaves out, and what for."""
        return people.excluded(self.responses, self.rule)

    @property
    def cohorts(self) -> Cohorts:
        """The answers of everybody, and of those who are not left out if anybody is."""
        remaining = people.without(self.responses, self.left_out)
        return {EVERYBODY: self.responses} | ({KEPT: remaining} if self.left_out else {})


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The run whose explanations people read or wrote, and its simulated excerpts."""

    results: Results
    excerpts: Sequence[simulated.SimulatedExcerpt]

    @property
    def settings(self) -> Resampling:
        """How intervals and p-values are made: as on its board."""
        return Resampling(self.results.seed, self.results.resamples)

    @property
    def leading(self) -> dict[str, int]:
        """The number of first positions of each excerpt that count in no score, by its key."""
        return {excerpt.excerpt: excerpt.leading for excerpt in self.excerpts}


def read(path: Path) -> StudyAnswers:
    """Read the file of a study, or a table of answers, which has no rule by which anybody is left out.

    Raises:
        NeuroglossError: it is neither, or its answers do not fit its questions.
    """
    if path.suffix.lower() in tables.SUFFIXES:
        rows = tables.read(path).responses
        by_id = {row.assignment.id: row.assignment for row in rows}
        return StudyAnswers(path.name, tuple(joined((row.answer for row in rows), by_id.values())), ExclusionSettings())
    contents = store.read(path)
    rule = from_json(ExclusionSettings, contents.card.get("exclusion", {}), f"{path}, card.exclusion")
    return StudyAnswers(path.name, tuple(joined(contents.answers, contents.assignments)), rule)


def read_of(folder: Path) -> Run:
    """Read the run that a study is about.

    Raises:
        NeuroglossError: it is not a run, or damaged.
    """
    return Run(read_run(folder), simulated.read(folder))


def build(study: StudyAnswers, run: Run | None = None) -> Page:
    """Return the report of a study.

    Args:
        study: its answers.
        run: whose explanations were rated or simulated, or that scored explanations by people; None leaves out what
            needs one.
    """
    parts = [part for make in _PARTS for part in make(study, run)]
    return Page(
        f"What people said: {plain(study.name)}",
        tuple((name, plain(value)) for name, value in _facts(study)),
        tuple(part for part in parts if isinstance(part, Table)),
        tuple(plain(part) for part in parts if isinstance(part, str)),
    )


def _facts(study: StudyAnswers) -> Iterator[tuple[str, str]]:
    modes = [mode for mode in Mode if any(response.answer.mode is mode for response in study.responses)]
    yield "answers", f"{len(study.responses)} ({', '.join(modes) or 'none'})"
    yield "people", str(len({response.answer.annotator for response in study.responses}))
    yield "units", str(len({response.answer.unit for response in study.responses}))
    rule = study.rule
    yield (
        "left out",
        f"{len(study.left_out)} people, by the rule: {rule.least_known:.0%} of known answers right, "
        f"{rule.least_repeats:.0%} of repeats the same, {rule.least_seconds:g} s for an answer",
    )


Part = Table | str
"""A table of a report, or a sentence below them all."""

# -------------------------------------------------------------------------------------------------------------- people


def _people(study: StudyAnswers, _: Run | None) -> Iterator[Part]:
    """Yield how each person worked."""
    compared = comparisons(study.responses)
    ratings = [(item.annotator, item.item, item.preference) for item in compared]
    relied = raters.consensus(ratings, list(Preference)).reliability if ratings else {}
    columns: Columns = (
        ("person", "person"),
        ("answers", "answers"),
        ("known", "known answers right"),
        ("repeats", "repeats the same"),
        ("seconds", "seconds for an answer (median)"),
        ("relied", "reliability by the model of raters"),
        ("left out", "left out"),
    )
    rows: list[Row] = [
        (
            plain(person),
            str(work.answers),
            _share(work.right, work.known),
            _share(work.repeated, work.repeats),
            f"{work.seconds:.1f}",
            figure(relied.get(person, math.nan)),
            "yes" if person in study.left_out else "",
        )
        for person, work in people.conduct(study.responses).items()
    ]
    yield Table("People", columns, tuple(rows))
    for person, reasons in study.left_out.items():
        yield f"{person} is left out by the rule of the study: {'; '.join(reasons)}."
    if not study.responses:
        yield "Nobody has answered: there is nothing to say."
    if relied:
        yield (
            "The model of raters gives a person's answers as much weight as they agree with others' (MACE): 1 never "
            "guesses, 0 always does."
        )


def _share(part: int, total: int) -> str:
    return f"{part}/{total}" if total else "–"


# ----------------------------------------------------------------------------------------------------------- agreement


def _agreement(study: StudyAnswers, run: Run | None) -> Iterator[Part]:
    """Yield how far people agree, and how reliable the mean of their answers is."""
    makers: dict[str, Callable[[Sequence[Response]], Ratings]] = {
        "choices between two explanations": lambda responses: agreement.of_choices(comparisons(responses)),
        "simulated levels": lambda responses: agreement.of_levels(responses, run.leading if run else {}),
        "intruders": agreement.of_intruders,
    }
    rows: list[Row] = []
    for kind, make in makers.items():
        for cohort, responses in study.cohorts.items():
            ratings = make(responses)
            if ratings.shared:
                rows.append(_agreement_row(kind, cohort, ratings))
    columns: Columns = (
        ("answers", "answers"),
        ("of", "of"),
        ("alpha", "Krippendorff's alpha"),
        ("95 % interval", "95 % interval"),
        ("split half", "reliability of the mean (split half)"),
        ("95 % interval", "95 % interval"),
        ("shared", "items of two people or more"),
        ("units", "units"),
    )
    if rows:
        yield Table("How far people agree", columns, tuple(rows))
        yield (
            "Alpha is 1 where people agree and 0 where they do as by chance (names for choices and intruders, "
            "differences for levels). The reliability of the mean is what a correlation of halves of the people says "
            "of all of them (Spearman and Brown); its square root is the most that any score can be expected to "
            "correlate with people. Intervals are over units."
        )
    elif study.responses:
        yield "No two people answered the same question: too few to tell how far they agree."


def _agreement_row(kind: str, cohort: str, ratings: Ratings) -> Row:
    alpha = agreement.alpha_interval(ratings, 0)
    half = Interval(math.nan, math.nan, math.nan, 0)
    if kind != "intruders":
        values = _in_order(ratings) if ratings.scale is agreement.Scale.NOMINAL else ratings.values
        half = reliability.split_half_interval(values, ratings.units, 0)
    ends = (figure(alpha.mean), span(alpha), figure(half.mean), span(half))
    return (kind, cohort, *ends, str(ratings.shared), str(alpha.units))


def _in_order(ratings: Ratings) -> FloatArray:
    """Return choices as numbers: 1 for the first, -1 for the second, 0 for both or neither, which prefer none."""
    order = {Preference.FIRST: 1.0, Preference.SECOND: -1.0, Preference.BOTH: 0.0, Preference.NEITHER: 0.0}
    values = ratings.values.copy()
    for code, preference in enumerate(Preference):
        values[ratings.values == code] = order[preference]
    return values


# ----------------------------------------------------------------------------------------------------------- strengths


def _strengths(study: StudyAnswers, _: Run | None) -> Iterator[Part]:
    """Yield the strengths of explainers by everybody's choices, without those left out, and by random pairs alone."""
    compared = {cohort: comparisons(responses) for cohort, responses in study.cohorts.items()}
    if not compared[EVERYBODY]:
        return
    last = list(compared)[-1]
    random = [item for item in compared[last] if item.is_random]
    is_chosen = len(random) < len(compared[last])
    sets = compared | ({f"pairs at random, {last}": random} if is_chosen else {})
    fits = {name: strengths.fit(items) for name, items in sets.items()}
    main = fits[last]
    if main.rows:
        yield _strengths_table(fits, main)
        yield from _strength_sentences(main)
        if is_chosen:
            yield _adaptivity(main, list(fits.values())[-1])
    else:
        yield f"No strengths of explainers: {main.reason}."
    if main.neither:
        yield (
            f"To {percent(main.neither / (main.neither + main.comparisons))} of the pairs people said that neither "
            "explanation fits. That is no tie: these answers are in no strength, and stand as a rate beside each."
        )


def _strengths_table(fits: Mapping[str, Strengths], main: Strengths) -> Table:
    columns: list[tuple[str, str]] = [("explainer", "explainer")]
    for name in fits:
        columns += [("strength", f"strength, {name}"), ("95 % interval", "95 % interval")]
    columns += [("pairs", "pairs that it stood in"), ("neither", "of these, neither fits")]
    by_fit = [{row.author: row.interval for row in fit.rows} for fit in fits.values()]
    rows: list[Row] = []
    for row in main.rows:
        intervals = [by_author.get(row.author, stats.NOTHING) for by_author in by_fit]
        cells = [cell for interval in intervals for cell in (figure(interval.mean), span(interval))]
        rows.append((plain(row.author), *cells, str(row.compared), percent(row.neither)))
    return Table(f"Strengths by people's choices ({', '.join(fits)})", tuple(columns), tuple(rows))


def _strength_sentences(fit: Strengths) -> Iterator[str]:
    yield (
        "A strength is in logits, 0 being the mean of the explainers: a gap of 1 wins 73 of 100 decided pairs "
        "(Bradley and Terry's model; both is a tie, by Davidson's). The interval is the wider of the model's and that "
        "which takes the answers about a unit as one draw."
    )
    apart = [contrast for contrast in fit.contrasts if contrast.differs]
    for contrast in apart:
        yield (
            f"People prefer {contrast.first} to {contrast.second}, by {figure(contrast.interval.mean)} "
            f"({span(contrast.interval)}, together with all other pairs)."
        )
    if len(apart) < len(fit.contrasts):
        yield (
            f"{len(fit.contrasts) - len(apart)} of {len(fit.contrasts)} pairs of explainers cannot be told apart by "
            f"these {fit.comparisons} choices: too few to tell."
        )


def _adaptivity(fit: Strengths, random_fit: Strengths) -> str:
    """Return a sentence on whether strengths from all pairs lie within the intervals of those drawn at random."""
    random = {row.author: row.interval for row in random_fit.rows}
    tested = [row for row in fit.rows if row.author in random and not math.isnan(random[row.author].low)]
    if not tested:
        return "Too few pairs were drawn at random to tell whether choosing the others biased the strengths."
    outside = [
        row.author for row in tested if not random[row.author].low <= row.interval.mean <= random[row.author].high
    ]
    if outside:
        return (
            f"The strengths of {', '.join(outside)} by all pairs lie outside their intervals by pairs drawn at random: "
            "read the latter, for choosing pairs may have biased the former."
        )
    return (
        "All strengths by all pairs lie within their intervals by pairs drawn at random: no bias of choosing is seen."
    )


# ---------------------------------------------------------------------------------------------------- automatic scores


def _scores(study: StudyAnswers, run: Run | None) -> Iterator[Part]:
    """Yield which automatic score agrees best with people's choices."""
    for cohort, responses in study.cohorts.items():
        compared = comparisons(responses)
        if not compared:
            return
        if run is None:
            yield "No run was given, so that no automatic score is held against people; add the folder of a run."
            return
        matched = _matching(compared, run.results)
        if len(matched) < len(compared):
            yield f"{len(compared) - len(matched)} ratings are of explanations that the run has not; they are left out."
        table = concordance.concordances(matched, concordance.scores_of(run.results), run.settings)
        if table.rows:
            yield _scores_table(table, cohort)
            yield _best_score(table, cohort)
        else:
            yield "No score of the run says anything of the pairs that people rated."


def _matching(compared: Sequence[Comparison], results: Results) -> list[Comparison]:
    """Return the ratings of explanations whose words are those that the run scored."""
    texts = {
        (row.summary.explainer, item.unit, plain(item.explanation.text)) for row in results.rows for item in row.scored
    }
    return [
        item
        for item in compared
        if all(
            (author, item.unit, plain(text)) in texts
            for author, text in zip((item.first, item.second), item.texts, strict=True)
        )
    ]


def _scores_table(scores: concordance.Concordances, cohort: str) -> Table:
    columns: Columns = (
        ("score", "score"),
        ("agrees", "agrees with people"),
        ("95 % interval", "95 % interval"),
        ("rank", "rank"),
        ("ratings", "ratings"),
        ("units", "units"),
    )
    rows: list[Row] = [
        (
            plain(row.metric),
            figure(row.agreement.mean),
            span(row.agreement),
            stats.rank(row.ranks) if row.ranks else "–",
            str(row.ratings),
            str(row.agreement.units),
        )
        for row in scores.rows
    ]
    person = scores.people
    controls: tuple[Row, ...] = ()
    if person.units:
        controls = (("another person", figure(person.mean), span(person), "–", "–", str(person.units)),)
    return Table(f"Which score agrees with people ({cohort})", columns, tuple(rows), controls)


def _best_score(scores: concordance.Concordances, cohort: str) -> str:
    """Return what may be said of the score that agrees most."""
    best = scores.rows[0]
    about = (
        f"{cohort}: {best.metric} agrees most often with people, on {percent(best.agreement.mean)} of the decided "
        f"pairs ({span(best.agreement)}; 50 % by chance)"
    )
    if not scores.against_best or all(too_few(gap.least) for gap in scores.against_best):
        return f"{about}. There are too few units to tell whether it agrees better than another score."
    beaten = [gap.second for gap in scores.against_best if differs(gap.difference, gap.corrected)]
    chance = "" if best.agreement.low > 0.5 else ", which cannot be told from chance"
    if not beaten:
        return f"{about}{chance}. No other score can be told from it."
    return f"{about}{chance}. It agrees better than {', '.join(beaten)}; the others cannot be told from it."


# -------------------------------------------------------------------------------------------- simulations and intruders


def _simulations(study: StudyAnswers, run: Run | None) -> Iterator[Part]:
    """Yield people's simulations beside those of each simulator."""
    for cohort, responses in study.cohorts.items():
        if not any(isinstance(response.assignment.question, SimulateQuestion) for response in responses):
            continue
        if run is None:
            yield "No run was given, so that people's simulations are not held against activations."
            return
        beside = simulations.beside_simulators(responses, run.results, run.excerpts, run.settings)
        if beside.left_out:
            yield f"{beside.left_out} simulations are of what the run did not simulate; they are left out."
        if beside.excerpts:
            yield _simulations_table(beside, cohort)
            yield from (_beside(row, cohort) for row in beside.simulators)


def _simulations_table(beside: simulations.PeopleSimulated, cohort: str) -> Table:
    columns: Columns = (
        ("simulator", "simulator"),
        ("real", "correlation with real activations"),
        ("95 % interval", "95 % interval"),
        ("people", "correlation with people's levels"),
        ("ahead", "people ahead by"),
        ("95 % interval", "95 % interval"),
        ("corr. p", "corrected p"),
        ("units", "units"),
    )
    rows: list[Row] = [("people", figure(beside.people.mean), span(beside.people), "–", "–", "–", "–",
                        str(beside.people.units))]  # fmt: skip
    rows += [
        (
            plain(row.simulator),
            figure(row.real.mean),
            span(row.real),
            figure(row.with_people.mean),
            figure(row.people_ahead.mean),
            span(row.people_ahead),
            p_text(row.p_value),
            str(row.people_ahead.units),
        )
        for row in beside.simulators
    ]
    return Table(f"People as simulators, {beside.excerpts} excerpts ({cohort})", columns, tuple(rows))


def _beside(row: simulations.SimulatorBesidePeople, cohort: str) -> str:
    if not differs(row.people_ahead, row.p_value):
        return f"{cohort}: people and {row.simulator} cannot be told apart as simulators; there may be too few units."
    better, worse = ("people", row.simulator) if row.people_ahead.mean > 0 else (row.simulator, "people")
    return (
        f"{cohort}: {better} simulate better than {worse}, by {figure(abs(row.people_ahead.mean))} on the same tokens."
    )


def _intruders(study: StudyAnswers, _: Run | None) -> Iterator[Part]:
    """Yield how often people found the intruder."""
    for cohort, responses in study.cohorts.items():
        by_unit: dict[Unit, list[float]] = {}
        for response in responses:
            question, payload = response.assignment.question, response.answer.payload
            if isinstance(question, IntruderQuestion) and isinstance(payload, Picked):
                by_unit.setdefault(response.answer.unit, []).append(float(payload.place == question.intruder))
        if by_unit:
            share = concordance.share_interval({unit: math.fsum(hits) / len(hits) for unit, hits in by_unit.items()})
            yield (
                f"{cohort}: people found {percent(share.mean)} of the intruders ({span(share)}, over {share.units} "
                f"units; {percent(1 / INTRUDERS_AMONG)} by chance)."
            )


# ----------------------------------------------------------------------------------------------------- people's rows


def _rows(_: StudyAnswers, run: Run | None) -> Iterator[Part]:
    """Yield the rows of people as explainers, if the run scored any."""
    rows = explained.human_rows(run.results, run.excerpts, run.settings) if run else None
    if run is None or rows is None or not rows.rows:
        return
    simulator = plain(run.results.simulator.name)
    lines = tuple((plain(row.name), figure(row.score.mean), span(row.score), str(row.score.units)) for row in rows.rows)
    columns: Columns = (
        ("row", "row"),
        ("score", "mean correlation"),
        ("95 % interval", "95 % interval"),
        ("units", "units"),
    )
    yield Table(f"People as explainers, by {simulator}", columns, lines)
    yield (
        f"{rows.shared} units have explanations by several people. Mean is their average score; best picks the highest "
        "with hindsight, and rises with their number; pooled scores the average of their simulations."
    )
    if rows.comparisons:
        yield Table("People beside each explainer, on the units that people explained", _COMPARED,
                    tuple(map(_compared, rows.comparisons)))  # fmt: skip
        yield from filter(None, map(_verdict, rows.comparisons))


_COMPARED: Columns = (
    ("rows", "rows"),
    ("differ.", "mean difference"),
    ("95 % interval", "95 % interval"),
    ("corr. p", "corrected p"),
    ("units", "units of both"),
)


def _compared(gap: PairedComparison) -> Row:
    names = f"{plain(gap.first)} - {plain(gap.second)}"
    return (names, figure(gap.difference.mean), span(gap.difference), p_text(gap.corrected), str(gap.difference.units))


def _verdict(gap: PairedComparison) -> str:
    if differs(gap.difference, gap.corrected):
        relation = "above" if gap.difference.mean > 0 else "below"
        return (
            f"{gap.first} is {relation} {gap.second}, by {figure(abs(gap.difference.mean))} ({span(gap.difference)})."
        )
    if too_few(gap.least):
        return f"{gap.first} and {gap.second}: too few units to tell."
    return f"{gap.first} and {gap.second} cannot be told apart."


_PARTS: tuple[Callable[[StudyAnswers, Run | None], Iterator[Part]], ...] = (
    _people,
    _agreement,
    _strengths,
    _scores,
    _simulations,
    _intruders,
    _rows,
)

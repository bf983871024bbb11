"""What so many units can tell: sentences on differences that were not told apart.

Rows that cannot be told apart are not shown to be alike. If no p-value could have passed, whatever the signs of the
differences, the verdict is that there are too few units, with a number that would do; else it says which difference
would have been seen.
"""

from __future__ import annotations

import math

from harness import stats
from harness.stats import SIGNIFICANT
from harness.text import figure
from harness.types import Interval


def too_few(least: float) -> bool:
    """Return whether the least corrected p-value that differences of such sizes can have does not pass."""
    return not least < SIGNIFICANT


def in_words(difference: Interval, least: float, deviation: float, metric: str = stats.HEADLINE) -> str:
    """Return what the units of a comparison can tell, as a clause.

    Args:
        difference: of the two rows, as it was seen.
        least: the least corrected p-value that it can have.
        deviation: standard deviation of the differences over units.
        metric: what the rows are compared by; nothing is planned for one that is unbounded.
    """
    known = deviation > 0 and not stats.unbounded(metric)
    if too_few(least):
        enough = _enough(difference, least, deviation if known else math.nan)
        why = f"whatever the signs, the corrected p is at least {figure(least)}"
        return f"too few units to tell: {'no test takes one alone' if math.isnan(least) else why}; {enough}"
    if not known:
        return f"{difference.units} units"
    smallest = stats.smallest_difference(deviation**2, difference.units)
    return f"{difference.units} units show a difference of {figure(smallest)} with a chance of 80 %"


def _enough(difference: Interval, least: float, deviation: float) -> str:
    """Return how many units the difference that was seen would take; each unit halves the least p-value."""
    most = 1.0 if math.isnan(least) else least
    units = max(difference.units, 1) + math.floor(math.log2(most / SIGNIFICANT)) + 1
    if math.isnan(deviation) or abs(difference.mean) < 1e-9:
        return f"{units} units at least are needed"
    units = max(units, stats.units_needed(deviation**2, difference.mean))
    return f"a difference such as the one seen, {figure(difference.mean)}, takes about {units}"

"""The Jensen-Shannon divergence between next-token distributions, in a form that is accurate in float32."""

from __future__ import annotations

import torch

LEAST = -80.0
"""Lower bound of log-probabilities and log-ratios: e^-80 is negligible, and nothing overflows."""


def jensen_shannon(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon divergence (nats) at each position.

    JSD = (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2. If the divergence is small, both sums have much larger
    terms, which cancel. With d = log q - log p and g = q/p - 1 it is the sum over the vocabulary of
    p ((1 + g) d - (2 + g) log(1 + g/2)) / 2, whose terms are at least 0 and at most the result.

    Args:
        log_p: natural log-probabilities [..., vocabulary].
        log_q: natural log-probabilities [..., vocabulary].

    Returns:
        The divergence [...], between 0 and ln 2.
    """
    low = log_p.clamp(min=LEAST)
    ratio = (log_q - low).clamp_(min=LEAST)
    growth = torch.expm1(ratio)
    terms = torch.addcmul(ratio, ratio, growth)
    terms -= torch.log1p(growth / 2).mul_(growth.add_(2))
    divergence: torch.Tensor = torch.linalg.vecdot(low.exp_(), terms) / 2
    return divergence

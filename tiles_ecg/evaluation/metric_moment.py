"""Agreement of two numbers, for many weightings of the same examples at once.

`truth` and `score` are (E,), `weight` is (R, E), and the result (R,). NaN where the truth does not vary among the
examples with weight: then there is nothing to agree with.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CONSTANT = 1e-10
"""Share of its variance over all examples below which a number is taken for constant: rounding, not variation."""


def concordance(truth: Floats, score: Floats, weight: Floats) -> Floats:
    """Lin's concordance correlation coefficient: twice the covariance over both variances and the squared difference.

    Variances are divided by the number of examples, as in the paper.

    References:
        Lin, A concordance correlation coefficient to evaluate reproducibility, Biometrics 45, 1989, eq. 3.
    """
    m = _moments(truth, score, weight)
    return _where_known(2 * m.covariance, m.truth_variance + m.score_variance + m.shift**2, m.truth_varies)


def explained(truth: Floats, score: Floats, weight: Floats) -> Floats:
    """R²: 1 less the mean squared error over the variance of the truth; negative where its mean would do better."""
    m = _moments(truth, score, weight)
    error = np.asarray(weight @ np.square(truth - score) / weight.sum(1))
    return 1 - _where_known(error, m.truth_variance, m.truth_varies)


def correlation(truth: Floats, score: Floats, weight: Floats) -> Floats:
    """Pearson's correlation; NaN where the score does not vary either."""
    m = _moments(truth, score, weight)
    scale = np.sqrt(np.clip(m.truth_variance * m.score_variance, 0, None))
    return np.clip(_where_known(m.covariance, scale, m.truth_varies & m.score_varies), -1, 1)


class _Moments(NamedTuple):
    truth_variance: Floats
    score_variance: Floats
    covariance: Floats
    shift: Floats
    truth_varies: NDArray[np.bool_]
    score_varies: NDArray[np.bool_]


def _moments(truth: Floats, score: Floats, weight: Floats) -> _Moments:
    """From sums over standardised numbers, lest large means swallow small variances."""
    (y, y_mean, y_scale), (x, x_mean, x_scale) = _standardised(truth), _standardised(score)
    sums = weight @ np.stack([y, x, y * y, x * x, x * y], axis=1) / weight.sum(1)[:, None]
    my, mx, yy, xx, xy = sums.T
    y_variance, x_variance = yy - my**2, xx - mx**2
    return _Moments(
        y_variance * y_scale**2,
        x_variance * x_scale**2,
        (xy - mx * my) * x_scale * y_scale,
        (mx * x_scale + x_mean) - (my * y_scale + y_mean),
        y_variance > CONSTANT,
        x_variance > CONSTANT,
    )


def _standardised(x: Floats) -> tuple[Floats, float, float]:
    """Zeros, where x is constant up to rounding."""
    mean, scale = float(np.mean(x)), float(np.std(x))
    if scale <= 1e-12 * float(np.abs(x).max()):
        return np.zeros_like(x), mean, 0.0
    return (x - mean) / scale, mean, scale


def _where_known(above: Floats, below: Floats, is_known: NDArray[np.bool_]) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=is_known)

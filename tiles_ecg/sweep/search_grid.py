"""A sampler that draws nothing: it goes through all combinations, one after the other."""

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from tiles_ecg.sweep.search_study import POINTS


class Grid(BaseSampler):
    """Every combination of a space without intervals, in the order of a plain sweep, and once."""

    is_exhaustive = True

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing is drawn together."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing is drawn together."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value that the combination of this number has there."""
        points = study.user_attrs[POINTS]
        return points[trial.number % len(points)][param_name]

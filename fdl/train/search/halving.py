"""Successive halving: many configurations for a short time, and the better ones of them for longer.

    n, n / f, n / f^2, ... configurations for b, b f, b f^2, ... in all, until less than f are left

Each rung costs about as much as the first, since as many times fewer are trained for longer; so f^k configurations
are searched for the price of k + 1 whole rounds of the first rung, instead of f^k long runs. It relies on what is good
early being good later, which is least true of regularisation and of small learning rates: they start slowly.

Source: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization" (2016).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.train.callbacks import sign_of
from fdl.train.fit import Fitted
from fdl.train.search.results import Results
from fdl.train.search.space import Config

Outcome = tuple[Mapping[str, float] | Fitted, Any]
TrainAll = Callable[[Sequence[Config], int, Sequence[Any]], Iterable[Outcome]]


def rungs(count: int, least: int, factor: int = 3) -> list[tuple[int, int]]:
    """How many configurations `successive_halving` trains, and up to which budget.

    Args:
        count: how many there are in the beginning, at least 1.
        least: the budget of the first rung, at least 1.
        factor: by how much the one falls and the other grows, at least 2.

    Raises:
        InputError: for numbers outside these ranges.

    Example:
        >>> rungs(20, least=2)
        [(20, 2), (6, 6), (2, 18)]
    """
    for name, value, minimum in (("count", count, 1), ("least", least, 1), ("factor", factor, 2)):
        check_count("successive halving", name, value, minimum)
    found = []
    while count:
        found.append((count, least))
        count, least = count // factor, least * factor
    return found


def successive_halving(
    train: TrainAll, configs: Sequence[Config], results: Results, *, least: int, factor: int = 3
) -> Results:
    """Trains all configurations a little, and goes on with the best of them.

    Args:
        train: a function (configs, budget, before) -> list of (outcome, after) that goes on training each of the
            configurations, up to a budget (epochs, steps: the unit is its own) that counts from the very beginning.
            An outcome is what `Results.add` takes. ``before`` has what it returned as ``after`` for each, or None
            at first; a `Fitted`, for instance. `one_by_one` makes it of a function of one configuration.
        configs: such as from `random`.
        results: what to add to; its metric and mode decide.
        least, factor: as for `rungs`, which tells what will be trained.

    Returns:
        The results with one more trial for each configuration: that of the largest budget that it had.

    Raises:
        InputError: for no configurations, for numbers outside their range, and for another number of outcomes.

    Source: Jamieson and Talwalkar (2016).

    Example:
        >>> from fdl.train.search import LogUniform, random
        >>> space = {"learning_rate": LogUniform(1e-4, 1e-1)}
        >>> def train(config, budget, before):  # or: fit(..., epochs=budget, history=before.history, ...)
        ...     return {"validation_loss": abs(config["learning_rate"] - 1e-2) + 1 / budget}, None
        >>> results = successive_halving(one_by_one(train), random(space, 9, seed=0), Results(space), least=1)
        >>> print(results.table(rows=4))
        9 trials, the best first by the lowest validation_loss
           learning_rate  budget  validation_loss
        1  0.00814        9       0.113
        2  0.00661        3       0.337
        3  0.0154         3       0.339
        4  0.00427        1       1.006
        ... and 5 more
    """
    left = list(configs)
    before: list[Any] = [None] * len(left)
    plan = rungs(len(left), least, factor)
    for (_, budget), (kept, _) in zip(plan, [*plan[1:], (0, 0)], strict=True):
        outcomes = list(train(left, budget, before))
        if len(outcomes) != len(left):
            raise InputError(f"train must give (outcome, after) for each of {len(left)} configurations, in a list")
        trials = Results(results.space, results.metric, results.mode)
        for config, (outcome, _) in zip(left, outcomes, strict=True):
            trials = trials.add(config, outcome, budget)
        values = [sign_of(results.mode) * trial.metrics[results.metric] for trial in trials.trials]
        order = sorted(range(len(left)), key=lambda i: values[i] if math.isfinite(values[i]) else math.inf)
        for i in order[kept:]:
            results = results.add(*trials.trials[i])
        left, before = [left[i] for i in order[:kept]], [outcomes[i][1] for i in order[:kept]]
    return results


def one_by_one(train: Callable[[Config, int, Any], Outcome]) -> TrainAll:
    """Makes a function of many configurations, as `successive_halving` takes it, of a function of one.

    Args:
        train: a function (config, budget, before) -> (outcome, after).

    Example:
        >>> one_by_one(lambda config, budget, before: ({"loss": 1 / budget}, None))([{}, {}], 2, [None, None])
        [({'loss': 0.5}, None), ({'loss': 0.5}, None)]
    """
    return lambda configs, budget, before: [
        train(config, budget, one) for config, one in zip(configs, before, strict=True)
    ]

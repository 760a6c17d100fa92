"""Candidates: which configurations to try, in a grid or at random, and where to look closer."""

import itertools
import math
from collections.abc import Mapping

from fdl.counts import check_count, is_count
from fdl.data.arrays import generator
from fdl.errors import InputError
from fdl.train.search.results import Results
from fdl.train.search.space import Choice, Config, Range, Space, check_space


def grid(space: Space, points: int | Mapping[str, int] = 3) -> list[Config]:
    """All combinations of evenly spaced values: for one or two hyperparameters, and to look at how they interact.

    Args:
        space: ranges and choices by name.
        points: how many values of each range, or of each by name, at least 2. Of a choice all options are taken.

    Returns:
        The configurations, the last name changing fastest.

    Raises:
        InputError: for what is no space, for names that it does not have, and for fewer than two points.

    Example:
        >>> from fdl.train.search import Choice, Uniform
        >>> for config in grid({"momentum": Uniform(0.5, 0.9), "width": Choice(64, 128)}, points=2):
        ...     print(config)
        {'momentum': 0.5, 'width': 64}
        {'momentum': 0.5, 'width': 128}
        {'momentum': 0.9, 'width': 64}
        {'momentum': 0.9, 'width': 128}
    """
    check_space(space)
    counts = dict(points) if isinstance(points, Mapping) else dict.fromkeys(space, points)
    ranges = {name for name, values in space.items() if isinstance(values, Range)}
    if not ranges <= set(counts) <= set(space) or not all(is_count(counts[name], 2) for name in ranges):
        raise InputError(f"grid needs at least 2 points for each of {sorted(ranges)}, got {points}")
    values = [kind.points(counts.get(name, 2)) for name, kind in space.items()]
    return [dict(zip(space, combination, strict=True)) for combination in itertools.product(*values)]


def random(space: Space, count: int, *, seed: int) -> list[Config]:
    """Configurations drawn at random, each hyperparameter by itself and on its own scale.

    Where a few hyperparameters matter and the others do not, n random configurations try n values of each that
    matters, and a grid only a few. The first m of n are those that ``count=m`` gives, so that more can be added.

    Args:
        space: ranges and choices by name.
        count: how many, at least 1.
        seed: an integer >= 0; the same seed gives the same configurations.

    Raises:
        InputError: for what is no space, and for a count or a seed outside its range.

    Source: Bergstra and Bengio, "Random search for hyper-parameter optimization" (2012).

    Example:
        >>> from fdl.train.search import Choice, LogUniform
        >>> random({"learning_rate": LogUniform(1e-4, 1e-1), "width": Choice(64, 128)}, 2, seed=0)
        [{'learning_rate': 0.0081, 'width': 64}, {'learning_rate': 0.00013, 'width': 64}]
    """
    check_space(space)
    check_count("random", "count", count)
    shares = generator(seed).random((count, len(space)))
    return [
        {name: values.draw(share) for (name, values), share in zip(space.items(), row, strict=True)} for row in shares
    ]


def narrow(results: Results, share: float = 0.25) -> dict[str, Range | Choice]:
    """From coarse to fine: the part of the space that holds the best trials.

    Each range then goes from the nearest value that was tried below all of the best ones to the nearest above them,
    or to its own end; a choice keeps the options that are among them. So a range shrinks where its values
    decide, and stays wide where good and bad trials lie side by side.

    Args:
        results: of a coarse search; adding the trials of the fine one to it keeps all in one table.
        share: which part of the trials are the best ones, more than 0; it is rounded up.

    Raises:
        InputError: for a share outside its range, and for results without a finite metric.

    Example:
        >>> from fdl.train.search import Choice, LogUniform
        >>> results = Results({"learning_rate": LogUniform(1e-5, 1e-1), "norm": Choice("batch", "layer")})
        >>> for config in grid(results.space, points=5):
        ...     distance = abs(math.log10(config["learning_rate"]) + 3)
        ...     results = results.add(config, {"validation_loss": distance + (config["norm"] == "layer")})
        >>> narrow(results, share=0.1)
        {'learning_rate': LogUniform(low=0.0001, high=0.01), 'norm': Choice('batch')}
    """
    if not 0 < share <= 1:
        raise InputError(f"narrow keeps a share of the trials that is more than 0 and at most 1, got {share}")
    _ = results.best
    finite = [trial for trial in results.ranked if math.isfinite(trial.metrics[results.metric])]
    best = finite[: math.ceil(share * len(results))]
    return {
        name: values.around([trial.config[name] for trial in best], [trial.config[name] for trial in results.trials])
        for name, values in results.space.items()
    }

"""Results: what was tried and what it gave, from the best to the worst, as a table, a file and a picture."""

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fdl.columns import aligned
from fdl.errors import InputError
from fdl.train.callbacks import Mode, sign_of
from fdl.train.fit import Fitted
from fdl.train.json_lines import number_of, plain, read_lines, write_lines
from fdl.train.progress import number
from fdl.train.search.figure import save_figure
from fdl.train.search.space import (
    Choice,
    Config,
    Integers,
    LogIntegers,
    LogUniform,
    Range,
    Space,
    Uniform,
    check_space,
    own,
)

_KINDS = {kind.__name__: kind for kind in (Choice, Integers, LogIntegers, LogUniform, Uniform)}
_ROWS = 20  # what is printed


class Trial(NamedTuple):
    """A configuration, what training with it gave, and for how long: in what unit is the search's to say."""

    config: Config
    metrics: dict[str, float]
    budget: float | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class Results:
    """All trials of a search; a value: adding a trial makes a new one. It prints as a table, the best first.

    Args:
        space: ranges and choices by name, as for `random`.
        metric: what decides, a name in the metrics.
        mode: whether less ("min") or more ("max") is better. A metric that is not finite is worse than any other, after
            however long a training.
        trials: what was tried.

    Raises:
        InputError: for what is no space, a mode that there is not, and trials that do not fit the space.

    Example:
        >>> results = Results({"learning_rate": LogUniform(1e-4, 1e-1), "width": Choice(64, 128)})
        >>> for rate, loss in (1e-4, 1.5), (1e-2, 0.4), (1e-1, 0.2), (5e-2, math.nan):
        ...     results = results.add({"learning_rate": rate, "width": 64}, {"validation_loss": loss})
        >>> results
        4 trials, the best first by the lowest validation_loss
           learning_rate  width  validation_loss
        1  0.1            64     0.200
        2  0.01           64     0.400
        3  0.0001         64     1.500
        4  0.05           64     nan
        The best learning_rate, 0.1, lies at the upper end of LogUniform(low=0.0001, high=0.1): try larger ones.
        >>> results.best.config
        {'learning_rate': 0.1, 'width': 64}
    """

    space: Space
    metric: str = "validation_loss"
    mode: Mode = "min"
    trials: tuple[Trial, ...] = ()

    def __post_init__(self) -> None:
        check_space(self.space)
        sign_of(self.mode, self.metric)
        for trial in self.trials:
            self._check(trial)

    def add(self, config: Config, outcome: "Mapping[str, float] | Fitted", budget: float | None = None) -> "Results":
        """These results and one more.

        Args:
            config: a value for each name of the space.
            outcome: the metrics, or the run that `fdl.train.fit` gave: its last record then counts, and a run that
                was stopped before it could be validated counts as NaN.
            budget: for how long was trained, where that differs. What was trained for longer ranks higher, since
                values after different times cannot be compared.

        Raises:
            InputError: for a configuration that is not in the space, and for an outcome without the metric.
        """
        if isinstance(outcome, Fitted):
            missing = {self.metric: math.nan} if outcome.stopped is not None else {}
            outcome = missing | dict(*outcome.history[-1:])
        if not isinstance(outcome, Mapping):
            raise InputError(f"an outcome is a dict of metrics by name, or what fit returned, got {outcome!r}")
        metrics = {name: value if isinstance(value, int) else float(value) for name, value in outcome.items()}
        return dataclasses.replace(self, trials=(*self.trials, Trial(_own(config), metrics, budget)))

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """The trials from the best to the worst."""
        return tuple(sorted(self.trials, key=self._rank))

    @property
    def best(self) -> Trial:
        """The best trial.

        Raises:
            InputError: when there is none with a finite metric.
        """
        best = next(iter(self.ranked), None)
        if best is None or not math.isfinite(best.metrics[self.metric]):
            raise InputError(f"none of {len(self)} trials has a {self.metric} that is finite: there is no best one")
        return best

    def untried(self, configs: Iterable[Config]) -> list[Config]:
        """Those of the configurations that there is no trial of: what is left of a search that was interrupted."""
        tried = {_identity(trial.config) for trial in self.trials}
        return [config for config in configs if _identity(config) not in tried]

    def edges(self, share: float = 0.05) -> list[str]:
        """Where the best trial lies at an end of its range: it may then be better still beyond.

        Args:
            share: how much of a range, on its own scale, is its end.

        Returns:
            One sentence for each hyperparameter of which this is true; none if there is no best trial.

        Raises:
            InputError: for a share that is not in [0, 1/2).
        """
        if not 0 <= share < 0.5:
            raise InputError(f"the share of a range that is its end is at least 0 and less than 1/2, got {share}")
        if not self.trials or not math.isfinite(self.ranked[0].metrics[self.metric]):
            return []
        found = []
        for name, values in self.space.items():
            value = self.best.config[name]
            if side := values.side(value, share):
                which = "larger" if side == "upper" else "smaller"
                place = f"lies at the {side} end of {values!r}"
                found.append(f"The best {name}, {_written(value)}, {place}: try {which} ones.")
        return found

    def table(self, rows: int | None = None) -> str:
        """The trials in lines, the best first, and what `edges` says.

        Args:
            rows: how many at most; all if None.
        """
        shown = self.ranked[:rows]
        metrics = list(dict.fromkeys([self.metric, *(name for trial in shown for name in trial.metrics)]))
        has_budget = any(trial.budget is not None for trial in shown)
        lines = [["", *self.space, *(["budget"] if has_budget else []), *metrics]]
        for place, trial in enumerate(shown, start=1):
            budget = [_written(trial.budget)] if has_budget else []
            values = [_measured(trial.metrics[name]) if name in trial.metrics else "" for name in metrics]
            lines.append([str(place), *(_written(trial.config[name]) for name in self.space), *budget, *values])
        order = "lowest" if self.mode == "min" else "highest"
        return "\n".join(
            [
                f"{len(self)} trials, the best first by the {order} {self.metric}",
                *aligned(lines),
                *([f"... and {len(self) - len(shown)} more"] if len(shown) < len(self) else []),
                *self.edges(),
            ]
        )

    def __repr__(self) -> str:
        return self.table(_ROWS)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws parallel coordinates: an axis for each hyperparameter and the metric, a line for each trial.

        Each line has the colour of its metric, and the best is drawn on top. Lines of trials without a finite metric
        are dotted, and end at the bad end of its axis.

        Args:
            path: where to save it; the ending (.png, .svg, .pdf) says how.

        Raises:
            InputError: without any trial that has a finite metric.
            ImportError: without matplotlib.

        Source: Inselberg, "The plane with parallel coordinates" (1985).
        """
        _ = self.best
        ranked = [(trial.config, trial.metrics[self.metric]) for trial in self.ranked]
        save_figure(path, self.space, ranked, self.metric, self.mode)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the results as JSON lines: the space, then a line for each trial. A file is replaced as a whole.

        Values that are not finite are null there, and are NaN when they are read.
        """
        head = {"space": {name: _as_json(values) for name, values in self.space.items()}}
        lines = [plain(trial._asdict()) for trial in self.trials]
        write_lines(Path(path), [{**head, "metric": self.metric, "mode": self.mode}, *lines])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Results":
        """Reads what `save` wrote.

        Raises:
            InputError: for a file that is not there, or has something else in it.
        """
        lines = read_lines(Path(path))
        if not lines or not {"space", "metric", "mode"} <= lines[0].keys():
            raise InputError(f"{os.fspath(path)} does not begin with the space of a search: Results.save writes it so")
        head, *rest = lines
        space = {name: _KINDS[kind](*of) for name, (kind, of) in head["space"].items()}
        metrics = [{name: number_of(value) for name, value in line["metrics"].items()} for line in rest]
        trials = [Trial(line["config"], found, line["budget"]) for line, found in zip(rest, metrics, strict=True)]
        return cls(space, head["metric"], head["mode"], tuple(trials))

    def _rank(self, trial: Trial) -> tuple[bool, float, float]:
        value = sign_of(self.mode) * trial.metrics[self.metric]
        is_finite = math.isfinite(value)
        return not is_finite, -(trial.budget or 0), value if is_finite else 0

    def _check(self, trial: Trial) -> None:
        if trial.config.keys() != self.space.keys():
            raise InputError(f"a configuration has the names {sorted(self.space)}, got {sorted(trial.config)}")
        for name, values in self.space.items():
            try:
                values.place(trial.config[name])
            except InputError as error:
                raise InputError(f"{name}: {error.problem}. For more than it has, make a wider space") from None
        if self.metric not in trial.metrics:
            raise InputError(f'the metrics of a trial have to have "{self.metric}", got {sorted(trial.metrics)}')


def _identity(config: Config) -> str:
    return repr(sorted(_own(config).items()))


def _own(config: Config) -> Config:
    return {name: own(value) for name, value in config.items()}


def _written(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _measured(value: float) -> str:
    return str(value) if isinstance(value, int) else number(value)


def _as_json(values: Range | Choice) -> list[Any]:
    of = values.options if isinstance(values, Choice) else (values.low, values.high)
    return [type(values).__name__, list(of)]

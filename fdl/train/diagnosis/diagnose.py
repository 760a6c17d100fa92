"""All checks of a network that is about to be trained, as a list that is printed and a figure."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import jax

from fdl.data import Batches
from fdl.data.arrays import count
from fdl.errors import InputError
from fdl.layer import Layer, rebuilt
from fdl.layers import Cast, Frozen
from fdl.optim import Optimizer, Schedule, adam, update_ratio
from fdl.train.check_batch import check_batch
from fdl.train.diagnosis.checklist import show
from fdl.train.diagnosis.data import DataCheck, data_check
from fdl.train.diagnosis.figure import save_figure
from fdl.train.diagnosis.finding import Finding
from fdl.train.diagnosis.gradient import GradientCheck, gradient_check
from fdl.train.diagnosis.initial_loss import InitialLoss, initial_loss
from fdl.train.diagnosis.layers import LayerStatistics, layer_statistics
from fdl.train.diagnosis.modes import ModeGap, mode_gap
from fdl.train.diagnosis.overfit import Overfit, overfit_one_batch
from fdl.train.diagnosis.range_test import RangeTest, check_makes_optimizer, range_test
from fdl.train.diagnosis.ratios import STEPS, UpdateRatios, judged_ratios
from fdl.train.diagnosis.short_run import short_run
from fdl.train.objective import PerExample, inputs_of, supervised

_BATCHES = 16  # for the checks that train, gone through over and over
_FEW = 4  # examples, for the gradient in float64
_STEPS = 30


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found, one field for each check. Its ``str`` is the checklist."""

    data: DataCheck
    gradient: GradientCheck
    initial_loss: InitialLoss
    layers: LayerStatistics
    overfit: Overfit
    learning_rate: RangeTest
    ratios: UpdateRatios
    modes: ModeGap

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them, in order."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong."""
        return all(finding.ok for finding in self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws outputs and gradients of all layers, the range test and the overfitted batch into one picture.

        Args:
            path: where to save it; the ending (.png, .svg, .pdf) says how.

        Raises:
            ImportError: without matplotlib.
        """
        save_figure(path, self.layers, self.overfit, self.learning_rate, self.initial_loss.expected)


def diagnose(
    net: Layer,
    loss: PerExample,
    data: Any,
    *,
    optimizer: Callable[[float | Schedule], Optimizer] = adam,
    learning_rate: float = 1e-3,
    penalty: Callable[[Any], jax.Array] | None = None,
    expected: float | None = None,
    batch_size: int = 32,
    seed: int = 0,
    progress: Literal["auto"] | None = "auto",
) -> Diagnosis:
    """Looks for what goes wrong in training before it is begun: eight checks of network, loss and data.

    Each is a function of its own in `fdl.train.diagnosis`, with more settings. Together they compile some ten programs
    and take a few hundred small steps, most of them on one batch.

    Args:
        net, loss, penalty: as for `supervised`. All checks but that of overfitting see the penalty. The gradient is
            checked without `fdl.layers.Cast` and `fdl.layers.Frozen`, in float64 and of all parameters.
        data: the training data, a pair (inputs, targets) of arrays with one row per example; or several parts by
            name, such as ``{"training": (...), "test": (...)}``, of which the first one is trained on.
        optimizer: from a learning rate to an optimizer, such as `fdl.optim.adam`, or
            ``lambda rate: momentum(rate, 0.9)``.
        learning_rate: what is to be used, to be judged.
        expected: the loss of a network that knows nothing; found by itself where outputs of zero are no opinion.
        batch_size: how many examples a batch has, fewer if there are not so many.
        seed: of the initial parameters and of all that is drawn at random.
        progress: "auto" prints each finding as soon as it is there, None prints nothing.

    Returns:
        A `Diagnosis`.

    Raises:
        InputError: for data that is no such pair, for an optimizer in the place of what makes it, and when network and
            loss do not take it at all; what is known of the data is printed before.

    Source: Karpathy, "A recipe for training neural networks" (2019).

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> x, labels = jax.random.normal(jax.random.key(0), (6, 8)), jnp.array([1, 2, 3, 1, 2, 3])
        >>> try:
        ...     diagnose(Affine(3), softmax_cross_entropy, (x, labels), progress=None)
        ... except InputError as error:
        ...     print(error)  # doctest: +ELLIPSIS
        softmax_cross_entropy expects class ids in [0, 3), the number of classes, got 3: ...
    """
    if progress not in ("auto", None):
        raise InputError(f'progress is "auto" or None, got {progress!r}')
    parts = data if isinstance(data, Mapping) else {"training": data}
    if not parts:
        raise InputError("diagnose needs data to train on, got none")
    check_makes_optimizer("diagnose", optimizer)
    checks = _checks(net, loss, parts, optimizer, float(learning_rate), penalty, expected, batch_size, seed)
    findings = []
    for finding in checks:
        findings.append(finding)
        if progress is not None:
            show(finding)
    return Diagnosis(*findings)  # type: ignore[arg-type]


def _plain(layer: Layer) -> Layer:
    """Without what keeps a gradient from being that of the computation in float64."""
    return layer.layer if isinstance(layer, Cast | Frozen) else layer


def _checks(
    net: Layer,
    loss: PerExample,
    parts: Mapping[str, Any],
    optimizer: Callable[[float | Schedule], Optimizer],
    learning_rate: float,
    penalty: Callable[[Any], jax.Array] | None,
    expected: float | None,
    batch_size: int,
    seed: int,
) -> Iterator[Finding]:
    """The findings, each made when it is asked for."""
    yield data_check(parts)
    training = next(iter(parts.values()))
    objective = supervised(net, loss, penalty=penalty)
    epoch = Batches(training, min(batch_size, count(training)), seed=seed)(0)
    batches = list(epoch[:_BATCHES])
    batch, few = batches[0], jax.tree.map(lambda array: array[:_FEW], batches[0])
    init_key, key = jax.random.split(jax.random.key(seed))
    params, state = jax.jit(net.init)(init_key, *inputs_of(batch[0]))
    check_batch(jax.jit(lambda params, batch: objective(params, state, batch, key)), params, batch)
    yield gradient_check(supervised(rebuilt(net, _plain), loss, penalty=penalty), params, state, few, key)
    yield initial_loss(net, loss, params, state, batch, key, expected=expected, penalty=penalty)
    yield layer_statistics(net, loss, params, state, batch, key)
    yield overfit_one_batch(net, loss, params, state, batch, key)
    yield range_test(objective, optimizer, params, state, batches, key, chosen=learning_rate)
    run = short_run(objective, optimizer(learning_rate), params, state, batches, key, steps=_STEPS, watch=update_ratio)
    yield judged_ratios({path: ratios[:STEPS] for path, ratios in run.watched.items()})
    yield mode_gap(net, loss, run.params, run.state, batch, key)

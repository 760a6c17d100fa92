"""Gradient checks: is the derivative that the code gives the derivative of what the code computes?

For every number w that a loss L depends on, three values of dL/dw ought to be the same:

    rules          what `jax.grad` gives for the code as it stands, with its hand-written backward passes
    JAX's own      the same inside ``with fdl.differentiation("autodiff")``
    differences    (L(w + h) - L(w - h)) / 2h, which knows nothing of derivatives

JAX's own costs one backward pass and judges every element, but where the code has a `jax.custom_vjp`
that is no fdl rule, it repeats whatever is wrong there. Differences, of L by the references of its rules,
see every fault, but cost two evaluations of L for each element and step: they judge a sample. All is
computed in float64, and compared element by element (a norm would hide one wrong element among thousands)
by the relative error

    |a - b| / max(|a| + |b|, floor)

Beside these three, the gradient of L / 2 has to be half of that of L, or a backward part does something else with dL/dy
than multiply by it, which does not show where dL/dy is one.

The floor keeps rounding apart from mistakes. It is measured, so that L may be of any magnitude:

- A gradient can be zero in mathematics and 1e-17 in arithmetic, as that of a bias in front of batch
  norm. Both gradients are taken again where all weights differ in their last digit, and dL by a millionth
  that is divided out: what moves is rounding, and so is a difference of that size between the two.
- Differences divide the rounding of L by h, and L has kinks (of a ReLU, of a maximum). A step across a
  kink measures neither of its sides, a long step measures curvature, a short one rounding. So three steps
  are taken, and the slopes to the left and to the right besides, and the nearest counts: a wrong gradient
  is near none of them. Where w is small, f may be no line within steps of 1e-6: there, steps in proportion
  to w are taken when those contradict each other, or the gradient. What they disagree about among themselves
  they cannot hold against a gradient. Where that is more than half a percent, L has no derivative to compare
  with (it is at a kink, as over black pixels with zero biases), and the element is not counted as compared.
  In those that are counted, an error of 1 % is seen, unless it is less than some 1e-8 |L|.

Source: the gradient checks of Stanford's course CS231n, whose tables look like these.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from fdl.check import measure
from fdl.check.report import GradientError, GradientReport, GradientRow
from fdl.counts import check_count
from fdl.errors import InputError


def check_gradients(f: Callable[..., Any], *args: Any, **options: Any) -> "GradientReport":
    """Makes a `gradient_report`, and raises an error when a gradient is wrong.

    Args:
        f, args, options: as for `gradient_report`.

    Returns:
        The report, when every gradient is right.

    Raises:
        GradientError: with the worst element of each wrong gradient, the values compared, and the table.
        InputError: as `gradient_report` does.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> @jax.custom_vjp
        ... def cube(x):
        ...     return x**3
        >>> cube.defvjp(lambda x: (x**3, x), lambda x, dy: (2 * x**2 * dy,))
        >>> check_gradients(lambda x: jnp.sum(cube(x)), jnp.array([0.0, 1.0]))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        fdl.check.report.GradientError: WRONG: x[1] is 2 by the rules, 2 by JAX's own derivative, 3 by differences...
    """
    report = gradient_report(f, *args, **options)
    if not report.ok:
        raise GradientError(report)
    return report


def gradient_report(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    samples: int | None = 20,
    seed: int = 0,
    tolerance: float = 1e-8,
    differences_tolerance: float = 1e-4,
) -> "GradientReport":
    """Compares the gradient of f with JAX's own and with differences, and tells it as a table.

    Args:
        f: a pure function that gives one number, such as the loss of a network. To check a rule alone, add up what it
            gives with weights that differ, ``(weights * rule(x)).sum()``: in a plain sum all dL/dy are the same, and a
            backward part that mixes them up gives the right gradient.
        args: where to differentiate: arrays and pytrees. Floats of any precision become float64 arrays;
            ints, booleans and random keys are left alone, and so are Python floats that are not
            differentiated. Arrays that f closes over keep their precision: pass those that are data.
            Differences measure nothing in a network that casts to narrower floats on its way.
        argnums: which args to differentiate, as in `jax.grad`; by default all that hold floats.
        has_aux: whether f gives a pair, of which only the first is differentiated.
        samples: in how many elements of each array to take differences, six evaluations of f each or twelve: at
            random, and where JAX's own gradient is furthest away. None for all.
        seed: of the random choices.
        tolerance: the relative error to JAX's own that is not yet wrong: by default half the digits of
            float64, less than one rounding to float32 costs.
        differences_tolerance: the same for differences.

    Returns:
        A `GradientReport`, with one row for each array.

    Raises:
        InputError: when f gives anything but one floating-point number, or there is nothing to differentiate.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.layers import affine
        >>> def loss(W1, x):
        ...     return jnp.mean(affine(x, W1) ** 2)
        >>> report = gradient_report(loss, jnp.ones((3, 2)), jnp.ones((5, 3)), argnums=0)
        >>> print(report.verdict)
        ok: 1 gradient agrees with JAX's own to 1e-08 and with differences to 0.0001
    """
    if not callable(f):
        raise InputError(
            f"the gradient check takes a function that gives a number, got {f!r}: for a layer, "
            "lambda params, x: (layer.apply(params, state, x)[0] ** 2).sum()"
        )
    if samples is not None:
        check_count("the gradient check", "samples", samples)
    check_count("the gradient check", "seed", seed, least=0)
    if not (tolerance > 0 and differences_tolerance > 0):
        raise InputError(f"the gradient check needs positive tolerances, got {tolerance} and {differences_tolerance}")
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True), np.errstate(invalid="ignore", over="ignore"):
        loss, w, parts = measure.as_function_of_vector(f, args, argnums, has_aux)
        rules = measure.gradient(loss, w, "rules")
        own = measure.gradient(loss, w, "autodiff")
        rounding = measure.rounding(rules, own, parts)
        errors = measure.relative_error(rules.gradient, own.gradient, rounding, tolerance)
        not_linear = measure.relative_error(rules.gradient, rules.by_half, rounding, tolerance)
        at = np.concatenate([measure.choose(errors, part.where, samples, rng) for part in parts])
        around = measure.values_around(loss, w, at)
        judged = rules.gradient[at], rounding[at], differences_tolerance
        differences = measure.differences_closer_by(loss, w, measure.differences(around, *judged), *judged)
        moved = measure.largest(around.above[:, -1] - around.value)
        value_error = float(measure.relative_error(rules.value, around.value, moved, tolerance))
    tolerances = tolerance, differences_tolerance
    rows = [_row(part, rules.gradient, own.gradient, errors, not_linear, differences, tolerances) for part in parts]
    return GradientReport(tuple(rows), *tolerances, float(rules.value), around.value, value_error)


def _row(
    part: measure.Part,
    a: Any,
    b: Any,
    own_errors: Any,
    not_linear: Any,
    differences: measure.Differences,
    tolerances: Any,
) -> GradientRow:
    path, shape, where = part
    if where.start == where.stop:
        return GradientRow(path, shape)
    mine = slice(*np.searchsorted(differences.at, (where.start, where.stop)))
    errors = own_errors[where], differences.errors[mine]
    worst_of_each = np.argmax(errors[0]), differences.at[mine][np.argmax(errors[1])] - where.start
    excess = [np.max(error) / tolerance for error, tolerance in zip(errors, tolerances, strict=True)]
    worst = int(worst_of_each[np.argmax(excess)])
    linear_error = float(np.max(not_linear[where]))
    return GradientRow(
        path,
        shape,
        autodiff_error=float(np.max(errors[0])),
        differences_error=float(np.max(errors[1])),
        compared=int(np.sum(differences.usable[mine])),
        index=tuple(map(int, np.unravel_index(worst, shape))),
        rules=float(a[where][worst]),
        autodiff=float(b[where][worst]),
        differences=float(differences.values[np.searchsorted(differences.at, where.start + worst)]),
        ok=max(excess) <= 1 and linear_error <= tolerances[0],
        linear_error=linear_error,
    )

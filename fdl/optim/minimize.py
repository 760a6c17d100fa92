"""Full-batch minimisation: of any function, and of the squares of residuals.

    minimize(f, params)                f(params) -> a number
    least_squares(residual, params)    residual(params) -> arrays r, of which 1/2 sum r^2 is minimised

| method                  | memory     | needs          | where                                                  |
| ----------------------- | ---------- | -------------- | ------------------------------------------------------ |
| `lbfgs`                 | 2 m n      | gradients      | the first to try                                       |
| `bfgs`                  | n^2        | gradients      | small problems; fewer steps                            |
| `conjugate_gradient`    | 3 n        | gradients      | very large ones                                        |
| `newton`                | n^2        | the Hessian    | small, stiff; leaves saddles                           |
| `newton_cg`             | 4 n        | products H v   | large, stiff                                           |
| `levenberg_marquardt`   | n + m      | products J v   | residuals, in any units                                |
| `levenberg`             | n + m      | products J v   | residuals, many parameters of one kind                 |
| `gauss_newton`          | n + m      | products J v   | residuals that are nearly linear or vanish in the end  |

Everything is compiled, and works inside jit and vmap. It is not differentiable in reverse mode, as the number of
iterations is not known beforehand. Forward mode gives the derivative of the iterations.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fdl.concrete import is_concrete
from fdl.errors import InputError
from fdl.optim.choices import chosen
from fdl.optim.conjugate_gradient import conjugate_gradient
from fdl.optim.full_batch import Method, Solution, solve
from fdl.optim.gauss_newton import gauss_newton
from fdl.optim.levenberg_marquardt import levenberg, levenberg_marquardt
from fdl.optim.newton import newton, newton_cg
from fdl.optim.problem import LeastSquares, Objective
from fdl.optim.quasi_newton import bfgs, lbfgs
from fdl.optim.vectors import check_params, to_vector

METHODS: dict[str, Method] = {
    "bfgs": bfgs(),
    "conjugate_gradient": conjugate_gradient(),
    "gauss_newton": gauss_newton(),
    "lbfgs": lbfgs(),
    "levenberg": levenberg(),
    "levenberg_marquardt": levenberg_marquardt(),
    "newton": newton(),
    "newton_cg": newton_cg(),
}


def minimize(
    f: Callable[..., Any],
    params: Any,
    *args: Any,
    method: str | Method = "lbfgs",
    tolerance: Any = 1e-5,
    step_tolerance: Any = None,
    max_iterations: Any = 500,
) -> Solution:
    """Finds a local minimum of f(params, *args), starting at params.

    It is compiled once for each f, method, and shapes: define f once, and hand over what changes between calls as
    args. What f closes over instead becomes a constant of the compiled program, which keeps it in memory.

    Args:
        f: a pure function that gives one number.
        params: a pytree of float32 or float64 arrays.
        args: arrays, or pytrees of them, that f needs besides.
        method: a method, such as ``lbfgs(memory=20)``, or the name of one with its defaults.
        tolerance: the largest |df/dw| that counts as zero, in the unit of f over that of w.
        step_tolerance: the length of a step, relative to that of the parameters, below which there is no point in
            going on; one rounding of their dtype by default.
        max_iterations: how many steps are taken at most.

    Returns:
        A `Solution`. Look at ``why`` (inside jit: ``stop``): only `Stop.GRADIENT` says that a minimum was found.

    Raises:
        InputError: for an unknown method or one for residuals, an f that does not give one number, parameters that
            are not float32 or float64, and tolerances or iterations below zero.

    Source:
        Nocedal and Wright, "Numerical optimization" (2nd edition, 2006), and the papers that each method names.

    Example:
        >>> import jax.numpy as jnp
        >>> def f(params, target):
        ...     return jnp.sum((params["w"] - target) ** 2)
        >>> solution = minimize(f, {"w": jnp.zeros(3)}, jnp.array([1.0, 2.0, 3.0]))
        >>> solution.params["w"].round(3).tolist(), solution.why
        ([1.0, 2.0, 3.0], <Stop.GRADIENT: 1>)
    """
    how = _method("minimize", method, needs_residuals=False)
    return _run("minimize", Objective, how, f, params, args, tolerance, step_tolerance, max_iterations)


def least_squares(
    residual: Callable[..., Any],
    params: Any,
    *args: Any,
    method: str | Method = "levenberg_marquardt",
    tolerance: Any = 1e-5,
    step_tolerance: Any = None,
    max_iterations: Any = 500,
) -> Solution:
    """Finds a local minimum of 1/2 sum r^2 for the residuals r = residual(params, *args), starting at params.

    It is compiled as `minimize` is. The derivatives are products with the Jacobian of r, which is built with
    ``method=levenberg_marquardt(jacobian="dense")`` and the like only. Forward products use JAX's own derivatives,
    reverse products the rules.

    Args:
        residual: a pure function that gives an array, or a pytree of them. Weighted least squares are those of
            residuals times the roots of the weights.
        params: a pytree of float32 or float64 arrays.
        args: arrays, or pytrees of them, that residual needs besides.
        method: a method, such as ``levenberg(damping=1.0)``, or the name of one with its defaults.
        tolerance: the largest |df/dw| that counts as zero, for f = 1/2 sum r^2. It has units, unlike the methods: of
            residuals far below one, such as currents in amperes, the default is met long before the minimum. Bring
            them to numbers around one, or let ``tolerance=0`` go on until steps are lost in rounding.
        step_tolerance: as for `minimize`. A Levenberg-Marquardt step that is this small and still not worth
            taking ends it as well.
        max_iterations: how many steps are tried at most.

    Returns:
        A `Solution`, whose ``value`` is 1/2 sum r^2.

    Raises:
        InputError: as `minimize` does; for a method that is not for residuals, and for a residual that gives one
            number, which is usually a loss.

    Source:
        Moré (1978); Nocedal and Wright (2006), chapter 10.

    Example:
        >>> import jax.numpy as jnp
        >>> def residual(params, x, y):
        ...     return params["height"] * jnp.exp(-params["rate"] * x) - y
        >>> x = jnp.linspace(0, 3, 20)
        >>> fit = least_squares(residual, {"height": 1.0, "rate": 1.0}, x, 5 * jnp.exp(-2 * x))
        >>> round(fit.params["height"].item(), 2), round(fit.params["rate"].item(), 2), fit.why.name
        (5.0, 2.0, 'GRADIENT')
    """
    how = _method("least_squares", method, needs_residuals=True)
    return _run("least_squares", LeastSquares, how, residual, params, args, tolerance, step_tolerance, max_iterations)


def _run(
    who: str,
    kind: type[Objective],
    how: Method,
    f: Callable[..., Any],
    params: Any,
    args: Any,
    tolerance: Any,
    step_tolerance: Any,
    max_iterations: Any,
) -> Solution:
    if not callable(f):
        raise InputError(f"{who} expects a function of the parameters first, got {f!r}")
    for arg in args:
        if isinstance(arg, str | Method):
            raise InputError(f"{who} hands f what comes by position, got {arg!r}: a method is given as method={arg!r}")
    for name, number in {
        "tolerance": tolerance,
        "step_tolerance": step_tolerance,
        "max_iterations": max_iterations,
    }.items():
        if number is not None and is_concrete(number) and not number >= 0:
            raise InputError(f"{who} needs {name} of zero or more, got {number}")
    check_params(who, params)
    return _compiled(who, kind, how, f, params, args, tolerance, step_tolerance, max_iterations)


@functools.partial(jax.jit, static_argnames=("who", "kind", "how", "f"))
def _compiled(
    who: str,
    kind: type[Objective],
    how: Method,
    f: Callable[..., Any],
    params: Any,
    args: Any,
    tolerance: Any,
    step_tolerance: Any,
    max_iterations: Any,
) -> Solution:
    x, to_params = to_vector(params)
    problem = kind(who, lambda x: f(to_params(x), *args), x, tolerance)
    if step_tolerance is None:
        step_tolerance = jnp.finfo(x.dtype).eps
    return solve(problem, how, x, to_params, step_tolerance, max_iterations)


def _method(who: str, method: Any, needs_residuals: bool) -> Method:
    fitting = {name: known for name, known in METHODS.items() if known.needs_residuals == needs_residuals}
    how = chosen(who, "a method", METHODS.get(method, method) if isinstance(method, str) else method, fitting, Method)
    if how.needs_residuals != needs_residuals:
        other = "least_squares(residual, params)" if how.needs_residuals else "minimize(f, params)"
        raise InputError(f"{who} cannot use {how}, which is a method of {other}; here are {', '.join(fitting)}")
    return how

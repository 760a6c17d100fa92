"""Muon: for matrices, momentum whose singular values are all made about one.

The momentum of a weight matrix is nearly of low rank: a few directions take all of the step. With the singular
value decomposition M = U S V^T, the step U V^T is as long in every direction, and it is the steepest step of all
those that change no output by more than a given amount (the spectral norm). It is computed without a decomposition,
by products of matrices alone. Each step of

    X = a X + (b A + c A^2) X           A = X X^T,    (a, b, c) = (3.4445, -4.7750, 2.0315)

maps the singular values s of X, all at once, by p(s) = a s + b s^3 + c s^5. From X = M / |M|, where they are at most
one, five steps bring those above 0.003 into the range from 0.68 to 1.21: p is steep at zero rather than exact at one.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the iteration by
polynomials: Kovarik (1970), Bjorck and Bowie (1971).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.optim.adam import adamw
from fdl.optim.combine import grouped
from fdl.optim.hyperparameters import DECAY, NOT_NEGATIVE, Hyperparameter, Hyperparameters
from fdl.optim.optimizer import Optimizer, check_optimizer
from fdl.optim.recurrence import decayed, per_parameter
from fdl.optim.trees import length
from fdl.paths import Keep, is_weight, matcher, path_of

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def muon(
    learning_rate: Hyperparameter = 0.02,
    decay: Hyperparameter = 0.95,
    weight_decay: Hyperparameter = 0.0,
    *,
    steps: int = 5,
    keep: Keep | None = None,
    fallback: Optimizer | None = None,
) -> Optimizer:
    """Muon for the weight matrices, and another optimizer for all other parameters.

        v = m v + g
        w += -lr (sqrt(max(1, out / in)) orthogonalized(g + m v) + weight_decay w)

    for w of shape [in, out]; g + m v is the momentum with Nesterov's look-ahead. Other libraries scale the step
    otherwise, by 0.2 sqrt(max(in, out)) for one, so that their learning rates are not these.

    Args:
        learning_rate: lr >= 0, the size of the singular values of a step.
        decay: m in [0, 1).
        weight_decay: not negative, decoupled and multiplied by lr.
        steps: of the iteration.
        keep: which paths are matrices, as in `fdl.paths.select`. Unless told otherwise, those of weights (not
            embeddings) that have two axes. Arrays with more, if they are asked for, are stacks of matrices, as the
            weights in a `Repeat` are: ``lambda path: path.startswith("blocks.") and is_weight(path)`` of
            `fdl.models.gpt`. The last layer of a network is better left to the fallback.
        fallback: for all other parameters; ``adamw(3e-4, b2=0.95)`` unless told otherwise.

    Raises:
        InputError: for a hyperparameter outside its range, for a pattern that fits no path, for parameters with
            matrices of which none is a weight, or with weights of which none has two axes, for a selected array with
            fewer than two axes, and for an update without parameters.

    Source:
        Jordan et al. (2024).

    Example:
        >>> import jax.numpy as jnp
        >>> opt, params = muon(1.0, steps=9), {"w": jnp.zeros((2, 2)), "b": jnp.zeros(2)}
        >>> grads = {"w": jnp.array([[3.0, 0.0], [0.0, -0.3]]), "b": jnp.ones(2)}
        >>> updates, _ = opt.update(grads, opt.init(params), params)
        >>> bool((jnp.abs(jnp.abs(jnp.diag(updates["w"])) - 1) < 0.35).all()), updates["b"].tolist()
        (True, [-0.0003, -0.0003])
    """
    check_count("muon", "steps", steps)
    values = Hyperparameters(
        "muon",
        learning_rate=(learning_rate, NOT_NEGATIVE),
        decay=(decay, DECAY),
        weight_decay=(weight_decay, NOT_NEGATIVE),
    )

    def recurrence(h: Any, g: Any, w: Any, v: Any) -> tuple[Any, Any]:
        if w.ndim < 2:
            raise InputError(f"muon expects matrices [in, out], or stacks of them, got shape {list(w.shape)}")
        v = h.decay * v + g
        scale = max(1.0, w.shape[-1] / max(w.shape[-2], 1)) ** 0.5
        direction = scale * orthogonalized(g + h.decay * v, steps)
        return -h.learning_rate * decayed(h, direction, w), v

    def chosen(tree: Any) -> Callable[[str], bool]:
        if keep is not None:
            return matcher(tree, keep)
        axes = {path_of(keys): jnp.ndim(w) for keys, w in jax.tree.leaves_with_path(tree)}
        weights = {path: number for path, number in axes.items() if is_weight(path)}
        if not weights and 2 in axes.values():
            path = next(path for path, number in axes.items() if number == 2)
            raise InputError(
                "muon is for weights, arrays called w, and finds none, but "
                f"{f'a matrix called {path}' if path else 'a single matrix'}: keep= says which are meant"
            )
        if weights and 2 not in weights.values():
            raise InputError(
                f"muon finds no weight with two axes, {min(weights)} has {weights[min(weights)]}: where they are "
                "stacks of matrices, as in a Repeat, keep= says which"
            )
        return lambda path: weights.get(path) == 2

    fallback = adamw(3e-4, b2=0.95) if fallback is None else fallback
    check_optimizer("muon's fallback", fallback)
    matrices = per_parameter(recurrence, values, slots=["velocity"], uses_params=True)
    return grouped("muon", {"matrices": (chosen, matrices)}, fallback)


def orthogonalized(m: jax.Array, steps: int = 5) -> jax.Array:
    """The matrix with the same singular vectors whose singular values are about one, by Newton-Schulz steps.

    Args:
        m: [..., in, out], a matrix or a stack of them.
        steps: how often the polynomial is applied.

    Returns:
        [..., in, out]. Of a matrix of zeros, zeros.

    Example:
        >>> x = orthogonalized(jnp.array([[4.0, 0.0, 0.0], [0.0, 3.0, 0.0]]))
        >>> bool((jnp.abs(jnp.linalg.svdvals(x) - 1) < 0.35).all())
        True
    """
    if m.ndim > 2:
        return jax.vmap(lambda one: orthogonalized(one, steps))(m)
    size = length(m)
    x = m / jnp.where(size > 0, size, 1)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x  # so that A is the smaller one of the two products
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x

"""What a data set is: arrays, in any pytree, with one row per example."""

from typing import Any

import jax
import numpy as np

from fdl.errors import InputError


def count(arrays: Any) -> int:
    """How many examples there are.

    Args:
        arrays: a pytree of NumPy or JAX arrays that agree in the length of their first axis.

    Raises:
        InputError: when they do not agree, or are no such arrays.

    Example:
        >>> import numpy as np
        >>> count((np.zeros((100, 8, 8)), np.zeros(100)))
        100
    """
    leaves = jax.tree.leaves(arrays)
    if not leaves or not all(getattr(leaf, "ndim", 0) for leaf in leaves):
        wrong = next((type(leaf).__name__ for leaf in leaves if not getattr(leaf, "ndim", 0)), "none at all")
        raise InputError(
            f"data is made of arrays with one row per example, got {wrong}: np.asarray makes one of a list"
        )
    lengths = [leaf.shape[0] for leaf in leaves]
    if len(set(lengths)) > 1:
        raise InputError(f"data needs arrays of one length, the number of examples; got lengths {lengths}")
    return lengths[0]


def rows(arrays: Any, index: Any) -> Any:
    """The examples at these places, in the same pytree."""
    return jax.tree.map(lambda array: array[index], arrays)


def generator(*seeds: int) -> np.random.Generator:
    """A stream of random numbers that depends on these integers alone.

    Raises:
        InputError: for negative ones.
    """
    if any(seed < 0 for seed in seeds):
        raise InputError(f"seeds and epochs are integers >= 0, got {min(seeds)}")
    return np.random.default_rng(seeds)

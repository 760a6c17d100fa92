"""Paths: which array of a tree is meant, by where it is.

    {"encoder": {"affine1": {"w": ..., "b": ...}}}         encoder.affine1.w     encoder.affine1.b

What an array is for is in its name: weights are called ``w``, biases ``b``, the scale and shift of a
normalisation ``gamma`` and ``beta``. So "the weights" and "the encoder" are questions about the path.
"""

import fnmatch
from collections.abc import Callable
from typing import Any

import jax

from fdl.errors import InputError

Keep = Callable[[str], bool] | str


def path_of(keys: tuple[Any, ...]) -> str:
    """The path of a leaf in writing: its keys with dots between them.

    Args:
        keys: the key path, as `jax.tree.map_with_path` gives it.

    Example:
        >>> import jax
        >>> tree = {"encoder": {"affine1": {"w": 1.0}}, "scales": [2.0]}
        >>> [path_of(keys) for keys, _ in jax.tree.leaves_with_path(tree)]
        ['encoder.affine1.w', 'scales.0']
    """
    return jax.tree_util.keystr(keys, simple=True, separator=".")


def by_layer(tree: Any) -> dict[str, list[Any]]:
    """The arrays of each layer, which is what holds arrays directly, by its path.

    Example:
        >>> by_layer({"encoder": {"affine1": {"w": 1.0, "b": 2.0}}, "scale": 3.0})
        {'encoder.affine1': [2.0, 1.0], '': [3.0]}
    """
    layers: dict[str, list[Any]] = {}
    for keys, leaf in jax.tree.leaves_with_path(tree):
        layers.setdefault(path_of(keys[:-1]), []).append(leaf)
    return layers


def is_weight(path: str) -> bool:
    """Whether an array is a weight, that is, called ``w``, or ``wx`` and the like where a layer has several.

    Biases, the parameters of normalisations and activations, and embedding tables are not.

    Example:
        >>> [is_weight(path) for path in ("affine1.w", "lstm.wh", "affine1.b", "batch_norm1.gamma", "words.table")]
        [True, True, False, False, False]
    """
    return path.rpartition(".")[2].startswith("w")


def select(tree: Any, keep: Keep = is_weight) -> Any:
    """The same tree with None, which JAX takes for a tree without leaves, in the place of all other arrays.

    A penalty on the weights alone is ``l2(select(params))``; its gradient is zero for all others.

    Args:
        tree: a pytree of arrays.
        keep: which paths stay: a function from a path to a bool, or a pattern in which ``*`` stands for
            anything, as in ``"encoder.*"``. The default are the weights.

    Returns:
        A tree of the same form.

    Raises:
        InputError: for a pattern that fits no path: usually it is misspelt.

    Example:
        >>> params = {"affine1": {"w": 2.0, "b": 3.0}, "batch_norm1": {"gamma": 1.0}}
        >>> select(params)
        {'affine1': {'b': None, 'w': 2.0}, 'batch_norm1': {'gamma': None}}
        >>> select(params, "affine1.*")
        {'affine1': {'b': 3.0, 'w': 2.0}, 'batch_norm1': {'gamma': None}}
    """
    keeps = matcher(tree, keep)
    return jax.tree.map_with_path(lambda keys, leaf: leaf if keeps(path_of(keys)) else None, tree)


def matcher(tree: Any, keep: Keep) -> Callable[[str], bool]:
    """A predicate of paths from a predicate, or from a pattern that fits at least one path of the tree.

    Raises:
        InputError: for a pattern that fits none, and for what is neither a function nor a pattern.

    Example:
        >>> matcher({"encoder": {"w": 1.0}}, "enocder.*")
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: no path fits the pattern 'enocder.*'; there are encoder.w
    """
    if callable(keep):
        return keep
    if not isinstance(keep, str):
        raise InputError(
            'which arrays are meant is told by a pattern of paths, such as "encoder.*", or by a function from a path '
            f"to a bool, got {keep!r}"
        )
    paths = [path_of(keys) for keys, _ in jax.tree.leaves_with_path(tree)]
    if not any(fnmatch.fnmatchcase(path, keep) for path in paths):
        more = ", ..." if len(paths) > 8 else ""
        raise InputError(f"no path fits the pattern {keep!r}; there are {', '.join(paths[:8])}{more}")
    return lambda path: fnmatch.fnmatchcase(path, keep)

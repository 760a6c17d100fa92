"""Train states as files can hold them: every leaf as plain numbers under its path, and back again.

Random keys become the numbers that they are made of, with the name of the generator, and arrays without elements are
described and not stored. On the way back each array goes to the devices that its counterpart in another tree is on.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.train.by_path import kind_of, leaves_by_path


class Stored(NamedTuple):
    """What a tree is, without its structure.

    ``arrays`` are numbers by path, ``kinds`` says of every path what stands there, ``keys`` the generators of those
    that are random keys.
    """

    arrays: dict[str, Any]
    kinds: dict[str, str]
    keys: dict[str, str]


def stored(tree: Any) -> Stored:
    """A tree as a file can hold it.

    Raises:
        InputError: for two leaves with one path.

    Example:
        >>> stored({"key": jax.random.key(3), "none": jnp.zeros((0, 2))})
        Stored(arrays={'key': Array([0, 3], dtype=uint32)}, kinds={'key': 'key<fry>[]', 'none': 'float32[0, 2]'}, \
keys={'key': 'threefry2x32'})
    """
    leaves = _leaves(tree)
    keys = {path: str(jax.random.key_impl(leaf)) for path, leaf in leaves.items() if _is_key(leaf)}
    arrays = {path: jax.random.key_data(leaf) if path in keys else leaf for path, leaf in leaves.items()}
    kinds = {path: kind_of(leaf) for path, leaf in leaves.items()}
    return Stored({path: array for path, array in arrays.items() if array.size}, kinds, keys)


def kinds_and_places(like: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """What is expected at each path of a tree, and for what has elements, where it was put.

    Args:
        like: a tree of arrays or of their shapes (`jax.ShapeDtypeStruct`).

    Returns:
        The kinds, and the shardings of what `stored` makes of the leaves: None for keys, whose numbers have another
        shape, and for arrays that are just where JAX puts arrays.

    Example:
        >>> kinds_and_places({"w": jnp.ones(3), "none": jnp.zeros((0, 2))})
        ({'none': 'float32[0, 2]', 'w': 'float32[3]'}, {'w': None})
    """
    leaves = _leaves(like)
    with_elements = {path: leaf for path, leaf in leaves.items() if math.prod(leaf.shape)}
    places = {path: None if _is_key(leaf) else _place(leaf) for path, leaf in with_elements.items()}
    return {path: kind_of(leaf) for path, leaf in leaves.items()}, places


def filled(like: Any, arrays: Mapping[str, Any], keys: Mapping[str, str]) -> Any:
    """The tree ``like`` with what was stored in it.

    Args:
        like: a tree of arrays or of their shapes, whose kinds are those of what was stored.
        arrays: NumPy arrays, of which copies are made, or JAX's.
        keys: the generators, as in `Stored`.

    Example:
        >>> arrays, _, keys = stored({"w": jnp.ones(3), "key": jax.random.key(3)})
        >>> tree = filled({"w": jnp.zeros(3), "key": jax.random.key(0)}, arrays, keys)
        >>> tree["w"], bool(tree["key"] == jax.random.key(3))
        (Array([1., 1., 1.], dtype=float32), True)
    """
    leaves = [_filled(leaf, arrays.get(path), keys.get(path)) for path, leaf in _leaves(like).items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _filled(leaf: Any, array: Any, generator: str | None) -> jax.Array:
    if array is None:
        return jnp.zeros(leaf.shape, leaf.dtype)
    if not isinstance(array, jax.Array):
        array = jnp.array(array)  # a copy of its own, which a training step may take over
    if generator is None:
        return array
    wrap = functools.partial(jax.random.wrap_key_data, impl=generator)
    # device_put takes no keys to the devices of several processes.
    return wrap(array) if (place := _place(leaf)) is None else jax.jit(wrap, out_shardings=place)(array)


def _leaves(tree: Any) -> dict[str, Any]:
    """The leaves by path, all as JAX's arrays or their shapes."""
    ours = (jax.Array, jax.ShapeDtypeStruct)
    return {path: leaf if isinstance(leaf, ours) else jnp.array(leaf) for path, leaf in leaves_by_path(tree).items()}


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _place(leaf: Any) -> Any:
    return None if isinstance(leaf, jax.Array) and not leaf.committed else leaf.sharding

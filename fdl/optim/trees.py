"""Trees of gradients and of parameters: whether they fit, and which of their arrays are meant."""

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import jax
import jax.numpy as jnp

from fdl.concrete import is_concrete
from fdl.errors import InputError
from fdl.lengths import norm
from fdl.paths import Keep, matcher, path_of
from fdl.rule import wide


def check_gradients(who: str, grads: Any, params: Any) -> None:
    """Refuses gradients whose tree, shapes or dtypes are not those of the parameters.

    Gradients of bfloat16 and float16 parameters may be float32 as well: sums over micro-batches and gradients
    that were clipped are.

    Args:
        who: the optimizer's name, for the message.
        grads, params: the trees; None for parameters that are not known.

    Raises:
        InputError: with the first path at which they differ.

    Example:
        >>> check_gradients("adam", {"w": jnp.ones((3, 2))}, {"w": jnp.ones((2, 3))})
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: w: adam expects a gradient of shape [2, 3], as its parameter has, got [3, 2]
    """
    if params is None:
        return
    theirs, ours = jax.tree.leaves_with_path(grads), jax.tree.leaves_with_path(params)
    for gradient, parameter in zip_longest(theirs, ours):
        if gradient is None or parameter is None or gradient[0] != parameter[0]:
            is_extra = gradient is not None and gradient[0] not in {keys for keys, _ in ours}
            has, misses = ("gradient", "parameter") if is_extra else ("parameter", "gradient")
            raise InputError(
                f"{who} expects gradients in the tree of the parameters, got a {has} where there is no {misses}",
                path=_where((gradient if is_extra else parameter)[0]),
            )
        (keys, g), (_, w) = gradient, parameter
        if jnp.shape(g) != jnp.shape(w):
            raise InputError(
                f"{who} expects a gradient of shape {list(jnp.shape(w))}, as its parameter has, "
                f"got {list(jnp.shape(g))}",
                path=_where(keys),
            )
        if jnp.result_type(g) not in (jnp.result_type(w), wide(w)):
            raise InputError(
                f"{who} expects a gradient of {jnp.result_type(w)}, as its parameter is, got {jnp.result_type(g)}",
                path=_where(keys),
            )
    containers: Any = jax.tree.structure(params)
    if containers != jax.tree.structure(grads):
        raise InputError(
            f"{who} expects gradients in the containers of the parameters, {containers}, "
            f"got {jax.tree.structure(grads)}"
        )


def check_memory(who: str, grads: Any, memory: Any) -> None:
    """Refuses an optimizer's memory of other parameters: it has an array for each gradient, of its shape.

    Args:
        who: the optimizer's name, for the message.
        grads, memory: the trees; None for an optimizer that remembers nothing of single parameters.

    Raises:
        InputError: with the first path at which they differ.

    Example:
        >>> check_memory("adam", {"w": jnp.ones(3)}, {"w": jnp.ones(4)})
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: w: adam's state is for [4], the gradient is [3]: init(params) makes one that fits
    """
    if memory is None:
        return
    given, known = (
        {path_of(keys): list(jnp.shape(a)) for keys, a in jax.tree.leaves_with_path(tree)} for tree in (grads, memory)
    )
    for path in given | known:
        if given.get(path) != known.get(path):
            raise InputError(
                f"{who}'s state is for {known.get(path, 'nothing')}, the gradient is {given.get(path, 'missing')}: "
                "init(params) makes one that fits",
                path=(path,) if path else (),
            )


def check_params(who: str, grads: Any, params: Any) -> None:
    """Refuses an update without the parameters, for those that cannot do without, and gradients that do not fit them.

    Example:
        >>> check_params("adamw", {"w": jnp.ones(2)}, None)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: adamw needs the parameters: update(grads, opt_state, params)
    """
    if params is None and jax.tree.leaves(grads):
        raise InputError(f"{who} needs the parameters: update(grads, opt_state, params)")
    check_gradients(who, grads, params)


def check_floats(who: str, params: Any) -> None:
    """Refuses parameters that are not floats, which have no gradient: integers belong into a layer's state.

    Example:
        >>> check_floats("adam", {"ids": jnp.arange(3)})
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: ids: adam expects parameters that are floats, got int32
    """
    for keys, w in jax.tree.leaves_with_path(params):
        if not jnp.issubdtype(jnp.result_type(w), jnp.floating):
            raise InputError(f"{who} expects parameters that are floats, got {jnp.result_type(w)}", path=_where(keys))


def path_matcher(tree: Any, keep: Keep | None) -> Callable[[str], bool]:
    """As `fdl.paths.matcher`, with None for all paths."""
    return (lambda path: True) if keep is None else matcher(tree, keep)


def merge(parts: list[Any]) -> Any:
    """One tree of trees that `fdl.paths.select` took apart: at each leaf, the one that is not None."""
    return jax.tree.map(
        lambda *leaves: next((leaf for leaf in leaves if leaf is not None), None), *parts, is_leaf=lambda x: x is None
    )


def all_finite(tree: Any) -> jax.Array:
    """Whether no number in the tree is infinite or NaN."""
    finite = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack(finite)) if finite else jnp.array(True)


def _where(keys: Any) -> tuple[str, ...]:
    return (path_of(keys),) if keys else ()


def either(condition: Any, yes: Callable[..., Any], no: Callable[..., Any], *args: Any) -> Any:
    """`jax.lax.cond`; outside jit the one that is called, since a new function would be compiled in every call.

    Example:
        >>> either(jnp.array(3) > 2, lambda a: a + 1, lambda a: a - 1, jnp.array(5)).item()
        6
    """
    if not is_concrete(condition):
        return jax.lax.cond(condition, yes, no, *args)
    return (yes if condition else no)(*args)


def length(a: jax.Array) -> jax.Array:
    """The Euclidean length of an array, by `fdl.lengths.norm` where its squares overflow or vanish.

    Example:
        >>> float(length(jnp.array([3.0, 4.0]))), round(float(length(jnp.array([3e-30, 4e-30]))) * 1e30, 4)
        (5.0, 5.0)
    """
    # On CPU a product runs on all cores, and a sum on one. As one row, an array that is spread over devices along
    # another axis than its first would be gathered.
    total = jnp.tensordot(a, a, a.ndim)
    is_usual = jnp.isfinite(total) & (total > jnp.finfo(a.dtype).tiny / jnp.finfo(a.dtype).eps)
    return either(is_usual, lambda _: jnp.sqrt(total), norm, a)


def zeros_of(tree: Any) -> Any:
    """Zeros of the shapes and dtypes of a tree."""
    return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), tree)


def wide_zeros(tree: Any) -> Any:
    """Zeros of the shapes of a tree in float32 or wider, each where its array is when that is spread over devices."""
    return jax.tree.map(lambda a: jnp.zeros_like(a, dtype=wide(a)), tree)

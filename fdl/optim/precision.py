"""Optimizers of bfloat16 parameters, and optimizers with bfloat16 memory.

bfloat16 keeps 8 binary digits: between 1 and 2, numbers are 1/128 apart, and an update of less than half of that is
lost when it is added. Training goes on only if what is lost in one step is not lost for good. Two ways:

    masters                w32 = w32 + u,   w = round(w32)       the optimizer moves a float32 copy: 4 bytes more
    stochastic rounding    w = up or down, at random             right on average: no bytes more

A number x between its neighbours a < x < b in bfloat16 is rounded up with probability (x - a) / (b - a), so that its
expectation is x. The 16 bits of a float32 that bfloat16 has not are that probability, as a whole number: adding 16
random bits to them carries into the ones above just as often.

The same holds for an average that keeps 0.999 of itself, which stands still in bfloat16 when it is rounded to nearest:
memory in bfloat16 is rounded at random too.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.optim.optimizer import Optimizer, check_optimizer, update_with
from fdl.optim.trees import check_params, merge
from fdl.rule import wide


class MastersState(NamedTuple):
    """``masters`` are the parameters in float32 where they are narrower, None elsewhere; ``inner`` the optimizer's."""

    masters: Any
    inner: Any


class RoundingState(NamedTuple):
    """``step`` counts updates, and says which random bits come next; ``inner`` is the optimizer's state."""

    step: jax.Array
    inner: Any


def float32_masters(optimizer: Optimizer) -> Optimizer:
    """Keeps float32 copies of bfloat16 and float16 parameters, which the optimizer moves in their place.

    After `apply_updates` the parameters are the masters, rounded: the update leads there. Parameters that are float32
    or wider need no copy and get none. Stands around everything else that the optimizer is made of.

    Args:
        optimizer: sees the masters as parameters, and gradients in float32.

    Raises:
        InputError: for what is no optimizer, and from an update without parameters.

    Source:
        Micikevicius et al., "Mixed precision training" (2018), section 3.1.

    Example:
        >>> from fdl.optim import apply_updates, sgd
        >>> w, g = jnp.ones((), jnp.bfloat16), jnp.ones((), jnp.bfloat16)
        >>> for opt in (sgd(1e-3), float32_masters(sgd(1e-3))):
        ...     moved, opt_state = w, opt.init(w)
        ...     for _ in range(100):
        ...         updates, opt_state = opt.update(g, opt_state, moved)
        ...         moved = apply_updates(moved, updates)
        ...     print(float(moved))
        1.0
        0.8984375
    """
    check_optimizer("float32_masters", optimizer)

    def init(params: Any) -> MastersState:
        masters = jax.tree.map(lambda w: jnp.asarray(w, jnp.float32) if _is_narrow(w) else None, params)
        return MastersState(masters, optimizer.init(merge([masters, params])))

    def update(grads: Any, opt_state: MastersState, params: Any = None, **extra: Any) -> tuple[Any, MastersState]:
        check_params("float32_masters", grads, params)
        full = merge([opt_state.masters, params])
        wide_grads = jax.tree.map(lambda g: jnp.asarray(g, wide(g)), grads)
        updates, inner = update_with(optimizer, wide_grads, opt_state.inner, full, **extra)
        moved = jax.tree.map(lambda w, u, p: w + u if _is_narrow(p) else None, full, updates, params)
        leads = jax.tree.map(lambda w, u, p: w + u - p if _is_narrow(p) else u, full, updates, params)
        return leads, MastersState(moved, inner)

    return Optimizer(init, update)


def stochastic_rounding(optimizer: Optimizer, seed: int = 0) -> Optimizer:
    """Moves bfloat16 parameters by updates that are rounded at random, so that small ones are not lost but rare.

    The update leads from one bfloat16 number to another, so that `apply_updates` has nothing to round. Other parameters
    are updated as usual. Stands around everything else that the optimizer is made of.

    Args:
        optimizer: whose updates are rounded.
        seed: of the random bits; the same one gives the same run.

    Raises:
        InputError: for what is no optimizer, for a seed that is not a whole number, and from an update without
            parameters.

    Source:
        Gupta, Agrawal, Gopalakrishnan and Narayanan, "Deep learning with limited numerical precision" (2015).

    Example:
        >>> from fdl.optim import apply_updates, sgd
        >>> opt, w, g = stochastic_rounding(sgd(1e-3)), jnp.ones(1000, jnp.bfloat16), jnp.ones(1000, jnp.bfloat16)
        >>> updates, _ = opt.update(g, opt.init(w), w)
        >>> w = apply_updates(w, updates)
        >>> bool((w == 1).any()), abs(float(w.astype(float).mean()) - 0.999) < 2e-4
        (True, True)
    """
    check_optimizer("stochastic_rounding", optimizer)
    check_count("stochastic_rounding", "seed", seed, least=0)

    def init(params: Any) -> RoundingState:
        return RoundingState(jnp.zeros((), jnp.int32), optimizer.init(params))

    def update(grads: Any, opt_state: RoundingState, params: Any = None, **extra: Any) -> tuple[Any, RoundingState]:
        check_params("stochastic_rounding", grads, params)
        updates, inner = update_with(optimizer, grads, opt_state.inner, params, **extra)
        keys = _keys(seed, opt_state.step, updates)

        def round_one(w: Any, u: jax.Array, key: jax.Array) -> jax.Array:
            if jnp.result_type(w) != jnp.bfloat16:
                return u
            w = jnp.asarray(w, u.dtype)
            return round_stochastically(w + u, key).astype(u.dtype) - w

        return jax.tree.map(round_one, params, updates, keys), RoundingState(opt_state.step + 1, inner)

    return Optimizer(init, update)


def bfloat16_memory(optimizer: Optimizer, seed: int = 0) -> Optimizer:
    """Keeps the memory of an optimizer in bfloat16, half the bytes, rounded at random so that averages still move.

    All float32 arrays of the state but scalars are kept like that between the steps; the optimizer itself computes in
    float32.

    Args:
        optimizer: whose memory is kept.
        seed: of the random bits; the same one gives the same run.

    Raises:
        InputError: for what is no optimizer, for a seed that is not a whole number, and from init around
            `float32_masters`, which stand around this.

    Example:
        >>> from fdl.optim import adam
        >>> params = {"w": jnp.ones((3, 2))}
        >>> bfloat16_memory(adam()).init(params).inner.slots["square"]["w"].dtype.name
        'bfloat16'
    """
    check_optimizer("bfloat16_memory", optimizer)
    check_count("bfloat16_memory", "seed", seed, least=0)

    def init(params: Any) -> RoundingState:
        state = optimizer.init(params)
        if any(map(_are_masters, jax.tree.leaves(state, is_leaf=_are_masters))):
            raise InputError(
                "bfloat16_memory would keep the masters of float32_masters in bfloat16: it stands inside, "
                "float32_masters(bfloat16_memory(optimizer))"
            )
        return RoundingState(
            jnp.zeros((), jnp.int32), jax.tree.map(lambda a: a.astype(jnp.bfloat16) if _is_memory(a) else a, state)
        )

    def update(grads: Any, opt_state: RoundingState, params: Any = None, **extra: Any) -> tuple[Any, RoundingState]:
        full = jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.bfloat16 else a, opt_state.inner)
        updates, full = update_with(optimizer, grads, full, params, **extra)
        keys = _keys(seed, opt_state.step, full)

        def keep(old: jax.Array, new: jax.Array, key: jax.Array) -> jax.Array:
            return round_stochastically(new, key) if old.dtype == jnp.bfloat16 else new

        return updates, RoundingState(opt_state.step + 1, jax.tree.map(keep, opt_state.inner, full, keys))

    return Optimizer(init, update)


def round_stochastically(x: jax.Array, key: jax.Array) -> jax.Array:
    """Rounds to bfloat16, up or down at random, so that the expectation is x. Infinity and NaN stay what they are.

    Args:
        x: float32.
        key: a JAX random key.

    Example:
        >>> x = jnp.full(10_000, 1 + 1 / 512)  # a quarter of the way from 1 to the next number
        >>> rounded = round_stochastically(x, jax.random.key(0))
        >>> bool(abs((rounded > 1).mean() - 0.25) < 0.02), rounded.dtype.name
        (True, 'bfloat16')
    """
    x = x.astype(jnp.float32)
    noise = jax.random.bits(key, x.shape, jnp.uint16).astype(jnp.uint32)
    bits = (jax.lax.bitcast_convert_type(x, jnp.uint32) + noise) & jnp.uint32(0xFFFF0000)
    shortened = jax.lax.bitcast_convert_type(bits, jnp.float32)
    return jnp.where(jnp.isfinite(x), shortened, x).astype(jnp.bfloat16)


def _are_masters(state: Any) -> bool:
    return isinstance(state, MastersState)


def _keys(seed: int, step: jax.Array, tree: Any) -> Any:
    """A key for each array of the tree, and other ones in every step."""
    key, structure = jax.random.fold_in(jax.random.key(seed), step), jax.tree.structure(tree)
    keys = [jax.random.fold_in(key, i) for i, _ in enumerate(jax.tree.leaves(tree))]
    return jax.tree.unflatten(structure, keys)


def _is_narrow(w: Any) -> bool:
    return jnp.result_type(w) in (jnp.bfloat16, jnp.float16)


def _is_memory(a: Any) -> bool:
    return jnp.ndim(a) > 0 and jnp.result_type(a) == jnp.float32

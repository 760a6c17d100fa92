"""The properties that make a rule proven, each as a function of a case that raises when it does not hold.

All comparisons are element by element. A norm over the whole array, or a tolerance that grows with its
size, lets single elements be as wrong as they like.
"""

import contextlib
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import P
from jax.flatten_util import ravel_pytree

import fdl
from fdl.rule import Rule
from tests.proof.case import Case, is_float, split


def autodiff() -> contextlib.AbstractContextManager[None]:
    return fdl.differentiation("autodiff")


def in_float64(function):
    """Runs a function where float64 exists."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with jax.enable_x64(True):
            return function(*args, **kwargs)

    return wrapped


def assert_close(actual: Any, expected: Any, rtol: float, what: str) -> None:
    """Same structure, shapes and dtypes, and every element within rtol of itself.

    Rounding in a sum is relative to its largest term, not to what is left of it, so an element may
    also be off by a thousandth of rtol times the largest element of its array.
    """
    assert jax.tree.structure(actual) == jax.tree.structure(expected), what
    for (path, a), e in zip(jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        where = what + jax.tree_util.keystr(path)
        a, e = np.asarray(a), np.asarray(e)
        assert a.shape == e.shape, f"{where}: shape {a.shape} instead of {e.shape}"
        assert a.dtype == e.dtype, f"{where}: dtype {a.dtype} instead of {e.dtype}"
        a, e = a.astype(np.float64), e.astype(np.float64)
        largest = np.abs(e[np.isfinite(e)]).max(initial=0)
        np.testing.assert_allclose(a, e, rtol=rtol, atol=1e-3 * rtol * largest, err_msg=where)


def dot(a: Any, b: Any) -> jax.Array:
    """The sum of the products of all elements of two trees."""
    return sum(jnp.vdot(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


def gradients(case: Case, arguments: Mapping[str, Any], rule: Rule[..., Any] | None = None) -> Any:
    """(value, gradients by name) for the case's upstream gradient, by whatever `differentiation` is on."""
    with_gradient, others = split(arguments)
    value, pull_back = jax.vjp(lambda floats: case.call(floats | others, rule), with_gradient)
    return value, pull_back(case.upstream(value))[0]


@in_float64
def by_rule(case: Case, arguments: Mapping[str, Any], rule: Rule[..., Any] | None = None) -> dict[str, Any]:
    """What a rule computes: its value, that while it is differentiated, and its gradient."""
    forward, ours = gradients(case, arguments, rule)
    return {"plain": case.call(arguments, rule), "forward": forward, "ours": ours}


@in_float64
def by_backward(case: Case, arguments: Mapping[str, Any], rule: Rule[..., Any] | None = None) -> dict[str, Any]:
    """Its gradient alone."""
    return {"ours": gradients(case, arguments, rule)[1]}


@in_float64
def by_reference(case: Case, arguments: Mapping[str, Any], rule: Rule[..., Any] | None = None) -> dict[str, Any]:
    """What JAX makes of its reference: the value and the gradient."""
    with autodiff():
        value, gradient = gradients(case, arguments, rule)
    return {"reference": value, "jax": gradient}


@functools.cache
@in_float64
def computed(case: Case, n: int) -> dict[str, Any]:
    """All that the first checks compare, for one batch size and from one compilation."""
    return jax.jit(lambda arguments: by_rule(case, arguments) | by_reference(case, arguments))(case.make(n))


# 1. The value.


def value_is_the_formula(case: Case, n: int, results: Mapping[str, Any] | None = None) -> None:
    results = results or computed(case, n)
    expected = formula(case, n)
    assert_close(results["plain"], expected, 1e-12, "the value")
    assert_close(results["forward"], expected, 1e-12, "the value while it is differentiated")
    assert_close(results["reference"], expected, 1e-12, "the value of the reference")


@functools.cache
@in_float64
def formula(case: Case, n: int) -> Any:
    with np.errstate(all="ignore"):
        result = case.formula(**jax.tree.map(_to_numpy, case.make(n)), **case.choices)
    return jax.tree.map(np.asarray, result)


@in_float64
def forward_keeps_types(case: Case, dtype: Any) -> None:
    """In narrow types: the forward part returns what the plain call returns, and the first output is as wide as x."""
    arguments = case.make(dtype=dtype)
    plain = jax.eval_shape(case.call, arguments)
    forward, ours = jax.eval_shape(lambda arguments: gradients(case, arguments), arguments)
    assert plain == forward
    assert jax.tree.map(jnp.result_type, ours) == jax.tree.map(jnp.result_type, split(arguments)[0])


# 2. The gradient, in float64.


def gradient_is_jax_s(case: Case, n: int, results: Mapping[str, Any] | None = None) -> None:
    results = results or computed(case, n)
    assert_close(results["ours"], results["jax"], 1e-10, "the gradient of ")


@in_float64
def jacobian_is_central_differences(case: Case) -> None:
    with_gradient, others = split(case.make())
    flat, unravel = ravel_pytree(with_gradient)
    h = 1e-5

    def f(flat):
        return ravel_pytree(case.call(unravel(flat) | others))[0]

    @jax.jit
    def both(flat):
        differences = jax.lax.map(lambda step: (f(flat + step) - f(flat - step)) / (2 * h), h * jnp.eye(flat.size))
        return jax.jacrev(f)(flat), differences.T

    written, measured = both(flat)
    np.testing.assert_allclose(written, measured, rtol=1e-7, atol=1e-9 * max(1, np.abs(measured).max(initial=0)))


# 3. Narrow types: no further from the truth than twice as far as JAX is.


@in_float64
def precision_is_near_jax_s(case: Case, dtype: Any, draws: int = 5) -> None:
    """On average over some draws: in a single one, the few roundings of either side may happen to cancel."""

    @jax.jit
    def compute(arguments):
        ours = gradients(case, arguments)[1]
        with autodiff():
            theirs = gradients(case, arguments)[1]
            value = jax.eval_shape(case.call, arguments)
            upstream = jax.tree.map(lambda dy: dy.astype(jnp.float64), case.upstream(value))
            with_gradient, others = split(jax.tree.map(_as_float64, arguments))
            _, pull_back = jax.vjp(lambda floats: case.call(floats | others), with_gradient)
            return ours, theirs, pull_back(upstream)[0]

    def distances(ours, theirs, truth):
        """Of ours and of theirs from the truth, and what the last rounding alone may be."""
        assert ours.dtype == theirs.dtype == dtype
        ours, theirs, truth = (np.asarray(a, np.float64) for a in (ours, theirs, truth))
        last_rounding = np.abs(truth).max(initial=0) * float(jnp.finfo(dtype).eps) / 2
        return np.array([np.abs(ours - truth).max(initial=0), np.abs(theirs - truth).max(initial=0), last_rounding])

    results = [compute(case.make(dtype=dtype, draw=draw)) for draw in range(draws)]
    for of_argument in zip(*(zip(*map(jax.tree.leaves, result), strict=True) for result in results), strict=True):
        ours, theirs, last_rounding = sum(distances(*one) for one in of_argument)
        assert ours <= 2 * theirs + last_rounding


# 4. Transformations.


@in_float64
def vmap_is_a_loop(case: Case) -> None:
    """With everything mapped over the first or the last axis, and with only the batched arguments mapped."""
    draws = [case.make(draw=draw) for draw in range(3)]
    floats = [split(arguments)[0] for arguments in draws]
    others = split(draws[0])[1]  # ids, masks and keys are shared
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *floats)
    mapped = {name: value for name, value in stacked.items() if name in case.batched}
    shared = {name: value for name, value in floats[0].items() if name not in case.batched}

    def one(floats):
        return gradients(case, floats | others)

    def total(shared, map_over):
        def along_upstream(mapped):
            value = case.call(mapped | shared | others)
            return dot(value, case.upstream(value))

        return map_over(along_upstream, mapped).sum()

    def by_vmap(f, tree):
        return jax.vmap(f)(tree)

    @jax.jit
    def compute(stacked, shared):
        last = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), stacked)
        loop = jax.lax.map(one, stacked), jax.grad(total)(shared, jax.lax.map) if mapped else {}
        vmap = jax.vmap(one)(stacked), jax.grad(total)(shared, by_vmap) if mapped else {}
        return loop, vmap, jax.vmap(one, in_axes=-1)(last)

    loop, vmap, last_axis = compute(stacked, shared)
    assert_close(vmap, loop, 1e-10, "under vmap, ")
    assert_close(last_axis, loop[0], 1e-10, "under vmap over the last axis, ")


@in_float64
def scan_and_remat_change_nothing(case: Case, dtype: Any) -> None:
    """In narrow types too: a gradient of another dtype than its argument does not fit the carry of a scan."""
    with_gradient, others = split(case.make(dtype=dtype))

    def once(floats):
        value = case.call(floats | others)
        return dot(value, case.upstream(value)).astype(jnp.float64)

    def twice(floats):
        return jax.lax.scan(lambda total, scale: (total + scale * once(floats), None), 0.0, jnp.ones(2))[0]

    @jax.jit
    def compute(floats):
        return jax.grad(once)(floats), jax.grad(jax.checkpoint(once))(floats), jax.grad(twice)(floats)

    direct, remat, scan = compute(with_gradient)
    rtol = 1e-10 if dtype == jnp.float64 else 100 * float(jnp.finfo(dtype).eps)
    assert_close(remat, direct, rtol, "under remat, ")
    assert_close(scan, jax.tree.map(lambda g: 2 * g, direct), rtol, "under scan, ")


@in_float64
def sharding_changes_nothing(case: Case) -> None:
    """On eight devices, sharded jit gives what one device gives, and shard_map what JAX gives shard by shard."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    arguments = case.make(n=16)
    specs = {name: P("data") if name in case.batched else P() for name in arguments}

    def place(name, value):
        return jax.tree.map(lambda a: jax.device_put(a, jax.NamedSharding(mesh, specs[name])), value)

    sharded = jax.jit(lambda arguments: gradients(case, arguments)[1])
    placed = {name: place(name, value) for name, value in arguments.items()}
    assert_close(sharded(placed), sharded(arguments), 1e-10, "sharded, ")

    with_gradient, others = split(arguments)

    def along_upstream(arguments):
        value = case.call(arguments)
        return dot(value, case.upstream(value))

    def by_shard_map(floats):
        @functools.partial(jax.shard_map, mesh=mesh, in_specs=(specs,), out_specs=P())
        def total(arguments):
            return jax.lax.psum(along_upstream(arguments), "data")

        return total(floats | others)

    def shard_by_shard(floats):
        all_arguments = floats | others
        mapped = {name: all_arguments.pop(name) for name in case.batched if name in all_arguments}
        shards = jax.tree.map(lambda a: a.reshape(8, -1, *a.shape[1:]), mapped)
        return jax.vmap(lambda shard: along_upstream(shard | all_arguments), axis_size=8)(shards).sum()

    @jax.jit
    def compute(floats):
        ours = jax.grad(by_shard_map)(floats)
        with autodiff():
            return ours, jax.grad(shard_by_shard)(floats)

    assert_close(*compute(with_gradient), 1e-10, "under shard_map, ")


@in_float64
def second_derivatives_are_jax_s(case: Case) -> None:
    with_gradient, others = split(case.make())
    direction = case.upstream(with_gradient, draw=2)

    def loss(floats):
        value = case.call(floats | others)
        return dot(jax.tree.map(jnp.sin, value), case.upstream(value))  # sin, so that linear rules curve too

    def both(floats):
        reverse_over_reverse = jax.grad(lambda floats: dot(jax.grad(loss)(floats), direction))(floats)
        forward_over_reverse = jax.jvp(jax.grad(loss), (floats,), (direction,))[1]
        return reverse_over_reverse, forward_over_reverse

    @jax.jit
    def compute(floats):
        ours = both(floats)
        with autodiff():
            return ours, both(floats)

    assert_close(*compute(with_gradient), 1e-9, "the second derivative ")


# 6. Memory.


def remembers_no_more_than_it_says(case: Case) -> None:
    arrays, choices = case.rule.bind(**case.make(n=5, dtype=jnp.float32), **case.choices)

    def residuals(arrays):
        return jax.tree.leaves(case.rule.part("forward")(**arrays, **choices)[1])

    jaxpr = jax.make_jaxpr(residuals)(arrays).jaxpr
    own = [kept.aval.str_short() for kept in jaxpr.outvars if kept not in jaxpr.invars]
    assert sorted(own) == sorted(case.remembers), "besides its arguments, forward keeps something else than declared"


def _as_float64(array):
    return array.astype(jnp.float64) if is_float(array) else array


def _to_numpy(array):
    return array if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else np.asarray(array)

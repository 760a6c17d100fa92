"""Counting the floating point operations of a function, from its jaxpr: nothing is computed or compiled.

A jaxpr lists the operations of a function with their shapes. What each costs, for y its result:

- a matrix product or convolution: 2 for each element of y and each product that is summed in it (one to
  multiply, one to add); products with a convolution's padding count;
- a sum, maximum or the like over axes: 1 for each element that goes in;
- every other operation on floats, from + to exp: 1 for each element of y;
- what only moves, selects, converts or looks up: nothing, and so do integers and random bits;
- factorisations, triangular solves, Fourier transforms and ragged products: nothing, they are not known here.

So affine costs 2 N in out + N out, ReLU N C for its comparisons. The body of a scan counts as often as
it runs, one of the branches of a cond (the most expensive) once, and the body of a while loop, which no
shape tells how often it runs, once.

XLA has a count of its own (``jax.jit(f).lower(...).cost_analysis()``), which agrees on matrix products and
sums, but counts the body of a loop once however often it runs, so that a recurrent network over 100 steps seems to cost
as much as one over a single step; and it differs from device to device.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

_ELEMENTWISE = """
    abs acos acosh add add_any asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp cos cosh digamma div eq
    erf erf_inv erfc exp exp2 expm1 floor ge gt igamma igammac integer_pow is_finite le lgamma log log1p logistic lt max
    min mul ne neg nextafter polygamma pow rem round rsqrt sign sin sinh sqrt square sub tan tanh
"""
_REDUCTIONS = """
    argmax argmin cumlogsumexp cummax cummin cumprod cumsum reduce_max reduce_min reduce_prod reduce_sum
"""


def count_flops(function: Callable[..., Any], *inputs: Any) -> int:
    """How many floating point operations a call takes; a multiply-add is two.

    Args:
        function: any function of arrays that JAX can trace.
        inputs: arrays, or `jax.ShapeDtypeStruct` for their shapes and dtypes alone.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.layers import affine
        >>> count_flops(affine, jnp.ones((32, 64)), jnp.ones((64, 10)), jnp.ones(10))  # 2 * 32 * 64 * 10 + 32 * 10
        41280
    """
    return flops_of_jaxpr(jax.make_jaxpr(function)(*inputs).jaxpr)


def flops_of_jaxpr(jaxpr: Any) -> int:
    """The operations of a jaxpr, with those of the jaxprs inside it."""
    total = 0
    for operation in jaxpr.eqns:
        inner = [(times, flops_of_jaxpr(part)) for times, part in parts(operation)]
        if operation.primitive.name == "cond":
            total += max(flops for _, flops in inner)
        else:
            total += _flops_of_operation(operation) + sum(times * flops for times, flops in inner)
    return total


def _flops_of_operation(operation: Any) -> int:
    """The operations of one equation, without those of the jaxprs inside it."""
    name, inputs, outputs = operation.primitive.name, operation.invars, operation.outvars
    if not any(jnp.issubdtype(x.aval.dtype, jnp.inexact) for x in inputs if hasattr(x.aval, "dtype")):
        return 0
    size = outputs[0].aval.size
    if name in _ELEMENTWISE.split():
        return size
    if name in _REDUCTIONS.split():
        return inputs[0].aval.size
    if name == "dot_general":
        (axes, _), _ = operation.params["dimension_numbers"]
        return 2 * size * math.prod(inputs[0].aval.shape[axis] for axis in axes)
    if name == "conv_general_dilated":
        kernel, out_axis = inputs[1].aval, operation.params["dimension_numbers"].rhs_spec[0]
        return 2 * size * (kernel.size // max(kernel.shape[out_axis], 1))
    if name.startswith("reduce_window"):
        return size * math.prod(operation.params["window_dimensions"])
    if name.startswith("scatter") and name != "scatter":
        return inputs[2].aval.size
    return 0


def parts(operation: Any) -> Iterator[tuple[int, Any]]:
    """(how often it runs, jaxpr) of the jaxprs inside an equation: bodies of loops, branches, functions."""
    if operation.primitive.name.startswith(("scatter", "reduce")):
        return  # theirs says how two numbers are combined
    times = operation.params["length"] if operation.primitive.name == "scan" else 1
    for part in jax.tree.leaves(list(operation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")):
        jaxpr = getattr(part, "jaxpr", part)
        if hasattr(jaxpr, "eqns"):
            yield times, jaxpr

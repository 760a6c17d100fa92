"""Through time: what all recurrent layers share, so that each family only has to say what one step does.

A recurrence takes a state from step to step. Of the input it sees a product, of its state another one:

    a_t = x_t wx + b        q_t = h_{t-1} wh        gates_t = gates(a_t, q_t)        s_t = advance(gates_t, s_{t-1})

where h is the first of the states s, and the output is hs = (h_1, ..., h_T). The upstream gradients are those
of every h_t and of the last state. Backpropagation through time walks the steps in reverse. With ds_t all that
arrives at s_t, from its output and from step t + 1,

    (da_t, dq_t, ds_{t-1}) = back(gates_t, s_{t-1}, ds_t)        dh_{t-1} += dq_t wh^T

and everything else is a sum over steps, which needs no order:

    dwx = sum x_t^T da_t        dwh = sum h_{t-1}^T dq_t        db = sum da_t        dx_t = da_t wx^T

So the loop carries the states and their gradients, and contains the one product that depends on the step before.
The products on the right, and x wx, are taken over many steps at once, which is faster per number. Where gates are a
function of a + q, da and dq are the same, and the gradients of both weights are one product, of (x, h) and da.

Over all steps at once they would need a and da for the whole sequence. Instead the sequence is cut into blocks
of at most ``block`` steps: a loop over blocks takes the products, a loop inside it takes the steps, and a, da
and dq exist for one block at a time. If nobody says how many, it is as many as have some 250 rows for the
products, within 16 and 128. What grows with T is what is remembered: hs, which is the output; the other states
before each step; and the gates. These are most of it, and can be had again from hs and xs by two products per
block: that is the choice ``remember="states"``.

Sequences of different lengths are padded to T steps. In a step that is padding the state stays as it is, the output
is zero, and no gradient arrives or leaves. Steps beyond T, where the blocks do not divide it, are padding too.

Source: Werbos, "Backpropagation through time: what it does and how to do it" (1990).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.ids import check_lengths
from fdl.layers.checks import check_floats
from fdl.rule import wide
from fdl.slices import put_at, slice_at


class Product(NamedTuple):
    """A product y = x w, where x may have any leading axes, and what its backward pass is made of."""

    of: Callable[[Any, Any], Any]  # x, w -> y
    turned: Callable[[Any], Any]  # w -> the w of the way back
    to_input: Callable[[Any, Any], Any]  # dy, turned w -> dx
    to_weight: Callable[[tuple[Any, ...], Any, Any], Any]  # parts of x, dy, w -> dw


class Cell(NamedTuple):
    """One step of a recurrence, as functions of arrays; the first of the states is the output.

    Where gates are a function of a + q, da and dq are the same, and ``back`` gives None for dq.
    """

    gates: Callable[[Any, Any], Any]  # a, q -> gates, an array or several
    advance: Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]  # gates, states before -> states after
    back: Callable[[Any, tuple[Any, ...], tuple[Any, ...]], tuple[Any, Any, tuple[Any, ...]]]
    product: Product


class Remembered(NamedTuple):
    """What the backward pass needs: arguments, hs, and in blocks the states besides h before each step, and gates."""

    xs: Any
    h0: Any
    wx: Any
    wh: Any
    b: Any
    lengths: Any
    hs: Any
    others: tuple[Any, ...]
    gates: Any  # None, to have them computed again


class Gradients(NamedTuple):
    """What comes out of the backward pass; ``q`` is the sum of all dq_t, as ``b`` is that of all da_t."""

    xs: Any
    states: Any
    wx: Any
    wh: Any
    b: Any
    q: Any


def plainly(cell: Cell, xs: Any, states: Any, wx: Any, wh: Any, b: Any, lengths: Any) -> Any:
    """(hs, final states), step by step: the reference of every recurrent rule."""
    xs, valid = _time_first(xs, lengths, xs.shape[1])

    def step(states: Any, inputs: Any) -> Any:
        x, valid = inputs
        gates = cell.gates(cell.product.of(x, wx) + b, cell.product.of(states[0], wh))
        after = _where(valid, _typed_like(states, cell.advance(gates, states)), states)
        return after, _where(valid, after[0], 0)

    final, hs = jax.lax.scan(step, states, (xs, valid))
    return hs.swapaxes(0, 1), final


def forward(
    cell: Cell, xs: Any, states: Any, wx: Any, wh: Any, b: Any, lengths: Any, remember: str, block: int | None
) -> tuple[Any, Remembered]:
    """((hs, final states), what to remember)."""
    blocks, valid = in_blocks(xs, lengths, block)
    number, size = blocks.shape[:2]

    def advance(states: Any, a: Any, valid: Any) -> Any:
        gates = cell.gates(a + b, cell.product.of(states[0], wh))  # b joins here, which spares a pass over the block
        after = _where(valid, _typed_like(states, cell.advance(gates, states)), states)
        return after, (_where(valid, after[0], 0), states[1:], gates if remember == "gates" else None)

    def over_block(carry: Any, inputs: Any) -> Any:
        x, valid = inputs

        def step(carry: Any, inputs: Any) -> Any:
            states, every, t = carry
            after, made = advance(states, *inputs)
            return (after, jax.tree.map(lambda all, one: put_at(all, one[None], t), every, made), t + 1), None

        return jax.lax.scan(step, carry, (cell.product.of(x, wx), valid))[0], None

    # What a step makes is written to its place among all steps: as an output of two loops it would be copied once more.
    one = jax.tree.map(lambda a: a[0, 0], (blocks, valid))
    shapes = jax.eval_shape(lambda x, valid: advance(states, cell.product.of(x, wx), valid)[1], *one)
    every = jax.tree.map(lambda a: jnp.zeros_like(states[0], a.dtype, (number * size, *a.shape)), shapes)
    (final, every, _), _ = jax.lax.scan(over_block, (states, every, 0), (blocks, valid))
    hs, others, gates = jax.tree.map(lambda a: a.reshape(number, size, *a.shape[1:]), every)
    hs = _joined(hs, xs.shape[1])
    return (hs, final), Remembered(xs, states[0], wx, wh, b, lengths, hs, others, gates)


def backward(cell: Cell, kept: Remembered, dhs: Any, dstates: Any, block: int | None) -> Gradients:
    """All gradients, from those of hs and of the final states."""
    wx, wh, b = kept.wx, kept.wh, kept.b
    (x, valid), (h, _) = (in_blocks(array, kept.lengths, block) for array in (kept.xs, kept.hs))
    number, size = x.shape[:2]
    first = jnp.concatenate([kept.h0[None], h[:-1, -1]])
    # XLA would turn a kernel around inside the loop, in every step.
    turned_wx, turned_wh = jax.lax.optimization_barrier((cell.product.turned(wx), cell.product.turned(wh)))

    def step(carry: Any, inputs: Any) -> Any:
        dstates, t = carry
        gates, before, valid = inputs
        dh = slice_at(dhs, t, 1, axis=1).squeeze(1)
        dstates = (dstates[0] + _where(valid, dh, 0), *dstates[1:])
        da, dq, dbefore = cell.back(gates, before, dstates)
        da, dq = _where(valid, (da, dq), 0)
        # q = h wh
        dh_before = dbefore[0] + cell.product.to_input(da if dq is None else dq, turned_wh)
        before = _typed_like(dstates, (dh_before, *dbefore[1:]))
        # As one array: XLA would carry dh as the product leaves it, turned, and all kernels of a step would read it so.
        return (jnp.stack(_where(valid, before, dstates)), t - 1), (da, dq)

    def to_weights(x: Any, h: Any, da: Any, dq: Any) -> Any:
        # a = x wx + b      q = h wh
        if dq is None:
            return cell.product.to_weight((x, h), da, wx)
        return jnp.concatenate([cell.product.to_weight((x,), da, wx), cell.product.to_weight((h,), dq, wh)], axis=-2)

    def over_block(carry: Any, inputs: Any) -> Any:
        last, dw, db, dq_sum = carry
        x, valid, first, h, others, gates = inputs
        h = jnp.concatenate([first[None], h[:-1]])
        if gates is None:
            gates = cell.gates(cell.product.of(x, wx) + b, cell.product.of(h, wh))
        last, (da, dq) = jax.lax.scan(step, last, (gates, (h, *others), valid), reverse=True)
        dw = dw + to_weights(x, h, da, dq)
        dq = da if dq is None else dq
        db, dq_sum = db + da.sum(range(da.ndim - 1)), dq_sum + dq.sum(range(dq.ndim - 1))
        return (last, dw, db, dq_sum), cell.product.to_input(da, turned_wx)

    dtype = wide(kept.xs, kept.h0, wx, wh, b)
    nothing = [jnp.zeros_like(a, dtype) for a in (jnp.concatenate([wx, wh], axis=-2), b, b)]
    inputs = (x, valid, first, h, kept.others, kept.gates)
    carry: Any = ((jnp.stack([d.astype(dtype) for d in dstates]), number * size - 1), *nothing)
    ((dstarts, _), dw, db, dq), dx = jax.lax.scan(over_block, carry, inputs, reverse=True)
    dwx, dwh = jnp.split(dw, [wx.shape[-2]], axis=-2)
    return Gradients(_joined(dx, kept.xs.shape[1]), tuple(dstarts), dwx, dwh, db, dq)


def check_recurrence(
    who: str, xs: Any, states: dict[str, Any], wx: Any, wh: Any, b: Any, lengths: Any, gates: int, block: int | None
) -> None:
    """Refuses arguments of a recurrent rule that do not fit together; a kernel before the last axes of wx is spatial.

    Raises:
        InputError: with the name of the argument, what was expected, and what came.
    """
    x_shape, w_shape = jnp.shape(xs), jnp.shape(wx)
    if len(w_shape) < 2 or w_shape[-1] % gates or not w_shape[-1]:
        raise InputError(f"{who} expects wx of shape [..., in, {gates} hidden], got {list(w_shape)}")
    *kernel, inputs, outputs = w_shape
    hidden, axes = outputs // gates, "".join(f", S{i + 1}" for i in range(len(kernel)))
    if len(x_shape) != 3 + len(kernel) or x_shape[-1] != inputs:
        raise InputError(
            f"{who} expects xs of shape [N, T{axes}, {inputs}] for wx of shape {list(w_shape)}, "
            f"got {list(x_shape)}: batch first, then time, features last"
        )
    if x_shape[1] == 0:
        raise InputError(f"{who} expects xs with at least one step, got {list(x_shape)}: empty sequences have length 0")
    state = (x_shape[0], *x_shape[2:-1], hidden)
    expected = {"wh": (*kernel, hidden, outputs), "b": (outputs,)} | dict.fromkeys(states, state)
    for name, array in ({"wh": wh, "b": b} | states).items():
        if jnp.shape(array) != expected[name]:
            raise InputError(
                f"{who} expects {name} of shape {list(expected[name])} for xs of shape {list(x_shape)} and wx of "
                f"shape {list(w_shape)}, got {list(jnp.shape(array))}"
            )
    for array in (xs, wx, wh, b, *states.values()):
        check_floats(who, array)
    chosen = block is not None or kernel  # a convolution has no rows of which some 250 are enough
    if chosen:
        check_count(who, "block", block)
    check_lengths(who, lengths, x_shape[0], x_shape[1], "steps")


def check_remember(who: str, remember: str) -> None:
    """Refuses what is no choice of what to remember."""
    if remember not in ("gates", "states"):
        raise InputError(f'{who} remembers "gates" or "states", got {remember!r}')


def in_blocks(xs: Any, lengths: Any, block: int | None) -> tuple[Any, Any]:
    """Arrays [N, T, ...] as [blocks, size, N, ...], zero where they are padding, and where they are not.

    Example:
        >>> [in_blocks(jnp.zeros((n, 300, 1)), None, None)[0].shape[:2] for n in (0, 1, 32, 4096)]
        [(3, 100), (3, 100), (20, 15), (20, 15)]
    """
    examples, steps = xs.shape[:2]
    if block is None:  # a batch of any size, in an export, is a symbol and no int
        block = max(16, min(128, 256 // max(1, examples))) if isinstance(examples, int) else 16
    largest = min(block, steps)
    size = min(range(largest, largest // 2, -1), key=lambda size: -steps % size)  # the least padding
    xs, valid = _time_first(xs, lengths, steps + -steps % size)
    return jax.tree.map(lambda a: a.reshape(len(a) // size, size, *a.shape[1:]), (xs, valid))


def _time_first(xs: Any, lengths: Any, steps: int) -> tuple[Any, Any]:
    """Arrays [N, T, ...] as [steps, N, ...], zero where they are padding, and where they are not (None: everywhere)."""
    examples, given = xs.shape[:2]
    xs = jnp.pad(xs, [(0, 0), (0, steps - given), *[(0, 0)] * (xs.ndim - 2)]).swapaxes(0, 1)
    if lengths is None and steps == given:
        return xs, None
    valid = jnp.arange(steps)[:, None] < (jnp.full(examples, given) if lengths is None else lengths)
    return _where(valid, xs, 0), valid


def _joined(blocks: Any, steps: int) -> Any:
    """Arrays [blocks, size, N, ...] as [N, T, ...]."""
    number, size, *rest = blocks.shape
    return blocks.reshape(number * size, *rest)[:steps].swapaxes(0, 1)


def _where(valid: Any, yes: Any, no: Any) -> Any:
    """``yes`` in steps that are no padding, elsewhere ``no``: trees, or 0 for all of it."""
    if valid is None:
        return yes
    no = jax.tree.map(jnp.zeros_like, yes) if isinstance(no, int) else no

    def choose(y: Any, n: Any) -> Any:
        return jnp.where(valid.reshape(valid.shape + (1,) * (y.ndim - valid.ndim)), y, n)

    return jax.tree.map(choose, yes, no)


def _typed_like(old: Any, new: Any) -> Any:
    return jax.tree.map(lambda o, n: n.astype(o.dtype), old, new)


def split(gates: Any, number: int) -> Any:
    """So many equal parts of the last axis."""
    return jnp.split(gates, number, axis=-1)


def join(*parts: Any) -> Any:
    """Parts of the last axis as one array."""
    return jnp.concatenate(parts, axis=-1)


def sigmoid(z: Any) -> Any:
    """1 / (1 + exp(-z)) as (1 + tanh(z / 2)) / 2: right to the rounding of one, and in half the time."""
    return 0.5 * jnp.tanh(0.5 * z) + 0.5


def matmul(x: Any, w: Any) -> Any:
    """The product x w, accumulated in float32 or wider, and left so."""
    return jnp.matmul(x, w, preferred_element_type=wide(x, w))


def _rows(x: Any) -> Any:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _to_input(dy: Any, w: Any) -> Any:
    """dx = dy w^T; if dy has fewer rows than dx has features, as (w dy^T)^T.

    XLA's products on a CPU begin by copying their second factor, so it should be the smaller one. Without the
    barrier XLA would write the second form as the first.
    """
    dy, rows = dy.astype(w.dtype), math.prod(dy.shape[:-1])
    if not isinstance(rows, int) or rows >= len(w):
        return matmul(dy, w.T)
    dx = jax.lax.dot_general(w, dy, (((1,), (dy.ndim - 1,)), ((), ())), preferred_element_type=wide(dy, w))
    return jnp.moveaxis(jax.lax.optimization_barrier(dx), 0, -1)


def _to_weight(parts: tuple[Any, ...], dy: Any, w: Any) -> Any:
    """dw = x^T dy. An x that is put together here is turned as well: XLA has a faster product for it then, on a CPU."""
    turned = _rows(join(*parts)).T
    if len(parts) > 1:
        turned = jax.lax.optimization_barrier(turned)
    return matmul(turned, _rows(dy).astype(turned.dtype))


# y = x w: dx = dy w^T, for which w does not have to be turned first, and dw = x^T dy
DENSE = Product(of=matmul, turned=lambda w: w, to_input=_to_input, to_weight=_to_weight)

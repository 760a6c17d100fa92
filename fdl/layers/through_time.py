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
The products on the right, and x wx, are taken over many steps at once, which is faster per number.

Over all steps at once they need a and da for the whole sequence. But a_t is not needed any more once there are the
gates of its step, nor are these once there is da_t, and all three have one shape: each is written where the last one
was,

    forward, before step t:       gates_1 ... gates_{t-1}   a_t ... a_T
    backward, after step t:       gates_1 ... gates_{t-1}   da_t ... da_T

so that a and da take no memory beside that of the gates, which are remembered anyway.

The gates are most of what is, beside hs, which is the output, and the other states before each step. They can be had
again from hs and xs by two products: that is the choice ``remember="states"``. The sequence is then cut into blocks
of at most ``block`` steps, as it is where hs is the only gate. A loop over blocks takes the products, a loop inside it
takes the steps, and a, the gates and da exist for one block at a time. If nobody says how many, it is as many as have
some 250 rows for the products, within 16 and 128.

Sequences of different lengths are padded to T steps. In a step that is padding the state stays as it is, the output
is zero, and no gradient arrives or leaves. Steps beyond T, where the blocks do not divide it, are padding too.

Source: Werbos, "Backpropagation through time: what it does and how to do it" (1990).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.layers.recurrent_products import Product
from fdl.rule import wide
from fdl.slices import put_at, slice_at

Parts = tuple[Any, ...]


class Cell(NamedTuple):
    """One step of a recurrence, as functions of arrays; the first of the states is the output.

    a and q have parts of the size of h, and gates are as many arrays of that size, or more. ``back`` has a gradient in
    the place of each: first those of the parts of a, then what q needs besides. ``of_q`` picks the parts of q among
    them, which are those of a where gates are a function of a + q.

                parts of a     gates           gradients               those of the parts of q
        LSTM    4              i, f, o, g      da_i, da_f, da_o, da_g  the same
        GRU     3              r, u, n, s      da_r, da_u, da_n, ds    da_r, da_u, ds
    """

    gates: Callable[[Any, Any], Parts]  # a, q -> gates
    advance: Callable[[Parts, Parts], Parts]  # gates, states before -> states after
    back: Callable[[Parts, Parts, Parts], tuple[Parts, Parts]]  # gates, states before, ds -> gradients, ds before
    product: Product
    of_q: Callable[..., Parts] = lambda *parts: parts  # gradients -> those of the parts of q


class Remembered(NamedTuple):
    """What the backward pass needs: arguments, hs, the states besides h before each step, and in blocks the gates."""

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
    number, keeps_gates = _number_of_parts(states[0], b), remember == "gates"
    size = xs.shape[1] if keeps_gates and block is None else block_size(xs, block)
    x, valid = in_blocks(xs, lengths, size)
    steps = len(x) * size
    of_state = cell.product.in_steps(states[0], wh, steps)

    def gates_of(a: Any, states: Any) -> Any:
        return cell.gates(a + b, of_state(states[0]))  # b joins here, which spares a pass over the block

    def over_block(carry: Any, inputs: Any) -> Any:
        states, history = carry
        x, valid, start = inputs
        a = cell.product.of(x, wx)
        # What is together comes to where a was; other gates, as s of a GRU, have arrays of their own.
        first, *more = jax.eval_shape(lambda a, states: _together(gates_of(a, states), number), a[0], states)
        gates = (a.astype(first.dtype), *(jnp.zeros_like(a, of.dtype, (size, *of.shape)) for of in more))

        def step(t: Any, carry: Any) -> Any:
            states, history, gates = carry
            gates_t = gates_of(_at(gates[0], t), states)
            is_step = _at(valid, t)
            after = _where(is_step, _typed_like(states, cell.advance(gates_t, states)), states)
            history = _put(history, (_where(is_step, after[0], 0), states[1:]), start + t)
            return after, history, _put(gates, _together(gates_t, number), t) if keeps_gates else gates

        *carry, gates = jax.lax.fori_loop(0, size, step, (states, history, gates))
        return tuple(carry), gates if keeps_gates else None

    # h after each step, the other states before it. What a step makes is written to its place among all steps: as an
    # output of two loops it would be copied once more.
    history = jax.tree.map(lambda state: jnp.zeros_like(state, shape=(steps, *state.shape)), (states[0], states[1:]))
    starts = jnp.arange(0, steps, size)
    (final, (hs, others)), gates = jax.lax.scan(over_block, (states, history), (x, valid, starts))
    hs = hs[: xs.shape[1]].swapaxes(0, 1)
    return (hs, final), Remembered(xs, states[0], wx, wh, b, lengths, hs, others, gates)


def backward(cell: Cell, kept: Remembered, dhs: Any, dstates: Any, block: int | None) -> Gradients:
    """All gradients, from those of hs and of the final states."""
    wx, wh, b, number = kept.wx, kept.wh, kept.b, _number_of_parts(kept.h0, kept.b)
    size = block_size(kept.xs, block) if kept.gates is None else kept.gates[0].shape[1]
    (x, valid), (h, _) = (in_blocks(array, kept.lengths, size) for array in (kept.xs, kept.hs))
    h_starts = jnp.concatenate([kept.h0[None], h[:-1, -1]])  # before the first step of each block
    # XLA would turn a kernel around inside the loop, in every step.
    turned_wx, turned_wh = jax.lax.optimization_barrier((cell.product.turned(wx), cell.product.turned(wh)))

    def over_block(carry: Any, inputs: Any) -> Any:
        dstates, dwx, dwh, db, dq_sum = carry
        x, valid, h_start, h, gates, start = inputs
        h_before = jnp.concatenate([h_start[None], h[:-1]])
        if gates is None:
            gates = _together(cell.gates(cell.product.of(x, wx) + b, cell.product.of(h_before, wh)), number)

        def step(i: Any, carry: Any) -> Any:
            dstates, d, gates_t = carry
            t = size - 1 - i
            is_step = _at(valid, t)
            before = _at(h_before, t), *(_at(other, start + t) for other in kept.others)
            dh = slice_at(dhs, start + t, 1, axis=1).squeeze(1)
            dstates = (dstates[0] + _where(is_step, dh, 0), *dstates[1:])
            d_t, dbefore = cell.back(_apart(gates_t, number), before, dstates)
            d_t = _where(is_step, d_t, 0)
            # q = h wh
            dh_before = dbefore[0] + cell.product.to_input(join(*cell.of_q(*d_t)), turned_wh)
            dbefore = _typed_like(dstates, (dh_before, *dbefore[1:]))
            # The next gates are read after this step has written: before, XLA would copy all of them in every step.
            d = _put(d, _together(d_t, number), t)
            gates_t = _at(d, jnp.maximum(t - 1, 0))
            # As one array: XLA would carry dh as the product leaves it, turned, and all kernels would read it so.
            return jnp.stack(_where(is_step, dbefore, dstates)), d, gates_t

        last = jax.tree.map(lambda a: a[-1], gates)
        # d begins as the gates, and step by step da takes their places.
        dstates, d, _ = jax.lax.fori_loop(0, size, step, (dstates, gates, last))
        da, dq = d[0], join(*cell.of_q(*_apart(d, number)))
        # a = x wx + b      q = h wh
        dwx, dwh = dwx + cell.product.to_weight(x, da, wx), dwh + cell.product.to_weight(h_before, dq, wh)
        db, dq_sum = db + da.sum(range(da.ndim - 1)), dq_sum + dq.sum(range(dq.ndim - 1))
        return (dstates, dwx, dwh, db, dq_sum), cell.product.to_input(da, turned_wx)

    dtype = wide(kept.xs, kept.h0, wx, wh, b)
    nothing = [jnp.zeros_like(a, dtype) for a in (wx, wh, b, b)]
    inputs = (x, valid, h_starts, h, kept.gates, jnp.arange(0, len(x) * size, size))
    carry = (jnp.stack([d.astype(dtype) for d in dstates]), *nothing)
    (dstarts, dwx, dwh, db, dq), dx = jax.lax.scan(over_block, carry, inputs, reverse=True)
    dx = dx.reshape(len(x) * size, *dx.shape[2:])[: kept.xs.shape[1]].swapaxes(0, 1)
    return Gradients(dx, tuple(dstarts), dwx, dwh, db, dq)


def _number_of_parts(h: Any, b: Any) -> int:
    """How many parts a has: as many numbers for each of h."""
    return b.shape[-1] // h.shape[-1]


def _together(parts: Parts, number: int) -> Parts:
    """So many parts as one array, of the shape of a, and what there is besides: of a GRU's r, u, n, s [r u n] and s."""
    return join(*parts[:number]), *parts[number:]


def _apart(arrays: Parts, number: int) -> Parts:
    return *split(arrays[0], number), *arrays[1:]


def _at(arrays: Any, t: Any) -> Any:
    """What arrays of all steps have for one of them."""
    return jax.tree.map(lambda array: slice_at(array, t, 1)[0], arrays)


def _put(arrays: Any, one: Any, t: Any) -> Any:
    """Arrays of all steps, with what one of them made in its place."""
    return jax.tree.map(lambda array, one: put_at(array, one[None].astype(array.dtype), t), arrays, one)


def one_state(h0: jax.Array, xs: jax.Array, wx: jax.Array) -> tuple[jax.Array]:
    """What a recurrence begins with whose only state is h, in the dtype of its steps."""
    return (h0.astype(jnp.result_type(xs, wx)),)


def what_output_does_not_tell(xs: Any, wx: Any, wh: Any, b: Any) -> str:
    """What is to be remembered of a recurrence whose only gate is its output: nothing, unless that is rounded."""
    return "states" if jnp.result_type(xs, wx) == wide(xs, wx, wh, b) else "gates"


def block_size(xs: Any, block: int | None) -> int:
    """How many steps of xs [N, T, ...] are one block: at most ``block``, and so many that there is the least padding.

    Example:
        >>> [block_size(jnp.zeros((n, 300, 1)), None) for n in (0, 1, 32, 4096)]
        [100, 100, 15, 15]
    """
    examples, steps = xs.shape[:2]
    if block is None:  # a batch of any size, in an export, is a symbol and no int
        block = max(16, min(128, 256 // max(1, examples))) if isinstance(examples, int) else 16
    largest = min(block, steps)
    return min(range(largest, largest // 2, -1), key=lambda size: -steps % size)


def in_blocks(xs: Any, lengths: Any, size: int) -> tuple[Any, Any]:
    """Arrays [N, T, ...] as [blocks, size, N, ...], zero where they are padding, and where they are not.

    Example:
        >>> in_blocks(jnp.zeros((4, 300, 1)), None, 50)[0].shape
        (6, 50, 4, 1)
    """
    steps = xs.shape[1]
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

"""Cases of the recurrent layers."""

import itertools

import numpy as np

from fdl.layers import conv_lstm, gru, lstm, reverse_sequences, rnn
from tests.proof.case import Case


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def rnn_step(a, q, h, activation):
    z = a + q
    return (np.tanh(z) if activation == "tanh" else z * (z > 0),)


def lstm_step(a, q, h, c):
    i, f, o, g = np.split(a + q, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(a, q, h, bh):
    (a_r, a_u, a_n), (q_r, q_u, q_n) = np.split(a, 3, axis=-1), np.split(q, 3, axis=-1)
    keep = sigmoid(a_u + q_u)
    candidate = np.tanh(a_n + sigmoid(a_r + q_r) * (q_n + bh))
    return (keep * h + (1 - keep) * candidate,)


def convolution(x, w):
    """One example, one output position at a time."""
    *kernel, _, outputs = w.shape
    y = np.zeros((*x.shape[:-1], outputs))
    for position in np.ndindex(*x.shape[:-1]):
        for tap in itertools.product(*map(range, kernel)):
            seen = [p + t - (k - 1) // 2 for p, t, k in zip(position, tap, kernel, strict=True)]
            if all(0 <= s < size for s, size in zip(seen, x.shape, strict=False)):
                y[position] += x[tuple(seen)] @ w[tap]
    return y


def one_by_one(step, xs, starts, wx, wh, b, lengths, product=np.matmul):
    """Each sequence by itself, as long as it is."""
    hs, finals = np.zeros((*xs.shape[:-1], starts[0].shape[-1])), [s.copy() for s in starts]
    for n in range(len(xs)):
        state = tuple(s[n] for s in starts)
        for t in range(xs.shape[1] if lengths is None else lengths[n]):
            state = step(product(xs[n, t], wx) + b, product(state[0], wh), *state)
            hs[n, t] = state[0]
        for final, s in zip(finals, state, strict=True):
            final[n] = s
    return hs, finals


def rnn_formula(xs, h0, wx, wh, b, lengths=None, activation="tanh", block=16):
    hs, (h,) = one_by_one(lambda *args: rnn_step(*args, activation), xs, (h0,), wx, wh, b, lengths)
    return hs, h


def lstm_formula(xs, h0, c0, wx, wh, b, lengths=None, remember="gates", block=16):
    hs, (h, c) = one_by_one(lstm_step, xs, (h0, c0), wx, wh, b, lengths)
    return hs, (h, c)


def gru_formula(xs, h0, wx, wh, b, bh=0.0, lengths=None, remember="gates", block=16):
    bh = 0.0 if bh is None else bh
    hs, (h,) = one_by_one(lambda *args: gru_step(*args, bh), xs, (h0,), wx, wh, b, lengths)
    return hs, h


def conv_lstm_formula(xs, h0, c0, wx, wh, b, lengths=None, remember="gates", block=16):
    hs, (h, c) = one_by_one(lstm_step, xs, (h0, c0), wx, wh, b, lengths, convolution)
    return hs, (h, c)


def reverse_formula(xs, lengths=None):
    ys = xs.copy()
    for n in range(len(xs)):
        end = xs.shape[1] if lengths is None else lengths[n]
        ys[n, :end] = xs[n, :end][::-1]
    return ys


def ends(n, steps):
    """All lengths there are, from the longest on, 0, 1, 2 and so on."""
    return (steps + np.arange(n)) % (steps + 1)


def arguments(steps, inputs, hidden, gates, *, states=("h0",), lengths=False, spatial=(), kernel=(), more=()):
    """With lengths, what stands in the padding is NaN."""

    def make(rng, n):
        xs = rng.normal(size=(n, steps, *spatial, inputs))
        if lengths:
            xs[np.arange(steps) >= ends(n, steps)[:, None]] = np.nan
        return {
            "xs": xs,
            **{name: rng.normal(size=(n, *spatial, hidden)) for name in states},
            "wx": rng.normal(size=(*kernel, inputs, gates * hidden)),
            "wh": rng.normal(size=(*kernel, hidden, gates * hidden)),
            "b": rng.normal(size=gates * hidden),
            **{name: rng.normal(size=hidden) for name in more},
            "lengths": ends(n, steps) if lengths else None,
        }

    return make


def case(name, rule, formula, arguments, *remembers, **choices):
    batched = ("xs", "h0", "c0", "lengths")
    return Case(name, rule, arguments, formula, choices, batched, tuple(f"float32[{shape}]" for shape in remembers))


def reversed_arguments(*shape, lengths):
    return lambda rng, n: {"xs": rng.normal(size=(n, *shape)), "lengths": ends(n, shape[0]) if lengths else None}


def at_kink(rng, n):
    """What goes into the ReLU is zero."""
    return {**arguments(2, 1, 1, gates=1)(rng, n), "xs": np.zeros((n, 2, 1)), "h0": np.zeros((n, 1)), "b": np.zeros(1)}


CELL = {"gates": 4, "states": ("h0", "c0")}
LINE, IMAGE = {"spatial": (3,), "kernel": (2,)}, {"spatial": (3, 2), "kernel": (3, 2)}
AGAIN = {"remember": "states", "block": 2}

CASES = [
    case("lengths", rnn, rnn_formula, arguments(3, 2, 2, gates=1, lengths=True), "5,3,2", block=2),
    case("relu", rnn, rnn_formula, arguments(4, 2, 3, gates=1), "5,4,3", block=2, activation="relu"),
    Case("kink", rnn, at_kink, rnn_formula, {"activation": "relu"}, remembers=("float32[5,2,1]",), smooth=False),
    # So many steps, with fewer rows than features, that wh is turned once for all of them.
    case("many steps", rnn, rnn_formula, arguments(32, 1, 6, gates=1), "5,32,6"),
    case("one step", rnn, rnn_formula, arguments(1, 5, 3, gates=1), "5,1,3"),
    case(
        *("lengths", lstm, lstm_formula, arguments(3, 2, 2, **CELL, lengths=True)),
        *("5,3,2", "3,5,2", "1,3,5,8"),
    ),
    case("states", lstm, lstm_formula, arguments(4, 2, 3, **CELL), "5,4,3", "4,5,3", **AGAIN),
    case("one step", lstm, lstm_formula, arguments(1, 1, 3, **CELL), "5,1,3", "1,5,3", "1,1,5,12"),
    # Fewer rows than features, in a step and in a block.
    case("wide", lstm, lstm_formula, arguments(3, 11, 6, **CELL), "5,3,6", "4,5,6", "2,2,5,24", block=2),
    case(
        *("lengths", gru, gru_formula, arguments(3, 2, 3, gates=3, lengths=True, more=("bh",))),
        *("5,3,3", "1,3,5,9", "1,3,5,3"),
    ),
    case("blocks", gru, gru_formula, arguments(3, 2, 1, gates=3), "5,3,1", "2,2,5,3", "2,2,5,1", block=2),
    case("states", gru, gru_formula, arguments(4, 3, 2, gates=3), "5,4,2", **AGAIN),
    case("one step", gru, gru_formula, arguments(1, 1, 3, gates=3), "5,1,3", "1,1,5,9", "1,1,5,3"),
    case(
        *("lengths", conv_lstm, conv_lstm_formula, arguments(2, 1, 2, **CELL, **LINE, lengths=True)),
        *("5,2,3,2", "2,5,3,2", "1,2,5,3,8"),
    ),
    case(
        *("states", conv_lstm, conv_lstm_formula, arguments(3, 2, 1, **CELL, **IMAGE)),
        *("5,3,3,2,1", "4,5,3,2,1"),
        **AGAIN,
    ),
    case("lengths", reverse_sequences, reverse_formula, reversed_arguments(3, 2, 1, lengths=True)),
    case("all", reverse_sequences, reverse_formula, reversed_arguments(4, lengths=False)),
]

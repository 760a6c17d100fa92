"""Schedules against their formulas, in Python's own arithmetic."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl import optim


def warmup_cosine(t):
    return 0.1 + 0.9 * t / 4 if t < 4 else 0.2 + 0.8 * (1 + math.cos(math.pi * min((t - 4) / 8, 1))) / 2


def one_cycle(t):
    def between(a, b, share):
        return b + (a - b) * (1 + math.cos(math.pi * min(share, 1))) / 2

    return between(0.2, 2, t / 3) if t < 3 else between(2, 0.002, (t - 3) / 7)


SCHEDULES = {
    "constant": (optim.constant(0.3), lambda t: 0.3),
    "inverse_time": (optim.inverse_time(0.3, 0.1), lambda t: 0.3 / (1 + 0.1 * t)),
    "step": (optim.step(0.3, 0.5, 3), lambda t: 0.3 * 0.5 ** (t // 3)),
    "exponential": (optim.exponential(0.3, 0.1), lambda t: 0.3 * math.exp(-0.1 * t)),
    "inverse_sqrt": (optim.inverse_sqrt(0.3), lambda t: 0.3 / math.sqrt(t + 1)),
    "piecewise": (optim.piecewise([1, 2, 3], [4, 7]), lambda t: 1 + (t >= 4) + (t >= 7)),
    "cosine": (optim.cosine(1, 8, 0.2), lambda t: 0.2 + 0.8 * (1 + math.cos(math.pi * min(t / 8, 1))) / 2),
    "warmup": (optim.warmup(optim.exponential(1, 0.1), 5), lambda t: min(1, (t + 1) / 5) * math.exp(-0.1 * t)),
    "warmup_cosine": (optim.warmup_cosine(1, 4, 12, 0.1, 0.2), warmup_cosine),
    "no warmup": (optim.warmup_cosine(1, 0, 8), lambda t: (1 + math.cos(math.pi * min(t / 8, 1))) / 2),
    "one_cycle": (optim.one_cycle(2, 10, start_factor=10, final_factor=100), one_cycle),
    "noam": (optim.noam(64, 5, 2.0), lambda t: 2 * 64**-0.5 * min((t + 1) ** -0.5, (t + 1) * 5**-1.5)),
    "by_epoch": (optim.by_epoch(optim.inverse_time(1, 1), 4), lambda t: 1 / (1 + t // 4)),
}


@pytest.mark.parametrize(("schedule", "formula"), SCHEDULES.values(), ids=SCHEDULES)
def test_is_its_formula(schedule, formula):
    steps = range(15)
    with jax.enable_x64(True):
        expected = [formula(t) for t in steps]
        np.testing.assert_allclose(schedule(jnp.arange(15, dtype=jnp.int32)), expected, rtol=1e-12, atol=1e-15)
    for one in (schedule(7), jax.jit(schedule)(jnp.int32(7))):
        assert (one.shape, one.dtype) == ((), jnp.float32)
        assert one == pytest.approx(formula(7), rel=1e-5)
    assert np.isfinite(schedule(jnp.int32(2**31 - 1)))


def test_peaks_are_where_they_are_said_to_be():
    assert optim.noam(512, 100)(jnp.arange(300)).argmax() == 99
    assert optim.one_cycle(1.0, 100)(jnp.arange(100)).argmax() == 30
    assert optim.warmup_cosine(1.0, 10, 100)(jnp.arange(100)).argmax() == 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.constant(float("nan")), "constant needs a finite value, got nan"),
        (lambda: optim.inverse_time(math.inf, 1), "inverse_time needs a finite initial, got inf"),
        (lambda: optim.inverse_time(0.1, -1), "inverse_time needs a finite decay that is not negative, got -1"),
        (lambda: optim.step(0.1, 0.0, 3), "step needs a finite factor that is positive"),
        (lambda: optim.step(0.1, 0.5, 0), "step needs every as a whole number of at least 1, got 0"),
        (lambda: optim.exponential(0.1, -1), "exponential needs a finite decay"),
        (lambda: optim.inverse_sqrt("a"), "inverse_sqrt needs initial as a number"),
        (lambda: optim.piecewise([1, 2], [3, 4]), "one value more than boundaries, got 2 values and 2"),
        (lambda: optim.piecewise([1, 2, 3], [4, 4]), r"boundaries that increase, got \[4, 4\]"),
        (lambda: optim.piecewise([1, 2, 3], [0.5, 0.75]), "piecewise needs boundaries as a whole number .*, got 0.5"),
        (lambda: optim.piecewise([1, 2], [-3]), "got -3"),
        (lambda: optim.piecewise([1, float("inf")], [4]), "piecewise needs a finite values"),
        (lambda: optim.cosine(1.0, 0), "cosine needs steps"),
        (lambda: optim.warmup(0.1, 10), "warmup expects a schedule, a function of the step, got 0.1"),
        (
            lambda: optim.warmup_cosine(1.0, 10, 10),
            "warmup_cosine needs steps as a whole number of at least 11",
        ),
        (lambda: optim.warmup_cosine(1.0, 4, 12, final=math.nan), "warmup_cosine needs a finite final, got nan"),
        (lambda: optim.one_cycle(1.0, 10, rise=1.0), "one_cycle needs rise between 0 and 1, got 1.0"),
        (lambda: optim.one_cycle(1.0, 10, start_factor=0), "one_cycle needs a finite start_factor that is positive"),
        (lambda: optim.noam(0, 10), "noam needs dim"),
        (lambda: optim.by_epoch(optim.constant(1.0), 0), "by_epoch needs steps_per_epoch"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(fdl.InputError, match=message):
        make()

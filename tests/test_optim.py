"""Each update rule against the recurrence of its paper, written in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.optim import adam, apply_updates, momentum, sgd


def sgd_recurrence(w, gradients, lr=0.1):
    for g in gradients:
        w = w - lr * g
    return w


def momentum_recurrence(w, gradients, lr=0.1, m=0.8):
    v = 0
    for g in gradients:
        v = m * v - lr * g
        w = w + v
    return w


def adam_recurrence(w, gradients, lr=0.1, b1=0.8, b2=0.95, eps=1e-3):
    m = v = 0
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        w = w - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return w


OPTIMIZERS = {
    "sgd": (sgd(0.1), sgd_recurrence),
    "momentum": (momentum(0.1, 0.8), momentum_recurrence),
    "adam": (adam(0.1, 0.8, 0.95, 1e-3), adam_recurrence),
}
every_optimizer = pytest.mark.parametrize(("opt", "recurrence"), OPTIMIZERS.values(), ids=OPTIMIZERS)


def run(opt, params, gradients):
    def step(carry, grads):
        params, opt_state = carry
        updates, opt_state = opt.update(grads, opt_state, params)
        return (apply_updates(params, updates), opt_state), None

    return jax.jit(lambda params: jax.lax.scan(step, (params, opt.init(params)), gradients)[0])(params)


@every_optimizer
def test_hundred_steps_in_float64(opt, recurrence):
    rng = np.random.default_rng(0)
    w, gradients = rng.normal(size=(3, 2)), rng.normal(size=(100, 3, 2))
    with jax.enable_x64(True):
        params, _ = run(opt, {"w": jnp.asarray(w)}, {"w": jnp.asarray(gradients)})
        np.testing.assert_allclose(params["w"], recurrence(w, gradients), rtol=1e-12)


@every_optimizer
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_types_are_stable_and_averages_wide(opt, recurrence, dtype):
    params = {"w": jnp.ones(3, dtype), "b": jnp.zeros((), dtype)}
    opt_state = opt.init(params)
    updates, new_state = opt.update(params, opt_state, params)
    assert jax.tree.map(jnp.result_type, new_state) == jax.tree.map(jnp.result_type, opt_state)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(opt_state)} <= {"float32", "int32"}
    assert jax.tree.map(jnp.result_type, apply_updates(params, updates)) == jax.tree.map(jnp.result_type, params)


@every_optimizer
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_zero_gradients_change_nothing(opt, recurrence, dtype):
    params, _ = run(opt, jnp.ones(3, dtype), jnp.zeros((5, 3), dtype))
    assert (params == 1).all()


def test_the_first_steps_of_adam_are_exact_in_float32():
    """1 - b2^t keeps its digits: the first step is the learning rate, whatever the gradient."""
    updates, _ = adam(1.0, eps=1e-12).update(jnp.float32(7.0), adam().init(jnp.float32(0.0)))
    assert updates == pytest.approx(-1, abs=2e-7)


def test_extra_arguments_are_allowed():
    for opt, _ in OPTIMIZERS.values():
        opt.update(jnp.ones(2), opt.init(jnp.ones(2)), jnp.ones(2), value=1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sgd(-0.1), "sgd needs a finite learning_rate that is not negative, got -0.1"),
        (lambda: sgd(float("nan")), "got nan"),
        (lambda: momentum(float("inf")), "got inf"),
        (lambda: momentum(0.1, decay=1.0), r"momentum needs decay in \[0, 1\), got 1.0"),
        (lambda: adam(-1e-3), "adam needs a finite learning_rate"),
        (lambda: adam(b1=-0.1), r"adam needs b1 in \[0, 1\), got -0.1"),
        (lambda: adam(b2=float("nan")), r"adam needs b2 in \[0, 1\), got nan"),
        (lambda: adam(eps=-1.0), "adam needs a finite eps"),
    ],
)
def test_bad_hyperparameters_are_named(make, message):
    with pytest.raises(fdl.InputError, match=message):
        make()


def test_a_learning_rate_may_be_traced():
    final = jax.vmap(lambda lr: run(sgd(lr), jnp.ones(()), jnp.ones(3))[0])(jnp.array([0.0, 0.1]))
    assert final.tolist() == pytest.approx([1.0, 0.7])

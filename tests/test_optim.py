"""Each update rule against the recurrence of its paper, written in NumPy, and what is promised of all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl import optim
from fdl.optim import apply_updates
from fdl.optim.muon import orthogonalized
from fdl.optim.trees import all_finite
from fdl.paths import is_weight


def length(a):
    return np.sqrt(np.sum(a**2))


def sgd(w, gradients, lr=0.1):
    for g in gradients:
        w = w - lr * g
    return w


def momentum(w, gradients, lr=0.1, m=0.8):
    v = 0
    for g in gradients:
        v = m * v - lr * g
        w = w + v
    return w


def momentum_with_schedules(w, gradients):
    v = 0
    for t, g in enumerate(gradients):
        v = (0.5 + 0.4 * t / 100) * v - 0.1 / (1 + 0.05 * t) * g
        w = w + v
    return w


def nesterov(w, gradients, lr=0.1, decay=lambda t: 0.8):
    """Sutskever's w and v; what the optimizer holds is the point where the next gradient is taken."""
    v = 0
    for t, g in enumerate(gradients):
        v = decay(t) * v - lr * g
        w = w + v
    return w + decay(len(gradients)) * v


def adagrad(w, gradients, lr=0.1, eps=1e-3):
    total = 0
    for g in gradients:
        total = total + g**2
        w = w - lr * g / (np.sqrt(total) + eps)
    return w


def adadelta(w, gradients, lr=0.5, rho=0.9, eps=1e-3):
    square = step_square = 0
    for g in gradients:
        square = rho * square + (1 - rho) * g**2
        step = -np.sqrt(step_square + eps) / np.sqrt(square + eps) * g
        step_square = rho * step_square + (1 - rho) * step**2
        w = w + lr * step
    return w


def rmsprop(w, gradients, lr=0.1, rho=0.8, eps=1e-3, centred=False):
    square = mean = 0
    for g in gradients:
        square = rho * square + (1 - rho) * g**2
        mean = rho * mean + (1 - rho) * g
        w = w - lr * g / (np.sqrt(square - mean**2 if centred else square) + eps)
    return w


def adam_steps(gradients, b1=0.8, b2=0.95):
    m = v = 0
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        yield m / (1 - b1**t), v / (1 - b2**t), t, g, m, v


def adam(w, gradients, lr=0.1, eps=1e-3, weight_decay=0.0):
    for mean, square, *_ in adam_steps(gradients):
        w = w - lr * (mean / (np.sqrt(square) + eps) + weight_decay * w)
    return w


def amsgrad(w, gradients, lr=0.1, eps=1e-3, b2=0.95):
    largest = 0
    for mean, _, t, _, _, v in adam_steps(gradients):
        largest = np.maximum(largest, v)
        w = w - lr * mean / (np.sqrt(largest / (1 - b2**t)) + eps)
    return w


def nadam(w, gradients, lr=0.1, eps=1e-3, b2=0.95, b1=lambda t: 0.8):
    """Dozat's products of b1 by step t = 1, 2, ..., in which b1 may differ from step to step."""
    m, v, product = 0, 0, 1.0
    for t, g in enumerate(gradients, 1):
        m = b1(t) * m + (1 - b1(t)) * g
        v = b2 * v + (1 - b2) * g**2
        product = product * b1(t)
        mean = b1(t + 1) * m / (1 - product * b1(t + 1)) + (1 - b1(t)) * g / (1 - product)
        w = w - lr * mean / (np.sqrt(v / (1 - b2**t)) + eps)
    return w


def adamax(w, gradients, lr=0.1, b1=0.8, b2=0.95, eps=1e-3):
    m = u = 0
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        u = np.maximum(b2 * u, np.abs(g))
        w = w - lr / (1 - b1**t) * m / (u + eps)
    return w


def lion(w, gradients, lr=0.1, b1=0.8, b2=0.95, weight_decay=0.3):
    m = 0
    for g in gradients:
        w = w - lr * (np.sign(b1 * m + (1 - b1) * g) + weight_decay * w)
        m = b2 * m + (1 - b2) * g
    return w


def muon(w, gradients, lr=0.1, m=0.8, weight_decay=0.3):
    """The polynomial of the singular values, by a singular value decomposition."""
    if w.ndim < 2:
        return sgd(w, gradients)
    v = 0
    for g in gradients:
        v = m * v + g
        left, s, right = np.linalg.svd(g + m * v, full_matrices=False)
        s = s / length(s)
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        w = w - lr * (max(1, w.shape[1] / w.shape[0]) ** 0.5 * (left * s) @ right + weight_decay * w)
    return w


def lars(w, gradients, lr=2.0, m=0.8, weight_decay=0.3, trust=0.01):
    v = 0
    for g in gradients:
        rate = lr * trust * length(w) / (length(g) + weight_decay * length(w))
        v = m * v - rate * (g + weight_decay * w)
        w = w + v
    return w


def lamb(w, gradients, lr=0.1, eps=1e-3, weight_decay=0.3):
    for mean, square, *_ in adam_steps(gradients):
        u = mean / (np.sqrt(square) + eps) + weight_decay * w
        w = w - lr * length(w) / length(u) * u
    return w


ADAM = (0.1, 0.8, 0.95, 1e-3)
OPTIMIZERS = {
    "sgd": (optim.sgd(0.1), sgd),
    "momentum": (optim.momentum(0.1, 0.8), momentum),
    "momentum with schedules": (
        optim.momentum(optim.inverse_time(0.1, 0.05), decay=lambda t: 0.5 + 0.4 * t / 100),
        momentum_with_schedules,
    ),
    "nesterov": (optim.nesterov(0.1, 0.8), nesterov),
    "nesterov with a schedule": (
        optim.nesterov(0.1, lambda t: 0.9 - 0.5 / (t + 1)),
        lambda w, gradients: nesterov(w, gradients, decay=lambda t: 0.9 - 0.5 / (t + 1)),
    ),
    "adagrad": (optim.adagrad(0.1, 1e-3), adagrad),
    "adadelta": (optim.adadelta(0.5, 0.9, 1e-3), adadelta),
    "rmsprop": (optim.rmsprop(0.1, 0.8, 1e-3), rmsprop),
    "centred rmsprop": (
        optim.rmsprop(0.1, 0.8, 1e-3, centred=True),
        lambda w, gradients: rmsprop(w, gradients, centred=True),
    ),
    "adam": (optim.adam(*ADAM), adam),
    "adamw": (optim.adamw(*ADAM, 0.3), lambda w, gradients: adam(w, gradients, weight_decay=0.3)),
    "adamw on weights only": (
        optim.adamw(*ADAM, 0.3, keep=is_weight),
        lambda w, gradients: adam(w, gradients, weight_decay=0.3 if w.ndim == 2 else 0),
    ),
    "amsgrad": (optim.amsgrad(*ADAM), amsgrad),
    "nadam": (optim.nadam(*ADAM), nadam),
    "nadam with a schedule": (
        optim.nadam(0.1, lambda t: 0.8 * (1 - 0.5 * 0.96 ** (t + 1)), 0.95, 1e-3),
        lambda w, gradients: nadam(w, gradients, b1=lambda t: 0.8 * (1 - 0.5 * 0.96**t)),
    ),
    "adamax": (optim.adamax(*ADAM), adamax),
    "lion": (optim.lion(0.1, 0.8, 0.95, 0.3), lion),
    "lion without decay": (optim.lion(0.1, 0.8, 0.95), lambda w, gradients: lion(w, gradients, weight_decay=0)),
    "muon": (optim.muon(0.1, 0.8, 0.3, fallback=optim.sgd(0.1)), muon),
    "lars": (optim.lars(2.0, 0.8, 0.3, 0.01), lars),
    "lars on weights only": (
        optim.lars(2.0, 0.8, 0.3, 0.01, keep=is_weight),
        lambda w, gradients: lars(w, gradients) if w.ndim == 2 else momentum(w, gradients, lr=2.0),
    ),
    "lamb": (optim.lamb(*ADAM, 0.3), lamb),
    "lamb on weights only": (
        optim.lamb(*ADAM, 0.3, keep=is_weight),
        lambda w, gradients: lamb(w, gradients) if w.ndim == 2 else adam(w, gradients),
    ),
}
every_optimizer = pytest.mark.parametrize(("opt", "recurrence"), OPTIMIZERS.values(), ids=OPTIMIZERS)

LOSS = jnp.float32(0.5)
AROUND = {
    "chain": optim.chain(optim.clip_by_global_norm(1.0), optim.add_l2(0.1), optim.adam(), optim.max_norm(3.0)),
    "clip_by_value": optim.clip_by_value(0.1),
    "decoupled": optim.chain(optim.sgd(0.1), optim.add_decoupled_weight_decay(optim.step(0.1, 0.5, 10), is_weight)),
    "mask": optim.mask(optim.adam(), "w"),
    "partition": optim.partition(optim.adam(), weights=("w", optim.momentum(0.1))),
    "freeze": optim.freeze(optim.adam(), "b"),
    "accumulate": optim.accumulate(optim.adam(), 2),
    "ema": optim.chain(optim.adam(), optim.ema(0.9)),
    "average": optim.chain(optim.adam(), optim.average(1, 2)),
    "skip_nonfinite": optim.skip_nonfinite(optim.adam()),
    "scale_loss": optim.scale_loss(optim.adam()),
    "reduce_on_plateau": optim.chain(optim.adam(), optim.reduce_on_plateau(every=2)),
    "float32_masters": optim.float32_masters(optim.adam()),
    "stochastic_rounding": optim.stochastic_rounding(optim.adam()),
    "bfloat16_memory": optim.bfloat16_memory(optim.adam()),
}
EVERY = {name: opt for name, (opt, _) in OPTIMIZERS.items()} | AROUND
every = pytest.mark.parametrize("opt", EVERY.values(), ids=EVERY)
OFTEN, RARE = (jnp.bfloat16, jnp.float32), (jnp.float16, jnp.float64)
dtypes = pytest.mark.parametrize("dtype", [*OFTEN, *(pytest.param(dtype, marks=pytest.mark.slow) for dtype in RARE)])


def step(opt, params, opt_state, grads):
    updates, opt_state = opt.update(grads, opt_state, params, value=LOSS)
    return apply_updates(params, updates), opt_state


def run(opt, params, gradients):
    def body(carry, grads):
        return step(opt, *carry, grads), None

    return jax.jit(lambda params: jax.lax.scan(body, (params, opt.init(params)), gradients)[0])(params)


def types(tree):
    return jax.tree.map(lambda a: (jnp.shape(a), jnp.result_type(a), jax.typeof(a).weak_type), tree)


@every_optimizer
def test_hundred_steps_in_float64(opt, recurrence):
    rng = np.random.default_rng(0)
    w = {"w": rng.normal(size=(3, 5)), "b": rng.normal(size=5)}
    gradients = {name: rng.normal(size=(100, *a.shape)) for name, a in w.items()}
    with jax.enable_x64(True):
        params, _ = run(opt, jax.tree.map(jnp.asarray, w), jax.tree.map(jnp.asarray, gradients))
        for name in w:
            np.testing.assert_allclose(params[name], recurrence(w[name], gradients[name]), rtol=1e-12, atol=1e-13)


@every
@dtypes
def test_steps_keep_types(opt, dtype):
    """Under jit, with donated buffers, as a branch of lax.cond, without a second compilation."""
    with jax.enable_x64(dtype == jnp.float64):
        params = {"w": jnp.ones((3, 2), dtype), "b": jnp.zeros((), dtype)}
        opt_state = jax.tree.map(jnp.copy, opt.init(params))
        before = types((params, opt_state))
        traces = []

        def maybe(params, opt_state, grads):
            traces.append(grads)
            return jax.lax.cond(True, lambda *now: step(opt, *now, grads), lambda *now: now, params, opt_state)

        jitted = jax.jit(maybe, donate_argnums=(0, 1))
        for _ in range(3):
            params, opt_state = jitted(params, opt_state, {"w": jnp.ones((3, 2), dtype), "b": jnp.ones((), dtype)})
            assert types((params, opt_state)) == before
        assert len(traces) == 1


@every
def test_steps_take_over_all_buffers(opt):
    params = {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}
    given = (params, jax.tree.map(jnp.copy, opt.init(params)))
    grads = jax.tree.map(jnp.copy, params)
    jax.jit(lambda *args: step(opt, *args), donate_argnums=(0, 1))(*given, grads)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))


@every_optimizer
@dtypes
def test_memory_is_wide(opt, recurrence, dtype):
    with jax.enable_x64(dtype == jnp.float64):
        opt_state = opt.init({"w": jnp.ones((3, 2), dtype)})
        wide = "float64" if dtype == jnp.float64 else "float32"
        assert {leaf.dtype.name for leaf in jax.tree.leaves(opt_state)} <= {wide, "int32"}


@every
@dtypes
def test_zero_gradients_give_no_nan(opt, dtype):
    with jax.enable_x64(dtype == jnp.float64):
        params = {"w": jnp.ones((3, 2), dtype), "b": jnp.zeros(2, dtype)}
        gradients = jax.tree.map(lambda w: jnp.zeros((3, *w.shape), dtype), params)
        params, opt_state = run(opt, params, gradients)
        assert all_finite(params)
        assert all_finite([leaf for leaf in jax.tree.leaves(opt_state) if leaf.ndim > 0])


@every_optimizer
def test_zero_gradients_move_nothing_but_by_decay(opt, recurrence):
    params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
    moved, opt_state = run(opt, params, jax.tree.map(lambda w: jnp.zeros((3, *w.shape)), params))
    decay = any(value > 0 for name, value in optim.hyperparameters(opt_state).items() if "weight_decay" in name)
    assert (moved["w"] < 1).all() if decay else (moved["w"] == 1).all()
    assert (moved["b"] == 0).all()


def test_the_first_steps_of_adam_are_exact_in_float32():
    """The averages of ones keep their digits: the first step is the learning rate, whatever the gradient."""
    updates, _ = optim.adam(1.0, eps=1e-12).update(jnp.float32(7.0), optim.adam().init(jnp.float32(0.0)))
    assert updates == pytest.approx(-1, abs=2e-7)


def test_a_nesterov_step_takes_the_gradient_ahead():
    """On f(w) = 2 w^2, whose gradient is known everywhere."""
    opt, p = optim.nesterov(0.1, 0.5), jnp.float32(1.0)
    opt_state, w, v = opt.init(p), 1.0, 0.0
    for _ in range(5):
        v = 0.5 * v - 0.1 * 4 * (w + 0.5 * v)
        w = w + v
        updates, opt_state = opt.update(4 * p, opt_state)
        p = p + updates
        assert p == pytest.approx(w + 0.5 * v, rel=1e-5)
        assert p - 0.5 * opt_state.slots["velocity"] == pytest.approx(w, rel=1e-5)


@pytest.mark.parametrize("shape", [(4, 4), (3, 8), (8, 3), (1, 5), (5, 1), (2, 3, 4)])
def test_muon_makes_singular_values_alike(shape):
    m = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    values = np.linalg.svdvals(orthogonalized(jnp.asarray(m), steps=7))
    assert (abs(values - 1) < 0.35).all()
    large = orthogonalized(jnp.asarray(m) * 1e25, steps=7)
    np.testing.assert_allclose(large, orthogonalized(jnp.asarray(m), steps=7), atol=1e-4)


def test_muon_is_for_matrices_and_stacks_of_them_on_request():
    params = {"w": jnp.ones((3, 2)), "stack": {"w": jnp.ones((4, 3, 2))}, "table": jnp.ones((3, 2)), "b": jnp.ones(2)}
    sizes = {"w": 6, "stack.w": 24}
    for keep, names in ((None, ["w"]), ("*w", ["w", "stack.w"])):
        opt_state = optim.muon(keep=keep).init(params)
        velocity = jax.tree.leaves(opt_state["matrices"].slots)
        assert sorted(leaf.size for leaf in velocity) == sorted(sizes[name] for name in names)
    with pytest.raises(fdl.InputError, match=r"no weight with two axes, w has 3: .* Repeat, keep= says which"):
        optim.muon().init(params["stack"])
    with pytest.raises(fdl.InputError, match=r"finds none, but a matrix called head\.kernel: keep= says which"):
        optim.muon().init({"head": {"kernel": params["w"], "b": params["b"]}})
    with pytest.raises(fdl.InputError, match="finds none, but a single matrix: keep= says which"):
        optim.muon().init(params["w"])
    opt = optim.muon(keep="b")
    opt_state = opt.init(params)
    with pytest.raises(fdl.InputError, match=r"muon expects matrices.*got shape \[2\]"):
        opt.update(params, opt_state, params)


def test_layerwise_steps_survive_extreme_lengths():
    for opt in (optim.lars(1.0), optim.lamb(0.1)):
        params = {"w": jnp.full(4, 3e30)}
        updates, _ = opt.update({"w": jnp.full(4, 1e-30)}, opt.init(params), params)
        assert jnp.isfinite(updates["w"]).all()


def test_the_layers_of_a_stack_have_lengths_of_their_own_by_vmap():
    rng = np.random.default_rng(0)
    sizes = np.array([0.1, 1.0, 10.0])[:, None, None]
    w, g = ({"blocks": {"w": jnp.asarray(size * rng.normal(size=(3, 4, 2)))}} for size in (sizes, 1))
    for one in (optim.lamb(0.1), optim.lars(1.0), optim.chain(optim.sgd(0.1), optim.max_norm(1.0))):
        each = optim.Optimizer(jax.vmap(one.init), lambda *given, one=one: jax.vmap(one.update)(*given))
        opt = optim.partition(one, blocks=("blocks.*", each))
        updates, _ = opt.update(g, opt.init(w), w, value=1.0)
        for i in range(3):
            alone = {"w": w["blocks"]["w"][i]}
            expected, _ = one.update({"w": g["blocks"]["w"][i]}, one.init(alone), alone)
            np.testing.assert_allclose(updates["blocks"]["w"][i], expected["w"], rtol=1e-5)


def test_extra_arguments_are_allowed():
    params = {"w": jnp.ones((2, 2))}
    for opt, _ in OPTIMIZERS.values():
        opt.update(params, opt.init(params), params, value=1.0)


NOT_NEGATIVE = "that is not negative, got"
BAD = [
    (lambda: optim.sgd(-0.1), "sgd needs a finite learning_rate that is not negative, got -0.1"),
    (lambda: optim.sgd(float("nan")), "got nan"),
    (lambda: optim.sgd(jnp.float32(-1)), "got -1"),
    (lambda: optim.sgd("fast"), "sgd needs learning_rate as a number, or as a schedule.*'fast'"),
    (lambda: optim.sgd(jnp.ones(3)), "sgd needs learning_rate as a number"),
    (lambda: optim.sgd(True), "as a number"),
    (lambda: optim.sgd(optim.constant(-1.0)).init(1.0), "sgd needs a finite learning_rate .* got -1.0"),
    (lambda: optim.sgd(lambda t: jnp.ones(2)).init(1.0), r"schedule of sgd's learning_rate must give a scalar.*\[2\]"),
    (lambda: optim.momentum(float("inf")), "got inf"),
    (lambda: optim.momentum(0.1, decay=1.0), r"momentum needs decay in \[0, 1\), got 1.0"),
    (lambda: optim.nesterov(0.1, decay=-0.1), r"nesterov needs decay in \[0, 1\), got -0.1"),
    (lambda: optim.adagrad(eps=0.0), "adagrad needs a finite eps that is positive, also in float32, got 0.0"),
    (lambda: optim.adam(eps=1e-40), "positive, also in float32, got 1e-40"),  # XLA takes it for zero
    (lambda: optim.adadelta(eps=1e-60), "adadelta needs a finite eps .* got 1e-60"),
    (lambda: optim.rmsprop(decay=1.5), r"rmsprop needs decay in \[0, 1\), got 1.5"),
    (lambda: optim.adam(-1e-3), "adam needs a finite learning_rate"),
    (lambda: optim.adam(b1=-0.1), r"adam needs b1 in \[0, 1\), got -0.1"),
    (lambda: optim.adam(b2=float("nan")), r"adam needs b2 in \[0, 1\), got nan"),
    (lambda: optim.adam(eps=-1.0), "adam needs a finite eps"),
    (lambda: optim.adamw(weight_decay=-1.0), f"adamw needs a finite weight_decay {NOT_NEGATIVE} -1.0"),
    (lambda: optim.amsgrad(b1=1.0), "amsgrad needs b1"),
    (lambda: optim.nadam(b2=1.0), "nadam needs b2"),
    (lambda: optim.adamax(eps=0), "adamax needs a finite eps"),
    (lambda: optim.lion(b2=0.0), "lion needs b2 between 0 and 1, got 0.0"),
    (lambda: optim.lion(weight_decay=-1.0), f"lion needs a finite weight_decay {NOT_NEGATIVE}"),
    (lambda: optim.muon(decay=1.0), "muon needs decay"),
    (lambda: optim.muon(steps=0), "muon needs steps as a whole number of at least 1, got 0"),
    (lambda: optim.lars(0.1, trust=0.0), "lars needs a finite trust that is positive"),
    (lambda: optim.lamb(weight_decay=-1.0), f"lamb needs a finite weight_decay {NOT_NEGATIVE}"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_hyperparameters_are_named(make, message):
    with pytest.raises(fdl.InputError, match=message):
        make()


def test_a_learning_rate_may_be_traced():
    final = jax.vmap(lambda lr: run(optim.sgd(lr), jnp.ones(()), jnp.ones(3))[0])(jnp.array([0.0, 0.1]))
    assert final.tolist() == pytest.approx([1.0, 0.7])


PARAMS = {"encoder": {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}, "scales": [jnp.ones(2)]}
MISFITS = {
    "a shape": ({"w": jnp.ones((2, 3)), "b": jnp.ones(2)}, r"^encoder\.w: \w+ expects .*\[3, 2\].*got \[2, 3\]"),
    "a dtype": ({"w": jnp.ones((3, 2), jnp.bfloat16), "b": jnp.ones(2)}, r"^encoder\.w: .*float32.*got bfloat16"),
    "integers": ({"w": jnp.ones((3, 2), int), "b": jnp.ones(2)}, r"^encoder\.w: .*float32.*got int32"),
    "one too many": ({"w": jnp.ones((3, 2)), "b": jnp.ones(2), "c": jnp.ones(2)}, r"^encoder\.c: .*no parameter"),
    "one too few": ({"w": jnp.ones((3, 2))}, r"^encoder\.b: .*no gradient"),
    "none": ({"w": None, "b": jnp.ones(2)}, r"^encoder\.w: .*no gradient"),
}


def refuse(opt, gradient, message):
    params = {"encoder": PARAMS["encoder"], "w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    opt_state = opt.init(params)
    with pytest.raises(fdl.InputError, match=message):
        opt.update(params | {"encoder": gradient}, opt_state, params, value=LOSS)


@pytest.mark.parametrize(("gradient", "message"), MISFITS.values(), ids=MISFITS)
def test_gradients_that_do_not_fit_are_refused(gradient, message):
    refuse(optim.adam(), gradient, message)


@every
def test_all_optimizers_refuse_them(opt):
    refuse(opt, *MISFITS["a shape"])


def test_other_containers_are_refused():
    opt = optim.adam()
    with pytest.raises(fdl.InputError, match="containers"):
        opt.update(PARAMS | {"scales": (jnp.ones(2),)}, opt.init(PARAMS), PARAMS)


def test_gradients_are_compared_with_the_memory_where_no_parameters_are_given():
    opt = optim.adam()
    with pytest.raises(fdl.InputError, match=r"^w: adam expects a gradient of shape"):
        opt.update({"w": jnp.ones(3)}, opt.init({"w": jnp.ones(2)}))


def test_the_state_of_other_parameters_is_refused():
    opt, params = optim.adam(), {"body": {"w": jnp.ones(3)}}
    for others, message in (
        ({"body": {"w": jnp.ones(1)}}, r"^body\.w: adam's state is for \[1\], the gradient is \[3\]"),
        ({}, r"^body\.w: adam's state is for nothing"),
        (params | {"b": jnp.ones(2)}, r"^b: adam's state is for \[2\], the gradient is missing"),
    ):
        with pytest.raises(fdl.InputError, match=message):
            opt.update(params, opt.init(others), params)


def test_the_state_of_another_optimizer_is_refused():
    params = {"w": jnp.ones(2)}
    for opt, other, message in (
        (optim.adam(), optim.sgd(0.1), r"adam was given another optimizer's state: its slots are .*, got \[\]"),
        (optim.sgd(0.1), optim.adam(), r"sgd was given another optimizer's state: its slots are \[\], got"),
        (optim.adam(), optim.chain(optim.adam()), "adam goes on from what its init.* made, got a "),
        (optim.add_l2(0.1), optim.sgd(0.1), "add_l2 goes on from what its init.* made, got a FirstOrderState"),
    ):
        with pytest.raises(fdl.InputError, match=message):
            opt.update(params, other.init(params), params)


def test_gradients_of_narrow_parameters_may_be_wide():
    for dtype, other in ((jnp.bfloat16, jnp.float16), (jnp.float16, jnp.bfloat16)):
        params, opt = {"w": jnp.ones(2, dtype)}, optim.adam()
        opt.update({"w": jnp.ones(2)}, opt.init(params), params)
        with pytest.raises(fdl.InputError, match=r"^w: "):
            opt.update({"w": jnp.ones(2, other)}, opt.init(params), params)


def test_parameters_that_are_not_floats_are_refused():
    with pytest.raises(fdl.InputError, match=r"^encoder\.ids: adam expects parameters that are floats, got int32"):
        optim.adam().init({"encoder": {"ids": jnp.arange(3)}})


NEED_PARAMETERS = ["adamw", "lion", "lars", "lamb", "decoupled", "ema", "float32_masters", "stochastic_rounding"]


@pytest.mark.parametrize("name", NEED_PARAMETERS)
def test_parameters_that_are_needed_are_asked_for(name):
    params = {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}
    with pytest.raises(fdl.InputError, match="needs the parameters"):
        EVERY[name].update(params, EVERY[name].init(params))


IN_PLACE = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "amsgrad", "nadam", "adamax", "lion"]


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_step_in_place_needs_no_other_memory(name):
    """At a size where it counts: nothing but a few scalars, when parameters and state are donated."""
    params = jax.ShapeDtypeStruct((1_000_000,), jnp.float32)
    opt_state = jax.eval_shape(EVERY[name].init, params)
    jitted = jax.jit(lambda *args: step(EVERY[name], *args), donate_argnums=(0, 1))
    assert jitted.lower(params, opt_state, params).compile().memory_analysis().temp_size_in_bytes < 1000


def test_lion_goes_by_the_sign_of_what_is_infinite():
    opt, w = optim.lion(0.1, weight_decay=0.0), jnp.ones(3)
    updates, _ = opt.update(jnp.array([jnp.inf, -jnp.inf, jnp.nan]), opt.init(w), w)
    np.testing.assert_array_equal(updates, np.float32([-0.1, 0.1, np.nan]))


def test_nothing_is_compiled_again_outside_jit(caplog):
    params = {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}
    opts = [optim.lamb(), optim.skip_nonfinite(optim.adam()), optim.accumulate(optim.adam(), 2), optim.muon()]
    states = [opt.init(params) for opt in opts]

    def step():
        optim.global_norm(params)
        return [opt.update(params, state, params) for opt, state in zip(opts, states, strict=True)]

    with jax.log_compiles():
        step()
        assert "Finished XLA compilation" in caplog.text
        caplog.clear()
        step()
        assert "Finished XLA compilation" not in caplog.text


def test_memory_is_where_the_parameters_are():
    mesh = jax.make_mesh((8,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.P("d"))
    params = {"w": jax.device_put(jnp.ones((8, 2)), sharding)}
    opt = optim.adam()
    opt_state = opt.init(params)
    assert opt_state.slots["mean"]["w"].sharding == sharding
    updates, opt_state = jax.jit(opt.update)(params, opt_state, params)
    assert updates["w"].sharding.is_equivalent_to(sharding, 2)


def test_the_norm_of_spread_gradients_gathers_nothing():
    mesh = jax.make_mesh((8,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    grads = {
        name: jax.device_put(3 * jnp.ones((2, 16, 24)), jax.sharding.NamedSharding(mesh, spec))
        for name, spec in {"rows": jax.P(None, "d"), "columns": jax.P(None, None, "d")}.items()
    }
    compiled = jax.jit(optim.global_norm).lower(grads).compile()
    np.testing.assert_allclose(compiled(grads), 3 * (2 * 2 * 16 * 24) ** 0.5, rtol=1e-6)
    assert "all-reduce" in compiled.as_text()
    assert "all-gather" not in compiled.as_text()

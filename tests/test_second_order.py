"""Full-batch methods: against recurrences in NumPy, on the classic problems, and why they stop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.layers import affine, tanh
from fdl.losses import softmax_cross_entropy
from fdl.optim import (
    Stop,
    backtracking,
    bfgs,
    conjugate_gradient,
    fixed_step,
    lbfgs,
    line_search,
    minimize,
    newton,
    newton_cg,
    strong_wolfe,
)

METHODS = {
    method.__class__.__name__: method for method in (bfgs(), lbfgs(), conjugate_gradient(), newton(), newton_cg())
}
# Compiling is most of the time: all methods run on all problems in `make test-all`, and each on some in `make test`.
every_method = pytest.mark.parametrize(
    "method",
    [
        pytest.param(method, marks=[pytest.mark.slow] * (name in ("bfgs", "conjugate_gradient")))
        for name, method in METHODS.items()
    ],
    ids=METHODS,
)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def quadratic(x, A, b):
    return x @ A @ x / 2 - b @ x


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def saddle(x):
    return x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 2


def logistic(params, x, labels):
    z = x @ params["w"] + params["b"]
    return jnp.mean(jnp.logaddexp(0, z) - labels * z) + 5e-3 * jnp.sum(params["w"] ** 2)


def matrix(condition, n=10):
    Q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))
    return Q * np.logspace(0, np.log10(condition), n) @ Q.T


# Recurrences, in NumPy.


def f(x):
    """A function of two variables without symmetries, whose Hessian is positive definite near the start."""
    return x[0] ** 4 + 2 * x[1] ** 2 + x[0] * x[1] + 0.3 * x[1] ** 3 - x[0]


def gradient(x):
    return np.array([4 * x[0] ** 3 + x[1] - 1, 4 * x[1] + x[0] + 0.9 * x[1] ** 2])


def hessian(x):
    return np.array([[12 * x[0] ** 2, 1], [1, 4 + 1.8 * x[1]]])


def inverse_by_pairs(pairs, B):
    """BFGS as its definition says: equation 6.17, one product after the other."""
    for s, y in pairs:
        V = np.eye(len(s)) - np.outer(s, y) / (s @ y)
        B = V @ B @ V.T + np.outer(s, s) / (s @ y)
    return B


def bfgs_recurrence(x, steps, size, memory=None):
    pairs, B = [], np.eye(2) / max(1, np.linalg.norm(gradient(x)))
    for _ in range(steps):
        x1 = x - size * B @ gradient(x)
        pairs.append((x1 - x, gradient(x1) - gradient(x)))
        s, y = pairs[-1 if memory else 0]
        B = inverse_by_pairs(pairs[-(memory or 0) :], (s @ y) / (y @ y) * np.eye(2))
        x = x1
    return x


def cg_recurrence(x, steps, size, beta):
    g = gradient(x)
    p, alpha = -g, 1 / max(1, np.linalg.norm(g))
    for _ in range(steps):
        x = x + size * alpha * p
        g0, g, p0 = g, gradient(x), p
        p = -g + beta(g, g0, g - g0, p0) * p0
        p = p if p @ g < 0 and abs(g @ g0) < 0.1 * (g @ g) else -g
        alpha = size * alpha * (g0 @ p0) / (g @ p)
        alpha = alpha if alpha > 0 else 1
    return x


def newton_recurrence(x, steps, size):
    for _ in range(steps):
        x = x - size * np.linalg.solve(hessian(x), gradient(x))
    return x


BETAS = {
    "fletcher_reeves": lambda g, g0, y, p0: g @ g / (g0 @ g0),
    "polak_ribiere": lambda g, g0, y, p0: max(0, g @ y / (g0 @ g0)),
    "hestenes_stiefel": lambda g, g0, y, p0: max(0, g @ y / (p0 @ y)),
}
RECURRENCES = {
    "bfgs": (bfgs(fixed_step(0.7)), functools.partial(bfgs_recurrence, size=0.7)),
    "lbfgs": (lbfgs(3, fixed_step(0.7)), functools.partial(bfgs_recurrence, size=0.7, memory=3)),
    "newton": (newton(fixed_step(0.7)), functools.partial(newton_recurrence, size=0.7)),
    **{
        name: (conjugate_gradient(name, fixed_step(0.92)), functools.partial(cg_recurrence, size=0.92, beta=beta))
        for name, beta in BETAS.items()
    },
}


@pytest.mark.parametrize(("method", "recurrence"), RECURRENCES.values(), ids=RECURRENCES)
def test_every_step_is_that_of_the_recurrence(method, recurrence):
    x = np.array([1.1, -1.2])
    for steps in (1, 2, 3, 5, 8):
        solution = minimize(f, jnp.asarray(x), method=method, max_iterations=steps, tolerance=0)
        np.testing.assert_allclose(solution.params, recurrence(x, steps), rtol=1e-9)
        assert solution.evaluations == steps + 1


# The classic problems, with the number of iterations and evaluations.


EXACT = strong_wolfe(decrease=1e-10, curvature=1e-8)
FINITE = {
    "bfgs": (bfgs(EXACT), 10),
    "lbfgs": (lbfgs(10, EXACT), 10),
    "newton": (newton(), 1),
    **{name: (conjugate_gradient(name, EXACT), 10) for name in BETAS},
}


@pytest.mark.parametrize(("method", "iterations"), FINITE.values(), ids=FINITE)
def test_a_quadratic_takes_as_many_steps_as_theory_says(method, iterations):
    A, b = matrix(condition=10), np.ones(10)
    solution = minimize(quadratic, jnp.zeros(10), A, b, method=method)
    assert solution.why == Stop.GRADIENT
    assert solution.iterations == iterations
    np.testing.assert_allclose(solution.params, np.linalg.solve(A, b), atol=1e-5)
    before = minimize(quadratic, jnp.zeros(10), A, b, method=method, max_iterations=iterations - 1)
    assert before.why == Stop.MAX_ITERATIONS


def test_products_of_one_newton_step_solve_a_quadratic():
    """The tolerance of newton_cg goes with sqrt |g|, so close to the minimum one step has all the digits."""
    A, b = matrix(condition=10), np.full(10, 1e-9)
    solution = minimize(quadratic, jnp.zeros(10), A, b, method="newton_cg", tolerance=1e-12)
    assert (solution.why, int(solution.iterations)) == (Stop.GRADIENT, 1)


PROBLEMS = {
    "rosenbrock 2": (rosenbrock, np.array([-1.2, 1.0]), np.ones(2)),
    "rosenbrock 10": (rosenbrock, np.tile([1.2, 1.0], 5), np.ones(10)),
}
# Iterations and evaluations, at most: what was measured, and a tenth.
COUNTS = {
    ("bfgs", "rosenbrock 2"): (41, 50),
    ("lbfgs", "rosenbrock 2"): (40, 50),
    ("conjugate_gradient", "rosenbrock 2"): (34, 94),
    ("newton", "rosenbrock 2"): (21, 29),
    ("newton_cg", "rosenbrock 2"): (70, 101),
    ("bfgs", "rosenbrock 10"): (37, 40),
    ("lbfgs", "rosenbrock 10"): (32, 35),
    ("conjugate_gradient", "rosenbrock 10"): (61, 170),
    ("newton", "rosenbrock 10"): (9, 11),
    ("newton_cg", "rosenbrock 10"): (15, 16),
}


@pytest.mark.parametrize(
    ("method", "problem"),
    [
        pytest.param(*key, marks=[pytest.mark.slow] * (key[1] == "rosenbrock 10" and key[0] != "lbfgs"))
        for key in COUNTS
    ],
)
def test_iterations(method, problem):
    f, start, minimum = PROBLEMS[problem]
    solution = minimize(f, jnp.asarray(start), method=method, tolerance=1e-6)
    assert solution.why == Stop.GRADIENT
    assert solution.gradient_norm <= 1e-6
    iterations, evaluations = COUNTS[method, problem]
    assert solution.iterations <= iterations
    assert solution.evaluations <= evaluations
    np.testing.assert_allclose(solution.params, minimum, atol=1e-6)


def in_its_axes(x, Q, curvatures):
    """A quadratic with these eigenvalues; x' A x is the same, but rounds to 1e-11 of it at a condition of 1e6."""
    return curvatures @ (Q.T @ x) ** 2 / 2 - x.sum()


ILL_CONDITIONED = {
    "bfgs": (80, 87),
    "lbfgs": (350, 390),
    "conjugate_gradient": (150, 600),
    "newton": (1, 2),
    "newton_cg": (5, 6),
}


@pytest.mark.parametrize("method", ILL_CONDITIONED)
def test_iterations_at_a_condition_of_1e6(method):
    """Rounding counts here: two orders of the same parameters differ tenfold, so the median of 25 is bounded."""
    orders = np.array([np.random.default_rng(seed).permutation(10) for seed in range(25)])
    curvatures, Q = np.linalg.eigh(matrix(condition=1e6))

    def solve(order):
        problem = in_its_axes, jnp.zeros(10), jnp.asarray(Q)[order], curvatures
        return minimize(*problem, method=method, tolerance=1e-3, max_iterations=2000)

    solutions = jax.jit(jax.vmap(solve))(orders)
    assert (solutions.stop == Stop.GRADIENT).all()
    assert (solutions.gradient_norm <= 1e-3).all()
    iterations, evaluations = ILL_CONDITIONED[method]
    assert np.median(solutions.iterations) <= iterations
    assert np.median(solutions.evaluations) <= evaluations
    exact = (Q / curvatures @ Q.sum(0))[orders]
    away = np.linalg.norm(solutions.params - exact, axis=1)
    assert (away <= 1e-3 * np.sqrt(10)).all()  # |gradient| / 1, the lowest eigenvalue


def test_products_are_enough_for_fifty_parameters_at_a_condition_of_1e6():
    """Twice as many as there are parameters are not: steps that were cut short were 14, and not 9."""
    rng = np.random.default_rng(5)
    curvatures = np.geomspace(1, 1e6, 50)
    Q = np.stack([np.linalg.qr(rng.normal(size=(50, 50)))[0] for _ in range(9)])

    def solve(Q):
        return minimize(in_its_axes, jnp.zeros(50), Q, curvatures, method="newton_cg", max_iterations=100)

    solutions = jax.jit(jax.vmap(solve))(Q)
    assert (solutions.stop == Stop.GRADIENT).all()
    assert np.median(solutions.iterations) <= 12


@pytest.mark.parametrize("method", ["lbfgs", "conjugate_gradient", "newton"])
def test_float32_reaches_its_own_precision(method):
    """Where only rounding is left, a small step or a search in vain may end it instead of the gradient."""
    solution = minimize(rosenbrock, jnp.array([-1.2, 1.0], jnp.float32), method=method)
    assert solution.why in (Stop.GRADIENT, Stop.SMALL_STEP, Stop.LINE_SEARCH_FAILED)
    assert solution.gradient_norm <= 1e-3
    assert solution.iterations <= 1.2 * COUNTS[method, "rosenbrock 2"][0]
    assert {leaf.dtype.name for leaf in jax.tree.leaves(solution)} == {"float32", "int32"}
    np.testing.assert_allclose(solution.params, 1, atol=1e-4)


@every_method
def test_logistic_regression(method):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3))
    labels = (x @ [1.0, -2.0, 0.5] + rng.normal(size=100) > 0).astype(float)
    start = {"w": jnp.zeros(3), "b": jnp.zeros(())}
    solution = minimize(logistic, start, x, labels, method=method, tolerance=1e-8)
    assert solution.why == Stop.GRADIENT
    assert solution.iterations <= {"newton": 6, "newton_cg": 8}.get(method.__class__.__name__, 25)

    X, w, decay = np.c_[x, np.ones(100)], np.zeros(4), 1e-2 * np.diag([1, 1, 1, 0])  # by Newton's method, once more
    for _ in range(10):
        p = 1 / (1 + np.exp(-X @ w))
        H = X.T @ (X * (p * (1 - p))[:, None]) / 100 + decay
        w = w - np.linalg.solve(H, X.T @ (p - labels) / 100 + decay @ w)
    np.testing.assert_allclose(np.append(solution.params["w"], solution.params["b"]), w, atol=1e-6)


# Saddles.


def test_newton_leaves_an_exact_saddle():
    solution = minimize(saddle, jnp.zeros(2), method="newton")
    assert solution.why == Stop.GRADIENT
    np.testing.assert_allclose(np.abs(solution.params), [0, 1], atol=1e-6)
    assert solution.iterations <= 2


def test_newton_does_not_take_a_maximum_for_a_minimum():
    solution = minimize(lambda x: jnp.cos(x[0]) + jnp.cos(3 * x[1]), jnp.zeros(2), method="newton")
    assert solution.value == pytest.approx(-2)


@pytest.mark.parametrize("method", ["lbfgs", "conjugate_gradient", "newton_cg"])
def test_others_leave_it_when_they_are_not_exactly_on_it(method):
    solve = jax.jit(lambda x: minimize(saddle, x, method=method))
    on_it, beside_it = solve(jnp.zeros(2)), solve(jnp.array([1.0, 1e-3]))
    assert (on_it.why, int(on_it.iterations)) == (Stop.GRADIENT, 0)
    assert beside_it.why == Stop.GRADIENT
    assert beside_it.value == pytest.approx(-0.5)


# Why they stop.


def f_without_numbers(x):
    return jnp.sum(x) * jnp.nan


def f_without_gradient(x):
    return jnp.sum(x) + 0 * jnp.sqrt(x[0])  # whose slope at zero is 0 * infinity


@jax.custom_vjp
def f_with_wrong_gradient(x):
    return jnp.sum(x**2)


f_with_wrong_gradient.defvjp(lambda x: (jnp.sum(x**2), x), lambda x, dy: (-2 * x * dy,))


def cosh(x):
    return jnp.sum(jnp.cosh(x))


STOPS = {
    "gradient": (cosh, 1.0, {}, Stop.GRADIENT),
    "small step": (cosh, 9.0, {"step_tolerance": 0.5}, Stop.SMALL_STEP),
    "iterations": (cosh, 9.0, {"max_iterations": 2}, Stop.MAX_ITERATIONS),
    "no iterations": (cosh, 9.0, {"max_iterations": 0}, Stop.MAX_ITERATIONS),
    "search": (f_with_wrong_gradient, 1.0, {}, Stop.LINE_SEARCH_FAILED),
    "nan": (f_without_numbers, 1.0, {}, Stop.NON_FINITE),
    "nan gradient": (f_without_gradient, 0.0, {}, Stop.NON_FINITE),
    "nan gradient after a step": (
        lambda x: f_without_gradient(x - 1),
        2.0,
        {"method": bfgs(fixed_step())},
        Stop.NON_FINITE,
    ),
    "infinite": (lambda x: jnp.sum(1 / x), 0.0, {}, Stop.NON_FINITE),
    "diverges": (lambda x: jnp.sum(jnp.exp(x)) - x[0], -9.0, {"method": newton(fixed_step())}, Stop.NON_FINITE),
}


@pytest.mark.parametrize(("f", "x", "options", "stop"), STOPS.values(), ids=STOPS)
def test_why_it_stopped(f, x, options, stop):
    solution = minimize(f, jnp.full(2, x), **options)
    assert solution.why == stop
    if stop != Stop.NON_FINITE:
        assert np.isfinite(solution.params).all()
    if options.get("max_iterations") is not None:
        assert solution.iterations == options["max_iterations"]
    if (
        solution.iterations > 0 or stop != Stop.NON_FINITE
    ):  # what is returned has finite numbers, whatever came after it
        assert np.isfinite([solution.value, solution.gradient_norm]).all()
        assert solution.value == pytest.approx(f(solution.params))


@pytest.mark.parametrize("method", ["lbfgs", "newton_cg"])
def test_what_is_not_a_number_is_too_far(method):
    """The logarithm of a negative number is behind the wall that keeps x positive."""
    solution = minimize(lambda x: jnp.sum(x - jnp.log(x)), jnp.array([9.0, 0.01]), method=method)
    assert solution.why == Stop.GRADIENT
    np.testing.assert_allclose(solution.params, 1, atol=1e-4)


# Parameters, jit, vmap and rules.


@pytest.mark.parametrize("method", ["bfgs", "newton"])
def test_any_pytree_of_parameters(method):
    def f(params, target):
        body, scale = params["body"], params["scale"]
        return (
            jnp.sum((body["w"] - target) ** 4)
            + jnp.sum((body["w"] - 2) ** 2)
            + (scale - 3) ** 2
            + jnp.sum(params["none"][0])
        )

    params = {"body": {"w": jnp.ones((2, 3), jnp.float32)}, "none": [jnp.zeros((0, 4))], "scale": 1.0}
    solution = minimize(f, params, jnp.full((2, 3), 2.0, jnp.float32), method=method)
    assert jax.tree.map(jnp.shape, solution.params) == jax.tree.map(jnp.shape, params)
    assert solution.params["body"]["w"].dtype == jnp.float32
    np.testing.assert_allclose(solution.params["body"]["w"], 2, atol=1e-3)
    assert solution.params["scale"] == pytest.approx(3, abs=1e-4)


def test_the_second_call_compiles_nothing():
    traced = []

    def f(x, a):
        traced.append(None)
        return jnp.sum((x - a) ** 2)

    for a, options in ((1.0, {}), (2.0, {"tolerance": 1e-3, "max_iterations": 7})):
        minimize(f, jnp.zeros(2), jnp.array(a), method=lbfgs(memory=4), **options)
        count = len(traced)
        if a == 1.0:
            first = count
    assert count == first


def test_vmap_is_a_loop_also_where_f_closes_over_what_is_mapped():
    def solve(x, a):
        return minimize(lambda x: rosenbrock(x) + a * x[0], x)

    x, a = jnp.array([[-1.2, 1.0], [1.0, 1.0], [0.0, 3.0]]), jnp.array([0.0, 0.0, 0.5])
    mapped = jax.vmap(solve)(x, a)
    one_by_one = jax.lax.map(lambda both: solve(*both), (x, a))
    np.testing.assert_allclose(mapped.params, one_by_one.params, rtol=1e-8)
    assert mapped.iterations.tolist() == one_by_one.iterations.tolist()
    assert mapped.iterations[1] == 0


def test_networks_of_rules():
    """Gradients by the rules, and Hessian-vector products through them, forward over reverse."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(20, 2)), jnp.arange(20) % 2
    params = {"w1": rng.normal(size=(2, 3)), "w2": rng.normal(size=(3, 2))}

    def loss(params):
        logits = affine(tanh(affine(x, params["w1"])), params["w2"])
        return jnp.mean(softmax_cross_entropy(logits, labels)) + 0.1 * sum(jnp.sum(w**2) for w in params.values())

    by_rules = minimize(loss, params, method="newton_cg", tolerance=1e-7)
    with fdl.differentiation("autodiff"):
        by_autodiff = minimize(loss, params, method="newton_cg", tolerance=1e-7)
    assert by_rules.why == Stop.GRADIENT
    assert by_rules.iterations == by_autodiff.iterations
    np.testing.assert_allclose(by_rules.params["w1"], by_autodiff.params["w1"], atol=1e-6)


# Line searches.


def wavy(x):
    return jnp.sum(x**2) + 3 * jnp.sum(jnp.sin(3 * x)) + jnp.sum(jnp.exp(x))


@pytest.mark.parametrize("alpha", [1e-4, 0.3, 50.0])
@pytest.mark.parametrize("c2", [0.9, 0.1, 1e-3])
def test_strong_wolfe_conditions_hold(c2, alpha):
    x, c1 = jnp.array([1.5, -2.0]), 1e-4
    g = jax.grad(wavy)(x)
    found = line_search(wavy, x, -g, method=strong_wolfe(c1, c2), alpha=alpha)
    assert not found.failed
    assert found.alpha > 0
    np.testing.assert_allclose(found.params, x - found.alpha * g, rtol=1e-12)
    np.testing.assert_allclose(found.gradient, jax.grad(wavy)(found.params), rtol=1e-12)
    assert found.value <= wavy(x) - c1 * found.alpha * (g @ g)
    assert abs(found.gradient @ g) <= c2 * (g @ g)
    assert found.evaluations <= 25


def test_cubic_interpolation_is_exact_for_a_cubic():
    found = line_search(lambda x: x**3 - 3 * x, 0.0, 1.0, method=strong_wolfe(1e-6, 1e-5), alpha=4.0)
    assert found.alpha == pytest.approx(1)
    assert found.evaluations == 3


def test_backtracking_shrinks_until_the_decrease_is_sufficient():
    """phi(a) = (1 - 2 a)^2: 0.7 and 0.49 of a step of 2 are too far for c1 = 0.5, which allows a <= 0.5."""
    found = line_search(lambda x: x**2, 1.0, -2.0, method=backtracking(0.5, 0.7), alpha=1.0)
    assert found.alpha == pytest.approx(0.7**2)
    assert found.evaluations == 4


@pytest.mark.parametrize("method", ["backtracking", "strong_wolfe"])
def test_a_search_uphill_fails(method):
    found = line_search(wavy, jnp.ones(2), jax.grad(wavy)(jnp.ones(2)), method=method)
    assert found.failed
    assert found.alpha == 0
    assert found.params.tolist() == [1, 1]


# Bad input.


def square(x):
    return jnp.sum(x**2)


BAD = {
    "method": (lambda: minimize(square, jnp.ones(2), method="adam"), r'"bfgs", .*"newton_cg" or .* got \'adam\''),
    "class": (lambda: minimize(square, jnp.ones(2), method=lbfgs), r"got <class .*>: call it, lbfgs\(\)"),
    "residual method": (lambda: minimize(square, jnp.ones(2), method="levenberg"), r"is a method of least_squares\("),
    "not scalar": (
        lambda: minimize(lambda x: x**2, jnp.ones(5)),
        r"one number, got an array of shape \[5\].*least_squares",
    ),
    "a pair": (lambda: minimize(lambda x: (square(x), x), jnp.ones(5)), "one number, got tuple of arrays"),
    "nothing": (lambda: minimize(lambda x: None, jnp.ones(5)), "one number, got None"),
    "ints out": (lambda: minimize(lambda x: 3, jnp.ones(5)), "gives floats, got int"),
    "no function": (lambda: minimize(jnp.ones(2), square), "expects a function of the parameters first, got Array"),
    "method by position": (lambda: minimize(square, jnp.ones(2), "bfgs"), "a method is given as method='bfgs'"),
    "no params": (lambda: minimize(square, {}), r"a pytree of float arrays, got \{\}, which holds no number"),
    "empty": (lambda: minimize(square, [jnp.ones((0, 2))]), "which holds no number"),
    "ints": (lambda: minimize(square, {"a": {"b": jnp.arange(3)}}), "float32 or float64, got int64 at a.b: convert"),
    "narrow": (lambda: minimize(square, jnp.ones(2, jnp.bfloat16)), "float32 or float64, got bfloat16: convert"),
    "strings": (lambda: minimize(square, ["w"]), "float32 or float64, got str at 0"),
    "tolerance": (lambda: minimize(square, jnp.ones(2), tolerance=-1.0), "needs tolerance of zero or more, got -1.0"),
    "nan": (
        lambda: minimize(square, jnp.ones(2), step_tolerance=np.nan),
        "needs step_tolerance of zero or more, got nan",
    ),
    "iterations": (
        lambda: minimize(square, jnp.ones(2), max_iterations=-3),
        "needs max_iterations of zero or more, got -3",
    ),
    "memory": (lambda: lbfgs(memory=0), "lbfgs needs memory as a whole number of at least 1, got 0"),
    "beta": (lambda: conjugate_gradient("powell"), "beta as one of polak_ribiere, .*, got 'powell'"),
    "products": (
        lambda: newton_cg(max_products=1.5),
        "newton_cg needs max_products as a whole number of at least 1, got 1.5",
    ),
    "search": (lambda: bfgs("wolfe"), "bfgs expects a line search, \"backtracking\", .* got 'wolfe'"),
    "c1": (lambda: backtracking(decrease=1.0), r"backtracking needs decrease in \(0, 1\), got 1.0"),
    "c2": (lambda: strong_wolfe(0.2, 0.1), r"strong_wolfe needs curvature in \(0.2, 1\), got 0.1"),
    "size": (lambda: fixed_step(0.0), r"fixed_step needs size in \(0, inf\), got 0.0"),
    "direction": (lambda: line_search(square, jnp.ones(2), jnp.ones(3)), r"form of the parameters, \[2\], got \[3\]"),
    "alpha": (lambda: line_search(square, jnp.ones(2), jnp.ones(2), alpha=-1.0), "needs alpha, .* got -1.0"),
    "alpha that is NaN": (
        lambda: line_search(square, jnp.ones(2), jnp.ones(2), alpha=np.nan),
        "needs alpha, .* got nan",
    ),
    "search method": (
        lambda: line_search(square, 1.0, 1.0, method="exact"),
        "line_search expects a method, .* 'exact'",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()


def test_a_method_is_its_repr():
    method = lbfgs(memory=3, line_search=backtracking(shrink=0.25))
    assert eval(repr(method)) == method
    assert hash(eval(repr(method))) == hash(method)

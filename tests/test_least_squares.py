"""Least squares: against the recurrences in NumPy, on curves and classic problems, without ever building a Jacobian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.layers import affine, tanh
from fdl.optim import (
    Stop,
    backtracking,
    gauss_newton,
    least_squares,
    levenberg,
    levenberg_marquardt,
    minimize,
)

METHODS = {
    f"{make.__name__} {jacobian}": make(jacobian=jacobian)
    for make in (gauss_newton, levenberg, levenberg_marquardt)
    for jacobian in ("products", "dense")
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
# Compiling is most of the time: where both ways to solve the linear problems ought to agree, one of them runs in
# `make test` and both in `make test-all`.
some_methods = pytest.mark.parametrize(
    "method",
    [pytest.param(method, marks=[pytest.mark.slow] * name.endswith("dense")) for name, method in METHODS.items()],
    ids=METHODS,
)
by_products = pytest.mark.parametrize("method", ["gauss_newton", "levenberg", "levenberg_marquardt"])


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def rosenbrock(x):
    return jnp.array([1 - x[0], 10 * (x[1] - x[0] ** 2)])


def powell(x):
    """Whose Jacobian is singular at the solution, x = 0."""
    root5, root10 = 5**0.5, 10**0.5
    return jnp.array([x[0] + 10 * x[1], root5 * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, root10 * (x[0] - x[3]) ** 2])


def decay(params, t, y):
    return params["height"] * jnp.exp(-params["rate"] * t) + params["floor"] - y


# The recurrences, in NumPy, for a residual with one more equation than unknowns.


def residual(x):
    return np.array([x[0] ** 2 + x[1] - 3, x[0] + x[1] ** 3 / 3 - 2, x[0] * x[1] - 0.5])


def residual_in_jax(x):
    return jnp.array([x[0] ** 2 + x[1] - 3, x[0] + x[1] ** 3 / 3 - 2, x[0] * x[1] - 0.5])


def jacobian(x):
    return np.array([[2 * x[0], 1], [1, x[1] ** 2], [x[1], x[0]]])


def gauss_newton_recurrence(x, steps):
    for _ in range(steps):
        x = x - np.linalg.lstsq(jacobian(x), residual(x), rcond=None)[0]
    return x, None


def damped_recurrence(x, steps, tau, marquardt):
    """Nielsen's algorithm for (J'J + mu D^2) h = -J'r, and how many of the steps were refused."""
    J, r = jacobian(x), residual(x)
    D = np.linalg.norm(J, axis=0) if marquardt else np.ones(2)
    g = J.T @ r / D
    mu, nu, refused = tau * np.sum((J @ (g / D)) ** 2) / (g @ g), 2, 0
    for _ in range(steps):
        J, r = jacobian(x), residual(x)
        D = np.maximum(D, np.linalg.norm(J, axis=0)) if marquardt else D
        h = np.linalg.solve(J.T @ J + mu * np.diag(D**2), -J.T @ r)
        predicted = (r @ r - np.sum((r + J @ h) ** 2)) / 2
        ratio = (r @ r - np.sum(residual(x + h) ** 2)) / 2 / predicted
        if ratio > 0:
            x, mu, nu = x + h, mu * max(1 / 3, 1 - (2 * ratio - 1) ** 3), 2
        else:
            mu, nu, refused = mu * nu, 2 * nu, refused + 1
    return x, refused


@every_method
def test_every_step_is_that_of_the_recurrence(method):
    x = np.array([1.0, 0.9])
    for steps in (1, 2, 3, 4, 6):
        if isinstance(method, gauss_newton):
            expected, _ = gauss_newton_recurrence(x, steps)
        else:
            expected, refused = damped_recurrence(x, steps, 1e-3, isinstance(method, levenberg_marquardt))
        solution = least_squares(residual_in_jax, jnp.asarray(x), method=method, max_iterations=steps, tolerance=0)
        np.testing.assert_allclose(solution.params, expected, rtol=1e-5)
        assert solution.value == pytest.approx(residual(solution.params) @ residual(solution.params) / 2)
        assert solution.evaluations == steps + 1
    assert isinstance(method, gauss_newton) or refused >= 1


# The classic problems, with the number of iterations.


@some_methods
def test_rosenbrock(method):
    solution = least_squares(rosenbrock, jnp.array([-1.2, 1.0]), method=method)
    assert solution.why == Stop.GRADIENT
    assert solution.iterations <= {gauss_newton: 2, levenberg: 16, levenberg_marquardt: 18}[type(method)]
    np.testing.assert_allclose(solution.params, 1, atol=1e-5)


@pytest.mark.slow
@by_products
def test_powell(method):
    solution = least_squares(powell, jnp.array([3.0, -1.0, 0.0, 1.0]), method=method)
    assert solution.why == Stop.GRADIENT
    assert solution.iterations <= {"gauss_newton": 8}.get(method, 9)
    np.testing.assert_allclose(solution.params, 0, atol=0.05)


@pytest.mark.parametrize("jacobian", ["products", "dense"])
def test_gauss_newton_solves_a_linear_problem_in_one_step(jacobian):
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(10, 4)), rng.normal(size=10)
    solution = least_squares(lambda x: A @ x - b, jnp.zeros(4), method=gauss_newton(jacobian=jacobian))
    assert (solution.why, int(solution.iterations)) == (Stop.GRADIENT, 1)
    expected, (squares,), *_ = np.linalg.lstsq(A, b, rcond=None)
    np.testing.assert_allclose(solution.params, expected, atol=1e-6)
    assert solution.value == pytest.approx(squares / 2)


@some_methods
def test_a_curve_is_fitted(method):
    t = np.linspace(0, 4, 30)
    y = 5 * np.exp(-1.5 * t) + 0.5 + 0.05 * np.random.default_rng(0).normal(size=30)
    start = {"floor": 0.0, "height": 1.0, "rate": 1.0}
    solution = least_squares(decay, start, t, y, method=method, tolerance=1e-8)
    assert solution.why == Stop.GRADIENT
    assert solution.iterations <= 13
    floor, height, rate = (float(solution.params[name]) for name in sorted(start))
    J = np.stack([np.ones(30), np.exp(-rate * t), -height * t * np.exp(-rate * t)], 1)
    r = height * np.exp(-rate * t) + floor - y
    np.testing.assert_allclose(J.T @ r, 0, atol=1e-7)
    assert (rate, height, floor) == pytest.approx((1.5, 5, 0.5), rel=0.05)


def ill_conditioned(condition, dtype):
    """A linear problem of 50 parameters and 80 residuals, and its solution."""
    rng = np.random.default_rng(5)
    U, V = (np.linalg.qr(rng.normal(size=(rows, 50)))[0] for rows in (80, 50))
    J = (U * np.geomspace(condition**-0.5, condition**0.5, 50) @ V.T).astype(dtype)
    y = rng.normal(size=80).astype(dtype)
    return J, y, np.linalg.lstsq(J.astype(float), y.astype(float), rcond=None)[0]


@pytest.mark.parametrize("make", [gauss_newton, levenberg, levenberg_marquardt])
def test_products_end_where_only_rounding_is_left(make):
    """In float32, J' s is not less than its rounding where s is large; directions of that led far away."""
    J, y, exact = ill_conditioned(100, "float32")
    method = make(max_products=1000)
    solution = least_squares(lambda x, J, y: J @ x - y, jnp.zeros(50, "float32"), J, y, method=method)
    assert solution.iterations <= 12
    assert np.abs(solution.params - exact).max() <= 1e-3 * np.abs(exact).max()


@by_products
@pytest.mark.parametrize(("dtype", "condition", "error"), [("float32", 1e3, 5e-3), ("float64", 1e4, 1e-3)])
def test_products_solve_ill_conditioned_problems(method, dtype, condition, error):
    """Twice as many products as parameters are not enough: Levenberg-Marquardt took 246 steps for the 14 of now."""
    J, y, exact = ill_conditioned(condition, dtype)
    solution = least_squares(lambda x, J, y: J @ x - y, jnp.zeros(50, dtype), J, y, method=method)
    assert solution.iterations <= 30
    assert np.abs(solution.params - exact).max() <= error * np.abs(exact).max()


def test_levenberg_marquardt_converges_where_gauss_newton_diverges():
    t = np.linspace(0, 3, 20)

    def growth(w):
        return w[0] * jnp.exp(w[1] * t) - 2 * np.exp(t)

    start = jnp.array([1.0, -1.0])
    assert least_squares(growth, start, method="gauss_newton").value > 1e100
    for method in ("levenberg_marquardt", gauss_newton(line_search=backtracking())):
        solution = least_squares(growth, start, method=method)
        assert solution.why == Stop.GRADIENT
        assert solution.iterations <= 30
        np.testing.assert_allclose(solution.params, [2, 1], rtol=1e-5)


@pytest.mark.parametrize("method", [name for name in METHODS if not name.startswith("levenberg ")])
def test_of_many_solutions_the_nearest_is_found(method):
    """The Jacobian has rank 1. The shortest steps to x0 + x1 = 2 keep x0 - x1."""

    def f(x):
        total = x[0] + x[1]
        return jnp.array([total - 2, 2 * total - 4, total**2 - 4])

    solution = least_squares(f, jnp.array([3.0, 0.0]), method=METHODS[method])
    assert solution.why == Stop.GRADIENT
    assert solution.iterations <= 4
    np.testing.assert_allclose(solution.params, [2.5, -0.5], atol=1e-6)


def test_marquardt_takes_the_same_steps_in_any_units():
    units = np.array([1e5, 1e-3])
    plain = least_squares(rosenbrock, jnp.array([-1.2, 1.0]), max_iterations=10)
    scaled = least_squares(lambda x: rosenbrock(x * units), jnp.array([-1.2, 1.0]) / units, max_iterations=10)
    np.testing.assert_allclose(scaled.params * units, plain.params, rtol=1e-6)


# Why they stop, trees, types and transformations.


@pytest.mark.parametrize(
    ("f", "x", "options", "stop"),
    [
        (lambda x: x * jnp.nan, 1.0, {}, Stop.NON_FINITE),
        (lambda x: jnp.sqrt(x), 0.0, {}, Stop.NON_FINITE),
        (lambda x: x - 1, 1.0, {}, Stop.GRADIENT),
        (lambda x: jnp.exp(x), 9.0, {"max_iterations": 3}, Stop.MAX_ITERATIONS),
        (lambda x: jnp.exp(x) - 1, 9.0, {"step_tolerance": 0.1}, Stop.SMALL_STEP),
        (lambda x: jnp.where(x == 1, x, jnp.nan), 1.0, {}, Stop.SMALL_STEP),  # there is nowhere to go from here
    ],
    ids=["nan", "nan gradient", "gradient", "iterations", "small step", "no step"],
)
def test_why_it_stopped(f, x, options, stop):
    solution = least_squares(f, jnp.full(2, x), **options)
    assert solution.why == stop
    if stop != Stop.NON_FINITE:
        assert np.isfinite(solution.params).all()


@pytest.mark.parametrize("method", [gauss_newton(line_search=backtracking()), levenberg(), levenberg_marquardt()])
def test_what_is_not_a_number_is_not_taken(method):
    solution = least_squares(lambda x: jnp.log(x) + x - 1, jnp.array([50.0, 3.0]), method=method)
    assert solution.why == Stop.GRADIENT
    np.testing.assert_allclose(solution.params, 1, atol=1e-5)


@pytest.mark.parametrize("method", ["levenberg", "levenberg_marquardt"])
def test_any_pytree_of_parameters_and_residuals_in_float32(method):
    def f(params, y):
        return {"a": params["w"] @ jnp.ones(3) - y, "b": [params["c"] - 2, params["none"]]}

    params = {"w": jnp.ones((2, 3), jnp.float32), "c": jnp.float32(0), "none": jnp.zeros((0, 2), jnp.float32)}
    solution = least_squares(f, params, jnp.ones(2, jnp.float32), method=method)
    assert solution.why == Stop.GRADIENT
    assert jax.tree.map(jnp.shape, solution.params) == jax.tree.map(jnp.shape, params)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(solution)} == {"float32", "int32"}
    np.testing.assert_allclose(solution.params["w"], 1 / 3, atol=1e-5)
    np.testing.assert_allclose(solution.params["c"], 2, atol=1e-5)


def arrays_in(jaxpr):
    """The shapes of all that a program computes, in its loops too."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.shape for variable in equation.outvars)
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                yield from arrays_in(getattr(inner, "jaxpr", inner))


@by_products
def test_no_jacobian_is_built_unless_asked_for(method):
    m, n = 17, 13

    def largest(method):
        program = jax.make_jaxpr(lambda x: least_squares(lambda x: jnp.tile(x**2, 2)[:m] - 1, x, method=method))(
            jnp.ones(n)
        )
        return max(map(np.prod, arrays_in(program.jaxpr)))

    assert largest(method) <= 2 * n
    assert (
        largest(
            {make.__name__: make(jacobian="dense") for make in (gauss_newton, levenberg, levenberg_marquardt)}[method]
        )
        >= m * n
    )


def test_networks_of_rules():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 2))
    y = np.sin(x[:, :1] + x[:, 1:])
    params = {"w1": 0.5 * rng.normal(size=(2, 4)), "w2": 0.5 * rng.normal(size=(4, 1))}

    def f(params):
        output = affine(tanh(affine(x, params["w1"])), params["w2"])
        return output - y, 0.1 * params["w1"], 0.1 * params["w2"]

    # Rounding counts here: starts that differ in their last digits take 66 to 81 iterations, so the median is bounded.
    starts = 1 + 1e-14 * np.arange(15)
    solutions = jax.vmap(lambda start: least_squares(f, jax.tree.map(lambda w: start * w, params)))(starts)
    assert (solutions.stop == Stop.GRADIENT).all()
    assert np.median(solutions.iterations) <= 80
    solution = jax.tree.map(lambda a: a[0], solutions)
    half_square = lambda params: sum(jnp.sum(r**2) for r in f(params)) / 2  # noqa: E731
    assert solution.value == pytest.approx(half_square(solution.params))
    assert all(jnp.abs(g).max() < 1e-5 for g in jax.tree.leaves(jax.grad(half_square)(solution.params)))


def test_vmap_is_a_loop():
    def solve(x, a):
        return least_squares(lambda x: rosenbrock(x) + a, x)

    x, a = jnp.array([[-1.2, 1.0], [1.0, 1.0], [0.0, 3.0]]), jnp.array([0.0, 0.0, 0.5])
    mapped = jax.jit(jax.vmap(solve))(x, a)
    one_by_one = jax.lax.map(lambda both: solve(*both), (x, a))
    np.testing.assert_allclose(mapped.params, one_by_one.params, rtol=1e-8)
    assert mapped.iterations.tolist() == one_by_one.iterations.tolist()
    assert mapped.iterations[1] == 0


# Bad input.


def r(x):
    return x - 1


BAD = {
    "loss": (lambda: least_squares(lambda x: jnp.sum(x), jnp.ones(2)), "residuals, an array of them, got one number"),
    "nothing": (lambda: least_squares(lambda x: {}, jnp.ones(2)), r"gives residuals, got \{\}"),
    "ints out": (lambda: least_squares(lambda x: jnp.arange(3), jnp.ones(2)), "gives floats, got int64"),
    "unknown": (lambda: least_squares(r, jnp.ones(2), method="lm"), '"gauss_newton", "levenberg", .* got \'lm\''),
    "for losses": (
        lambda: least_squares(r, jnp.ones(2), method="bfgs"),
        r"bfgs.* is a method of minimize\(f, params\)",
    ),
    "for residuals": (lambda: minimize(r, jnp.ones(2), method=levenberg()), r"is a method of least_squares\(residual"),
    "params": (lambda: least_squares(r, jnp.arange(2)), "float32 or float64, got int64: convert"),
    "tolerance": (lambda: least_squares(r, jnp.ones(2), tolerance=np.nan), "least_squares needs tolerance of zero or"),
    "jacobian": (lambda: gauss_newton(jacobian="sparse"), "gauss_newton needs jacobian as one of products, dense, got"),
    "damping": (lambda: levenberg(damping=0.0), r"levenberg needs damping in \(0, inf\), got 0.0"),
    "solve": (lambda: levenberg_marquardt(solve_tolerance=1), r"needs solve_tolerance in \(0, 1\), got 1"),
    "products": (
        lambda: levenberg_marquardt(max_products=0),
        "needs max_products as a whole number of at least 1, got 0",
    ),
    "search": (lambda: gauss_newton(line_search=0.5), "gauss_newton expects a line search, .* got 0.5"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()

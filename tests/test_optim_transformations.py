"""What wraps and combines optimizers: each against what it promises, computed another way."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl import optim
from fdl.layers import Affine, Relu, Serial
from fdl.losses import l2, softmax_cross_entropy
from fdl.optim import apply_updates
from fdl.optim.precision import round_stochastically
from fdl.train import init_train_state, make_train_step, supervised

RNG = np.random.default_rng(0)
PARAMS = {
    "body": {"w": RNG.normal(size=(4, 3)).astype(np.float32), "b": RNG.normal(size=3).astype(np.float32)},
    "head": {"w": RNG.normal(size=(3, 2)).astype(np.float32), "b": RNG.normal(size=2).astype(np.float32)},
}
GRADS = jax.tree.map(lambda w: RNG.normal(size=(10, *w.shape)).astype(np.float32), PARAMS)
LAST = jax.tree.map(lambda g: g[-1], GRADS)


def trajectory(opt, params=PARAMS, gradients=GRADS, values=None):
    """All parameters along the way, and the last state, from a compiled loop."""
    steps = len(jax.tree.leaves(gradients)[0])
    values = jnp.zeros(steps) if values is None else jnp.asarray(values)

    def body(carry, now):
        params, opt_state = carry
        updates, opt_state = opt.update(now[0], opt_state, params, value=now[1])
        params = apply_updates(params, updates)
        return (params, opt_state), params

    params = jax.tree.map(jnp.asarray, params)
    (_, opt_state), along = jax.jit(lambda p, g: jax.lax.scan(body, (p, opt.init(p)), (g, values)))(params, gradients)
    return along, opt_state


def assert_close(a, b, rtol=1e-5, atol=1e-6):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), a, b)


def bytes_of(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


class TestWeightDecay:
    def test_coupled_and_decoupled_are_the_same_for_gradient_descent(self):
        coupled = optim.chain(optim.add_l2(0.3), optim.sgd(0.1))
        decoupled = optim.chain(optim.sgd(0.1), optim.add_decoupled_weight_decay(0.03))
        assert_close(trajectory(coupled)[0], trajectory(decoupled)[0])

    def test_they_differ_for_adam(self):
        coupled, _ = trajectory(optim.chain(optim.add_l2(0.3), optim.adam(0.1)))
        decoupled, _ = trajectory(optim.chain(optim.adam(0.1), optim.add_decoupled_weight_decay(0.03)))
        adamw, _ = trajectory(optim.adamw(0.1, weight_decay=0.3))
        assert_close(decoupled, adamw)
        assert np.abs(coupled["body"]["w"] - adamw["body"]["w"]).max() > 0.05

    def test_the_coupled_one_is_the_gradient_of_the_penalty(self):
        penalty = jax.grad(lambda params: 0.2 * l2(params))(PARAMS)
        opt = optim.add_l2(0.4)
        added, _ = opt.update(LAST, opt.init(PARAMS), PARAMS)
        assert_close(added, jax.tree.map(lambda g, p: g + p, LAST, penalty))

    @pytest.mark.parametrize("make", [optim.add_l2, optim.add_decoupled_weight_decay])
    def test_is_for_the_paths_that_are_kept(self, make):
        opt = make(0.5, "*.w")
        updates, _ = opt.update(LAST, opt.init(PARAMS), PARAMS)
        assert_close(updates["body"]["b"], LAST["body"]["b"])
        assert (updates["body"]["w"] != LAST["body"]["w"]).all()


class TestClipping:
    def test_by_global_norm_is_one_factor_for_all(self):
        norm = np.sqrt(sum(np.sum(g.astype(float) ** 2) for g in jax.tree.leaves(LAST)))
        assert optim.global_norm(LAST) == pytest.approx(norm)
        for limit, factor in ((norm / 4, 0.25), (2 * norm, 1.0)):
            opt = optim.clip_by_global_norm(limit)
            assert_close(opt.update(LAST, opt.init(PARAMS))[0], jax.tree.map(lambda g: factor * g, LAST))  # noqa: B023

    def test_by_global_norm_of_zeros_and_of_what_overflows(self):
        opt = optim.clip_by_global_norm(1.0)
        grads = {"w": jnp.array([3e30, 0.0]), "b": jnp.array(4e30)}
        clipped, _ = opt.update(grads, opt.init(grads))
        assert_close(clipped, {"w": jnp.array([0.6, 0.0]), "b": jnp.array(0.8)})
        assert opt.update(jnp.zeros(3), opt.init(jnp.zeros(3)))[0].tolist() == [0, 0, 0]
        assert optim.global_norm({}) == optim.global_norm(jnp.ones((0, 3))) == 0

    @pytest.mark.parametrize("bad", [jnp.inf, jnp.nan])
    def test_by_global_norm_never_hides_what_is_not_finite(self, bad):
        opt, grads = optim.clip_by_global_norm(1.0), {"w": jnp.array([1.0, bad]), "b": jnp.array(1.0)}
        clipped, _ = opt.update(grads, opt.init(grads))
        assert jnp.isnan(clipped["w"]).all()
        assert jnp.isnan(clipped["b"])

    @pytest.mark.parametrize("size", [1e19, 1e30, 1e38, 3e38])
    def test_by_global_norm_of_the_largest_numbers(self, size):
        opt, g = optim.clip_by_global_norm(0.01), {"w": jnp.array([0.6, -0.8]) * size, "b": jnp.array(1.0)}
        updates, _ = opt.update(g, opt.init(g))
        np.testing.assert_allclose(updates["w"], [0.006, -0.008], rtol=1e-5)
        np.testing.assert_allclose(optim.global_norm(g), size, rtol=1e-5)

    def test_by_value(self):
        opt, g = optim.clip_by_value(0.5), jnp.array([-2.0, -0.1, 0.5, 3.0, jnp.nan])
        np.testing.assert_array_equal(opt.update(g, opt.init(g))[0], np.clip(g, -0.5, 0.5))

    def test_limits_may_be_schedules(self):
        opt, g = optim.clip_by_global_norm(optim.piecewise([1.0, 3.0], [1])), jnp.array([5.0])
        first, opt_state = opt.update(g, opt.init(g))
        assert (first, opt.update(g, opt_state)[0]) == (1, 3)


class TestMaxNorm:
    def test_ends_where_the_projection_is(self):
        opt = optim.chain(optim.sgd(0.5), optim.max_norm(1.0))
        along, _ = trajectory(opt)
        expected = PARAMS
        for t in range(10):
            expected = jax.tree.map(lambda w, g: w - 0.5 * g[t], expected, GRADS)  # noqa: B023
            expected = optim.project_max_norm(expected, 1.0)
        assert_close(jax.tree.map(lambda a: a[-1], along), expected)


@pytest.mark.parametrize("opt", [optim.chain(optim.sgd(0.5), optim.max_norm(1.0)), optim.scale_loss(optim.sgd(0.5))])
def test_updates_are_the_same_where_jax_is_set_to_be_strict(opt):
    w = jnp.array([[3.0, 0.3], [4.0, 0.4]])
    expected, _ = opt.update(w, opt.init(w), w)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        assert_close(opt.update(w, opt.init(w), w)[0], expected)


class TestCombinations:
    def test_a_chain_is_one_after_another(self):
        first, second = optim.clip_by_value(0.2), optim.momentum(0.1)
        clipped, _ = first.update(LAST, first.init(PARAMS), PARAMS)
        expected, _ = second.update(clipped, second.init(PARAMS), PARAMS)
        both = optim.chain(first, second)
        assert_close(both.update(LAST, both.init(PARAMS), PARAMS)[0], expected)

    def test_a_partition_updates_each_part_by_its_own(self):
        opt = optim.partition(optim.sgd(0.1), head=("head.*", optim.adam(0.01)), norms=(_is_bias, optim.momentum(0.3)))
        along, opt_state = trajectory(opt)
        assert set(opt_state) == {"head", "norms", "rest"}
        for one, paths in ((optim.sgd(0.1), ["body.w"]), (optim.adam(0.01), ["head.w", "head.b"])):
            alone, _ = trajectory(one)
            for path in paths:
                layer, name = path.split(".")
                assert_close(along[layer][name], alone[layer][name])
        assert_close(along["body"]["b"], trajectory(optim.momentum(0.3))[0]["body"]["b"])

    def test_a_mask_passes_on_what_it_leaves_out(self):
        opt = optim.chain(optim.mask(optim.clip_by_value(0.1), _is_bias), optim.sgd(1.0))
        updates, _ = opt.update(LAST, opt.init(PARAMS), PARAMS)
        assert_close(updates["body"]["w"], -LAST["body"]["w"])
        assert_close(updates["body"]["b"], -np.clip(LAST["body"]["b"], -0.1, 0.1))

    def test_frozen_parameters_stay_and_cost_no_memory(self):
        opt = optim.freeze(optim.adam(0.1), "body.*")
        along, opt_state = trajectory(opt)
        assert all((a == w).all() for a, w in zip(*map(jax.tree.leaves, (along["body"], PARAMS["body"])), strict=True))
        assert_close(along["head"], trajectory(optim.adam(0.1))[0]["head"])
        assert bytes_of(opt_state) == bytes_of(optim.adam().init({"head": PARAMS["head"]}))

    def test_gradients_of_frozen_parameters_are_not_computed(self):
        net = Serial(Affine(64), Relu(), Affine(3))
        params, state = net.init(jax.random.key(0), jnp.ones((16, 64)))

        def flops(opt):
            def step(params, x):
                grads = jax.grad(lambda params: net.apply(params, state, x)[0].sum())(params)
                return opt.update(grads, opt.init(params), params)[0]

            return jax.jit(step).lower(params, jnp.ones((16, 64))).compile().cost_analysis()["flops"]

        assert flops(optim.freeze(optim.sgd(0.1), "affine1.*")) < 0.7 * flops(optim.sgd(0.1))

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: optim.chain(), "at least one"),
            (
                lambda: optim.chain(optim.rmsprop(1.0), optim.momentum(0.1)).init(PARAMS),
                "two optimizers with a learning rate",
            ),
            (
                lambda: optim.chain(optim.chain(optim.add_l2(0.1), optim.sgd(1.0)), optim.adam()).init(PARAMS),
                "turn them uphill: partition is for several",
            ),
            (lambda: optim.chain(optim.sgd(0.1), optim.add_l2(0.1)).init(PARAMS), "it would make weights grow"),
            (lambda: optim.chain(optim.muon(keep="*.w"), optim.add_l2(0.1)).init(PARAMS), "add_l2 behind"),
            (
                lambda: optim.chain(optim.chain(optim.ema()), optim.skip_nonfinite(optim.adam())).init(PARAMS),
                "ema or average in front of an optimizer with a learning rate",
            ),
            (lambda: optim.partition(optim.sgd(0.1)), "needs groups"),
            (lambda: optim.partition(optim.sgd(0.1), rest=("*", optim.sgd(0.1))), "none called"),
            (lambda: optim.partition(optim.sgd(0.1), head=optim.sgd(0.1)), "expects head as a pair"),
            (lambda: optim.freeze(optim.adam(), "haed.*").init(PARAMS), r"no path fits the pattern 'haed\.\*'"),
            (lambda: optim.adamw(keep="haed.*").init(PARAMS), "no path fits"),
            (lambda: optim.accumulate(optim.sgd(0.1), 0), "accumulate needs steps as a whole number"),
            (lambda: optim.accumulate(optim.sgd(0.1), 1.5), "got 1.5"),
            (lambda: optim.ema(1.0), r"ema needs decay in \[0, 1\)"),
            (lambda: optim.average(every=0), "average needs every"),
            (lambda: optim.averaged(optim.adam().init(PARAMS)), "found 0"),
            (lambda: optim.scale_loss(optim.sgd(0.1), 0.5), "initial of at least 1"),
            (lambda: optim.scale_loss(optim.sgd(0.1), math.nan), "scale_loss needs a finite initial"),
            (lambda: optim.scale_loss(optim.sgd(0.1), factor=1.0), "factor above 1"),
            (lambda: optim.clip_by_value(0.0), "clip_by_value needs a finite limit that is positive"),
            (lambda: optim.clip_by_global_norm(-1.0), "clip_by_global_norm needs a finite limit"),
            (lambda: optim.add_l2(-1.0), "add_l2 needs a finite rate that is not negative"),
            (lambda: optim.add_decoupled_weight_decay(-1.0), "add_decoupled_weight_decay needs a finite rate"),
            (lambda: optim.max_norm(0.0), "max_norm needs a positive, finite limit, got 0.0"),
            (lambda: optim.max_norm(float("inf")), "max_norm needs a positive, finite limit, got inf"),
            (lambda: optim.stochastic_rounding(optim.sgd(0.1), -1), "stochastic_rounding needs seed"),
            (lambda: optim.bfloat16_memory(optim.sgd(0.1), 0.5), "bfloat16_memory needs seed"),
            (lambda: optim.reduce_on_plateau(1.5), "reduce_on_plateau needs factor between 0 and 1, got 1.5"),
            (
                lambda: optim.reduce_on_plateau(smallest=-1.0),
                "reduce_on_plateau needs a finite smallest that is not neg",
            ),
            (lambda: optim.reduce_on_plateau(cooldown=-1), "reduce_on_plateau needs cooldown as a whole number"),
            (lambda: optim.reduce_on_plateau().update(1.0, optim.reduce_on_plateau().init(1.0)), "value=loss"),
        ],
    )
    def test_bad_input_is_refused(self, call, message):
        with pytest.raises(fdl.InputError, match=message):
            call()

    @pytest.mark.parametrize(
        ("opt", "name"),
        [
            (optim.add_decoupled_weight_decay(0.1), "add_decoupled_weight_decay"),
            (optim.max_norm(1.0), "max_norm"),
            (optim.reduce_on_plateau(), "reduce_on_plateau"),
            (optim.average(), "ema or average"),
        ],
    )
    def test_what_works_on_updates_stands_behind(self, opt, name):
        """In front of a descent, weights that decay would grow, and a scale would do nothing to Adam."""
        with pytest.raises(fdl.InputError, match=f"chain has {name} in front of an optimizer with a learning rate"):
            optim.chain(opt, optim.adam()).init(PARAMS)
        optim.chain(optim.adam(), opt).init(PARAMS)
        optim.chain(optim.mask(optim.adam(), "*.w"), opt, optim.mask(optim.sgd(0.1), "*.b")).init(PARAMS)


def _is_bias(path):
    return path.endswith(".b")


class TestAccumulation:
    def test_equals_the_large_batch_exactly(self):
        """On numbers whose sums are exact, so that nothing hides behind rounding."""
        x = np.random.default_rng(1).integers(-4, 5, size=(16, 4)).astype(np.float32)

        def gradient(params, x):
            return jax.grad(lambda params: jnp.mean(jnp.sum(jnp.square(x @ params["w"]), axis=1)))(params)

        params = {"w": jnp.asarray(np.arange(12).reshape(4, 3), jnp.float32)}
        opt = optim.accumulate(optim.momentum(0.5), 4)
        opt_state, large = opt.init(params), optim.momentum(0.5)
        for _ in range(2):
            for part in np.split(x, 4)[:3]:
                updates, opt_state = opt.update(gradient(params, part), opt_state, params)
                assert (updates["w"] == 0).all()
            updates, opt_state = opt.update(gradient(params, x[12:]), opt_state, params)
            expected, _ = large.update(gradient(params, x), large.init(params), params)
            np.testing.assert_array_equal(updates["w"], expected["w"])
            opt_state = opt.init(params)

    def test_goes_on_like_the_optimizer_alone(self):
        mean = jax.tree.map(lambda g: g.reshape(5, 2, *g.shape[1:]).mean(1), GRADS)
        along, _ = trajectory(optim.accumulate(optim.adam(0.1), 2))
        assert_close(jax.tree.map(lambda a: a[1::2], along), trajectory(optim.adam(0.1), gradients=mean)[0])

    def test_sums_of_narrow_gradients_are_wide(self):
        w = jnp.ones((), jnp.bfloat16)
        opt = optim.accumulate(optim.sgd(1.0), 257)

        def step(opt_state, g):
            updates, opt_state = opt.update(g, opt_state, w)
            return opt_state, updates

        _, updates = jax.lax.scan(step, opt.init(w), jnp.ones(257, jnp.bfloat16))
        assert updates[-1] == -1


class TestAverages:
    def test_ema(self):
        along, opt_state = trajectory(optim.chain(optim.sgd(0.1), optim.ema(0.7)))
        expected = PARAMS["head"]["w"]
        for w in along["head"]["w"]:
            expected = 0.7 * expected + 0.3 * w
        assert_close(optim.averaged(opt_state)["head"]["w"], expected)

    def test_ema_by_a_schedule(self):
        along, opt_state = trajectory(optim.chain(optim.sgd(0.1), optim.ema(lambda step: step / 10)))
        expected = PARAMS["head"]["w"]
        for step, w in enumerate(along["head"]["w"]):
            expected = step / 10 * expected + (1 - step / 10) * w
        assert_close(optim.averaged(opt_state)["head"]["w"], expected)
        assert optim.hyperparameters(opt_state)["decay"] == pytest.approx(0.9)

    @pytest.mark.parametrize(("start", "every"), [(0, 1), (3, 1), (2, 3), (9, 4)])
    def test_stochastic_weight_averaging(self, start, every):
        along, opt_state = trajectory(optim.chain(optim.sgd(0.1), optim.average(start, every)))
        expected = jax.tree.map(lambda a: a[start::every].mean(0), along)
        assert_close(optim.averaged(opt_state), expected)

    def test_a_mean_in_float64_has_all_its_digits(self):
        with jax.enable_x64(True):
            wide = [jax.tree.map(lambda a: a.astype(np.float64), tree) for tree in (PARAMS, GRADS)]
            along, opt_state = trajectory(optim.chain(optim.sgd(0.1), optim.average()), *wide)
            assert_close(optim.averaged(opt_state), jax.tree.map(lambda a: a.mean(0), along), rtol=1e-14, atol=1e-14)

    def test_before_the_start_the_average_is_the_weights(self):
        along, opt_state = trajectory(optim.chain(optim.sgd(0.1), optim.average(100)))
        assert_close(optim.averaged(opt_state), jax.tree.map(lambda a: a[-1], along))

    def test_starts_from_a_copy_so_that_both_can_be_donated(self):
        params = jax.tree.map(jnp.asarray, PARAMS)
        for opt in (optim.ema(), optim.average()):
            jax.jit(lambda p, s: (p, s), donate_argnums=(0, 1))(jax.tree.map(jnp.copy, params), opt.init(params))
            average = optim.averaged(opt.init(params))
            assert average["head"]["w"].unsafe_buffer_pointer() != params["head"]["w"].unsafe_buffer_pointer()


class TestNonfinite:
    def test_steps_are_skipped_and_counted(self):
        bad = jax.tree.map(lambda g: g.copy(), GRADS)
        bad["head"]["b"][3, 1] = np.inf
        bad["body"]["w"][4, 2, 1] = np.nan
        good = jax.tree.map(lambda g: np.delete(g, [3, 4], axis=0), GRADS)
        along, opt_state = trajectory(optim.skip_nonfinite(optim.adam(0.1)), gradients=bad)
        expected, inner = trajectory(optim.adam(0.1), gradients=good)
        assert_close(jax.tree.map(lambda a: np.delete(a, [3, 4], axis=0), along), expected)
        assert_close(opt_state.inner, inner)
        assert (int(opt_state.skipped), int(opt_state.in_a_row)) == (2, 0)

    def test_those_in_a_row_are_counted_apart(self):
        opt, w = optim.skip_nonfinite(optim.sgd(0.1)), jnp.ones(2)
        opt_state, counts = opt.init(w), []
        for g in (jnp.nan, 1.0, jnp.inf, -jnp.inf):
            _, opt_state = opt.update(jnp.full(2, g), opt_state, w)
            counts.append((int(opt_state.skipped), int(opt_state.in_a_row)))
        assert counts == [(1, 1), (1, 0), (2, 1), (3, 2)]

    def test_loss_scale_grows_and_halves(self):
        gradients = jnp.array([1.0, 1.0, jnp.inf, 1.0, 1.0, 1.0, jnp.nan, jnp.nan], jnp.float16)
        opt, w = optim.scale_loss(optim.sgd(1.0), 4.0, interval=2), jnp.zeros((), jnp.float16)
        opt_state, scales, in_a_row = opt.init(w), [], []
        for g in gradients:
            _, opt_state = jax.jit(opt.update)(g, opt_state, w)
            scales.append(float(optim.loss_scale(opt_state)))
            in_a_row.append(int(optim.skipped_in_a_row(opt_state)))
        assert scales == [4, 8, 4, 4, 8, 8, 4, 2]
        assert in_a_row == [0, 0, 1, 0, 0, 0, 1, 2]
        assert int(opt_state.skipped) == 3
        assert optim.loss_scale(optim.sgd(0.1).init(w)) == 1

    @pytest.mark.parametrize("bad", ["w", "b"])
    def test_of_several_that_leave_out_the_longest_row_counts(self, bad):
        w = {"w": jnp.ones(2), "b": jnp.ones(2)}
        opt = optim.partition(optim.skip_nonfinite(optim.sgd(0.1)), b=("b", optim.skip_nonfinite(optim.sgd(0.1))))
        opt_state = opt.init(w)
        for number in (1, 2):
            _, opt_state = opt.update(w | {bad: jnp.full(2, jnp.nan)}, opt_state, w)
            assert optim.skipped_in_a_row(opt_state) == number

    def test_loss_scale_stays_in_its_range(self):
        opt, w = optim.scale_loss(optim.sgd(1.0), 1.0), jnp.zeros(())
        _, opt_state = opt.update(jnp.array(jnp.inf), opt.init(w), w)
        assert optim.loss_scale(opt_state) == 1
        opt = optim.scale_loss(optim.sgd(1.0), 2.0**127, interval=1)
        _, opt_state = opt.update(jnp.array(1.0), opt.init(w), w)
        assert optim.loss_scale(opt_state) == 2.0**127

    def test_float16_trains_where_gradients_would_vanish(self):
        """Gradients near 1e-8 are zero in float16 without the scale."""
        opt = optim.scale_loss(optim.sgd(1e6), 2.0**15)

        @jax.jit
        def step(w, opt_state, x):
            scale = optim.loss_scale(opt_state).astype(jnp.float16)
            grads = jax.grad(lambda w: (w * x) * (x * scale))(w)
            updates, opt_state = opt.update(grads, opt_state, w)
            return updates, opt_state

        w = jnp.zeros((), jnp.float16)
        assert step(w, opt.init(w), jnp.float16(1e-4))[0] == pytest.approx(-1e-2, rel=0.01)


class TestPrecision:
    def test_masters_follow_float32_training(self):
        narrow = jax.tree.map(lambda w: jnp.asarray(w, jnp.bfloat16), PARAMS)
        gradients = jax.tree.map(lambda g: jnp.asarray(g, jnp.bfloat16), GRADS)
        along, opt_state = trajectory(optim.float32_masters(optim.adam(1e-4)), narrow, gradients)
        full = [jax.tree.map(lambda a: a.astype(jnp.float32), tree) for tree in (narrow, gradients)]
        expected, inner = trajectory(optim.adam(1e-4), *full)
        assert_close(opt_state.inner, inner)
        assert_close(opt_state.masters, jax.tree.map(lambda a: a[-1], expected))
        rounded = jax.tree.map(lambda a: a.astype(jnp.bfloat16).astype(jnp.float32), expected)
        assert_close(jax.tree.map(lambda a: a.astype(jnp.float32), along), rounded, rtol=0, atol=0)

    def test_masters_are_for_narrow_parameters_only(self):
        opt, params = optim.float32_masters(optim.sgd(0.1)), {"w": jnp.ones(5, jnp.float16), "b": jnp.ones(3)}
        opt_state = opt.init(params)
        assert [leaf.size for leaf in jax.tree.leaves(opt_state.masters)] == [5]
        updates, _ = opt.update(params, opt_state, params)
        assert_close(updates["b"], jnp.full(3, -0.1))

    def test_small_updates_of_bfloat16_are_lost_without_them(self):
        w, gradients = jnp.ones(1000, jnp.bfloat16), jnp.ones((20, 1000), jnp.bfloat16)
        ends = [
            float(trajectory(opt, w, gradients)[0][-1].astype(jnp.float32).mean())
            for opt in (f(optim.sgd(1e-3)) for f in (lambda o: o, optim.float32_masters, optim.stochastic_rounding))
        ]
        assert ends == pytest.approx([1, 0.98, 0.98], abs=1e-3)
        assert ends[0] == 1

    def test_rounding_is_right_on_average_and_to_a_neighbour(self):
        x = jnp.array([1.001, -3.3, 1e-20, 65504.0, 0.0])
        rounded = round_stochastically(jnp.tile(x, (100_000, 1)), jax.random.key(1)).astype(jnp.float32)
        np.testing.assert_allclose(rounded.mean(0), x, rtol=1e-4)
        assert all(len(np.unique(column)) == (1 if x == 0 else 2) for x, column in zip(x, rounded.T, strict=True))
        special = jnp.array([jnp.inf, -jnp.inf, jnp.nan])
        np.testing.assert_array_equal(round_stochastically(special, jax.random.key(0)).astype(jnp.float32), special)

    def test_rounding_differs_from_step_to_step_and_repeats_with_its_seed(self):
        opt, w = optim.stochastic_rounding(optim.sgd(1e-3)), jnp.ones(1000, jnp.bfloat16)
        first, opt_state = opt.update(w, opt.init(w), w)
        second, _ = opt.update(w, opt_state, w)
        assert (first != second).any()
        np.testing.assert_array_equal(first, opt.update(w, opt.init(w), w)[0])
        other = optim.stochastic_rounding(optim.sgd(1e-3), seed=1)
        assert (first != other.update(w, other.init(w), w)[0]).any()

    def test_memory_in_bfloat16_takes_half_and_still_averages(self):
        opt, g = optim.bfloat16_memory(optim.adam(0.1)), jnp.full((1000, 200), 0.1)
        _, opt_state = trajectory(opt, jnp.zeros(200), g)
        assert opt_state.inner.slots["square"].dtype == jnp.bfloat16
        assert float(opt_state.inner.slots["square"].astype(float).mean()) == pytest.approx(
            0.01 * (1 - 0.999**1000), rel=0.02
        )
        assert bytes_of(opt_state) < 0.55 * bytes_of(optim.adam().init(jnp.zeros(200)))
        along, _ = trajectory(opt, PARAMS, GRADS)
        assert_close(along, trajectory(optim.adam(0.1))[0], rtol=0.1, atol=0.05)

    def test_masters_are_not_kept_in_bfloat16(self):
        params = {"w": jnp.ones(3, jnp.bfloat16)}
        with pytest.raises(fdl.InputError, match=r"stands inside, float32_masters\(bfloat16_memory\(optimizer\)\)"):
            optim.bfloat16_memory(optim.float32_masters(optim.adam())).init(params)
        behind = optim.chain(optim.clip_by_global_norm(1.0), optim.float32_masters(optim.adam()))
        with pytest.raises(fdl.InputError, match="stands inside"):
            optim.bfloat16_memory(behind).init(params)
        assert optim.float32_masters(optim.bfloat16_memory(optim.adam())).init(params).masters["w"].dtype == "float32"


class TestPlateau:
    def test_is_the_state_machine(self):
        """patience 1, cooldown 2, by hand: what the loss is in each step, and the scale that it leads to."""
        table = [(5, 1), (4, 1), (4, 1), (4, 0.5), (9, 0.5), (9, 0.5), (9, 0.5), (9, 0.25), (1, 0.25), (jnp.nan, 0.25)]
        values, scales = zip(*table, strict=True)
        opt = optim.chain(optim.sgd(1.0), optim.reduce_on_plateau(0.5, patience=1, cooldown=2))
        along, _ = trajectory(opt, jnp.zeros(()), jnp.ones(10), jnp.array(values, jnp.float32))
        np.testing.assert_allclose(-jnp.diff(along, prepend=0.0), scales)

    def test_compares_means_over_many_updates(self):
        opt = optim.chain(optim.sgd(1.0), optim.reduce_on_plateau(0.5, patience=0, every=2))
        values = [5, 1, 1, 3, 9, 9, 9, 9]  # means 3, 2, 9, 9
        along, _ = trajectory(opt, jnp.zeros(()), jnp.ones(8), jnp.array(values, jnp.float32))
        np.testing.assert_allclose(-jnp.diff(along, prepend=0.0), [1, 1, 1, 1, 1, 0.5, 0.5, 0.25])

    @pytest.mark.parametrize("leaves_out", [optim.skip_nonfinite, optim.scale_loss])
    def test_does_not_count_steps_that_are_left_out_around_it(self, leaves_out):
        opt = leaves_out(optim.chain(optim.sgd(1.0), optim.reduce_on_plateau(0.5, patience=0, every=2)))
        opt_state = opt.init(jnp.ones(()))
        for value in (4.0, math.nan, 3.0, 2.0, 1.0, math.nan):
            _, opt_state = opt.update(jnp.array(value), opt_state, jnp.ones(()), value=jnp.array(value))
        assert optim.hyperparameters(opt_state)["scale"] == 1

    def test_ends_at_the_smallest_scale_and_measures_improvement_relatively(self):
        opt = optim.reduce_on_plateau(0.5, patience=0, tolerance=0.1, smallest=0.3)
        opt_state, scales = opt.init(jnp.ones(())), []
        for value in (-10.0, -10.5, -11.5, -11.6, -11.7):
            _, opt_state = opt.update(jnp.ones(()), opt_state, value=value)
            scales.append(float(optim.hyperparameters(opt_state)["scale"]))
        np.testing.assert_allclose(scales, [1, 0.5, 0.5, 0.3, 0.3])

    def test_gets_the_loss_from_the_training_step(self):
        net, x, labels = Affine(3), jnp.eye(4), jnp.array([0, 1, 2, 0])
        optimizer = optim.chain(optim.sgd(0.0), optim.reduce_on_plateau(0.5, patience=0))
        train_step = make_train_step(supervised(net, softmax_cross_entropy), optimizer)
        train_state = init_train_state(net, optimizer, jax.random.key(0), x)
        for _ in range(3):
            train_state, _ = train_step(train_state, (x, labels))
        assert optim.hyperparameters(train_state.opt_state)["scale"] == 0.25


class TestMonitoring:
    def test_update_ratio_is_that_of_whole_layers(self):
        ratios = optim.update_ratio(jax.tree.map(lambda w: 0.01 * w, PARAMS), PARAMS)
        assert set(ratios) == {"body", "head"}
        assert ratios["body"] == pytest.approx(0.01)
        zero = {"a": {"w": jnp.zeros(2), "b": jnp.zeros(2)}, "c": {"w": jnp.zeros(1)}}
        moved = {"a": {"w": jnp.zeros(2), "b": jnp.zeros(2)}, "c": {"w": jnp.ones(1)}}
        assert jax.tree.map(float, jax.jit(optim.update_ratio)(moved, zero)) == {"a": 0, "c": np.inf}
        with pytest.raises(fdl.InputError, match=r"^head\.w: update_ratio"):
            optim.update_ratio(PARAMS | {"head": {"w": np.ones(2), "b": PARAMS["head"]["b"]}}, PARAMS)

    def test_hyperparameters_are_those_of_the_last_update(self):
        opt = optim.adam(optim.exponential(1.0, 0.5), b2=optim.piecewise([0.5, 0.75], [2]))
        opt_state = opt.init(PARAMS)
        seen = [optim.hyperparameters(opt_state)]
        for _ in range(3):
            _, opt_state = jax.jit(opt.update)(LAST, opt_state, PARAMS)
            seen.append(optim.hyperparameters(opt_state))
        assert set(seen[0]) == {
            "learning_rate",
            "b1",
            "b2",
            "eps",
        }
        np.testing.assert_allclose([now["learning_rate"] for now in seen], np.exp([0, 0, -0.5, -1]), rtol=1e-6)
        np.testing.assert_allclose([now["b2"] for now in seen], [0.5, 0.5, 0.5, 0.75])

    def test_hyperparameters_of_the_same_name_have_their_paths(self):
        opt = optim.skip_nonfinite(optim.partition(optim.sgd(0.1), head=("head.*", optim.adamw(0.2))))
        seen = jax.tree.map(float, optim.hyperparameters(opt.init(PARAMS)))
        assert seen["head.learning_rate"] == pytest.approx(0.2)
        assert seen["rest.learning_rate"] == pytest.approx(0.1)
        assert seen["weight_decay"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    "around",
    [
        optim.chain,
        lambda opt: optim.chain(optim.clip_by_value(1.0), opt),
        lambda opt: optim.accumulate(opt, 2),
        optim.skip_nonfinite,
        optim.scale_loss,
        optim.float32_masters,
        optim.stochastic_rounding,
        optim.bfloat16_memory,
        lambda opt: optim.mask(opt, "*.w"),
        lambda opt: optim.freeze(opt, "*.w"),
        lambda opt: optim.partition(opt, head=("head.*", optim.adam())),
        lambda opt: optim.muon(fallback=opt),
    ],
)
def test_what_is_no_optimizer_is_refused_where_it_is_given(around):
    for opt, message in (
        (optim.adam, r"takes an optimizer, such as .*: call it first, adam\(\.\.\.\)"),
        (1e-3, "takes an optimizer, such as .*, got 0.001"),
        ([optim.adam()], "takes an optimizer"),
    ):
        with pytest.raises(fdl.InputError, match=message):
            around(opt)


def test_optimizers_that_take_no_extra_arguments_get_none():
    plain = optim.Optimizer(lambda params: (), lambda grads, opt_state, params=None: (grads, opt_state))
    for opt in (plain, optim.chain(plain, optim.sgd(0.1)), optim.skip_nonfinite(plain), optim.accumulate(plain, 2)):
        optim.update_with(opt, LAST, opt.init(PARAMS), PARAMS, value=1.0)


@pytest.mark.parametrize(
    "opt",
    [
        optim.chain(optim.clip_by_global_norm(1.0), optim.scale_loss(optim.sgd(0.1))),
        optim.partition(optim.sgd(0.1), b=("b", optim.scale_loss(optim.sgd(0.1)))),
        optim.skip_nonfinite(optim.scale_loss(optim.sgd(0.1))),
        optim.scale_loss(
            optim.chain(
                optim.clip_by_value(1.0), optim.partition(optim.sgd(0.1), b=("b", optim.scale_loss(optim.sgd(0.1))))
            )
        ),
    ],
    ids=["behind", "for-some", "skipped", "twice"],
)
def test_a_loss_is_scaled_for_all_that_looks_at_gradients(opt):
    with pytest.raises(fdl.InputError, match="scale_loss belongs around all that looks at gradients"):
        optim.loss_scale(opt.init({"w": jnp.ones(2), "b": jnp.ones(2)}))


@pytest.mark.parametrize(
    "around",
    [
        lambda opt: optim.chain(opt, optim.ema(0.9)),
        lambda opt: optim.freeze(opt, "b"),
        optim.float32_masters,
        lambda opt: optim.accumulate(opt, 2),
    ],
    ids=["first", "freeze", "masters", "accumulate"],
)
def test_what_lets_gradients_through_may_be_around_a_scale(around):
    opt = around(optim.scale_loss(optim.chain(optim.clip_by_global_norm(1.0), optim.adam()), 8.0))
    assert optim.loss_scale(opt.init({"w": jnp.ones(2), "b": jnp.ones(2)})) == 8

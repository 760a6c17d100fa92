"""Checkpoints: what comes back is what was saved, or it is said what does not fit and what is broken."""

import dataclasses
import math
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.data import Position
from fdl.train import Checkpoints, Fitted, TrainState


class Moments(NamedTuple):
    mean: Any
    square: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Scaled:
    inner: Any
    scale: Any


def train_state(seed=0, features=3):
    """One of each: dtypes, shapes, containers, keys."""
    numbers = np.random.default_rng(seed)

    def array(*shape, dtype="float32"):
        return jnp.asarray(numbers.integers(-9, 9, shape) / 7, dtype)

    params = {"encoder": {"affine1": {"w": array(2, features), "b": array(features)}, "relu1": {}}}
    inner = (Moments({"w": array(4, dtype="bfloat16")}, [array(dtype="float16"), None]), (), array(5) > 0)
    opt_state = Scaled(inner, {"scale": array(), "count": array(dtype="int32"), "rows/none": jnp.zeros((0, 3))})
    state = {"seen": array(2, dtype="uint8"), "keys": jax.random.split(jax.random.key(seed, impl="rbg"), 2)}
    return TrainState(params, state, opt_state, jax.random.key(seed), jnp.array(seed))


def run_at(step, seed=0, **record):
    history = [{"epoch": 1, "step": 1, "loss": 1 / 3}, {"epoch": 1, "step": step, "loss": math.nan, **record}]
    return Fitted(train_state(seed), tuple(history), Position(0, step))


def saved(directory, *runs, **settings):
    with Checkpoints(directory, **settings) as checkpoints:
        for run in runs:
            checkpoints(run)


def values(tree):
    """Everything about the leaves of a tree, and its structure."""
    data = [
        jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in jax.tree.leaves(tree)
    ]
    numbers = [(str(x.dtype), x.shape, np.asarray(x).tobytes()) for x in data]
    return numbers, [str(x.dtype) for x in jax.tree.leaves(tree)], jax.tree.structure(tree)


class TestWhatComesBack:
    @pytest.mark.parametrize("how", [lambda: train_state(1), lambda: jax.eval_shape(train_state)])
    def test_is_what_was_saved(self, tmp_path, how):
        saved(tmp_path, run_at(7))
        with Checkpoints(tmp_path) as checkpoints:
            run = checkpoints.restore(how())
        assert values(run.train_state) == values(train_state())
        assert run.position == Position(0, 7)
        assert isinstance(run.position, Position)
        assert repr(run.history) == repr(run_at(7).history)
        assert run.stopped is None

    def test_gives_the_random_numbers_that_would_have_come(self, tmp_path):
        saved(tmp_path, run_at(7))
        with Checkpoints(tmp_path) as checkpoints:
            state = checkpoints.resume(train_state(1)).train_state
        np.testing.assert_array_equal(jax.random.normal(state.key, 3), jax.random.normal(jax.random.key(0), 3))
        for ours, theirs in zip(state.state["keys"], train_state().state["keys"], strict=True):
            np.testing.assert_array_equal(jax.random.bits(ours), jax.random.bits(theirs))

    def test_does_not_depend_on_what_happens_to_the_arrays_after_the_call(self, tmp_path):
        state = TrainState({"w": jnp.arange(1e6)}, {}, {"m": np.ones(10)}, jax.random.key(0), jnp.array(0))
        step = jax.jit(lambda params: jax.tree.map(lambda w: w * 0 - 1, params), donate_argnums=0)
        with Checkpoints(tmp_path) as checkpoints:
            for i in range(1, 4):
                checkpoints(Fitted(state, ({"step": i},)))
                state.opt_state["m"][:] = i + 1
                state = state._replace(params=step(state.params))
            first, second = (checkpoints.restore(jax.eval_shape(lambda: state), i).train_state for i in (1, 2))
        np.testing.assert_array_equal(first.params["w"], np.arange(1e6, dtype=np.float32))
        np.testing.assert_array_equal(second.params["w"], np.full(10**6, -1))
        assert (first.opt_state["m"].tolist(), second.opt_state["m"].tolist()) == ([1] * 10, [2] * 10)

    def test_may_be_taken_over_by_a_step(self, tmp_path):
        saved(tmp_path, run_at(7))
        with Checkpoints(tmp_path) as checkpoints:
            state = checkpoints.restore(train_state()).train_state
            jax.jit(lambda state: state._replace(step=state.step + 1), donate_argnums=0)(state)
            assert values(checkpoints.restore(train_state()).train_state) == values(train_state())

    def test_is_found_by_its_path_and_not_by_its_place(self, tmp_path):
        class Turned(NamedTuple):
            square: Any
            mean: Any

        state = TrainState({}, {}, Moments(jnp.array(1.0), jnp.array(2.0)), None, jnp.array(3))
        saved(tmp_path, Fitted(state, ({"step": 3},)))
        with Checkpoints(tmp_path) as checkpoints:
            turned = checkpoints.restore(state._replace(opt_state=Turned(jnp.array(0.0), jnp.array(0.0))))
        assert turned.train_state.opt_state == Turned(square=2.0, mean=1.0)

    def test_comes_to_the_devices_that_it_was_put_on(self, tmp_path):
        spread = jax.sharding.NamedSharding(jax.make_mesh((8,), ("x",)), jax.sharding.PartitionSpec("x"))

        def state(put):
            params = {"w": put(jnp.arange(16.0)), "free": jnp.ones(3)}
            return TrainState(params, {}, (), jax.device_put(jax.random.key(0), jax.devices()[3]), jnp.array(0))

        saved(tmp_path, Fitted(state(lambda w: w), ({"step": 1},)))
        with Checkpoints(tmp_path) as checkpoints:
            sharded = checkpoints.restore(state(lambda w: jax.device_put(w, spread))).train_state
            checkpoints(Fitted(sharded, ({"step": 2},)))
            whole = checkpoints.restore(state(lambda w: w)).train_state
        assert sharded.params["w"].sharding == spread
        assert sharded.key.devices() == {jax.devices()[3]}
        assert not sharded.params["free"].committed  # a batch may be on any device
        assert not whole.params["w"].committed
        np.testing.assert_array_equal(whole.params["w"], np.arange(16))


class TestWhatIsKept:
    @pytest.mark.parametrize(
        ("mode", "losses", "kept", "best"),
        [
            ("min", [0.1, 0.5, 0.4, 0.3], (1, 3, 4), 1),
            ("max", [0.1, 0.5, 0.4, 0.3], (2, 3, 4), 2),
            ("min", [0.4, 0.3, 0.2, 0.1], (3, 4), 4),
            ("min", [math.nan, 0.2, 0.3, math.nan], (2, 3, 4), 2),
            ("min", [math.nan] * 4, (3, 4), None),
        ],
    )
    def test_the_newest_and_the_best(self, tmp_path, mode, losses, kept, best):
        history = [{"step": i + 1, "loss": loss} for i, loss in enumerate(losses)]
        state = TrainState({}, {}, (), None, jnp.array(0))
        settings = {"keep": 2, "best": "loss", "mode": mode}
        saved(tmp_path, *(Fitted(state, tuple(history[:i])) for i in (1, 2)), **settings)
        saved(tmp_path, *(Fitted(state, tuple(history[:i])) for i in (3, 4)), **settings)  # another process
        with Checkpoints(tmp_path, **settings) as checkpoints:
            assert (checkpoints.steps, checkpoints.latest, checkpoints.best) == (kept, 4, best)

    def test_nothing_yet(self, tmp_path):
        with Checkpoints(tmp_path / "new", best="loss") as checkpoints:
            assert (checkpoints.steps, checkpoints.latest, checkpoints.best) == ((), None, None)
            checkpoints.close()  # and once more when the block ends
            state = train_state()
            assert checkpoints.resume(state) == Fitted(state)
            with pytest.raises(InputError, match="has no checkpoints yet"):
                checkpoints.restore(state)

    def test_a_run_that_broke_down_is_not_saved(self, tmp_path):
        saved(tmp_path, run_at(3), run_at(4)._replace(stopped="the loss is not finite any more"))
        with Checkpoints(tmp_path) as checkpoints:
            assert checkpoints.steps == (3,)
            assert checkpoints.best is None  # none was asked for

    def test_a_metric_that_is_not_recorded(self, tmp_path):
        with (
            Checkpoints(tmp_path, best="accuracy", mode="max") as checkpoints,
            pytest.raises(InputError, match="no 'accuracy'"),
        ):
            checkpoints(run_at(3))

    @pytest.mark.parametrize("step", [2, 3])
    def test_nothing_is_overwritten(self, tmp_path, step):
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints(run_at(3))
            with pytest.raises(InputError, match=f"step {step} cannot be saved in .*, which has step 3 already: go on"):
                checkpoints(run_at(step, seed=1))
            assert values(checkpoints.restore(train_state()).train_state) == values(train_state())

    def test_nothing_is_saved_behind_what_another_process_saved_meanwhile(self, tmp_path):
        with Checkpoints(tmp_path) as checkpoints:
            assert checkpoints.latest is None
            saved(tmp_path, run_at(3), run_at(6))  # by one that was thought to be dead
            with pytest.raises(InputError, match=r"step 5 cannot be saved in .*, which has step 6 already: go on"):
                checkpoints(run_at(5))
            assert checkpoints.steps == (3, 6)


def like(**changes):
    return train_state()._replace(**changes)


def affine(**arrays):
    return {"encoder": {"affine1": {"w": jnp.ones((2, 3)), "b": jnp.ones(3), **arrays}, "relu1": {}}}


class TestWhatDoesNotFit:
    @pytest.mark.parametrize(
        ("state", "message"),
        [
            (
                lambda: train_state(features=4),
                r"params.encoder.affine1.b: expected float32\[4\], checkpoint 7 has float32\[3\]",
            ),
            (
                lambda: like(params=affine(w=jnp.ones((2, 3), jnp.bfloat16))),
                r"params.encoder.affine1.w: expected bfloat16\[2, 3\], checkpoint 7 has float32\[2, 3\]",
            ),
            (
                lambda: like(params=affine(gamma=jnp.ones(3))),
                r"params.encoder.affine1.gamma: expected float32\[3\], checkpoint 7 has nothing there; it has params",
            ),
            (
                lambda: like(params={"encoder": {"affine2": affine()["encoder"]["affine1"]}}),
                "params.encoder.affine2.b: .* has nothing there; it has params.encoder.affine1.b",
            ),
            (lambda: like(opt_state=None), r"opt_state.inner.0.mean.w: checkpoint 7 has bfloat16\[4\] there, and noth"),
            (lambda: like(key=jax.random.key(0, impl="rbg")), r"key: expected key<rbg>\[\], .* has key<fry>\[\]"),
            (lambda: like(key=jax.random.key_data(jax.random.key(0))), r"key: expected uint32\[2\], .* has key<fry>"),
        ],
    )
    def test_is_named(self, tmp_path, state, message):
        saved(tmp_path, run_at(7))
        with Checkpoints(tmp_path) as checkpoints, pytest.raises(InputError, match=message):
            checkpoints.restore(state())

    def test_two_arrays_with_one_path(self, tmp_path):
        run = Fitted({"a.b": jnp.ones(1), "a": {"b": jnp.ones(1)}}, ({"step": 1},))
        with Checkpoints(tmp_path) as checkpoints, pytest.raises(InputError, match=r"a\.b: two arrays have this path"):
            checkpoints(run)

    def test_a_step_that_is_not_there(self, tmp_path):
        saved(tmp_path, run_at(7))
        with Checkpoints(tmp_path) as checkpoints:
            for do in lambda: checkpoints.restore(train_state(), 8), lambda: checkpoints.delete(8):
                with pytest.raises(InputError, match=r"has no checkpoint 8; there are \[7\]"):
                    do()


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def one_array(seed=0):  # TensorStore, told to stop reading others, complains on the standard error
    return {"w": jnp.asarray(np.random.default_rng(seed).normal(size=(30, 40)), "float32")}


class TestWhatIsBroken:
    @pytest.mark.parametrize("damage", [cut, Path.unlink])
    def test_is_never_taken_for_good(self, tmp_path, damage):
        """One file after the other is damaged: either it was not needed, or it is said that it is missing."""
        saved(tmp_path / "good", Fitted(one_array(), run_at(7).history))
        files = [file.relative_to(tmp_path / "good") for file in (tmp_path / "good").rglob("*") if file.is_file()]
        errors = []
        for i, file in enumerate(files):
            shutil.copytree(tmp_path / "good", tmp_path / str(i))
            damage(tmp_path / str(i) / file)
            with Checkpoints(tmp_path / str(i)) as checkpoints:
                try:
                    run = checkpoints.restore(one_array(1))
                    assert values(run.train_state) == values(one_array())
                    assert repr(run.history) == repr(run_at(7).history)
                except InputError as error:
                    errors.append(str(error))
        assert len(errors) >= 4
        for error in errors:
            assert error.startswith(f"checkpoint 7 in {tmp_path}/")
            assert "cannot be read: files of it are missing or cut off" in error
            assert "To begin anew: there is none before it, remove it with delete(7)" in error

    def test_can_be_left_for_the_one_before(self, tmp_path):
        saved(tmp_path, run_at(3, seed=3), run_at(5, seed=5))
        shutil.rmtree(tmp_path / "5" / "arrays")
        with Checkpoints(tmp_path) as checkpoints:
            with pytest.raises(InputError, match=r"To go on from checkpoint 3, remove it with delete\(5\)"):
                checkpoints.resume(train_state())
            assert values(checkpoints.restore(train_state(), 3).train_state) == values(train_state(3))
            checkpoints.delete(5)
            run = checkpoints.resume(train_state())
            assert (values(run.train_state), run.position) == (values(train_state(3)), (0, 3))
            checkpoints(run_at(5, seed=6))
            assert values(checkpoints.resume(train_state()).train_state) == values(train_state(6))

    def test_what_others_left_in_the_directory(self, tmp_path):
        saved(tmp_path, run_at(3), run_at(5))
        shutil.rmtree(tmp_path / "3" / "run")  # a process was killed when it deleted this one
        (tmp_path / "7.orbax-checkpoint-tmp").mkdir()  # and another when it wrote that one
        (tmp_path / "report.html").write_text("x")
        (tmp_path / "events").mkdir()
        with Checkpoints(tmp_path, keep=1) as checkpoints:
            assert checkpoints.latest == 5
            checkpoints.restore(train_state())
            assert (tmp_path / "7.orbax-checkpoint-tmp").exists()  # by a run that is still on, for all we know
            checkpoints(run_at(7))
        assert {path.name for path in tmp_path.iterdir()} == {"7", "report.html", "events"}

    def test_checkpoints_of_other_programs(self, tmp_path):
        import orbax.checkpoint as ocp

        with ocp.CheckpointManager(tmp_path) as manager:
            manager.save(1, args=ocp.args.Composite(train_state=ocp.args.StandardSave({"w": jnp.ones(3)})))
            manager.save(2, args=ocp.args.Composite(run=ocp.args.JsonSave({"history": []})))
        with Checkpoints(tmp_path) as checkpoints:
            for step in 1, 2:
                with pytest.raises(InputError, match=f"checkpoint {step} .* or it is from another program"):
                    checkpoints.restore(train_state(), step)


def test_settings(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="Checkpoints needs keep as a whole number of at least 1, got 0"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(InputError, match='mode is "min" or "max"'):
        Checkpoints(tmp_path, mode="less")
    with pytest.raises(InputError, match='of validation_accuracy, more is better: mode="max"'):
        Checkpoints(tmp_path, best="validation_accuracy")
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(ImportError, match=r'pip install "fdl\[train\]"'):
        Checkpoints(tmp_path)

"""Prefetch: the same batches, ahead of time, and a thread that ends whatever happens. And any iterable trains."""

import itertools
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.data import Batches, prefetch
from fdl.layers import Affine
from fdl.losses import softmax_cross_entropy
from fdl.optim import sgd
from fdl.train import fit, init_train_state, make_train_step, supervised

WAIT = 20  # seconds, for what comes within milliseconds


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "fdl-prefetch"]


def arrays(n=5):
    return [{"x": np.full((2, 3), i), "i": np.array([i])} for i in range(n)]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_gives_the_same_batches_on_the_device(size):
    given = list(prefetch(arrays(), size))
    assert len(given) == 5
    for batch, expected in zip(given, arrays(), strict=True):
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(batch))
        jax.tree.map(np.testing.assert_array_equal, batch, expected)


def test_can_be_gone_through_again_and_has_the_length_of_what_it_is_given():
    batches = prefetch(arrays())
    assert [len(list(batches)), len(list(batches)), len(batches)] == [5, 5, 5]
    assert not hasattr(prefetch(iter(arrays())), "__len__")
    assert list(prefetch([])) == []


def test_passes_what_is_no_array_as_it_is():
    batches = Batches((np.arange(4.0), np.arange(4)), 2, seed=0)
    for (after, (x, _)), expected in zip(prefetch(batches.iterate()), [(0, 1), (1, 0)], strict=False):
        assert after == expected
        assert isinstance(after.epoch, int)
        assert isinstance(x, jax.Array)
    assert list(prefetch([("name", None, 3)])) == [("name", None, 3)]


def test_reads_as_far_ahead_as_it_may():
    read, enough = [], threading.Event()

    def source():
        for i in range(10):
            read.append(i)
            if len(read) == 4:
                enough.set()
            yield i

    batches = iter(prefetch(source(), 3))
    assert next(batches) == 0
    assert enough.wait(WAIT)  # 0 is in use, 1 to 3 are ready
    time.sleep(0.05)
    assert read == [0, 1, 2, 3]
    batches.close()


def test_works_while_the_consumer_works():
    """The consumer waits until batch 1 is being made, which without a thread would be never."""
    started = threading.Event()

    def source():
        yield 0
        started.set()
        yield 1

    for batch in prefetch(source()):
        if batch == 0:
            assert started.wait(WAIT)


def test_a_source_may_fill_its_buffer_again():
    def source():
        buffer = np.zeros((257, 64))
        for i in range(20):
            buffer[:] = i
            yield buffer

    assert [float(batch.max()) for batch in prefetch(source(), 4)] == list(range(20))


def test_errors_of_the_source_come_after_the_batches_before_them():
    def source():
        yield 1
        raise OSError("the disk is gone")

    batches = iter(prefetch(source()))
    assert next(batches) == 1
    with pytest.raises(OSError, match="the disk is gone") as caught:
        next(batches)
    assert "source" in [entry.name for entry in caught.traceback]


def test_errors_before_the_first_batch_and_in_the_transfer():
    with pytest.raises(TypeError, match="not iterable"):
        list(prefetch(3))
    with pytest.raises(TypeError):
        list(prefetch([np.array(["text"])]))


@pytest.mark.parametrize("how", ["break", "error", "garbage", "close"])
def test_stops_with_its_consumer_and_closes_the_source(how):
    closed = []

    def source():
        try:
            yield from itertools.count()
        finally:
            closed.append(threading.current_thread().name)

    if how == "break":
        for _ in prefetch(source()):
            break
    elif how == "error":
        with pytest.raises(ZeroDivisionError):
            sum(1 / batch for batch in prefetch(source()))
    else:
        batches = iter(prefetch(source()))
        next(batches)
        if how == "close":
            batches.close()
        del batches
    assert closed == ["fdl-prefetch"]


def test_starts_nothing_until_it_is_used():
    iter(prefetch(arrays()))
    assert all(thread.name != "fdl-prefetch" for thread in threading.enumerate())


def test_puts_batches_where_new_arrays_go_or_where_it_is_told():
    device = jax.devices()[3]
    with jax.default_device(device), jax.enable_x64(True):
        (batch,) = prefetch([np.ones(2)])
    assert (batch.device, batch.dtype) == (device, np.float64)
    (batch,) = prefetch([np.ones(2)], device=device)
    assert (batch.device, batch.dtype) == (device, np.float32)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    (batch, of_jax) = next(iter(prefetch([(np.ones((16, 2)), jnp.ones(8))], device=sharding)))
    assert batch.sharding == of_jax.sharding == sharding


def test_moves_nothing_that_it_does_not_say():
    with jax.transfer_guard("disallow"):
        assert len(list(prefetch(arrays()))) == 5


def test_refuses_to_make_none_ahead():
    with pytest.raises(InputError, match="prefetch needs size as a whole number of at least 1, got 0"):
        prefetch([], 0)


class TestFit:
    """`fit` takes any iterable of batches for an epoch: ours, a generator, another library's loader."""

    @pytest.fixture
    def run(self):
        x = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
        data = x, x[:, :3].argmax(1).astype(np.int32)
        net, optimizer = Affine(3), sgd(0.1)
        train_step = make_train_step(supervised(net, softmax_cross_entropy), optimizer)

        def run(make_batches):
            train_state = init_train_state(net, optimizer, jax.random.key(0), x)
            train_state, history, *_ = fit(train_step, train_state, make_batches(data), epochs=3, progress=None)
            assert history[-1]["loss"] < history[0]["loss"]
            return np.asarray(train_state.params["w"]).tolist()

        return run

    def test_every_way_to_give_batches_is_the_same_training(self, run):
        def generator_of(data):
            def batches(epoch):
                order = np.random.default_rng((0, epoch)).permutation(10)
                for start in 0, 4:
                    chosen = order[start : start + 4]
                    yield tuple(array[chosen] for array in data)

            return batches

        expected = run(lambda data: Batches(data, 4, seed=0))
        assert run(generator_of) == expected
        assert run(lambda data: lambda epoch: prefetch(Batches(data, 4, seed=0)(epoch))) == expected

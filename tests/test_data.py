"""Data: splits and batches are functions of their seeds, and lose nothing on the way."""

import copy
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.data import Batches, Position, Subset, digits, k_folds, ordered_batches, shuffled_batches, split

X = np.arange(20.0).reshape(10, 2)
LABELS = np.arange(10)


def ids(batches):
    return [labels.tolist() for _, labels in batches]


def all_ids(batches):
    return np.concatenate([labels for _, labels in batches]).tolist()


class TestShuffledBatches:
    def test_order_depends_on_seed_and_epoch_only(self):
        first, again = (ids(shuffled_batches((X, LABELS), 4, seed=1, epoch=2)) for _ in range(2))
        other_data = ids(shuffled_batches((X + 1, LABELS), 4, seed=1, epoch=2))
        assert first == again == other_data
        assert first != ids(shuffled_batches((X, LABELS), 4, seed=1, epoch=3))
        assert first != ids(shuffled_batches((X, LABELS), 4, seed=2, epoch=2))
        assert ids(shuffled_batches((X, LABELS), 4, seed=2, epoch=1)) != first

    def test_keeps_rows_together(self):
        for x, labels in shuffled_batches((X, LABELS), 3, seed=0, epoch=0):
            np.testing.assert_array_equal(x, X[labels])

    @pytest.mark.parametrize(("drop_last", "sizes"), [(True, [4, 4]), (False, [4, 4, 2])])
    def test_gives_every_example_once(self, drop_last, sizes):
        batches = shuffled_batches((X, LABELS), 4, seed=0, epoch=0, drop_last=drop_last)
        assert [len(labels) for _, labels in batches] == sizes
        assert len(batches) == len(sizes)
        seen = all_ids(batches)
        assert len(set(seen)) == len(seen)
        assert drop_last or sorted(seen) == LABELS.tolist()

    def test_leaves_out_others_in_every_epoch(self):
        left_out = {
            (set(range(10)) - set(all_ids(shuffled_batches((X, LABELS), 9, seed=0, epoch=epoch)))).pop()
            for epoch in range(10)
        }
        assert len(left_out) > 3

    def test_is_a_sequence(self):
        batches = shuffled_batches(LABELS, 4, seed=0, epoch=0, drop_last=False)
        whole = [batch.tolist() for batch in batches]
        assert [batches[i].tolist() for i in (0, 1, -1)] == whole
        for part in slice(1, None), slice(2), slice(None, None, -1), slice(5, None):
            assert [batch.tolist() for batch in batches[part]] == whole[part]
            assert len(batches[part]) == len(whole[part])
        with pytest.raises(IndexError):
            batches[3]

    def test_takes_any_pytree_of_numpy_or_jax_arrays(self):
        data = {"x": jnp.asarray(X), "labels": LABELS}
        (batch,) = shuffled_batches(data, 10, seed=0, epoch=0)
        assert jax.tree.structure(batch) == jax.tree.structure(data)
        np.testing.assert_array_equal(batch["x"], X[batch["labels"]])

    @pytest.mark.parametrize("size", [0, -1, 11])
    def test_refuses_a_batch_size_that_does_not_fit(self, size):
        with pytest.raises(InputError, match=f"from 1 to 10.*got {size}"):
            shuffled_batches((X, LABELS), size, seed=0, epoch=0)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ((X, LABELS[:9]), r"one length.*\[10, 9\]"),
            ((X, [1, 2]), "got int"),
            ((X, np.float32(1)), "got float32"),
            ((), "none at all"),
        ],
    )
    def test_refuses_what_is_no_data(self, arrays, message):
        with pytest.raises(InputError, match=message):
            shuffled_batches(arrays, 2, seed=0, epoch=0)

    def test_refuses_what_selects_rows_by_label(self):
        class Series(list):  # as of pandas, which is not installed here
            iloc, ndim, shape = None, 1, (10,)

        for take in (
            lambda data: Batches(data, 4, seed=0),
            lambda data: ordered_batches(data, 4),
            lambda data: split(data, (5, 5), seed=0),
            lambda data: k_folds(data, 2, seed=0),
        ):
            with pytest.raises(InputError, match=r"got a Series of pandas, .* by label .*: pass .to_numpy\(\)"):
                take((X, Series()))

    def test_refuses_negative_seeds(self):
        with pytest.raises(InputError, match="got -1"):
            shuffled_batches(X, 2, seed=-1, epoch=0)

    @pytest.mark.parametrize("seed", [None, 0.5, jax.random.key(0)], ids=["None", "0.5", "key"])
    def test_says_what_a_seed_is(self, seed):
        for take in (
            lambda: Batches(X, 2, seed=seed),
            lambda: split(X, (5, 5), seed=seed),
            lambda: k_folds(X, 2, seed=seed),
            lambda: Batches(X, 2, seed=0)(seed),
        ):
            with pytest.raises(InputError, match="seeds and epochs are integers >= 0, got "):
                take()


class Stored:
    """An array on disk such as HDF5 has: it reads rows in rising order only, and remembers which."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.read = []

    def __getitem__(self, index):
        assert np.all(np.diff(index) > 0)
        self.read.append(np.atleast_1d(index).tolist())
        return self.array[index]


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


class TestBatches:
    @pytest.mark.parametrize("drop_last", [True, False])
    def test_has_the_batches_of_every_epoch(self, drop_last):
        batches = Batches((X, LABELS), 4, seed=1, drop_last=drop_last)
        for epoch in 0, 3:
            assert ids(batches(epoch)) == ids(
                shuffled_batches((X, LABELS), 4, seed=1, epoch=epoch, drop_last=drop_last)
            )
        assert batches.per_epoch == len(batches(0)) == (2 if drop_last else 3)

    @pytest.mark.parametrize("drop_last", [True, False])
    def test_goes_on_from_any_position_with_the_batches_that_would_have_come(self, drop_last):
        batches = Batches((X, LABELS), 4, seed=1, drop_last=drop_last)
        positions, steps = [Position()], []
        for after, (_, labels) in batches.iterate():
            positions.append(after)
            steps.append(labels.tolist())
            if after.epoch == 3:
                break
        assert len(steps) == 3 * batches.per_epoch
        assert steps == [one for epoch in range(3) for one in ids(batches(epoch))]
        for done, position in enumerate(positions[:-1]):
            restored = json.loads(json.dumps(position))
            again = Batches((X, LABELS), 4, seed=1, drop_last=drop_last).iterate(restored)
            assert [next(again)[1][1].tolist() for _ in steps[done:]] == steps[done:]
            assert batches.at(jax.tree.map(np.asarray, position))[1].tolist() == steps[done]

    def test_positions_are_integers_in_a_pytree(self):
        after, _ = next(Batches(LABELS, 4, seed=0).iterate())
        assert jax.tree.leaves(after) == [0, 1]
        assert after == (0, 1)

    def test_is_a_value(self):
        batches = Batches(LABELS, 4, seed=0)
        with pytest.raises(AttributeError):
            batches.seed = 1
        first = iter(batches.iterate())
        next(first)
        assert next(batches.iterate())[0] == (0, 1)
        assert repr(copy.copy(batches)) == "Batches(10 examples, batch_size=4, seed=0, drop_last=True)"

    @pytest.mark.parametrize("position", [(0, 2), (0, -1), (-1, 0)])
    def test_refuses_a_position_of_other_data_before_anything_is_read(self, position):
        batches = Batches(LABELS, 4, seed=0)
        for use in batches.iterate, batches.at:
            with pytest.raises(
                InputError, match=rf"no batch {position[1]} of epoch {position[0]}.*2 batches per epoch"
            ):
                use(position)

    @pytest.mark.parametrize(("size", "seed", "message"), [(0, 0, "from 1 to 10"), (11, 0, "got 11"), (2, -1, "-1")])
    def test_refuses_other_settings(self, size, seed, message):
        with pytest.raises(InputError, match=message):
            Batches(LABELS, size, seed=seed)


class TestOrderedBatches:
    def test_has_all_examples_in_order(self):
        assert ids(ordered_batches((X, LABELS), 4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert ids(ordered_batches((X, LABELS), 99)) == [LABELS.tolist()]

    def test_refuses_an_empty_batch(self):
        with pytest.raises(InputError, match="got 0"):
            ordered_batches(LABELS, 0)


class TestOnDisk:
    def test_memory_maps_give_the_batches_of_arrays(self, mapped):
        for of_map, of_array in zip(
            shuffled_batches(mapped, 3, seed=0, epoch=0), shuffled_batches(X, 3, seed=0, epoch=0), strict=True
        ):
            assert type(of_map) is np.ndarray
            np.testing.assert_array_equal(of_map, of_array)

    def test_rows_are_read_in_the_order_of_storage_one_batch_at_a_time(self):
        stored = Stored(X)
        x, labels = shuffled_batches((stored, LABELS), 4, seed=0, epoch=0)[0]
        np.testing.assert_array_equal(x, X[labels])
        assert stored.read == [sorted(labels.tolist())]

    def test_slices_read_nothing(self):
        stored = Stored(X)
        assert len(shuffled_batches(stored, 4, seed=0, epoch=0)[1:]) == 1
        assert stored.read == []

    def test_parts_of_what_is_on_disk_stay_there(self, mapped):
        view = mapped[:, :1]
        for array in mapped, view, Stored(X):
            part, _ = split(array, (6, 4), seed=0)
            assert isinstance(part, Subset)
            assert (part.shape, part.ndim, part.dtype, len(part)) == ((6, array.shape[1]), 2, X.dtype, 6)
        stored = Stored(X)
        part, rest = split((stored, LABELS), (6, 4), seed=0)
        assert stored.read == []
        for x, labels in shuffled_batches(part, 2, seed=0, epoch=0):
            np.testing.assert_array_equal(x, X[labels])
        np.testing.assert_array_equal(np.asarray(rest[0]), X[rest[1]])
        np.testing.assert_array_equal(rest[0][1], X[rest[1][1]])
        assert np.asarray(rest[0], np.float32).dtype == np.float32
        assert repr(rest[0]) == "Subset(4 rows of float64[10, 2])"

    def test_parts_of_parts(self, mapped):
        part, _ = split((mapped, LABELS), (6, 4), seed=0)
        half, _ = split(part, (3, 3), seed=1)
        np.testing.assert_array_equal(np.asarray(half[0]), X[half[1]])


class TestSplit:
    @pytest.mark.parametrize("parts", [(0.7, 0.1, 0.2), (7, 1, 2), [0.7, np.float32(0.1), 0.2]])
    def test_deals_out_every_example_once(self, parts):
        dealt = split((X, LABELS), parts, seed=0)
        assert [len(labels) for _, labels in dealt] == [7, 1, 2]
        assert sorted(all_ids(dealt)) == LABELS.tolist()
        for x, labels in dealt:
            np.testing.assert_array_equal(x, X[labels])

    def test_depends_on_the_seed(self):
        assert ids(split((X, LABELS), (5, 5), seed=0)) == ids(split((X, LABELS), (5, 5), seed=0))
        assert ids(split((X, LABELS), (5, 5), seed=0)) != ids(split((X, LABELS), (5, 5), seed=1))

    @pytest.mark.parametrize("seed", range(5))
    def test_stratified_has_every_class_in_proportion(self, seed):
        labels = np.repeat([0, 1, 2], [70, 21, 9])
        dealt = split((np.arange(100), labels), (0.7, 0.1, 0.2), seed=seed, stratify=labels)
        for x, of_part in dealt:
            np.testing.assert_array_equal(labels[x], of_part)
            counts = np.bincount(of_part, minlength=3)
            assert np.abs(counts - np.array([70, 21, 9]) * len(of_part) / 100).max() <= 1

    @pytest.mark.parametrize("seed", range(20))
    def test_stratified_has_no_part_without_a_class_that_is_large_enough(self, seed):
        rng = np.random.default_rng(seed)
        labels = rng.choice(8, size=60, p=rng.dirichlet(np.ones(8)))
        sizes = rng.multinomial(60 - 5, rng.dirichlet(np.ones(5))) + 1
        numbers = np.bincount(labels, minlength=8)
        for part, size in zip(split(labels, sizes.tolist(), seed=seed, stratify=labels), sizes, strict=True):
            assert len(part) == size
            assert np.abs(np.bincount(part, minlength=8) - numbers * size / 60).max() <= 1

    def test_stratified_is_random_within_a_class(self):
        labels = np.zeros(10, int)
        first = {tuple(sorted(split(LABELS, (5, 5), seed=seed, stratify=labels)[0])) for seed in range(10)}
        assert len(first) > 5

    @pytest.mark.parametrize("parts", [(0.7, 0.2), (7, 2), (1.5, -0.5), (), (0.7, 0.7), (11, -1)])
    def test_refuses_parts_that_do_not_add_up(self, parts):
        with pytest.raises(InputError, match="add up"):
            split((X, LABELS), parts, seed=0)

    @pytest.mark.parametrize("parts", [0.8, 8, np.float32(0.8)])
    def test_refuses_a_single_part(self, parts):
        with pytest.raises(InputError, match=r"a fraction or a size for each part, such as \(0.8, 0.2\), got"):
            split((X, LABELS), parts, seed=0)

    @pytest.mark.parametrize("parts", [(0.99, 0.01), (10, 0)])
    def test_refuses_an_empty_part(self, parts):
        with pytest.raises(InputError, match="empty"):
            split((X, LABELS), parts, seed=0)

    def test_refuses_classes_of_another_length(self):
        with pytest.raises(InputError, match=r"\[10\].*\[9\]"):
            split((X, LABELS), (5, 5), seed=0, stratify=LABELS[:9])


class TestKFolds:
    @pytest.mark.parametrize("k", [2, 3, 10])
    def test_every_example_is_validated_once_and_trained_on_otherwise(self, k):
        folds = list(k_folds((X, LABELS), k, seed=0))
        assert len(folds) == k
        assert sorted(all_ids([validation for _, validation in folds])) == LABELS.tolist()
        for training, validation in folds:
            assert sorted([*training[1], *validation[1]]) == LABELS.tolist()
            np.testing.assert_array_equal(training[0], X[training[1]])
        sizes = [len(labels) for _, (_, labels) in folds]
        assert max(sizes) - min(sizes) <= 1

    def test_depends_on_the_seed(self):
        first, again, other = (
            [validation.tolist() for _, validation in k_folds(LABELS, 2, seed=seed)] for seed in (0, 0, 1)
        )
        assert first == again != other

    @pytest.mark.parametrize("seed", range(3))
    def test_stratified_has_every_class_in_proportion(self, seed):
        labels = np.repeat([0, 1, 2], [70, 21, 9])
        for _, validation in k_folds(labels, 4, seed=seed, stratify=labels):
            assert np.abs(np.bincount(validation, minlength=3) - np.array([70, 21, 9]) / 4).max() < 1
        few = np.array([0] * 2 + [1] * 4 + [2, 3, 4])
        assert all((validation == 1).any() for _, validation in k_folds(few, 3, seed=seed, stratify=few))

    @pytest.mark.parametrize("k", [1, 11, 2.5])
    def test_refuses_another_number_of_folds(self, k):
        with pytest.raises(InputError, match=f"k as a whole number from 2 to 10, .*, got {k}"):
            k_folds((X, LABELS), k, seed=0)


class TestDigits:
    def test_are_images_from_0_to_1_and_class_ids(self):
        images, labels = digits()
        assert (images.shape, images.dtype) == ((1797, 8, 8), np.float32)
        assert (labels.shape, labels.dtype) == ((1797,), np.int32)
        assert (images.min(), images.max()) == (0, 1)
        assert np.bincount(labels).min() > 170

    def test_say_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
        with pytest.raises(ImportError, match=r'pip install "fdl\[data\]"'):
            digits()

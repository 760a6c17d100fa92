"""Data: splits and batches are functions of their seeds, and lose nothing on the way."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.data import digits, shuffled_batches, split

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
        assert [batch.tolist() for batch in batches[1:]] == whole[1:]
        with pytest.raises(IndexError):
            batches[3]

    def test_takes_any_pytree_of_numpy_or_jax_arrays(self):
        data = {"x": jnp.asarray(X), "labels": LABELS}
        (batch,) = shuffled_batches(data, 10, seed=0, epoch=0)
        assert jax.tree.structure(batch) == jax.tree.structure(data)
        np.testing.assert_array_equal(batch["x"], X[batch["labels"]])

    @pytest.mark.parametrize("size", [0, -1, 11])
    def test_refuses_a_batch_size_that_does_not_fit(self, size):
        with pytest.raises(InputError, match=f"between 1 and 10.*got {size}"):
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

    def test_refuses_negative_seeds(self):
        with pytest.raises(InputError, match="got -1"):
            shuffled_batches(X, 2, seed=-1, epoch=0)


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

    def test_stratified_is_random_within_a_class(self):
        labels = np.zeros(10, int)
        first = {tuple(sorted(split(LABELS, (5, 5), seed=seed, stratify=labels)[0])) for seed in range(10)}
        assert len(first) > 5

    @pytest.mark.parametrize("parts", [(0.7, 0.2), (7, 2), (1.5, -0.5), (), (0.7, 0.7), (11, -1)])
    def test_refuses_parts_that_do_not_add_up(self, parts):
        with pytest.raises(InputError, match="add up"):
            split((X, LABELS), parts, seed=0)

    @pytest.mark.parametrize("parts", [(0.99, 0.01), (10, 0)])
    def test_refuses_an_empty_part(self, parts):
        with pytest.raises(InputError, match="empty"):
            split((X, LABELS), parts, seed=0)

    def test_refuses_classes_of_another_length(self):
        with pytest.raises(InputError, match=r"\[10\].*\[9\]"):
            split((X, LABELS), (5, 5), seed=0, stratify=LABELS[:9])


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

"""The data report: what it measures is what NumPy measures, and what it warns of is there."""

import json

import numpy as np
import pytest

from fdl import InputError
from fdl.data import data_report
from fdl.data.quality import Duplicate


def make(n=40, classes=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3)), np.arange(n) % classes


def test_good_data_raises_no_warning():
    report = data_report({"training": make(), "validation": make(20, seed=1), "test": make(seed=2)})
    assert report.ok
    assert report.warnings == report.duplicates == ()
    assert "WARNING" not in str(report)


@pytest.mark.parametrize("block", [1, 50, 1 << 24])
def test_measures_what_numpy_measures(monkeypatch, block):
    monkeypatch.setattr("fdl.data.arrays._BLOCK", block)
    x, labels = make()
    x = x + 1e6
    x[3, 1], x[7, 0] = np.nan, -np.inf
    report = data_report({"all": {"x": x.astype(np.float64), "labels": labels}})
    of_labels, of_x = report.rows
    finite = x[np.isfinite(x)]
    expected = (finite.min(), finite.max(), finite.mean(), finite.std())
    np.testing.assert_allclose((of_x.low, of_x.high, of_x.mean, of_x.std), expected, rtol=1e-9)
    assert (of_x.name, of_x.shape, of_x.dtype, of_x.not_finite) == ("all.x", (40, 3), "float64", 2)
    assert of_labels.classes == {0: 10, 1: 10, 2: 10, 3: 10}
    assert "all.x has 2 numbers that are NaN or infinite" in report.warnings


def warnings(**parts):
    return " / ".join(data_report(parts).warnings)


def test_warns_of_numbers():
    x, labels = make()
    assert "b.0 is 2 everywhere" in warnings(a=(x, labels), b=(np.full((4, 3), 2.0), labels[:4]))
    assert "a has 3 numbers that are NaN" in warnings(a=np.full((1, 3), np.nan))
    pixels = np.random.default_rng(0).integers(0, 256, (40, 5)).astype(np.uint8)
    assert "a.0 goes from 0 to 255" in warnings(a=(pixels, labels)).replace(str(pixels.max()), "255")
    tokens = np.random.default_rng(0).integers(0, 50000, (40, 5))
    assert warnings(a=(tokens, tokens)) == ""


@pytest.mark.parametrize("change", [lambda x: 3 * x, lambda x: x / 3, lambda x: x + 2])
def test_warns_of_parts_that_are_scaled_differently(change):
    x, labels = make()
    message = warnings(training=(x, labels), test=(change(make(seed=1)[0]), labels))
    assert message.startswith("training.0 has mean")
    assert "test.0" in message


def test_warns_of_classes():
    x, labels = make()
    assert "test.1 has no example of class 2, 3" in warnings(training=(x, labels), test=(make(seed=1)[0], labels % 2))
    assert "1: there is class 6, but none of class 1, 3, 5" in warnings(a=(x, labels * 2))
    assert "1: there is class -1, but ids count from 0" in warnings(a=(x, labels - 1))
    assert "but none of class 1, 2, 3, 4, 5, ..." in warnings(a=(x, labels * 10**9))
    rare = np.where(np.arange(40) < 2, 1, 0)
    assert "a.1 has 38 examples of class 0 and 2 of class 1" in warnings(a=(x, rare))


def test_finds_examples_that_are_there_twice():
    x, labels = make()
    other = make(seed=1)[0]
    other[[4, 9]] = x[[30, 31]]
    x[5] = x[2]
    of_other = labels.copy()
    of_other[9] = (labels[31] + 1) % 4
    of_other[4] = labels[30]
    labels[5] = labels[2]
    report = data_report({"training": (x, labels), "test": (other, of_other)})
    assert report.duplicates == (
        Duplicate("training", 5, "training", 2, True),
        Duplicate("test", 4, "training", 30, True),
        Duplicate("test", 9, "training", 31, False),
    )
    within, across, contradicting = report.warnings
    assert within == "1 example of training is there again (training 5 is training 2)"
    assert across.startswith("2 examples of test are in training too")
    assert contradicting.endswith("1 have another class than the first time, such as test 9 and training 31")


def test_compares_all_arrays_of_an_example_over_blocks(monkeypatch):
    monkeypatch.setattr("fdl.data.arrays._BLOCK", 3)
    x = np.zeros((6, 1), np.float32)
    y = np.array([[0.0], [1], [2], [3], [1], [5]])
    (twice,) = data_report({"all": {"x": x, "y": y}}).duplicates
    assert (twice.index, twice.first_index) == (4, 1)


def test_integers_among_the_inputs_are_no_class_ids():
    x, labels = make()
    lengths = np.where(np.arange(len(x)) < 2, 3, 9)
    report = data_report({"a": ((x, lengths), labels)})
    assert report.ok
    assert [bool(row.classes) for row in report.rows] == [False, False, True]
    same = np.zeros_like(x[:3])
    (twice,) = data_report({"a": ((same, np.array([1, 2, 1])), labels[:3])}).duplicates  # the lengths are part of it
    assert (twice.index, twice.first_index) == (2, 0)


def test_labels_alone_are_not_compared():
    assert data_report({"all": np.array([0, 1, 0, 1])}).ok


def test_reads_memory_maps(tmp_path):
    x, labels = make()
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert data_report({"a": (mapped, labels)}) == data_report({"a": (x, labels)})


def test_numbers_are_plain(tmp_path):
    row = data_report({"a": make()}).rows[0]
    assert json.loads(json.dumps([row.low, row.std, row.not_finite, row.classes])) == [row.low, row.std, 0, {}]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "at least one part"),
        ({"a": np.zeros((0, 3))}, "'a' has no examples"),
        ({"a": (*make()[:1], [1])}, "int"),
        (make(), r'by name, such as {"training": \(images, labels\)}, got a tuple'),
        (
            {"a": (np.eye(2), np.array(["cat", "dog"]))},
            r"a\.1 has no numbers, but <U3: .* np.unique\(names, return_inv",
        ),
        ({"a": np.array([None, 1])}, "a has no numbers, but object"),
    ],
)
def test_refuses_what_is_no_data(parts, message):
    with pytest.raises(InputError, match=message):
        data_report(parts)

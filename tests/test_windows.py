"""The arithmetic of windows, against counting them."""

import itertools

import pytest

from fdl import InputError
from fdl.windows import output_size, receptive_field, windows


def count(size, kernel, stride, low, high, dilation):
    """How many windows of these taps lie inside the padded input, one by one."""
    starts = range(-low, size + high, stride)
    return sum(start + (kernel - 1) * dilation < size + high for start in starts)


@pytest.mark.parametrize(("kernel", "stride", "dilation"), list(itertools.product([1, 2, 3], [1, 2, 3], [1, 2])))
def test_sizes_are_what_counting_gives(kernel, stride, dilation):
    for size, low, high in itertools.product(range(5, 12), range(3), range(3)):
        expected = count(size, kernel, stride, low, high, dilation)
        assert output_size(size, kernel, stride=stride, padding=(low, high), dilation=dilation) == expected


@pytest.mark.parametrize(("kernel", "stride", "dilation"), list(itertools.product([1, 2, 3, 5], [1, 2, 3, 4], [1, 2])))
def test_same_is_the_least_padding_for_a_window_at_every_stride(kernel, stride, dilation):
    for size in range(1, 12):
        laid = windows("it", (size,), kernel, stride=stride, padding="SAME", dilation=dilation)
        ((low, high),) = laid.padding
        assert laid.output == (len(range(0, size, stride)),)
        assert high - low in (0, 1)
        assert low + high == 0 or count(size, kernel, stride, low, high - 1, dilation) < laid.output[0]


def test_each_axis_has_its_own_numbers():
    laid = windows("it", (7, 8, 9), (1, 2, 3), stride=(1, 2, 2), padding=((0, 0), (1, 0), (0, 2)), dilation=(1, 1, 2))
    assert laid.output == (7, 4, 4)
    assert windows("it", (7, 7), 3, padding=1).padding == ((1, 1), (1, 1))


def test_receptive_field_of_known_networks():
    vgg = [(3, 1), (3, 1), (2, 2)] * 2 + [(3, 1), (3, 1), (3, 1), (2, 2)] * 3
    assert receptive_field(vgg) == 212
    assert receptive_field([(3, 1, 1), (3, 1, 2), (3, 1, 4)]) == 15
    assert receptive_field([]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": 0}, "pool needs a kernel of at least 1 for each of 2 spatial axes, got 0"),
        ({"kernel": (2, 2, 2)}, r"kernel of at least 1 for each of 2 spatial axes, got \(2, 2, 2\)"),
        ({"kernel": 2, "stride": 0}, "pool needs a stride"),
        ({"kernel": 2, "dilation": 1.5}, "pool needs a dilation"),
        ({"kernel": 2, "padding": "same"}, "pool takes padding as .* got 'same'"),
        ({"kernel": 2, "padding": -1}, "pool takes padding as .* got -1"),
        ({"kernel": 2, "padding": ((1, 1),)}, "pool takes padding as"),
        ({"kernel": 6}, r"pool needs an input as large as its window, got spatial sizes \[5, 6\]"),
        ({"kernel": 2, "stride": 2, "padding": "VALID_EXACT"}, "leaves 1 of 5 positions over"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        windows("pool", (5, 6), **arguments)

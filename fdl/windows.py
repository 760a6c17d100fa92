"""Windows that slide over the spatial axes of [N, *spatial, C]: the arithmetic that convolutions and pools share.

A window of k taps, d positions apart, is (k - 1) d + 1 positions long. With p_low and p_high positions of padding
before and after an axis of n positions, and s positions from one window to the next, there is room for

    floor((n + p_low + p_high - ((k - 1) d + 1)) / s) + 1

windows; positions behind the last one are not seen. The paddings with a name are

    "VALID"        none, so every window lies inside the input
    "VALID_EXACT"  none, and a stride for which the last window does not end where the input ends is refused
    "SAME"         as much as ceil(n / s) windows need, half of it on each side, the odd one at the end

The receptive field r of an output position is the extent of the network's input that it sees, and the jump j the
distance in the input between neighbouring positions. Starting from r = j = 1, each layer of windows makes

    r' = r + (k - 1) d j          j' = j s

since the outermost taps of a window are (k - 1) d positions apart, and neighbouring positions are j apart.

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016).
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fdl.counts import for_each_axis, is_count
from fdl.errors import InputError

Padding = str | int | Sequence[tuple[int, int]]


class Windows(NamedTuple):
    """How windows lie on spatial axes: a number for each axis, and (low, high) for the padding."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    output: tuple[int, ...]


def windows(
    who: str,
    sizes: Sequence[int],
    kernel: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
) -> Windows:
    """Says how windows lie on axes of these sizes, with every choice written out for every axis.

    Args:
        who: who asks, for what is said of mistakes.
        sizes: of the spatial axes.
        kernel, stride, dilation: one number for all axes, or one for each; all at least 1.
        padding: "SAME", "VALID", "VALID_EXACT", a number of positions on every side, or (low, high) for each axis.

    Raises:
        InputError: for numbers out of their range, a padding that has no meaning, an input that is smaller than one
            window, and under "VALID_EXACT" for a stride that leaves positions over.

    Example:
        >>> windows("conv", (5, 8), 3, stride=2, padding="SAME")
        Windows(kernel=(3, 3), stride=(2, 2), padding=((1, 1), (0, 1)), dilation=(1, 1), output=(3, 4))
    """
    axes = len(sizes)
    kernels = for_each_axis(who, "kernel", kernel, axes)
    strides = for_each_axis(who, "stride", stride, axes)
    dilations = for_each_axis(who, "dilation", dilation, axes)
    extents = [(k - 1) * d + 1 for k, d in zip(kernels, dilations, strict=True)]
    pads = _pads(who, padding, sizes, extents, strides)
    counts = []
    for n, extent, s, (low, high) in zip(sizes, extents, strides, pads, strict=True):
        room = n + low + high - extent
        if room < 0:
            raise InputError(
                f"{who} needs an input as large as its window, got spatial sizes {list(sizes)} with padding "
                f"{list(pads)} for windows of {extents}"
            )
        if padding == "VALID_EXACT" and room % s:
            raise InputError(
                f"{who} with padding VALID_EXACT needs windows that end where the input ends, but a window of {extent} "
                f'with stride {s} leaves {room % s} of {n} positions over: "VALID" leaves them out, "SAME" pads'
            )
        counts.append(room // s + 1)
    return Windows(kernels, strides, pads, dilations, tuple(counts))


def transposed_windows(
    who: str, outputs: Sequence[int], kernel: int | Sequence[int], stride: int | Sequence[int], padding: Padding
) -> tuple[Windows, tuple[int, ...]]:
    """The windows that give this many outputs, and the sizes that they lie on: what a transposed convolution makes.

    Of the several sizes that a stride takes to n outputs, it is n times the stride under "SAME", and otherwise the
    smallest, (n - 1) stride + kernel - padding.

    Args:
        who, kernel, stride, padding: as for `windows`.
        outputs: windows on each axis.

    Raises:
        InputError: as `windows`, and for a padding that leaves nothing.

    Example:
        >>> transposed_windows("", (4,), 3, 2, "SAME")[1], transposed_windows("", (4,), 3, 2, "VALID")[1]
        ((8,), (9,))
    """
    kernels = for_each_axis(who, "kernel", kernel, len(outputs))
    strides = for_each_axis(who, "stride", stride, len(outputs))
    if padding == "SAME":
        sizes = tuple(n * s for n, s in zip(outputs, strides, strict=True))
    else:
        pads = _pads(who, padding, outputs, kernels, strides)
        axes = zip(outputs, kernels, strides, pads, strict=True)
        sizes = tuple((n - 1) * s + k - low - high for n, k, s, (low, high) in axes)
        if min(sizes) < 1:
            raise InputError(
                f"{who} cuts its padding off what it gives, but {list(pads)} leaves nothing for {list(outputs)} "
                f"positions with kernel {list(kernels)} and stride {list(strides)}"
            )
    return windows(who, sizes, kernels, stride=strides, padding=padding), sizes


def output_size(
    size: int, kernel: int, *, stride: int = 1, padding: str | int | tuple[int, int] = "VALID", dilation: int = 1
) -> int:
    """How many windows fit on one axis: floor((size + padding - extent) / stride) + 1.

    Args:
        size: positions of the input.
        kernel, stride, dilation: of the window; its extent is (kernel - 1) dilation + 1.
        padding: "SAME", "VALID", "VALID_EXACT", a number for both ends, or (low, high).

    Raises:
        InputError: for an input smaller than the window, and under "VALID_EXACT" for a stride that does not fit.

    Example:
        >>> output_size(32, 5), output_size(32, 3, stride=2, padding="SAME"), output_size(227, 11, stride=4)
        (28, 16, 55)
        >>> output_size(10, 3, stride=2, padding="VALID_EXACT")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: output_size with padding VALID_EXACT needs windows that end where the input ends, ...
    """
    pairs = (padding,) if isinstance(padding, tuple) else padding
    return windows("output_size", (size,), kernel, stride=stride, padding=pairs, dilation=dilation).output[0]


def see_further(field: Any, jump: Any, kernel: Any, stride: Any, dilation: Any = 1) -> tuple[Any, Any]:
    """The receptive field and jump behind one more window: (r + (kernel - 1) dilation j, j stride).

    Example:
        >>> see_further(3, 2, kernel=3, stride=2)
        (7, 4)
    """
    return field + (kernel - 1) * dilation * jump, jump * stride


def receptive_field(layers: Iterable[tuple[int, ...]]) -> int:
    """How many input positions of one axis an output position sees through a chain of windows.

    Args:
        layers: (kernel, stride) or (kernel, stride, dilation) of each, the one nearest to the input first.

    Example:
        >>> receptive_field([(3, 1)] * 3), receptive_field([(7, 2), (3, 2), (3, 1), (3, 1)])
        (7, 27)
    """
    field, jump = 1, 1
    for window in layers:
        field, jump = see_further(field, jump, *window)
    return field


def _pads(
    who: str, padding: Padding, sizes: Sequence[int], extents: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    if padding in ("VALID", "VALID_EXACT"):
        return ((0, 0),) * len(sizes)
    if padding == "SAME":
        totals = [max((-(-n // s) - 1) * s + e - n, 0) for n, e, s in zip(sizes, extents, strides, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    pairs: Any = ((padding, padding),) * len(sizes) if is_count(padding, least=0) else padding
    is_one_each = isinstance(pairs, Sequence) and len(pairs) == len(sizes)
    if is_one_each and not isinstance(pairs, str) and all(map(_is_pair, pairs)):
        return tuple((low, high) for low, high in pairs)
    raise InputError(
        f'{who} takes padding as "SAME", "VALID", "VALID_EXACT", a number that is not negative, or (low, high) for '
        f"each of {len(sizes)} spatial axes, got {padding!r}"
    )


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple | list) and len(pair) == 2 and all(is_count(p, least=0) for p in pair)

"""What a data set is: arrays, in any pytree, with one row per example.

An array is whatever has ``shape``, ``dtype``, ``ndim`` and rows at integer indices: NumPy and JAX arrays,
memory maps (``np.load(path, mmap_mode="r")``), HDF5 and zarr arrays, `fdl.data.image_folder`'s images. What is
not in memory stays where it is, and is read batch by batch, its rows in the order in which they are stored:
neighbours on disk come in one go, and HDF5 takes no other order. What selects rows by label, as pandas does, is no such
array, and is refused: ``y[[2, 0]]`` of a shuffled Series are other rows than those of ``x[[2, 0]]``.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from fdl.counts import is_count
from fdl.errors import InputError

_BLOCK = 1 << 22  # numbers, of which float64 takes 32 MB


def count(arrays: Any) -> int:
    """How many examples there are.

    Args:
        arrays: a pytree of arrays that agree in the length of their first axis.

    Raises:
        InputError: when they do not agree, or are no such arrays, as those of pandas, whose rows have labels.

    Example:
        >>> import numpy as np
        >>> count((np.zeros((100, 8, 8)), np.zeros(100)))
        100
    """
    leaves = jax.tree.leaves(arrays)
    if labelled := [leaf for leaf in leaves if hasattr(leaf, "iloc")]:
        raise InputError(
            f"data is made of arrays, got a {type(labelled[0]).__name__} of pandas, which selects rows by label and "
            "not by place: pass .to_numpy()"
        )
    if not leaves or not all(getattr(leaf, "ndim", 0) for leaf in leaves):
        wrong = next((type(leaf).__name__ for leaf in leaves if not getattr(leaf, "ndim", 0)), "none at all")
        raise InputError(
            f"data is made of arrays with one row per example, got {wrong}: np.asarray makes one of a list"
        )
    lengths = [leaf.shape[0] for leaf in leaves]
    if len(set(lengths)) > 1:
        raise InputError(f"data needs arrays of one length, the number of examples; got lengths {lengths}")
    return lengths[0]


def rows(arrays: Any, index: Any) -> Any:
    """The examples at these places, in the same pytree, read into memory.

    Example:
        >>> import numpy as np
        >>> rows({"x": np.array([10, 11, 12])}, np.array([2, 0]))
        {'x': array([12, 10])}
    """
    return jax.tree.map(lambda array: _read(array, index), arrays)


def blocks(arrays: Any) -> Iterator[Any]:
    """All examples in order, read into memory as NumPy arrays, some million numbers at a time.

    Example:
        >>> import numpy as np
        >>> [len(block) for block in blocks(np.broadcast_to(np.uint8(0), (10_000, 1000)))]
        [4194, 4194, 1612]
    """
    examples, largest = count(arrays), max(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(arrays))
    step = max(1, _BLOCK // max(largest, 1))
    for start in range(0, examples, step):
        yield jax.tree.map(np.asarray, rows(arrays, np.arange(start, min(start + step, examples))))


def subset(arrays: Any, index: np.ndarray) -> Any:
    """The same, but what is not in memory is not read either: it becomes a `Subset`."""
    return jax.tree.map(lambda array: array[index] if in_memory(array) else Subset(array, index), arrays)


def loaded(arrays: Any) -> Any:
    """The same pytree with all arrays in memory, as a compiled function takes them; what is no array stays as it is.

    Example:
        >>> import numpy as np
        >>> loaded({"x": Subset(np.array([10, 11, 12]), np.array([2, 0])), "scale": 0.5})
        {'scale': 0.5, 'x': array([12, 10])}
    """
    return jax.tree.map(
        lambda leaf: np.asarray(leaf) if hasattr(leaf, "shape") and not in_memory(leaf) else leaf, arrays
    )


@dataclass(frozen=True, eq=False, repr=False)
class Subset:
    """Some rows of an array that stays where it is, itself an array as far as data sets are concerned.

    Args:
        array: the array.
        index: [n], which of its rows.

    Example:
        >>> import numpy as np
        >>> some = Subset(np.array([10, 11, 12]), np.array([2, 0]))
        >>> some, some[0], np.asarray(some)
        (Subset(2 rows of int64[3]), np.int64(12), array([12, 10]))
    """

    array: Any
    index: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Its own number of rows, and the rest of the array's shape."""
        return (len(self.index), *self.array.shape[1:])

    @property
    def dtype(self) -> Any:
        """That of the array."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """That of the array."""
        return self.array.ndim

    def __repr__(self) -> str:  # without the numbers, of which there are many, and on disk
        return f"Subset({len(self)} rows of {np.dtype(self.dtype)}{list(self.array.shape)})"

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Any) -> Any:
        return _read(self.array, self.index[index])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


def in_memory(array: Any) -> bool:
    """Whether reading the array costs nothing: it is JAX's or NumPy's, and no view of a memory map."""
    base = array
    while base is not None and not isinstance(base, np.memmap):
        base = getattr(base, "base", None)
    return isinstance(array, np.ndarray | jax.Array) and base is None


def generator(*seeds: int) -> np.random.Generator:
    """A stream of random numbers that depends on these integers alone.

    Raises:
        InputError: for negative ones, and for what is no integer.
    """
    for seed in seeds:
        if not is_count(seed, least=0):
            raise InputError(f"seeds and epochs are integers >= 0, got {seed!r}")
    return np.random.default_rng(seeds)


def _read(array: Any, index: Any) -> Any:
    if in_memory(array):
        return array[index]
    stored, place = np.unique(index, return_inverse=True)
    return np.asarray(array[stored])[place.reshape(np.shape(index))]

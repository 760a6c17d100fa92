"""Prefetch: the next batches are made, and brought to the device, while the present one is worked on."""

import queue
import threading
from collections.abc import Iterable, Iterator, Sized
from typing import Any

import jax
import numpy as np

from fdl.counts import check_count


def prefetch(batches: Iterable[Any], size: int = 2, *, device: Any = None) -> Iterable[Any]:
    """The same batches, on the device, made ahead of time by a thread.

    Reading the data and the transfer then happen during the training step before. This pays when making a
    batch takes time (files, decoding, a device with memory of its own), and costs the memory of ``size``
    batches.

    Args:
        batches: any iterable of pytrees. Their arrays go to the device, NumPy's from a copy, so that the source
            may fill the same buffers again; all else (positions, names) passes as it is.
        size: how many batches to make ahead of the one in use.
        device: a device or a sharding, as for `jax.device_put`; by default, where JAX would put a new array, while
            what was put on certain devices stays there. Where devices of several processes are meant, each process
            has to have the same batches, of which it takes its part.

    Returns:
        An iterable, with a length if ``batches`` has one. Each iteration over it has a thread of its own,
        which ends with it: with the last batch, with a ``break``, with an error on either side. What the
        source raises is raised where the batches are used, after those that came before.

    Raises:
        InputError: for a size that is not positive.

    Example:
        >>> import numpy as np
        >>> from fdl.data import Batches
        >>> batches = Batches((np.eye(4), np.arange(4)), 2, seed=0)
        >>> for after, (x, labels) in prefetch(batches.iterate()):
        ...     print(type(x).__name__, labels, after)
        ...     if after.epoch == 1:
        ...         break
        ArrayImpl [2 0] Position(epoch=0, batch=1)
        ArrayImpl [1 3] Position(epoch=1, batch=0)
    """
    check_count("prefetch", "size", size)
    return (_SizedPrefetch if isinstance(batches, Sized) else _Prefetch)(batches, size, device)


class _Prefetch:
    def __init__(self, batches: Any, size: int, device: Any):
        self._batches = batches
        self._size = size
        self._device = device

    def __iter__(self) -> Iterator[Any]:
        ready: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        free, stop = threading.Semaphore(self._size), threading.Event()
        # Put there by name, as the batches are: jax.transfer_guard("disallow") lets that pass.
        example = jax.device_put(np.zeros(()))
        arguments = self._batches, self._device, example, ready, free, stop
        thread = threading.Thread(target=_produce, args=arguments, name="fdl-prefetch", daemon=True)
        thread.start()
        try:
            while True:
                what, value = ready.get()
                if what == "end":
                    return
                if what == "error":
                    raise value
                free.release()
                yield value
        finally:
            stop.set()
            free.release()
            thread.join()


class _SizedPrefetch(_Prefetch):
    def __len__(self) -> int:
        return len(self._batches)


def _produce(
    batches: Iterable[Any],
    device: Any,
    example: jax.Array,
    ready: "queue.SimpleQueue[tuple[str, Any]]",
    free: threading.Semaphore,
    stop: threading.Event,
) -> None:
    """What the thread does. It waits for a free place before it reads the source, and sees there that it is to stop."""
    x64 = example.dtype == np.float64  # a thread starts without the contexts of the one that starts it
    try:
        with jax.default_device(example.device), jax.enable_x64(x64):
            source = iter(batches)
            while free.acquire() and not stop.is_set():
                try:
                    batch = next(source)
                except StopIteration:
                    break
                ready.put(("batch", jax.tree.map(lambda leaf: _put(leaf, device), batch)))
            if stop.is_set() and hasattr(source, "close"):
                source.close()  # a generator then runs what it has in `finally`, here and now
        ready.put(("end", None))
    except BaseException as error:
        ready.put(("error", error))


def _put(leaf: Any, device: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        copy = np.array(leaf)
        if isinstance(device, jax.sharding.Sharding) and not device.is_fully_addressable:
            # device_put would wait here for the other processes, while their training steps wait for this one's.
            copy = copy.astype(jax.dtypes.canonicalize_dtype(copy.dtype))
            return jax.make_array_from_callback(copy.shape, device, copy.__getitem__)
        return jax.device_put(copy, device)
    is_there = device is None and isinstance(leaf, jax.Array) and leaf.committed
    return jax.device_put(leaf, device) if isinstance(leaf, jax.Array) and not is_there else leaf

"""A training step in JAX, whichever library wrote it: compiling it, running it, and what XLA says of it."""

import time
from typing import Any

import jax


class Program:
    """A step and what it starts from.

    Args:
        step: made by `jax.jit`, from (carry, (inputs, labels)) to (the next carry, a loss or a dict with one). It
            takes over the buffers of the carry (``donate_argnums=0``).
        carry: parameters, statistics, the optimizer's state, keys: all that changes from step to step.
        parameters: how many numbers are trained.
    """

    def __init__(self, step: Any, carry: Any, parameters: int):
        self.parameters = parameters
        self._step, self._carry = step, carry

    def compile(self, batch: Any) -> float:
        """The seconds that tracing, lowering and compilation take, from nothing."""
        jax.clear_caches()
        start = time.perf_counter()
        self._compiled = self._step.lower(self._carry, batch).compile()
        seconds = time.perf_counter() - start
        self._batch = jax.device_put(batch)
        return seconds

    def temporary_bytes(self) -> int | None:
        """What XLA allocates beside arguments and results."""
        return self._compiled.memory_analysis().temp_size_in_bytes

    def run(self) -> float:
        """One step, to its end; its loss."""
        self._carry, loss = self._compiled(self._carry, self._batch)
        jax.block_until_ready((self._carry, loss))
        return float(loss["loss"] if isinstance(loss, dict) else loss)


def count(params: Any) -> int:
    """How many numbers a tree of arrays has."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))

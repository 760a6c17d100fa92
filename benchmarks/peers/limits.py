"""What a workload's bare operations take: python -m peers.limits WORKLOAD, a list of sizes in JSON.

The step of fdl under ``differentiation("autodiff")`` is a list of operations. Each matrix product and each convolution
in it, forward and backward, runs alone here on arrays of the same shapes, as often as the step has it; everything else
of the step is left out. What they take together is the least that a step can take whose products and convolutions are
these; fdl's own rules may use others. Beside them stand the speeds that this machine reaches on one large product and
on a copy.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import fdl
from fdl.flops import flops_of_jaxpr, parts
from peers import by_fdl
from peers.workloads import Workload, data

SECONDS = 0.3  # for each operation


def operations(jaxpr: Any, times: int = 1) -> Iterator[tuple[int, Any]]:
    """(how often it runs, equation) of all products and convolutions."""
    for operation in jaxpr.eqns:
        if operation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield times, operation
        for inside, part in parts(operation):
            yield from operations(part, times * inside)


def seconds_of(function: Callable[..., Any], *shapes: Any) -> float:
    """The median seconds of a compiled call on random numbers."""
    keys = jax.random.split(jax.random.key(0), len(shapes))
    inputs = [jax.random.normal(key, shape.shape).astype(shape.dtype) for key, shape in zip(keys, shapes, strict=True)]
    compiled = jax.jit(function).lower(*inputs).compile()
    jax.block_until_ready(compiled(*inputs))
    times: list[float] = []
    while len(times) < 3 or sum(times) < SECONDS:
        start = time.perf_counter()
        jax.block_until_ready(compiled(*inputs))
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def bare(operation: Any) -> tuple[float, int]:
    """Seconds and floating point operations of one equation alone."""
    shapes = [jax.ShapeDtypeStruct(x.aval.shape, x.aval.dtype) for x in operation.invars]
    alone = lambda *inputs: operation.primitive.bind(*inputs, **operation.params)  # noqa: E731
    return seconds_of(alone, *shapes), flops_of_jaxpr(jax.make_jaxpr(alone)(*shapes).jaxpr)


def main() -> None:
    """Prints one line of JSON."""
    work = Workload(*json.loads(sys.argv[1]))
    batch = data(work)
    with fdl.differentiation("autodiff"):
        step, carry = by_fdl.step_and_carry(work, *batch)
        jaxpr = jax.make_jaxpr(step)(carry, batch).jaxpr
    often: Counter[str] = Counter()
    examples: dict[str, Any] = {}
    for times, operation in operations(jaxpr):
        kind = str((operation.primitive, [x.aval for x in operation.invars], operation.params))
        often[kind] += times
        examples[kind] = operation
    seconds, flops = {"dot_general": 0.0, "conv_general_dilated": 0.0}, 0
    for kind, times in often.items():
        once, of_one = bare(examples[kind])
        seconds[examples[kind].primitive.name] += times * once
        flops += times * of_one
    matrix, array = jax.ShapeDtypeStruct((2048, 2048), work.precision), jax.ShapeDtypeStruct((2**24,), jnp.float32)
    answer = {
        "products": seconds["dot_general"],
        "convolutions": seconds["conv_general_dilated"],
        "flops": flops,
        "large_product_flops_per_second": 2 * 2048**3 / seconds_of(jnp.matmul, matrix, matrix),
        "copy_bytes_per_second": 2 * 4 * 2**24 / seconds_of(jnp.negative, array),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

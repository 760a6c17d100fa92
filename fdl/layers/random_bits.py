"""Random bits for a whole array in one pass: JAX's own generator, written such that XLA fuses it.

Threefry is a hash of a counter: the bits of an element depend on a key (two words) and on where the element
is (two words), and on nothing else. Twenty rounds mix the two words of the counter,

    a += b        b = (b rotated left by r) ^ a

and after every four of them the key is added again, with its words in turn (the third is k0 ^ k1 ^ parity).

jax.random.bits computes the same numbers, but as an operation of its own, whose counters and words go through
memory several times. Written as elementwise arithmetic, the bits are computed where they are used, at the cost
of arithmetic only: to draw a mask again takes about as long as to write it down and read it back, and no memory.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def random_bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """32 random bits for every element of an array; elements that are used only once need no memory.

    An element's bits depend on its place within its example and on the example's place in the batch, and
    not on how large the batch is.

    Args:
        key: a JAX random key, of any implementation.
        shape: [N, ...], where one example has fewer than 2^32 elements.

    Returns:
        uint32 of that shape; for a single axis what jax.random.bits gives, if the key is one of Threefry's.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> key = jax.random.key(0)
        >>> bool((random_bits(key, (1000,)) == jax.random.bits(key, (1000,), jnp.uint32)).all())
        True
    """
    batch, example = (shape[0], shape[1:]) if len(shape) > 1 else (1, shape)
    which = jax.lax.broadcasted_iota(jnp.uint32, (batch, *example), 0)
    where = jnp.broadcast_to(jax.lax.iota(jnp.uint32, math.prod(example)).reshape(example), which.shape)
    a, b = threefry(hash_key(key), which, where)
    return (a ^ b).reshape(shape)


def hash_key(key: jax.Array) -> jax.Array:
    """The key of `threefry` that a JAX random key stands for: its own words, or two drawn from it if it has others.

    Args:
        key: a JAX random key, of any implementation.

    Returns:
        [2], uint32.

    Example:
        >>> import jax
        >>> hash_key(jax.random.key(7)).tolist(), hash_key(jax.random.key(7, impl="rbg")).shape
        ([0, 7], (2,))
    """
    if jax.random.key_impl(key) == "threefry2x32":
        return jax.random.key_data(key)
    return jax.random.bits(key, (2,), jnp.uint32)


@jax.jit
def threefry(key: jax.Array, a: Any, b: Any) -> tuple[jax.Array, jax.Array]:
    """Threefry-2x32 with 20 rounds: hashes a counter (a, b) of two words under a key of two words.

    Args:
        key: [2], uint32.
        a, b: uint32 of one shape.

    Returns:
        Two words of random bits, uint32 of that shape.

    Example:
        >>> import jax.numpy as jnp
        >>> a, b = threefry(jnp.zeros(2, jnp.uint32), jnp.uint32(0), jnp.uint32(0))
        >>> hex(a), hex(b)
        ('0x6b200159', '0x99ba4efe')
    """
    words = (key[0], key[1], key[0] ^ key[1] ^ PARITY)
    a, b = a + words[0], b + words[1]
    for turn in range(5):
        for bits in ROTATIONS[turn % 2]:
            a = a + b
            b = (b << bits | b >> (32 - bits)) ^ a
        a, b = a + words[(turn + 1) % 3], b + words[(turn + 2) % 3] + np.uint32(turn + 1)
    return a, b

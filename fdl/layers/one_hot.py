"""One-hot vectors.

    one_hot(n)_v = 1 where v = n, else 0

As a product with a matrix it only picks a row, one_hot(ids) @ table = table[ids], which is what
`fdl.layers.embedding` computes without ever building the one-hot matrix. `one_hot` itself is for the places
that want the vectors: targets that are mixed or smoothed, ids as features next to others. It is a comparison
with 0, 1, ..., V - 1, which XLA fuses into what consumes it, and has no gradient.
"""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from fdl.errors import InputError
from fdl.ids import check_ids, slots
from fdl.promotion import mixing


def one_hot(
    ids: jax.Array, classes: int, dtype: DTypeLike = jnp.float32, *, where: jax.Array | None = None
) -> jax.Array:
    """Vectors that are 1 at the place of the id and 0 elsewhere.

    Do not multiply the result by a matrix: `embedding(ids, table)` is ``one_hot(ids, V) @ table``, in the time
    that it takes to copy the rows.

    Args:
        ids: integers in [0, classes), of any shape [...].
        classes: the length of the vectors.
        dtype: a floating type.
        where: booleans of shape [...]; False gives zeros, whatever the id is, such as a label of -1 or 255 for pixels
            that are not to count.

    Returns:
        An array [..., classes] in that dtype.

    Raises:
        InputError: for ids that are no integers, for a dtype that is not floating, for a mask of another shape, and
            for ids outside [0, classes) where they can be seen. Inside jit they cannot, and give rows of NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> one_hot(jnp.array([2, 0]), 3).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
        >>> labels = jnp.array([2, 255])
        >>> one_hot(labels, 3, where=labels != 255).tolist()
        [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(f"one_hot expects a floating dtype, got {jnp.dtype(dtype)}: only floats can say NaN")
    if where is not None and (jnp.result_type(where) != jnp.bool_ or jnp.shape(where) != jnp.shape(ids)):
        raise InputError(
            f"one_hot expects where as booleans of the shape {list(jnp.shape(ids))} of ids, "
            f"got {jnp.result_type(where)} of shape {list(jnp.shape(where))}"
        )
    check_ids("one_hot", ids, classes, where)
    slot = slots(ids, classes)[..., None]
    with mixing():
        vectors = jnp.where(slot == classes, jnp.nan, slot == jnp.arange(classes)).astype(dtype)
    return vectors if where is None else jnp.where(jnp.asarray(where)[..., None], vectors, 0)

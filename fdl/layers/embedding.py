"""Embedding: a table holds one learned vector for each word of a vocabulary, and ids pick their rows.

    y_n = table[ids_n]        ids: [...]   table: [V, D]   y: [..., D]

With the matrix of one-hot rows, H_nv = 1 where ids_n = v, this is the affine map y = H table, and its gradient
is dtable = H^T dy,

    dtable_v = sum over all n with ids_n = v of dy_n

A row is read as often as its id occurs, and collects the gradient of each of these places. Neither pass builds
H: forward gathers rows, backward adds rows where they came from ("scatter-add"). The ids are what backward
needs. They have no gradient.

Repeated ids are the rule, not the exception (a text is full of "the"), and the sum of a frequent one is long:
it is taken in float32 when the table is narrower. In bfloat16 a sum of ones stops growing at 256.

Source: Bengio, Ducharme, Vincent and Jauvin, "A neural probabilistic language model" (2003).
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.ids import check_ids, slots
from fdl.initializers import Initializer, normal
from fdl.layer import Layer, Tree
from fdl.layers.checks import check_floats, check_initializers, check_names
from fdl.rule import rule, wide


@rule
def embedding(ids: jax.Array, table: jax.Array) -> jax.Array:
    """The rows of a table at the given ids: y = table[ids], the product one_hot(ids) @ table without the matrix.

    Args:
        ids: integers in [0, V), of any shape [...].
        table: [V, D], floats.

    Returns:
        y: [..., D], in the dtype of the table.

    Raises:
        InputError: when the table is not a matrix of floats or the ids are no integers, and for ids outside
            [0, V) where they can be seen. Inside jit they cannot, and give rows of NaN.

    Remembers:
        the ids, which exist anyway.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> ids, table = jnp.array([2, 0, 2]), jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        >>> embedding(ids, table).tolist()
        [[5.0, 6.0], [1.0, 2.0], [5.0, 6.0]]
        >>> jax.grad(lambda table: embedding(ids, table).sum())(table).tolist()
        [[1.0, 1.0], [0.0, 0.0], [2.0, 2.0]]
    """
    return table.at[slots(ids, table.shape[0])].get(mode="fill", fill_value=jnp.nan)


@embedding.validate
def _(ids, table):
    if jnp.ndim(table) != 2:
        raise InputError(f"embedding expects a table of shape [V, D], got {list(jnp.shape(table))}")
    check_floats("embedding", table)
    check_ids("embedding", ids, jnp.shape(table)[0])


@embedding.forward
def _(ids, table):
    return embedding.reference(ids, table), (ids, table[:, :0])  # how many rows there are, in no bytes


@embedding.backward
def _(residuals, dy):
    ids, rows = residuals
    # y = table[ids]
    dtable = jnp.zeros((rows.shape[0], dy.shape[-1]), wide(dy))
    return None, dtable.at[slots(ids, rows.shape[0])].add(dy, mode="drop")


class Embedding(Layer):
    """A learned vector for each word: y = table[ids] with the parameter ``table`` [vocabulary, features].

    Args:
        vocabulary: how many ids there are, V.
        features: the length of each vector, D.
        w_init: how the table starts.

    Raises:
        InputError: for sizes below one, and, like `embedding`, for ids that are no integers in [0, V).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, ids = Embedding(1000, 64), jnp.zeros((32, 20), int)
        >>> params, state = layer.init(jax.random.key(0), ids)
        >>> params["table"].shape, layer.apply(params, state, ids)[0].shape
        ((1000, 64), (32, 20, 64))
    """

    vocabulary: int
    features: int
    w_init: Initializer = normal(stddev=0.02)

    def __post_init__(self) -> None:
        check_count("Embedding", "vocabulary", self.vocabulary)
        check_count("Embedding", "features", self.features)
        check_initializers(self)

    def init(self, key: jax.Array, ids: Any) -> tuple[Tree, Tree]:
        return {"table": self.w_init(key, (self.vocabulary, self.features))}, {}

    def apply(self, params: Tree, state: Tree, ids: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        check_names(self, params, "table")
        return embedding(ids, params["table"]), state

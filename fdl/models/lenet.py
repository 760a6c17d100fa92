"""LeNet-5: convolutions and pools in turn, the first networks that read handwriting for a living.

    image    C1             S2          C3              S4          C5              F6        output
    32x32 -> 28x28 x 6 -> 14x14 x 6 -> 10x10 x 16 -> 5x5 x 16 -> 1x1 x 120 ------> 84 -----> classes
             5x5            pool 2      5x5             pool 2      5x5             affine    affine

One set of weights looks at every place of the image, since a stroke is a stroke wherever it is; pooling then forgets
where exactly it was. Going up, there is more and more of what, and less and less of where.

As in the paper,

    C1, C3, C5, F6    f(a) = 1.7159 tanh(2/3 a), which leaves +-1 where they are and keeps a variance of one about one
    S2, S4            f(gamma mean + beta): the mean of four neighbours, with two trained numbers for each map
    C3                each of the 16 maps sees three, four or six of the six below, by a fixed table: fewer weights,
                      and maps that cannot all become the same

which makes 60,000 trained parameters up to F6. The paper compares F6 with drawings of the characters to give scores; as
is usual since, an affine map takes their place here. Usual simplifications are that every map of C3 sees all six, and
that pools are plain means: LeNet-5 as most libraries show it, with 61,706 parameters.

Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition" (1998).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.initializers import Initializer, lecun_normal
from fdl.layer import Layer, Tree
from fdl.layers import Affine, AvgPool, Conv, Flatten, Serial, conv, tanh
from fdl.layers.scale_and_shift import scale_and_shift

# Which of the six maps of S2 each of the sixteen maps of C3 sees: table I of the paper.
TABLE = (
    *((i, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 3) % 6, (i + 4) % 6) for i in range(3)),
    (0, 1, 2, 3, 4, 5),
)


def lenet5(classes: int = 10, *, simplified: bool = False) -> Layer:
    """LeNet-5, with average pooling and tanh.

    Args:
        classes: how many scores it gives.
        simplified: whether every map sees all maps below it, and pools have nothing to train.

    Returns:
        A layer from images [N, 32, 32, C] to scores [N, classes]. Those of 28 x 28 pixels have 2 added on each side and
        are scaled so that paper is -0.1 and ink 1.175, which makes their mean about 0 and their variance about 1.

    Raises:
        InputError: for fewer than one class.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, image = lenet5(), jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image)
        >>> of_output = 84 * 10 + 10
        >>> sum(w.size for w in jax.tree.leaves(params)) - of_output
        60000
    """
    init, squash = lecun_normal(), ScaledTanh()
    pool = AvgPool(2) if simplified else Serial(AvgPool(2), ScaleAndShift(), squash)
    c3 = Conv(16, 5, padding="VALID", w_init=init) if simplified else SparseConv(TABLE, 5, w_init=init)
    return Serial(
        c1=Serial(Conv(6, 5, padding="VALID", w_init=init), squash),
        s2=pool,
        c3=Serial(c3, squash),
        s4=pool,
        c5=Serial(Conv(120, 5, padding="VALID", w_init=init), squash),
        f6=Serial(Flatten(), Affine(84, w_init=init), squash),
        output=Affine(classes, w_init=init),
    )


class ScaledTanh(Layer):
    """The squashing function of the paper, y = 1.7159 tanh(2/3 x), which has f(1) = 1 and f(-1) = -1.

    Example:
        >>> import jax.numpy as jnp
        >>> ScaledTanh().apply({}, {}, jnp.array([-1.0, 0.0, 1.0]))[0].round(3).tolist()
        [-1.0, 0.0, 1.0]
    """

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        return 1.7159 * tanh(x * (2 / 3)), state


class ScaleAndShift(Layer):
    """Two trained numbers for each map: y = gamma x + beta, with ``gamma`` [C] from one and ``beta`` [C] from zero.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = ScaleAndShift(), jnp.ones((1, 2, 2, 6))
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> jax.tree.map(jnp.shape, params)
        {'beta': (6,), 'gamma': (6,)}
    """

    def init(self, key: Any, x: Any) -> tuple[Tree, Tree]:
        return scale_and_shift(x), {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        gamma, beta = (jnp.broadcast_to(params[name], x.shape) for name in ("gamma", "beta"))
        return gamma * x + beta, state


class SparseConv(Layer):
    """A convolution in which each map sees some of the maps below it, by a table; windows lie inside the image.

    Parameters are ``w`` [kernel, kernel, pairs], taps for each pair of a map and one that it sees, and ``b`` [maps].
    They are put into their places among zeros, and then it is a convolution like any other.

    Args:
        table: for each map, which of those below it sees.
        kernel: how many taps on both axes.
        w_init: how the taps of each map start, told how many it has.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = SparseConv(((0,), (0, 2)), 5), jnp.ones((1, 14, 14, 3))
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> params["w"].shape, layer.apply(params, state, x)[0].shape
        ((5, 5, 3), (1, 10, 10, 2))
    """

    table: tuple[tuple[int, ...], ...]
    kernel: int
    w_init: Initializer = lecun_normal()

    def init(self, key: jax.Array, x: Any) -> tuple[Tree, Tree]:
        taps = self.kernel * self.kernel
        keys = jax.random.split(key, len(self.table))
        parts = [
            self.w_init(one, (self.kernel, self.kernel, len(below)), fans=(taps * len(below), taps))
            for one, below in zip(keys, self.table, strict=True)
        ]
        return {"w": jnp.concatenate(parts, axis=-1), "b": jnp.zeros(len(self.table), jnp.float32)}, {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        sees = np.array([i for below in self.table for i in below])
        maps = np.repeat(np.arange(len(self.table)), [len(below) for below in self.table])
        w = jnp.zeros((self.kernel, self.kernel, x.shape[-1], len(self.table)), params["w"].dtype)
        return conv(x, w.at[:, :, sees, maps].set(params["w"]), params["b"], padding="VALID"), state

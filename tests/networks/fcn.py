"""Fully convolutional networks. The paper's 134 M leave out the interpolations, which are counted here."""

import jax
import jax.numpy as jnp
import numpy as np

import fdl
from fdl.losses import softmax_cross_entropy
from fdl.models import fcn
from tests.networks.row import Published, Refused, Small, images

VOC = (jax.ShapeDtypeStruct((2, 500, 375, 3), jnp.float32),)

PUBLISHED = [
    Published("fcn-32s", fcn(32), VOC, (2, 500, 375, 21), 134_346_581 + 64**2 * 21**2, slow=True),
    Published("fcn-16s", fcn(16), VOC, (2, 500, 375, 21), 134_346_581 + 513 * 21 + (4**2 + 32**2) * 21**2, slow=True),
    Published("fcn-8s", fcn(8), (images(224),), (2, 224, 224, 21), 134_489_759),
]


class Moved(fdl.Layer):
    """A network whose parameters do not start at zero, where half of the gradients would be zero too."""

    net: fdl.Layer

    def init(self, key, *inputs):
        params, state = jax.jit(self.net.init)(key, *inputs)

        def moved(w):
            return w + 0.1 * np.random.default_rng(w.size).normal(size=w.shape).astype(w.dtype)

        return jax.tree.map(moved, params), state

    def apply(self, params, state, *inputs, key=None, train=False):
        return self.net.apply(params, state, *inputs, key=key, train=train)


def batch(key):
    x = jax.random.normal(key, (2, 33, 9, 3), jnp.float64)
    return (x,), (x[..., 0] > 0).astype(jnp.int32)


SMALL = [Small("fcn-8s", Moved(fcn(8, 2, depth=11, width=2, hidden=4)), batch, softmax_cross_entropy)]

REFUSED = [Refused("fcn-stride", lambda: fcn(4), "32, 16 or 8"), Refused("fcn-depth", lambda: fcn(depth=12), "got 12")]

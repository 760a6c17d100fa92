"""Generative adversarial networks: one network makes images, the other tells them from real ones, and both improve.

    z from a known distribution -> generator g -> g(z) -+
                                                        +-> discriminator d -> a logit: is it real?
    x from the data ------------------------------------+

With D = sigmoid(d) the probability of "real", the two play for one value,

    min over g, max over d of    V = E_x log D(x) + E_z log(1 - D(g(z)))

For a given g the best answer is D = p_data / (p_data + p_g), and V is then smallest where p_g = p_data, at - log 4.
What each side makes small, as one value per example, is written with logits, where log D = -softplus(-d):

                     discriminator                              generator
    minimax          softplus(-d(x)) + softplus(d(g(z)))        -softplus(d(g(z)))
    non-saturating   the same                                   softplus(-d(g(z)))
    least squares    (d(x) - 1)^2 / 2 + d(g(z))^2 / 2           (d(g(z)) - 1)^2 / 2

Minimax has no slope for a generator whose images are told at once: there 1 - D = 1, flat. The non-saturating loss has
the same fixed point and its slope is largest there, so it is what is used.

Sources: Goodfellow et al., "Generative adversarial nets" (2014), with the widths and weights of its authors' program
for MNIST; Mao et al., "Least squares generative adversarial networks" (2017).
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.initializers import uniform
from fdl.layer import Layer
from fdl.layers import Affine, AffineRelu, Dropout, Flatten, Maxout, Reshape, Serial, Sigmoid
from fdl.losses import sigmoid_cross_entropy, squared_error
from fdl.models.arguments import check_shape, check_widths


class AdversarialLoss(NamedTuple):
    """What the two networks make small, one value per example.

    ``discriminator(real, fake)`` takes the logits [N] of as many real and made examples, ``generator(fake)`` those of
    made ones.

    Example:
        >>> import jax.numpy as jnp
        >>> cannot_tell = jnp.zeros(1)  # D = 1/2
        >>> minimax.discriminator(cannot_tell, cannot_tell).round(3).tolist()  # log 4
        [1.386]
    """

    discriminator: Callable[[jax.Array, jax.Array], jax.Array]
    generator: Callable[[jax.Array], jax.Array]


def _tell(real: jax.Array, fake: jax.Array) -> jax.Array:
    return _cross_entropy(real, 1.0) + _cross_entropy(fake, 0.0)


def _not_be_told(fake: jax.Array) -> jax.Array:
    return -_cross_entropy(fake, 0.0)


def _be_real(fake: jax.Array) -> jax.Array:
    return _cross_entropy(fake, 1.0)


def _tell_by_squares(real: jax.Array, fake: jax.Array) -> jax.Array:
    return _half_square(real, 1.0) + _half_square(fake, 0.0)


def _be_real_by_squares(fake: jax.Array) -> jax.Array:
    return _half_square(fake, 1.0)


def _cross_entropy(logits: jax.Array, target: float) -> jax.Array:
    return sigmoid_cross_entropy(logits, jnp.full_like(logits, target))


def _half_square(scores: jax.Array, target: float) -> jax.Array:
    return squared_error(scores, jnp.full_like(scores, target)) / 2


minimax = AdversarialLoss(_tell, _not_be_told)
non_saturating = AdversarialLoss(_tell, _be_real)
least_squares = AdversarialLoss(_tell_by_squares, _be_real_by_squares)


def gan_generator(shape: Sequence[int], hidden: Sequence[int] = (1200, 1200)) -> Layer:
    """The fully connected generator of the first GANs.

    Args:
        shape: of one example, such as (28, 28, 1).
        hidden: the widths of its layers, with ReLUs.

    Returns:
        A layer from z [N, latent], of any latent size (the paper's is 100, each uniform in [-1, 1]), to examples
        [N, *shape] in [0, 1].

    Raises:
        InputError: for sizes below one, and for one number in the place of several.

    Source: Goodfellow et al. (2014).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, z = gan_generator((28, 28, 1)), jax.ShapeDtypeStruct((5, 100), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), z)
        >>> sum(w.size for w in jax.tree.leaves(params))
        2503984
    """
    check_shape("gan_generator", shape)
    check_widths("gan_generator", hidden)
    start = uniform(0.05)
    layers = [AffineRelu(width, w_init=start) for width in hidden]
    return Serial(*layers, Affine(math.prod(shape), w_init=start), Sigmoid(), Reshape(tuple(shape)))


def gan_discriminator(hidden: Sequence[int] = (240, 240), *, pieces: int = 5, dropout: float = 0.5) -> Layer:
    """The fully connected discriminator of the first GANs, of maxout units with dropout.

    Args:
        hidden: the widths of its layers.
        pieces: affine maps of which each unit takes the largest.
        dropout: the probability to drop a unit while training, in [0, 1).

    Returns:
        A layer from examples [N, ...] to logits [N], large for what is taken for real.

    Raises:
        InputError: for sizes below one, and for one number in the place of several.

    Source: Goodfellow et al. (2014).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, images = gan_discriminator(), jax.ShapeDtypeStruct((5, 28, 28, 1), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), images)
        >>> sum(w.size for w in jax.tree.leaves(params))
        1231441
    """
    check_widths("gan_discriminator", hidden)
    start, drop = uniform(0.005), (Dropout(dropout),) if dropout else ()
    layers = [layer for width in hidden for layer in (Affine(width * pieces, w_init=start), Maxout(pieces), *drop)]
    return Serial(Flatten(), *layers, Affine(1, w_init=start), Reshape(()))

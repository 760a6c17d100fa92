"""Variational autoencoders: an autoencoder whose codes fill a normal distribution, so that new ones can be drawn.

The model says how data come about: z is drawn from the standard normal, and x from p(x | z), whose parameters a decoder
computes. What z stands behind a given x is answered by an encoder, as a normal distribution q(z | x) around its guess:

    x -> encoder -+-> mean ---- mean + e^(v/2) eps -> z -> decoder -> p(x | z)
                  +-> v = log variance --^

The logarithm of p(x) = E_z p(x | z) is out of reach, but for any q it is at least the evidence lower bound,

    log p(x) >= E_q [log p(x | z)] - KL(q(z | x) || N(0, 1))            = ELBO

and equal where q is the true posterior. Its negative is the loss: what it costs, in nats, to say the code and then the
image. One draw of z for each image estimates it, and `gaussian_sample` sends gradients through the draw.

Pixels are Bernoulli here: log p(x | z) = - sum of `sigmoid_cross_entropy` between logits and pixels in [0, 1]. The
bound is one on log p(x) if pixels are 0 or 1; with shades of grey it is a loss like others, and some nats higher.

Source: Kingma and Welling, "Auto-encoding variational Bayes" (2013), appendix C: one hidden layer of 500 tanh units on
either side for MNIST, and 3 to 200 latent variables.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax

from fdl.initializers import lecun_normal
from fdl.layer import Layer
from fdl.layers import Affine, Flatten, GaussianSample, Reshape, Serial, Tanh, network
from fdl.losses import gaussian_kl, sigmoid_cross_entropy
from fdl.models.arguments import check_shape, check_widths
from fdl.wiring import Net


def vae(
    shape: Sequence[int],
    hidden: Sequence[int] = (500,),
    latent: int = 20,
    *,
    activation: Layer = Tanh(),  # noqa: B008
) -> Layer:
    """A fully connected variational autoencoder; `variational` takes networks of other kinds.

    Args:
        shape: of one example, such as (28, 28, 1).
        hidden: the widths of the encoder's layers; the decoder has them in reverse.
        latent: how many latent variables there are.
        activation: behind each hidden layer.

    Returns:
        A layer as from `variational`, whose decoder gives logits [N, *shape].

    Raises:
        InputError: for sizes below one, and for one number in the place of several.

    Source: Kingma and Welling (2013).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, images = vae((28, 28, 1)), jax.ShapeDtypeStruct((5, 28, 28, 1), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), images)
        >>> sum(w.size for w in jax.tree.leaves(params))
        815824
    """
    check_shape("vae", shape)
    check_widths("vae", hidden)
    into = [layer for width in hidden for layer in (_affine(width), activation)]
    out = [layer for width in reversed(hidden) for layer in (_affine(width), activation)]
    decoder = Serial(*out, _affine(math.prod(shape)), Reshape(tuple(shape)))
    return variational(Serial(Flatten(), *into), decoder, latent)


def variational(encoder: Layer, decoder: Layer, latent: int) -> Layer:
    """A variational autoencoder of any encoder and decoder.

    Where `apply` has a key it draws z, in training and after it; without one, z is the mean. To draw new examples,
    decode draws from the standard normal:

        z = jax.random.normal(key, (n, latent))
        logits, _ = net.children["decoder"].apply(params["decoder"], state["decoder"], z)

    Args:
        encoder: from examples to features [N, F], of which two affine maps make mean and logarithm of variance.
        decoder: from [N, latent] to logits of the examples' shape.
        latent: how many latent variables there are.

    Returns:
        A layer from examples to (logits, mean, log_var), the last two [N, latent]. Its children are encoder, mean,
        log_var, sample and decoder.

    Raises:
        InputError: for sizes below one; from the layer, when ``train=True`` comes without a ``key``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net = variational(Serial(Flatten(), Affine(50), Tanh()), Serial(Affine(64), Reshape((8, 8))), latent=2)
        >>> params, state = net.init(jax.random.key(0), jnp.ones((5, 8, 8)))
        >>> (logits, mean, log_var), state = net.apply(params, state, jnp.ones((5, 8, 8)), key=jax.random.key(1))
        >>> logits.shape, mean.shape
        ((5, 8, 8), (5, 2))
    """
    heads = {"mean": _affine(latent), "log_var": _affine(latent)}
    return network(encoder=encoder, **heads, sample=GaussianSample(), decoder=decoder)(variational_autoencoder)


def variational_autoencoder(net: Net, x: Any) -> tuple[Any, Any, Any]:
    """The wiring: (logits, mean, log_var)."""
    features = net.encoder(x)
    mean, log_var = net.mean(features), net.log_var(features)
    return net.decoder(net.sample(mean, log_var)), mean, log_var


def negative_elbo(outputs: tuple[jax.Array, jax.Array, jax.Array], targets: jax.Array) -> jax.Array:
    """The negative evidence lower bound, -ELBO = sum over pixels of the cross-entropy + KL(q || N(0, 1)).

    It is a loss for `fdl.train.supervised`, on batches (images, images).

    Args:
        outputs: (logits, mean, log_var), from `vae`.
        targets: the examples themselves, of the shape of the logits, in [0, 1].

    Returns:
        Nats, [N], estimated with the z that the logits were decoded from.

    Raises:
        InputError: for targets of another shape, and outside [0, 1] where they can be seen.

    Source: Kingma and Welling (2013), equation 7.

    Example:
        >>> import jax.numpy as jnp
        >>> nothing_known = jnp.zeros((1, 28, 28, 1)), jnp.zeros((1, 20)), jnp.zeros((1, 20))
        >>> negative_elbo(nothing_known, jnp.ones((1, 28, 28, 1))).round(2).tolist()  # 784 log 2
        [543.43]
    """
    logits, mean, log_var = outputs
    cross_entropy = sigmoid_cross_entropy(logits, targets)
    return cross_entropy.sum(range(1, cross_entropy.ndim)) + gaussian_kl(mean, log_var)


def _affine(features: int) -> Affine:
    return Affine(features, w_init=lecun_normal())

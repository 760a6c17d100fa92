"""SimCLR: features learned without a single label, from what stays the same when an image is changed.

                    +-> view 1 -> encoder -> h1 -> head -> z1 -+
    image, twice ---|             (shared)        (shared)     |-> nt_xent: which views belong together?
    changed         +-> view 2 -> encoder -> h2 -> head -> z2 -+

Each image is cropped, shifted, coloured, ... twice at random. Among the projections of all views in the batch, each
has to find its partner (`fdl.losses.nt_xent`). The head is a hidden layer and a linear one,

    z = relu(norm(h w1)) w2

The one idea: what two views of a thing have in common, and views of other things have not, is what the thing is. The
head may then throw away what changes from view to view; the features h in front of it still have it, and are better
for whatever comes next, so that the head is dropped after the training. What the augmentation changes is what the
features will ignore: it is the only knowledge that goes in.

Both views go through the encoder as one batch, as in the paper's code, so that a batch norm sees all of them.

Source: Chen, Kornblith, Norouzi and Hinton, "A simple framework for contrastive learning of visual representations"
(2020).
"""

from typing import Any

import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layer import Layer
from fdl.layers import Affine, AffineNormRelu, Serial, network


def simclr(encoder: Layer, hidden: int = 2048, features: int = 128) -> Layer:
    """An encoder with a projection head, for two views of each example.

    After training, ``params["encoder"]`` and ``state["encoder"]`` belong to the encoder alone.

    Args:
        encoder: from inputs [N, ...] to features [N, F], such as a network without its last layer.
        hidden: how many hidden units the head has; in the paper as many as the encoder gives.
        features: how many numbers a projection has.

    Returns:
        A layer from two views, each [N, ...], to their projections (first, second), each [N, features], for
        `fdl.losses.nt_xent`.

    Raises:
        InputError: from the layer, for views of different shapes.

    Source: Chen et al. (2020).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import AffineRelu, Flatten
        >>> net, images = simclr(Serial(Flatten(), AffineRelu(64)), 64, 32), jnp.ones((5, 8, 8, 1))
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), images, images)
        >>> first, second = jax.eval_shape(net.apply, params, state, images, images)[0]
        >>> first.shape, second.shape, sum(w.size for w in jax.tree.leaves(params["head"]))
        ((5, 32), (5, 32), 6304)
    """
    head = Serial(AffineNormRelu(hidden), Affine(features))
    return network(encoder=encoder, head=head)(project_views)


def project_views(net: Any, first: Any, second: Any) -> tuple[Any, Any]:
    """The projections of two views, computed as one batch."""
    if first.shape != second.shape:
        raise InputError(f"two views have the same shape, got {list(first.shape)} and {list(second.shape)}")
    z = net.head(net.encoder(jnp.concatenate([first, second])))
    n = first.shape[0]
    return z[:n], z[n:]

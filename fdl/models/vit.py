"""A vision transformer: an image is a sequence of patches, and a stack of attention blocks reads it.

    x = [class token, patches w + b] + positions
    x = x + attention(norm(x))        x = x + mlp(norm(x))        n times both
    scores = norm(x)[first] w + b

    image [N, 224, 224, 3] -> 14 x 14 patches of 16 x 16 -> 196 vectors, and one more in front
        -> + positions -> [ norm, attention, +, norm, mlp, + ] x n -> norm -> the first -> scores [N, classes]

A convolution looks at neighbours; here every patch may look at every other from the first block on, and which ones are
neighbours is learnt, in the positions. So it needs more images, or stronger augmentation, than a convolutional network,
and with them it can do better. The vector in front belongs to no patch: it collects what the scores need.

Sources: Dosovitskiy et al., "An image is worth 16x16 words: transformers for image recognition at scale" (2021);
Touvron et al., "Training data-efficient image transformers" (2021), for how the scores start.
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.initializers import glorot_uniform, lecun_normal, truncated_normal
from fdl.layer import Layer, Tree
from fdl.layers import (
    Affine,
    Conv,
    Dropout,
    EncoderBlock,
    Gelu,
    LayerNorm,
    LearnedPositions,
    MultiHeadAttention,
    Repeat,
    feed_forward,
)
from fdl.models.arguments import check_heads
from fdl.wiring import Combinator, Net, network


def vit(
    classes: int = 1000,
    size: int = 224,
    patch: int = 16,
    features: int = 768,
    heads: int = 12,
    depth: int = 12,
    *,
    dropout: float = 0.0,
    activation: Layer = Gelu(),  # noqa: B008
) -> Layer:
    """A vision transformer; the defaults are ViT-B/16.

    Args:
        classes: how many scores it gives.
        size: of the images, which are squares; a multiple of ``patch``.
        patch: the size of a patch.
        features: of the vector for each patch.
        heads: how many attentions are side by side; a divisor of ``features``.
        depth: how many blocks there are, n.
        dropout: the probability to drop, on what each sublayer adds, inside the mlp, and on patches with positions.
        activation: inside the mlp. The authors' program has the GELU by a tanh, as here; PyTorch's ViTs have the exact
            one, ``Gelu(approximate=False)``.

    Returns:
        A layer from images [N, size, size, C] to scores [N, classes].

    Raises:
        InputError: for patches that do not divide the image, heads that do not divide the features, and sizes below
            one; from the layer, for images of another size.

    Source: Dosovitskiy et al. (2021).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, image = vit(), jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image)
        >>> sum(w.size for w in jax.tree.leaves(params))
        86567656
    """
    check_count("vit", "size", size)
    check_count("vit", "patch", patch)
    if size % patch:
        raise InputError(f"vit cuts images into whole patches, got images of {size} and patches of {patch}")
    check_heads("vit", features, heads)
    patches = (size // patch) ** 2
    mlp = feed_forward(features, 4 * features, activation, rate=dropout, w_init=glorot_uniform())
    return network(
        patches=_Patches(size, patch, features),
        class_token=_ClassToken(),
        positions=LearnedPositions(patches + 1),
        dropout=Dropout(dropout),
        blocks=Repeat(EncoderBlock(MultiHeadAttention(heads), mlp, LayerNorm(1e-6), rate=dropout), depth),
        norm=LayerNorm(1e-6),
        scores=Affine(classes, w_init=truncated_normal(0.02)),
    )(_classify)


def _classify(net: Net, images: Any) -> Any:
    x = net.dropout(net.positions(net.class_token(net.patches(images))))
    return net.scores(net.norm(net.blocks(x))[:, 0])


class _Patches(Combinator):
    """Images [N, size, size, C] as sequences of their patches, row by row: [N, (size / patch)^2, features]."""

    size: int
    patch: int
    features: int

    @property
    def children(self) -> dict[str, Layer]:
        return {"conv": Conv(self.features, self.patch, self.patch, padding="VALID", w_init=lecun_normal())}

    def wire(self, net: Net, images: Any) -> Any:
        if images.shape[1:-1] != (self.size, self.size):
            raise InputError(
                f"this vit has positions for images of shape [N, {self.size}, {self.size}, C], got "
                f"{list(images.shape)}: resize them, or make it with another size"
            )
        return net.conv(images).reshape(images.shape[0], (self.size // self.patch) ** 2, self.features)


class _ClassToken(Layer):
    """A learned vector in front of each sequence; the parameter is ``token`` [C]."""

    def init(self, key: jax.Array, x: Any) -> tuple[Tree, Tree]:
        return {"token": jnp.zeros(x.shape[-1], jnp.float32)}, {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        first = jnp.broadcast_to(params["token"].astype(x.dtype), (x.shape[0], 1, x.shape[-1]))
        return jnp.concatenate([first, x], axis=1), state

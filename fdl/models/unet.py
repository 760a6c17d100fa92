"""U-Net: down to what is in an image, and up again to where it is, with a bridge at every scale.

Two convolutions, then half the size and twice the channels, until one place sees much of the image. On the way back
each map is made twice as large and half as thick, and gets the map beside it that never was small. Those convolutions
see both, the coarse one that knows what and the fine one that knows where:

    572 [64  64] ----------------- crop ----------------> [64  64] 388 -> scores
         | pool                                               ^ 2x2 transposed
    284 [128 128] ---------------- crop ----------> [128 128] 200
          ...                                         ...
             32 [1024 1024] 28

One level is: contract, pool, the level below, up, concatenate, expand. So a U-Net is a level with a smaller U-Net in
it, and that is how it is written here.

The original has no padding: every score is computed from pixels alone, a 572 x 572 tile has 388 x 388 scores, and
large images are cut into tiles that overlap. With padding, as in most later ones, the scores have the image's size.

Source: Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image segmentation" (2015). Weights
start as there, normal with variance 2 / fan_in. Norms came later, and so did volumes: images may have one to three
spatial axes (Cicek et al., "3D U-Net", 2016).
"""

from typing import Any

import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.layer import Layer
from fdl.layers import Conv, ConvTranspose, Dropout, MaxPool, Relu, Serial, network
from fdl.wiring import Net


def unet(
    classes: int = 2,
    *,
    depth: int = 4,
    width: int = 64,
    padding: str = "VALID",
    norm: Layer | None = None,
    dropout: float = 0.0,
) -> Layer:
    """A U-Net.

    Args:
        classes: how many scores each pixel gets, the background's included.
        depth: how often the size is halved, at least once.
        width: the channels of the first level; each level below has twice as many.
        padding: of all convolutions. With "VALID", the original, an axis of n pixels gets n - 184 scores at depth 4
            (n - 12 * 2^depth + 8 in general); with "SAME" as many as pixels.
        norm: a layer to put between each convolution and its ReLU, such as `BatchNorm()` or `GroupNorm(8)`.
            The convolutions then have no bias.
        dropout: the probability to drop a feature of the deepest level while training, in [0, 1); the paper has some
            there and does not say how much.

    Returns:
        A layer from images [N, *spatial, C] to scores [N, *spatial, classes].

    Raises:
        InputError: for settings outside their range, and from the layer for images whose size does not halve so often.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, tile = unet(), jax.ShapeDtypeStruct((1, 572, 572, 1), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), tile)
        >>> sum(w.size for w in jax.tree.leaves(params))
        31030658
        >>> jax.eval_shape(net.apply, params, state, tile)[0].shape
        (1, 388, 388, 2)
    """
    if padding not in ("VALID", "SAME"):
        raise InputError(f'unet pads its convolutions by "VALID", as the original, or by "SAME", got {padding!r}')
    check_count("unet", "depth", depth)
    check_count("unet", "width", width)

    def convolutions(channels: int) -> tuple[Layer, ...]:
        one = (Conv(channels, 3, padding=padding, bias=norm is None), *(() if norm is None else (norm,)), Relu())
        return one + one

    drop = (Dropout(dropout),) if dropout else ()
    body: Layer = Serial(*convolutions(width << depth), *drop)
    for channels in (width << level for level in reversed(range(depth))):
        body = network(
            contract=Serial(*convolutions(channels)),
            pool=MaxPool(2),
            below=body,
            up=ConvTranspose(channels, 2, stride=2),
            expand=Serial(*convolutions(channels)),
        )(unet_level)
    return Serial(body=body, scores=Conv(classes, 1))


def unet_level(net: Net, x: Any) -> Any:
    """The wiring of one level, with the levels below it inside."""
    fine = net.contract(x)
    if any(size % 2 for size in fine.shape[1:-1]):
        raise InputError(
            f"a U-Net halves the size at each level, but one of these is odd: {list(fine.shape[1:-1])}. With padding "
            '"SAME" sizes must be multiples of 2^depth; with "VALID", at depth 4, 572 or 16 more or less, and so on'
        )
    coarse = net.up(net.below(net.pool(fine)))
    return net.expand(jnp.concatenate([_middle(fine, coarse), coarse], axis=-1))


def _middle(x: Any, like: Any) -> Any:
    """The middle of x, as large as the other on its spatial axes."""
    cuts = [(n - m) // 2 for n, m in zip(x.shape[1:-1], like.shape[1:-1], strict=True)]
    return x[:, *(slice(cut, cut + m) for cut, m in zip(cuts, like.shape[1:-1], strict=True))]

"""U-Net. The paper gives no counts: these are those of its figure 1, added up; 31,030,658 is what others report too."""

import jax
import jax.numpy as jnp

from fdl.layers import BatchNorm, GroupNorm
from fdl.losses import softmax_cross_entropy
from fdl.models import unet
from tests.networks.row import Published, Refused, Small, images

VOLUME = (jax.ShapeDtypeStruct((1, 64, 64, 32, 3), jnp.float32),)
KEY = jax.random.key(0)

PUBLISHED = [
    Published("unet-original", unet(), (images(572, 1),), (2, 388, 388, 2), 31_030_658),
    Published("unet-padded", unet(1, padding="SAME"), (images(256, 3),), (2, 256, 256, 1), 31_031_745, slow=True),
    Published(
        "unet-padded-norm",  # as the original with 3 channels, less the biases of 18 convolutions, plus gamma and beta
        unet(padding="SAME", norm=BatchNorm()),
        (images(256, 3),),
        (2, 256, 256, 2),
        31_031_810 + 4 * (64 + 128 + 256 + 512) + 2 * 1024,
        slow=True,
    ),
    Published("unet-volume", unet(3, depth=2, width=8, padding="SAME"), VOLUME, (1, 64, 64, 32, 3), 85_467, slow=True),
]


def batch(key):
    x = jax.random.normal(key, (2, 20, 24, 1), jnp.float64)
    return (x,), (x[:, 8:-8, 8:-8, 0] > 0).astype(jnp.int32)


def batch_as_large(key):
    x = jax.random.normal(key, (2, 4, 8, 1), jnp.float64)
    return (x,), (x[..., 0] > 0).astype(jnp.int32)


GROUPS = unet(depth=1, width=2, padding="SAME", norm=GroupNorm(2), dropout=0.5)

SMALL = [
    Small("unet", unet(depth=1, width=2), batch, softmax_cross_entropy),
    Small("unet-padded", GROUPS, batch_as_large, softmax_cross_entropy, slow=True),
]


def begun(net, size):
    return jax.eval_shape(net.init, KEY, images(size, 1))


REFUSED = [
    Refused("unet-padding", lambda: unet(padding=1), '"VALID", as the original, or by "SAME", got 1'),
    Refused("unet-depth", lambda: unet(depth=0), "unet needs depth as a whole number of at least 1, got 0"),
    Refused("unet-width", lambda: unet(width=32.0), "unet needs width as a whole number of at least 1, got 32.0"),
    Refused("unet-odd", lambda: begun(unet(width=2, padding="SAME"), 24), r"body.below.below.below: .*odd: \[3, 3\]"),
    Refused("unet-tile", lambda: begun(unet(width=2), 570), r"body.below: .*odd: \[279, 279\]"),
]

"""GANs. Counts are those of the authors' programs (for DCGAN that for faces, 64 x 64), added up: papers give none."""

import jax
import jax.numpy as jnp

from fdl.losses import squared_error
from fdl.models import dcgan_discriminator, dcgan_generator, gan_discriminator, gan_generator, non_saturating
from tests.networks.row import Published, Refused, Small, images

Z = (jax.ShapeDtypeStruct((2, 100), jnp.float32),)

PUBLISHED = [
    Published("gan-generator", gan_generator((28, 28, 1)), Z, (2, 28, 28, 1), 2_503_984),
    Published("gan-discriminator", gan_discriminator(), (images(28, 1),), (2,), 1_231_441),
    Published("dcgan-generator", dcgan_generator(), Z, (2, 64, 64, 3), 18_885_760),
    Published("dcgan-discriminator", dcgan_discriminator(), (images(64),), (2,), 17_232_768),
]


def noise(key):
    return (jax.random.normal(key, (4, 3), jnp.float64),), jnp.ones((4, 4, 4, 1), jnp.float64)


def pictures(key):
    return (jax.random.normal(key, (4, 4, 4, 1), jnp.float64),), None


def look_real(logits, _):
    return non_saturating.generator(logits)


SMALL = [
    Small("gan-generator", gan_generator((4, 4, 1), (5,)), noise, squared_error, slow=True),
    Small("gan-discriminator", gan_discriminator((4,), pieces=2), pictures, look_real, rate=0.1, slow=True),
    Small("dcgan-generator", dcgan_generator((4, 4, 1), depth=2, width=2), noise, squared_error),
    Small("dcgan-discriminator", dcgan_discriminator(depth=2, width=2), pictures, look_real),
]

REFUSED = [
    Refused("gan-shape", lambda: gan_generator((28, 28, 0)), r"got \(28, 28, 0\)"),
    Refused("gan-number", lambda: gan_generator((28, 28), 100), r"gan_generator takes .* for one, \(100,\)"),
    Refused("gan-width", lambda: gan_discriminator(100), r"gan_discriminator takes .* for one, \(100,\)"),
    Refused("dcgan-number", lambda: dcgan_generator(64), "dcgan_generator needs the shape of one example"),
    Refused("dcgan-shape", lambda: dcgan_generator((28, 28, 1)), r"divisible by 16, got \(28, 28, 1\)"),
    Refused("dcgan-axes", lambda: dcgan_generator((28, 28), depth=2), r"\(H, W, C\)"),
    Refused("dcgan-depth", lambda: dcgan_discriminator(depth=0), "at least 1, got 0"),
    Refused("dcgan-width", lambda: dcgan_generator(width=64.0), "width as a whole number of at least 1, got 64.0"),
    Refused(
        "dcgan-width-of-discriminator",
        lambda: dcgan_discriminator(width=64.0),
        "width as a whole number of at least 1, got 64.0",
    ),
]

"""GPTs."""

import jax

from fdl.losses import softmax_cross_entropy
from fdl.models import gpt
from tests.networks.row import Published, Refused, Small, tokens

TEXT, SCORES = (tokens(1024),), (2, 1024, 50_257)

PUBLISHED = [
    Published("gpt2", gpt(), TEXT, SCORES, 124_439_808),
    Published("gpt2-medium", gpt(features=1024, heads=16, depth=24), TEXT, SCORES, 354_823_168, slow=True),
    Published("gpt2-large", gpt(features=1280, heads=20, depth=36), TEXT, SCORES, 774_030_080, slow=True),
    Published("gpt2-xl", gpt(features=1600, heads=25, depth=48), TEXT, SCORES, 1_557_611_200, slow=True),
]


def batch(key):
    ids = jax.random.randint(key, (2, 5), 0, 7)
    return (ids[:, :-1],), ids[:, 1:]


SMALL = [
    Small("gpt", gpt(7, 4, 4, 2, 2, dropout=0.0), batch, softmax_cross_entropy),
    Small("gpt-dropout", gpt(7, 4, 4, 2, 2), batch, softmax_cross_entropy, slow=True),
]

REFUSED = [
    Refused("gpt-heads", lambda: gpt(features=100), "got 100 features and 12 heads"),
    Refused("gpt-length", lambda: gpt(7, 4, 4, 2, 1).init(jax.random.key(0), tokens(5)), "has 4 positions"),
    Refused("gpt-depth", lambda: gpt(7, 4, 4, 2, 0), "Repeat needs n as a whole number of at least 1, got 0"),
]

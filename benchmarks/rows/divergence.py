"""The Kullback-Leibler divergences, and the draw that one of them is for."""

import jax

from fdl.layers import gaussian_sample
from fdl.losses import gaussian_kl, kl_divergence
from rows.row import Row


def rows(scale):
    n, many, key = 4096 // scale, 65536 // scale, jax.random.key(0)
    return [
        Row(kl_divergence, f"{n}x1000", lambda draw: {"p_logits": draw(n, 1000), "q_logits": draw(n, 1000)}),
        Row(gaussian_kl, f"{many}x64", lambda draw: {"mean": draw(many, 64), "log_var": draw(many, 64)}),
        Row(
            gaussian_sample, f"{many}x64", lambda draw: {"mean": draw(many, 64), "log_var": draw(many, 64), "key": key}
        ),
    ]

"""Cases of the Kullback-Leibler divergences."""

import numpy as np

from fdl.losses import gaussian_kl, kl_divergence
from tests.proof.case import Case


def log_softmax(z):
    shifted = z - z.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def kl_formula(p_logits, q_logits, where):
    log_p, log_q = log_softmax(p_logits), log_softmax(q_logits)
    terms = np.where(log_p == -np.inf, 0, np.exp(log_p) * (log_p - log_q))
    terms = np.where(np.exp(log_p) == 0, 0, terms)
    return terms.sum(-1) if where is None else np.where(where, terms.sum(-1), 0)


def gaussian_formula(mean, log_var, where):
    loss = -0.5 * (1 + log_var - mean**2 - np.exp(log_var)).sum(-1)
    return loss if where is None else np.where(where, loss, 0)


def pair(*names, shape=(4,)):
    def make(rng, n):
        return {name: rng.normal(size=(n, *shape)) for name in names} | {"where": None}

    return make


def masked(*names):
    """Every other example is masked, and NaN there."""

    def make(rng, n):
        where = np.broadcast_to(np.arange(n)[:, None] % 2 == 0, (n, 3))
        made = {name: rng.normal(size=(n, 3, 5)) for name in names}
        return {name: np.where(where[..., None], value, np.nan) for name, value in made.items()} | {"where": where}

    return make


def special_logits(rng, n):
    """Huge logits, probabilities of zero, and NaN."""
    p = [[1e4, 0.0, -1e4], [-np.inf, 0.0, 1.0], [-np.inf, 0.0, 1.0], [np.nan, 0.0, 0.0], [0.0, 1.0, 2.0]]
    q = [[-1e4, 1e4, 0.0], [0.5, 0.0, 1.0], [-np.inf, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, np.nan, 0.0]]
    return {"p_logits": tiled(p, n), "q_logits": tiled(q, n), "where": None}


def special_moments(rng, n):
    mean = [[0.0, 1e4], [1.0, -1.0], [np.nan, 0.0], [0.0, np.inf], [0.0, 0.0]]
    log_var = [[0.0, -1e4], [30.0, 1e-9], [0.0, 0.0], [0.0, 0.0], [-np.inf, 1e4]]
    return {"mean": tiled(mean, n), "log_var": tiled(log_var, n), "where": None}


def tiled(rows, n):
    return np.asarray([rows[i % len(rows)] for i in range(n)]).reshape(n, len(rows[0]))


def kl(name, arguments, kept="float32[5]", **options):
    batched = ("p_logits", "q_logits", "where")
    return Case(name, kl_divergence, arguments, kl_formula, batched=batched, remembers=(kept,) * 5, **options)


def gaussian(name, arguments, **options):
    return Case(name, gaussian_kl, arguments, gaussian_formula, batched=("mean", "log_var", "where"), **options)


CASES = [
    kl("matrix", pair("p_logits", "q_logits")),
    kl("masked sequences", masked("p_logits", "q_logits"), kept="float32[5,3]"),
    kl("special values", special_logits, smooth=False),
    gaussian("matrix", pair("mean", "log_var")),
    gaussian("masked sequences", masked("mean", "log_var")),
    gaussian("special values", special_moments, smooth=False),
]

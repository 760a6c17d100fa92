"""What variational autoencoders and adversarial losses do, beyond the rows of networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.layers import Affine, Flatten, Reshape, Serial, Tanh
from fdl.models import least_squares, minimax, negative_elbo, non_saturating, variational

KEY = jax.random.key(0)
NET = variational(Serial(Flatten(), Affine(4), Tanh()), Serial(Affine(6), Reshape((3, 2))), latent=1)
X = jnp.asarray(np.random.default_rng(0).integers(0, 2, (3, 3, 2)), jnp.float32)
PARAMS, STATE = jax.jit(NET.init)(KEY, X)


def test_a_variational_autoencoder_draws_with_a_key_and_takes_the_mean_without():
    decoder, of_decoder = NET.children["decoder"], (PARAMS["decoder"], STATE["decoder"])
    (logits, mean, _), _ = NET.apply(PARAMS, STATE, X)
    np.testing.assert_array_equal(logits, decoder.apply(*of_decoder, mean)[0])
    drawn = [NET.apply(PARAMS, STATE, X, key=key)[0][0] for key in jax.random.split(KEY)]
    assert not np.allclose(drawn[0], drawn[1])
    trained = NET.apply(PARAMS, STATE, X, key=jax.random.split(KEY)[0], train=True)[0][0]
    np.testing.assert_array_equal(trained, drawn[0])
    with pytest.raises(InputError, match=r"sample: GaussianSample\(\) draws random numbers.*key="):
        NET.apply(PARAMS, STATE, X, train=True)


def test_the_negative_elbo_is_what_the_code_and_the_image_cost():
    rng = np.random.default_rng(1)
    logits, mean, log_var = rng.normal(size=(2, 3, 2)), rng.normal(size=(2, 4)), rng.normal(size=(2, 4))
    targets = rng.uniform(size=(2, 3, 2))
    p = 1 / (1 + np.exp(-logits))
    image = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum((1, 2))
    code = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(1)
    outputs = jax.tree.map(jnp.float32, (logits, mean, log_var))
    np.testing.assert_allclose(negative_elbo(outputs, jnp.float32(targets)), image + code, rtol=1e-5)


def test_the_negative_elbo_is_a_bound_on_the_likelihood():
    grid = jnp.linspace(-8, 8, 2001)[:, None]  # of the one latent variable
    logits, _ = NET.children["decoder"].apply(PARAMS["decoder"], STATE["decoder"], grid)
    prior = np.exp(-0.5 * np.square(grid[:, 0])) / np.sqrt(2 * np.pi)
    log_p_of_x_given_z = (X[:, None] * logits - jax.nn.softplus(logits)).sum((2, 3))
    exact = -np.log((np.exp(log_p_of_x_given_z) * prior).sum(1) * (16 / 2000))

    @jax.jit
    def bound(key):
        outputs, _ = NET.apply(PARAMS, STATE, jnp.repeat(X, 2000, axis=0), key=key)
        return negative_elbo(outputs, jnp.repeat(X, 2000, axis=0)).reshape(3, 2000).mean(1)

    assert (bound(KEY) > exact).all()


def test_adversarial_losses_are_those_of_the_papers():
    real, fake = np.random.default_rng(2).normal(size=(2, 5))
    d_real, d_fake = (1 / (1 + np.exp(-logits)) for logits in (real, fake))
    expected = {
        minimax: (-np.log(d_real) - np.log(1 - d_fake), np.log(1 - d_fake)),
        non_saturating: (-np.log(d_real) - np.log(1 - d_fake), -np.log(d_fake)),
        least_squares: ((real - 1) ** 2 / 2 + fake**2 / 2, (fake - 1) ** 2 / 2),
    }
    for losses, (of_discriminator, of_generator) in expected.items():
        np.testing.assert_allclose(losses.discriminator(jnp.float32(real), jnp.float32(fake)), of_discriminator, 1e-5)
        np.testing.assert_allclose(losses.generator(jnp.float32(fake)), of_generator, 1e-5)


def test_a_generator_that_is_told_at_once_still_learns_unless_the_loss_is_minimax():
    slope = {losses: float(jax.grad(losses.generator)(jnp.float32(-20))) for losses in (minimax, non_saturating)}
    assert -1e-8 < slope[minimax] < 0
    assert slope[non_saturating] == pytest.approx(-1)

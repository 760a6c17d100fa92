"""Drawing digits: a variational autoencoder on MNIST, judged by the nats that a test image costs, and by what it draws.

Pixels are black or white here. Each time an image is seen in training they are drawn anew, white with the probability
that its grey says; test images are drawn once, so that the bound is one on their likelihood. The picture shows test
images as the network gives them back, and digits that nobody wrote, decoded from draws of the standard normal.
"""

import jax
import jax.numpy as jnp
from common import finish, load, options, save_grid, small_mnist

from fdl.data import Batches, mnist, ordered_batches, split
from fdl.layers import Relu
from fdl.models import negative_elbo, vae
from fdl.optim import adam, cosine
from fdl.train import evaluate, fit, init_train_state, make_eval_step, make_train_step, supervised

GOAL = 105.0  # nats per image
RATE, BATCH = 2e-3, 128


def binarised(key, batch):
    """Black and white images, white with the probability that their grey says: the input, and the target as well."""
    images, _ = batch
    white = jax.random.bernoulli(key, images / 255).astype(jnp.float32)
    return white, white


def main():
    chosen = options(__doc__, epochs=(20, 40), hidden=(500, 200), latent=(20, 20))
    (images, _), (test_images, _), _ = load(chosen, mnist, "mnist", small_mnist)
    training, validation = split((images, images), (0.95, 0.05), seed=chosen.seed)  # inputs, and targets
    validation, test = (binarised(jax.random.key(0), part) for part in (validation, (test_images, test_images)))

    net = vae((28, 28, 1), (chosen.hidden, chosen.hidden), chosen.latent, activation=Relu())
    steps = chosen.epochs * (len(training[0]) // BATCH)
    optimizer = adam(cosine(RATE, steps))
    objective = supervised(net, negative_elbo, augment=binarised)
    train_state = init_train_state(net, optimizer, jax.random.key(chosen.seed), jnp.zeros((1, 28, 28, 1)))
    eval_step = make_eval_step(objective)

    train_state, *_ = fit(
        make_train_step(objective, optimizer),
        train_state,
        Batches(training, BATCH, seed=chosen.seed),
        epochs=chosen.epochs,
        validate=lambda train_state: evaluate(eval_step, train_state, ordered_batches(validation, 500)),
    )

    nats = evaluate(eval_step, train_state, ordered_batches(test, 500))["loss"]
    params, state, *_ = train_state
    (logits, _, _), _ = net.apply(params, state, test[0][:20])
    z = jax.random.normal(jax.random.key(chosen.seed), (80, chosen.latent))
    drawn, _ = net.children["decoder"].apply(params["decoder"], state["decoder"], z)
    rows = [test[0][:20], jax.nn.sigmoid(logits), *jax.nn.sigmoid(drawn).reshape(4, 20, 28, 28, 1)]
    picture = save_grid(chosen.output / "digits.png", rows, "Test images, the same decoded from their codes, new ones")
    finish(chosen, "negative ELBO, nats per test image", nats, GOAL, higher=False, show="{:.1f}", picture=picture)


if __name__ == "__main__":
    main()

"""Reading handwritten digits, as everyone begins: a small convolutional network on MNIST.

Three stages look for patterns, each in an image half as large as that of the one before, and an affine map gives a
score to each digit. While it learns, images are moved by up to two pixels each way, so that none is seen twice. The
picture shows how training went, and all that is still misread.
"""

from functools import partial

import jax
from common import finish, load, options, save_training, small_mnist, standardised

from fdl.augment import on_images, random_crop
from fdl.data import Batches, channel_moments, mnist, ordered_batches, split
from fdl.layers import Affine, ConvNormRelu, Dropout, Flatten, MaxPool, Serial
from fdl.losses import softmax_cross_entropy
from fdl.optim import adam, one_cycle
from fdl.train import accuracy, evaluate, fit, init_train_state, make_eval_step, make_train_step, predict, supervised

GOAL = 0.992
RATE, BATCH = 1e-2, 128

# 28 x 28 pixels and 16 channels -> 14 x 14 and 32 -> 7 x 7 and 64 -> ten scores
NETWORK = Serial(
    stage1=Serial(ConvNormRelu(16, 5), MaxPool(2)),
    stage2=Serial(ConvNormRelu(32, 3), ConvNormRelu(32, 3), MaxPool(2)),
    stage3=Serial(ConvNormRelu(64, 3), Flatten(), Dropout(0.3)),
    scores=Affine(10),
)


def main():
    chosen = options(__doc__, epochs=(5, 4))
    training, test, names = load(chosen, mnist, "mnist", small_mnist)
    training, validation = split(training, (0.95, 0.05), seed=chosen.seed)

    net = standardised(NETWORK, channel_moments(training[0]))
    batches = Batches(training, BATCH, seed=chosen.seed)
    optimizer = adam(one_cycle(RATE, chosen.epochs * batches.per_epoch))
    objective = supervised(
        net,
        softmax_cross_entropy,
        metrics={"accuracy": accuracy},
        augment=on_images(partial(random_crop, padding=2)),
    )
    train_state = init_train_state(net, optimizer, jax.random.key(chosen.seed), training[0][:1])
    eval_step = make_eval_step(objective)

    train_state, history, *_ = fit(
        make_train_step(objective, optimizer),
        train_state,
        batches,
        epochs=chosen.epochs,
        validate=lambda train_state: evaluate(eval_step, train_state, ordered_batches(validation, 500)),
    )

    scores = predict(net, train_state.params, train_state.state, test[0], batch_size=500)
    reached = accuracy(scores, test[1]).mean()
    picture = save_training(chosen.output / "mnist.png", history, *test, scores, names)
    finish(chosen, "test accuracy", reached, GOAL, picture=picture)


if __name__ == "__main__":
    main()

"""What a fully connected network makes of photographs: CIFAR-10 with batch norm, dropout and Adam.

It does not know that pixels have neighbours, so it has to learn from examples what a convolution takes for granted;
photographs that are mirrored and moved by up to two pixels make many more of them. The picture shows how training went,
and what the network is most certainly wrong about.
"""

from functools import partial

import jax
from common import finish, load, options, save_training, small_cifar10, standardised

from fdl.augment import chain, on_images, random_crop, random_flip
from fdl.data import Batches, channel_moments, cifar10, ordered_batches, split
from fdl.losses import softmax_cross_entropy
from fdl.models import fully_connected_net
from fdl.optim import adam, one_cycle
from fdl.train import accuracy, evaluate, fit, init_train_state, make_eval_step, make_train_step, predict, supervised

GOAL = 0.58  # the course whose exercise this is asks for 50 %, and its solution reaches 55 % on validation
HIDDEN = (1024, 512, 256)
DROPOUT = 0.1  # 12 epochs reached 59.2 % with it, 16 epochs 58.5 % with 0.25
AUGMENT = chain(random_flip, partial(random_crop, padding=2))
RATE, BATCH = 2e-3, 256


def main():
    chosen = options(__doc__, epochs=(30, 5))
    training, test, names = load(chosen, cifar10, ".", small_cifar10)
    training, validation = split(training, (0.95, 0.05), seed=chosen.seed)

    body = fully_connected_net(HIDDEN, len(names), normalization="batch", dropout=DROPOUT)
    net = standardised(body, channel_moments(training[0]))
    batches = Batches(training, BATCH, seed=chosen.seed)
    optimizer = adam(one_cycle(RATE, chosen.epochs * batches.per_epoch))
    objective = supervised(net, softmax_cross_entropy, metrics={"accuracy": accuracy}, augment=on_images(AUGMENT))
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
    picture = save_training(chosen.output / "cifar.png", history, *test, scores, names)
    finish(chosen, "test accuracy", reached, GOAL, picture=picture)


if __name__ == "__main__":
    main()

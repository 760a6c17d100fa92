"""The tables of networks, a file per family of `fdl.models`.

A new network is a new row of each table: as its paper has it, small, and with what it does not take.
"""

from tests.networks import (
    alexnet,
    autoencoder,
    bert,
    captioning,
    char_rnn,
    fcn,
    fully_connected,
    gan,
    googlenet,
    gpt,
    graphs,
    lenet,
    linear,
    mobilenet,
    policy_gradient,
    resnet,
    seq2seq,
    simclr,
    tagger,
    transformer,
    unet,
    vae,
    vgg,
    vit,
    xception,
)

FAMILIES = (
    alexnet,
    autoencoder,
    bert,
    captioning,
    char_rnn,
    fcn,
    fully_connected,
    gan,
    googlenet,
    gpt,
    graphs,
    lenet,
    linear,
    mobilenet,
    policy_gradient,
    resnet,
    seq2seq,
    simclr,
    tagger,
    transformer,
    unet,
    vae,
    vgg,
    vit,
    xception,
)
PUBLISHED = [row for family in FAMILIES for row in family.PUBLISHED]
SMALL = [row for family in FAMILIES for row in family.SMALL]
REFUSED = [row for family in FAMILIES for row in family.REFUSED]

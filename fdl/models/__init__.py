"""Architectures: each a function that gives a `Layer`, built from what `fdl.layers` has."""

from fdl.models import cartpole
from fdl.models.alexnet import alexnet
from fdl.models.autoencoder import autoencoder, conv_autoencoder
from fdl.models.bert import bert, bert_classifier, bert_masked, mask_words
from fdl.models.captioning import captioner
from fdl.models.char_rnn import char_rnn
from fdl.models.dcgan import dcgan_discriminator, dcgan_generator
from fdl.models.encoder_decoder import EncoderDecoder
from fdl.models.fcn import fcn
from fdl.models.fully_connected import fully_connected_net, two_layer_net
from fdl.models.gan import AdversarialLoss, gan_discriminator, gan_generator, least_squares, minimax, non_saturating
from fdl.models.gat import gat
from fdl.models.gcn import gcn
from fdl.models.googlenet import googlenet, inception
from fdl.models.gpt import gpt
from fdl.models.lenet import lenet5
from fdl.models.linear import fit_linear_regression, linear_regression, logistic_regression, softmax_regression
from fdl.models.message_passing import edge_classifier, graph_classifier, message_passing_network
from fdl.models.mobilenet import mobilenet, mobilenet_v2
from fdl.models.nearest import k_nearest_neighbours, nearest_neighbours
from fdl.models.policy_gradient import discounted_returns, policy_value_net, reinforce_loss
from fdl.models.resnet import resnet, resnet_cifar
from fdl.models.seq2seq import seq2seq
from fdl.models.simclr import simclr
from fdl.models.tagger import tagger
from fdl.models.transformer import transformer
from fdl.models.unet import unet
from fdl.models.vae import negative_elbo, vae, variational
from fdl.models.vgg import vgg
from fdl.models.vit import vit
from fdl.models.xception import xception

__all__ = [
    "AdversarialLoss",
    "EncoderDecoder",
    "alexnet",
    "autoencoder",
    "bert",
    "bert_classifier",
    "bert_masked",
    "captioner",
    "cartpole",
    "char_rnn",
    "conv_autoencoder",
    "dcgan_discriminator",
    "dcgan_generator",
    "discounted_returns",
    "edge_classifier",
    "fcn",
    "fit_linear_regression",
    "fully_connected_net",
    "gan_discriminator",
    "gan_generator",
    "gat",
    "gcn",
    "googlenet",
    "gpt",
    "graph_classifier",
    "inception",
    "k_nearest_neighbours",
    "least_squares",
    "lenet5",
    "linear_regression",
    "logistic_regression",
    "mask_words",
    "message_passing_network",
    "minimax",
    "mobilenet",
    "mobilenet_v2",
    "nearest_neighbours",
    "negative_elbo",
    "non_saturating",
    "policy_value_net",
    "reinforce_loss",
    "resnet",
    "resnet_cifar",
    "seq2seq",
    "simclr",
    "softmax_regression",
    "tagger",
    "transformer",
    "two_layer_net",
    "unet",
    "vae",
    "variational",
    "vgg",
    "vit",
    "xception",
]

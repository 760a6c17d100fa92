"""Layers and the rules they are made of: lower case is mathematics, CapWords is a layer."""

from fdl.layers.activation import LeakyRelu, Prelu, Relu, leaky_relu, prelu, relu
from fdl.layers.additive_attention import AdditiveAttention, additive_attention, additive_attention_weights
from fdl.layers.affine import Affine, affine
from fdl.layers.attention import attention
from fdl.layers.attention_maps import attention_maps
from fdl.layers.avg_pool import AvgPool, avg_pool
from fdl.layers.batch_norm import BatchNorm, batch_norm, batch_norm_inference
from fdl.layers.combinators import Concat, Parallel, Residual, Serial
from fdl.layers.conv import Conv, DepthwiseConv, SeparableConv, conv
from fdl.layers.conv_lstm import ConvLSTM, conv_lstm
from fdl.layers.conv_norm import ConvNormRelu, conv_norm_relu
from fdl.layers.conv_transpose import ConvTranspose, conv_transpose
from fdl.layers.dropout import Dropout, DropPath, SpatialDropout, drop_path, dropout, spatial_dropout
from fdl.layers.embedding import Embedding, embedding
from fdl.layers.ensemble import Ensemble, ensemble
from fdl.layers.gated import Geglu, Glu, Swiglu, geglu, glu, swiglu
from fdl.layers.gaussian_sample import GaussianSample, gaussian_sample
from fdl.layers.global_pool import GlobalAvgPool, GlobalMaxPool, global_avg_pool, global_max_pool
from fdl.layers.graph_convolution import GraphAttention, GraphConv
from fdl.layers.group_norm import GroupNorm, InstanceNorm, group_norm, instance_norm
from fdl.layers.gru import GRU, gru, gru_step
from fdl.layers.hard_activation import HardSigmoid, HardSwish, hard_sigmoid, hard_swish
from fdl.layers.layer_norm import LayerNorm, RMSNorm, layer_norm, rms_norm
from fdl.layers.lstm import LSTM, lstm, lstm_step
from fdl.layers.max_pool import MaxPool, max_pool, max_pool_index, max_unpool
from fdl.layers.maxout import Maxout, maxout
from fdl.layers.message_passing import EdgeFeatures, MessagePassing, NodeFeatures, OnNodes, Readout
from fdl.layers.monte_carlo import monte_carlo
from fdl.layers.multi_head_attention import MultiHeadAttention
from fdl.layers.one_hot import one_hot
from fdl.layers.pixel_shuffle import PixelShuffle, PixelUnshuffle, pixel_shuffle, pixel_unshuffle
from fdl.layers.positional_encoding import LearnedPositions, PositionalEncoding
from fdl.layers.positions import sinusoidal_positions
from fdl.layers.recurrent import Bidirectional, Stacked, reverse_sequences
from fdl.layers.repeat import Repeat
from fdl.layers.resize import Resize, resize
from fdl.layers.rnn import RNN, rnn, rnn_step
from fdl.layers.rotary import rotary
from fdl.layers.sandwich import AffineNormRelu, AffineRelu, affine_norm_relu, affine_relu
from fdl.layers.saturating import Elu, Selu, Sigmoid, Softplus, Tanh, elu, selu, sigmoid, softplus, tanh
from fdl.layers.scatter import gather_nodes, scatter_max, scatter_mean, scatter_sum
from fdl.layers.scatter_softmax import scatter_softmax
from fdl.layers.self_gated import Gelu, Mish, Silu, Swish, gelu, mish, silu, swish
from fdl.layers.shape import Flatten, Reshape
from fdl.layers.softmax import LogSoftmax, Softmax, log_softmax, softmax
from fdl.layers.transformer import DecoderBlock, EncoderBlock, feed_forward
from fdl.layers.wrapper import Cast, Frozen, Remat
from fdl.wiring import network

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdditiveAttention",
    "Affine",
    "AffineNormRelu",
    "AffineRelu",
    "AvgPool",
    "BatchNorm",
    "Bidirectional",
    "Cast",
    "Concat",
    "Conv",
    "ConvLSTM",
    "ConvNormRelu",
    "ConvTranspose",
    "DecoderBlock",
    "DepthwiseConv",
    "DropPath",
    "Dropout",
    "EdgeFeatures",
    "Elu",
    "Embedding",
    "EncoderBlock",
    "Ensemble",
    "Flatten",
    "Frozen",
    "GaussianSample",
    "Geglu",
    "Gelu",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "Glu",
    "GraphAttention",
    "GraphConv",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "InstanceNorm",
    "LayerNorm",
    "LeakyRelu",
    "LearnedPositions",
    "LogSoftmax",
    "MaxPool",
    "Maxout",
    "MessagePassing",
    "Mish",
    "MultiHeadAttention",
    "NodeFeatures",
    "OnNodes",
    "Parallel",
    "PixelShuffle",
    "PixelUnshuffle",
    "PositionalEncoding",
    "Prelu",
    "RMSNorm",
    "Readout",
    "Relu",
    "Remat",
    "Repeat",
    "Reshape",
    "Residual",
    "Resize",
    "Selu",
    "SeparableConv",
    "Serial",
    "Sigmoid",
    "Silu",
    "Softmax",
    "Softplus",
    "SpatialDropout",
    "Stacked",
    "Swiglu",
    "Swish",
    "Tanh",
    "additive_attention",
    "additive_attention_weights",
    "affine",
    "affine_norm_relu",
    "affine_relu",
    "attention",
    "attention_maps",
    "avg_pool",
    "batch_norm",
    "batch_norm_inference",
    "conv",
    "conv_lstm",
    "conv_norm_relu",
    "conv_transpose",
    "drop_path",
    "dropout",
    "elu",
    "embedding",
    "ensemble",
    "feed_forward",
    "gather_nodes",
    "gaussian_sample",
    "geglu",
    "gelu",
    "global_avg_pool",
    "global_max_pool",
    "glu",
    "group_norm",
    "gru",
    "gru_step",
    "hard_sigmoid",
    "hard_swish",
    "instance_norm",
    "layer_norm",
    "leaky_relu",
    "log_softmax",
    "lstm",
    "lstm_step",
    "max_pool",
    "max_pool_index",
    "max_unpool",
    "maxout",
    "mish",
    "monte_carlo",
    "network",
    "one_hot",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu",
    "resize",
    "reverse_sequences",
    "rms_norm",
    "rnn",
    "rnn_step",
    "rotary",
    "scatter_max",
    "scatter_mean",
    "scatter_softmax",
    "scatter_sum",
    "selu",
    "sigmoid",
    "silu",
    "sinusoidal_positions",
    "softmax",
    "softplus",
    "spatial_dropout",
    "swiglu",
    "swish",
    "tanh",
]

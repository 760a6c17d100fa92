"""Layers and the rules they are made of: lower case is mathematics, CapWords is a layer."""

from fdl.layer import network
from fdl.layers.activation import LeakyRelu, Prelu, Relu, leaky_relu, prelu, relu
from fdl.layers.affine import Affine, affine
from fdl.layers.batch_norm import BatchNorm, batch_norm, batch_norm_inference
from fdl.layers.combinators import Concat, Parallel, Residual, Serial
from fdl.layers.dropout import Dropout, DropPath, SpatialDropout, drop_path, dropout, spatial_dropout
from fdl.layers.embedding import Embedding, embedding
from fdl.layers.gated import Geglu, Glu, Swiglu, geglu, glu, swiglu
from fdl.layers.group_norm import GroupNorm, InstanceNorm, group_norm, instance_norm
from fdl.layers.hard_activation import HardSigmoid, HardSwish, hard_sigmoid, hard_swish
from fdl.layers.layer_norm import LayerNorm, RMSNorm, layer_norm, rms_norm
from fdl.layers.maxout import Maxout, maxout
from fdl.layers.monte_carlo import monte_carlo
from fdl.layers.one_hot import one_hot
from fdl.layers.repeat import Repeat
from fdl.layers.sandwich import AffineNormRelu, AffineRelu, affine_norm_relu, affine_relu
from fdl.layers.saturating import Elu, Selu, Sigmoid, Softplus, Tanh, elu, selu, sigmoid, softplus, tanh
from fdl.layers.self_gated import Gelu, Mish, Silu, Swish, gelu, mish, silu, swish
from fdl.layers.shape import Flatten, Reshape
from fdl.layers.softmax import LogSoftmax, Softmax, log_softmax, softmax
from fdl.layers.wrapper import Cast, Remat

__all__ = [
    "Affine",
    "AffineNormRelu",
    "AffineRelu",
    "BatchNorm",
    "Cast",
    "Concat",
    "DropPath",
    "Dropout",
    "Elu",
    "Embedding",
    "Flatten",
    "Geglu",
    "Gelu",
    "Glu",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "InstanceNorm",
    "LayerNorm",
    "LeakyRelu",
    "LogSoftmax",
    "Maxout",
    "Mish",
    "Parallel",
    "Prelu",
    "RMSNorm",
    "Relu",
    "Remat",
    "Repeat",
    "Reshape",
    "Residual",
    "Selu",
    "Serial",
    "Sigmoid",
    "Silu",
    "Softmax",
    "Softplus",
    "SpatialDropout",
    "Swiglu",
    "Swish",
    "Tanh",
    "affine",
    "affine_norm_relu",
    "affine_relu",
    "batch_norm",
    "batch_norm_inference",
    "drop_path",
    "dropout",
    "elu",
    "embedding",
    "geglu",
    "gelu",
    "glu",
    "group_norm",
    "hard_sigmoid",
    "hard_swish",
    "instance_norm",
    "layer_norm",
    "leaky_relu",
    "log_softmax",
    "maxout",
    "mish",
    "monte_carlo",
    "network",
    "one_hot",
    "prelu",
    "relu",
    "rms_norm",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "spatial_dropout",
    "swiglu",
    "swish",
    "tanh",
]

"""Fully connected networks: affine maps with a ReLU between them.

    x --> [affine --> norm --> relu --> dropout] --> ... --> affine --> scores
          |_________ hidden layer 1 _________|               classes

    h_1 = relu(norm(x w_1 + b_1))        h_i = relu(norm(h_(i-1) w_i + b_i))        scores = h_L w + b

Without the ReLU, all affine maps together would be one affine map; with it, a single hidden layer that is wide enough
comes as near as one likes to any continuous function. A norm keeps the scale of the hidden units whatever the scale of
the weights; it takes any bias in front of it out again and brings its own (beta), so there is none there. Dropout
stands behind the ReLU.

Weights in front of a ReLU start with variance 2 / inputs, which keeps the scale of signals from layer to layer; those
of the scores start near zero, so that no class is preferred and the first loss of C classes is log C.

These are the networks of the first two assignments of Stanford's course CS231n, whose numbers the tests reproduce.

Sources: Rosenblatt, "Principles of neurodynamics" (1962), the perceptron; Cybenko, "Approximation by superpositions of
a sigmoidal function" (1989), what one hidden layer can do; Ioffe and Szegedy (2015), batch norm; Srivastava et al.
(2014), dropout; He et al., "Delving deep into rectifiers" (2015), the initial weights.
"""

from collections.abc import Sequence

from fdl.errors import InputError
from fdl.initializers import Initializer, he_normal, normal
from fdl.layer import Layer
from fdl.layers import Affine, AffineNormRelu, AffineRelu, Dropout, Flatten, LayerNorm, Relu, Serial
from fdl.models.arguments import check_widths

NORMALIZATIONS = (None, "batch", "layer")


def two_layer_net(hidden: int, classes: int = 10, *, w_init: Initializer | None = None) -> Layer:
    """One hidden layer: affine, ReLU, affine.

    Args:
        hidden: how many hidden units.
        classes: how many scores it gives.
        w_init: how the weights of both start; if None, the hidden ones as `he_normal` and those of the scores as
            ``normal(0.01)``.

    Returns:
        A layer from examples [N, ...] to scores [N, classes].

    Raises:
        InputError: for fewer than one unit or class.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, image = two_layer_net(50), jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image)
        >>> sum(w.size for w in jax.tree.leaves(params))
        154160
    """
    return fully_connected_net((hidden,), classes, w_init=w_init)


def fully_connected_net(
    hidden: Sequence[int],
    classes: int = 10,
    *,
    normalization: str | None = None,
    dropout: float = 0.0,
    w_init: Initializer | None = None,
) -> Layer:
    """Any number of hidden layers, each affine, norm, ReLU, dropout, and an affine map to the scores.

    Args:
        hidden: how many units each hidden layer has.
        classes: how many scores it gives.
        normalization: what stands in front of each ReLU: "batch", "layer", or None for nothing.
        dropout: the probability to drop a hidden unit while training, in [0, 1).
        w_init: how the weights of all affine maps start; if None, the hidden ones as `he_normal` and those of the
            scores as ``normal(0.01)``.

    Returns:
        A layer from examples [N, ...] to scores [N, classes], with parts hidden1, hidden2, ... and scores.

    Raises:
        InputError: for sizes below one, for another normalization, and for a rate outside [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net = fully_connected_net((100, 50), normalization="batch", dropout=0.2)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 28, 28), jnp.float32))
        >>> sum(w.size for w in jax.tree.leaves(params))
        84210
    """
    check_widths("fully_connected_net", hidden)
    if normalization not in NORMALIZATIONS:
        known = ", ".join(map(repr, NORMALIZATIONS))
        raise InputError(f"fully_connected_net has a normalization of {known}, got {normalization!r}")
    inside, last = (he_normal(), normal(0.01)) if w_init is None else (w_init, w_init)
    layers = {f"hidden{i}": _hidden(size, normalization, dropout, inside) for i, size in enumerate(hidden, start=1)}
    return Serial(Flatten(), **layers, scores=Affine(classes, w_init=last))


def _hidden(units: int, normalization: str | None, rate: float, w_init: Initializer) -> Layer:
    drop = (Dropout(rate),) if rate else ()
    if normalization == "layer":
        return Serial(Affine(units, bias=False, w_init=w_init), LayerNorm(), Relu(), *drop)
    kind = AffineNormRelu if normalization == "batch" else AffineRelu
    return Serial(kind(units, w_init=w_init), *drop)

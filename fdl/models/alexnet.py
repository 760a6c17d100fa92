"""AlexNet: the network with which deep learning won the ImageNet competition of 2012.

    image -> conv 11x11 /4 -> pool -> conv 5x5 -> pool -> conv 3x3 -> conv 3x3 -> conv 3x3 -> pool -> 3 affine maps
    224      55x55            27      27x27       13      13x13       13x13       13x13       6       4096 4096 classes

A ReLU follows each layer with weights but the last, since it does not saturate and training is several times as fast;
pools of 3x3 overlap, at a stride of 2; half of the 4096 units are dropped in each step. None of it was new: that so
large a network can be trained on a million images, on two graphics cards, was.

The two cards are still in the network: ``columns=2`` is the paper's, whose channels are in two halves that see each
other in the third convolution and in the affine maps only. ``columns=1`` is the one-card network of the author's next
paper, which is what "AlexNet" means in most libraries. The paper's local response normalisation is left out, as
everyone since has (Simonyan and Zisserman, 2015, found that it costs time and improves nothing); it had no parameters.
Weights start as `he_normal`, which did not exist then, instead of N(0, 0.01^2) with some biases at one.

Sources: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks" (2012), and
Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014).
"""

from fdl.errors import InputError
from fdl.initializers import normal
from fdl.layer import Layer
from fdl.layers import Affine, AffineRelu, Conv, Dropout, Flatten, MaxPool, Relu, Serial

# By columns: the channels of each convolution, and which of them are in as many groups as there are columns.
CHANNELS = {1: (64, 192, 384, 256, 256), 2: (96, 256, 384, 384, 256)}
IN_GROUPS = (False, True, False, True, True)


def alexnet(classes: int = 1000, *, columns: int = 1, width: float = 1.0, dropout: float = 0.5) -> Layer:
    """AlexNet, in one column or in the paper's two.

    Args:
        classes: how many scores it gives.
        columns: 1 or 2.
        width: a factor for the numbers of channels and of hidden units.
        dropout: the probability to drop one of the 4096 units while training, in [0, 1).

    Returns:
        A layer from images [N, H, W, C], of at least 63 x 63 pixels, to scores [N, classes].

    Raises:
        InputError: for other columns, and for a rate outside [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, image = alexnet(columns=2), jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image)
        >>> sum(w.size for w in jax.tree.leaves(params))
        60965224
    """
    if columns not in CHANNELS:
        raise InputError(f"alexnet has 1 column or 2, got {columns}")
    channels = [columns * round(width * c / columns) for c in CHANNELS[columns]]
    forms = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))  # kernel, stride, padding
    layers = {}
    for i, (count, (kernel, stride, padding), split) in enumerate(zip(channels, forms, IN_GROUPS, strict=True)):
        pool = (MaxPool(3, 2),) if i in (0, 1, 4) else ()
        groups = columns if split else 1
        layers[f"conv{i + 1}"] = Serial(Conv(count, kernel, stride, padding, groups=groups), Relu(), *pool)
    drop = (Dropout(dropout),) if dropout else ()
    hidden = AffineRelu(round(4096 * width))
    head = Serial(Flatten(), hidden, *drop, hidden, *drop)
    return Serial(**layers, head=head, scores=Affine(classes, w_init=normal(0.01)))

"""Variance scaling: weights that keep the size of signals on their way through the layers.

For a weight with independent, zero-mean entries, y = sum over fan_in of x w in the forward pass and
dx = sum over fan_out of dy w in the backward pass, so

    Var(y)  = fan_in  Var(w) E[x^2]
    Var(dx) = fan_out Var(w) E[dy^2]

Var(w) = 1 / fan_in keeps the forward pass (LeCun et al. 1998), 2 / (fan_in + fan_out) compromises with
the backward pass (Glorot and Bengio 2010), and 2 / fan_in makes up for the half of the signal that a
ReLU takes away (He et al. 2015).

How many products are in the two sums?

- Affine, w [in, out]: y_j = sum_i x_i w_ij, so fan_in = in, fan_out = out.
- Convolution, w [*kernel, in / groups, out]: an output sees prod(kernel) positions with in / groups
  channels each. An input is seen through prod(kernel) taps by out / groups channels, but with a stride
  only one tap in prod(stride) meets it. So

      fan_in = prod(kernel) in / groups        fan_out = prod(kernel) out / (groups prod(stride))

- Transposed convolution, w [*kernel, in, out]: the same connections walked the other way. Every input
  reaches prod(kernel) positions, which lie prod(stride) times as densely as the inputs, so that an
  output is met by prod(kernel) / prod(stride) of them:

      fan_in = prod(kernel) in / prod(stride)        fan_out = prod(kernel) out

The variance v = scale / fan is reached by each of three distributions. N(0, v) is immediate. U(-a, a)
has variance a^2 / 3, so a = sqrt(3 v). A standard normal that is truncated at 2 has, by parts with
density phi and P(|z| < 2) = erf(sqrt 2),

    integral of z^2 phi from -2 to 2 = [-z phi] + integral of phi = -4 phi(2) + erf(sqrt 2)
    Var(z) = 1 - 4 phi(2) / erf(sqrt 2) = 0.774

so that its draws are multiplied with sqrt(v / 0.774).
"""

import math

import jax
from jax.typing import DTypeLike

from fdl.errors import InputError
from fdl.initializers.initializer import Fans, Shape, initializer

_TRUNCATED_VARIANCE = 1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))


def fans(
    shape: Shape, *, stride: int | tuple[int, ...] = 1, groups: int = 1, transposed: bool = False
) -> tuple[float, float]:
    """(fan_in, fan_out): how many products each output, and each input, is part of (on average, with a stride).

    Args:
        shape: [in, out], or [*kernel, in / groups, out] for a convolution.
        stride: one for all spatial axes, or one for each.
        groups: of a convolution.
        transposed: whether the weight is that of a transposed convolution, [*kernel, in, out].

    Raises:
        InputError: for fewer than two axes, which have no fans; for strides that do not fit the kernel;
            for groups that do not divide the outputs.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (2010), for the counts without a stride.

    Example:
        >>> fans((3, 3, 16, 32)), fans((4, 4, 16, 32), stride=2, transposed=True)
        ((144, 288), (64.0, 512))
    """
    if len(shape) < 2:
        raise InputError(f"a weight needs shape [*kernel, in, out] to have fans, got {list(shape)}")
    *kernel, inputs, outputs = shape
    strides = (stride,) * len(kernel) if isinstance(stride, int) else stride
    if len(strides) != len(kernel):
        raise InputError(f"a kernel of {len(kernel)} spatial axes needs as many strides, got {list(strides)}")
    if outputs % groups:
        raise InputError(f"{groups} groups do not divide {outputs} outputs")
    taps, met = math.prod(kernel), math.prod(strides)
    forward, backward = taps * inputs, taps * outputs // groups
    if met == 1:
        return forward, backward
    return (forward / met, backward) if transposed else (forward, backward / met)


@initializer
def lecun_normal(key: jax.Array, shape: Shape, dtype: DTypeLike, fans: Fans | None = None) -> jax.Array:
    """N(0, 1 / fan_in), which keeps the variance through linear layers.

    Source: LeCun, Bottou, Orr and Mueller, "Efficient BackProp" (1998).

    Example:
        >>> import jax
        >>> round(float(lecun_normal()(jax.random.key(0), (100, 400)).var() * 100), 1)
        1.0
    """
    return _normal(key, shape, dtype, 1 / _fan_in(shape, fans))


@initializer
def lecun_uniform(key: jax.Array, shape: Shape, dtype: DTypeLike, fans: Fans | None = None) -> jax.Array:
    """U(-a, a) with a = sqrt(3 / fan_in): variance 1 / fan_in. See `lecun_normal`."""
    return _uniform(key, shape, dtype, 1 / _fan_in(shape, fans))


@initializer
def lecun_truncated_normal(key: jax.Array, shape: Shape, dtype: DTypeLike, fans: Fans | None = None) -> jax.Array:
    """A normal without its tails beyond two standard deviations, of variance 1 / fan_in. See `lecun_normal`."""
    return _truncated_normal(key, shape, dtype, 1 / _fan_in(shape, fans))


@initializer
def glorot_normal(key: jax.Array, shape: Shape, dtype: DTypeLike, fans: Fans | None = None) -> jax.Array:
    """N(0, 2 / (fan_in + fan_out)), for tanh and sigmoid; also called ``xavier_normal``.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (2010).

    Example:
        >>> import jax
        >>> round(float(glorot_normal()(jax.random.key(0), (100, 400)).var() * 250), 1)
        1.0
    """
    return _normal(key, shape, dtype, 1 / _fan_mean(shape, fans))


@initializer
def glorot_uniform(key: jax.Array, shape: Shape, dtype: DTypeLike, fans: Fans | None = None) -> jax.Array:
    """U(-a, a) with a = sqrt(6 / (fan_in + fan_out)); also called ``xavier_uniform``. See `glorot_normal`."""
    return _uniform(key, shape, dtype, 1 / _fan_mean(shape, fans))


@initializer
def glorot_truncated_normal(key: jax.Array, shape: Shape, dtype: DTypeLike, fans: Fans | None = None) -> jax.Array:
    """A normal without its tails beyond two standard deviations, of variance 2 / (fan_in + fan_out).

    Also called ``xavier_truncated_normal``. See `glorot_normal`.
    """
    return _truncated_normal(key, shape, dtype, 1 / _fan_mean(shape, fans))


@initializer
def he_normal(key: jax.Array, shape: Shape, dtype: DTypeLike, fans: Fans | None = None) -> jax.Array:
    """N(0, 2 / fan_in), for ReLU; also called ``kaiming_normal``.

    Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015).

    Example:
        >>> import jax
        >>> round(float(he_normal()(jax.random.key(0), (100, 400)).var() * 100), 1)
        2.0
    """
    return _normal(key, shape, dtype, 2 / _fan_in(shape, fans))


@initializer
def he_uniform(key: jax.Array, shape: Shape, dtype: DTypeLike, fans: Fans | None = None) -> jax.Array:
    """U(-a, a) with a = sqrt(6 / fan_in): variance 2 / fan_in; also called ``kaiming_uniform``. See `he_normal`."""
    return _uniform(key, shape, dtype, 2 / _fan_in(shape, fans))


@initializer
def he_truncated_normal(key: jax.Array, shape: Shape, dtype: DTypeLike, fans: Fans | None = None) -> jax.Array:
    """A normal without its tails beyond two standard deviations, of variance 2 / fan_in.

    Also called ``kaiming_truncated_normal``. See `he_normal`.
    """
    return _truncated_normal(key, shape, dtype, 2 / _fan_in(shape, fans))


xavier_normal, xavier_uniform, xavier_truncated_normal = glorot_normal, glorot_uniform, glorot_truncated_normal
kaiming_normal, kaiming_uniform, kaiming_truncated_normal = he_normal, he_uniform, he_truncated_normal


def _fan_in(shape: Shape, told: Fans | None) -> float:
    return (told or fans(shape))[0] or 1  # of no inputs there are no weights, of any variance


def _fan_mean(shape: Shape, told: Fans | None) -> float:
    return sum(told or fans(shape)) / 2 or 1


def _normal(key: jax.Array, shape: Shape, dtype: DTypeLike, variance: float) -> jax.Array:
    return math.sqrt(variance) * jax.random.normal(key, shape, dtype)


def _uniform(key: jax.Array, shape: Shape, dtype: DTypeLike, variance: float) -> jax.Array:
    limit = math.sqrt(3 * variance)
    return jax.random.uniform(key, shape, dtype, -limit, limit)


def _truncated_normal(key: jax.Array, shape: Shape, dtype: DTypeLike, variance: float) -> jax.Array:
    return math.sqrt(variance / _TRUNCATED_VARIANCE) * jax.random.truncated_normal(key, -2, 2, shape, dtype)

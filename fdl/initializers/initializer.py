"""Initializers as values: what is called with a key and a shape to draw a weight.

    w = he_normal()(key, (in, out), jnp.float32)

`initializer` makes one of a function that draws. The ones of fdl are in `fdl.initializers.distributions`,
`fdl.initializers.variance_scaling` and `fdl.initializers.orthogonal`.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from fdl.keys import check_key

Shape = tuple[int, ...]
Fans = tuple[float, float]


class Initializer:
    """A way to draw a weight: call it with (key, shape, dtype). Equal settings are equal initializers.

    What is drawn has at least 32 bits, and is rounded to narrower types at the end.

    A layer whose fans do not follow from the shape of its weight alone, such as a convolution with a
    stride, calls it with ``fans=(fan_in, fan_out)`` as well; initializers that need no fans ignore that.

    Example:
        >>> import jax
        >>> from fdl.initializers import fans, lecun_normal
        >>> shape = (4, 4, 128, 64)
        >>> w = lecun_normal()(jax.random.key(0), shape, fans=fans(shape, stride=(2, 2), transposed=True))
        >>> w.shape, round(float(w.var() * 4 * 4 * 128 / 4), 1)
        ((4, 4, 128, 64), 1.0)
    """

    _maker: "Callable[..., Initializer] | None" = None  # what `initializer` made of the function that draws

    def __init__(self, draw: Callable[..., jax.Array], **options: Any):
        self._draw = draw
        self._options = options

    def __call__(
        self, key: jax.Array, shape: Shape, dtype: DTypeLike = jnp.float32, fans: Fans | None = None
    ) -> jax.Array:
        if key is not None:  # which is as good as any where nothing is drawn
            check_key(self._draw.__name__, key)
        told = {"fans": fans} if "fans" in inspect.signature(self._draw).parameters else {}
        # Drawn in bfloat16, numbers would have eight random bits, a mean that is not zero, and no tails.
        drawn = self._draw(key, shape, jnp.promote_types(dtype, jnp.float32), **told, **self._options)
        return drawn.astype(dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Initializer) and (self._draw, self._options) == (other._draw, other._options)

    def __hash__(self) -> int:
        return hash((self._draw, tuple(self._options.items())))

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        # A pickle has functions by their names, and under the name of the one that draws is the one that makes this.
        maker = functools.partial(Initializer, self._draw) if self._maker is None else self._maker
        return functools.partial(maker, **self._options), ()

    def __repr__(self) -> str:
        return f"{self._draw.__name__}({', '.join(f'{name}={value!r}' for name, value in self._options.items())})"


def initializer(draw: Callable[..., jax.Array]) -> Callable[..., Initializer]:
    """Makes ``name(**options) -> Initializer`` of a function draw(key, shape, dtype, *, **options).

    Args:
        draw: the function that draws. A fourth positional argument, if it has one, is ``fans``: what the
            layer says of its fans, or None where the shape says it all.

    Example:
        >>> import math
        >>> @initializer
        ... def alternating(key, shape, dtype, *, size):
        ...     return (size * (-1.0) ** jnp.arange(math.prod(shape))).reshape(shape).astype(dtype)
        >>> alternating(size=0.5)
        alternating(size=0.5)
        >>> alternating(size=0.5)(None, (4,)).tolist()
        [0.5, -0.5, 0.5, -0.5]
    """
    options = [p for p in inspect.signature(draw).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    signature = inspect.Signature([p.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in options])

    @functools.wraps(draw)
    def with_options(*args: Any, **kwargs: Any) -> Initializer:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        made = Initializer(draw, **bound.arguments)
        made._maker = with_options
        return made

    with_options.__signature__ = signature  # type: ignore[attr-defined]
    return with_options

"""Layers: pairs of pure functions over a parameter pytree.

    layer.init(key, *inputs)                                   -> (params, state)
    layer.apply(params, state, *inputs, key=None, train=False) -> (output, state)

``params`` is what gradients are taken of; ``state`` is what a forward pass updates by itself. Both are
nested dicts of arrays. A layer is a value: it holds its configuration and no arrays. `fdl.wiring` has what
makes layers of layers.
"""

import contextlib
import copy
import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, dataclass_transform

import jax

from fdl.errors import InputError

Tree = dict[str, Any]
Visit = Callable[..., tuple[Any, Any, Any]]  # what `Layer.walk` calls for every child


@dataclass_transform(frozen_default=True)
class Layer:
    """An immutable, hashable value that knows how to make parameters and how to use them.

    A subclass declares its configuration as fields, like a dataclass (it becomes a frozen one), and
    writes `init` and `apply`. Equal configurations are equal layers, and `repr` is the expression
    that makes the layer again.

    Example:
        >>> import fdl, jax, jax.numpy as jnp
        >>> class Scale(fdl.Layer):
        ...     start: float = 1.0
        ...     def init(self, key, x):
        ...         return {"gamma": jnp.full(x.shape[-1], self.start)}, {}
        ...     def apply(self, params, state, x, *, key=None, train=False):
        ...         return params["gamma"] * x, state
        >>> layer = Scale(2.0)
        >>> params, state = layer.init(jax.random.key(0), jnp.ones((5, 3)))
        >>> y, state = layer.apply(params, state, jnp.ones((5, 3)))
        >>> layer, y.shape, float(y[0, 0])
        (Scale(start=2.0), (5, 3), 2.0)
    """

    def __init_subclass__(cls, *, init: bool = True) -> None:
        # A subclass without fields of its own is constructed like its parent; type checkers are told so by init=False.
        dataclasses.dataclass(frozen=True, repr=False, init=init and bool(inspect.get_annotations(cls)))(cls)

    @property
    def name(self) -> str:
        """What a combinator calls this layer when it is not told otherwise: `BatchNorm` is ``batch_norm``."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__).lower().lstrip("_")

    @property
    def children(self) -> "dict[str, Layer]":
        """The layers that this one is made of, by name; none unless it is a `fdl.wiring.Combinator`."""
        return {}

    def part_of(self, tree: Tree, name: str) -> Tree:
        """What a child owns of this layer's params or state."""
        return tree[name]

    def init(self, key: jax.Array, *inputs: Any, **_: Any) -> tuple[Tree, Tree]:
        """Makes (params, state) for inputs of these shapes and dtypes (arrays or `jax.ShapeDtypeStruct`)."""
        return {}, {}

    def apply(self, params: Tree, state: Tree, *inputs: Any, **options: Any) -> tuple[Any, Tree]:
        """Computes (output, new state).

        Args:
            params, state: as `init` made them, and as training and earlier calls left them.
            inputs: the arrays that go in.
            options: ``key``, which layers that draw random numbers need while ``train=True``, and
                ``train``, a Python bool.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define apply")

    def walk(self, visit: Visit, params: Tree, state: Tree, *inputs: Any, **options: Any) -> tuple[Any, Tree, Tree]:
        """Does what `apply` does, with a visitor in the place of every child's apply.

        A visitor sees what each child is given, in the order of the calls, and may change its parameters
        for the rest of the pass: that is how `fdl.summary` and `data_dependent` look at any wiring. It goes
        deeper by calling the child's `walk`; a layer without children only applies itself.

        Args:
            visit: a function (name, child, params, state, *inputs, key, train) -> (output, params, state).
            params, state, inputs, options: as for `apply`.

        Returns:
            (output, params, state), with each child's params and state as its last visit returned them.

        Example:
            >>> import jax, jax.numpy as jnp
            >>> from fdl.layers import Affine, Residual
            >>> def visit(name, child, params, state, *inputs, **options):
            ...     print(name, child, *(x.shape for x in inputs))
            ...     return child.walk(visit, params, state, *inputs, **options)
            >>> layer, x = Residual(Affine(3)), jnp.ones((2, 3))
            >>> y, params, state = layer.walk(visit, *layer.init(jax.random.key(0), x), x)
            body Affine(3) (2, 3)
        """
        output, state = self.apply(params, state, *inputs, **options)
        return output, params, state

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        """The state with which `apply` takes a sequence piece by piece, each call going on where the last one ended.

        Attention then keeps the keys and values of what it has seen, recurrent layers their state, causal convolutions
        their last inputs, and positions count on. A model of these, and of layers that treat every position by itself,
        gives for one token at a time what it gives for all at once. What looks at neighbours otherwise (a pool, a
        convolution with a stride or padded behind) sees each piece by itself.

        Args:
            params, state: as for `apply`.
            batch: how many sequences there will be, N.
            length: how many positions the pieces may have together.

        Returns:
            A state, to be handed from call to call; `state` itself where there is nothing to remember.
        """
        streams = {}
        for name, child in self.children.items():
            with inside(name):
                own = self.part_of(params, name), self.part_of(state, name)
                streams[name] = child.begin_stream(*own, batch, length)
        return streams or state

    def receptive_window(self, *inputs: Any) -> "tuple[tuple[Any, Any, Any], ...] | None":
        """Which positions of its input one output position sees, for the receptive field in `fdl.summary`.

        A layer that looks at neighbours returns (kernel, stride, dilation) for each of its spatial axes:
        output position i sees the kernel positions stride i + dilation j. A layer that makes its input larger
        has a stride below one, as a `fractions.Fraction`, and counts in its kernel the input positions that
        one output sees; one that mixes all positions has them all in its kernel. None, as here, is for a layer
        that treats every position by itself.

        Args:
            inputs: the shapes and dtypes of what the layer is called with, as for `init`.
        """
        return None

    def _inputs(self) -> inspect.Signature:
        """What `apply` takes between the state and the options."""
        return inputs_of(self.apply, "params", "state", "key", "train")

    def _init_and_apply(self, key: Any, *inputs: Any) -> tuple[Any, Tree, Tree]:
        params, state = self.init(key, *inputs)
        output, state = self.apply(params, state, *inputs, key=key, train=True)
        return output, params, state

    def __repr__(self) -> str:
        arguments = [
            repr(value) if field.default is dataclasses.MISSING else f"{field.name}={value!r}"
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"{type(self).__name__}({', '.join(arguments)})"


def walk_by_path(layer: Layer, at: Visit, *args: Any, **options: Any) -> tuple[Any, Tree, Tree]:
    """`Layer.walk` through all layers inside a layer, each known by its path; one that has none inside is its own.

    Args:
        layer: where to begin.
        at: a function (path, child, walk, params, state, *inputs, **options) -> (output, params, state), where ``walk``
            applies the child, going on to what is inside it, and the path is a tuple of names.
        args, options: params, state, inputs and options, as for `Layer.apply`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, Relu, Residual, Serial
        >>> def at(path, child, walk, *args, **options):
        ...     print(path, child)
        ...     return walk(*args, **options)
        >>> layer, x = Serial(Residual(Affine(3))), jnp.ones((2, 3))
        >>> y, params, state = walk_by_path(layer, at, *layer.init(jax.random.key(0), x), x)
        ('residual1',) Residual(Affine(3))
        ('residual1', 'body') Affine(3)
        >>> y, params, state = walk_by_path(Relu(), at, {}, {}, x)
        ('relu',) Relu()
    """

    def visitor(path: tuple[str, ...]) -> Visit:
        def visit(name: str, child: Layer, *args: Any, **options: Any) -> tuple[Any, Tree, Tree]:
            here = (*path, name)
            return at(here, child, functools.partial(child.walk, visitor(here)), *args, **options)

        return visit

    visit = visitor(())
    return layer.walk(visit, *args, **options) if layer.children else visit(layer.name, layer, *args, **options)


def inputs_of(function: Callable[..., Any], *others: str) -> inspect.Signature:
    """A function's arguments without these others, and without annotations.

    Example:
        >>> inputs_of(lambda net, x, lengths=None: x, "net")
        <Signature (x, lengths=None)>
    """
    arguments = inspect.signature(function).parameters.values()
    return inspect.Signature([a.replace(annotation=a.empty) for a in arguments if a.name not in others])


def fields_of(layer: Layer) -> dict[str, Any]:
    """The configuration of a layer: the value of each field by its name."""
    return {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}  # type: ignore[arg-type]


def with_fields(layer: Any, /, **values: Any) -> Any:
    """The layer with other values in these fields; it is not constructed anew, however its `__init__` is called."""
    new = copy.copy(layer)
    for name, value in values.items():
        object.__setattr__(new, name, value)
    return new


def rebuilt(value: Any, change: Callable[[Layer], Layer]) -> Any:
    """The same value with every layer in it changed, found where layers are kept: in fields and in tuples.

    Example:
        >>> from fdl.layers import Affine, Cast, Relu, Serial
        >>> net = Serial(Cast(Affine(3), "bfloat16"), Relu())
        >>> rebuilt(net, lambda layer: layer.layer if isinstance(layer, Cast) else layer)
        Serial(Affine(3), Relu())
    """
    if isinstance(value, tuple):
        return tuple(rebuilt(part, change) for part in value)
    if not isinstance(value, Layer):
        return value
    return change(with_fields(value, **{name: rebuilt(own, change) for name, own in fields_of(value).items()}))


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Runs a block as the layer called ``name``: in profiles, and in what is said of its errors."""
    try:
        with jax.named_scope(name):
            yield
    except InputError as error:
        error.path = (name, *error.path)
        raise
    except Exception as error:
        error.add_note(f"in layer {name!r}")
        raise

"""Layers: pairs of pure functions over a parameter pytree, and the wiring that combines them.

    layer.init(key, *inputs)                                   -> (params, state)
    layer.apply(params, state, *inputs, key=None, train=False) -> (output, state)

``params`` is what gradients are taken of; ``state`` is what a forward pass updates by itself. Both are
nested dicts of arrays. A layer is a value: it holds its configuration and no arrays.

A layer made of layers writes its wiring once, as a function that calls its children. `init` runs the
wiring on shapes to see what every child is given; `apply` runs it on arrays:

    @network(hidden=Affine(100), out=Affine(10))
    def two_layer_net(net, x):
        return net.out(relu(net.hidden(x)))

`fdl.layers` has the common wirings with a name: `Serial`, `Residual`, `Concat`.
"""

import contextlib
import dataclasses
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

    def __init_subclass__(cls) -> None:
        # A subclass without fields of its own is constructed like its parent.
        dataclasses.dataclass(frozen=True, repr=False, init=bool(inspect.get_annotations(cls)))(cls)

    @property
    def name(self) -> str:
        """What a combinator calls this layer when it is not told otherwise: `BatchNorm` is ``batch_norm``."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__).lower()

    @property
    def children(self) -> "dict[str, Layer]":
        """The layers that this one is made of, by name; none unless it is a `Combinator`."""
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

        Attention then keeps the keys and values of what it has seen, and positions count on, so that a model
        which only looks back gives for one token at a time what it gives for all of them at once.

        Args:
            params, state: as for `apply`.
            batch: how many sequences there will be, N.
            length: how many positions the pieces may have together.

        Returns:
            A state, to be handed from call to call; `state` itself where there is nothing to remember.
        """
        streams = {}
        for name, child in self.children.items():
            with _inside(name):
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


class Combinator(Layer):
    """A layer made of named layers. A subclass says how they are wired, once, in `wire`.

    A child's parameters are found under its name. A child that is called twice shares its parameters
    between the calls and hands its state on from the first call to the second.
    """

    def __post_init__(self) -> None:
        for name, child in self.children.items():
            if not isinstance(child, Layer):
                hint = f"; did you mean {child.__name__}()?" if isinstance(child, type) else ""
                raise InputError(f"{type(self).__name__} is made of layers, got {child!r} as {name!r}{hint}")
            if name.startswith("_") or name in ("key", "train"):
                raise InputError(f"{type(self).__name__} cannot call a layer {name!r}: that name is taken")

    def wire(self, net: "Net", *inputs: Any) -> Any:
        """Computes the output by calling the children of ``net``."""
        raise NotImplementedError(f"{type(self).__name__} does not define wire")

    def init(self, key: jax.Array, *inputs: Any) -> tuple[Tree, Tree]:
        shapes: dict[str, Any] = {}

        def visit(name: str, child: Layer, params: Any, state: Any, *inputs: Any, **options: Any) -> Any:
            shapes.setdefault(name, jax.tree.map(_shape_of, inputs))
            return _begin(name, child, params, state, *inputs, **options)

        def look(key: jax.Array, *inputs: Any) -> None:
            self.wire(Net(self, {}, {}, key, True, visit), *inputs)

        jax.eval_shape(look, key, *inputs)
        params, state = {}, {}
        for index, (name, child) in enumerate(self.children.items()):
            with _inside(name):
                if name not in shapes:
                    raise InputError(f"{self.name} never calls this layer, so the shapes of its inputs are unknown")
                params[name], state[name] = child.init(jax.random.fold_in(key, index), *shapes[name])
        return params, state

    def apply(self, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        output, _, state = self.walk(_apply, params, state, *inputs, key=key, train=train)
        return output, state

    def walk(
        self, visit: Visit, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False
    ) -> tuple[Any, Tree, Tree]:
        for kind, tree in (("params", params), ("state", state)):
            if not isinstance(tree, dict):
                raise InputError(
                    f"{self.name} expects {kind} as the dict that its init made, got a {type(tree).__name__}: "
                    "the arguments are apply(params, state, x, key=..., train=...)"
                )
            if set(tree) != set(self.children):
                raise InputError(
                    f"{self.name} is made of {sorted(self.children)}, but its {kind} are for {sorted(tree)}: "
                    "they come from the init of another network"
                )
        net = Net(self, params, state, key, train, visit)
        return self.wire(net, *inputs), net._params, net._state

    def _init_and_apply(self, key: Any, *inputs: Any) -> tuple[Any, Tree, Tree]:
        net = Net(self, {}, {}, key, True, _begin)
        return self.wire(net, *inputs), net._params, net._state


class Net:
    """What a wiring sees: the children of its layer, each ready to be called, for one pass.

    ``net.key`` and ``net.train`` are what `apply` was given, for wirings that need them themselves.
    """

    def __init__(self, layer: Combinator, params: Tree, state: Tree, key: Any, train: bool, visit: Visit):
        self.key = key
        self.train = train
        self._layer = layer
        self._children = layer.children
        self._params = dict(params)
        self._state = dict(state)
        self._visit = visit
        self._calls = 0

    def __getattr__(self, name: str) -> "Child":
        if name not in self._children:
            raise AttributeError(f"{self._layer.name} has no layer {name!r}; it has {list(self._children)}")
        return Child(self, name)

    def __iter__(self) -> "Iterator[Child]":
        return (Child(self, name) for name in self._children)

    def _call(self, name: str, inputs: tuple[Any, ...]) -> Any:
        child = self._children[name]
        self._calls += 1
        key = None if self.key is None else jax.random.fold_in(self.key, self._calls)
        with _inside(name):
            output, self._params[name], self._state[name] = self._visit(
                name, child, self._params.get(name), self._state.get(name), *inputs, key=key, train=self.train
            )
        return output


class Child:
    """One child of a `Net`: call it like a function; its arrays are ``.params`` and ``.state``."""

    def __init__(self, net: Net, name: str):
        self._net = net
        self._name = name

    def __call__(self, *inputs: Any) -> Any:
        return self._net._call(self._name, inputs)

    @property
    def params(self) -> Tree:
        """The child's parameters, to read where they are tied."""
        return self._read(self._net._params)

    @property
    def state(self) -> Tree:
        """The child's state as its last call left it."""
        return self._read(self._net._state)

    def _read(self, tree: Tree) -> Tree:
        if self._name not in tree:
            raise InputError("call this layer before reading its arrays: init learns its shapes there", (self._name,))
        return tree[self._name]


class Network(Combinator):
    """A `Combinator` whose wiring is a function; made by `network`."""

    wiring: Callable[..., Any]
    members: tuple[tuple[str, Layer], ...]

    @property
    def name(self) -> str:
        return self.wiring.__name__

    @property
    def children(self) -> dict[str, Layer]:
        return dict(self.members)

    def wire(self, net: Net, *inputs: Any) -> Any:
        return self.wiring(net, *inputs)

    def __repr__(self) -> str:
        children = ", ".join(f"{name}={child!r}" for name, child in self.members)
        return f"network({children})({self.name})"


def network(**children: Layer) -> Callable[[Callable[..., Any]], Network]:
    """Makes a layer of a function that wires layers: for models that are not a chain.

    The function receives the children as attributes of its first argument and calls them. It runs
    on shapes in `init` (with ``train=True``, so that layers used only in training are seen too) and
    on arrays in `apply`.

    Args:
        children: the layers, by the names under which their parameters will be found.

    Raises:
        InputError: from `init`, when the wiring never calls one of the children.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, affine, network, relu
        >>> @network(encode=Affine(2))
        ... def tied_autoencoder(net, x):
        ...     return affine(relu(net.encode(x)), net.encode.params["w"].T)
        >>> params, state = tied_autoencoder.init(jax.random.key(0), jnp.ones((5, 3)))
        >>> y, state = tied_autoencoder.apply(params, state, jnp.ones((5, 3)))
        >>> y.shape, tied_autoencoder
        ((5, 3), network(encode=Affine(2))(tied_autoencoder))
    """
    return lambda wiring: Network(wiring, tuple(children.items()))


def _apply(name: str, child: Layer, params: Tree, state: Tree, *inputs: Any, **options: Any) -> tuple[Any, Tree, Tree]:
    """The visit of an ordinary pass."""
    output, state = child.apply(params, state, *inputs, **options)
    return output, params, state


def _begin(name: str, child: Layer, params: Any, state: Any, *inputs: Any, **options: Any) -> tuple[Any, Tree, Tree]:
    """The visit of a pass that makes a child's parameters when it is called first."""
    if params is None:
        return child._init_and_apply(options["key"], *inputs)
    return _apply(name, child, params, state, *inputs, **options)


def _shape_of(array: Any) -> jax.ShapeDtypeStruct:
    kind = jax.typeof(array)
    return jax.ShapeDtypeStruct(kind.shape, kind.dtype)


@contextlib.contextmanager
def _inside(name: str) -> Iterator[None]:
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

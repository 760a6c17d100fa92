"""Wiring: layers that are made of layers.

A layer made of layers writes its wiring once, as a function that calls its children. `init` runs the
wiring on shapes to see what every child is given; `apply` runs it on arrays:

    @network(hidden=Affine(100), out=Affine(10))
    def two_layer_net(net, x):
        return net.out(relu(net.hidden(x)))

`fdl.layers` has the common wirings with a name: `Serial`, `Residual`, `Concat`.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

import jax
import numpy as np

from fdl.errors import InputError
from fdl.keys import check_key
from fdl.layer import Layer, Tree, Visit, inputs_of, inside

# For each child that was called, the shapes of what it was given first, and what its own children were given:
# {"conv": (([8, 28, 28, 1],), {}), "block": (([8, 28, 28, 16],), {"body": (([8, 28, 28, 16],), {})})}
Seen = dict[str, tuple[Any, "Seen"]]


class Combinator(Layer):
    """A layer made of named layers. A subclass says how they are wired, once, in `wire`.

    A child's parameters are found under its name. A child that is called twice shares its parameters
    between the calls and hands its state on from the first call to the second.
    """

    def __post_init__(self) -> None:
        for name, child in self.children.items():
            if not isinstance(child, Layer):
                raise InputError(f"{type(self).__name__} is made of layers, got {child!r} as {name!r}{_hint(child)}")
            if name.startswith("_") or name in ("key", "train"):
                raise InputError(f"{type(self).__name__} cannot call a layer {name!r}: that name is taken")

    def wire(self, net: "Net", *inputs: Any) -> Any:
        """Computes the output by calling the children of ``net``."""
        raise NotImplementedError(f"{type(self).__name__} does not define wire")

    def init(self, key: jax.Array, *inputs: Any) -> tuple[Tree, Tree]:
        check_key(self.name, key)
        if shapes := [x for x in inputs if type(x) in (list, tuple) and x and all(type(n) is int for n in x)]:
            raise InputError(
                f"{self.name} expects arrays, whose shapes init reads, got {shapes[0]}: if this is a shape, "
                f'jax.ShapeDtypeStruct({shapes[0]}, "float32") is like an array that has it'
            )
        # Twice through the layers: once on shapes, to see what each is given, and then each makes its arrays.
        seen: Seen = {}

        def look(key: jax.Array, *inputs: Any) -> None:
            self._look(seen, key, *inputs)

        with jax.debug_key_reuse(False):  # a child's init and its apply are given one key, and draw nothing
            jax.eval_shape(look, key, *inputs)
        return self._make(seen, key)

    def _look(self, seen: Seen, key: Any, *inputs: Any) -> tuple[Any, Tree, Tree]:
        """Runs the wiring, making parameters where a child is called first, and notes what each child was given."""

        def visit(name: str, child: Layer, params: Any, state: Any, *inputs: Any, **options: Any) -> Any:
            if params is not None:  # it was called before, and shares them
                return _apply(name, child, params, state, *inputs, **options)
            below: Seen = {}
            seen[name] = jax.tree.map(_shape_of, inputs), below
            if _is_wired(child):
                return child._look(below, options["key"], *inputs)
            return child._init_and_apply(options["key"], *inputs)

        net = Net(self, {}, {}, key, True, visit)
        return self._wired(net, *inputs), net._params, net._state

    def _inputs(self) -> inspect.Signature:
        return inputs_of(self.wire, "net")

    def _wired(self, net: "Net", *inputs: Any) -> Any:
        output = self.wire(net, *inputs)
        if output is None:
            raise InputError(f"{self.name} gives None: the function that wires it has to return its output")
        return output

    def _make(self, seen: Seen, key: jax.Array) -> tuple[Tree, Tree]:
        """The parameters and states of all children, for inputs as they were seen."""
        params, state = {}, {}
        for index, (name, child) in enumerate(self.children.items()):
            with inside(name):
                if name not in seen:
                    raise InputError(f"{self.name} never calls this layer, so the shapes of its inputs are unknown")
                (shapes, below), own_key = seen[name], jax.random.fold_in(key, index)
                made = child._make(below, own_key) if _is_wired(child) else child.init(own_key, *shapes)
                params[name], state[name] = made
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
        if key is not None:
            check_key(self.name, key)
        if isinstance(train, jax.core.Tracer):
            raise InputError(
                f'{self.name} expects train as a Python bool, got a traced one: jax.jit(..., static_argnames="train"), '
                "or a function that calls apply with train=True"
            )
        if not isinstance(train, bool | np.bool_):  # of words, "test" would be true as well
            raise InputError(f"{self.name} expects train as True or False, got {train!r}")
        net = Net(self, params, state, key, train, visit)
        return self._wired(net, *inputs), net._params, net._state


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
        with inside(name):
            try:
                output, self._params[name], self._state[name] = self._visit(
                    name, child, self._params.get(name), self._state.get(name), *inputs, key=key, train=self.train
                )
            except TypeError as error:
                _check_inputs(child, inputs, error)
                raise
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
        return self.wiring.__name__.lstrip("_")

    @property
    def children(self) -> dict[str, Layer]:
        return dict(self.members)

    def wire(self, net: Net, *inputs: Any) -> Any:
        return self.wiring(net, *inputs)

    def _inputs(self) -> inspect.Signature:
        return inputs_of(self.wiring, next(iter(inspect.signature(self.wiring).parameters), ""))

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
        InputError: from `init`, when the wiring never calls one of the children, or returns nothing.

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


def _hint(value: Any) -> str:
    """What was perhaps meant by what is no layer."""
    if isinstance(value, type):
        return f"; did you mean {value.__name__}()?"
    if isinstance(value, list | tuple):
        return "; layers are given one by one, as by *layers"
    return "; rules have a layer, relu has Relu(), and `network` makes one of a function" if callable(value) else ""


def _check_inputs(layer: Layer, inputs: tuple[Any, ...], error: TypeError) -> None:
    """Says what a layer takes, where the error came of another number of inputs."""
    takes = layer._inputs()
    try:
        takes.bind(*inputs)
    except TypeError:
        given = str(takes)[1:-1]
        raise InputError(
            f"{layer.name} takes {given or 'no input'}, got {len(inputs)} input{'s' * (len(inputs) != 1)}: "
            f"init(key, {given}) and apply(params, state, {given}, key=..., train=...)"
        ) from error


def _is_wired(layer: Layer) -> TypeGuard[Combinator]:
    """Whether a layer's init is that of `Combinator`, so that one pass looks at its children too, however deep."""
    return type(layer).init is Combinator.init


def _shape_of(array: Any) -> jax.ShapeDtypeStruct:
    kind = jax.typeof(array)
    return jax.ShapeDtypeStruct(kind.shape, kind.dtype)

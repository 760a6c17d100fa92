"""The common wirings of layers: one after the other, side by side, around a shortcut.

Each is written once, as what it computes; `fdl.wiring.Combinator` makes init and apply of it.
"""

from collections import Counter
from typing import Any

import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layer import Layer
from fdl.wiring import Combinator, Net


class Serial(Combinator):
    """Applies layers one after the other; the first one gets all inputs.

    A tuple that a layer returns is given to the next one as several inputs. What the first one was given besides, such
    as the lengths of sequences, the others do not see: layers over sequences are put on top of each other by `Stacked`.

    Layers given by position are called by their kind and number (``affine1``, ``relu1``, ``affine2``),
    those given by keyword, which come after them, by that name.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, Relu, Serial
        >>> net = Serial(Affine(100), Relu(), scores=Affine(10))
        >>> params, state = net.init(jax.random.key(0), jnp.ones((2, 64)))
        >>> jax.tree.map(jnp.shape, params)
        {'affine1': {'b': (100,), 'w': (64, 100)}, 'relu1': {}, 'scores': {'b': (10,), 'w': (100, 10)}}
    """

    members: tuple[tuple[str, Layer], ...]

    def __init__(self, *layers: Layer, **named_layers: Layer):
        members = (*_numbered(layers), *named_layers.items())
        if twice := [name for name, count in Counter(name for name, _ in members).items() if count > 1]:
            raise InputError(f"{type(self).__name__} has two layers called {twice[0]!r}: give one of them another name")
        object.__setattr__(self, "members", members)
        self.__post_init__()

    @property
    def children(self) -> dict[str, Layer]:
        return dict(self.members)

    def wire(self, net: Net, *inputs: Any) -> Any:
        for child in net:
            output = child(*inputs)
            inputs = output if type(output) is tuple else (output,)
        return inputs[0] if len(inputs) == 1 else inputs

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_arguments(*_split_numbered(self.members))})"


class Concat(Serial, init=False):
    """Gives the same inputs to every branch and concatenates the outputs along the last axis.

    Raises:
        InputError: when a branch gives no array, or one that differs in another axis.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, Concat
        >>> layer = Concat(Affine(3), Affine(4))
        >>> params, state = layer.init(jax.random.key(0), jnp.ones((2, 5)))
        >>> layer.apply(params, state, jnp.ones((2, 5)))[0].shape
        (2, 7)
    """

    def wire(self, net: Net, *inputs: Any) -> Any:
        outputs = [child(*inputs) for child in net]
        for name, y in zip(self.children, outputs, strict=True):
            _check_array(f"Concat joins arrays, but its branch {name!r} gives", y)
        if len({y.shape[:-1] for y in outputs}) != 1:
            shapes = dict(zip(self.children, [y.shape for y in outputs], strict=True))
            raise InputError(f"the branches of Concat may differ in their last axis only, got {shapes}")
        return jnp.concatenate(outputs, axis=-1)


class Parallel(Serial, init=False):
    """Gives each branch an input of its own and returns their outputs as a tuple.

    Raises:
        InputError: when there are not as many inputs as branches.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, Embedding, Parallel
        >>> layer, inputs = Parallel(Affine(3), ids=Embedding(10, 4)), (jnp.ones((2, 5)), jnp.array([7, 8]))
        >>> params, state = layer.init(jax.random.key(0), *inputs)
        >>> [y.shape for y in layer.apply(params, state, *inputs)[0]]
        [(2, 3), (2, 4)]
    """

    def wire(self, net: Net, *inputs: Any) -> Any:
        if len(inputs) != len(self.members):
            raise InputError(f"Parallel has {len(self.members)} branches with an input each, got {len(inputs)} inputs")
        return tuple(child(x) for child, x in zip(net, inputs, strict=True))


class Residual(Combinator):
    """Adds a body to its own input: y = body(x) + shortcut(x), where no shortcut is x itself.

    Raises:
        InputError: when the two have different shapes, as nothing is broadcast, or are no arrays, and for several
            inputs without a shortcut.

    Source: He et al., "Deep residual learning for image recognition" (2016).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, Relu, Residual, Serial
        >>> layer = Residual(Serial(Affine(5), Relu(), Affine(3)))
        >>> params, state = layer.init(jax.random.key(0), jnp.ones((2, 3)))
        >>> layer.apply(params, state, jnp.ones((2, 3)))[0].shape
        (2, 3)
    """

    body: Layer
    shortcut: Layer | None = None

    @property
    def children(self) -> dict[str, Layer]:
        return {"body": self.body} | ({} if self.shortcut is None else {"shortcut": self.shortcut})

    def wire(self, net: Net, *inputs: Any) -> Any:
        y = net.body(*inputs)
        _check_array("Residual adds arrays, but its body gives", y)
        if self.shortcut is None and len(inputs) != 1:
            raise InputError(
                f"Residual adds its body to its only input, got {len(inputs)} inputs: give it a shortcut, which gets "
                "them all as well, or write the sum in a function for fdl.network"
            )
        x = inputs[0] if self.shortcut is None else net.shortcut(*inputs)
        _check_array(f"Residual adds arrays, but {'is given' if self.shortcut is None else 'its shortcut gives'}", x)
        if x.shape != y.shape:
            raise InputError(
                f"the body of Residual gives {list(y.shape)}, but its shortcut gives {list(x.shape)}: "
                "a shortcut that changes the shape, like Affine or a 1x1 Conv, is usually what is missing"
            )
        return x + y


def _check_array(what: str, value: Any) -> None:
    if not hasattr(value, "shape"):
        raise InputError(f"{what} a {type(value).__name__}")


def _numbered(layers: tuple[Layer, ...]) -> list[tuple[str, Layer]]:
    count: Counter[str] = Counter()
    members = []
    for layer in layers:
        name = layer.name if isinstance(layer, Layer) else type(layer).__name__
        count[name] += 1
        members.append((f"{name}{count[name]}", layer))
    return members


def _split_numbered(members: tuple[tuple[str, Layer], ...]) -> tuple[Any, Any]:
    """The members that have the name their position would give them, and the rest."""
    numbered = _numbered(tuple(layer for _, layer in members))
    same = next((i for i, pair in enumerate(zip(members, numbered, strict=True)) if pair[0] != pair[1]), len(members))
    return members[:same], members[same:]


def _arguments(positional: Any, named: Any) -> str:
    return ", ".join([repr(layer) for _, layer in positional] + [f"{name}={layer!r}" for name, layer in named])

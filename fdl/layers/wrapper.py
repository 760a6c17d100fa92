"""Layers around a layer that change how it is computed, and not what it is.

They have the name, the parameters, the state and the children of the layer inside, so that putting one in or taking
it out changes no checkpoint and no path.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from fdl.errors import InputError
from fdl.layer import Layer, Tree, Visit, rebuilt


class Wrapper(Layer):
    """A layer that is, but for how it is applied, the layer inside."""

    layer: Layer

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            raise InputError(f"{type(self).__name__} goes around a layer, got {self.layer!r}")

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def children(self) -> dict[str, Layer]:
        return self.layer.children

    def part_of(self, tree: Tree, name: str) -> Tree:
        return self.layer.part_of(tree, name)

    def init(self, key: jax.Array, *inputs: Any) -> tuple[Tree, Tree]:
        return self.layer.init(key, *inputs)

    def _inputs(self) -> inspect.Signature:
        return self.layer._inputs()

    def walk(self, visit: Visit, params: Tree, state: Tree, *inputs: Any, **options: Any) -> tuple[Any, Tree, Tree]:
        return self.layer.walk(visit, params, state, *inputs, **options)

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        return self.layer.begin_stream(params, state, batch, length)

    def receptive_window(self, *inputs: Any) -> "tuple[tuple[Any, Any, Any], ...] | None":
        return self.layer.receptive_window(*inputs)


def unwrapped(layer: Layer) -> Layer:
    """The layer inside of all wrappers that are around it."""
    return unwrapped(layer.layer) if isinstance(layer, Wrapper) else layer


class Remat(Wrapper):
    """Computes a layer again in the backward pass, instead of remembering what is inside: less memory, more time.

    Args:
        layer: any layer; around each block of a deep network, memory grows by one input per block.
        policy: what to remember nevertheless, one of `jax.checkpoint_policies`; nothing but the inputs if None.

    Source: Chen, Xu, Zhang and Guestrin, "Training deep nets with sublinear memory cost" (2016).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, Relu, Serial
        >>> net, x = Serial(Affine(3), Remat(Serial(Affine(100), Relu())), Affine(1)), jnp.ones((2, 5))
        >>> params, state = net.init(jax.random.key(0), x)
        >>> params["serial1"].keys(), net.apply(params, state, x)[0].shape
        (dict_keys(['affine1', 'relu1']), (2, 1))
    """

    policy: Callable[..., Any] | None = None

    def apply(self, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        def compute(params: Tree, state: Tree, inputs: Any, key: Any) -> tuple[Any, Tree]:
            return self.layer.apply(params, state, *inputs, key=key, train=train)

        return jax.checkpoint(compute, policy=self.policy)(params, state, inputs, key)


class Cast(Wrapper):
    """Computes a layer in another dtype, with parameters that are kept as they are: mixed precision.

    Parameters and inputs of floats are converted on the way in, so that gradients arrive in the dtype of the
    parameters. The output stays in ``dtype``; the state, such as running statistics, is not converted.

    Args:
        layer: any layer, or a whole network.
        dtype: of floats: bfloat16 or float16, or float32 for a part that a narrower network computes more exactly.

    Raises:
        InputError: for a dtype that is not of floats.

    Source: Micikevicius et al., "Mixed precision training" (2018).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> layer, x = Cast(Affine(3), "bfloat16"), jnp.ones((2, 5))
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> params["w"].dtype.name, layer.apply(params, state, x)[0].dtype.name
        ('float32', 'bfloat16')
    """

    dtype: DTypeLike

    def __post_init__(self) -> None:
        super().__post_init__()
        if not jnp.issubdtype(self.dtype, jnp.floating):
            raise InputError(f"Cast needs a dtype of floats, got {self.dtype!r}")
        object.__setattr__(self, "dtype", jnp.dtype(self.dtype).name)

    def init(self, key: jax.Array, *inputs: Any) -> tuple[Tree, Tree]:
        # All in the dtype that parameters are made in: beside narrower inputs, layers would seem to change it.
        plain = rebuilt(self.layer, lambda layer: layer.layer if isinstance(layer, Cast) else layer)
        made: tuple[Tree, Tree] = plain.init(key, *jax.eval_shape(lambda tree: _converted(tree, jnp.float32), inputs))
        return made

    def apply(self, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        return self.layer.apply(self._converted(params), state, *self._converted(inputs), key=key, train=train)

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        return self.layer.begin_stream(self._converted(params), state, batch, length)

    def walk(self, visit: Visit, params: Tree, state: Tree, *inputs: Any, **options: Any) -> tuple[Any, Tree, Tree]:
        y, changed, state = self.layer.walk(visit, self._converted(params), state, *self._converted(inputs), **options)
        return y, jax.tree.map(lambda new, old: new.astype(old.dtype), changed, params), state

    def _converted(self, tree: Any) -> Any:
        return _converted(tree, self.dtype)


def _converted(tree: Any, dtype: DTypeLike) -> Any:
    """The tree with its floats in this dtype."""
    return jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


class Frozen(Wrapper):
    """A layer that does not learn: as it is in evaluation, whatever the pass is for, and without gradients.

    Running statistics stay what they are and are what batch norm uses, nothing is dropped, and the parameters get
    gradients of zero (where a wiring reads them itself, it gets them as they are); what goes in gets its gradient as
    ever. This is for parts of a network that come trained, next to `fdl.optim.freeze`, which spares the optimizer their
    memory, and keeps weight decay from them.

    Args:
        layer: any layer, or a whole network.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, BatchNorm, Serial
        >>> net, x = Serial(encoder=Frozen(Serial(Affine(3), BatchNorm())), head=Affine(2)), jnp.ones((4, 5))
        >>> params, state = net.init(jax.random.key(0), x)
        >>> def loss(params):
        ...     y, new_state = net.apply(params, state, x, train=True)
        ...     return jnp.sum(y**2), new_state
        >>> grads, new_state = jax.grad(loss, has_aux=True)(params)
        >>> bool(grads["encoder"]["affine1"]["w"].any()), bool(grads["head"]["w"].any())
        (False, True)
        >>> jax.tree.all(jax.tree.map(jnp.array_equal, state, new_state))
        True
    """

    def apply(self, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        return self.layer.apply(jax.lax.stop_gradient(params), state, *inputs, key=key, train=False)

    def _inputs(self) -> inspect.Signature:
        return self.layer._inputs()

    def walk(self, visit: Visit, params: Tree, state: Tree, *inputs: Any, **options: Any) -> tuple[Any, Tree, Tree]:
        return self.layer.walk(visit, jax.lax.stop_gradient(params), state, *inputs, **options | {"train": False})

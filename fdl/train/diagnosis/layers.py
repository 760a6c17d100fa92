"""How signals go through a network: the size of what every layer gives, and of the gradient that comes back to it.

One pass follows any wiring (`fdl.Layer.walk`), with a zero added to the output of every layer: the gradient of these
zeros is dL/dy of each layer. Sound are outputs of about one, and gradients of about one length, all the way:

    vanishing     outputs, or gradients, become smaller by a factor from layer to layer
    exploding     they become larger
    saturated     most outputs of a tanh or a sigmoid are at the ends of its range, where its slope is zero
    dead          a unit gets a gradient of zero for every example, so what leads to it will never learn

Gradients are compared by their length over all elements, which He's and LeCun's initial weights keep, where the size
of an element depends on how many there are.

Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010).
"""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from fdl.columns import aligned
from fdl.layer import Layer, walk_by_path
from fdl.layers import hard_sigmoid, sigmoid, tanh
from fdl.layers.rule_layer import RuleLayer
from fdl.layers.wrapper import unwrapped
from fdl.optim import global_norm
from fdl.paths import is_weight, path_of
from fdl.train.diagnosis.finding import Finding, verdict_of
from fdl.train.objective import PerExample, inputs_of

FACTOR = 1e3  # between a size and what it is compared with
SATURATED = 0.5  # of the outputs
DEAD = 0.5  # of the units
_END = 0.025  # of the range, at either end
_RANGES = {tanh: (-1.0, 1.0), sigmoid: (0.0, 1.0), hard_sigmoid: (0.0, 1.0)}


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One call of a layer.

    Attributes:
        path: where the layer is.
        layer: the layer.
        size: of its (first) output, the root of the mean square.
        gradient: the length of dL/dy.
        dead: which part of its units, along the last axis, gets a gradient of zero for all examples.
        saturated: which part of the outputs is at the ends of the range; NaN for a layer without ends.
    """

    path: str
    layer: Layer
    size: float
    gradient: float
    dead: float
    saturated: float


@dataclasses.dataclass(frozen=True)
class LayerStatistics(Finding):
    """What `layer_statistics` found.

    Attributes:
        rows: a `LayerRow` for each call of a layer without children, in the order of the calls.
        input_size: of the network's inputs, the root of the mean square; 1 when they are no floats.
        output_gradient: the length of the gradient of the network's output.
        zeros: the weights and scales (``gamma``) that are zero everywhere: nothing passes them until they have moved.
    """

    title: ClassVar[str] = "layers"
    rows: tuple[LayerRow, ...]
    input_size: float
    output_gradient: float
    zeros: tuple[str, ...] = ()

    @property
    def measured(self) -> str:
        """From where to where sizes and gradients go."""
        sizes, gradients = [row.size for row in self.rows], [row.gradient for row in self.rows]
        return (
            f"inputs of size {self.input_size:.2g}, outputs of {min(sizes):.2g} to {max(sizes):.2g}, "
            f"gradients of {min(gradients):.2g} to {max(gradients):.2g}"
        )

    @property
    def details(self) -> str:
        """One line for each call."""
        head = ("layer", "output", "gradient", "dead", "saturated")
        lines = "\n".join(aligned([head, *map(_cells, self.rows)], left=1))
        return (
            f"{lines}\n{', '.join(self.zeros)}: zero everywhere, so that nothing comes back yet"
            if self.zeros
            else lines
        )


def layer_statistics(net: Layer, loss: PerExample, params: Any, state: Any, batch: Any, key: Any) -> LayerStatistics:
    """Measures the outputs and the gradients of every layer in one training pass, and judges them.

    Args:
        net, loss: as for `supervised`.
        params, state: where to look: as ``net.init`` made them, or trained ones.
        batch: a pair (inputs, targets). Whether a unit is dead takes many examples to say.
        key: for what is drawn at random.

    Raises:
        InputError: what the network and the loss find wrong with the batch.

    Example:
        >>> from fdl.initializers import normal
        >>> from fdl.layers import Affine, Serial, Tanh
        >>> from fdl.losses import softmax_cross_entropy
        >>> net = Serial(Affine(30, w_init=normal(1.0)), Tanh(), scores=Affine(4))
        >>> batch = jax.random.normal(jax.random.key(0), (50, 20)), jnp.arange(50) % 4
        >>> params, state = net.init(jax.random.key(1), batch[0])
        >>> print(layer_statistics(net, softmax_cross_entropy, params, state, batch, jax.random.key(2)))
        [!!] layers: inputs of size 0.98, outputs of 0.91 to 4.4, gradients of 0.066 to 0.19
             -> tanh1 is saturated: 67% of what it gives is at the ends of its range, where the slope is zero: start
                with smaller weights, and look at the scale of the inputs
             layer    output  gradient  dead  saturated
             affine1     4.4     0.066    0%
             tanh1      0.91      0.19    0%        67%
             scores      1.2      0.13    0%
    """
    calls: list[tuple[str, Layer]] = []

    def forward(params: Any, state: Any, batch: Any, key: Any, zeros: Any = None) -> Any:
        """The loss, and the first output of all calls, to each of which a zero is added."""
        calls.clear()
        outputs: list[Any] = []

        def seen(path: str, layer: Layer, y: Any) -> Any:
            leaves, tree = jax.tree.flatten(y)
            if not jnp.issubdtype(leaves[0].dtype, jnp.floating):
                return y
            if zeros is not None:
                leaves[0] = leaves[0] + zeros[len(outputs)]
            calls.append((path, layer))
            outputs.append(leaves[0])
            return jax.tree.unflatten(tree, leaves)

        def at(path: tuple[str, ...], layer: Layer, walk: Any, *args: Any, **options: Any) -> Any:
            y, params, state = walk(*args, **options)
            return y if layer.children else seen(".".join(path), layer, y), params, state

        y, *_ = walk_by_path(net, at, params, state, *inputs_of(batch[0]), key=key, train=True)
        return jnp.mean(loss(seen("output", net, y), batch[1])), outputs

    @jax.jit
    def measure(*args: Any) -> Any:
        _, shapes = jax.eval_shape(forward, *args)
        zeros = [jnp.zeros(y.shape, y.dtype) for y in shapes]
        gradients, outputs = jax.grad(forward, argnums=4, has_aux=True)(*args, zeros)
        of_calls = [_measured(layer, y, dy) for (_, layer), y, dy in zip(calls, outputs, gradients, strict=True)]
        floats = [x for x in jax.tree.leaves(args[2][0]) if jnp.issubdtype(x.dtype, jnp.floating)]
        return of_calls, _size(floats[0]) if floats else 1.0

    of_calls, input_size = jax.device_get(measure(params, state, batch, key))
    *rows, output = [
        LayerRow(path, layer, *map(float, numbers)) for (path, layer), numbers in zip(calls, of_calls, strict=True)
    ]
    leaves = [(path_of(keys), leaf) for keys, leaf in jax.tree.leaves_with_path(params)]
    zeros = [path for path, leaf in leaves if (is_weight(path) or path.endswith("gamma")) and not jnp.any(leaf)]
    problems = [
        *_about_outputs(rows, float(input_size)),
        *(_about_zeros(rows) if zeros else _about_gradients(rows, output.gradient)),
    ]
    return LayerStatistics(verdict_of(problems), tuple(rows), float(input_size), output.gradient, tuple(zeros))


def _measured(layer: Layer, y: jax.Array, dy: jax.Array) -> tuple[Any, ...]:
    """The numbers of a `LayerRow`: size, length of the gradient, and which parts are dead and saturated."""
    dead = jnp.all(jnp.reshape(dy, (-1, dy.shape[-1] if dy.ndim > 1 else 1)) == 0, axis=0)
    layer = unwrapped(layer)
    saturated: Any = math.nan
    if isinstance(layer, RuleLayer) and type(layer).rule in _RANGES:
        low, high = _RANGES[type(layer).rule]
        margin = _END * (high - low)
        saturated = jnp.mean((y < low + margin) | (y > high - margin), dtype=jnp.float32)
    return _size(y), global_norm(dy), jnp.mean(dead, dtype=jnp.float32), saturated


def _size(y: jax.Array) -> jax.Array:
    return global_norm(y) / math.sqrt(max(y.size, 1))


def _about_outputs(rows: list[LayerRow], input_size: float) -> list[str]:
    """What is wrong on the way forwards: where it begins."""
    problems = []
    if broken := [row for row in rows if not math.isfinite(row.size)]:
        return [f"{broken[0].path} is the first layer that gives NaN or infinity: look at its inputs and its weights"]
    if large := [row for row in rows if row.size > FACTOR * max(1.0, input_size)]:
        problems.append(f"outputs explode, from {large[0].path} on: start with smaller weights")
    if small := [row for row in rows if 0 < row.size < min(1.0, input_size) / FACTOR]:
        problems.append(f"outputs vanish, from {small[0].path} on: start with larger weights")
    if ends := [row for row in rows if row.saturated > SATURATED]:
        problems.append(
            f"{ends[0].path} is saturated: {ends[0].saturated:.0%} of what it gives is at the ends of its range, where "
            "the slope is zero: start with smaller weights, and look at the scale of the inputs"
        )
    return problems


def _about_zeros(rows: list[LayerRow]) -> list[str]:
    """What zero weights make impossible: to get away from zero.

    A weight in front of outputs moves by their gradient, one behind them by their size. Where both are zero, nothing
    ever moves; where only a branch ends in zero, as residual branches may, it does.
    """
    stuck = [row for row in rows if row.size == 0 and row.gradient == 0]
    if not stuck:
        return []
    return [f"{stuck[0].path} gives zeros and gets a gradient of zero, and always will: start with random weights"]


def _about_gradients(rows: list[LayerRow], of_output: float) -> list[str]:
    """What is wrong on the way backwards."""
    problems = []
    if not all(math.isfinite(gradient) for gradient in (of_output, *(row.gradient for row in rows))):
        return ["a gradient is NaN or infinite: look for a root, a log or a division at zero, in the loss first"]
    if of_output == 0:
        return ["the loss has no gradient: does it depend on the outputs of the network?"]
    largest = max(rows, key=lambda row: row.gradient)
    smallest = min(rows, key=lambda row: row.gradient or math.inf)
    if largest.gradient > FACTOR * of_output:
        times = largest.gradient / of_output
        problems.append(f"gradients explode: {largest.path} gets {times:.0e} times that of the output")
    if 0 < smallest.gradient < of_output / FACTOR:
        part = smallest.gradient / of_output
        problems.append(
            f"gradients vanish: {smallest.path} gets {part:.0e} times that of the output. Shortcuts, norms and "
            "activations that do not saturate help"
        )
    if dead := [row for row in rows if row.dead > DEAD]:
        row = dead[-1]  # what lies before it gets no gradient either
        problems.append(
            f"{row.path} is dead: {row.dead:.0%} of its units get a gradient of zero for all examples. Look for biases "
            "far below zero, for activations without a slope, and for a stop_gradient behind it"
        )
    return problems


def _cells(row: LayerRow) -> tuple[str, ...]:
    saturated = "" if math.isnan(row.saturated) else f"{row.saturated:.0%}"
    return row.path, f"{row.size:.2g}", f"{row.gradient:.2g}", f"{row.dead:.0%}", saturated

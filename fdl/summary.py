"""Summaries: what a network is made of, how large it is and what it costs, from shapes alone.

`summary` follows one pass through the network as a jaxpr in which every call of a layer is a function of
its own. That shows, without computing anything, what each call gives, how many operations it takes
(`fdl.flops` says which are counted) and from where its inputs come, which is what the receptive field
needs. It grows from window to window as `fdl.windows` derives it; where paths meet, the larger one counts.
`fdl.Layer.receptive_window` is where a layer says what its window is; one that says nothing is taken to
treat every position by itself, and so is what a wiring computes between its calls. Behind a change of
rank, as in Flatten, the field is not known.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import Literal

from fdl.columns import aligned
from fdl.errors import InputError
from fdl.flops import flops_of_jaxpr, parts
from fdl.layer import Layer, Tree
from fdl.windows import see_further


@dataclasses.dataclass(frozen=True)
class Row:
    """One call of a layer. What a combinator computes itself, around its children, has a row as well.

    Attributes:
        path: where the layer is, and where its parameters are found.
        layer: the layer.
        output: the shapes and dtypes of what it gives; None when this pass does not call it.
        parameters: how many numbers it learns; 0 when an earlier row has them already.
        flops: floating point operations; a multiply-add is two.
        parameter_bytes, output_bytes: the memory that its parameters and its output take.
        receptive_field: on each spatial axis, how much of the network's input one output position sees;
            None where that is not known.
        shared: whether an earlier row has these parameters.
    """

    path: tuple[str, ...]
    layer: Layer
    output: Any
    parameters: int = 0
    flops: int = 0
    parameter_bytes: int = 0
    output_bytes: int = 0
    receptive_field: tuple[int, ...] | None = None
    shared: bool = False


@dataclasses.dataclass(frozen=True, repr=False)
class Summary:
    """The rows of a `summary`, in the order in which their outputs are ready, and their totals; prints as a table."""

    name: str
    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        """How many numbers the network learns."""
        return sum(row.parameters for row in self.rows)

    @property
    def flops(self) -> int:
        """Floating point operations of one pass."""
        return sum(row.flops for row in self.rows)

    @property
    def parameter_bytes(self) -> int:
        """The memory that the parameters take."""
        return sum(row.parameter_bytes for row in self.rows)

    @property
    def output_bytes(self) -> int:
        """The memory that the outputs of all layers take, if all are kept."""
        return sum(row.output_bytes for row in self.rows)

    def __repr__(self) -> str:
        head = ("path", "layer", "output", "parameters", "FLOPs", "parameter bytes", "output bytes", "receptive field")
        rows = [
            (
                ".".join(row.path) or self.name,
                _expression(row.layer),
                "not called" if row.output is None else _shape_text(row.output),
                "shared" if row.shared else f"{row.parameters:,}",
                f"{row.flops:,}",
                _bytes_text(row.parameter_bytes),
                _bytes_text(row.output_bytes),
                "x".join(map(str, row.receptive_field or ())),
            )
            for row in self.rows
        ]
        numbers = f"{self.parameters:,}", f"{self.flops:,}"
        sizes = _bytes_text(self.parameter_bytes), _bytes_text(self.output_bytes)
        has_windows = any(max(row.receptive_field or (1,)) > 1 for row in self.rows)
        cells = [row[: 7 + has_windows] for row in (head, *rows, ("total", "", "", *numbers, *sizes, ""))]
        first, *body, total = aligned(cells, left=3)
        rule = "-" * max(map(len, (first, *body, total)))
        return "\n".join([first, rule, *body, rule, total])


def summary(layer: Layer, *inputs: Any, train: bool = False) -> Summary:
    """What a network is made of: paths, layers, output shapes, parameters, FLOPs, bytes and receptive fields.

    Nothing is computed and no parameter is made, so the largest network takes no longer than its tracing.

    Args:
        layer: any layer.
        inputs: what it would be called with: arrays, or `jax.ShapeDtypeStruct` for their shapes and dtypes alone.
        train: whether the pass is one of training, in which dropout drops and norms measure their batch.

    Returns:
        A `Summary`: its ``rows`` and totals as values, and a table when it is printed.

    Raises:
        InputError: for something else than a layer, or for inputs without shape and dtype; and what init
            and apply say of inputs that do not fit.

    Example:
        >>> import fdl, jax.numpy as jnp
        >>> from fdl.layers import Affine, Relu, Serial
        >>> fdl.summary(Serial(Affine(100), Relu(), scores=Affine(10)), jnp.ones((32, 64)))
        path     layer        output     parameters    FLOPs  parameter bytes  output bytes
        -----------------------------------------------------------------------------------
        affine1  Affine(100)  [32, 100]       6,500  412,800         25.4 KiB      12.5 KiB
        relu1    Relu()       [32, 100]           0    3,200              0 B      12.5 KiB
        scores   Affine(10)   [32, 10]        1,010   64,320          3.9 KiB       1.2 KiB
        -----------------------------------------------------------------------------------
        total                                 7,510  480,320         29.3 KiB      26.2 KiB
    """
    if not isinstance(layer, Layer):
        raise InputError(f"summary describes layers, got {layer!r}")
    inputs = jax.tree.map(_shape_of, inputs)
    key = jax.eval_shape(lambda: jax.random.key(0))
    params, state = jax.eval_shape(layer.init, key, *inputs)
    calls: dict[str, _Call] = {}
    marks = map("fdl.summary call {}".format, itertools.count())

    def call(path: tuple[str, ...], layer: Layer, params: Tree, state: Tree, inputs: Any, key: Any) -> Any:
        """Applies a layer as a function of its own, whose name in the jaxpr says which call it is."""

        def visit(name: str, child: Layer, params: Tree, state: Tree, *inputs: Any, key: Any, train: bool) -> Any:
            return call((*path, name), child, params, state, inputs, key)

        def apply(params: Tree, state: Tree, inputs: Any, key: Any) -> Any:
            return layer.walk(visit, params, state, *inputs, key=key, train=train)

        apply.__name__ = next(marks)
        output, new_params, new_state = jax.jit(apply)(params, state, inputs, key)
        calls[apply.__name__] = _Call(path, layer, *jax.tree.map(_shape_of, (params, inputs, output)))
        return output, new_params, new_state

    with jax.disable_jit(False):
        jaxpr = jax.make_jaxpr(lambda *args: call((), layer, *args))(params, state, inputs, key).jaxpr
    fields = [None] * len(jax.tree.leaves((params, state))) + [_field_of_input(x) for x in jax.tree.leaves(inputs)]
    rows: list[Row] = []
    _follow(jaxpr, [*fields, None], calls, rows)
    missed = _never_called((), layer, params, {call.path for call in calls.values()})
    return Summary(layer.name, (*rows, *missed))


class _Call(NamedTuple):
    """One call of a layer, in shapes and dtypes."""

    path: tuple[str, ...]
    layer: Layer
    params: Tree
    inputs: Any
    output: Any


# For each spatial axis (how many positions of the input one output sees, how far apart neighbours begin), or not known:
# ((2, 2), (2, 2)) behind a pool of 2 x 2.
Field = tuple[tuple[Any, Any], ...] | None


def _follow(jaxpr: Any, fields: list[Field], calls: dict[str, _Call], rows: list[Row]) -> list[Field]:
    """Adds a row for every call of a layer in a jaxpr, and returns the receptive fields of what it gives."""
    known = dict(zip(jaxpr.invars, fields, strict=True))

    def fields_of(variables: Any) -> list[Field]:
        return [None if isinstance(x, Literal) else known.get(x) for x in variables]

    for operation in jaxpr.eqns:
        incoming, earlier = fields_of(operation.invars), len(rows)
        outgoing = _pointwise(operation, incoming)
        for _, part in parts(operation):
            # What a part is given comes last: a cond has the number of the branch in front of it.
            inner = _follow(part, incoming[len(incoming) - len(part.invars) :], calls, rows)
            if len(rows) > earlier:  # layers are called in there; in a loop, their windows would grow with every turn
                outgoing = [None] * len(inner) if operation.primitive.name in ("scan", "while") else inner
        if call := calls.get(operation.params.get("name", "")):
            children = rows[earlier:]
            (_, body), *_ = parts(operation)
            flops = flops_of_jaxpr(body) - sum(row.flops for row in children)
            if not children:
                if windows := call.layer.receptive_window(*call.inputs):
                    outgoing = [_through(windows, _widest(incoming))] * len(operation.outvars)
                rows.append(_row_of_layer(call, flops, outgoing[0], rows))
            elif flops or not _is_from_a_call(body.outvars[0], body, calls):  # the wiring computes something itself
                rows.append(_row(call.path, call.layer, call.output, flops, outgoing[0]))
        known.update(zip(operation.outvars, outgoing, strict=True))
    return fields_of(jaxpr.outvars)


def _is_from_a_call(variable: Any, jaxpr: Any, calls: dict[str, _Call]) -> bool:
    """Whether a wiring's output is what one of its children gave, so that its row would only repeat that."""
    return any(variable in operation.outvars for operation in jaxpr.eqns if operation.params.get("name") in calls)


def _field_of_input(x: Any) -> Field:
    return ((1, 1),) * (x.ndim - 2) or None  # [N, *spatial, C]


def _pointwise(operation: Any, incoming: list[Field]) -> list[Field]:
    """The fields of what an operation gives when it treats positions one by one; none where it rearranges them."""
    ranks = [x.aval.ndim for x in operation.invars]
    return [
        _widest([field for field, rank in zip(incoming, ranks, strict=True) if rank == y.aval.ndim])
        for y in operation.outvars
    ]


def _widest(fields: list[Field]) -> Field:
    some = [field for field in fields if field]
    if len({len(field) for field in some}) != 1:
        return None
    return tuple((max(r for r, _ in axis), max(j for _, j in axis)) for axis in zip(*some, strict=True))


def _through(windows: Any, field: Field) -> Field:
    if field is None or len(field) != len(windows):
        return None
    return tuple(see_further(*axis, *window) for axis, window in zip(field, windows, strict=True))


def _row(path: tuple[str, ...], layer: Layer, output: Any, flops: int, field: Field, **of_layer: Any) -> Row:
    extent = None if field is None else tuple(math.ceil(r) for r, _ in field)
    return Row(path, layer, output, flops=flops, output_bytes=_bytes(output), receptive_field=extent, **of_layer)


def _row_of_layer(call: _Call, flops: int, field: Field, rows: list[Row]) -> Row:
    shared = any(row.path == call.path for row in rows)
    params = {} if shared else call.params
    return _row(
        call.path,
        call.layer,
        call.output,
        flops,
        field,
        parameters=_size(params),
        parameter_bytes=_bytes(params),
        shared=shared and bool(_size(call.params)),
    )


def _never_called(path: tuple[str, ...], layer: Layer, params: Tree, called: set[tuple[str, ...]]) -> Iterator[Row]:
    """A row for each layer that has parameters, but no part in this pass."""
    if path not in called:
        yield Row(path, layer, None, parameters=_size(params), parameter_bytes=_bytes(params))
    elif any(other[: len(path)] == path != other for other in called):
        for name, child in layer.children.items():
            own = jax.eval_shape(functools.partial(layer.part_of, name=name), params)
            yield from _never_called((*path, name), child, own, called)


def _size(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _shape_of(x: Any) -> jax.ShapeDtypeStruct:
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        raise InputError(
            f"summary takes arrays, or jax.ShapeDtypeStruct((32, 64), jnp.float32) for a shape alone, got {x!r}"
        )
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def _expression(layer: Layer, width: int = 36) -> str:
    """The expression that makes a layer, shortened where it is long."""
    text = repr(layer)
    if len(text) <= width:
        return text
    return f"{text.partition('(')[0]}(...)" if layer.children else f"{text[: width - 3]}..."


def _shape_text(output: Any) -> str:
    return ", ".join(str(list(leaf.shape)) for leaf in jax.tree.leaves(output))


def _bytes_text(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    power = min((size.bit_length() - 1) // 10, 4)
    return f"{size / 1024**power:.1f} {' KMGT'[power]}iB"

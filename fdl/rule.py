"""Rules: functions that bring their own backward pass.

A rule is a function of arrays y = f(x, ...) together with two more functions that stand next to it:

    @rule
    def relu(x):                    # the mathematics, as anyone would write it
        return jnp.where(x <= 0, 0, x)

    @relu.forward                   # the same value, and what to remember of it
    def _(x):
        return relu.reference(x), x <= 0

    @relu.backward                  # from dL/dy and what was remembered: dL/dx, one per array
    def _(is_off, dy):
        return (jnp.where(is_off, 0, dy),)

Called as usual, ``relu(x)`` is a `jax.custom_vjp` with exactly these parts: its value is that of the
forward part, whether it is differentiated or not. ``relu.reference`` is the plain function, which JAX
differentiates by itself, and inside

    with fdl.differentiation("autodiff"):
        ...

every rule is its reference. That is how a hand-written gradient is checked, how it is benchmarked,
and how forward mode (`jax.jvp`, `jax.linearize`, Gauss-Newton products) gets through code that has
rules in it: a `jax.custom_vjp` has no forward mode of its own.

Forward and backward parts are plain JAX inside: a rule that they call is its reference. So the
parts can be differentiated again, in either mode, and second derivatives need nothing more.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

import jax
import jax.numpy as jnp
import numpy as np

from fdl.arguments import Types, as_arrays, cast_gradient, check_arguments, is_one_array, vary_together
from fdl.errors import InputError
from fdl.promotion import check_one_dtype, mixing

P = ParamSpec("P")
R = TypeVar("R")

_mode = jax.make_user_context(default_value="rules")  # part of the key of every jit cache


def differentiation(how: Literal["rules", "autodiff"]) -> contextlib.AbstractContextManager[None]:
    """Says whose derivatives are used in a `with` block: fdl's rules, or JAX's own.

    Args:
        how: ``"rules"``, the default outside any block, or ``"autodiff"``, which makes every rule its
            plain reference, for reverse and forward mode alike. Functions that were compiled under
            one are compiled anew under the other.

    Raises:
        InputError: for any other word.

    Example:
        >>> import fdl, jax
        >>> from fdl.layers import relu
        >>> with fdl.differentiation("autodiff"):
        ...     value, slope = jax.jvp(relu, (2.0,), (1.0,))
        >>> float(slope)
        1.0
    """
    if how not in ("rules", "autodiff"):
        raise InputError(f'differentiation takes "rules" or "autodiff", got {how!r}')
    return _mode(how)


class Rule(Generic[P, R]):
    """A function with its own backward pass; made by `rule`, completed by its decorators."""

    __name__: str
    __qualname__: str

    def __init__(self, reference: Callable[P, R], static: Iterable[str] = ()):
        functools.update_wrapper(self, reference)
        self.reference = reference
        self.static = frozenset(static)
        self._signature = inspect.signature(reference)
        self._arrays = tuple(name for name in self._signature.parameters if name not in self.static)
        self._single = frozenset(name for name in self._arrays if is_one_array(self._signature.parameters[name]))
        self._parts: dict[str, Callable[..., Any]] = {}
        self._as_it_is = self  # under which JAX keeps what it compiles: it has these parts for good
        if unknown := self.static - set(self._signature.parameters):
            raise TypeError(f"{self.__name__} has no argument called {', '.join(sorted(unknown))}")

    def forward(self, part: Callable[..., tuple[R, Any]]) -> Callable[..., tuple[R, Any]]:
        """Decorates the forward part: the reference's arguments -> (value, what to remember)."""
        return self._add("forward", part, same_arguments=True)

    def backward(self, part: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
        """Decorates the backward part: (remembered, upstream gradient, *, static choices) -> gradients.

        It returns a tuple with one gradient per array argument, in the order of the signature, and
        `None` for class ids, masks and keys. What it returns is cast to the argument's dtype here, so
        it may compute in a wider one, and is ignored for an optional argument that was not given.
        """
        return self._add("backward", part)

    def validate(self, part: Callable[..., None]) -> Callable[..., None]:
        """Decorates the check of the arguments, which raises `InputError` before anything is traced.

        It runs outside `jax.custom_vjp`, so it sees concrete values wherever the caller has them.
        """
        return self._add("validate", part, same_arguments=True)

    def _add(self, name: str, part: Callable[..., Any], same_arguments: bool = False) -> Callable[..., Any]:
        if same_arguments and set(inspect.signature(part).parameters) != set(self._signature.parameters):
            raise TypeError(f"{self.__name__}.{name} must take the arguments {self._signature}")
        self._parts = self._parts | {name: part}
        self._as_it_is = self.replace()  # another, for which nothing is found of what was compiled of the parts before
        return part

    def replace(self, **parts: Callable[..., Any]) -> "Rule[P, R]":
        """The same rule with another forward, backward or validate part."""
        other: Rule[P, R] = object.__new__(type(self))
        vars(other).update(vars(self))
        other._parts = self._parts | parts
        other._as_it_is = other
        return other

    def part(self, name: Literal["forward", "backward", "validate"]) -> Callable[..., Any]:
        """The undecorated function that computes one part, to read or to run by itself."""
        if name not in self._parts:
            raise TypeError(f"rule {self.__name__} has no {name} part: decorate one with @{self.__name__}.{name}")
        return self._parts[name]

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arguments of a call by name, defaults included: (arrays, static choices)."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.__name__}: {error}") from None
        bound.apply_defaults()
        arrays = {name: bound.arguments[name] for name in self._arrays}
        # NumPy's numbers have a dtype, and would widen what they meet; Python's have none.
        choices = {name: bound.arguments[name] for name in bound.arguments if name in self.static}
        return arrays, {k: choice.item() if isinstance(choice, np.generic) else choice for k, choice in choices.items()}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        arrays, choices = self.bind(*args, **kwargs)
        check_arguments(self.__name__, arrays, choices, self._single)
        if "validate" in self._parts:
            self._parts["validate"](**arrays, **choices)
        values = as_arrays(tuple(arrays.values()))
        check_one_dtype(values)
        if _mode.value == "autodiff":
            with mixing():
                return self.reference(**self._named(values), **choices)  # type: ignore[call-arg]
        values = vary_together(values)
        call = _differentiable if _is_recorded(values) else _compiled
        with _explaining(self, values):
            return call(self._as_it_is, tuple(choices.items()), *values)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        # Binding like a function makes it one to help(), doctest and the documentation as well.
        return self if instance is None else functools.partial(self, instance)

    def __reduce__(self) -> str:
        # As a function is: a copy is the rule itself, which equal layers have to share, and a pickle has its name.
        return self.__qualname__

    def __repr__(self) -> str:
        return f"<rule {self.__name__}{self._signature}>"

    def _named(self, arrays: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(self._arrays, arrays, strict=True))


@overload
def rule(reference: Callable[P, R], /) -> Rule[P, R]: ...
@overload
def rule(*, static: Iterable[str]) -> Callable[[Callable[P, R]], Rule[P, R]]: ...
def rule(reference: Any = None, /, *, static: Iterable[str] = ()) -> Any:
    """Makes a `Rule` of a function; its parts follow as ``@name.forward`` and ``@name.backward``.

    Args:
        reference: the plain function. Its arguments are arrays, pytrees of arrays, or `None`.
        static: names of the arguments that are fixed Python values instead and are compiled in, as
            in `jax.jit`'s ``static_argnames``. The parts receive them by keyword.

    Example:
        >>> import fdl, jax
        >>> @fdl.rule(static=["power"])
        ... def monomial(x, *, power):
        ...     return x**power
        >>> @monomial.forward
        ... def _(x, *, power):
        ...     return x**power, x
        >>> @monomial.backward
        ... def _(x, dy, *, power):
        ...     return (dy * power * x ** (power - 1),)
        >>> float(jax.grad(lambda x: monomial(x, power=3))(2.0))
        12.0
    """
    if reference is None:
        return lambda function: Rule(function, static)
    return Rule(reference, static)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _differentiable(a_rule: Rule[..., Any], choices: tuple[tuple[str, Any], ...], *arrays: Any) -> Any:
    # What the forward part remembers is not used here, so compiled code does not compute it.
    return _forward(a_rule, choices, *arrays)[0]


# Outside jit a rule is then one program, not one for each of its operations. Inside jit it would be traced twice.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _compiled(a_rule: Rule[..., Any], choices: tuple[tuple[str, Any], ...], *arrays: Any) -> Any:
    return _differentiable(a_rule, choices, *arrays)


@contextlib.contextmanager
def _explaining(a_rule: Rule[..., Any], arrays: Any) -> Iterator[None]:
    """Adds to JAX's own errors what can be done about them here."""
    try:
        yield
    except Exception as error:
        if "forward-mode autodiff" in str(error):
            error.add_note(
                f"{a_rule.__name__} is a rule, which has a gradient of its own and no forward mode: "
                'with fdl.differentiation("autodiff"): ... differentiates it as JAX would'
            )
        if type(error).__name__ == "ShardingTypeError" or any(map(_is_explicit, jax.tree.leaves(arrays))):
            error.add_note(
                f"{a_rule.__name__} leaves it to XLA how arrays are spread over devices: make the mesh with "
                "axis_types=(jax.sharding.AxisType.Auto,) for each axis, or call it in jax.shard_map"
            )
        raise


def _is_explicit(array: Any) -> bool:
    """Whether how an array is spread over devices is part of its type, as on the meshes that JAX makes by default."""
    return any(kind == jax.sharding.AxisType.Explicit for kind in jax.typeof(array).sharding.mesh.axis_types)


def _is_recorded(arrays: Any) -> bool:
    """Whether operations are recorded here, as in `jax.jit`, not run: then even that of two constants has no value."""
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arrays)):
        return False
    return isinstance(jax.lax.add(np.int32(0), np.int32(0)), jax.core.Tracer)


def _forward(a_rule: Rule[..., Any], choices: tuple[tuple[str, Any], ...], *arrays: Any) -> Any:
    with differentiation("autodiff"), mixing():
        pair = a_rule.part("forward")(**a_rule._named(arrays), **dict(choices))
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(f"{a_rule.__name__}.forward must return a pair (value, what to remember)")
    value, remembered = pair
    return value, (remembered, Types.of(arrays))


def _backward(a_rule: Rule[..., Any], choices: tuple[tuple[str, Any], ...], residuals: Any, dy: Any) -> Any:
    remembered, types = as_arrays(residuals)  # JAX hands scalar constants over as Python numbers
    with differentiation("autodiff"), mixing(), _explaining(a_rule, (remembered, dy)):
        gradients = a_rule.part("backward")(remembered, dy, **dict(choices))
    if not isinstance(gradients, tuple) or len(gradients) != len(a_rule._arrays):
        raise TypeError(f"{a_rule.__name__}.backward must return a tuple of gradients for {a_rule._arrays}")
    return tuple(
        cast_gradient(f"{a_rule.__name__}.backward", name, gradient, argument)
        for name, gradient, argument in zip(a_rule._arrays, gradients, types.trees(), strict=True)
    )


_differentiable.defvjp(_forward, _backward)


def wide(*arrays: Any) -> jnp.dtype:
    """The dtype in which sums over these arrays are taken: their common one, but no narrower than float32.

    Example:
        >>> import jax.numpy as jnp
        >>> wide(jnp.ones(3, jnp.bfloat16)).name
        'float32'
    """
    common = jnp.result_type(*arrays)
    with mixing():
        return jnp.promote_types(common, jnp.float32)

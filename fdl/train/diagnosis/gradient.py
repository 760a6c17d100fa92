"""Is the gradient that training follows the gradient of the loss? The check of `fdl.check`, for a whole objective."""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from fdl.check import GradientReport, gradient_report
from fdl.flops import parts
from fdl.train.diagnosis.finding import OK, Finding
from fdl.train.objective import Objective

ROUNDINGS = 10  # by how many of them, of a narrower dtype, rules and JAX's own derivative may be apart


@dataclasses.dataclass(frozen=True)
class GradientCheck(Finding):
    """What `gradient_check` found.

    Attributes:
        report: the whole `fdl.check.GradientReport`, whose ``str`` is a table of all parameters.
        rounded: the dtype to which the objective rounds on its way, "" if it does not. Differences, which are smaller,
            then say nothing, and where they disagree, only JAX's own derivative counts.
    """

    title: ClassVar[str] = "gradient in float64"
    report: GradientReport
    rounded: str = ""

    @property
    def measured(self) -> str:
        """How far the rules and JAX's own derivative are apart, and how many elements were compared."""
        rows = [row for row in self.report.rows if row.index is not None]
        apart = max((row.autodiff_error for row in rows), default=0.0)
        compared = sum(row.compared for row in rows)
        differences = f"{compared:,} elements compared with differences"
        if self.rounded:
            differences = f"not checked by differences, which a cast to {self.rounded} rounds away"
        return f"{len(rows)} arrays, at most {apart:.1e} from JAX's own derivative; {differences}"

    @property
    def details(self) -> str:
        """The table, when there is something to look for in it."""
        return "" if self.ok else self.report.table


def gradient_check(
    objective: Objective, params: Any, state: Any, batch: Any, key: Any, *, samples: int = 5
) -> GradientCheck:
    """Compares the gradient of an objective with JAX's own derivative and with differences, in float64.

    Where the objective rounds to a narrower dtype, as mixed precision does, differences say nothing, and it is compared
    with JAX's own derivative alone.

    Args:
        objective, params, state, batch, key: what is trained, and where; a few examples are enough. The key is the
            same in all evaluations, so that dropout drops the same units in all of them.
        samples: in how many elements of each array to take differences.

    Raises:
        InputError: what the objective finds wrong with its arguments.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> from fdl.train import supervised
        >>> net, batch = Affine(3), (jnp.eye(4), jnp.array([0, 1, 2, 0]))
        >>> params, state = net.init(jax.random.key(0), batch[0])
        >>> gradient_check(supervised(net, softmax_cross_entropy), params, state, batch, jax.random.key(1)).verdict
        'ok'
    """

    def value(params: Any, state: Any, batch: Any) -> Any:
        return objective(params, state, batch, key)[0]

    report = gradient_report(value, params, state, batch, argnums=0, samples=samples)
    rounded = "" if report.ok else _rounded(value, params, state, batch)
    apart = max(report.value_error, *(row.autodiff_error for row in report.rows))
    if rounded and apart <= ROUNDINGS * jnp.finfo(rounded).eps:
        return GradientCheck(OK, report, rounded)
    problem = (
        f"{report.verdict.splitlines()[0].removeprefix('WRONG: ')}. Look for the backward part of the rule behind this "
        "array: fdl.check.check_gradients on that rule alone says more"
    )
    return GradientCheck(OK if report.ok else problem, report)


def _rounded(f: Any, *args: Any) -> str:
    """The narrowest dtype to which a function of float64 converts floats that are wider, "" if there is none."""

    def dtypes(jaxpr: Any) -> Iterator[Any]:
        for operation in jaxpr.eqns:
            if operation.primitive.name == "convert_element_type":
                before, after = operation.invars[0].aval.dtype, operation.outvars[0].aval.dtype
                if jnp.issubdtype(after, jnp.floating) and jnp.promote_types(before, after) != after:
                    yield after
            for _, part in parts(operation):
                yield from dtypes(part)

    with jax.enable_x64(True):
        wide = jax.tree.map(
            lambda a: jnp.asarray(a, float) if jnp.issubdtype(jnp.result_type(a), jnp.floating) else a, args
        )
        found = sorted(dtypes(jax.make_jaxpr(f)(*wide).jaxpr), key=lambda dtype: jnp.finfo(dtype).bits)
    return found[0].name if found else ""

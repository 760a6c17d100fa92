"""What a gradient check found, and how it is told: a table, a verdict, an error."""

import dataclasses
import math

from fdl.columns import aligned

_NOTE = """\
note: differences of {} contradict each other and were not used. Either f is at a kink, or it is all
      rounding: constant, or in float32 on its way (by a cast, or from float32 arrays that f closes over:
      pass those as arguments too, and choose by argnums what to differentiate), or it changes within
      the steps, a millionth of a number"""


@dataclasses.dataclass(frozen=True)
class GradientRow:
    """How the gradient of one array compares.

    Attributes:
        path: the array's name, like ``affine1.w``.
        shape: its shape.
        autodiff_error: the largest relative error to JAX's own, over all elements; inf for NaN or infinity.
        differences_error: the largest relative error to differences, over the elements compared.
        compared: how many elements that were.
        index: of the worst element; None for an array that is empty.
        rules, autodiff, differences: the gradients in that element.
        ok: whether all errors are within their tolerances.
        linear_error: the largest relative error of twice the gradient of f / 2 to the gradient of f.
    """

    path: str
    shape: tuple[int, ...]
    autodiff_error: float = 0.0
    differences_error: float = 0.0
    compared: int = 0
    index: tuple[int, ...] | None = None
    rules: float = 0.0
    autodiff: float = 0.0
    differences: float = 0.0
    ok: bool = True
    linear_error: float = 0.0


@dataclasses.dataclass(frozen=True)
class GradientReport:
    """What `gradient_report` found. Its ``str`` is a table with the verdict below it.

    Attributes:
        rows: a `GradientRow` for each array.
        tolerance, differences_tolerance: the relative errors that are not yet wrong.
        rules_value, value: what f gives by the forward parts of its rules, and by their references. If these
            are not the same, the gradient is not that of what the rules stand for.
        value_error: their relative error.
    """

    rows: tuple[GradientRow, ...]
    tolerance: float
    differences_tolerance: float
    rules_value: float
    value: float
    value_error: float

    @property
    def ok(self) -> bool:
        """Whether every gradient is right, and the value too."""
        return all(row.ok for row in self.rows) and self.value_error <= self.tolerance

    @property
    def table(self) -> str:
        """The rows, in aligned columns."""
        head = ("rules against JAX's own", "rules against differences", "shape", "differences in", "")
        return "\n".join(aligned([head, *map(_cells, self.rows)], gap=3))

    @property
    def verdict(self) -> str:
        """What is wrong, one line each, or that nothing is."""
        lines = [f"WRONG: {_fault(row, self)}" for row in self.rows if not row.ok]
        if not self.value_error <= self.tolerance:
            called = f", {self.value:.8g} by their references" if math.isfinite(self.value) else ""
            lines.append(f"WRONG: f itself is {self.rules_value:.8g} by the forward parts of its rules{called}")
        if not lines:
            count = f"all {len(self.rows)} gradients agree" if len(self.rows) > 1 else "1 gradient agrees"
            to = f"and with differences to {self.differences_tolerance:g}"
            if (rows := [row for row in self.rows if row.index is not None]) and not any(row.compared for row in rows):
                to = "and differences say nothing"
            lines.append(f"ok: {count} with JAX's own to {self.tolerance:g} {to}")
        if unclear := [row.path for row in self.rows if row.index is not None and not row.compared]:
            lines.append(_NOTE.format(", ".join(unclear)))
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{self.table}\n{self.verdict}"


class GradientError(AssertionError):
    """A gradient is wrong; ``report`` is the whole `GradientReport`."""

    def __init__(self, report: GradientReport):
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return f"{self.report.verdict}\n{self.report.table}"


def _cells(row: GradientRow) -> tuple[str, ...]:
    return (
        f"{row.path} relative error: {row.autodiff_error:.1e}",
        f"{row.differences_error:.1e}" if row.compared or row.differences_error else "-",
        str(row.shape),
        f"{row.compared:,} of {math.prod(row.shape):,} elements",
        "ok" if row.ok else "WRONG",
    )


def _fault(row: GradientRow, report: GradientReport) -> str:
    element = f"{row.path}{list(row.index)}" if row.index else row.path
    values = (
        f"{element} is {row.rules:.8g} by the rules, {row.autodiff:.8g} by JAX's own derivative, "
        f"{row.differences:.8g} by differences"
    )
    if max(row.autodiff_error, row.differences_error) == math.inf:
        return f"{values}: NaN and infinity are never right"
    if row.autodiff_error > report.tolerance:
        return f"{values}: relative error {row.autodiff_error:.1e} to JAX's own"
    if row.differences_error <= report.differences_tolerance:
        return (
            f"the gradient of f / 2 by {row.path} is not half of that of f: relative error {row.linear_error:.1e}. A "
            "backward part multiplies by dy, the gradient that comes back to it"
        )
    return (
        f"{values}: relative error {row.differences_error:.1e} to differences, but none to JAX's own. "
        "Is there a jax.custom_vjp, a stop_gradient or a cast in f?"
    )

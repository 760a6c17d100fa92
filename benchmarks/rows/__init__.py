"""What is measured: one row per rule and size, in the file of its family, as in tests/cases."""

from rows import activation, affine, batch_norm, cross_entropy, dropout, penalty
from rows.row import Row

__all__ = ["Row", "every_row"]

FAMILIES = [activation, affine, batch_norm, cross_entropy, dropout, penalty]


def every_row(scale: int) -> list[Row]:
    """All rows, with batches divided by ``scale``."""
    return [row for family in FAMILIES for row in family.rows(scale)]

"""What is measured: one row per rule and size, in the file of its family, as in tests/cases."""

from rows import (
    activation,
    affine,
    attention,
    batch_norm,
    classification,
    contrastive,
    conv,
    cross_entropy,
    divergence,
    dropout,
    embedding,
    graph,
    group_norm,
    layer_norm,
    linear_cross_entropy,
    overlap,
    penalty,
    pool,
    recurrent,
    regression,
    resize,
    sandwich,
)
from rows.row import Row, compiled

__all__ = ["Row", "compiled", "every_row"]

FAMILIES = [
    activation,
    affine,
    attention,
    batch_norm,
    classification,
    contrastive,
    conv,
    cross_entropy,
    divergence,
    dropout,
    embedding,
    graph,
    group_norm,
    layer_norm,
    linear_cross_entropy,
    overlap,
    penalty,
    pool,
    recurrent,
    regression,
    resize,
    sandwich,
]


def every_row(scale: int) -> list[Row]:
    """All rows, with batches divided by ``scale``."""
    return [row for family in FAMILIES for row in family.rows(scale)]

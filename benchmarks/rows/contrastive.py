"""The contrastive loss."""

from fdl.losses import nt_xent
from rows.row import Row


def rows(scale):
    n = 1024 // min(scale, 8)
    return [Row(nt_xent, f"2x{n}x128", lambda draw: {"first": draw(n, 128), "second": draw(n, 128)})]

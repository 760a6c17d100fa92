"""Tables of text: what reports print."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: int | None = None, gap: int = 2) -> list[str]:
    r"""Rows as lines with aligned columns.

    Args:
        rows: of equally many cells.
        left: how many of the first columns stand to the left; the others, which hold numbers, stand to the right.
            All to the left if None.
        gap: spaces between two columns.

    Example:
        >>> print(*aligned([("layer", "output"), ("affine1", "1.4"), ("relu1", "0.99")], left=1), sep="\n")
        layer    output
        affine1     1.4
        relu1      0.99
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<" if left is None or i < left else ">" for i in range(len(widths))]

    def line(row: Sequence[str]) -> str:
        cells = (f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True))
        return (" " * gap).join(cells).rstrip()

    return [line(row) for row in rows]

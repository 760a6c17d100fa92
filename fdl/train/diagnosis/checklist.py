"""A finding on the terminal: in colour where rich is installed, in plain text elsewhere."""

import sys

from fdl.train.diagnosis.finding import Finding


def show(finding: Finding) -> None:
    """Prints the finding's entry of the checklist.

    Example:
        >>> from fdl.train.diagnosis.ratios import UpdateRatios
        >>> show(UpdateRatios("ok", (("affine1", 2e-3), ("affine2", 1e-3))))
        [ok] updates over weights: 1.0e-03 to 2.0e-03 (healthy: about 1e-3)
    """
    text = str(finding)
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        print(text, flush=True)
        return
    if not sys.stdout.isatty():
        print(text, flush=True)
        return
    coloured = Text(text)
    coloured.stylize("bold green" if finding.ok else "bold red", 0, text.index("]") + 1)
    Console().print(coloured, soft_wrap=True)

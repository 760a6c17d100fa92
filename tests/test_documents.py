"""The Python in README.md runs, from top to bottom, as a reader would copy it."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = list(re.finditer(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


def test_the_blocks_run(capsys):
    assert BLOCKS
    names = {"__name__": "readme"}
    for block in BLOCKS:
        # As many empty lines first as the README has before the block, so that a traceback names the README's line.
        lines_before = "\n" * TEXT.count("\n", 0, block.start(1))
        exec(compile(lines_before + block[1], README, "exec"), names)
    printed = capsys.readouterr().out
    assert list(losses(TEXT)) == [0, 25, 50, 75, 100]
    assert losses(printed) == pytest.approx(losses(TEXT), abs=0.005)
    assert "ok: all 6 gradients agree" in printed


def losses(text):
    """What is printed of the training, here and in the README."""
    return {int(step): float(loss) for step, loss in re.findall(r"^ *step +(\d+)  loss (\S+)$", text, re.MULTILINE)}

"""The Python in README.md runs, from top to bottom, as a reader would copy it."""

import re
from pathlib import Path

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
    assert float(names["value"]) < 0.1
    assert "ok: all 6 gradients agree" in capsys.readouterr().out

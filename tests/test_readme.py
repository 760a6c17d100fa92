"""The Python in README.md runs, each block by itself, as a reader would copy it."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = list(re.finditer(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


def test_there_are_blocks_to_run():
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"line{TEXT.count(chr(10), 0, block.start()) + 1}")
def test_block_runs(block):
    # As many empty lines first as the README has before the block, so that a traceback names the README's line.
    lines_before = "\n" * TEXT.count("\n", 0, block.start(1))
    exec(compile(lines_before + block[1], README, "exec"), {"__name__": "readme"})

"""The Python in README.md and in docs/guide.md runs, as a reader would copy it, and prints what stands there."""

import contextlib
import io
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```\n\n?((?:    [^\n]*\n|\n(?=    ))*)", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def test_the_readme_runs():
    text = read("README.md")
    printed = "".join(printed for printed, _ in run("README.md"))
    assert list(losses(text)) == [0, 25, 50, 75, 100]
    assert losses(printed) == pytest.approx(losses(text), abs=0.005)
    assert "ok: all 6 gradients agree" in printed


def test_the_guide_prints_what_it_says():
    results = list(run("docs/guide.md"))
    assert len(results) == 11
    for printed, expected in results:
        assert NUMBER.split(printed) == NUMBER.split(expected)
        numbers, told = ([float(number) for number in NUMBER.findall(text)] for text in (printed, expected))
        assert numbers == pytest.approx(told, rel=0.1)


@pytest.mark.parametrize("document", ["README.md", "docs/guide.md"])
def test_the_files_that_are_named_are_there(document):
    named = re.findall(r"[`(]((?:fdl|docs|examples|benchmarks|tests)/[\w/.]*)[`)]", read(document))
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []


def read(document):
    return (ROOT / document).read_text(encoding="utf-8")


def run(document):
    """What each block of Python in a document prints, and what stands indented under it."""
    text, names = read(document), {"__name__": "document"}
    for block in BLOCK.finditer(text):
        # As many empty lines first as there are before the block, so that a traceback names the document's line.
        lines_before = "\n" * text.count("\n", 0, block.start(1))
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(lines_before + block[1], ROOT / document, "exec"), names)
        yield re.sub(" +$", "", printed.getvalue(), flags=re.MULTILINE), textwrap.dedent(block[2])


def losses(text):
    """What is printed of the training, here and in the README."""
    return {int(step): float(loss) for step, loss in re.findall(r"^ *step +(\d+)  loss (\S+)$", text, re.MULTILINE)}

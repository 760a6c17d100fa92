"""The demo, from its command line to its picture. How well it learns in full is for `make demo` to say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments):
    command = [sys.executable, "-W", "error", "examples/digits.py", *arguments]
    as_in_conftest = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # compiling is most of the time
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | as_in_conftest
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_it_checks_trains_and_draws_and_fails_when_it_has_not_learnt(tmp_path):
    result = run("--epochs", "1", "--output", str(tmp_path / "new" / "folder"))
    for part in ("affine1.w relative error", "ok: all 8 gradients", "log 10 = 2.303", "epoch 1/1", "Test accuracy"):
        assert part in result.stdout, result.stderr
    assert result.returncode == 1
    assert "less than the 97.5%" in result.stderr
    (picture,) = (tmp_path / "new" / "folder").iterdir()
    assert picture.name == "digits.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_it_has_help():
    result = run("--help")
    assert result.returncode == 0
    assert "--seed" in result.stdout

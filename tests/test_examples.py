"""Every example runs: in seconds, on data that are at hand, and it writes down what it reached."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOR_ALL = {"common", "measure"}  # no examples, but what they share
OF_ITS_OWN = {"digits"}  # the demo: test_digits.py
NAMES = sorted({path.stem for path in (ROOT / "examples").glob("*.py")} - FOR_ALL - OF_ITS_OWN)


def run(name, *arguments):
    command = [sys.executable, "-W", "error", f"examples/{name}.py", *arguments]
    as_in_conftest = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # compiling is most of the time
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | as_in_conftest
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in NAMES])
def test_a_quick_run(name, tmp_path):
    result = run(name, "--quick", "--output", str(tmp_path))
    assert result.returncode == 0, result.stderr
    reached = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert reached["stands_in"]
    assert reached["metric"][1:] in result.stdout
    for picture in re.findall(r"Picture: (.*)", result.stdout):
        assert Path(picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_each_is_one_file_of_less_than_150_lines(name):
    assert len((ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 150

"""Runs examples for several seeds, one after the other, and makes the table in README.md of what they reached.

    python examples/measure.py mnist "translation --model lstm" --seeds 1 2 3 --data DIR

Every run is an entry in results.json until it is measured again. Without an example, only the table is made anew.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

HERE = Path(__file__).parent
RESULTS, README = HERE / "results.json", HERE / "README.md"
START, END = "<!-- made by measure.py -->\n", "<!-- until here -->\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", nargs="*", help="names of examples, or with options of theirs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--data", type=Path, default=Path("build/data"), help="directory that has or gets the data")
    parser.add_argument("--output", type=Path, default=Path("build/measured"), help="directory for what they draw")
    options = parser.parse_args()

    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for example in options.examples:
        for seed in options.seeds:
            results.setdefault(example, {})[str(seed)] = measure(example, seed, options)
            RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    before, rest = README.read_text(encoding="utf-8").split(START)
    _, after = rest.split(END)
    README.write_text(f"{before}{START}{table(results)}{END}{after}", encoding="utf-8")


def measure(example, seed, options):
    """Runs one example, whose output is seen as it comes, and gives what it wrote down."""
    name, *of_its_own = example.split()
    output = options.output / "_".join(example.split()) / str(seed)
    command = [sys.executable, HERE / f"{name}.py", *of_its_own, "--data", options.data, "--seed", seed]
    command += ["--output", output]
    subprocess.run(list(map(str, command)), check=True)
    result = json.loads((output / "result.json").read_text(encoding="utf-8"))
    if result.pop("stands_in"):
        sys.exit(f"{example} ran on something smaller than its data, which is no result: give it the data by --data.")
    return result | {"jax": jax.__version__, "python": platform.python_version(), "cores": os.cpu_count()}


def table(results):
    """One row for each example: the mean of its seeds and how far they are spread, and the seconds of the quickest."""
    lines = ["| example | result | asked for | reached | seeds | seconds |", "| --- | --- | --- | --- | --- | --- |"]
    for example, runs in sorted(results.items()):
        name, *of_its_own = example.split()
        first, *_ = runs.values()
        show, values = first["show"].format, [run["value"] for run in runs.values()]
        reached = show(np.mean(values))
        if len(values) > 1:
            reached += f" ({show(min(values))} to {show(max(values))})"
        goal = "" if first["goal"] is None else f"at {'least' if first['higher'] else 'most'} {show(first['goal'])}"
        seconds = min(run["seconds"] for run in runs.values())
        shown = " ".join([f"{name}.py", *of_its_own])
        lines.append(f"| `{shown}` | {first['metric']} | {goal} | {reached} | {len(runs)} | {seconds:.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

"""Training steps in fdl, Flax, Equinox, Haiku and PyTorch, measured side by side: time, memory, compilation.

    make peers                                  all workloads and libraries: about an hour
    make peers ARGS="lstm gpt"                  those workloads
    make peers ARGS="--libraries fdl,torch"     those libraries
    make peers ARGS="--quick"                   small and short, to see that it works
    make peers ARGS="lstm --update"             those workloads anew, in the results of an earlier run

It writes RESULTS.md with its plots, and the numbers as results.json, from which ``--report`` makes the page anew. Where
JAX and PyTorch find a GPU they run there; ``--precision bfloat16`` then computes in bfloat16, with parameters and
moments in float32.
"""

import argparse
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

from peers import report
from peers.turns import Result, limits, measure
from peers.workloads import QUICK, SCALING, WORKLOADS, Workload

LIBRARIES = (*report.TITLES,)
ALONG = ("fdl", "linen", "torch")  # whose costs are followed from size to size
PACKAGES = ("fdl", "jax", "jaxlib", "flax", "equinox", "dm-haiku", "optax", "torch")


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(WORKLOADS)}; all by default")
    parser.add_argument("--libraries", default=",".join(LIBRARIES), help="separated by commas, default: %(default)s")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--turns", type=int, default=7, help="of each library, default: %(default)s")
    parser.add_argument("--compilations", type=int, default=2, help="of each step, default: %(default)s")
    parser.add_argument("--no-scaling", action="store_true", help="leave out how cost grows with size")
    parser.add_argument("--quick", action="store_true", help="small sizes, one turn, one compilation")
    parser.add_argument("--report", action="store_true", help="only make the page anew from results.json")
    parser.add_argument("--update", action="store_true", help="keep what the output has of other workloads")
    parser.add_argument("--output", type=Path, default=Path("build/peers"), help="default: %(default)s")
    asked = parser.parse_args()
    for kind, words, known in (
        ("workloads", asked.workloads, WORKLOADS),
        ("libraries", asked.libraries.split(","), LIBRARIES),
    ):
        if unknown := set(words) - set(known):
            parser.error(f"no {kind} called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if "fdl" not in asked.libraries.split(","):
        parser.error("fdl is what the others are compared with: --libraries fdl,...")
    if asked.quick and asked.update:
        parser.error("--quick measures other sizes, which do not belong into the results that --update keeps")
    file = asked.output / "results.json"
    if (asked.report or asked.update) and not file.exists():
        parser.error(f"there is no {file}; run it without --report and --update first")
    if asked.update and (before := load(file)["machine"]) != (now := machine()):
        parser.error(f"{file} is of another machine or other versions: {before}, and not {now}")
    return asked


def every_workload(asked: argparse.Namespace) -> list[Workload]:
    """Those that were asked for, in the size and precision that was."""
    chosen = [WORKLOADS[name]._replace(precision=asked.precision) for name in asked.workloads or WORKLOADS]
    return [work._replace(**QUICK[work.network]) for work in chosen] if asked.quick else chosen


def curves(works: list[Workload], quick: bool) -> dict[str, list[Workload]]:
    """By network and the size that varies, the workloads along it; two for each in a quick run."""
    along = {}
    for work in works:
        for size, factors in SCALING.get(work.network, {}).items():
            chosen = factors[-2:] if quick else factors
            along[f"{work.network}.{size}"] = [
                work._replace(**{size: max(1, round(factor * getattr(work, size)))}) for factor in chosen
            ]
    return along


def machine() -> dict[str, str]:
    """What it is measured on, and with."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    model = platform.processor() or platform.machine()
    if (cpus := Path("/proc/cpuinfo")).exists():
        named = [line.split(":", 1)[1] for line in cpus.read_text().splitlines() if line.startswith("model name")]
        model = named[0].strip() if named else model
    device = jax.devices()[0]
    found = {"processor": f"{model}, {os.cpu_count()} cores", "system": platform.system()}
    found |= {"device": f"{device.device_kind} ({device.platform})", "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Measures everything; each result is printed when it is there."""
    libraries, works = asked.libraries.split(","), every_workload(asked)
    turns, compilations = (1, 1) if asked.quick else (asked.turns, asked.compilations)
    seconds = 0.01 if asked.quick else 1.5
    measured: dict[str, Any] = {"machine": machine(), "workloads": [], "limits": {}, "scaling": {}}
    for work in works:
        results = measure(work, libraries, turns, compilations, seconds)
        measured["workloads"] += results
        print(f"\n{work}\n\n{report.table(results)}", flush=True)
        measured["limits"][work.network] = limits(work)
    if not asked.no_scaling:
        along = [name for name in libraries if name in ALONG]
        for name, sizes in curves(works, asked.quick).items():
            results = [result for work in sizes for result in measure(work, along, max(1, turns // 3), 1, seconds)]
            measured["scaling"][name] = results
            print(f"\n{name}\n\n{report.scaling_table({name: results})}", flush=True)
    return measured


def load(file: Path) -> dict[str, Any]:
    """What an earlier run measured."""
    measured = json.loads(file.read_text(encoding="utf-8"))
    measured["workloads"] = [result(entry) for entry in measured["workloads"]]
    measured["scaling"] = {name: list(map(result, some)) for name, some in measured["scaling"].items()}
    return measured


def result(entry: list[Any]) -> Result:
    library, work, *rest = entry
    return Result(library, Workload(*work), *rest)


def updated(earlier: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """What an earlier run measured, but of the workloads in this one what this one did."""
    groups = report.grouped(earlier["workloads"]) | report.grouped(measured["workloads"])
    workloads = [result for results in groups.values() for result in results]
    both = {part: earlier[part] | measured[part] for part in ("limits", "scaling")}
    return {"machine": measured["machine"], "workloads": workloads, **both}


def main() -> None:
    """Measures, prints, and writes the page."""
    asked = options()
    file = asked.output / "results.json"
    asked.output.mkdir(parents=True, exist_ok=True)
    measured = load(file) if asked.report else run(asked)
    if asked.update:
        measured = updated(load(file), measured)
    file.write_text(json.dumps(measured) + "\n", encoding="utf-8")
    (asked.output / "RESULTS.md").write_text(report.markdown(measured), encoding="utf-8")
    report.draw(measured, asked.output)
    print(f"written to {asked.output / 'RESULTS.md'}")


if __name__ == "__main__":
    main()

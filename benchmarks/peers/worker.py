"""One contestant in a process of its own: python -m peers.worker LIBRARY WORKLOAD, a list of sizes in JSON.

It reads words on its standard input and answers each with one line of JSON:

    ready        -> {}: when the network is made
    compile      -> {"seconds": ..., "temporary_bytes": ..., "parameters": ...}
    steps        -> {"seconds": [...], "loss": ...}: so many steps
    end          -> {"peak_bytes": ...}: the most memory that the process had since it was compiled last
"""

import ctypes
import importlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from peers.workloads import Workload, data


def peak_bytes() -> int:
    """The most memory that this process had in use: since `forget_peak` where there is /proc, else since its start."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak() -> None:
    """Lets the peak begin at what is in use now: compilers need much memory, and are not what is measured here."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc keeps much of what was freed, for the next one who asks
        libc.malloc_trim(0)
    if (file := Path("/proc/self/clear_refs")).exists():
        file.write_text("5")


def main() -> None:
    """Answers until the end."""
    library, sizes = sys.argv[1:]
    work = Workload(*json.loads(sizes))
    batch = data(work)
    program = importlib.import_module(f"peers.by_{library}").build(work, *batch)
    for line in sys.stdin:
        word, *number = line.split()
        answer: dict[str, Any] = {}
        if word == "compile":
            seconds = program.compile(batch)
            answer = {"seconds": seconds, "temporary_bytes": program.temporary_bytes()}
            answer["parameters"] = program.parameters
            program.run()
            forget_peak()
        elif word == "steps":
            times = []
            for _ in range(int(*number)):
                start = time.perf_counter()
                loss = program.run()
                times.append(time.perf_counter() - start)
            answer = {"seconds": times, "loss": loss}
        elif word == "end":
            answer = {"peak_bytes": peak_bytes()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

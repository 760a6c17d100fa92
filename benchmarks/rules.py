"""Hand-written gradients against automatic differentiation: time and memory of every rule, in one run.

    make bench                        all rules
    make bench ARGS="batch_norm"      those whose name contains a word
    make bench ARGS="--quick"         small and short, to see that it works

For each row the value and all gradients are computed by one compiled function, once with fdl's rules
and once under ``differentiation("autodiff")``. The two take turns, so that a noisy machine hurts both
alike; times are medians, and the bytes are the temporary memory that XLA reports for the executable. In the
mean of the memory ratios, less than a page of 4 KiB counts as a page: none against none is 1.
"""

from comparison import chosen, measure, options, report, show
from rows import compiled, every_row


def main() -> None:
    """Measures, prints, and writes the table and its plot."""
    asked = options("Time and memory of fdl's gradients against autodiff.", "rules")
    results = []
    for row in every_row(scale=16 if asked.quick else 1):
        if chosen(row.rule.__name__, asked.words):
            both, inputs = compiled(row)
            run = lambda which, both=both, inputs=inputs: both[which](*inputs)  # noqa: E731
            results.append(measure(str(row), both, run, seconds=0.2 if asked.quick else 5.0))
            show(results[-1])
    report("rules", results, asked.output)


if __name__ == "__main__":
    main()

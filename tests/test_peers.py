"""The comparison with other libraries, as far as it needs none of them: networks, turns, limits, and the page."""

import json

import jax
import numpy as np
import pytest
from peers import by_fdl, limits, report, turns
from peers.__main__ import curves, load, updated
from peers.workloads import QUICK, WORKLOADS, data

QUICK_WORKLOADS = [work._replace(**QUICK[name]) for name, work in WORKLOADS.items()]
FULL = {  # as they follow from the descriptions in peers/workloads.py
    "fully_connected": 3072 * 512 + 3 * 512 * 512 + 4 * 2 * 512 + 512 * 10 + 10,
    "lenet": 61_706,
    "vgg": 9 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256) + 4 * 448 + 16 * 256 * 10 + 10,
    "resnet": 11_173_962,
    "lstm": 65 * 512 + 2 * (1024 * 2048 + 2048) + 512 * 65 + 65,
    "gpt": (65 + 256) * 256 + 4 * (12 * 256 * 256 + 13 * 256) + 2 * 256,
    "head": 2 * 512 + 512 * 32_768,
}


def result(library, seconds, compilation=1.0, memory=8192, work=WORKLOADS["gpt"]):
    return turns.Result(library, work, [seconds] * 3, [compilation], memory, 10**8, 1000)


@pytest.mark.parametrize("name", FULL)
def test_networks_have_the_sizes_that_are_said(name):
    work = WORKLOADS[name]
    net = by_fdl.NETWORKS[name](work)
    params, _ = jax.eval_shape(net.init, jax.random.key(0), data(work)[0])
    assert sum(w.size for w in jax.tree.leaves(params)) == FULL[name]


@pytest.mark.slow
@pytest.mark.parametrize("work", QUICK_WORKLOADS, ids=str)
def test_steps_lower_the_loss(work):
    batch = data(work)
    program = by_fdl.build(work, *batch)
    assert program.compile(batch) > 0
    first, *_, last = (program.run() for _ in range(20))
    assert last < first
    assert program.temporary_bytes() > 0


def test_contestants_take_turns_in_processes_of_their_own():
    work = QUICK_WORKLOADS[0]
    first, second = turns.measure(work, ["fdl", "fdl"], turns=2, compilations=2, seconds=0.001)
    for one in (first, second):
        assert (one.library, one.work) == ("fdl", work)
        assert (len(one.turns), len(one.compilations)) == (2, 2)
        assert min(*one.turns, *one.compilations) > 0
        assert one.peak_bytes > one.temporary_bytes > 0
    assert first.parameters == second.parameters == 24_922


def test_a_contestant_that_fails_is_named():
    with pytest.raises(RuntimeError, match="nobody ended when it was asked for 'ready', on fully_connected 4x32"):
        turns.measure(QUICK_WORKLOADS[0], ["nobody"], turns=1, compilations=1)


def test_limits_count_products_as_often_as_loops_run_them():
    x = jax.ShapeDtypeStruct((8, 8), np.float32)
    loop = jax.make_jaxpr(lambda x: jax.lax.scan(lambda y, _: (y @ x, None), x, None, length=5)[0] + x @ x)(x)
    assert sorted(times for times, _ in limits.operations(loop.jaxpr)) == [1, 5]
    seconds, flops = limits.bare(next(limits.operations(loop.jaxpr))[1])
    assert seconds > 0
    assert flops == 2 * 8**3


def test_fdl_is_compared_with_the_best_in_each_respect():
    results = [
        result("fdl", 1.0, compilation=3.0, memory=10**6),
        result("linen", 2.0, compilation=4.0, memory=4 * 10**6),
        result("haiku", 3.0, compilation=2.0, memory=2 * 10**6),
        result("torch", 0.5, compilation=0.0, memory=None),
        result("torch_compiled", 0.25, compilation=9.0, memory=None),
    ]
    assert report.ratios(results) == {"speed": 2.0, "memory": 0.5, "compile": 1.5, "torch": 0.25}
    lines = report.summary(report.grouped(results)).splitlines()
    assert lines[2] == "| gpt | 1000 | Flax Linen 2000 | 2.00x | 0.50 | 1.50 | PyTorch, compiled 250 | 0.25x |"
    assert lines[3] == "| geometric mean |  |  | 2.00x | 0.50 | 1.50 |  | 0.25x |"
    assert [line.split(" | ")[0] for line in report.table(results).splitlines()[2:4]] == [
        "| PyTorch, compiled",
        "| PyTorch",
    ]


def test_the_page_is_made_from_the_numbers_alone(tmp_path):
    works = [WORKLOADS["gpt"], WORKLOADS["lenet"]]
    sizes = curves(works, quick=True)
    assert [work.depth for work in sizes["gpt.depth"]] == [8, 16]
    some = [result(library, 0.1, work=work) for work in works for library in ("fdl", "linen", "torch")]
    limit = {"products": 0.05, "convolutions": 0.0, "flops": 10**9}
    limit |= {"large_product_flops_per_second": 1e11, "copy_bytes_per_second": 1e10}
    curve = [
        result(library, 0.1 * work.depth, work=work) for work in sizes["gpt.depth"] for library in ("fdl", "linen")
    ]
    measured = {"machine": {"jax": "0"}, "workloads": some, "limits": {"gpt": limit}, "scaling": {"gpt.depth": curve}}
    (tmp_path / "results.json").write_text(json.dumps(measured))
    again = load(tmp_path / "results.json")
    assert again == measured
    page = report.markdown(again)
    assert "| gpt | 1.0 | 50.0 | 0.0 | 100.0 | 0.50 | 10 | 100 | 10.0 |" in page
    assert "## lenet 128x32, width 6, depth 5" in page
    assert "Turns of each library here: 3." in page
    assert (report.with_spread([0.01]), report.with_spread([0.01, 0.03])) == ("10", "20 (15 to 25)")
    report.draw(again, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"results.json", "results.png", "scaling.png"}


def test_an_update_replaces_the_workloads_that_it_measured():
    head = result("fdl", 3.0, work=WORKLOADS["head"])
    earlier = {"workloads": [result("linen", 1.0), result("fdl", 2.0), head], "limits": {"gpt": 1, "head": 2}}
    again = {"workloads": [result("fdl", 0.5)], "limits": {"gpt": 3}}
    new = updated(*({"machine": {}, "scaling": {}} | some for some in (earlier, again)))
    assert new["workloads"] == [result("fdl", 0.5), head]
    assert new["limits"] == {"gpt": 3, "head": 2}

"""Every test runs with eight simulated devices, so that sharding is tested on any machine."""

import importlib
import os
import pkgutil

import jax
import pytest

import fdl

jax.config.update("jax_num_cpu_devices", 8)
# Compiling is most of the time, and results are the same.
jax.config.update("jax_disable_most_optimizations", True)
flags = ["--xla_cpu_parallel_codegen_split_count=1"]  # parts cost something, and the tests run side by side already
if jax.__version_info__ < (0, 11):  # later ones have one way to compile fusions; the older one takes half the time
    flags.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])

# pytest puts a module that it is given by name in its place, where a function of that name may be, as `fdl.summary` is.
for _, name, is_package in pkgutil.iter_modules(fdl.__path__, "fdl."):
    if is_package:
        importlib.import_module(name)


def pytest_collection_modifyitems(items):
    """All tests of a file, and all examples of a package, run in one process, where they share what they compile."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            place = item.path.parent if item.path.is_relative_to(item.config.rootpath / "fdl") else item.path
            item.add_marker(pytest.mark.xdist_group(str(place.relative_to(item.config.rootpath))))


def pytest_runtest_teardown(item, nextitem):
    """Forgets what was compiled for a group of tests when the next group begins, which cannot use it."""
    if nextitem is None or item.get_closest_marker("xdist_group") != nextitem.get_closest_marker("xdist_group"):
        jax.clear_caches()

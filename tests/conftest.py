"""Every test runs with eight simulated devices, so that sharding is tested on any machine."""

import jax

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_disable_most_optimizations", True)  # compiling is most of the time, and results are the same


def pytest_runtest_teardown(item, nextitem):
    """Forgets what was compiled for a group of tests when the next group begins, which cannot use it."""
    if nextitem is None or item.get_closest_marker("xdist_group") != nextitem.get_closest_marker("xdist_group"):
        jax.clear_caches()

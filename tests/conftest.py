"""Every test runs with eight simulated devices, so that sharding is tested on any machine."""

import jax

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_disable_most_optimizations", True)  # compiling is most of the time, and results are the same

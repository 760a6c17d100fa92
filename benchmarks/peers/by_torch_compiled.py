"""PyTorch, compiled: `by_torch` with forward and backward by `torch.compile`, and the optimizer's fused kernel."""

from typing import Any

import torch

from peers import by_torch
from peers.workloads import Workload


def build(work: Workload, inputs: Any, labels: Any) -> by_torch.Program:
    # The first compilation loads the compiler, and on a new machine tries what its processor and C++ compiler can do,
    # for some ten seconds. That is no part of compiling a network.
    torch.compile(torch.sin)(torch.ones(1, device=by_torch.DEVICE, requires_grad=True)).backward()
    return by_torch.build(work, inputs, labels, compiled=True)

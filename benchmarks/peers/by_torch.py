"""PyTorch, eager: `nn.Module`s and what its tuning guide recommends: channels last, fused attention and optimizers."""

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers.workloads import Workload

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cuda":
    torch.set_float32_matmul_precision("high")  # what XLA does there by default
    torch.backends.cudnn.benchmark = True

CONVOLUTIONAL = "lenet", "vgg", "resnet", "unet"


def fully_connected(work: Workload) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(work.depth - 1):
        layers += [nn.LazyLinear(work.width, bias=False), nn.BatchNorm1d(work.width), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(work.width, work.classes))


def lenet(work: Workload) -> nn.Module:
    layers: list[nn.Module] = []
    for channels in (6, 16):
        layers += [nn.LazyConv2d(channels, 5), nn.Tanh(), nn.AvgPool2d(2)]
    layers.append(nn.Flatten())
    for units in (120, 84):
        layers += [nn.LazyLinear(units), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(84, work.classes))


def conv_norm(channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.LazyConv2d(channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


def vgg(work: Workload) -> nn.Module:
    layers: list[nn.Module] = []
    for stage in range(work.depth):
        for _ in range(2):
            layers += [conv_norm(work.width << stage, 3), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(work.classes))


class BasicBlock(nn.Module):
    def __init__(self, channels: int, stride: int, project: bool):
        super().__init__()
        self.block = nn.Sequential(conv_norm(channels, 3, stride), nn.ReLU(), conv_norm(channels, 3))
        self.shortcut = conv_norm(channels, 1, stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.block(x))


def resnet(work: Workload) -> nn.Module:
    layers: list[nn.Module] = [conv_norm(64, 3), nn.ReLU()]
    for stage in range(4):
        layers.append(BasicBlock(64 << stage, 2 if stage else 1, project=stage > 0))
        layers.append(BasicBlock(64 << stage, 1, project=False))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, work.classes))


class LSTM(nn.Module):
    def __init__(self, work: Workload):
        super().__init__()
        self.embed = nn.Embedding(work.classes, work.width)
        self.lstm = nn.LSTM(work.width, work.width, work.depth, batch_first=True)
        self.scores = nn.Linear(work.width, work.classes)

    def forward(self, ids: Tensor) -> Tensor:
        return self.scores(self.lstm(self.embed(ids))[0])


class Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.maps, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.maps(x).unflatten(-1, (3, -1, 32)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*heads.unbind(), is_causal=True)
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width))
        hidden = nn.Linear(width, 4 * width), nn.GELU(approximate="tanh")
        self.mlp = nn.Sequential(nn.LayerNorm(width), *hidden, nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        return x + self.mlp(x)


class GPT(nn.Module):
    def __init__(self, work: Workload):
        super().__init__()
        self.embed = nn.Embedding(work.classes, work.width)
        self.positions = nn.Parameter(torch.empty(work.size, work.width))
        for table in (self.embed.weight, self.positions):
            nn.init.normal_(table, std=0.02)
        self.blocks = nn.Sequential(*(Block(work.width) for _ in range(work.depth)), nn.LayerNorm(work.width))

    def forward(self, ids: Tensor) -> Tensor:
        return F.linear(self.blocks(self.embed(ids) + self.positions), self.embed.weight)


def convolutions(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.LazyConv2d(channels, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    def __init__(self, work: Workload):
        super().__init__()
        widths = [work.width << level for level in range(work.depth)]
        self.down = nn.ModuleList(convolutions(width) for width in widths)
        self.bottom = convolutions(work.width << work.depth)
        self.wider = nn.ModuleList(nn.LazyConvTranspose2d(width, 2, stride=2) for width in reversed(widths))
        self.up = nn.ModuleList(convolutions(width) for width in reversed(widths))
        self.scores = nn.Conv2d(work.width, work.classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = []
        for down in self.down:
            fine.append(down(x))
            x = F.max_pool2d(fine[-1], 2)
        x = self.bottom(x)
        for wider, up in zip(self.wider, self.up, strict=True):
            x = up(torch.cat([fine.pop(), wider(x)], 1))
        return self.scores(x)


def head(work: Workload) -> nn.Module:
    return nn.Sequential(nn.LayerNorm(work.width), nn.Linear(work.width, work.classes, bias=False))


NETWORKS: dict[str, Callable[[Workload], nn.Module]] = {
    "fully_connected": fully_connected,
    "lenet": lenet,
    "vgg": vgg,
    "resnet": resnet,
    "lstm": LSTM,
    "gpt": GPT,
    "unet": UNet,
    "head": head,
}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda params: torch.optim.Adam(params, lr=1e-3, fused=True),
    "momentum": lambda params: torch.optim.SGD(params, lr=0.01, momentum=0.9, fused=True),
}


class Program:
    """A step and what it starts from; with `program.Program`'s methods."""

    def __init__(self, work: Workload, net: nn.Module, compiled: bool):
        # nn.LSTM has two biases per gate where the others have one.
        self.parameters = sum(w.numel() for name, w in net.named_parameters() if "bias_hh" not in name)
        self._work, self._net, self._compiled = work, net, compiled
        self._optimizer = OPTIMIZERS[work.optimizer](net.parameters())
        # In chunks it is quicker, and needs half the memory, but knows neither autocast nor torch.compile.
        chunked = work.network == "head" and work.precision == "float32" and not compiled
        self._loss = self._chunked_cross_entropy if chunked else self._cross_entropy

    def _cross_entropy(self, inputs: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=self._work.precision == "bfloat16"):
            scores = self._net(inputs)
            if scores.ndim == 3:  # words in rows: [N, T, classes]
                scores, labels = scores.flatten(0, 1), labels.flatten()
            return F.cross_entropy(scores, labels)

    def _chunked_cross_entropy(self, hidden: Tensor, labels: Tensor) -> Tensor:
        norm, scores = self._net.children()
        x = norm(hidden).flatten(0, 1)
        options = nn.LinearCrossEntropyOptions(batch_chunk_size=1024)  # what "auto" chooses is slower
        return F.linear_cross_entropy(x, scores.weight, labels.flatten(), options=options)

    def compile(self, batch: Any) -> float:
        """The seconds of the first step, which compiles forward and backward, from nothing; 0 where nothing does."""
        inputs, labels = batch
        self._batch = to_device(self._work, inputs), torch.tensor(labels, dtype=torch.long, device=DEVICE)
        if not self._compiled:
            return 0.0
        from torch._inductor.utils import fresh_cache  # here, as it needs memory that the eager steps do without

        torch._dynamo.reset()
        start = time.perf_counter()
        with fresh_cache():
            self._loss = torch.compile(self._cross_entropy)
            self.run()
        return time.perf_counter() - start

    def temporary_bytes(self) -> int | None:
        return None

    def run(self) -> float:
        """One step, to its end; its loss."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(*self._batch)
        loss.backward()
        self._optimizer.step()
        return loss.item()


def to_device(work: Workload, inputs: Any) -> Tensor:
    """Images become [N, C, H, W] where they are convolved, and stay in memory as they are."""
    x = torch.tensor(inputs, device=DEVICE)
    return x.permute(0, 3, 1, 2) if work.network in CONVOLUTIONAL else x


def build(work: Workload, inputs: Any, labels: Any, compiled: bool = False) -> Program:
    torch.manual_seed(0)
    net = NETWORKS[work.network](work).to(DEVICE)
    with torch.no_grad():
        net(to_device(work, inputs))  # the lazy layers learn their sizes
    if work.network in CONVOLUTIONAL:
        net = net.to(memory_format=torch.channels_last)
    return Program(work, net, compiled)

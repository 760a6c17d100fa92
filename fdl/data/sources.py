"""Where the data sets are: addresses and checksums, nothing else.

MNIST's checksums are those of the files whose MD5 sums have been in circulation since the original page; CIFAR's are
the ones on its page.
"""

from fdl.data.download import Remote

_MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_CIFAR_SERVERS = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")
_CHAR_RNN = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/"


def _remote(places: tuple[str, ...], name: str, checksum: str) -> Remote:
    return Remote(name, tuple(place + name for place in places), checksum)


MNIST = tuple(
    _remote(_MNIST_MIRRORS, name, f"sha256:{digest}")
    for name, digest in (
        ("train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        ("train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        ("t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        ("t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    )
)
CIFAR10 = _remote(_CIFAR_SERVERS, "cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530")
CIFAR100 = _remote(_CIFAR_SERVERS, "cifar-100-binary.tar.gz", "md5:03b5dce01913d631647c71ecec9e9cb8")
TINY_SHAKESPEARE = Remote(
    "tinyshakespeare.txt",
    (f"{_CHAR_RNN}tinyshakespeare/input.txt",),
    "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)

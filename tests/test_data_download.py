"""Downloads, from a server on this machine that does everything a server can do wrong."""

import contextlib
import gzip
import hashlib
import io
import re
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module

import numpy as np
import pytest

from fdl import InputError
from fdl.data import DownloadError, cifar10, cifar100, download, mnist, sources, tiny_shakespeare
from fdl.data.download import Remote

CONTENT = np.random.default_rng(0).bytes(200_000)


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


CHECKSUM = sha256(CONTENT)


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`; `server.faults` say what goes wrong with the next answers, one after the other."""

    def do_GET(self):
        server, name = self.server, self.path.lstrip("/")
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        server.requests.append((name, int(asked[1]) if asked else None))
        fault = server.faults.pop(0) if server.faults else None
        content = server.files.get(name)
        if content is None or isinstance(fault, int):
            return self.send_error(fault or 404)
        start = int(asked[1]) if asked and fault != "ignore range" else 0
        if start and start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            begin = start + (7 if fault == "wrong range" else 0)
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if fault != "no length":
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if callable(fault):
            self.wfile.write(rest[:1000])
            fault()
            rest = rest[1000:]
        self.wfile.write(rest[: len(rest) // 2] if fault == "cut" else rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.faults, server.requests = {"data.bin": CONTENT}, [], []
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def get(server, tmp_path):
    def get(path=tmp_path / "data.bin", checksum=CHECKSUM, name="data.bin", **options):
        return download(server.url + name, path, checksum=checksum, **options)

    return get


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_downloads_once(get, server, tmp_path):
    path = tmp_path / "new" / "folder" / "data.bin"
    assert get(path) == path
    assert path.read_bytes() == CONTENT
    assert get(path) == path
    assert server.requests == [("data.bin", None)]
    assert files_in(path.parent) == ["data.bin"]


def test_downloads_once_for_all_who_ask_at_once(get, server, tmp_path):
    paths = []
    other = threading.Thread(target=lambda: paths.append(get()))

    def ask_meanwhile():
        other.start()
        other.join(0.5)  # seconds, in which it would have everything

    server.faults = [ask_meanwhile]
    paths.append(get())
    other.join()
    assert paths == [tmp_path / "data.bin"] * 2
    assert server.requests == [("data.bin", None)]
    assert files_in(tmp_path) == ["data.bin"]


@pytest.mark.parametrize("change", [str, str.upper])
def test_knows_md5_too(get, change):
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert get(checksum=f"md5:{change(digest)}").read_bytes() == CONTENT


def test_goes_on_where_the_connection_broke(get, server):
    server.faults = ["cut", "cut"]
    assert get().read_bytes() == CONTENT
    assert server.requests == [("data.bin", None), ("data.bin", 100_000), ("data.bin", 150_000)]


def test_goes_on_in_the_next_call(get, server, tmp_path):
    server.faults = ["cut"]
    with pytest.raises(DownloadError, match="broke after 100,000 of 200,000 bytes"):
        get(attempts=1)
    assert files_in(tmp_path) == ["data.bin.part"]
    assert get(attempts=1).read_bytes() == CONTENT
    assert server.requests == [("data.bin", None), ("data.bin", 100_000)]
    assert files_in(tmp_path) == ["data.bin"]


@pytest.mark.parametrize("fault", ["ignore range", "wrong range", "no length"])
def test_copes_with_servers_that_do_not_send_the_rest(get, server, fault):
    server.faults = ["cut", fault]
    assert get().read_bytes() == CONTENT


def test_starts_over_when_what_was_left_behind_is_wrong(get, server, tmp_path):
    part = tmp_path / "data.bin.part"
    for left_behind in b"something else", CONTENT + b"and more", bytes(len(CONTENT)):
        part.write_bytes(left_behind)
        path = get()
        assert path.read_bytes() == CONTENT
        path.unlink()


def test_finishes_what_is_complete_but_was_not_renamed(get, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert get().read_bytes() == CONTENT


def test_refuses_another_file(get, server, tmp_path):
    server.files["data.bin"] = CONTENT[:-1] + b"!"
    with pytest.raises(DownloadError, match=f"expected {CHECKSUM}, got sha256:"):
        get()
    assert files_in(tmp_path) == []
    assert len(server.requests) == 1


def test_leaves_a_file_alone_that_is_another_one(get, server, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"data\.bin is there, but is not the file.*Delete it"):
        get()
    assert (tmp_path / "data.bin").read_bytes() == b"mine"
    assert server.requests == []


def test_says_when_the_server_has_no_such_file(get, server):
    with pytest.raises(DownloadError, match=r"nothing\.bin: the server answered 404"):
        get(name="nothing.bin")
    assert len(server.requests) == 1


def test_tries_a_busy_server_again(get, server):
    server.faults = [503, 429]
    assert get().read_bytes() == CONTENT
    assert len(server.requests) == 3


def closed_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_says_what_to_do_without_a_network(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")
    url = f"http://127.0.0.1:{closed_port()}/data.bin"
    with pytest.raises(DownloadError) as caught:
        download(url, tmp_path / "data.bin", checksum=CHECKSUM)
    message = str(caught.value)
    assert message.count("ConnectionRefusedError") == 1
    assert f"put it at {tmp_path / 'data.bin'}" in message
    assert files_in(tmp_path) == []


def test_tries_the_next_place_and_goes_on_there(server, tmp_path):
    server.files["copy.bin"] = CONTENT
    refused = f"http://127.0.0.1:{closed_port()}/data.bin"
    places = [refused, server.url + "nothing", server.url + "data.bin", server.url + "copy.bin"]
    server.faults = [None, "cut"]
    path = download(places, tmp_path / "data.bin", checksum=sha256(CONTENT), attempts=1)
    assert path.read_bytes() == CONTENT
    assert server.requests == [("nothing", None), ("data.bin", None), ("copy.bin", 100_000)]


@pytest.mark.parametrize("checksum", ["", "abc", "sha1:" + "0" * 40, "md5:" + "0" * 31, "sha256:" + "g" * 64])
def test_needs_a_checksum(checksum, tmp_path):
    with pytest.raises(InputError, match="a checksum is"):
        download("http://localhost", tmp_path / "x", checksum=checksum)


@pytest.mark.parametrize(("urls", "message"), [("file:///etc/hosts", "starts with https"), ([], "needs an address")])
def test_needs_an_address(urls, message, tmp_path):
    with pytest.raises(InputError, match=message):
        download(urls, tmp_path / "x", checksum=sha256(b""))


def test_the_table_of_sources_is_well_formed():
    remotes = [*sources.MNIST, sources.CIFAR10, sources.CIFAR100, sources.TINY_SHAKESPEARE]
    for remote in remotes:
        assert re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", remote.checksum)
        assert all(url.startswith("https://") for url in remote.urls)


class TestReaders:
    """`download=True`, with the addresses of the server here in place of the real ones."""

    def served(self, server, name, content):
        server.files[name] = content
        return Remote(name, (server.url + name,), sha256(content))

    def test_mnist(self, server, monkeypatch, tmp_path):
        remotes = []
        for remote, shape in zip(sources.MNIST, [(2, 28, 28), (2,), (1, 28, 28), (1,)], strict=True):
            head = bytes([0, 0, 8, len(shape)]) + b"".join(length.to_bytes(4, "big") for length in shape)
            content = gzip.compress(head + bytes(int(np.prod(shape))))
            remotes.append(self.served(server, remote.name, content))
        monkeypatch.setattr(import_module("fdl.data.mnist"), "MNIST", tuple(remotes))
        for _ in range(2):
            assert mnist(tmp_path, download=True).train[0].shape == (2, 28, 28, 1)
        assert len(server.requests) == 4
        (tmp_path / remotes[3].name).unlink()
        assert mnist(tmp_path, download=True).test[1].tolist() == [0]
        assert len(server.requests) == 5

    @pytest.mark.parametrize(
        ("reader", "folder", "files", "extra"),
        [
            (
                cifar10,
                "cifar-10-batches-bin",
                {f"{name}.bin": bytes(3073) for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]},
                {"batches.meta.txt": b"airplane\nautomobile\n\n"},
            ),
            (
                cifar100,
                "cifar-100-binary",
                {"train.bin": bytes(3074 * 5), "test.bin": bytes(3074)},
                {"fine_label_names.txt": b"airplane\nautomobile\n"},
            ),
        ],
    )
    def test_cifar(self, server, monkeypatch, tmp_path, reader, folder, files, extra):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, content in {
                "../escaped.bin": b"no",
                **{f"{folder}/{k}": v for k, v in (files | extra).items()},
            }.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        constant = reader.__name__.upper()
        remote = self.served(server, getattr(sources, constant).name, buffer.getvalue())
        monkeypatch.setattr(import_module("fdl.data.cifar"), constant, remote)
        for _ in range(2):
            data = reader(tmp_path / "data", download=True)
            assert (data.train[0].shape, data.classes) == ((5, 32, 32, 3), ("airplane", "automobile"))
        assert len(server.requests) == 1
        assert files_in(tmp_path) == ["data"]
        assert files_in(tmp_path / "data") == sorted([folder, remote.name])

    def test_tiny_shakespeare(self, server, monkeypatch, tmp_path):
        remote = self.served(server, "tinyshakespeare.txt", b"First Citizen:\n")
        monkeypatch.setattr(import_module("fdl.data.text"), "TINY_SHAKESPEARE", remote)
        assert tiny_shakespeare(tmp_path, download=True) == "First Citizen:\n"

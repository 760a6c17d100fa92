"""Downloads that can be trusted: checked against a checksum, continued where they stopped, never half a file.

A file is written next to its place, as ``NAME.part``, and gets its name when it is complete and its checksum is
right. A connection that breaks leaves the part behind, and the next attempt, in this call or in a later one, asks the
server for the rest (HTTP Range). Processes that start at once, as on several devices, download one after the other: all
but the first find the file there.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from fdl.counts import check_count
from fdl.errors import InputError

BLOCK = 1 << 16
BUSY = (429, 500, 502, 503, 504)  # what servers answer that may have the file in a moment


class DownloadError(OSError):
    """A file could not be had, or is not the one that was published. The message says which, and what to do."""


class Remote(NamedTuple):
    """A file that can be downloaded.

    ``urls`` are the places that have it, in the order in which they are tried; ``checksum`` is its algorithm and
    value, as in "sha256:8d42..." or "md5:f68b...".
    """

    name: str
    urls: tuple[str, ...]
    checksum: str


def download(
    urls: str | Sequence[str], path: str | os.PathLike[str], *, checksum: str, attempts: int = 3, timeout: float = 30
) -> Path:
    """Downloads a file, unless it is there already.

    Args:
        urls: where it is, or several places that have the same file, tried in turn.
        path: where it goes. Directories are made as needed.
        checksum: "sha256:" or "md5:" and the value, in hexadecimal digits. It is compared in any case, also with
            a file that is there already; nothing is downloaded then.
        attempts: how often to try each place that is busy or breaks off; a broken connection goes on where it broke.
        timeout: seconds to wait for an answer.

    Returns:
        The path.

    Raises:
        DownloadError: when no place could be reached (as without a network), had the file, or had the right one,
            with what to do; and for a file at ``path`` that is another one, which is left alone.
        InputError: for a checksum or an address that is none.

    Example:
        >>> import tempfile
        >>> from fdl.data.download import download
        >>> file = Path(tempfile.mkdtemp(), "a.txt")
        >>> _ = file.write_bytes(b"abc")
        >>> download("https://example.com/a.txt", file, checksum="md5:900150983cd24fb0d6963f7d28e17f72").name
        'a.txt'
    """
    path, places = Path(path), [urls] if isinstance(urls, str) else list(urls)
    _check(places, checksum, attempts)
    if not _is_there(path, checksum):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(path.parent):
            if not _is_there(path, checksum):  # another process may have brought it meanwhile
                _bring(places, path, checksum, attempts, timeout)
    return path


def download_all(files: Sequence[Remote], folder: str | os.PathLike[str]) -> None:
    """Downloads files into a folder, unless they are there already; see `download`."""
    for file in files:
        download(file.urls, Path(folder, file.name), checksum=file.checksum)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Waits until no other process downloads into the folder: two would write to the same part."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # there are network drives without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)  # which gives it up, as the end of the process does


def _is_there(path: Path, checksum: str) -> bool:
    if path.exists() and (is_ := _checksum_of(path, checksum)) != checksum.lower():
        raise DownloadError(
            f"{path} is there, but is not the file that was published: expected {checksum}, got {is_}. "
            "Delete it, and it will be downloaded again"
        )
    return path.exists()


def _bring(places: list[str], path: Path, checksum: str, attempts: int, timeout: float) -> None:
    part = path.with_name(path.name + ".part")
    problems: list[str] = []
    for url in places:
        for _ in range(attempts):
            continued = part.exists()
            try:
                _fetch(url, part, timeout)
            except HTTPError as error:
                error.close()
                problems.append(f"{url}: the server answered {error.code} {error.reason}")
                if error.code not in BUSY:
                    break  # it would answer the same again
                continue
            except (OSError, HTTPException) as error:  # no network, timeouts, connections that break
                reason = getattr(error, "reason", error)
                problems.append(f"{url}: {type(reason).__name__}: {reason}")
                continue
            if (is_ := _checksum_of(part, checksum)) == checksum.lower():
                part.replace(path)
                return
            part.unlink()
            problems.append(f"{url}: expected {checksum}, got {is_}")
            if not continued:
                break  # the server has another file; a part from elsewhere would have been worth another attempt
    raise DownloadError(
        f"{path.name} could not be downloaded:\n  " + "\n  ".join(dict.fromkeys(problems)) + "\n"
        f"Without a network, get the file elsewhere and put it at {path}; calling this again continues a download "
        "that broke off"
    )


def _check(places: list[str], checksum: str, attempts: int) -> None:
    digits = {"sha256": 64, "md5": 32}
    algorithm, _, value = checksum.partition(":")
    if algorithm not in digits or not re.fullmatch(f"[0-9a-fA-F]{{{digits[algorithm]}}}", value):
        raise InputError(f'a checksum is "sha256:" and 64 or "md5:" and 32 hexadecimal digits, got {checksum!r}')
    for url in places:
        if urlsplit(url).scheme not in ("http", "https"):
            raise InputError(f"an address to download from starts with https:// or http://, got {url!r}")
    if not places:
        raise InputError("a download needs an address, got none")
    check_count("a download", "attempts", attempts)


def _checksum_of(path: Path, like: str) -> str:
    algorithm = like.partition(":")[0]
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _fetch(url: str, part: Path, timeout: float) -> None:
    """Brings the part to its full length: appends what is missing, if the server can send just that."""
    have = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response: Any = urlopen(request, timeout=timeout)
    except HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        return  # the server has nothing beyond what is there: the checksum will tell whether it is all
    with response:
        start = _first_byte(response, have)
        expected = response.headers.get("Content-Length")
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            while block := response.read(BLOCK):
                file.write(block)
            received = file.tell() - start
    if expected is not None and received < int(expected):
        raise ConnectionError(f"the connection broke after {start + received:,} of {start + int(expected):,} bytes")


def _first_byte(response: Any, asked: int) -> int:
    """Where in the file the answer begins: at its start, unless the server says that it sends the rest."""
    if response.status != 206:
        return 0
    given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if given is None or int(given[1]) != asked:
        raise ConnectionError(f"the server was asked for bytes from {asked} on, and sent {given and given[0]}")
    return asked

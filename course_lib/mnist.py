"""The handwritten digits of MNIST: 28 x 28 grey images, each with the digit from 0 to 9 that it shows.

`load_sample` reads the 5,000 digits that come with the course and needs no network. `load_mnist` reads the
full set of 70,000, and downloads its four files (11 MB) if they are not there yet. From a terminal,
`python -m course_lib.mnist` downloads them, and `python -m course_lib.mnist --check` says what is there.
Whatever goes wrong ends in a `MnistError` of one sentence, and leaves the files as they were.
"""

import argparse
import gzip
import hashlib
import io
import math
import os
import struct
import sys
import tempfile
import time
import uuid
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import numpy as np
import requests
from pooch import HTTPDownloader
from tqdm.auto import tqdm

DATA = Path(__file__).resolve().parent.parent / "data"
SAMPLE = DATA / "mnist_sample.npz"
FOLDER = DATA / "mnist"  # of the full set, unless the environment variable MNIST_DIR names another

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
CHECKSUMS = {  # SHA-256 of each file, decompressed
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MAX_BYTES = 50_000_000  # the largest of the four, decompressed, has 47,040,016
CHUNK = 1 << 20  # bytes decompressed at a time
ROUNDS, PAUSE = 2, 1.0  # how often every mirror is tried, and the seconds between two rounds

Digits = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class MnistError(RuntimeError):
    """The digits could not be had; the message is one sentence that says why and what to do."""


def load_sample(
    normalize: bool = True, flatten: bool = True, one_hot_label: bool = False, dtype: type = np.float32
) -> Digits:
    """The 5,000 digits in `data/`: 4,000 for training, 1,000 for testing, all classes equally often in each.

    Parameters
    ----------
    normalize : pixels from 0.0 to 1.0 in `dtype`; otherwise from 0 to 255 in uint8, a quarter of the memory.
    flatten : images as rows (N, 784); otherwise (N, 1, 28, 28).
    one_hot_label : labels as one-hot rows (N, 10) in `dtype`; otherwise the digits themselves, (N,) int64.
    dtype : a floating-point type.

    Returns `(x_train, t_train), (x_test, t_test)`; raises MnistError if the file is missing or damaged.
    """
    try:
        with np.load(SAMPLE, allow_pickle=False) as stored:
            parts = [(stored[f"x_{part}"], stored[f"t_{part}"]) for part in ("train", "test")]
    except Exception as fault:  # a damaged archive raises whatever it likes: a dozen kinds are known
        state = "missing" if isinstance(fault, FileNotFoundError) else f"damaged ({fault})"
        raise MnistError(
            f"The course's sample of digits, {SAMPLE}, is {state}: restore it with "
            "`git checkout data/mnist_sample.npz`, or build it with `python data/make_sample.py`"
        ) from None
    train, test = (_prepare(x, t, normalize, flatten, one_hot_label, dtype) for x, t in parts)
    return train, test


def load_mnist(
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    dtype: type = np.float32,
    *,
    mirrors: Sequence[str] = MIRRORS,
    checksums: Mapping[str, str] = CHECKSUMS,
) -> Digits:
    """The full set: 60,000 digits for training and 10,000 for testing, as `load_sample` returns them.

    If the environment variable MNIST_DIR names a folder, the four files must be there: nothing is downloaded.
    Otherwise what is missing or damaged in `data/mnist/` is downloaded first. All data are checked against
    `checksums`. Raises MnistError if the files are not there, or not right, and could not be downloaded.
    """
    folder = mnist_folder()

    def load(part: str) -> tuple[np.ndarray, np.ndarray]:
        return _prepare(*_read_part(folder, part, checksums), normalize, flatten, one_hot_label, dtype)

    try:
        return load("train"), load("t10k")
    except MnistError as fault:
        if os.environ.get("MNIST_DIR"):
            raise MnistError(
                f"{fault}; since MNIST_DIR names that folder, put the four files of MNIST there, "
                "download them there with `python -m course_lib.mnist`, or unset MNIST_DIR"
            ) from None
    download_mnist(mirrors, checksums)
    return load("train"), load("t10k")


def mnist_folder() -> Path:
    """The folder of the full set: the one that MNIST_DIR names, or `data/mnist/` in the course's folder."""
    return Path(os.environ.get("MNIST_DIR") or FOLDER).expanduser().resolve()


def check_mnist(checksums: Mapping[str, str] = CHECKSUMS) -> dict[str, str]:
    """For each of the four files "ok", or the sentence that says what is wrong with it; downloads nothing."""
    verdicts = {}
    for name, sha256 in checksums.items():
        try:
            _read(mnist_folder(), name, sha256)
            verdicts[name] = "ok"
        except MnistError as fault:
            verdicts[name] = str(fault)
    return verdicts


def download_mnist(
    mirrors: Sequence[str] = MIRRORS, checksums: Mapping[str, str] = CHECKSUMS, timeout: float = 15.0
) -> None:
    """Download those of the four files that are missing or damaged into the folder of the full set.

    Each file is held in memory until its checksum proves right, then written beside its place and renamed
    into it: a fault or an interrupt leaves the folder as it was, and two kernels may download at once.

    Parameters
    ----------
    mirrors : addresses of folders that hold the gzipped files; each is tried in turn.
    checksums : SHA-256 of each file's decompressed bytes, by its name without `.gz`.
    timeout : seconds that a server may let us wait for its next bytes.

    Raises MnistError if no mirror sent the right file, or the folder could not be written.
    """
    folder = mnist_folder()
    wanted = [name for name, verdict in check_mnist(checksums).items() if verdict != "ok"]
    try:
        if wanted:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()  # where we may not write, fail before the download
        for name in wanted:
            content = _fetch(name, checksums[name], mirrors, timeout)
            # Some servers and proxies unpack what they send; then the name says so too.
            _write(folder / (f"{name}.gz" if content.startswith(b"\x1f\x8b") else name), content)
    except OSError as fault:
        raise MnistError(
            f"The full MNIST set could not be written to {folder} ({fault.strerror or fault}): "
            "make that possible or set MNIST_DIR to another folder, then run `python -m course_lib.mnist`"
        ) from None


def read_idx(path: str | os.PathLike, sha256: str | None = None) -> np.ndarray:
    """The uint8 array in an IDX file of labels (one dimension) or images (three).

    The format: two zero bytes, 08 for unsigned bytes, the number of dimensions, the size of each as a 32-bit
    big-endian integer, then the data. The file may be gzipped; its first bytes tell, not its name.

    Raises MnistError if the file cannot be read, is no such file, is too short or too long, or if its
    decompressed bytes do not have the checksum `sha256`.
    """
    try:
        with open(path, "rb") as file:
            return _decode(file, str(path), sha256)
    except OSError as fault:
        raise MnistError(f"{path} could not be read ({fault.strerror or fault})") from None


def _decode(file: BinaryIO, name: str, sha256: str | None) -> np.ndarray:
    """The work of `read_idx` on any binary file; `name` is what its errors call it."""
    gzipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if gzipped else file
    try:
        magic = stream.read(4)
        if magic not in (b"\0\0\x08\x01", b"\0\0\x08\x03"):
            kind = "a web page" if magic.startswith(b"<") else "no IDX file of images or labels"
            raise MnistError(
                f"{name} is {kind}: it starts with the bytes {magic.hex(' ') or '(none)'}, "
                "expected 00 00 08 01 (labels) or 00 00 08 03 (images)"
            )
        sizes = stream.read(4 * magic[3])
        shape = struct.unpack(f">{magic[3]}I", sizes)
        count = math.prod(shape)
        if count > MAX_BYTES:
            raise MnistError(f"{name} announces {count:,} bytes of data, expected no more than {MAX_BYTES:,}")
        data, digest, done = np.empty(count, np.uint8), hashlib.sha256(magic + sizes), 0
        while got := stream.readinto(memoryview(data)[done : done + CHUNK]):  # straight into the array
            digest.update(data[done : done + got])
            done += got
        if done < count or stream.read(1):
            found = f"only {done:,}" if done < count else "more"
            raise MnistError(f"{name} announces {count:,} bytes of data, but {found} follow")
    except (EOFError, struct.error, zlib.error, gzip.BadGzipFile) as fault:
        raise MnistError(f"{name} is damaged or cut short ({fault})") from None
    if sha256 and digest.hexdigest() != sha256:
        raise MnistError(
            f"{name} holds other data: its decompressed SHA-256 is {digest.hexdigest()}, expected {sha256}"
        )
    return data.reshape(shape)


def _read(folder: Path, name: str, sha256: str) -> np.ndarray:
    """The array of one of the four files, which may be gzipped, unpacked, or there in both forms."""
    fault = MnistError(f"{folder / name}.gz is missing")
    for path in (folder / f"{name}.gz", folder / name):
        if os.path.exists(path):
            try:
                return read_idx(path, sha256)
            except MnistError as error:
                fault = error
    raise fault


def _read_part(folder: Path, part: str, checksums: Mapping[str, str]) -> list[np.ndarray]:
    """Images (N, 28, 28) and labels (N,) of one part of the set, "train" or "t10k"."""
    names = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
    images, labels = (_read(folder, name, checksums[name]) for name in names)
    if images.shape != (*labels.shape, 28, 28):
        raise MnistError(
            f"{' and '.join(names)} in {folder} do not belong together: "
            f"their shapes are {images.shape} and {labels.shape}, expected (N, 28, 28) and (N,)"
        )
    return [images, labels]


def _prepare(
    x: np.ndarray, t: np.ndarray, normalize: bool, flatten: bool, one_hot_label: bool, dtype: type
) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and labels (N,), both uint8, in the form that the caller asked for."""
    x = x.reshape((-1, 784) if flatten else (-1, 1, 28, 28))
    if normalize:
        x = np.divide(x, 255, dtype=dtype)  # converts a block at a time, with no copy of the whole between
    return x, (np.eye(10, dtype=dtype)[t] if one_hot_label else t.astype(np.int64))


class _Received(io.BytesIO):
    """What has come of a file: shown on a progress bar, and refused beyond MAX_BYTES, so that it has an end."""

    def __init__(self, bar: tqdm) -> None:
        super().__init__()
        self.bar = bar

    def write(self, chunk) -> int:
        if self.tell() + len(chunk) > MAX_BYTES:
            raise MnistError(f"it sent more than {MAX_BYTES:,} bytes, too many for any file of MNIST")
        self.bar.update(len(chunk))
        return super().write(chunk)


def _receive(url: str, name: str, timeout: float) -> io.BytesIO:
    """What the server sends for an address, in memory; whether it is right remains to be seen."""
    with tqdm(desc=name, unit="B", unit_scale=True, disable=None) as bar:  # None: no bar into files and pipes
        received = _Received(bar)

        def show_length(response: requests.Response, **_) -> None:
            bar.reset(total=int(response.headers.get("Content-Length", 0)) or None)

        HTTPDownloader(chunk_size=1 << 16, timeout=timeout, hooks={"response": show_length})(url, received, None)
    received.seek(0)
    return received


def _fetch(name: str, sha256: str, mirrors: Sequence[str], timeout: float) -> bytes:
    """The content of a file, from the first mirror that sends what has the right checksum."""
    reasons = {}
    for attempt in range(ROUNDS):
        time.sleep(PAUSE if attempt else 0)
        for mirror in mirrors:
            try:
                received = _receive(f"{mirror}{name}.gz", name, timeout)
                _decode(received, "what it sent", sha256)
                return received.getvalue()
            except MnistError as fault:
                reasons[mirror] = f"{urlsplit(mirror).netloc}: {fault}"
            except (requests.RequestException, ValueError) as fault:  # the latter of a header that is no number
                reasons[mirror] = f"{urlsplit(mirror).netloc}: {_in_words(fault, timeout)}"
    raise MnistError(
        f"{name}.gz could not be downloaded ({'; '.join(reasons.values())}): with a network, run "
        f"`python -m course_lib.mnist`, or put the four files of MNIST into {mnist_folder()}"
    )


def _in_words(fault: Exception, timeout: float) -> str:
    """What became of a request, for someone who does not know the exceptions of `requests`."""
    if getattr(fault, "response", None) is not None:
        return f"it answered {fault.response.status_code} {fault.response.reason}"
    if isinstance(fault, requests.Timeout) or "timed out" in str(fault):  # the latter amid the body
        return f"it sent nothing for {timeout:g} seconds"
    if isinstance(fault, requests.exceptions.ChunkedEncodingError):
        return "the connection broke before the whole file had come"
    if isinstance(fault, requests.ConnectionError):
        return f"it could not be reached, {type(fault).__name__}"
    return f"its answer makes no sense, {type(fault).__name__}"


def _write(path: Path, content: bytes) -> None:
    """Put a file in place, whole or not at all, whoever else may do the same at the same time."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m course_lib.mnist`; returns its exit code: 0 if all four files are right."""
    parser = argparse.ArgumentParser(prog="python -m course_lib.mnist", description="Download the full MNIST set.")
    parser.add_argument("--check", action="store_true", help="download nothing, only say which files are right")
    try:
        if not parser.parse_args(arguments).check:
            download_mnist()
    except MnistError as fault:
        print(fault, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted: files that had come whole are kept, and nothing else is left", file=sys.stderr)
        return 130
    verdicts = check_mnist()
    print(f"The full MNIST set in {mnist_folder()}:")
    for name, verdict in verdicts.items():
        print(f"  {name} is ok" if verdict == "ok" else f"  {verdict}")
    return int(any(verdict != "ok" for verdict in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())

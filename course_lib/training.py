"""The training loop: mini-batches in random order, one step of an optimizer for each, an evaluation an epoch.

Images may stay uint8, a quarter of float32's memory: only the batch in hand becomes numbers between 0 and 1.
"""

import math
import os
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import tqdm

EVALUATION_BATCH = 1000  # images scored at a time: memory stays small, and the products are large enough


@dataclass
class History:
    """What happened: the loss of every step, and the accuracies at the start and after each epoch.

    steps : the step numbers at which the accuracies were taken, beginning with 0.
    train, test : accuracies at those steps; test is empty where there was no test set.
    stopped : why training ended before its time, or an empty string.
    """

    loss: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)
    stopped: str = ""

    def __str__(self):
        lines = ["epoch     step  train accuracy" + ("  test accuracy" if self.test else "")]
        for epoch, (step, accuracy) in enumerate(zip(self.steps, self.train, strict=True)):
            line = f"{epoch:5}  {step:7}  {accuracy:14.4f}"
            lines.append(line + (f"  {self.test[epoch]:13.4f}" if self.test else ""))
        return "\n".join(lines + ([self.stopped] if self.stopped else []))

    __repr__ = __str__


class Diverged(FloatingPointError):
    """The loss is no longer a finite number; ``history`` holds what happened until then."""

    def __init__(self, loss, lr, history):
        super().__init__(
            f"The loss became {loss} at step {len(history.loss)}. The usual cause is a learning rate that is too large "
            f"(it is {lr:g}); others are inputs that are not scaled to 0..1, or that are not finite themselves."
        )
        self.history = history


def fit(
    net,
    train,
    test=None,
    *,
    optimizer,
    epochs,
    batch_size=100,
    rng=None,
    transform=None,
    schedule=None,
    scored=None,
    on_epoch=None,
):
    """Train net in place, showing a progress bar, and return the History.

    Parameters
    ----------
    net : has ``params``, ``loss_and_gradient(x, t)``, ``predict(x)`` and ``dtype``, as TwoLayerNet has.
    train, test : pairs (x, t) of inputs (N, ...) and labels; without test only the training set is scored.
    optimizer : has ``lr`` and ``update(params, grads)``.
    epochs : how many times to go through the training set.
    rng : a numpy Generator, or a seed for one, that decides the order of the batches.
    transform : ``transform(x, rng) -> x``, applied to each batch before it is used, such as a random shift.
    schedule : ``schedule(progress) -> factor``, for progress from 0 to 1; the optimizer's lr is multiplied by it.
    scored : how many samples of the training set, from its first on, are scored after each epoch; by default all.
    on_epoch : ``on_epoch(net, history)``, called after each evaluation; a true result ends the training.

    An interrupt (the stop button) ends the training too: net keeps what it has learned, and the History says so.
    Raises Diverged, which names the step, if the loss is no longer a finite number.
    """
    rng = np.random.default_rng(rng)
    x, t = train
    _check_batches(x, t, batch_size)
    sample = x[:scored], t[:scored]
    steps = epochs * math.ceil(len(x) / batch_size)
    lr = optimizer.lr
    history = History()
    try:
        # A network that diverges overflows on its way; the sentence below says so better than numpy's warnings.
        with _progress_bar(steps) as bar, np.errstate(over="ignore", invalid="ignore"):
            _record(history, net, sample, test)
            for _ in range(epochs):
                for batch_x, batch_t in minibatches(x, t, batch_size, rng=rng, dtype=net.dtype):
                    if transform is not None:
                        batch_x = transform(batch_x, rng)
                    if schedule is not None:
                        optimizer.lr = float(lr * schedule(len(history.loss) / steps))
                    loss, gradient = net.loss_and_gradient(batch_x, batch_t)
                    history.loss.append(loss)
                    if not math.isfinite(loss):
                        raise Diverged(loss, optimizer.lr, history)
                    optimizer.update(net.params, gradient)
                    bar.update()
                _record(history, net, sample, test)
                bar.set_postfix(loss=f"{loss:.4f}", accuracy=f"{(history.test or history.train)[-1]:.4f}")
                if on_epoch is not None and on_epoch(net, history):
                    history.stopped = f"Ended by on_epoch after {len(history.loss)} of {steps} steps."
                    break
    except KeyboardInterrupt:
        history.stopped = f"Interrupted after {len(history.loss)} of {steps} steps."
        print(history.stopped)
    finally:
        optimizer.lr = lr
    return history


def minibatches(x, t, batch_size, *, rng=None, dtype=np.float32):
    """Each sample once, in random order: pairs of inputs (batch_size, ...) and labels; the last may be smaller.

    uint8 inputs, which stand for 0..255, become numbers of the dtype between 0 and 1; others are converted to it.
    Raises ValueError where x and t differ in length or batch_size is no positive integer.
    """
    _check_batches(x, t, batch_size)
    order = np.random.default_rng(rng).permutation(len(x))
    batches = (order[start : start + batch_size] for start in range(0, len(x), batch_size))
    return ((as_inputs(x[batch], dtype), t[batch]) for batch in batches)


def as_inputs(x, dtype=np.float32):
    """x as numbers of the dtype; uint8 (0..255) is scaled to 0..1. A float array of that dtype is returned as it is."""
    if x.dtype == np.uint8:
        return np.divide(x, 255, dtype=dtype)
    return x.astype(dtype, copy=False)


def predict_labels(net, x):
    """The class with the highest score for each input, integers (N,), computed a thousand inputs at a time."""
    parts = [
        net.predict(as_inputs(x[i : i + EVALUATION_BATCH], net.dtype)).argmax(axis=1)
        for i in range(0, len(x), EVALUATION_BATCH)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=int)


def accuracy(net, x, t):
    """The share of inputs whose predicted label is right, a float; t is integers (N,) or one-hot rows (N, C).

    Raises ValueError where there is no input at all, or not one label for each.
    """
    t = np.asarray(t)
    _check_labels(x, t)
    if len(x) == 0:
        raise ValueError("the accuracy of no inputs at all is not defined.")
    return float(np.mean(predict_labels(net, x) == (t if t.ndim == 1 else t.argmax(axis=1))))


def _progress_bar(steps):
    # tqdm's own variable, which its notebook bar ignores: stored notebooks hold no bars, for no two are alike.
    return tqdm(total=steps, unit="step", leave=False, disable=bool(os.environ.get("TQDM_DISABLE")))


def _record(history, net, train, test):
    scores = [accuracy(net, *data) for data in (train, test) if data is not None]
    history.steps.append(len(history.loss))  # only now: an interrupt above leaves no half a row
    for column, score in zip((history.train, history.test), scores, strict=False):
        column.append(score)


def _check_batches(x, t, batch_size):
    _check_labels(x, t)
    if batch_size < 1 or batch_size != int(batch_size):
        raise ValueError(f"batch_size must be a positive integer; it is {batch_size}.")


def _check_labels(x, t):
    if len(x) != len(t):
        raise ValueError(f"each input needs its label; there are {len(x)} inputs and {len(t)} labels.")
    if t.ndim > 2 or t.shape[1:] == (1,):
        raise ValueError(f"labels are integers (N,) or one-hot rows (N, C); these have shape {t.shape}.")

"""The exercises of chapter 7: what makes the good network good, what it costs, and how sure one can be of it."""

import numpy as np

from course_lib.exercises import exercise, mistake
from course_lib.exercises.compare import NotYet, call, expect_equal, expect_function


def shift(images, dy, dx):
    H, W = images.shape[1:]
    r = max(abs(dy), abs(dx))
    framed = np.pad(images, ((0, 0), (r, r), (r, r)))
    return framed[:, r - dy : r - dy + H, r - dx : r - dx + W]


def _wraps_around(images, dy, dx):
    return np.roll(images, (dy, dx), axis=(1, 2))


def _rolls_the_batch(images, dy, dx):
    return np.roll(images, (dy, dx), axis=(0, 1))


def _shift_in_place(images, dy, dx):
    images[...] = shift(images, dy, dx)
    return images


@exercise(
    "Shift a batch of images",
    solution=shift,
    hints=(
        "Put a frame of background around every image with `np.pad`, and look at the result through a window of the "
        "old size. Where must the window go so that the ink in it lies lower?",
        "To move the ink down, move the window up. With a frame of width r on all four sides, the window that shows "
        "the images as they were begins at row r and column r.",
        "`r = max(abs(dy), abs(dx))`, then `framed = np.pad(images, ((0, 0), (r, r), (r, r)))`, and the window is "
        "`framed[:, r - dy : r - dy + H, r - dx : r - dx + W]` for images of H rows and W columns.",
    ),
    mistakes=(
        mistake(
            _wraps_around,
            because="what leaves on one side comes in again on the other, as with `np.roll`; new pixels are background",
        ),
        mistake(
            lambda images, dy, dx: shift(images, -dy, -dx),
            because="you moved the other way: a positive `dy` moves the ink down, a positive `dx` moves it right",
        ),
        mistake(
            lambda images, dy, dx: shift(images, dx, dy),
            because="rows and columns are exchanged: axis 1 counts the rows, and `dy` belongs to it",
        ),
        mistake(
            _rolls_the_batch,
            because="axis 0 was shifted, which is the batch: images took the places of other images",
        ),
        mistake(
            lambda images, dy, dx: shift(images, max(dy, 0), max(dx, 0)),
            because="negative shifts do nothing yet",
        ),
        mistake(lambda images, dy, dx: images[:, dy:, dx:], says="should be an array of shape"),
        mistake(_shift_in_place, says="changed its argument `images`"),
    ),
)
def shift_images(answer):
    images = np.arange(1, 25).reshape(2, 3, 4)
    cases = ((images, dy, dx) for dy, dx in ((1, 0), (0, 1), (-1, 0), (0, -1), (-1, 2), (2, -3), (0, 0)))
    expect_function(answer, shift, *cases)
    ink = np.random.default_rng(3).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    expect_equal(call(answer, ink, 2, -1), shift(ink, 2, -1), "shift(images, 2, -1)")
    return "Five places up and down times five left and right: each image now stands for twenty-five."


def warm_up(progress):
    if progress < 0.1:
        return progress / 0.1
    return 0.5 * (1 + np.cos(np.pi * (progress - 0.1) / 0.9))


def _jumps(progress):
    return progress / 0.1 if progress < 0.1 else 0.5 * (1 + np.cos(np.pi * progress))


def _ends_early(progress):
    return progress / 0.1 if progress < 0.1 else max(0.0, 0.5 * (1 + np.cos(np.pi * (progress - 0.1))))


def _too_low(progress):
    return 0.1 * progress if progress < 0.1 else warm_up(progress)


def _goes_negative(progress):
    return progress / 0.1 if progress < 0.1 else np.cos(np.pi * (progress - 0.1) / 0.9)


def _falls_on_a_line(progress):
    return progress / 0.1 if progress < 0.1 else 1 - (progress - 0.1) / 0.9


@exercise(
    "Warm up, then cool down",
    solution=warm_up,
    hints=(
        "Two pieces, so an `if`. For the first, what must progress be multiplied by to be 1 at a tenth? For the "
        "second, how far has the *rest* of the training come?",
        "The first piece is `progress / 0.1`. After it, the share of the remaining nine tenths that is done is "
        "`(progress - 0.1) / 0.9`, which runs from 0 to 1; the cosine schedule of the chapter takes such a number.",
        "`if progress < 0.1: return progress / 0.1`, and then "
        "`return 0.5 * (1 + np.cos(np.pi * (progress - 0.1) / 0.9))`.",
    ),
    mistakes=(
        mistake(
            _jumps,
            because="the cosine starts at progress 0, so there is a jump at a tenth; stretch it over what remains",
        ),
        mistake(
            _ends_early,
            because="the cosine is moved by a tenth but not stretched, so it has not arrived at 0 at the end",
        ),
        mistake(_too_low, because="the warm-up ends at 0.01; to reach 1 at a tenth, divide by 0.1"),
        mistake(_goes_negative, because="the cosine itself runs from 1 to -1; you want half of one plus the cosine"),
        mistake(_falls_on_a_line, because="after the warm-up yours falls on a straight line; a cosine was asked for"),
        mistake(
            lambda progress: 0.5 * (1 + np.cos(np.pi * progress)),
            because="this has no warm-up: it begins at 1",
        ),
    ),
)
def warm_up_schedule(answer):
    expect_function(answer, warm_up, (0.0,), (0.05,), (0.1,), (0.55,), (1.0,), (0.25,), (0.9,))
    return "Pass it to `fit(..., schedule=warm_up)`: it allows a first rate that would throw a cold network off."


def arithmetic():
    # two weight matrices and two biases
    parameters = 784 * 800 + 800 + 800 * 10 + 10
    # forward and dW for both layers, and dx for the second alone: nobody needs the gradient of the pixels
    multiplications = 2 * 784 * 800 + 3 * 800 * 10
    # every product grows in proportion to the number of hidden units
    factor = 800 / 50
    return parameters, multiplications, factor


@exercise(
    "What 800 hidden units cost",
    solution=arithmetic,
    hints=(
        "Write down the shapes of W1, b1, W2 and b2. In `x @ W`, how often is each weight used for one image?",
        "A product with a matrix of D × M numbers takes D · M multiplications for each image. Each layer has one "
        "product forward and one for dW; which layers need the third, for dx?",
        "Parameters: 784 · 800 + 800 + 800 · 10 + 10. Multiplications: 2 · 784 · 800 for the first layer, "
        "3 · 800 · 10 for the second. Both of its terms have the number of hidden units as a factor.",
    ),
    mistakes=(
        mistake(635200, 1278400, 16, because="the biases were left out of the parameters"),
        mistake(
            636010,
            1905600,
            16,
            because="you counted three products for the first layer, but the gradient of its input is never computed",
        ),
        mistake(
            636010,
            1270400,
            16,
            because="you counted two products for the second layer; it hands its gradient on, and that is a third",
        ),
        mistake(636010, 635200, 16, because="that is the forward pass alone; the backward pass has products too"),
        mistake(636010, 1278400, 256, because="the cost grows with the number of units, not with its square"),
    ),
)
def cost(parameters, multiplications, factor):
    expect_equal(parameters, 636010, "parameters", reveal=False)
    expect_equal(multiplications, 1278400, "multiplications", reveal=False)
    expect_equal(factor, 16.0, "factor", reveal=False)
    return "Compare the factor with the times in your table: large products run faster per number than small ones."


def really_differ(a, b, n):
    noise = np.sqrt((a * (1 - a) + b * (1 - b)) / n)
    return abs(a - b) > 2 * noise


@exercise(
    "Better, or only lucky?",
    solution=really_differ,
    hints=(
        "Each accuracy has its own noise, √(a(1 − a)/n). What is the variance of the difference of two independent "
        "numbers?",
        "Variances add up, for a difference as well: a(1 − a)/n + b(1 − b)/n. The standard deviation of the "
        "difference is the square root of that.",
        "`noise = np.sqrt((a * (1 - a) + b * (1 - b)) / n)`, and then compare `abs(a - b)` with `2 * noise`.",
    ),
    mistakes=(
        mistake(
            lambda a, b, n: abs(a - b) > 2 * (a * (1 - a) + b * (1 - b)) / n,
            because="the square root is missing: you compare with a variance, which is tiny",
        ),
        mistake(
            lambda a, b, n: a - b > 2 * np.sqrt((a * (1 - a) + b * (1 - b)) / n),
            because="you see a difference only where the first is the better one; take the absolute value",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > 2 * np.sqrt(a * (1 - a) / n),
            because="only the noise of one accuracy is counted; both are measured, so the variances add up",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > np.sqrt((a * (1 - a) + b * (1 - b)) / n),
            because="one standard deviation is not much, chance exceeds it one time in three; two were asked for",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > 2 * (np.sqrt(a * (1 - a) / n) + np.sqrt(b * (1 - b) / n)),
            because="you added the two standard deviations; it is the variances that add up",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > 2 * np.sqrt(a * (1 - a) + b * (1 - b)),
            because="the number of images is missing: the more there are, the smaller the noise",
        ),
    ),
)
def better_or_lucky(answer):
    if isinstance(answer, type) or not callable(answer):
        raise NotYet("`really_differ` should be a function of the two accuracies and of n.")
    cases = (  # each of the first six catches one of the mistakes above
        (0.991, 0.99, 10_000),
        (0.99, 0.97, 10_000),
        (0.97, 0.99, 10_000),
        (0.9915, 0.99, 10_000),
        (0.992, 0.99, 10_000),
        (0.984, 0.98, 10_000),
        (0.95, 0.97, 100),
        (0.5, 0.5, 1_000),
    )
    for a, b, n in cases:
        expect_equal(call(answer, a, b, n), really_differ(a, b, n), f"really_differ({a}, {b}, {n})")
    return "Ask it about any two rows of your table, with the number of images behind them."

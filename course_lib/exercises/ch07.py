"""The exercises of chapter 7: what makes the good network good, what it costs, and how sure one can be of it."""

import numpy as np

from course_lib.exercises import exercise, mistake
from course_lib.exercises.compare import NotYet, call, expect_equal, expect_function, judged_by


def shift(images, down, right):
    H, W = images.shape[1:]
    r = max(abs(down), abs(right))
    framed = np.pad(images, ((0, 0), (r, r), (r, r)))
    return framed[:, r - down : r - down + H, r - right : r - right + W]


def _wraps_around(images, down, right):
    return np.roll(images, (down, right), axis=(1, 2))


def _rolls_the_batch(images, down, right):
    return np.roll(images, (down, right), axis=(0, 1))


def _slices_with_minus_zero(images, down, right):
    out = np.zeros_like(images)
    out[:, down:, right:] = images[:, :-down, :-right]
    return out


def _slices_for_positive_only(images, down, right):
    H, W = images.shape[1:]
    out = np.zeros_like(images)
    out[:, down:, right:] = images[:, : H - down, : W - right]
    return out


def _through_a_frame(images, down, right, r, mode):
    H, W = images.shape[1:]
    framed = np.pad(images, ((0, 0), (r, r), (r, r)), mode=mode)
    return framed[:, r - down : r - down + H, r - right : r - right + W]


def _keeps_the_old_ink(images, down, right):
    return _through_a_frame(images, down, right, max(abs(down), abs(right)), "edge")


def _frame_of_two(images, down, right):
    return _through_a_frame(images, down, right, 2, "constant")


def _windows_in_a_frame_of_two(images, down, right):
    framed = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(framed, images.shape[1:], axis=(1, 2))
    return windows[:, 2 - down, 2 - right]


def _pads_by_a_negative_width(images, down, right):
    H, W = images.shape[1:]
    return np.pad(images, ((0, 0), (down, 0), (right, 0)))[:, :H, :W]


def _shift_in_place(images, down, right):
    images[...] = shift(images, down, right)
    return images


@exercise(
    "Shift a batch of images",
    solution=shift,
    hints=(
        "Put a frame of background around every image with `np.pad`, and look at the result through a window of the "
        "old size. Where must the window go so that the ink in it lies lower?",
        "To move the ink down, move the window up. With a frame of width r on all four sides, the window that shows "
        "the images as they were begins at row r and column r.",
        "`r = max(abs(down), abs(right))`, then `framed = np.pad(images, ((0, 0), (r, r), (r, r)))`, and the window is "
        "`framed[:, r - down : r - down + H, r - right : r - right + W]` for images of H rows and W columns.",
    ),
    mistakes=(
        mistake(
            _wraps_around,
            because="what leaves on one side comes in again on the other, as with `np.roll`; new pixels are background",
        ),
        mistake(
            lambda images, down, right: shift(images, -down, -right),
            because="you moved the other way: a positive `down` moves the ink down, a positive `right` moves it right",
        ),
        mistake(
            lambda images, down, right: shift(images, right, down),
            because="rows and columns are exchanged: axis 1 counts the rows, and `down` belongs to it",
        ),
        mistake(
            _rolls_the_batch,
            because="axis 0 was shifted, which is the batch: images took the places of other images",
        ),
        mistake(
            lambda images, down, right: shift(images, max(down, 0), max(right, 0)),
            because="negative shifts do nothing yet",
        ),
        mistake(
            _slices_with_minus_zero,
            because="you cut with a slice such as `:-down`. For 0 that is `:0`, which is empty; `: H - down` is not",
        ),
        mistake(
            _slices_for_positive_only,
            because="your slices fit only shifts that are not negative; with a frame on all sides one rule fits all",
        ),
        mistake(
            _pads_by_a_negative_width,
            because="`np.pad` was given a negative width for a negative shift; make the frame as wide as the farther "
            "shift, on all sides, and move the window instead",
        ),
        mistake(
            _keeps_the_old_ink,
            because="old ink stays where nothing moves in; new pixels are background, 0",
        ),
        mistake(
            _frame_of_two,
            because="the frame is two wide for every shift; it must be as wide as the farthest one",
        ),
        mistake(
            _windows_in_a_frame_of_two,
            because="the frame is two wide for every shift; it must be as wide as the farthest one",
        ),
        mistake(
            lambda images, down, right: shift(images.reshape(-1, 28, 28), down, right),
            because="you wrote 28 into the function; the height and the width are `images.shape[1:]`",
        ),
        mistake(
            lambda images, down, right: np.lib.stride_tricks.sliding_window_view(images, (28, 28), axis=(1, 2)),
            because="you wrote 28 into the function; the height and the width are `images.shape[1:]`",
        ),
        mistake(lambda images, down, right: images[:, down:, right:], says="should be an array of shape"),
        mistake(_shift_in_place, says="changed its argument `images`"),
    ),
)
def shift_images(answer):
    images = np.arange(1, 25).reshape(2, 3, 4)
    both = [(down, right) for down in (-2, 1) for right in (-1, 2)]
    shifts = [(1, 0), (0, 1), (-1, 0), (0, -1), (-1, 2), (2, -3), (0, 0), *both]
    expect_function(answer, shift, *((images, down, right) for down, right in shifts))
    ink = np.random.default_rng(3).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    expect_equal(call(answer, ink, 9, -12), shift(ink, 9, -12), "shift(images, 9, -12)")
    return "Five places up and down times five left and right: each image now stands for twenty-five."


def warm_up(progress):
    if progress < 0.1:
        return progress / 0.1
    return 0.5 * (1 + np.cos(np.pi * (progress - 0.1) / 0.9))


def _rise_then(fall):
    """A right warm-up, and then another way down: `fall` is given the progress."""
    return lambda progress: progress / 0.1 if progress < 0.1 else fall(progress)


def _other_rise(rise):
    """Another way up, and then the right way down."""
    return lambda progress: rise(progress) if progress < 0.1 else warm_up(progress)


@exercise(
    "Warm up, then cool down",
    solution=warm_up,
    hints=(
        "Two pieces, so an `if`. For the first, what must progress be multiplied by to be 1 at a tenth? For the "
        "second, how far has the rest of the training come?",
        "The first piece is `progress / 0.1`. After it, the share of the remaining nine tenths that is done is "
        "`(progress - 0.1) / 0.9`, which runs from 0 to 1; the cosine schedule of the chapter takes such a number.",
        "`if progress < 0.1: return progress / 0.1`, and then "
        "`return 0.5 * (1 + np.cos(np.pi * (progress - 0.1) / 0.9))`.",
    ),
    mistakes=(
        mistake(
            _rise_then(lambda progress: 0.5 * (1 + np.cos(np.pi * progress))),
            because="the cosine starts at progress 0 and not at a tenth; stretch it over what remains",
        ),
        mistake(
            _rise_then(lambda progress: max(0.0, 0.5 * (1 + np.cos(np.pi * (progress - 0.1))))),
            because="the cosine is moved by a tenth but not stretched, so it has not arrived at 0 at the end",
        ),
        mistake(
            _other_rise(lambda progress: 0.1 * progress),
            because="the warm-up ends at 0.01; to reach 1 at a tenth, divide by 0.1",
        ),
        mistake(
            _rise_then(lambda progress: np.cos(np.pi * (progress - 0.1) / 0.9)),
            because="you took the cosine itself, which runs from 1 to −1; take half of one plus the cosine",
        ),
        mistake(
            _rise_then(lambda progress: 1 - (progress - 0.1) / 0.9),
            because="after the warm-up yours falls on a straight line; a cosine was asked for",
        ),
        mistake(
            lambda progress: 0.5 * (1 + np.cos(np.pi * progress)),
            because="this has no warm-up: it begins at 1",
        ),
        mistake(
            _rise_then(lambda progress: 0.5 * (1 + np.cos(np.pi * progress / 0.9))),
            because="the cosine is stretched, but it does not begin at a tenth: subtract 0.1 from the progress first",
        ),
        mistake(
            _rise_then(lambda progress: np.cos(np.pi / 2 * (progress - 0.1) / 0.9)),
            because="that is a quarter of a wave, which is still steep when it arrives; half a wave was asked for",
        ),
        mistake(
            _rise_then(lambda progress: 1 + np.cos(np.pi * (progress - 0.1) / 0.9)),
            because="you left out the half: 1 + cosine runs from 2 to 0",
        ),
        mistake(
            _rise_then(lambda progress: 0.5 * (1 + np.cos(180 * (progress - 0.1) / 0.9))),
            because="`np.cos` takes radians: half a wave is π, not 180",
        ),
        mistake(
            _other_rise(lambda progress: progress),
            because="the warm-up ends at 0.1; to reach 1 at a tenth, divide by 0.1",
        ),
        mistake(
            _other_rise(lambda progress: 0.5 * (1 - np.cos(np.pi * progress / 0.1))),
            because="yours rises along a cosine; the warm-up should be a straight line",
        ),
    ),
)
def warm_up_schedule(answer):
    expect_function(answer, warm_up, (0.05,), (0.0,), (0.25,), (0.1,), (0.55,), (0.02,), (0.9,), (1.0,), (0.15,))
    return "Pass it to `fit(..., schedule=warm_up)`; whether it is worth anything here, only a measurement can say."


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
        mistake(636010, 651200, 16, because="the product for dW of the first layer is missing: its weights learn too"),
        mistake(
            636010,
            643200,
            16,
            because="that is the backward pass alone, or forward with dx; count both passes, and dW for each layer",
        ),
        mistake(636010, 127840000, 16, because="you counted a whole batch of 100; one image was asked for"),
        mistake(
            636010,
            1897600,
            16,
            because="the third product went to the first layer; it is the second one that hands its gradient on",
        ),
        mistake(
            636010,
            1278400,
            636010 / 39760,
            because="that is the factor between the parameters; the multiplications were asked for",
        ),
        mistake(636010, 1278400, 256, because="you squared the ratio; the cost grows with the number of units"),
    ),
)
def cost(parameters, multiplications, factor):
    expect_equal(parameters, 636010, "parameters", reveal=False)
    expect_equal(multiplications, 1278400, "multiplications", reveal=False)
    expect_equal(factor, 16.0, "factor", reveal=False)
    return (
        "Compare the factor with the times in your table: large products run faster per number than small ones, and "
        "some work, such as turning bytes into inputs, does not grow at all."
    )


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
            because="you took one standard deviation, which chance exceeds one time in three; two were asked for",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > 2 * (np.sqrt(a * (1 - a) / n) + np.sqrt(b * (1 - b) / n)),
            because="you added the two standard deviations; it is the variances that add up",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > 2 * np.sqrt((a + b) * (1 - (a + b) / 2) / n),
            because="you took the noise of the mean of both accuracies, as a test that pools them does; here each has "
            "its own",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > 2 * np.sqrt(a * (1 - a) + b * (1 - b)),
            because="the noise is too large, as if it were not divided by the number of images, or multiplied by it: "
            "the more there are, the smaller the noise",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > 2 * np.sqrt(b * (1 - b) / n),
            because="only the noise of the second accuracy is counted; both are measured, so the variances add up",
        ),
        mistake(
            lambda a, b, n: abs(a - b) <= 2 * np.sqrt((a * (1 - a) + b * (1 - b)) / n),
            because="your answer is the opposite: True where the two may well be equal",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > 2 * np.sqrt(a * (1 - a) + b * (1 - b)) / n,
            because="`/ n` stands outside of the square root; each variance is divided by n, so it belongs under it",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > 2 * np.sqrt(a * (1 - a) + b * (1 - b) / n),
            because="`/ n` divides only the second variance: put brackets around the sum",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > 1.96 * np.sqrt((a * (1 - a) + b * (1 - b)) / n),
            because="your limit is 1.96 standard deviations; that is a good limit too, but 2 were asked for",
        ),
        mistake(
            lambda a, b, n: b - a > 2 * np.sqrt((a * (1 - a) + b * (1 - b)) / n),
            because="you see a difference only where the second is the better one; take the absolute value",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > np.sqrt(2 * (a * (1 - a) + b * (1 - b)) / n),
            because="your limit is about √2 standard deviations instead of 2: the 2 stands inside of the square root, "
            "or you averaged the noise of both or took one at a time; the variances add up",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > 2 * np.sqrt(abs(a * (1 - a) - b * (1 - b)) / n),
            because="you subtracted the variances; they add up, for a difference as well",
        ),
        mistake(
            lambda a, b, n: abs(a - b) > 2 * np.sqrt(abs(a - b) * (1 - abs(a - b)) / n),
            because="you put the difference into the formula for one accuracy; take the noise of each",
        ),
    ),
)
def better_or_lucky(answer):
    if isinstance(answer, type) or not callable(answer):
        raise NotYet("`really_differ` should be a function of the two accuracies and of n.")
    cases = (
        (0.991, 0.99, 10_000),
        (0.99, 0.97, 10_000),
        (0.97, 0.99, 10_000),
        (0.9915, 0.99, 10_000),
        (0.992, 0.99, 10_000),
        (0.984, 0.98, 10_000),
        (0.95, 0.97, 100),
        (0.5, 0.55, 1_000),
        (0.984, 0.9783, 10_000),
        (0.5, 0.6, 10),
        (0.4, 0.6, 10),
        (0.6, 0.9, 10),
        (0.9, 0.6, 10),
        (0.5, 0.5, 1_000),
        (0.7, 0.74, 1_000),
        (0.6, 0.95, 10),
        (0.5, 0.56, 1_000),
        (0.99, 0.5, 1_000),
        (0.5, 0.99, 1_000),
        (0.5, 0.5001, 1_000),
    )
    found = [call(answer, *case) for case in cases]
    for said, case in zip(found, cases, strict=True):
        with judged_by(found):  # one truth value has many causes; all of them together have few
            expect_equal(said, really_differ(*case), "really_differ({}, {}, {})".format(*case))
    return (
        "Try rows 1 and 2 of the table, 10,000 images each: it sees no difference where gained − lost saw one. Those "
        "two were read from the same images, so they are not independent; comparing image by image is the sharper test."
    )

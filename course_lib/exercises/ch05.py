"""The exercises of chapter 5: parts of a gradient checker, how to read what it says, and the ten patients."""

import numpy as np

from course_lib.exercises import clinic, exercise, mistake
from course_lib.exercises.compare import NotYet, call, expect_equal, expect_function, remark
from course_lib.functions import sigmoid
from course_lib.gradient import check_network, numerical_gradient, relative_error
from course_lib.layers import Relu, Sigmoid

# ---------------------------------------------------------------- choose h


def best_h(size, third, eps):
    return (3 * eps * size / third) ** (1 / 3)


@exercise(
    "Choose h",
    solution=best_h,
    hints=(
        "The sum of the two errors is smallest where its derivative with respect to h is 0. What are the derivatives "
        "of h² and of 1/h?",
        "The derivative of third · h²/6 is third · h/3, and that of eps · size / h is −eps · size / h². Set their sum "
        "to 0 and multiply by h².",
        "What remains is third · h³/3 = eps · size, so h is the third root of 3 · eps · size / third. In Python a "
        "third root is `** (1 / 3)`, with the parentheses.",
    ),
    mistakes=(
        mistake(
            lambda size, third, eps: (3 * eps * size / third) ** (1 / 2),
            because="you took the square root, which belongs to forward differences; here h is to the power of 3",
        ),
        mistake(
            lambda size, third, eps: (eps * size / third) ** (1 / 3),
            because="the factor 3 is lost: the derivative of third · h²/6 is third · h/3",
        ),
        mistake(
            lambda size, third, eps: (6 * eps * size / third) ** (1 / 3),
            because="you set the two errors equal; their sum is smallest where their derivatives cancel",
        ),
        mistake(
            lambda size, third, eps: (3 * third / (eps * size)) ** (1 / 3),
            because="the fraction is upside down: more round-off wants a larger h",
        ),
        mistake(
            lambda size, third, eps: 3 * eps * size / third,
            because="this is h to the power of 3; the third root is still to be taken",
        ),
        mistake(
            lambda size, third, eps: (3 * eps * size / third) ** 1 / 3,
            because="`** 1 / 3` is read as (…) ** 1, divided by 3; write `** (1 / 3)`",
        ),
        mistake(lambda size, third, eps: 1e-5, because="you gave one number, whatever the function"),
    ),
)
def choose_h(answer):
    double, single = (float(np.finfo(dtype).eps) for dtype in (np.float64, np.float32))
    expect_function(answer, best_h, (1.0, 1.0, double), (1.0, 1.0, single), (1e6, 1.0, double), (2.0, 0.001, double))
    return (
        f"For a function of size and third derivative 1 that is {best_h(1, 1, double):.0e} in float64 and "
        f"{best_h(1, 1, single):.0e} in float32; for a loss of a million, {best_h(1e6, 1, double):.0e}."
    )


# ---------------------------------------------------------------- numerical_gradient


def nudge_every_number(f, x, h=1e-4):
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + h
        up = f(x)
        x[i] = old - h
        down = f(x)
        x[i] = old
        gradient[i] = (up - down) / (2 * h)
    return gradient


nudge_every_number.__name__ = "numerical_gradient"

"""The exercise of chapter 0: a warm-up, to learn how check, hint and solution work.

It is also the pattern of every other chapter: the solution, the wrong answers that need a name, then one entry.
"""

from course_lib.exercises import exercise, mistake
from course_lib.exercises.compare import expect_function


def total(price, count):
    return price * count


def only_prints(price, count):
    print(price * count)


@exercise(
    "What do several apples cost?",
    solution=total,
    hints=(
        "One apple costs `price`. What do two cost? Which operation takes you from one to `count` of them?",
        "Replace `...` by a line that begins with `return` and goes on with an expression of `price` and `count`.",
        "Two apples at 100 cost 200, and 200 is 100 times 2. In Python the sign for times is `*`, so the line is "
        "`return price * ...`, with the other name in place of the dots.",
    ),
    mistakes=(
        mistake(lambda price, count: price + count, because="you added the two, but every apple costs `price`"),
        mistake(lambda price, count: price, because="you returned the price of one apple, whatever the `count`"),
        mistake(
            lambda price, count: price**count,
            because="you wrote `**`, which is a power; a product has one `*`",
        ),
        mistake(
            lambda price, count: price * 2,
            because="you wrote 2 for `count`; it must work for any number of apples",
        ),
        mistake(
            lambda price, count: 200,
            because="you wrote the result for two apples at 100; the names `price` and `count` stand for any numbers",
        ),
        mistake(lambda price, count: f"{price * count} yen", says="should be a number, but it is a string"),
        mistake(only_prints, says="`return`"),
        mistake(lambda price: price, says="too many positional arguments"),
        mistake(200, says="should be a function, but it is a number"),
    ),
)
def total_price(answer):
    expect_function(answer, total, (75, 5), (100, 2), (0.5, 7), (120, 0))
    return "Your `total` works for any price and any count. Every exercise of the course goes like this one."

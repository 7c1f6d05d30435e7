"""The exercises of chapter 4: the network of two inputs, two hidden units and two outputs, followed by hand."""

import numpy as np

from course_lib.exercises import exercise, mistake
from course_lib.exercises.compare import NotYet, expect_equal, expect_function, remark
from course_lib.functions import sigmoid

# ---------------------------------------------------------------- one weight by the chain rule


def slope_of_w3(x, h, y, t, W2):
    ds3 = (y[0] - t[0]) * y[0] * (1 - y[0])
    ds4 = (y[1] - t[1]) * y[1] * (1 - y[1])
    dh2 = ds3 * W2[1, 0] + ds4 * W2[1, 1]  # two ways to the loss: by w6 and by w8
    return dh2 * h[1] * (1 - h[1]) * x[0]


def _chain(ways, unit=1, source=0, hidden_slope=True, output_slope=True):
    """The chain rule for a weight into the hidden `unit`, by the given weights of W2, right or wrong."""

    def slope(x, h, y, t, W2):
        ds = (y - t) * (y * (1 - y) if output_slope else 1)
        dh = sum(ds[output] * W2[where] for output, where in ways)
        return dh * (h[unit] * (1 - h[unit]) if hidden_slope else 1) * (1 if source is None else x[source])

    return slope


BOTH_WAYS = ((0, (1, 0)), (1, (1, 1)))


@exercise(
    "One weight by the chain rule alone",
    solution=slope_of_w3,
    hints=(
        "Put a finger on w3 in the picture and follow its arrow to the right. Which Σ does it enter, which input is "
        "it multiplied by, and by which two ways does that unit reach the loss?",
        "w3 leads from x1 to the second hidden unit, so the numbers that count are x1, h2, and the weights w6 and w8, "
        "which carry h2 on. Going backward: difference, sigmoid, weight, for each output; add the two; sigmoid; input.",
        "First `ds3 = (y[0] - t[0]) * y[0] * (1 - y[0])`, and ds4 likewise with index 1. Then dh2 is ds3 times "
        "`W2[1, 0]` plus ds4 times `W2[1, 1]`. What is left is to multiply dh2 by the slope of the hidden sigmoid, "
        "`h[1] * (1 - h[1])`, and by the input `x[0]`.",
    ),
    mistakes=(
        mistake(
            lambda x, h, y, t, W2: 0.0004977127352608599,
            because="your function computes with the numbers of the notebook, such as ds3, w6 or h2, and not with its "
            "own arguments; it is tried with other numbers, too",
        ),
        mistake(
            lambda x, h, y, t, W2: slope_of_w3(x, h, y, t, np.array([[0.40, 0.50], [0.45, 0.55]])),
            because="you took w6 and w8 from the notebook; here they are the second row of the argument `W2`",
        ),
        mistake(_chain(BOTH_WAYS[:1]), because="you followed the way by y1 alone; h2 reaches the loss by y2 as well"),
        mistake(_chain(BOTH_WAYS[1:]), because="you followed the way by y2 alone; h2 reaches the loss by y1 as well"),
        mistake(
            lambda *a: _chain(BOTH_WAYS[:1])(*a) * _chain(BOTH_WAYS[1:], source=None, hidden_slope=False)(*a),
            because="you multiplied the two ways; factors multiply along a way, and the ways add",
        ),
        mistake(
            _chain(((0, (0, 0)), (1, (0, 1))), unit=0),
            because="you followed h1, and so found the gradient of w1; w3 goes into the second hidden unit",
        ),
        mistake(
            _chain(((0, (0, 0)), (1, (0, 1)))),
            because="you used w5 and w7, which carry h1; h2 is carried on by w6 and w8, the second row of W2",
        ),
        mistake(
            _chain(((0, (0, 1)), (1, (1, 1)))),
            because="you took a column of W2, where the weights that carry h2 are its second row",
        ),
        mistake(_chain(BOTH_WAYS, unit=0), because="you used the sigmoid of h1 at the hidden layer; w3 feeds h2"),
        mistake(_chain(BOTH_WAYS, source=1), because="you multiplied by x2, and so found the gradient of w4"),
        mistake(
            _chain(BOTH_WAYS, source=None),
            because="you stopped at the pre-activation s2; the last factor is what w3 is multiplied by, x1",
        ),
        mistake(
            _chain(BOTH_WAYS, hidden_slope=False),
            because="the sigmoid of the hidden unit is missing, the factor h2 (1 − h2)",
        ),
        mistake(
            _chain(BOTH_WAYS, output_slope=False),
            because="the sigmoids of the two outputs are missing, the factors y (1 − y)",
        ),
        mistake(
            lambda x, h, y, t, W2: slope_of_w3(x, h, y, t, W2) / (1 - h[1]),
            because="you wrote h2 for the slope of the hidden sigmoid, which is h2 (1 − h2)",
        ),
        mistake(
            lambda *a: -slope_of_w3(*a),
            because="the sign is turned: t − y in place of y − t, y − 1 in place of 1 − y, or h − 1 in place of 1 − h",
        ),
        mistake(
            lambda *a: 2 * slope_of_w3(*a), because="you forgot the ½ of the loss, which cancels the 2 of the square"
        ),
        mistake(
            lambda x, h, y, t, W2: (y[1] - t[1]) * y[1] * (1 - y[1]) * h[0],
            because="you found the gradient of w7, the third weight of the second layer",
        ),
        mistake(
            lambda x, h, y, t, W2: W2 @ ((y - t) * y * (1 - y)) * h * (1 - h) * x[0],
            because="you found the gradients of w1 and w3 at once; asked is one number, that of w3",
        ),
        mistake(
            lambda x, h, y, t, W2: np.sum((y - t) * y * (1 - y)) * np.sum(W2[1]) * h[1] * (1 - h[1]) * x[0],
            because="you added before you multiplied; along each way the output's number meets its own weight",
        ),
        mistake(
            lambda x, h, y, t, W2: W2[1] @ ((y - t) ** 2 / 2 * y * (1 - y)) * h[1] * (1 - h[1]) * x[0],
            because="you began with the loss itself; begin with its slope, y − t",
        ),
        mistake(
            lambda x, h, y, t, W2: (y - t) * y * (1 - y) * W2[1] * h[1] * (1 - h[1]) * x[0],
            because="you kept the two ways apart; where they meet, at h2, they add",
        ),
        mistake(lambda x, h, y, t, W2: [0.00049771], says="should be a number, but it is a list"),
        mistake(0.00049771, says="should be a function, but it is a number"),
    ),
)
def one_weight(answer):
    classic = (
        np.array([0.05, 0.10]),
        np.array([0.59326999, 0.59688438]),
        np.array([0.75136507, 0.77292847]),
        np.array([0.01, 0.99]),
        np.array([[0.40, 0.50], [0.45, 0.55]]),
    )
    other = (
        np.array([0.7, -0.4]),
        np.array([0.3, 0.8]),
        np.array([0.6, 0.2]),
        np.array([0.9, 0.4]),
        np.array([[1.5, -0.5], [0.25, 2.0]]),
    )
    # The other one first: in the classic x2 is twice x1, so two mistakes give the same number.
    expect_function(answer, slope_of_w3, other, classic, atol=1e-12)
    return "Nine multiplications along two ways, and one addition where they meet."


# ---------------------------------------------------------------- the biases


def bias_gradients():
    # a bias is added, so its local gradient is 1: it gets what arrives at its own pre-activation
    db1 = [0.00877135, 0.00995425]
    db2 = [0.13849856, -0.03809824]
    # one number for both units is a fork, so the two shares are added
    shared_b1 = 0.00877135 + 0.00995425
    shared_b2 = 0.13849856 - 0.03809824
    return db1, db2, shared_b1, shared_b2


RIGHT = bias_gradients()
DB1, DB2 = map(np.array, RIGHT[:2])


def _biases(db1=RIGHT[0], db2=RIGHT[1], shared_b1=RIGHT[2], shared_b2=RIGHT[3]):
    """The answers, of which some are replaced."""
    return [part.tolist() if isinstance(part, np.ndarray) else part for part in (db1, db2, shared_b1, shared_b2)]


@exercise(
    "The gradients of the biases",
    solution=bias_gradients,
    hints=(
        "Look at the formula of a pre-activation, `s1 = w1 * x1 + w2 * x2 + b1`. If b1 grows by a little, how much "
        "does s1 grow?",
        "Just as much: the local gradient of a bias is 1. So each unit's own bias gets the gradient that arrives at "
        "that unit's pre-activation, as + copies what it gets. A bias used by two units is used twice: a fork.",
        "`db1` is a list of the two gradients at the hidden pre-activations, which begin with 0.0087 and 0.0099; "
        "`db2` of those at the output pre-activations, 0.138… and −0.038…. At a fork the shares are added, so "
        "`shared_b1` is `db1[0] + db1[1]`, and `shared_b2` likewise.",
    ),
    mistakes=(
        mistake(
            *_biases(db1=[0.03635031, 0.04137032]),
            because="you gave the gradients at h1 and h2; the biases are added before the sigmoid",
        ),
        mistake(
            *_biases(db1=0.35 * DB1),
            because="you multiplied by the bias itself; a bias is multiplied by nothing, so its local gradient is 1",
        ),
        mistake(*_biases(db1=DB1[::-1]), because="you swapped the two hidden units"),
        mistake(
            *_biases(db1=[0.00043857, 0.00099543]),
            because="you multiplied by the inputs, as for a weight; a bias is multiplied by nothing",
        ),
        mistake(
            *_biases(db1=[0.0, 0.0]),
            because="you took the biases for constants; the classic keeps them fixed, but the loss depends on them",
        ),
        mistake(*_biases(db1=[1.0, 1.0]), because="you gave the local gradient alone; multiply it by what arrives"),
        mistake(*_biases(db1=RIGHT[1], db2=RIGHT[0]), because="you swapped the two layers"),
        mistake(
            *_biases(db1=-DB1),
            because="you gave the direction of the step; the gradient says where the loss rises",
        ),
        mistake(
            *_biases(db1=0.35 - 0.5 * DB1),
            because="you gave the biases after a step of learning; asked are their gradients",
        ),
        mistake(
            *_biases(db1=[0.24130071, 0.24061340]),
            because="you gave the slopes h (1 − h) of the sigmoids alone; multiply them by what arrives at h1 and h2",
        ),
        mistake(
            *_biases(db2=[0.74136507, -0.21707153]),
            because="you gave the gradients at y1 and y2; the biases are added before the sigmoid",
        ),
        mistake(
            *_biases(db2=[0.08216704, -0.02274024]),
            because="you multiplied by the hidden outputs, as for a weight; a bias is multiplied by nothing",
        ),
        mistake(
            *_biases(db2=0.60 * DB2),
            because="you multiplied by the bias itself; a bias is multiplied by nothing, so its local gradient is 1",
        ),
        mistake(*_biases(db2=abs(DB2)), because="you lost a sign; y2 is too small, so a larger bias makes it better"),
        mistake(*_biases(shared_b1=DB1.mean()), because="you took the mean; at a fork the shares are added"),
        mistake(*_biases(shared_b1=DB1.prod()), because="you multiplied the shares; at a fork they are added"),
        mistake(*_biases(shared_b1=DB1[0]), because="you kept the first share alone; at a fork they are added"),
        mistake(*_biases(shared_b1=DB1[1]), because="you kept the last share alone; at a fork they are added"),
        mistake(*_biases(shared_b2=DB2.mean()), because="you took the mean; at a fork the shares are added"),
        mistake(*_biases(shared_b2=abs(DB2).sum()), because="you lost a sign; one of the two shares is negative"),
        mistake(
            *_biases(shared_b2=DB2.sum() + DB1.sum()),
            because="you added all four; the two layers have a bias each",
        ),
        mistake(*_biases(db1=0.00877135), says="should be a list, but it is a number"),
    ),
)
def gradients_of_biases(db1, db2, shared_b1, shared_b2):
    questions = (
        (db1, "db1", "A hidden unit adds its bias to s1 or s2. What arrives there on the way back?"),
        (db2, "db2", "An output unit adds its bias to s3 or s4. What arrives there on the way back?"),
        (shared_b1, "shared_b1", "One number that is used in two places: which rule of chapter 1 is that?"),
        (shared_b2, "shared_b2", "One number that is used in two places: which rule of chapter 1 is that?"),
    )
    for (found, name, question), expected in zip(questions, RIGHT, strict=True):
        if isinstance(expected, list) and isinstance(found, np.ndarray) and found.ndim:
            found = found.ravel().tolist()  # a layer's own db is as good as a list
        with remark(question):
            expect_equal(found, expected, name, rtol=5e-3, reveal=False)  # three digits are enough
    return "A bias gets what arrives at its pre-activation, undiminished. `Affine` gives each unit a bias of its own."


# ---------------------------------------------------------------- the worksheet

NUMBERS = {
    **{"x1": 0.05, "x2": 0.10, "t1": 0.01, "t2": 0.99, "b1": 0.35, "b2": 0.60},
    **{"w1": 0.15, "w2": 0.20, "w3": 0.25, "w4": 0.30, "w5": 0.40, "w6": 0.45, "w7": 0.50, "w8": 0.55},
    **{"s1": 0.3775, "s2": 0.3925, "s3": 1.10590597, "s4": 1.22492140},
    **{"h1": 0.59326999, "h2": 0.59688438, "y1": 0.75136507, "y2": 0.77292847},
    **{"dy1": 0.74136507, "dy2": -0.21707153, "ds3": 0.13849856, "ds4": -0.03809824},
    **{"dh1": 0.03635031, "dh2": 0.04137032, "ds1": 0.00877135, "ds2": 0.00995425},
    **{"dw1": 0.00043857, "dw2": 0.00087714, "dw3": 0.00049771, "dw4": 0.00099543},
    **{"dw5": 0.08216704, "dw6": 0.08266763, "dw7": -0.02260254, "dw8": -0.02274024},
}


def index_error():
    # 0.50 - 0.5 * ds4 * h1 is 0.51130127; with h2 in place of h1 it is 0.51137012
    wrong = "h2"
    right = "h1"
    return wrong, right


@exercise(
    "A worksheet with a wrong index",
    solution=index_error,
    hints=(
        "Write down how the new w7 is computed, with all its factors. Their number differs from ours only from the "
        "fifth decimal on, so the factor they used must be close to the right one.",
        "The new w7 is `w7 - 0.5 * ds4 * h1`. Solve 0.50 − 0.5 · ds4 · (?) = 0.51137 for the question mark, with "
        "ds4 = −0.03809824, and look for that number in the forward pass.",
        "0.01137 / (0.5 · 0.03809824) is about 0.5969. One of the two hidden outputs begins like that, and it is not "
        "the one that w7 is multiplied by. Give the two names as strings, the one they used first.",
    ),
    mistakes=(
        mistake("h1", "h2", because="you gave the two names in the wrong order: `wrong` is the one that they used"),
        mistake("ds3", "ds4", says="they would have got 0.45891648"),
        mistake("dw7", "dw8", because="you gave the two names in the wrong order: `wrong` is the one that they used"),
        mistake("y1", "h1", says="they would have got 0.51431284"),
        mistake("w8", "w7", says="they would have got 0.56130127"),
        mistake("dw6", "dw7", says="they would have got 0.45866619"),
        mistake("w5", "w6", says="does not stand in the formula"),
        mistake("w8", "w6", says="does not stand in the formula"),
        mistake("x1", "x2", says="does not stand in the formula"),
        mistake("2", "1", says="is none of the numbered names"),
        mistake(0.59688438, 0.59326999, says="should be a string, but it is a number"),
    ),
)
def worksheet(wrong, right):
    for name, text in (("wrong", wrong), ("right", right)):
        if not isinstance(text, str):
            expect_equal(text, "h1", name)  # which says that it is no string
    used, instead = (text.strip().casefold().replace("_", "") for text in (wrong, right))
    for name, text in (("wrong", used), ("right", instead)):
        if text not in NUMBERS:
            message = f"`{name}` is none of the numbered names of this network, such as 'w6', 'ds3' or 'y1'."
            raise NotYet(message, name, text)
    if (used, instead) in (("h1", "h2"), ("dw7", "dw8")):
        raise NotYet("These are the two numbers.", "both", (used, instead))
    if instead not in ("w7", "ds4", "h1", "dw7"):
        message = f"`right` is '{instead}', which does not stand in the formula for w7: the new w7 is "
        raise NotYet(message + "w7 − 0.5 · ds4 · h1.", "right", instead)
    theirs = NUMBERS | {instead: NUMBERS[used]}
    result = theirs["w7"] - 0.5 * (theirs["dw7"] if instead == "dw7" else theirs["ds4"] * theirs["h1"])
    if round(result, 5) != 0.51137:
        message = f"With {used} in place of {instead} they would have got {result:.8f}, and they got 0.51137."
        raise NotYet(message, "both", (used, instead))
    if instead == "dw7":
        return "dw8 in place of dw7: that is ds4 · h2 in place of ds4 · h1, so it was h2 in place of h1."
    return "h2 in place of h1. The two differ by less than one percent, which is why so many copied it."


# ---------------------------------------------------------------- how far the loss falls


def expected_drop():
    # a step of -lr * g along a slope g changes the loss by -lr * g²
    weights = [0.00043857, 0.00087714, 0.00049771, 0.00099543, 0.08216704, 0.08266763, -0.02260254, -0.02274024]
    biases = [0.00877135, 0.00995425, 0.13849856, -0.03809824]
    from_weights = sum(g**2 for g in weights)
    from_biases = sum(g**2 for g in biases)
    drop = 0.1 * (from_weights + from_biases)
    share = from_biases / (from_weights + from_biases)
    return drop, share


DROP, SHARE = expected_drop()
FROM_BIASES, FROM_WEIGHTS = 10 * DROP * SHARE, 10 * DROP * (1 - SHARE)


@exercise(
    "How far will the loss fall?",
    solution=expected_drop,
    hints=(
        "A number moves by −0.1 times its gradient. By how much does the loss change when it moves by that much along "
        "a slope of g?",
        "By −0.1 · g · g. Twelve numbers move, eight weights and four biases, and their effects add up: 0.1 times the "
        "sum of the squares of all twelve gradients. You know those of the biases from exercise 4.2.",
        "With the eight gradients of the weights (the layers hold them in `dW`) and the four of the biases (in `db`): "
        "`from_weights = sum(g**2 for g in ...)`, `from_biases` likewise; `drop` is 0.1 times their sum, and `share` "
        "is `from_biases` divided by their sum.",
    ),
    mistakes=(
        mistake(0.1 * FROM_WEIGHTS, SHARE, because="you left out the biases, which move as well this time"),
        mistake(0.1 * FROM_BIASES, SHARE, because="you left out the weights"),
        mistake(
            DROP / 2, SHARE, because="you halved it; the loss falls by slope times step, and there is no ½ in that"
        ),
        mistake(
            0.1 * (FROM_WEIGHTS + RIGHT[2] ** 2 + RIGHT[3] ** 2),
            SHARE,
            because="you took one bias for each layer; here each of the four units has its own",
        ),
        mistake(0.5 * FROM_WEIGHTS, SHARE, because="this is the step of the chapter, with 0.5 and the weights alone"),
        mistake(5 * DROP, SHARE, because="you used the learning rate 0.5; here it is 0.1"),
        mistake(10 * DROP, SHARE, because="you left out the learning rate"),
        mistake(0.1 * DROP, SHARE, because="you squared the learning rate; only the gradient counts twice"),
        mistake(-DROP, SHARE, because="you gave the change of the loss; it falls by a positive number"),
        mistake(
            0.1 * (10 * DROP) ** 0.5,
            SHARE,
            because="you took the root of the sum of squares, which is how far the numbers move, not how far it falls",
        ),
        mistake(
            0.1 * 0.24142666,
            SHARE,
            because="you added the gradients without squaring them; each counts as step and as slope",
        ),
        mistake(
            0.1 * 0.4083087,
            SHARE,
            because="you added the gradients without squaring them; each counts as step and as slope",
        ),
        mistake(DROP, 1 - SHARE, because="you gave the share of the weights"),
        mistake(DROP, FROM_BIASES / FROM_WEIGHTS, because="you divided by the part of the weights; divide by the sum"),
        mistake(DROP, 4 / 12, because="you counted the biases; a share of the fall counts squares of gradients"),
        mistake(DROP, 100 * SHARE, because="you gave percent; a share is a number from 0 to 1"),
        mistake(DROP, "59 %", says="should be a number, but it is a string"),
    ),
)
def how_far(drop, share):
    with remark("The loss changes by slope times step, for each of the twelve numbers."):
        expect_equal(drop, DROP, "drop", rtol=4e-3, reveal=False)  # the fall that a run shows is right as well
    with remark("Which part of the sum comes from the four biases? A number from 0 to 1."):
        expect_equal(share, SHARE, "share", rtol=5e-3, reveal=False)
    return "More than half of the fall comes from four numbers of twelve: those which the classic never moves."


# ---------------------------------------------------------------- three hidden units


def one_step(x, t, W1, b1, W2, b2, lr):
    h = sigmoid(x @ W1 + b1)
    y = sigmoid(h @ W2 + b2)
    ds_out = (y - t) * y * (1 - y) / len(x)  # the loss is a mean over the samples
    ds_hidden = (ds_out @ W2.T) * h * (1 - h)  # the old W2
    return W1 - lr * x.T @ ds_hidden, W2 - lr * h.T @ ds_out


def _step(
    output_slope=lambda y: y * (1 - y),
    hidden_slope=lambda h: h * (1 - h),
    carried=lambda ds, W2, new_W2: ds @ W2.T,
    difference=lambda y, t: (y - t) / len(y),
    product=lambda turned, ds: turned @ ds,
    rate=lambda lr: lr,
):
    """The step of learning with one of its parts replaced."""

    def step(x, t, W1, b1, W2, b2, lr):
        h = sigmoid(x @ W1 + b1)
        y = sigmoid(h @ W2 + b2)
        ds_out = difference(y, t) * output_slope(y)
        new_W2 = W2 - rate(lr) * product(h.T, ds_out)
        ds_hidden = carried(ds_out, W2, new_W2) * hidden_slope(h)
        return W1 - rate(lr) * product(x.T, ds_hidden), new_W2

    return step


def gradients_only(x, t, W1, b1, W2, b2, lr):
    return tuple(before - after for before, after in zip((W1, W2), one_step(x, t, W1, b1, W2, b2, 1.0), strict=True))


def reads_the_notebook(x, t, *others):
    return one_step(np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]]), *others)


def writes_into_weights(x, t, W1, b1, W2, b2, lr):
    W1[...], W2[...] = one_step(x, t, W1, b1, W2, b2, lr)
    return W1, W2


def turned_product(x, t, W1, b1, W2, b2, lr):
    dW1, dW2 = gradients_only(x, t, W1, b1, W2, b2, lr)
    return W1 - lr * dW1.T, W2 - lr * dW2


def no_biases(x, t, W1, b1, W2, b2, lr):
    return one_step(x, t, W1, 0 * b1, W2, 0 * b2, lr)


def three_by_number(x, t, W1, b1, W2, b2, lr):
    new_W1, new_W2 = one_step(x, t, W1, b1, W2, b2, lr)
    return W1 + np.array([new_W1[:, i] - W1[:, i] for i in range(3)]).T, new_W2


def swapped_results(x, t, W1, b1, W2, b2, lr):
    return one_step(x, t, W1, b1, W2, b2, lr)[::-1]


def no_sigmoid_at_the_end(x, t, W1, b1, W2, b2, lr):
    h = sigmoid(x @ W1 + b1)
    ds_out = h @ W2 + b2 - t
    ds_hidden = (ds_out @ W2.T) * h * (1 - h)
    return W1 - lr * x.T @ ds_hidden, W2 - lr * h.T @ ds_out


def no_sigmoid_in_the_middle(x, t, W1, b1, W2, b2, lr):
    h = x @ W1 + b1
    y = sigmoid(h @ W2 + b2)
    ds_out = (y - t) * y * (1 - y)
    return W1 - lr * x.T @ (ds_out @ W2.T), W2 - lr * h.T @ ds_out


@exercise(
    "A hidden layer of three",
    solution=one_step,
    hints=(
        "Write the forward pass first: four lines, or the four layers of this chapter. Then walk backward, and let the "
        "shapes help: x (N, 2), W1 (2, 3), h (N, 3), W2 (3, 2), y (N, 2). A gradient has the shape of its variable.",
        "At the output pre-activations arrives `(y - t) * y * (1 - y) / N`, of shape (N, 2). To get to h, of shape "
        "(N, 3), it must be multiplied by the turned W2, the old one. Then the hidden sigmoid; and the gradient of a "
        "weight matrix is the turned input of its layer times what arrives at its output.",
        "With `ds_out` for the first: `ds_hidden = (ds_out @ W2.T) * h * (1 - h)`. Then dW2 is `h.T @ ds_out` and dW1 "
        "is `x.T @ ds_hidden`. Compute both before you change anything, and return `W1 - lr * dW1` and "
        "`W2 - lr * dW2`, as two new arrays.",
    ),
    mistakes=(
        mistake(
            _step(carried=lambda ds, W2, new_W2: ds @ new_W2.T),
            because="you went back through W2 after changing it; compute all gradients first, then take the step",
        ),
        mistake(
            _step(carried=lambda ds, W2, new_W2: ds @ W2),
            because="an array of shape (N, 2) meets one of three rows. If that is W2: on the way back W2 is turned, "
            "which with two hidden units nobody notices, and on the way forward it is h, not x, that is multiplied by "
            "W2. If it is h.T: it stands on the left of the `@`. If it is W1.T: on the way forward W1 is not turned. "
            "If it is ds_hidden.T: for the gradient of W1 it is x that is turned",
        ),
        mistake(
            _step(carried=lambda ds, W2, new_W2: W2 @ ds),
            says="The shapes: x (1, 2), W1 (2, 3), h (1, 3), W2 (3, 2), y (1, 2).",
        ),
        mistake(
            _step(product=lambda turned, ds: turned * ds),
            says="`*` does the same for one sample only",
        ),
        mistake(
            _step(difference=lambda y, t: y - t),
            because="you added the samples up; the loss is their mean, so divide by N",
        ),
        mistake(
            _step(hidden_slope=lambda h: 1),
            because="the sigmoid of the hidden units is missing on the way back, the factor h (1 − h)",
        ),
        mistake(
            _step(output_slope=lambda y: 1),
            because="the sigmoid of the outputs is missing on the way back, the factor y (1 − y)",
        ),
        mistake(
            no_sigmoid_at_the_end,
            because="the outputs have no sigmoid in your network, neither forward nor backward",
        ),
        mistake(
            no_sigmoid_in_the_middle,
            because="the hidden units have no sigmoid in your network, neither forward nor backward",
        ),
        mistake(
            _step(difference=lambda y, t: t - y),
            because="you went uphill: t − y in place of y − t, y − 1 in place of 1 − y (or h − 1 in place of 1 − h), "
            "or a plus where the step is subtracted",
        ),
        mistake(_step(difference=lambda y, t: 2 * (y - t)), because="you forgot the ½ of the loss"),
        mistake(
            _step(difference=lambda y, t: (y - t) / 2),
            because="you halved it: either you kept the ½ of the loss, which the 2 of the square cancels, or you "
            "divided by the number of outputs or inputs, where this loss averages over samples only",
        ),
        mistake(_step(rate=lambda lr: 1), because="you left out the learning rate"),
        mistake(_step(rate=lambda lr: 0.5), because="you wrote 0.5 where the argument `lr` belongs"),
        mistake(gradients_only, because="you returned the gradients; what is asked for are the new weights"),
        mistake(no_biases, because="you left out the biases on the way forward"),
        mistake(swapped_results, says="should be an array of shape (2, 3), but it is an array of shape (3, 2)"),
        mistake(
            turned_product,
            because="a gradient is turned, or went to the other matrix; dW1 is `x.T @ ds_hidden`, of the shape of W1",
        ),
        mistake(three_by_number, says="Is a size written into your function?"),
        mistake(
            reads_the_notebook,
            because="your function computes with the x and t of the notebook, as `loss_and_gradients` of this chapter "
            "does, and not with its own arguments",
        ),
        mistake(writes_into_weights, says="changed its argument `W1`"),
        mistake(lambda *a: (*one_step(*a), a[3], a[5]), says="should hold 2 values, but it holds 4"),
        mistake(lambda *a: one_step(*a)[0], says="should be a tuple, but it is an array"),
    ),
)
def three_hidden(answer):
    case = (
        np.array([[0.05, 0.10]]),
        np.array([[0.01, 0.99]]),
        np.array([[0.15, 0.25, 0.35], [0.20, 0.30, 0.40]]),
        np.array([0.35, 0.30, 0.25]),
        np.array([[0.40, 0.50], [0.45, 0.55], [-0.60, 0.65]]),
        np.array([0.60, 0.55]),
        0.3,
    )
    four = np.array([[0.2, -0.5, 0.9, 0.4], [-0.1, 0.3, -0.7, 0.8]])
    larger = (*case[:2], four, np.ones(4), four.T, case[5], 0.7)
    x = np.array([[0.05, 0.10], [0.8, -0.3], [-0.6, 0.9], [0.4, 0.7], [-0.2, -0.5]])
    batch = (x, x[::-1] ** 2, *case[2:])
    for arguments, note in (
        (case, "The shapes: x (1, 2), W1 (2, 3), h (1, 3), W2 (3, 2), y (1, 2)."),
        (larger, "This network has four hidden units. Is a size written into your function?"),
        (batch, "Five samples: `@` sums over them (`*` does the same for one sample only), and the loss is the mean."),
    ):
        with remark(note):
            try:
                expect_function(answer, one_step, arguments, rtol=1e-7)
            except (ValueError, IndexError) as caught:
                raise NotYet.because_of(caught) from caught
    return "Not a line of it knows how many units or samples there are. The same would train a network of thousands."


# ---------------------------------------------------------------- ReLU


def with_relu():
    new_h = [0.3775, 0.3925]  # both pre-activations are positive, so both gates are open
    above = sigmoid(0.40 * new_h[0] + 0.45 * new_h[1] + 0.60)
    below = sigmoid(0.50 * new_h[0] + 0.55 * new_h[1] + 0.60)
    new_loss = ((above - 0.01) ** 2 + (below - 0.99) ** 2) / 2
    at_above = (above - 0.01) * above * (1 - above)
    at_below = (below - 0.99) * below * (1 - below)
    new_dw1 = (at_above * 0.40 + at_below * 0.50) * 1 * 0.05  # an open gate has the slope 1
    # the unit with the larger sum dies last: 0.25 * 0.05 + 0.30 * 0.10 = 0.0425
    dead_from = -0.0425
    return new_h, new_loss, new_dw1, dead_from


H, LOSS, DW1, DEAD = with_relu()


@exercise(
    "ReLU in place of sigmoid",
    solution=with_relu,
    hints=(
        "The pre-activations of the hidden units stay 0.3775 and 0.3925. What does ReLU make of two positive numbers, "
        "and with which slope?",
        "`new_h` is [0.3775, 0.3925], and on the way back the factor h (1 − h) becomes 1. All the rest is as before, "
        "with new numbers; the outputs keep their sigmoid. A ReLU unit is dead where its pre-activation is 0 or less; "
        "without the bias the two sums are 0.0275 and 0.0425.",
        "Compute y1 and y2 from `new_h` by a sigmoid, the loss as ever, ds3 and ds4 as `(y - t) * y * (1 - y)`; then "
        "`new_dw1` is `(ds3 * 0.40 + ds4 * 0.50) * 0.05`. For both units to be dead the bias must cancel the "
        "larger of the two sums, so `dead_from` is minus that number.",
    ),
    mistakes=(
        mistake(
            [0.59326999, 0.59688438], LOSS, DW1, DEAD, because="you kept the sigmoid; ReLU passes a positive number on"
        ),
        mistake([0.0, 0.0], LOSS, DW1, DEAD, because="you shut the gates; both pre-activations are positive"),
        mistake([0.0275, 0.0425], LOSS, DW1, DEAD, because="you forgot the bias, 0.35"),
        mistake(H, 0.29837111, DW1, DEAD, because="this is the loss of the network with sigmoids throughout"),
        mistake(H, 2 * LOSS, DW1, DEAD, because="you forgot the ½ of the loss"),
        mistake(H, LOSS / 2, DW1, DEAD, because="you averaged over the two outputs; this loss adds them up"),
        mistake(
            H,
            ((0.927625 - 0.01) ** 2 + (1.004625 - 0.99) ** 2) / 2,
            DW1,
            DEAD,
            because="you gave the outputs a ReLU as well; they keep their sigmoid",
        ),
        mistake(H, LOSS, 0.00043857, DEAD, because="this is the gradient of the network with sigmoids throughout"),
        mistake(
            H,
            LOSS,
            DW1 * H[0] * (1 - H[0]),
            DEAD,
            because="you kept the factor h (1 − h) of the sigmoid; the slope of an open ReLU is 1",
        ),
        mistake(
            H,
            LOSS,
            DW1 * H[0],
            DEAD,
            because="you multiplied by h1 on the way back; the slope of an open ReLU is 1",
        ),
        mistake(H, LOSS, DW1 / 0.05, DEAD, because="you stopped at the pre-activation; w1 is multiplied by x1"),
        mistake(
            H, LOSS, 2 * DW1, DEAD, because="it is twice too large: you multiplied by x2, or left out the ½ of the loss"
        ),
        mistake(H, LOSS, 0.0018366, DEAD, because="you found the gradient of w3, which leads to the other unit"),
        mistake(
            H,
            LOSS,
            0.14350017 * 0.40 * 0.05,
            DEAD,
            because="you followed the way by y1 alone; h1 reaches the loss by y2 as well",
        ),
        mistake(
            H, LOSS, DW1, -0.0275, because="you shut the first unit alone; there the second one still passes 0.015"
        ),
        mistake(H, LOSS, DW1, 0.0425, because="you lost the sign: the bias must cancel a positive sum"),
        mistake(H, LOSS, DW1, -0.3925, because="you took the pre-activation with the bias of 0.35 still in it"),
        mistake(
            H,
            LOSS,
            DW1,
            0.0,
            because="you left out what the inputs add; at a bias of 0 both sums are positive, and both gates are open",
        ),
        mistake(H, LOSS, DW1, -0.07, because="you added the two sums, but each unit has its own gate"),
        mistake(0.3775, LOSS, DW1, DEAD, says="should be a list, but it is a number"),
    ),
)
def relu_instead(new_h, new_loss, new_dw1, dead_from):
    questions = (
        ("new_h", new_h, H, 3e-3, "The pre-activations are 0.3775 and 0.3925."),
        (
            "new_loss",
            new_loss,
            LOSS,
            3e-3,
            "The outputs still have their sigmoid, and the loss is ½(y1 − t1)² + ½(y2 − t2)².",
        ),
        ("new_dw1", new_dw1, DW1, 3e-3, "From w1 to the loss: x1, an open gate, then two ways."),
        (
            "dead_from",
            dead_from,
            DEAD,
            1e-5,
            "The larger the inputs' part of a pre-activation, the later its unit dies.",
        ),
    )
    for name, found, expected, rtol, question in questions:
        if isinstance(expected, list) and isinstance(found, np.ndarray) and found.ndim:
            found = found.ravel().tolist()
        with remark(question):
            expect_equal(found, expected, name, rtol=rtol, reveal=False)
    return (
        "An open gate passes all of the gradient, the sigmoid less than a quarter. Yet w1 gets only 3.7 times as much, "
        "not four: with the new hidden outputs a little less arrives at h1, 0.0321 in place of 0.0364."
    )

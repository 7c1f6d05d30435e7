"""The exercises of chapter 1: gradients by eye, nodes of one's own, and graphs wired from nodes."""

from course_lib.exercises import exercise, mistake
from course_lib.exercises.compare import expect_equal, expect_function, expect_layer, remark
from course_lib.layers import AddLayer, MulLayer

# ---------------------------------------------------------------- gradients by eye


def by_eye():
    # backward from the total: the tax node first, then the sum, then the product
    dtax = 400 * 3 + 500  # the other factor: all that is taxed
    dshipping = 1.1  # the tax node passes on 1.1, and a sum changes nothing
    dmelon = 1.1 * 3
    dcount = 1.1 * 400
    return dmelon, dcount, dshipping, dtax


@exercise(
    "Gradients by eye",
    solution=by_eye,
    hints=(
        "Ask of each input: if it grows by one, what happens to the total? Follow the change along the arrows.",
        "Go backward with a 1 under the total. At a × multiply by the other factor, at a + change nothing. The tax "
        "node passes 1.1 to the left; that reaches both the shipping and the product of price and count.",
        "The 1.1 that reaches the product goes on to both of its inputs, each time multiplied by the other one: the "
        "price of a melon gets 1.1 times 3, the count gets 1.1 times 400. Shipping gets the 1.1 as it is. The tax gets "
        "1 times what stands at the other input of the last ×.",
    ),
    mistakes=(
        mistake(3, 440, 1.1, 1700, because="you left out the tax: the extra yen is taxed as well"),
        mistake(1.1, 440, 1.1, 1700, because="you counted one melon, but each of the 3 costs one yen more"),
        mistake(
            4.1,
            440,
            1.1,
            1700,
            because="you added 3 and 1.1; two multiplications in a row multiply their factors",
        ),
        mistake(440, 3.3, 1.1, 1700, because="you gave the gradient of the count for the price"),
        mistake(400, 440, 1.1, 1700, because="you took the price itself; the gradient is the change for one yen more"),
        mistake(
            1320,
            440,
            1.1,
            1700,
            because="you took what the melons cost; the gradient is what one yen more would change",
        ),
        mistake(
            1, 440, 1.1, 1700, because="you gave the change of the price itself; the question is that of the total"
        ),
        mistake(3.3, 400, 1.1, 1700, because="you left out the tax: one melon more is taxed as well"),
        mistake(3.3, 3, 1.1, 1700, because="you took the count itself; at a × the other factor counts"),
        mistake(3.3, 1.1, 1.1, 1700, because="you handed on what arrives, as a + does; here it comes to a ×"),
        mistake(3.3, 401.1, 1.1, 1700, because="you added 400 and 1.1; two factors in a row multiply"),
        mistake(3.3, 484, 1.1, 1700, because="you put the tax on twice"),
        mistake(3.3, 1320, 1.1, 1700, because="you took what all the melons cost; the question is one melon more"),
        mistake(3.3, 440, 1, 1700, because="you left out the tax: shipping is added before it"),
        mistake(
            3.3, 440, 550, 1700, because="you took what the shipping costs; the question is what one yen more does"
        ),
        mistake(3.3, 440, 500, 1700, because="you took the shipping itself; at a + the gradient passes unchanged"),
        mistake(3.3, 440, 0, 1700, because="you let nothing through, but a + passes its gradient to both inputs"),
        mistake(3.3, 440, 1.1, 1870, because="you took the total, which has the tax in it already"),
        mistake(3.3, 440, 1.1, 1.1, because="you took the tax itself; at a × the other factor counts"),
        mistake(3.3, 440, 1.1, 1200, because="you forgot that the shipping is taxed too"),
        mistake(3.3, 440, 1.1, 170, because="you took a tenth; the gradient is the change for one whole unit"),
        mistake(3.3, 440, 1.1, "1700 yen", says="should be a number, but it is a string"),
    ),
)
def gradients_by_eye(dmelon, dcount, dshipping, dtax):
    questions = (
        (dmelon, 3.3, "dmelon", "One yen more for a melon: how many melons cost it, and what happens after that?"),
        (dcount, 440, "dcount", "One melon more: what does it cost, and what is put on top?"),
        (dshipping, 1.1, "dshipping", "One yen more for shipping: which nodes does it pass on its way to the total?"),
        (dtax, 1700, "dtax", "The tax is one factor of the last ×. What is the other one?"),
    )
    for found, expected, name, question in questions:
        with remark(question):
            expect_equal(found, expected, name, reveal=False)
    return "Four gradients, and no new arithmetic: a × swaps its inputs, a + hands on what it gets."


# ---------------------------------------------------------------- nodes


class SubLayer:
    def forward(self, x, y):
        return x - y

    def backward(self, dout):
        return dout, -dout  # one more of y makes one less of the result


class MulsBackward(SubLayer):
    def forward(self, x, y):
        self.x, self.y = x, y
        return x - y

    def backward(self, dout):
        return dout * self.y, dout * self.x


class MulsBackwardWithSign(MulsBackward):
    def backward(self, dout):
        return dout * self.y, -dout * self.x


class OwnInputs(MulsBackward):
    def backward(self, dout):
        return dout * self.x, -dout * self.y


class AddsBackward(SubLayer):
    def backward(self, dout):
        return dout, dout


class SubWithoutUpstream(SubLayer):
    def backward(self, dout):
        return 1, -1


class SubUpstreamOnce(SubLayer):
    def backward(self, dout):
        return 1, -dout


class SubSwapped(SubLayer):
    def backward(self, dout):
        return -dout, dout


class SubBothNegative(SubLayer):
    def backward(self, dout):
        return -dout, -dout


class SubReversed(SubLayer):
    def forward(self, x, y):
        return y - x


class SubToXAlone(SubLayer):
    def backward(self, dout):
        return dout, 0


class SubDistance(SubLayer):
    def forward(self, x, y):
        return abs(x - y)


class SubSingle(SubLayer):
    def backward(self, dout):
        return -dout


class Adds(AddsBackward):
    def forward(self, x, y):
        return x + y


@exercise(
    "A subtraction node",
    solution=SubLayer,
    hints=(
        "Nudge x up by one: how does x - y change? Then nudge y up by one.",
        "The local gradients are 1 for x and -1 for y. Does backward need to know x or y? Look at `AddLayer`.",
        "Start from `AddLayer`. `forward` returns `x - y` and keeps nothing. `backward` returns two numbers, the "
        "first as in `AddLayer`; the second has the other sign, for the result falls when y grows.",
    ),
    mistakes=(
        mistake(
            AddsBackward,
            because="you passed `dout` on to both, as addition does; but when y grows, x - y falls",
        ),
        mistake(
            SubWithoutUpstream,
            because="you returned the local gradients alone; each is still to be multiplied by `dout`",
        ),
        mistake(SubUpstreamOnce, because="you multiplied by `dout` for y but not for x"),
        mistake(SubSwapped, because="you gave the minus to x; it is y that is subtracted"),
        mistake(SubBothNegative, because="you gave a minus to both; when x grows, x - y grows too"),
        mistake(MulsBackward, because="you used the rule of multiplication, where the other factor counts"),
        mistake(MulsBackwardWithSign, because="you used the rule of multiplication, where the other factor counts"),
        mistake(OwnInputs, because="you multiplied by the inputs; how fast x - y changes does not depend on them"),
        mistake(SubReversed, because="you took x from y; the node computes x - y"),
        mistake(Adds, because="your `forward` still adds"),
        mistake(SubToXAlone, because="you let nothing through to y; but nudging y moves x - y too, downward"),
        mistake(SubDistance, because="you took the distance of the two; where y is the larger one, x - y is negative"),
        mistake(SubSingle, says="should be a tuple, but it is a number"),
        mistake(SubLayer(), says="should be a class"),
    ),
)
def subtraction(answer):
    with remark(
        "The node is x − y. `backward` returns one gradient for x and one for y: its slope there, times `dout`."
    ):
        expect_layer(answer, SubLayer, 7.0, 3.0)
    return "Like addition it need keep nothing: how fast it changes is the same everywhere."


class DivLayer:
    def forward(self, x, y):
        self.x, self.y = x, y
        return x / y

    def backward(self, dout):
        dx = dout / self.y
        dy = -dout * self.x / self.y**2  # the derivative of 1 / y is -1 / y²
        return dx, dy


class DivWithoutMinus(DivLayer):
    def backward(self, dout):
        return dout / self.y, dout * self.x / self.y**2


class DivWithoutSquare(DivLayer):
    def backward(self, dout):
        return dout / self.y, -dout * self.x / self.y


class DivWithoutX(DivLayer):
    def backward(self, dout):
        return dout / self.y, -dout / self.y**2


class DivSwapped(DivLayer):
    def backward(self, dout):
        return dout / self.y, -dout * self.y / self.x**2


class DivOneOverX(DivLayer):
    def backward(self, dout):
        return dout / self.y, dout / self.x


class DivLikeMul(DivLayer):
    def backward(self, dout):
        return dout * self.y, dout * self.x


class DivOwn(DivLayer):
    def backward(self, dout):
        return dout / self.x, dout / self.y


class DivWithoutUpstream(DivLayer):
    def backward(self, dout):
        return 1 / self.y, -self.x / self.y**2


class DivReversed(DivLayer):
    def forward(self, x, y):
        self.x, self.y = x, y
        return y / x


class DivWhole(DivLayer):
    def forward(self, x, y):
        self.x, self.y = x, y
        return x // y


class DivMinusToBoth(DivLayer):
    def backward(self, dout):
        return -dout / self.y, -dout * self.x / self.y**2


class DivOutOfOrder(DivLayer):
    def backward(self, dout):
        return -dout * self.x / self.y**2, dout / self.y


class DivUpstreamOnce(DivLayer):
    def backward(self, dout):
        return dout / self.y, -self.x / self.y**2


class DivUpstreamForYOnly(DivLayer):
    def backward(self, dout):
        return 1 / self.y, -dout * self.x / self.y**2


class DivUndone(DivLayer):
    def backward(self, dout):
        return dout / self.y, -dout * self.x / self.y * self.y


class DivCaret(DivLayer):
    def backward(self, dout):
        return dout / self.y, -dout * self.x / self.y ^ 2


class DivCaretInside(DivLayer):
    def backward(self, dout):
        return dout / self.y, -dout * self.x / (self.y ^ 2)


class DivForgets(DivLayer):
    def forward(self, x, y):
        return x / y


@exercise(
    "A division node",
    solution=DivLayer,
    hints=(
        "Write x / y as x times (1 / y). Which of the two derivatives do you know from multiplication?",
        "For x the other factor is 1 / y. For y you need the derivative of 1 / y, which is -1 / y². "
        "What does `forward` have to keep for that?",
        "`forward` keeps both inputs in `self`, as `MulLayer` does. In `backward`, dx is `dout` times 1 / y, and dy is "
        "`dout` times x times the derivative of 1 / y, which has a minus sign and y squared below the line.",
    ),
    mistakes=(
        mistake(DivWithoutMinus, because="you lost the minus sign: a larger y makes x / y smaller"),
        mistake(DivWithoutSquare, because="you divided by y once; the derivative of 1 / y has y squared below"),
        mistake(DivWithoutX, because="you left out the factor x of x times (1 / y)"),
        mistake(DivSwapped, because="you swapped x and y in the gradient of y"),
        mistake(DivOneOverX, because="you used the rule of x again; y stands below the line"),
        mistake(DivLikeMul, because="you used the rule of multiplication as it is; the other factor here is 1 / y"),
        mistake(DivOwn, because="you divided by the input itself; x is divided by y, so dx is too"),
        mistake(
            DivWithoutUpstream,
            because="you returned the local gradients alone; each is still to be multiplied by `dout`",
        ),
        mistake(DivReversed, because="you divided y by x; the node computes x / y"),
        mistake(DivWhole, because="you rounded down, as `//` and `int` do; a division that keeps the fraction is `/`"),
        mistake(DivMinusToBoth, because="you gave a minus to x; a larger x makes x / y larger"),
        mistake(DivOutOfOrder, because="you returned the gradient of y first; the order is that of `forward(x, y)`"),
        mistake(DivUpstreamOnce, because="you multiplied by `dout` for x but not for y"),
        mistake(DivUpstreamForYOnly, because="you multiplied by `dout` for y but not for x"),
        mistake(
            DivUndone, because="your dy has no y left: it needs y squared below, `/ y**2`, and `/ y * y` cancels out"
        ),
        mistake(DivCaret, because="you wrote `^` for a power, which in Python is `**`"),
        mistake(DivCaretInside, because="you wrote `^` for a power, which in Python is `**`"),
        mistake(DivForgets, says="`AttributeError`"),
    ),
)
def division(answer):
    with remark(
        "The node is x / y. `backward` returns one gradient for x and one for y: its slope there, times `dout`."
    ):
        expect_layer(answer, DivLayer, 7.0, 1.5)
    return "This node must remember its inputs, for its slope depends on where it stands."


class MaxLayer:
    def forward(self, x, y):
        self.x_wins = x >= y
        return x if self.x_wins else y

    def backward(self, dout):
        return (dout, 0) if self.x_wins else (0, dout)


class MaxToBoth(MaxLayer):
    def backward(self, dout):
        return dout, dout


class MaxHalved(MaxLayer):
    def backward(self, dout):
        return dout / 2, dout / 2


class MaxToLoser(MaxLayer):
    def backward(self, dout):
        return (0, dout) if self.x_wins else (dout, 0)


class MaxWithoutUpstream(MaxLayer):
    def backward(self, dout):
        return (1, 0) if self.x_wins else (0, 1)


class MaxTimesValue(MaxLayer):
    def forward(self, x, y):
        self.x, self.y = x, y
        return max(x, y)

    def backward(self, dout):
        return (dout * self.x, 0) if self.x > self.y else (0, dout * self.y)


class MaxNone(MaxLayer):
    def backward(self, dout):
        return (dout, None) if self.x_wins else (None, dout)


class MaxOnlyWinner(MaxLayer):
    def backward(self, dout):
        return dout


class MaxAlwaysX(MaxLayer):
    def backward(self, dout):
        return dout, 0


class MaxAlwaysY(MaxLayer):
    def backward(self, dout):
        return 0, dout


class MaxLikeSub(MaxLayer):
    def backward(self, dout):
        return dout, -dout


class MaxTruth(MaxLayer):
    def backward(self, dout):
        return self.x_wins, not self.x_wins


class MaxLikeMul(MaxTimesValue):
    def backward(self, dout):
        return dout * self.y, dout * self.x


class MaxSticky(MaxLayer):
    x_wins = False

    def forward(self, x, y):
        if x > y:
            self.x_wins = True
        return max(x, y)


class MaxBySize(MaxTimesValue):
    def backward(self, dout):
        return (dout, 0) if abs(self.x) > abs(self.y) else (0, dout)


class Min(MaxLayer):
    def forward(self, x, y):
        self.x_wins = x <= y
        return min(x, y)


@exercise(
    "A maximum node",
    solution=MaxLayer,
    hints=(
        "Take 3 and 8. Nudge the 3 up a little: does the result change? Then nudge the 8.",
        "The larger input gets all of `dout`, the other gets 0: near this point the result is the larger input, and "
        "the smaller one has no influence at all. So backward must know which one it was.",
        "In `forward` keep one truth value, such as `self.x_wins = x >= y`, and return `x` or `y` by it. In `backward` "
        "return `dout, 0` if it is true, and otherwise the same two in the other order.",
    ),
    mistakes=(
        mistake(MaxToBoth, because="you passed `dout` to both; nudging the smaller input changes nothing"),
        mistake(MaxHalved, because="you shared `dout` between the two; the larger input alone makes the result"),
        mistake(
            MaxToLoser, because="you gave the gradient to x, the smaller input here; the larger one makes the result"
        ),
        mistake(
            MaxWithoutUpstream,
            because="you returned 1 for the winner; that local gradient is still to be multiplied by `dout`",
        ),
        mistake(
            MaxTimesValue, because="you multiplied by the value; the result grows just as fast as the larger input"
        ),
        mistake(MaxNone, because="you returned None where the gradient is the number 0"),
        mistake(
            MaxAlwaysX, because="you gave the gradient to x, the smaller input here; the larger one makes the result"
        ),
        mistake(
            MaxAlwaysY,
            because="nothing reached x, though x is the larger one here; the larger input gets all of `dout`",
        ),
        mistake(
            MaxLikeSub,
            because="you used the rule of subtraction; the larger input gets all of `dout`, the other gets 0",
        ),
        mistake(Min, because="you returned the smaller of the two here"),
        mistake(MaxTruth, because="you returned the comparison itself; multiplied by `dout` it becomes a gradient"),
        mistake(
            MaxLikeMul,
            because="you gave the smaller input `dout` times the larger one, as a × does; nudging the smaller one "
            "changes nothing",
        ),
        mistake(MaxBySize, says="the smaller input here"),
        mistake(MaxSticky, says="one that was used before does not"),
        mistake(MaxOnlyWinner, says="should be a tuple, but it is a number"),
    ),
)
def maximum(answer):
    with remark("Nudge each of them: which one moves the result?"):
        expect_layer(answer, MaxLayer, 3.0, 8.0)
        expect_layer(answer, MaxLayer, -6.0, 5.0)
        expect_layer(answer, MaxLayer, -2.0, -4.0)
    return "A switch: it lets the gradient through on one side only. ReLU, in chapter 2, is the maximum of 0 and x."


# ---------------------------------------------------------------- graphs


def coupon_gradients(apple, count, coupon, tax):
    fruit, taxed = MulLayer(), MulLayer()  # one instance for each node
    price = fruit.forward(apple, count)
    taxed.forward(price - coupon, tax)

    dpaid, dtax = taxed.backward(1)
    dprice, dcoupon = dpaid, -dpaid  # the subtraction
    dapple, dcount = fruit.backward(dprice)
    return {"apple": dapple, "count": dcount, "coupon": dcoupon, "tax": dtax}


def coupon_as_added(apple, count, coupon, tax):
    return {**coupon_gradients(apple, count, coupon, tax), "coupon": tax}


def coupon_after_tax(apple, count, coupon, tax):
    return {"apple": count * tax, "count": apple * tax, "coupon": -1, "tax": apple * count}


def coupon_untaxed_by_hand(apple, count, coupon, tax):
    return {**coupon_gradients(apple, count, coupon, tax), "tax": apple * count}


def coupon_added_to_price(apple, count, coupon, tax):
    return {**coupon_gradients(apple, count, coupon, tax), "tax": apple * count + coupon}


def coupon_forgets_tax(apple, count, coupon, tax):
    return {"apple": count, "count": apple, "coupon": -1, "tax": apple * count - coupon}


def coupon_with_one_instance(apple, count, coupon, tax):
    mul = MulLayer()
    price = mul.forward(apple, count)
    mul.forward(price - coupon, tax)
    dpaid, dtax = mul.backward(1)
    dapple, dcount = mul.backward(dpaid)
    return {"apple": dapple, "count": dcount, "coupon": -dpaid, "tax": dtax}


def coupon_signs_all(apple, count, coupon, tax):
    right = coupon_gradients(apple, count, coupon, tax)
    return {**right, "apple": -right["apple"], "count": -right["count"]}


def coupon_swapped(apple, count, coupon, tax):
    right = coupon_gradients(apple, count, coupon, tax)
    return {**right, "apple": right["count"], "count": right["apple"]}


def coupon_itself(apple, count, coupon, tax):
    return {**coupon_gradients(apple, count, coupon, tax), "coupon": -coupon}


def coupon_on_each_apple(apple, count, coupon, tax):
    each = apple - coupon
    return {"apple": count * tax, "count": each * tax, "coupon": -count * tax, "tax": each * count}


def coupon_unpacked_wrongly(apple, count, coupon, tax):
    taxed = apple * count - coupon
    return {"apple": count * taxed, "count": apple * taxed, "coupon": -taxed, "tax": tax}


def coupon_from_the_total(apple, count, coupon, tax):
    total = (apple * count - coupon) * tax
    return {name: total * grad for name, grad in coupon_gradients(apple, count, coupon, tax).items()}


def coupon_tax_twice(apple, count, coupon, tax):
    return {**coupon_gradients(apple, count, coupon, tax), "tax": (apple * count - coupon) * tax}


def coupon_of_one_bill(apple, count, coupon, tax):
    return coupon_gradients(100, 2, 30, 1.1)


def coupon_as_tuple(apple, count, coupon, tax):
    return tuple(coupon_gradients(apple, count, coupon, tax).values())


def coupon_left_out(apple, count, coupon, tax):
    right = coupon_gradients(apple, count, coupon, tax)
    del right["coupon"]
    return right


@exercise(
    "A coupon in the fruit graph",
    solution=coupon_gradients,
    hints=(
        "Draw the three nodes on paper: a ×, then a − with the coupon at its lower input, then a × with the tax.",
        "Forward from left to right: `fruit = MulLayer()` makes the price, you subtract the coupon, and a second "
        "one, `taxed = MulLayer()`, puts the tax on. Backward from right to left, beginning with the 1 at the total.",
        "`dpaid, dtax = taxed.backward(1)` starts the way back. The subtraction gives `dpaid` to the price and "
        "`-dpaid` to the coupon; `fruit.backward` of the price's gradient gives the last two. Then return "
        '`{"apple": ..., "count": ..., "coupon": ..., "tax": ...}`.',
    ),
    mistakes=(
        mistake(coupon_as_added, because="you gave the coupon a plus, but a larger coupon makes the bill smaller"),
        mistake(
            coupon_after_tax,
            because="you took the coupon off after the tax, or left the tax out of its gradient; the tax comes last",
        ),
        mistake(coupon_untaxed_by_hand, because="you forgot that the tax is put on what is left after the coupon"),
        mistake(coupon_added_to_price, because="you added the coupon to the price in the forward pass"),
        mistake(coupon_forgets_tax, because="you began behind the tax node, so its factor is missing on the way back"),
        mistake(
            coupon_with_one_instance,
            because="you used one `MulLayer` for both products: the second `forward` overwrote what the first had kept",
        ),
        mistake(coupon_signs_all, because="you gave the minus to the price; only the coupon is subtracted"),
        mistake(coupon_swapped, because="you gave the gradient of the count for the price"),
        mistake(coupon_itself, because="you took the coupon itself; the gradient is what one yen more of it would do"),
        mistake(coupon_on_each_apple, because="you took the coupon off each apple; it comes off the bill once"),
        mistake(
            coupon_unpacked_wrongly,
            because="you swapped the two gradients of the tax node: they come back in the order of its inputs",
        ),
        mistake(coupon_from_the_total, because="you began with the total itself; the way back begins with 1"),
        mistake(coupon_tax_twice, because="you took the total, which has the tax in it already"),
        mistake(coupon_of_one_bill, because="you wrote the numbers of one bill; it must work for any"),
        mistake(coupon_as_tuple, says="should be a dictionary, but it is a tuple"),
        mistake(coupon_left_out, says="lacks the key 'coupon'"),
    ),
)
def coupon(answer):
    with remark("Each gradient is what one more of its input adds to the total, (apple · count − coupon) · tax."):
        expect_function(answer, coupon_gradients, (100, 2, 30, 1.1), (80, 5, 120, 1.25))
    return "A coupon of one yen saves 1.1 yen, because the tax on that yen is saved as well."


def delivery_gradients(apple, count, tax):
    fruit, whole, taxed = MulLayer(), AddLayer(), MulLayer()
    taxed.forward(whole.forward(fruit.forward(apple, count), apple), tax)

    dwhole, dtax = taxed.backward(1)
    dfruit, ddelivery = whole.backward(dwhole)
    dapple, dcount = fruit.backward(dfruit)
    return {"apple": dapple + ddelivery, "count": dcount, "tax": dtax}  # the price is used twice


def delivery_only_fruit(apple, count, tax):
    return {**delivery_gradients(apple, count, tax), "apple": count * tax}


def delivery_only_last(apple, count, tax):
    return {**delivery_gradients(apple, count, tax), "apple": tax}


def delivery_product(apple, count, tax):
    return {**delivery_gradients(apple, count, tax), "apple": count * tax * tax}


def delivery_mean(apple, count, tax):
    return {**delivery_gradients(apple, count, tax), "apple": (count + 1) * tax / 2}


def delivery_untaxed(apple, count, tax):
    return {**delivery_gradients(apple, count, tax), "apple": count * tax + 1}


def delivery_without_tax(apple, count, tax):
    return {**delivery_gradients(apple, count, tax), "apple": count + 1}


def delivery_count(apple, count, tax):
    return {**delivery_gradients(apple, count, tax), "count": (apple + 1) * tax}


def delivery_not_taxed(apple, count, tax):
    return {**delivery_gradients(apple, count, tax), "tax": apple * count}


def delivery_price_itself(apple, count, tax):
    return {**delivery_gradients(apple, count, tax), "apple": count * tax + apple}


def delivery_doubled(apple, count, tax):
    return {**delivery_gradients(apple, count, tax), "apple": 2 * count * tax}


def delivery_tax_twice(apple, count, tax):
    return {**delivery_gradients(apple, count, tax), "tax": (apple * count + apple) * tax}


def delivery_with_one_instance(apple, count, tax):
    fruit = apple * count + apple  # what the only MulLayer keeps, with the tax
    return {"apple": tax * tax + tax, "count": fruit * tax, "tax": fruit}


@exercise(
    "A price that is used twice",
    solution=delivery_gradients,
    hints=(
        "Draw it: the arrow of the price forks. One branch goes to the ×, the other to the +.",
        "Go backward through all three nodes as usual. Two numbers arrive for the price, one from the product and one "
        "from the sum. Nudging the price sends a change along both branches.",
        "Call the three `fruit, whole, taxed = MulLayer(), AddLayer(), MulLayer()`. On the way back "
        "`dwhole, dtax = taxed.backward(1)`, then `dfruit, ddelivery = whole.backward(dwhole)`, then "
        "`dapple, dcount = fruit.backward(dfruit)`. The gradient of the price is what its two branches bring, "
        "`dapple` and `ddelivery`, added up.",
    ),
    mistakes=(
        mistake(delivery_only_fruit, because="you kept the branch through the product and lost that of the delivery"),
        mistake(
            delivery_only_last,
            because="the branch of the delivery overwrote the one through the product, where the two should add up",
        ),
        mistake(delivery_product, because="you multiplied the two branches; factors multiply along a path, paths add"),
        mistake(delivery_mean, because="you took the mean of the two branches; a change goes along both in full"),
        mistake(delivery_untaxed, because="you forgot that the delivery is taxed as well"),
        mistake(delivery_without_tax, because="you left out the tax, which comes after both branches"),
        mistake(
            delivery_count,
            because="you put the delivery into the gradient of the count; it has one delivery either way",
        ),
        mistake(delivery_not_taxed, because="you forgot the delivery in what is taxed"),
        mistake(delivery_price_itself, because="you added the price itself; add the gradient that its branch brings"),
        mistake(delivery_doubled, because="you counted one branch twice; the other one brings a number of its own"),
        mistake(delivery_tax_twice, because="you took the total, which has the tax in it already"),
        mistake(
            delivery_with_one_instance,
            because="you used one `MulLayer` for both products: the second `forward` overwrote what the first had kept",
        ),
        mistake(lambda apple, count, tax: (3.3, 110.0, 300), says="should be a dictionary, but it is a tuple"),
    ),
)
def price_used_twice(answer):
    with remark("Each gradient is what one more of its input adds to the total, (apple · count + apple) · tax."):
        expect_function(answer, delivery_gradients, (80, 5, 1.3), (100, 2, 1.1))
    return "Every branch is a way for a change to reach the total, so the gradients of the branches add up."


# ---------------------------------------------------------------- somebody else's node


class TheirMulLayer:
    """A multiplication node whose backward pass has a fault: exercise 1.7 shows only what it returns."""

    def forward(self, x, y):
        self.x, self.y = x, y
        return x * y

    def backward(self, dout):
        return dout + self.y, dout + self.x


def their_backward(dout, x, y):
    return dout + y, dout + x  # the chain rule multiplies by the other factor; they add it


@exercise(
    "A wrong factor in someone's MulLayer",
    solution=their_backward,
    hints=(
        "Begin at the right, where you know most: the tax node was given a `dout` of 1, x was 200 and y was 1.1. "
        "It gave the tax 201. How can 201 come from these?",
        "201 is 1 and 200: for y they take `dout` and the other input, x. Then for x they take `dout` and y, and the "
        "tax node passes 2.1 to the left. Try the same on the 4.1 and the 102.1.",
        "For the apple node `dout` is 2.1, x is 100 and y is 2. It gave 4.1, which is 2.1 + 2, and 102.1, which is "
        "2.1 + 100. So return two numbers, for x and for y: each is `dout` plus the input that the chain rule would "
        "have multiplied by.",
    ),
    mistakes=(
        mistake(
            lambda dout, x, y: (dout * y, dout * x),
            because="you wrote the right rule; the question is which wrong one gives their numbers",
        ),
        mistake(
            lambda dout, x, y: (dout * y, dout + x),
            because="you found the fault for y, and wrote the right rule for x; theirs is wrong for both",
        ),
        mistake(
            lambda dout, x, y: (y, x),
            because="you left `dout` out; then the tax would get 200, but it got 201",
        ),
        mistake(lambda dout, x, y: (dout + x, dout + y), because="you added the input itself; they add the other one"),
        mistake(lambda dout, x, y: (1 + y, 1 + x), because="you wrote 1 for `dout`; at the apple node `dout` is not 1"),
        mistake(lambda dout, x, y: (dout, dout), because="you took the rule of addition; 201 has the 200 in it"),
        mistake(lambda dout, x, y: (dout - y, dout - x), because="you subtracted; 201 is more than 200"),
        mistake(lambda dout, x, y: (4.1, 102.1), because="you wrote the numbers of one node; it must work for any"),
        mistake(lambda dout, x, y: (2.1, 201), because="you wrote the numbers of one node; it must work for any"),
        mistake(lambda dout, x, y: dout + y, says="should be a tuple, but it is a number"),
        mistake((2.1, 201), says="should be a function, but it is a tuple"),
    ),
)
def wrong_factor(answer):
    with remark("Their apple node is `their_backward(2.1, 100, 2)`, their tax node `their_backward(1, 200, 1.1)`."):
        expect_function(answer, their_backward, (2.1, 100, 2), (1, 200, 1.1), (0.5, 3, -4))
    return "They add where the chain rule multiplies. With one nudge the owner would have seen it: 4.1 is not 2.2."

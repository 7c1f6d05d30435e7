"""Mini-batches hold every sample once, fit does what its docstring says, and whatever stops it leaves sense behind."""

import functools
import math
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import training
from course_lib.functions import one_hot
from course_lib.networks import TwoLayerNet
from course_lib.optimizers import SGD, Momentum
from course_lib.training import Diverged, History, accuracy, as_inputs, fit, minibatches, predict_labels


def task(n=60, dtype=np.float64, seed=0):
    """Inputs (n, 8) with three classes that a small net learns within a few epochs."""
    rng = np.random.default_rng(seed)
    t = rng.integers(0, 3, n)
    return (rng.normal(size=(n, 8)) + 3 * np.eye(3, 8)[t]).astype(dtype), t


def net_for_task(dtype=np.float64, seed=1):
    return TwoLayerNet(8, 6, 3, 0.5, rng=seed, dtype=dtype)


def values(net):
    return {name: p.tolist() for name, p in net.params.items()}


# --- mini-batches ------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 50), batch_size=st.integers(1, 60), seed=st.integers(0, 2**32), one_hot_label=st.booleans())
def test_every_sample_comes_once_with_its_own_label(n, batch_size, seed, one_hot_label):
    x = np.arange(2 * n, dtype=float).reshape(n, 2)
    t = one_hot(np.arange(n), max(n, 2)) if one_hot_label else np.arange(n)
    batches = list(minibatches(x, t, batch_size, rng=seed, dtype=np.float64))
    sizes = [len(batch_x) for batch_x, _ in batches]
    assert len(sizes) == math.ceil(n / batch_size)
    assert all(size == batch_size for size in sizes[:-1]) and sum(sizes) == n
    seen = []
    for batch_x, batch_t in batches:
        labels = batch_t.argmax(axis=1) if one_hot_label else batch_t
        assert (batch_x[:, 0] == 2 * labels).all() and (batch_x[:, 1] == 2 * labels + 1).all()
        seen += labels.tolist()
    assert sorted(seen) == list(range(n))
    again = list(minibatches(x, t, batch_size, rng=np.random.default_rng(seed), dtype=np.float64))
    assert all((a == b).all() and (s == u).all() for (a, s), (b, u) in zip(batches, again, strict=True))


def test_the_order_is_random_and_another_one_for_each_seed_and_epoch():
    x, t = np.arange(100.0)[:, None], np.arange(100)
    rng = np.random.default_rng(0)
    orders = [np.concatenate([b for _, b in minibatches(x, t, 10, rng=r)]).tolist() for r in (0, 1, rng, rng)]
    assert orders[0] == orders[2]
    assert len({tuple(order) for order in orders}) == 3
    assert list(range(100)) not in orders


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), dtype=st.sampled_from([np.float32, np.float64]))
def test_uint8_becomes_numbers_from_0_to_1_of_the_dtype(seed, dtype):
    x = np.random.default_rng(seed).integers(0, 256, (7, 1, 2, 3), dtype=np.uint8)
    x[0, 0, 0, :2] = 0, 255
    (batch, t), *_ = minibatches(x, np.arange(7), 7, rng=seed, dtype=dtype)
    assert batch.dtype == dtype and batch.shape == (7, 1, 2, 3)
    assert batch.min() == 0 and batch.max() == 1
    assert (batch == x[t].astype(dtype) / dtype(255)).all()


def test_other_numbers_are_converted_but_not_scaled():
    x = np.array([[0, 300], [5, -7]])
    (batch, t), *_ = minibatches(x, np.arange(2), 2, rng=0)
    assert batch.dtype == np.float32 and (batch == x[t]).all()
    floats = np.ones((2, 2), np.float32)
    assert as_inputs(floats) is floats
    assert as_inputs(floats, np.float64).dtype == np.float64


def test_batches_are_copies_and_the_samples_may_be_read_only():
    x, t = np.ones((4, 2)), np.arange(4)
    x.flags.writeable = t.flags.writeable = False
    for batch_x, batch_t in minibatches(x, t, 2, rng=0, dtype=np.float64):
        batch_x += 1
        batch_t += 1


@pytest.mark.parametrize("wrong", [0, -3, 2.5])
def test_a_batch_size_that_is_none_is_refused_at_once(wrong):
    x, t = task()
    with pytest.raises(ValueError, match=f"batch_size must be a positive integer; it is {wrong}"):
        minibatches(x, t, wrong)  # already here, and not at the first batch
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        fit(net_for_task(), (x, t), optimizer=SGD(), epochs=1, batch_size=wrong)


def test_inputs_and_labels_must_match():
    x, t = task()
    uses = (
        lambda t: minibatches(x, t, 10),
        lambda t: accuracy(net_for_task(), x, t),
        lambda t: fit(net_for_task(), (x, t), optimizer=SGD(), epochs=1),
        lambda t: fit(net_for_task(), (x, task()[1]), (x, t), optimizer=SGD(), epochs=1),
    )
    for use in uses:
        with pytest.raises(ValueError, match="there are 60 inputs and 59 labels"):
            use(t[:-1])
        with pytest.raises(ValueError, match=r"labels are integers \(N,\) or one-hot rows .* shape \(60, 1\)"):
            use(t[:, None])  # whose argmax is 0 in every row


# --- accuracy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 7, 60, 1000])
def test_accuracy_in_pieces_is_accuracy_of_the_whole(monkeypatch, piece):
    monkeypatch.setattr(training, "EVALUATION_BATCH", piece)
    x, t = task()
    net = net_for_task()
    wanted = net.accuracy(x, t)
    assert 0 < wanted < 1
    assert accuracy(net, x, t) == accuracy(net, x, one_hot(t, 3)) == wanted
    assert type(accuracy(net, x, t)) is float
    assert predict_labels(net, x).tolist() == net.predict(x).argmax(axis=1).tolist()


def test_accuracy_of_uint8_images_is_that_of_the_scaled_ones():
    images = np.random.default_rng(0).integers(0, 256, (50, 8), dtype=np.uint8)
    net, t = net_for_task(np.float32), np.arange(50) % 3
    assert accuracy(net, images, t) == net.accuracy(images.astype(np.float32) / 255, t)


def test_accuracy_of_nothing_is_refused():
    with pytest.raises(ValueError, match="accuracy of no inputs at all is not defined"):
        accuracy(net_for_task(), np.zeros((0, 8)), np.zeros(0, int))
    assert predict_labels(net_for_task(), np.zeros((0, 8))).shape == (0,)


# --- fit ---------------------------------------------------------------------------------------------------


def test_history_has_a_loss_a_step_and_accuracies_an_epoch():
    net = net_for_task()
    train, test = task(), task(20, seed=9)
    before = net.accuracy(*train), net.accuracy(*test)
    history = fit(net, train, test, optimizer=SGD(0.2), epochs=4, batch_size=25, rng=0)
    assert history.steps == [0, 3, 6, 9, 12]
    assert len(history.loss) == 12 and all(type(loss) is float for loss in history.loss)
    assert (history.train[0], history.test[0]) == before
    assert (history.train[-1], history.test[-1]) == (net.accuracy(*train), net.accuracy(*test))
    assert len(history.train) == len(history.test) == 5
    assert history.train[-1] > 0.85 > history.train[0]
    assert history.stopped == ""
    assert fit(net, train, optimizer=SGD(), epochs=1).test == []


def test_a_large_training_set_may_be_scored_by_its_first_samples():
    x, t = task()
    net = net_for_task()
    before = net.accuracy(x[:10], t[:10])
    history = fit(net, (x, t), task(20), optimizer=SGD(0.1), epochs=1, batch_size=20, rng=0, scored=10)
    assert history.train == [before, net.accuracy(x[:10], t[:10])]
    assert history.test[-1] == net.accuracy(*task(20))  # of which all are scored
    assert len(history.loss) == 3  # and all are learned from


def test_fit_is_the_loop_one_would_write():
    x, t = task()
    net, ours = net_for_task(), net_for_task()
    history = fit(net, (x, t), optimizer=SGD(0.1), epochs=2, batch_size=25, rng=7)
    rng, losses = np.random.default_rng(7), []
    for _ in range(2):
        order = rng.permutation(60)
        for part in (order[:25], order[25:50], order[50:]):
            losses.append(ours.loss(x[part], t[part]))
            for name, g in ours.gradient(x[part], t[part]).items():
                ours.params[name] -= 0.1 * g
    assert history.loss == losses
    assert values(net) == values(ours)


def test_a_seed_repeats_a_run_and_the_global_state_is_left_alone():
    def run(seed):
        net = net_for_task()
        return fit(net, task(), optimizer=Momentum(0.05), epochs=2, batch_size=20, rng=seed), values(net)

    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert run(3) == run(3) == run(np.random.default_rng(3))
    assert run(3) != run(4)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_the_first_of_many_samples_can_be_scored_alone():
    (x, t), test = task(), task(20, seed=9)
    net, same = net_for_task(), net_for_task()
    history = fit(net, (x, t), test, optimizer=SGD(0.2), epochs=2, batch_size=20, rng=0, scored=7)
    full = fit(same, (x, t), test, optimizer=SGD(0.2), epochs=2, batch_size=20, rng=0)
    assert (history.loss, history.test, values(net)) == (full.loss, full.test, values(same))
    assert history.train[-1] == net.accuracy(x[:7], t[:7])
    assert history.train != full.train and full.train[-1] == net.accuracy(x, t)


def test_no_epochs_are_an_evaluation():
    net = net_for_task()
    before = values(net)
    history = fit(net, task(), optimizer=SGD(), epochs=0)
    assert (history.loss, history.steps, len(history.train)) == ([], [0], 1)
    assert values(net) == before


def test_on_epoch_sees_every_epoch_and_may_end_the_training():
    seen = []

    def on_epoch(net, history):
        seen.append((net, len(history.loss), len(history.train)))
        return len(seen) == 3

    net = net_for_task()
    history = fit(net, task(), optimizer=SGD(), epochs=10, batch_size=30, rng=0, on_epoch=on_epoch)
    assert seen == [(net, 2, 2), (net, 4, 3), (net, 6, 4)]
    assert history.steps == [0, 2, 4, 6]
    assert history.stopped == "Ended by on_epoch after 6 of 20 steps."
    assert str(history).endswith("\nEnded by on_epoch after 6 of 20 steps.")


def test_transform_gets_each_batch_and_the_generator():
    rng, calls = np.random.default_rng(0), []

    def transform(x, given):
        calls.append((x.shape, x.dtype, given is rng))
        return x + given.normal(size=x.shape)

    x, t = task(50, np.float32)
    net = net_for_task(np.float32)
    original = x.copy()
    fit(net, (x, t), optimizer=SGD(), epochs=2, batch_size=20, rng=rng, transform=transform)
    assert calls == [((n, 8), np.float32, True) for n in (20, 20, 10)] * 2
    assert (x == original).all()


def test_what_transform_returns_is_what_is_learned_from():
    net = net_for_task()
    before = values(net)
    fit(net, task(), optimizer=SGD(), epochs=1, transform=lambda x, rng: np.zeros_like(x))
    assert values(net)["W1"] == before["W1"]  # whose gradient is 0 where the inputs are
    assert values(net)["b2"] != before["b2"]


def test_schedule_multiplies_the_learning_rate_and_gives_it_back():
    progress, rates = [], []

    class Recording(SGD):
        def update(self, params, grads):
            rates.append(self.lr)
            super().update(params, grads)

    def schedule(p):
        progress.append(p)
        return np.cos(p)  # a np.float64, as a schedule often gives

    optimizer = Recording(0.4)
    fit(net_for_task(), task(), optimizer=optimizer, epochs=2, batch_size=30, rng=0, schedule=schedule)
    assert progress == [0, 0.25, 0.5, 0.75]
    assert rates == [0.4 * math.cos(p) for p in progress]
    assert {type(rate) for rate in rates} == {float}  # a np.float64 would widen every float32 product
    assert optimizer.lr == 0.4


class Stop(Exception):
    pass


@pytest.mark.parametrize("fault", [KeyboardInterrupt, Stop])
def test_the_learning_rate_comes_back_whatever_happens(fault):
    optimizer = SGD(0.4)

    def on_epoch(net, history):
        assert optimizer.lr == 0.2
        raise fault

    run = functools.partial(fit, net_for_task(), task(), optimizer=optimizer, epochs=2, on_epoch=on_epoch)
    if fault is Stop:
        with pytest.raises(Stop):
            run(schedule=lambda p: 0.5)
    else:
        run(schedule=lambda p: 0.5)
    assert optimizer.lr == 0.4


# --- stopping ----------------------------------------------------------------------------------------------


def interrupt_after(calls):
    """A transform, or an on_epoch, that is interrupted in its call number calls + 1."""
    left = [calls]

    def function(x, _):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return x if isinstance(x, np.ndarray) else False

    return function


def test_an_interrupt_in_an_epoch_keeps_what_was_learned(capsys):
    net, same = net_for_task(), net_for_task()
    train = task()
    history = fit(net, train, train, optimizer=SGD(0.1), epochs=9, batch_size=20, rng=0, transform=interrupt_after(5))
    assert capsys.readouterr().out == "Interrupted after 5 of 27 steps.\n"
    assert history.stopped == "Interrupted after 5 of 27 steps."
    assert (len(history.loss), history.steps) == (5, [0, 3])
    assert len(history.train) == len(history.test) == 2
    assert str(history).count("\n") == 3
    full = fit(same, train, optimizer=SGD(0.1), epochs=2, batch_size=20, rng=0)
    assert full.loss[:5] == history.loss
    assert values(net) != values(net_for_task()) and values(net) != values(same)


def test_an_interrupt_between_epochs_keeps_what_was_learned():
    net, same = net_for_task(), net_for_task()
    history = fit(net, task(), optimizer=SGD(0.1), epochs=9, batch_size=20, rng=0, on_epoch=interrupt_after(1))
    full = fit(same, task(), optimizer=SGD(0.1), epochs=2, batch_size=20, rng=0)
    assert values(net) == values(same)
    assert (history.loss, history.steps, history.train) == (full.loss, full.steps, full.train)


@pytest.mark.parametrize("evaluation", range(4))
def test_an_interrupt_in_an_evaluation_leaves_no_half_a_row(monkeypatch, evaluation):
    stop, original = interrupt_after(evaluation), training.accuracy
    monkeypatch.setattr(training, "accuracy", lambda net, x, t: original(net, stop(x, t), t))
    history = fit(net_for_task(), task(), task(9), optimizer=SGD(), epochs=3, batch_size=20, rng=0)
    rows = evaluation // 2
    assert len(history.steps) == len(history.train) == len(history.test) == rows
    assert len(history.loss) == 3 * rows
    assert str(history).count("\n") == rows + 1


@pytest.mark.parametrize(("dtype", "lr"), [(np.float32, 1e25), (np.float64, 1e200)])
@pytest.mark.parametrize("optimizer", [SGD, Momentum])
def test_a_loss_that_diverges_stops_with_a_sentence_and_no_warning(dtype, lr, optimizer):
    net = net_for_task(dtype)
    optimizer = optimizer(lr)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Diverged) as caught:
            fit(net, task(dtype=dtype), optimizer=optimizer, epochs=5, batch_size=20, rng=0, schedule=lambda p: 1)
    history = caught.value.history
    steps = len(history.loss)
    assert 1 < steps <= 15
    assert all(math.isfinite(loss) for loss in history.loss[:-1]) and not math.isfinite(history.loss[-1])
    assert history.steps[0] == 0 and len(history.steps) == len(history.train)
    assert str(caught.value).startswith(f"The loss became {history.loss[-1]} at step {steps}. The usual cause is a")
    assert f"learning rate that is too large (it is {lr:g})" in str(caught.value)
    assert optimizer.lr == lr
    assert isinstance(caught.value, FloatingPointError)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_input_that_is_not_finite_is_found_at_its_step(value):
    x, t = task()
    x[np.random.default_rng(0).permutation(60)[45]] = value  # of the third batch of 20
    net = net_for_task()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Diverged, match=r"at step 3\. .* not finite"):
            fit(net, (x, t), optimizer=SGD(0.01), epochs=2, batch_size=20, rng=0)
    assert all(np.isfinite(p).all() for p in net.params.values())  # the step that would spoil them is not taken


# --- uint8 images ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uint8_images_train_as_their_floats_do(dtype):
    rng = np.random.default_rng(0)
    images, t = rng.integers(0, 256, (120, 8), dtype=np.uint8), rng.integers(0, 3, 120)
    results = []
    for x in (images, images.astype(dtype) / dtype(255)):
        net = net_for_task(dtype)
        history = fit(net, (x, t), (x[:30], t[:30]), optimizer=SGD(0.5), epochs=3, batch_size=50, rng=0)
        results.append((history, values(net)))
    assert results[0] == results[1]


def peak_of(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_images_stay_uint8():
    images = np.zeros((10000, 784), np.uint8)
    t = np.zeros(10000, int)
    net = TwoLayerNet(784, 4, 10, rng=0, dtype=np.float32)
    as_float32 = 10000 * 784 * 4
    peak = peak_of(lambda: fit(net, (images, t), (images, t), optimizer=SGD(), epochs=1, batch_size=500, rng=0))
    assert peak < 0.35 * as_float32  # a batch, and a thousand images while they are scored
    assert peak_of(lambda: as_inputs(images)) >= as_float32  # the instrument sees what a copy costs


# --- what is shown -----------------------------------------------------------------------------------------


def test_the_text_of_a_history_is_a_table():
    history = History([0.5] * 120000, [0, 600, 120000], [0.1, 0.91234, 1.0], [0.125, 0.9, 0.99996])
    assert str(history) == repr(history)
    assert str(history).splitlines() == [
        "epoch     step  train accuracy  test accuracy",
        "    0        0          0.1000         0.1250",
        "    1      600          0.9123         0.9000",
        "    2   120000          1.0000         1.0000",
    ]
    history.test, history.stopped = [], "Interrupted."
    assert str(history).splitlines() == [
        "epoch     step  train accuracy",
        "    0        0          0.1000",
        "    1      600          0.9123",
        "    2   120000          1.0000",
        "Interrupted.",
    ]
    assert str(History()) == "epoch     step  train accuracy"


@pytest.mark.parametrize("disable", [True, False])
def test_the_progress_bar_may_be_on_or_off(monkeypatch, capsys, disable):
    monkeypatch.setenv("TQDM_DISABLE", "1" if disable else "")
    net = net_for_task()
    history = fit(net, task(), optimizer=SGD(0.1), epochs=2, batch_size=20, rng=0)
    out, err = capsys.readouterr()
    assert out == ""
    if disable:
        assert err == ""
    else:
        assert "6/6" in err and "step" in err and f"accuracy={history.train[-1]:.4f}" in err
        assert f"loss={history.loss[-1]:.4f}" in err
    assert len(history.loss) == 6

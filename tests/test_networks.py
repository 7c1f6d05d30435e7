"""Params and TwoLayerNet: the book's programs run, autograd agrees, a file is written whole or not at all."""

import copy
import errno
import io
import os
import zipfile

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

from course_lib import networks
from course_lib.functions import one_hot
from course_lib.networks import Params, TwoLayerNet

NAMES = ("W1", "b1", "W2", "b2")


def small_net(dtype=np.float64, seed=1):
    """5 - 4 - 3, with weights large enough for every ReLU to matter and with biases that are not 0."""
    net = TwoLayerNet(5, 4, 3, 0.8, rng=seed, dtype=dtype)
    rng = np.random.default_rng(seed + 1)
    net.params["b1"] = rng.normal(size=4)
    net.params["b2"] = rng.normal(size=3)
    return net


def batch(n=6, dtype=np.float64, seed=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 5)).astype(dtype), rng.integers(0, 3, n)


# --- the book's programs -----------------------------------------------------------------------------------

# Both are written as "Deep Learning from Scratch" writes them; only the imports differ, and the sizes.
BOOK_GRADIENT_CHECK = """
import numpy as np
from course_lib.mnist import load_sample as load_mnist
from course_lib.networks import TwoLayerNet

(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)

network = TwoLayerNet(input_size=784, hidden_size=4, output_size=10)

x_batch = x_train[:3]
t_batch = t_train[:3]

grad_numerical = network.numerical_gradient(x_batch, t_batch)
grad_backprop = network.gradient(x_batch, t_batch)

differences = {}
for key in grad_numerical.keys():
    diff = np.average(np.abs(grad_backprop[key] - grad_numerical[key]))
    differences[key] = diff
"""

BOOK_TRAINING = """
import numpy as np
from course_lib.mnist import load_sample as load_mnist
from course_lib.networks import TwoLayerNet

(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)

network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10)

iters_num = 200
train_size = x_train.shape[0]
batch_size = 100
learning_rate = 0.5

train_loss_list = []
train_acc_list = []
test_acc_list = []

iter_per_epoch = max(train_size / batch_size, 1)

for i in range(iters_num):
    batch_mask = np.random.choice(train_size, batch_size)
    x_batch = x_train[batch_mask]
    t_batch = t_train[batch_mask]

    grad = network.gradient(x_batch, t_batch)

    for key in ('W1', 'b1', 'W2', 'b2'):
        network.params[key] -= learning_rate * grad[key]

    loss = network.loss(x_batch, t_batch)
    train_loss_list.append(loss)

    if i % iter_per_epoch == 0:
        train_acc = network.accuracy(x_train, t_train)
        test_acc = network.accuracy(x_test, t_test)
        train_acc_list.append(train_acc)
        test_acc_list.append(test_acc)
"""


@pytest.fixture
def same_draws(monkeypatch):
    """The programs have no seed: here they draw the same each time, so that no kink is met one time in a hundred."""
    draw = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed=None: draw(0 if seed is None else seed))
    monkeypatch.setattr(np.random, "choice", draw(1).choice)


@pytest.mark.usefixtures("same_draws")
def test_the_books_gradient_check_runs():
    scope = {}
    exec(BOOK_GRADIENT_CHECK, scope)
    assert list(scope["differences"]) == list(NAMES)
    assert all(0 <= difference < 1e-8 for difference in scope["differences"].values())


@pytest.mark.usefixtures("same_draws")
def test_the_books_training_program_runs_and_learns():
    scope = {}
    exec(BOOK_TRAINING, scope)
    assert scope["train_loss_list"][0] == pytest.approx(np.log(10), abs=0.02)
    assert len(scope["test_acc_list"]) == 5
    assert scope["test_acc_list"][-1] > 0.6
    assert np.mean(scope["train_loss_list"][-20:]) < 1
    for layer, W, b in (("Affine1", "W1", "b1"), ("Affine2", "W2", "b2")):
        assert scope["network"].layers[layer].W is scope["network"].params[W]
        assert scope["network"].layers[layer].b is scope["network"].params[b]


# --- Params ------------------------------------------------------------------------------------------------


def step_by_assignment(params, gradient):
    for name in NAMES:
        params[name] = params[name] - 0.5 * gradient[name]


def test_assignment_trains_where_a_plain_dictionary_comes_apart():
    x, t = batch()
    net, textbook = small_net(), small_net()
    vars(textbook)["params"] = dict(textbook.params)  # the usual textbook: a dictionary of the same arrays

    def loss_after_a_step(net):
        before = net.loss(x, t)
        step_by_assignment(net.params, net.gradient(x, t))
        return net.loss(x, t) - before

    assert loss_after_a_step(net) < -0.01
    assert loss_after_a_step(textbook) == 0  # the layers kept the old arrays: nothing was learned


def test_assignment_writes_into_the_very_array():
    net = small_net()
    arrays = dict(net.params)
    values = np.arange(20.0).reshape(5, 4)
    net.params["W1"] = values
    net.params["b1"] = [1, 2, 3, 4]
    net.params["b2"] += 1
    assert all(net.params[name] is arrays[name] for name in NAMES)
    assert net.params["W1"].tolist() == values.tolist()
    assert not np.shares_memory(net.params["W1"], values)
    assert net.params["b1"].tolist() == [1, 2, 3, 4]


def test_assignment_keeps_the_dtype():
    net = small_net(np.float32)
    net.params["W1"] = np.full((5, 4), 1 / 3)
    assert net.params["W1"].dtype == np.float32
    assert (net.params["W1"] == np.float32(1 / 3)).all()


def test_errors_of_params_are_sentences():
    params = small_net().params
    for use in (lambda: params["W3"], lambda: params.__setitem__("W3", 0)):
        with pytest.raises(KeyError, match="W3 is not a parameter of this network, which has W1, b1, W2, b2"):
            use()
    for wrong in (np.zeros((4, 5)), np.zeros(4), 0.0):  # the last two, numpy would broadcast in silence
        before = params["W1"].copy()
        with pytest.raises(ValueError, match=r"W1 has shape \(5, 4\); the values assigned have \("):
            params["W1"] = wrong
        assert (params["W1"] == before).all()
    with pytest.raises((TypeError, AttributeError)):
        del params["W1"]


def test_params_is_a_mapping_with_a_fixed_text():
    params = small_net().params
    assert tuple(params) == tuple(params.keys()) == NAMES
    assert len(params) == 4 and "W1" in params and "W3" not in params and params.get("W3") is None
    assert params.count == 5 * 4 + 4 + 4 * 3 + 3
    assert repr(params) == "Params(W1: (5, 4) float64, b1: (4,) float64, W2: (4, 3) float64, b2: (3,) float64)"
    assert Params(w=np.zeros(2)).count == 2


def test_params_cannot_be_replaced():
    net = small_net()
    arrays = dict(net.params)
    with pytest.raises(AttributeError, match=r"params cannot be replaced.*net\.params\[\"W1\"\] = values"):
        net.params = {name: p * 2 for name, p in net.params.items()}
    assert all(net.params[name] is arrays[name] for name in NAMES)
    net.note = "other attributes may be set"


def test_a_deep_copy_is_a_network_of_its_own():
    net = small_net()
    x, t = batch()
    loss = net.loss(x, t)
    twin = copy.deepcopy(net)
    step_by_assignment(twin.params, twin.gradient(x, t))
    assert twin.loss(x, t) < loss
    assert net.loss(x, t) == loss


# --- forward and backward ----------------------------------------------------------------------------------


def autograd_loss(params, x, rows):
    hidden = anp.maximum(anp.dot(x, params["W1"]) + params["b1"], 0)
    scores = anp.dot(hidden, params["W2"]) + params["b2"]
    shifted = scores - anp.max(scores, axis=1, keepdims=True)
    log_y = shifted - anp.log(anp.sum(anp.exp(shifted), axis=1, keepdims=True))
    return -anp.sum(rows * log_y) / len(x)


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("labels", ["integers", "one-hot", "soft"])
def test_gradients_equal_autograds(n, labels):
    net = small_net()
    x, t = batch(n)
    rows = one_hot(t, 3)
    if labels == "soft":
        rows = 0.9 * rows + 0.1 / 3
    wanted = autograd.grad(autograd_loss)(dict(net.params), x, rows)
    loss, gradient = net.loss_and_gradient(x, t if labels == "integers" else rows)
    assert loss == pytest.approx(float(autograd_loss(dict(net.params), x, rows)), rel=1e-14)
    assert type(loss) is float
    assert tuple(gradient) == NAMES
    for name in NAMES:
        np.testing.assert_allclose(gradient[name], wanted[name], rtol=1e-10, atol=1e-14)


def test_numerical_gradient_agrees_and_restores_the_parameters():
    net = small_net()
    x, t = batch()
    before = {name: p.copy() for name, p in net.params.items()}
    numerical, gradient = net.numerical_gradient(x, t), net.gradient(x, t)
    assert tuple(numerical) == NAMES
    for name in NAMES:
        np.testing.assert_allclose(numerical[name], gradient[name], rtol=1e-6, atol=1e-9)
        assert (net.params[name] == before[name]).all()


def test_gradient_is_the_second_half_of_loss_and_gradient():
    net = small_net()
    x, t = batch()
    loss, both = net.loss_and_gradient(x, t)
    alone = net.gradient(x, t)
    assert loss == net.loss(x, t)
    for name in NAMES:
        assert (alone[name] == both[name]).all()
        assert not np.shares_memory(alone[name], both[name])
        assert not any(np.shares_memory(alone[name], p) for p in net.params.values())


def test_arguments_are_read_only_to_every_method():
    net = small_net()
    x, t = batch()
    rows = one_hot(t, 3)
    for array in (x, t, rows):
        array.flags.writeable = False
    for labels in (t, rows):
        net.loss_and_gradient(x, labels)
        net.numerical_gradient(x, labels)
        net.accuracy(x, labels)


def test_accuracy_counts_what_is_right_for_every_form_of_label():
    net = small_net()
    x, t = batch(40)
    wanted = sum(int(scores.argmax() == label) for scores, label in zip(net.predict(x), t, strict=True)) / 40
    assert 0 < wanted < 1
    assert net.accuracy(x, t) == net.accuracy(x, one_hot(t, 3)) == wanted
    assert net.accuracy(x, one_hot(t, 3) * 0.7 + 0.1) == wanted
    assert type(net.accuracy(x, t)) is float
    assert net.predict(x).shape == (40, 3)


def test_an_empty_batch():
    net = small_net()
    x, t = np.zeros((0, 5)), np.zeros(0, int)
    assert net.predict(x).shape == (0, 3)
    loss, gradient = net.loss_and_gradient(x, t)
    assert loss == 0
    assert all((gradient[name] == 0).all() and gradient[name].shape == net.params[name].shape for name in NAMES)
    with pytest.raises(ValueError, match="accuracy of an empty batch is not defined"):
        net.accuracy(x, t)


def test_images_go_straight_in():
    net = TwoLayerNet(12, 4, 3, 0.5, rng=0)
    images = np.random.default_rng(0).normal(size=(2, 1, 3, 4))
    assert (net.predict(images) == net.predict(images.reshape(2, 12))).all()
    assert net.gradient(images, [0, 1])["W1"].shape == (12, 4)


@pytest.mark.parametrize("labels", [[0, 3], [0], [0.0, 1.0], np.ones((2, 3))])
def test_wrong_labels_are_refused(labels):
    with pytest.raises((ValueError, TypeError), match="label"):
        small_net().loss(np.ones((2, 5)), labels)


def test_the_first_layer_computes_no_gradient_of_the_images():
    net = small_net()
    x, t = batch()
    net.gradient(x, t)
    assert net.layers["Affine1"].backward(np.ones((6, 4))) is None
    assert net.layers["Affine2"].backward(np.ones((6, 3))).shape == (6, 4)


# --- dtype -------------------------------------------------------------------------------------------------


def arrays_in(net):
    """Every float array that the net and its layers hold after a pass, by name."""
    places = {"params": dict(net.params), "last_layer": vars(net.last_layer)}
    places |= {name: vars(layer) for name, layer in net.layers.items()}
    return {
        f"{place}.{name}": value
        for place, values in places.items()
        for name, value in values.items()
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
    }


@pytest.mark.parametrize("labels", ["integers", "one-hot"])
@pytest.mark.parametrize("given", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_is_in_the_dtype_of_the_network(dtype, given, labels):
    net = small_net(dtype)
    x, t = batch()
    x = np.abs(10 * x).astype(given)
    gradient = net.gradient(x, t if labels == "integers" else one_hot(t, 3, dtype))
    held = arrays_in(net)
    assert {"params.W1", "Affine1.x", "Affine1.dW", "Affine2.x", "Affine2.db", "last_layer.y"} <= set(held)
    assert {name: array.dtype for name, array in held.items()} == dict.fromkeys(held, np.dtype(dtype))
    assert {g.dtype for g in gradient.values()} == {np.dtype(dtype)} == {net.dtype}
    assert net.predict(x).dtype == dtype


def test_float32_images_meet_float64_weights_once():
    net = small_net()
    x, t = batch(dtype=np.float32)
    net.loss(x, t)
    entry = net.layers["Affine1"].x
    assert entry.dtype == np.float64  # converted on entry ...
    net.gradient(x, t)
    assert net.layers["Affine1"].x.dtype == np.float64 and net.layers["Affine1"].x is not entry
    net.layers["Affine1"].x[:] = 0  # ... and backward uses what forward converted
    net.layers["Affine1"].backward(np.ones((6, 4)))
    assert not net.layers["Affine1"].dW.any()


def test_no_conversion_where_the_dtypes_agree():
    net = small_net(np.float32)
    x, t = batch(dtype=np.float32)
    net.gradient(x, t)
    assert np.shares_memory(net.layers["Affine1"].x, x)


# --- the first weights -------------------------------------------------------------------------------------


def test_a_seed_decides_the_weights_and_the_global_state_is_left_alone():
    state = np.random.get_state()  # noqa: NPY002
    first, second, other = TwoLayerNet(6, 5, 4, rng=3), TwoLayerNet(6, 5, 4, rng=3), TwoLayerNet(6, 5, 4, rng=4)
    from_generator = TwoLayerNet(6, 5, 4, rng=np.random.default_rng(3))
    after = np.random.get_state()  # noqa: NPY002
    assert (state[1] == after[1]).all() and state[2:] == after[2:]
    for name in NAMES:
        assert (first.params[name] == second.params[name]).all()
        assert (first.params[name] == from_generator.params[name]).all()
    assert (first.params["W1"] != other.params["W1"]).all()
    rounded = TwoLayerNet(6, 5, 4, rng=3, dtype=np.float32)
    assert (rounded.params["W1"] == first.params["W1"].astype(np.float32)).all()


def test_the_size_of_the_first_weights():
    net = TwoLayerNet(400, 300, 200, rng=0)
    assert net.params["W1"].std() == pytest.approx(0.01, rel=0.02)
    assert net.params["W2"].std() == pytest.approx(0.01, rel=0.02)
    assert not net.params["b1"].any() and not net.params["b2"].any()
    he = TwoLayerNet(400, 300, 200, "he", rng=0)
    assert he.params["W1"].std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert he.params["W2"].std() == pytest.approx(np.sqrt(2 / 300), rel=0.02)
    assert TwoLayerNet(784, 50, 10, rng=0).loss(np.ones((2, 784)), [0, 1]) == pytest.approx(np.log(10), abs=0.1)


# --- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_saved_network_comes_back_bit_for_bit(tmp_path, dtype):
    net = small_net(dtype)
    path = tmp_path / "net.npz"
    net.save(path)
    again = TwoLayerNet.load(str(path))
    assert again.dtype == dtype
    for name in NAMES:
        assert (again.params[name] == net.params[name]).all()
    x, t = batch()
    step_by_assignment(again.params, again.gradient(x, t))  # and goes on learning
    assert again.loss(x, t) < net.loss(x, t)
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file) == sorted(NAMES)
    assert list(tmp_path.iterdir()) == [path]


def test_a_saved_file_has_the_permissions_of_any_other_file(tmp_path):
    (tmp_path / "other").write_bytes(b"")
    small_net().save(tmp_path / "net.npz")
    assert (tmp_path / "net.npz").stat().st_mode == (tmp_path / "other").stat().st_mode


class FullDisk(io.FileIO):
    """A file on a disk with room for 300 more bytes."""

    def write(self, data):
        if self.tell() + len(data) > 300:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("there_before", [True, False])
def test_a_full_disk_harms_nothing(tmp_path, monkeypatch, there_before):
    path = tmp_path / "net.npz"
    net = small_net()
    if there_before:
        net.save(path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr(networks, "open", FullDisk, raising=False)
    net.params["W1"] = np.ones((5, 4))
    with pytest.raises(OSError, match=r"not saved to .*net\.npz: No space left on device\. .* is unharmed"):
        net.save(path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_an_interrupted_save_harms_nothing(tmp_path, monkeypatch):
    path = tmp_path / "net.npz"
    small_net().save(path)
    before = path.read_bytes()

    def savez(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(KeyboardInterrupt):
        small_net().save(path)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("none", "file"):
        with pytest.raises(OSError, match=rf"not saved to .*{folder}.*net\.npz: "):
            small_net().save(tmp_path / folder / "net.npz")
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        TwoLayerNet.load(tmp_path / "none.npz")


def zipped(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


GOOD = {"W1": np.ones((5, 4)), "b1": np.ones(4), "W2": np.ones((4, 3)), "b2": np.ones(3)}
FOREIGN = {
    "empty": b"",
    "text": b"dear diary",
    "a single array": npy(np.ones((5, 4))),
    "cut short": zipped(**GOOD)[:-30],
    "a damaged byte": flipped(zipped(**GOOD), 150),
    "a zip of texts": None,
    "other names": zipped(a=np.ones(3)),
    "a name too few": zipped(W1=GOOD["W1"], b1=GOOD["b1"], W2=GOOD["W2"]),
    "a name too many": zipped(**GOOD, b3=np.ones(3)),
    "integers": zipped(**{name: p.astype(int) for name, p in GOOD.items()}),
    "objects": zipped(**(GOOD | {"b2": np.array([1, "x", None], dtype=object)})),
    "shapes that do not fit": zipped(**(GOOD | {"W2": np.ones((5, 3))})),
    "a bias that does not fit": zipped(**(GOOD | {"b1": np.ones(5)})),
    "numbers, not arrays": zipped(**dict.fromkeys(NAMES, np.float64(1))),
    "three axes": zipped(**(GOOD | {"W1": np.ones((5, 4, 3))})),
}
with zipfile.ZipFile(_file := io.BytesIO(), "w") as _archive:
    for _name in NAMES:
        _archive.writestr(f"{_name}.npy", "not an array")
FOREIGN["a zip of texts"] = _file.getvalue()


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_is_no_network_is_refused_with_a_sentence(tmp_path, kind):
    path = tmp_path / "net.npz"
    path.write_bytes(FOREIGN[kind])
    with pytest.raises(ValueError) as caught:
        TwoLayerNet.load(path)
    assert str(caught.value).startswith(f"{path} ")
    assert "pickle" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


class Trap:
    """An object that, when it is unpickled, makes a folder; in earnest it would be worse."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_nothing_in_a_file_is_run(tmp_path):
    path, folder = tmp_path / "net.npz", tmp_path / "sprung"
    np.savez(path, **(GOOD | {"b2": np.array([Trap(str(folder))], dtype=object)}))
    with pytest.raises(ValueError):
        TwoLayerNet.load(path)
    assert not folder.exists()
    with np.load(path, allow_pickle=True) as file:  # the trap works
        file["b2"]
    assert folder.exists()


def test_the_good_file_of_that_table_loads(tmp_path):
    path = tmp_path / "net.npz"
    path.write_bytes(zipped(**GOOD))
    assert TwoLayerNet.load(path).params.count == 39

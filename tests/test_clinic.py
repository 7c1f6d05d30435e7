"""The bug clinic: the checker finds every patient and passes every repaired one, and what the owners report is true."""

import inspect
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

from course_lib.exercises import ch05, clinic
from course_lib.gradient import check_layer, check_network, numerical_gradient
from course_lib.layers import Relu, SoftmaxWithLoss
from course_lib.mnist import load_sample
from course_lib.optimizers import SGD
from course_lib.training import Diverged, fit

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "05_gradient_checking.ipynb"
ALL = [*clinic.PATIENTS, clinic.Practice()]
of_every_patient = pytest.mark.parametrize("patient", ALL, ids=lambda patient: type(patient).__name__)
TRAIN, TEST = load_sample(normalize=False)


@pytest.fixture(autouse=True)
def no_bars(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")


def test_there_are_ten_patients_with_ten_faults():
    assert len({type(patient) for patient in clinic.PATIENTS}) == 10
    faults = [patient.fault for patient in clinic.PATIENTS]
    assert len(set(faults)) == 10 and set(faults) < set(clinic.FAULTS)


# --- the checker -------------------------------------------------------------------------------------------


@of_every_patient
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_checker_names_the_first_wrong_layer(patient, seed):
    """For other weights too, and for other random numbers of the checker's own."""
    report = check_network(patient.build(seed), *patient.batch, seed=seed)
    assert not report.ok
    assert report.first_wrong_layer == patient.layer
    with pytest.raises(AssertionError, match=f"First wrong layer: {patient.layer}"):
        report.raise_if_bad()


@of_every_patient
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_checker_passes_the_repaired_network(patient, seed):
    report = check_network(patient.repaired(seed), *patient.batch, seed=seed)
    assert report.ok, report
    assert str(report).endswith("All gradients agree.")


@of_every_patient
def test_the_report_shows_where(patient):
    """The wrong rows of the layer's table are what the diagnosis names, or the pass that could not be compared."""
    rows = [row for row in patient.report().layers[patient.layer].rows if not row.ok]
    assert len(rows) == 1
    if rows[0].name == "backward":
        assert patient.where in rows[0].detail or patient.fault in ("no return",)
    else:
        assert rows[0].name == patient.where


@of_every_patient
def test_no_pass_complains(patient):
    """Each network runs, forward and back, without a warning (which pytest would make an error)."""
    net = patient.build()
    gradients = net.gradient(*patient.batch)
    assert gradients.keys() == net.params.keys()
    assert np.isfinite(net.loss(*patient.batch))


@of_every_patient
def test_the_repair_changes_nothing_but_the_suspect(patient):
    sick, repaired = patient.build(), patient.repaired()
    assert sick.params.keys() == repaired.params.keys()
    assert all(np.array_equal(sick.params[name], repaired.params[name]) for name in sick.params)
    kinds = [{**net.layers, "last_layer": net.last_layer} for net in (sick, repaired)]
    changed = {name for name in kinds[0] if type(kinds[0][name]) is not type(kinds[1][name])}
    assert patient.layer in changed
    assert {type(kinds[0][name]) for name in changed} == {patient.Repaired.__base__}


# --- what the owners report --------------------------------------------------------------------------------


def trained(net, optimizer=None, epochs=5, batch_size=100):
    return fit(net, TRAIN, TEST, optimizer=optimizer or SGD(0.5), epochs=epochs, batch_size=batch_size, rng=1)


def both(patient, make=lambda: SGD(0.5), **options):
    """The test accuracies after training, of the sick network and of the repaired one."""
    return [trained(net, make(), **options).test[-1] for net in (patient.build(), patient.repaired())]


def test_patient_1_learns_nothing():
    sick, repaired = both(clinic.Patient1())
    assert sick == 0.1 and repaired > 0.9


def test_patient_2_is_well_with_one_image_and_explodes_with_a_hundred():
    patient = clinic.Patient2()
    x, t = patient.batch
    assert check_network(patient.build(), x[:1], t[:1]).ok
    one = trained(patient.build(), SGD(0.03), epochs=1, batch_size=1)
    assert one.test[-1] > 0.85
    hundred = patient.build().loss(TRAIN[0][:100] / 255, TRAIN[1][:100])
    assert f"{hundred:.2f}" == "6.91" and f"{np.log(10):.2f}" == "2.30"
    try:
        losses = trained(patient.build()).loss
    except Diverged as caught:
        losses = caught.history.loss
    assert not losses[-1] < 1e6


def test_patient_3_is_as_accurate_as_the_repaired_one_and_its_loss_a_hundred_times_as_large():
    sick, repaired = (trained(net) for net in (clinic.Patient3().build(), clinic.Patient3().repaired()))
    assert sick.test == repaired.test and sick.test[-1] > 0.9
    assert np.allclose(sick.loss, 100 * np.array(repaired.loss))
    assert f"{sick.loss[0]:.0f}" == "230"


def test_patient_4_learns_two_percent_less():
    sick, repaired = both(clinic.Patient4())
    assert (round(sick, 2), round(repaired, 2)) == (0.90, 0.92)


def test_patient_5_learns_and_gives_no_gradient_at_its_input():
    patient = clinic.Patient5()
    train, test = ((patient.frozen(images / 255), labels) for images, labels in (TRAIN, TEST))
    sick, repaired = (
        fit(net, train, test, optimizer=SGD(0.5), epochs=5, rng=1) for net in (patient.build(), patient.repaired())
    )
    assert sick.test == repaired.test and sick.test[-1] > 0.8
    net = patient.build()
    assert all(row.ok for row in check_network(net, *patient.batch).rows)
    assert net.layers["Sigmoid1"].backward(np.ones((3, 200))) is None


def test_patient_6_gets_stuck_at_about_a_half():
    ends = []
    for net in (clinic.Patient6().build(), clinic.Patient6().repaired()):
        rng, optimizer, losses = np.random.default_rng(0), SGD(0.1), []
        for _ in range(2000):
            x = rng.uniform(-1, 1, 4)
            loss, gradient = net.loss_and_gradient(x, x[::-1])
            losses.append(loss)
            optimizer.update(net.params, gradient)
        ends.append((np.mean(losses[:20]), np.mean(losses[1000:1500]), np.mean(losses[1500:])))
    (first, middle, last), (_, _, repaired) = ends
    assert 0.3 < last / first < 0.7 and 0.8 < last / middle < 1.2, ends
    assert repaired < 0.02 * last


def test_patient_7_reads_nine_in_ten_and_no_optimizer_can_use_a_batch():
    patient = clinic.Patient7()
    x, t = patient.batch
    assert check_network(patient.build(), x[:1], t[:1]).ok
    sick, repaired = both(patient, lambda: SGD(0.03), epochs=1, batch_size=1)
    assert sick == repaired and f"{sick:.1f}" == "0.9"
    with pytest.raises(ValueError, match="broadcast"):
        trained(patient.build())


def test_patient_8_learns_as_well_as_any_and_a_check_of_values_finds_nothing():
    patient = clinic.Patient8()
    sick, repaired = both(patient, lambda: SGD(0.1))
    assert sick > 0.88 and abs(sick - repaired) < 0.01
    relu, x = patient.Relu(), np.array([[0.7, -1.3, 2.1], [-0.4, 1.6, -2.2]])
    relu.forward(x)
    dout = np.random.default_rng(0).standard_normal(x.shape)
    dx = relu.backward(dout.copy())
    assert np.allclose(dx, numerical_gradient(lambda x: np.sum(dout * relu.forward(x)), x))
    assert not check_layer(relu, x).ok
    names = [row.name for row in patient.report().rows if not row.ok]
    assert names == ["W1", "b1"], "the branch brings the fault to light"


def test_patient_9_learns_the_same_whatever_the_factor():
    patient = clinic.Patient9()
    steps = []
    for share in (0.25, 1, 4):
        net = patient.build()
        net.share = share
        steps.append(net.gradient(*patient.batch))
    assert all(np.array_equal(steps[0][name], other[name]) for other in steps for name in other)
    assert trained(patient.build()).test[-1] > 0.9


def test_patient_10_was_never_tested():
    patient = clinic.Patient10()
    tested = check_network(patient.as_tested(), *patient.batch)
    assert tested.ok and tested.layers["Tanh1"].subject == "course_lib.layers.Tanh"
    assert patient.report().layers["Tanh1"].subject.endswith("Patient10.Tanh")
    sick, repaired = both(patient)
    assert (round(sick, 2), round(repaired, 2)) == (0.88, 0.92)


@pytest.mark.parametrize(
    ("patient", "published"),
    [(clinic.Patient2(), 0.07), (clinic.Patient3(), 0.28), (None, 0.31)],
    ids=["softmax over the batch", "loss summed", "both"],  # xdist wants ids that are the same in every process
)
def test_the_differences_are_those_of_the_published_notebooks(patient, published):
    net = patient.build() if patient else clinic.two_faults()
    x, t = clinic.three_digits()
    found = numerical_gradient(lambda _: net.loss(x, t), net.params["b2"])
    assert round(np.mean(np.abs(net.gradient(x, t)["b2"] - found)), 2) == published


# --- what the chapter uses ---------------------------------------------------------------------------------


def test_the_network_computes_what_its_layers_do_and_names_its_parameters():
    net = clinic.two_layers(np.random.default_rng(0))
    assert list(net.params) == ["W1", "b1", "W2", "b2"]
    assert net.params["W2"] is net.layers["Affine2"].W
    assert isinstance(net.layers["Relu1"], Relu) and isinstance(net.last_layer, SoftmaxWithLoss)
    half = clinic.Network(net.layers, net.last_layer, share=0.5)
    x, t = clinic.three_digits()
    assert half.loss(x, t) == 0.5 * net.loss(x, t)
    whole = net.gradient(x, t)
    assert all(np.allclose(g, 0.5 * whole[name]) for name, g in half.gradient(x, t).items())


@of_every_patient
def test_sources_can_be_read_and_do_not_tell_the_fault(patient):
    source = patient.source(patient.layer)
    assert source.startswith("class ") and "def backward" in source
    assert not re.search(r"#|fault|wrong|bug|Repaired", source)
    assert patient.repair().startswith("def ") and patient.repair() not in source
    assert "def forward" in patient.source("Affine1")
    with pytest.raises(KeyError):
        patient.source("Affine9")


@pytest.mark.parametrize("number", range(1, 11))
def test_the_chapter_tells_each_symptom_and_the_cure_is_confirmed(number):
    patient = clinic.PATIENTS[number - 1]
    assert type(patient).__name__ == f"Patient{number}"
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (question,) = [i for i, cell in enumerate(cells) if re.search(rf"^### .* Patient {number}:", cell.source, re.M)]
    assert patient.symptom in cells[question].source
    assert f"clinic.Patient{number}()" in cells[question + 1].source
    feedback = vars(ch05)[f"patient_{number}"].check(patient.layer, patient.where, patient.fault)
    assert feedback.state == "correct"
    assert "With it the checker says: All gradients agree." in feedback.message
    assert patient.repair().splitlines()[-1].strip() in feedback.message


@pytest.mark.parametrize("number", range(1, 11))
def test_every_other_diagnosis_is_refused(number):
    """One answer in a hundred is right: no other word, place or layer passes."""
    patient, each = clinic.PATIENTS[number - 1], vars(ch05)[f"patient_{number}"]
    net = patient.build()
    for layer in [*net.layers, "last_layer", "Pooling1"]:
        assert (each.check(layer, patient.where, patient.fault).state == "correct") == (layer == patient.layer)
    for where in ("x", "W", "b", "gain", "dout", "t"):
        assert (each.check(patient.layer, where, patient.fault).state == "correct") == (where == patient.where)
    for fault in [*clinic.FAULTS, "rounding"]:
        assert (each.check(patient.layer, patient.where, fault).state == "correct") == (fault == patient.fault)


def test_an_answer_may_be_written_in_other_ways():
    assert ch05.patient_7.check(" affine1", "db", "Not summed").state == "correct"
    assert "should be one of 'Affine1'" in ch05.patient_7.check("Dense", "b", "plus").message
    assert "one of '1-D'" in ch05.patient_7.check("Affine1", "b", "I forgot the sum").message
    assert "should be a string" in ch05.patient_7.check(1, "b", "plus").message


def test_no_patient_has_a_helper_of_its_own():
    """A patient adds what is sick, what repairs it and how its network is put together, and nothing else."""
    allowed = {"layer", "where", "fault", "Repaired", "assemble", "batch", "as_tested", "frozen", "Branched"}
    for patient in ALL:
        own = {name for name in vars(type(patient)) if not name.startswith("__")}
        assert own - allowed == {patient.Repaired.__base__.__name__}
        assert inspect.getdoc(patient) != inspect.getdoc(clinic.Patient)

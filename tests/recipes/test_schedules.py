"""Learning rates, against their definitions."""

import keras
import numpy as np
import pytest

from seq2lite.recipes.training.schedules import SCHEDULES, schedule


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_rate_rises_in_a_line_to_its_peak(name):
    rate = schedule(name, 2e-3, 100, 2000)
    for step in (0, 25, 50, 100):
        assert float(rate(step)) == pytest.approx(2e-3 * step / 100, rel=1e-5)


def test_the_cosine_falls_to_nothing():
    rate = schedule("cosine", 2e-3, 100, 2000)
    for step in (100, 700, 1050, 1999, 2000):
        expected = 1e-3 * (1 + np.cos(np.pi * (step - 100) / 1900))
        assert float(rate(step)) == pytest.approx(expected, abs=1e-8)


def test_the_inverse_square_root_is_vaswanis():
    rate = schedule("inverse_square_root", 512**-0.5 * 4000**-0.5, 4000, 100000)
    for step in (1, 1000, 4000, 9000, 100000):
        expected = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)  # equation 3
        assert float(rate(step)) == pytest.approx(expected, rel=1e-5)


def test_a_constant_rate_stays():
    rate = schedule("constant", 1e-3, 10, 1000)
    assert [float(rate(step)) for step in (10, 500, 5000)] == pytest.approx([1e-3] * 3)


def test_a_short_run_warms_up_for_a_tenth():
    values = [float(schedule("cosine", 1.0, 100, 20)(step)) for step in range(21)]
    assert np.argmax(values) == 2


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_saved(name):
    rate = schedule(name, 1e-3, 10, 1000)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(rate))
    assert [float(again(s)) for s in (5, 50)] == [float(rate(s)) for s in (5, 50)]


def test_an_unknown_one_is_named():
    with pytest.raises(ValueError, match=r"`schedule` must be one of cosine, .* Received: linear"):
        schedule("linear", 1e-3, 10, 1000)

"""Images to calibrate and verify with."""

from __future__ import annotations

import numpy as np
import pytest

from res2net.config import RunConfig
from res2net.data.preprocess import default_preprocess
from res2net.deploy import pictures
from res2net.deploy.pictures import of_folder, of_run, of_samples
from res2net.errors import UserError

PREPROCESS = default_preprocess(32)
DIGITS = tuple(str(i) for i in range(10))


def _seen(some):
    images, labels = zip(*some.batches(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def test_a_run_calibrates_on_training_and_verifies_on_validation_images():
    config = RunConfig(model="res2net29_small", recipe="digits", data="digits")
    calibration, checked = of_run(config, DIGITS, PREPROCESS, most=50)
    assert (len(calibration), len(checked)) == (300, 50)
    assert "training" in calibration.origin
    assert "validation" in checked.origin
    images, labels = _seen(checked)
    assert images.shape == (50, 32, 32, 3)
    assert images.dtype == np.uint8
    assert set(labels) == set(range(10))  # spread over all classes, sorted or not


def test_a_folder_is_shared_between_both(photos):
    calibration, checked = of_folder(photos, PREPROCESS, most=None, calibrate=True)
    assert len(calibration) + len(checked) == 27
    assert not set(calibration.split.images) & set(checked.split.images)
    assert not checked.labelled
    assert _seen(calibration)[0].shape == (13, 32, 32, 3)


def test_a_folder_is_verified_whole_where_nothing_calibrates(photos):
    calibration, checked = of_folder(photos, PREPROCESS, most=None, calibrate=False)
    assert (len(calibration), len(checked)) == (0, 27)


def test_unreadable_files_are_left_out(photos):
    (photos / "val/ant/0.jpg").write_bytes(b"no image")
    calibration, checked = of_folder(photos / "val" / "ant", PREPROCESS, most=1000, calibrate=True)
    with pytest.warns(UserWarning, match="0.jpg"):
        assert len(_seen(checked)[0]) == 1
    assert len(_seen(calibration)[0]) == 1


def test_the_samples_are_photographs_that_differ():
    images, _ = _seen(of_samples(default_preprocess(64)))
    assert images.shape == (8, 64, 64, 3)
    assert len({image.tobytes() for image in images}) == 8
    assert images.std() > 30


@pytest.mark.parametrize("most", [1, 7, 27, 99])
def test_so_many_at_most(photos, most):
    _, checked = of_folder(photos, PREPROCESS, most=most, calibrate=True)
    assert len(checked) == min(most, 14)


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match="--images .*nowhere: no such folder"):
        of_folder(tmp_path / "nowhere", PREPROCESS, most=9, calibrate=True)
    for calibrate, least in ((True, 2), (False, 1)):
        with pytest.raises(UserError, match=rf"0 image\(s\) in it; at least {least}"):
            of_folder(tmp_path, PREPROCESS, most=9, calibrate=calibrate)
    config = RunConfig(model="res2net29_small", recipe="digits", data=f"folder:{tmp_path / 'gone'}")
    with pytest.raises(UserError, match="the run's data cannot be read .*gone.*--images DIR"):
        of_run(config, DIGITS, PREPROCESS, most=9)
    other = RunConfig(model="res2net29_small", recipe="digits", data="digits")
    with pytest.raises(UserError, match="classes differ .*--images DIR"):
        of_run(other, DIGITS[:9], PREPROCESS, most=9)


def test_the_batch_of_the_bar_is_that_of_the_loader():
    assert len(next(of_samples(PREPROCESS).batches())[0]) == pictures.BATCH

"""Files of embeddings, and what they tell: neighbours, near-duplicates, outliers, a map."""

from __future__ import annotations

import numpy as np
import pytest

from res2net.data.embeddings import (
    Embeddings,
    near_duplicates,
    nearest,
    plane,
    read_embeddings,
)
from res2net.errors import UserError

ABOUT = {"target": "runs/x", "sha256": "0", "precision": "auto"}


@pytest.fixture
def features():
    """Thirty images around one direction; 7 is a scaled copy of 3, 20 lies elsewhere."""
    chance = np.random.default_rng(0)
    found = (np.ones(16) + 0.3 * chance.normal(size=(30, 16))).astype(np.float32)
    found[7] = 2 * found[3]
    found[20] = np.where(np.arange(16) < 4, 3, -1)
    return found


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_what_is_written_is_read_again(tmp_path, features, ending):
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"x{ending}"
    names = [f"ö/{i}.png" for i in range(30)]
    Embeddings(names, features, ABOUT).write(path)
    found = read_embeddings(path)
    assert (found.names, found.about) == (names, ABOUT)
    np.testing.assert_array_equal(found.features, features)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_files_that_are_none_of_ours_are_refused_in_one_line(tmp_path, features):
    path = tmp_path / "x.npz"
    Embeddings([str(i) for i in range(30)], features, ABOUT).write(path)
    whole = path.read_bytes()
    for content in (b"", b"PK\x03\x04", whole[:-30], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"embed|empty"):
            read_embeddings(path)
    about = np.array('{"target": "x", "sha256": "0", "precision": "auto"}')
    for other in (
        {"images": np.array(["a"])},
        {"images": np.array(["a"]), "features": features, "about": about},
        {"images": np.array(["a"]), "features": np.ones((1, 2)), "about": about},
        {"images": np.array(["a"]), "features": features[:1], "about": np.array("[]")},
    ):
        np.savez(path, **other)
        with pytest.raises(UserError, match="not a file that `res2net embed` wrote"):
            read_embeddings(path)
    Embeddings(["a"], np.full((1, 2), np.nan, np.float32), ABOUT).write(path)
    with pytest.raises(UserError, match="not finite"):
        read_embeddings(path)


def test_the_nearest_of_an_image_is_itself_and_length_does_not_count(features):
    (first, cosine), (second, other), _ = nearest(features, 5 * features[9], 3)
    assert first == 9
    assert cosine == pytest.approx(1, abs=1e-6)
    assert second != 9
    assert other < 0.999
    assert {index for index, _ in nearest(features, features[3], 2)} == {3, 7}
    assert nearest(np.zeros((2, 16), np.float32), features[3], 2) == [(0, 0.0), (1, 0.0)]


def test_a_planted_duplicate_and_outlier_are_found(features):
    pairs, ratios = near_duplicates(features, 0.999)
    assert [pair[:2] for pair in pairs] == [(3, 7)]
    assert pairs[0][2] == pytest.approx(1, abs=1e-6)
    assert ratios.argmax() == 20
    assert ratios[20] > 3
    assert np.median(ratios) == pytest.approx(1)
    many, _ = near_duplicates(features, 0.9)
    assert [cosine for *_, cosine in many] == sorted((c for *_, c in many), reverse=True)
    assert all(i < j for i, j, _ in many)
    with pytest.raises(UserError, match="the file holds 2 images"):
        near_duplicates(features[:2], 0.9)


@pytest.mark.parametrize(("count", "how"), [(30, "t-SNE of 16"), (8, "PCA: "), (3, "PCA: ")])
def test_a_map_has_a_place_for_each_image_the_same_each_time(features, count, how):
    places, words = plane(features[:count])
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert words.startswith(how)
    np.testing.assert_array_equal(plane(features[:count])[0], places)

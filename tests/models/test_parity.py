"""Same weights, same image: our networks against timm's and torchvision's."""

from __future__ import annotations

import pytest
import torch
import torchvision

from res2net import create_model
from res2net.bench.parity import SHARED, compare

# some of each kind; the slow suite compares them all, at the large sizes too
FAST = {"res2net50d": (64, 65), "dla60_res2net": (64,)}


@pytest.mark.parametrize(("network", "sizes"), FAST.items())
def test_equals_its_peer_at_small_sizes(network: str, sizes: tuple[int, ...]) -> None:
    found = compare(network, "timm", sizes)
    assert found.holds, found


@pytest.mark.slow
@pytest.mark.parametrize(("network", "library"), SHARED)
def test_equals_its_peer_at_all_sizes(network: str, library: str) -> None:
    found = compare(network, library)
    assert found.holds, found


def test_levels_are_compared_where_the_peer_has_them() -> None:
    for library, levels in (("timm", ["c1", "c2", "c3", "c4", "c5"]),
                            ("torchvision", ["c2", "c3", "c4", "c5"])):  # fmt: skip
        found = compare("resnet18", library, (64,))
        assert list(found.levels) == levels
        assert found.holds, found


def test_another_rule_for_the_first_block_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    from res2net.bench import parity

    def other(name: str) -> torch.nn.Module:
        return create_model(name, first_block="strided_only")

    assert compare("res2net50_26w_4s", "timm", (64,)).holds
    monkeypatch.setattr(parity, "create_model", other)
    assert not compare("res2net50_26w_4s", "timm", (64,)).holds


def test_inception_trains_its_auxiliary_classifier_as_torchvision_does() -> None:
    theirs = torchvision.models.inception_v3(weights=None, init_weights=False, dropout=0.0)
    ours = create_model("inception_v3")
    ours.load_state_dict(theirs.state_dict())
    ours.dropout.p = 0.0
    image = torch.randn(2, 3, 299, 299)
    expected = theirs.train()(image)
    ours.load_state_dict(theirs.state_dict())  # the statistics that the step moved
    theirs_again = ours.train().training_outputs(image)
    for (_, logits), reference in zip(theirs_again, expected, strict=True):
        torch.testing.assert_close(logits, reference, rtol=1e-3, atol=1e-3)

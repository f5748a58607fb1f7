"""What a training tells TensorBoard and services."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from res2net.errors import UserError
from res2net.training.loggers import make_loggers

Cli = Callable[..., Any]


def test_tensorboard_holds_rates_losses_metrics_and_pictures(tiny_run: Path) -> None:
    events = EventAccumulator(str(tiny_run / "tensorboard"), {"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    assert {"step/learning_rate", "step/loss", "train/loss", "val/loss"} <= {*tags["scalars"]}
    assert not [tag for tag in tags["scalars"] if "hp_metric" in tag]
    assert {"curves", "confusion"} <= {*tags["images"]}
    assert all(event.value > 0 for event in events.Scalars("step/loss"))


@pytest.mark.parametrize(("service", "package"), [("wandb", "wandb"), ("mlflow", "mlflow")])
def test_a_missing_service_is_named_before_the_training(
    service: Any, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError(package)

    names = {"wandb": "WandbLogger", "mlflow": "MLFlowLogger"}
    monkeypatch.setattr(f"pytorch_lightning.loggers.{names[service]}", missing)
    with pytest.raises(UserError, match=f"pip install {package}"):
        make_loggers(tmp_path, [service])


def test_a_service_that_refuses_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise ConnectionError("no\nanswer")

    monkeypatch.setattr("pytorch_lightning.loggers.MLFlowLogger", refuses)
    with pytest.raises(UserError, match="--logger mlflow: no"):
        make_loggers(tmp_path, ["mlflow", "mlflow"])


def test_a_service_gets_name_and_place_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {}

    class Stand:
        def __init__(self, **options: object) -> None:
            given.update(options)

    monkeypatch.setattr("pytorch_lightning.loggers.MLFlowLogger", Stand)
    assert len(make_loggers(tmp_path / "mine", ["mlflow"])) == 2
    assert given["run_name"] == "mine"
    assert Path(given["save_dir"]) == tmp_path / "mine" / "mlruns"


def test_the_option_is_of_the_command_line_alone(
    cli: Cli, tiny: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    done = cli(*tiny, "--data", "digits", "--out", tmp_path / "run", "--logger", "wandb")
    assert done.code == 2
    assert "pip install wandb" in done.err
    assert not (tmp_path / "run").exists()
    wrong = cli(*tiny, "--data", "digits", "--logger", "comet")
    assert wrong.code == 2
    assert "wandb" in wrong.err

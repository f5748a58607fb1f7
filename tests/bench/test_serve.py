"""A crowd on loopback: every request ends in an answer, at once or after 429."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs res2net[serve]")

from res2net.bench.serve import Asked, Crowd, measure
from res2net.serve.server import address_of, take_port


def test_a_small_crowd(served: Callable[..., Any], tiny_run: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with served(tiny_run, waiting=2) as address:
        crowd = measure(address, [tmp_path / "a.png"], clients=12, requests=30)
    assert [each.status for each in crowd.asked] == [200] * 30
    assert crowd.refused_first > 0  # the queue was full, and those came back


def test_who_is_lost_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with take_port("127.0.0.1", 0) as held:  # nobody listens there
        crowd = measure(address_of(held), [tmp_path / "a.png"], clients=2, requests=3)
    assert [each.status for each in crowd.asked] == [0] * 3
    assert {each.fault for each in crowd.asked} == {"ConnectError"}
    assert "3 lost or hung (ConnectError)" in crowd.line()


def test_percentiles_are_of_the_answered() -> None:
    asked = [Asked(status=200, refused=k % 2, last=k, whole=2 * k) for k in range(101)]
    crowd = Crowd(
        asked=(*asked, Asked(status=0, refused=0, last=999, whole=999)), seconds=1, alone=1
    )
    assert crowd.percentile(95, lambda each: each.last) == 95
    assert crowd.percentile(50, lambda each: each.whole) == 100
    assert (crowd.with_status(200), crowd.with_status(0), crowd.refused_first) == (101, 1, 50)


@pytest.mark.slow
def test_64_clients_and_1000_requests(cli, tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "serve.csv"
    done = cli("bench", "serve", "--artifact", tiny_run, "--out", out)
    assert (done.code, done.err) == (0, "")
    with out.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["clients"], row["requests"], row["answered"]) == ("64", "1000", "1000")
    assert row["other_status"] == row["lost_or_hung"] == "0"
    assert int(row["refused_first"]) > 0
    assert 0 < float(row["p50_ms"]) <= float(row["p95_ms"]) <= float(row["p95_with_retries_ms"])


@pytest.mark.slow
def test_a_server_that_does_not_start(cli) -> None:
    line = cli("bench", "serve", "--artifact", "nowhere").line
    assert line.startswith("the server did not start: nowhere: no such run")


def test_mistakes(cli) -> None:
    assert "missing: --artifact;" in cli("bench", "serve").line
    assert "--clients is 0" in cli("bench", "serve", "--artifact", "x", "--clients", 0).line

"""Fixtures that every room's tests share."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from functools import cache, partial
from io import StringIO
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

# What a script starts in its background ignores Ctrl-C from the start, and so do the processes that
# it starts: the tests that stop one would wait for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["RES2NET_OFFLINE"] = "1"  # no test reaches beyond this machine
# Compiled modules are kept, whatever the shell has: every process that a test starts compiles them
# again where they are not.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Threads that wait by spinning starve each other where several processes share two cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
TINY = (
    *("train", "--model", "res2net29_small", "--net.depth", "11", "--recipe", "smoke"),
    *("--net.width", "4", "--train.threads", "1", "--input.workers", "0"),
)
REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def exact_convolutions() -> None:
    """What tests compare is computed in all bits of fp32, on a GPU too (its default has ten)."""
    torch.backends.cudnn.allow_tf32 = False


def pytest_collection_finish() -> None:
    """What is imported stays: no need to look through it for garbage again and again."""
    if "hypothesis" in sys.modules:  # imported later, it would not see who holds its sources
        gc.collect()
        gc.freeze()


def pytest_runtest_teardown() -> None:
    """PyTorch reads the source of all that it can write in ONNX at every export: once will do."""
    exporter = sys.modules.get("torch.onnx._internal.exporter._registration")
    made = getattr(exporter, "ONNXRegistry", None)
    if isinstance(getattr(made, "__dict__", {}).get("from_torchlib"), classmethod):
        made.from_torchlib = staticmethod(cache(made.from_torchlib))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of real samples, which users lack, are marked as such: ``-m real`` runs them."""
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker("real")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of small real samples: what a test with drawn ones holds is held there too."""
    root = Path(os.environ.get("RES2NET_DATA", REPOSITORY.parent / "shared" / "data"))
    assert root.is_dir(), f"no samples at {root}; set RES2NET_DATA"
    return root


@pytest.fixture(scope="session")
def sample_photos() -> list[Path]:
    """Two real photos, 640 by 427 pixels, which scikit-learn brings."""
    import sklearn.datasets

    return sorted(Path(sklearn.datasets.__file__).parent.joinpath("images").glob("*.jpg"))


class Output(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of a mistake."""
        assert self.code == 2, self
        (line,) = self.err.splitlines()
        assert line.startswith("res2net: ")
        return line.removeprefix("res2net: ")


Cli = Callable[..., Output]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """``cli("train", "--model", ...)``: the command line, in this process."""
    from res2net.cli.main import main

    def call(*words: object) -> Output:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Output(code, *capsys.readouterr())

    return call


Forked = Callable[..., ForkProcess]


@pytest.fixture(scope="session")
def forked() -> Forked:
    """``forked(words, output)``: the command line in a process of its own, to be killed or joined.

    It leads a group of its own and runs on CPUs; a new interpreter would import for ten seconds.
    """

    def start(words: Iterable[str], output: Path, **environment: str) -> ForkProcess:
        place = (tuple(words), output, environment)
        process = get_context("fork").Process(target=_forked, args=place)
        process.start()
        return process

    return start


def _forked(words: tuple[str, ...], output: Path, environment: dict[str, str]) -> None:
    from res2net.cli.main import main

    os.setsid()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = (os.fdopen(place, "w", 1, closefd=False) for place in (1, 2))
    torch.set_num_threads(1)
    torch.cuda.is_available = lambda: False
    try:
        torch.zeros((), requires_grad=True).backward()
    except RuntimeError:  # autograd has threads since a test before, which no fork takes along
        os.execv(sys.executable, [sys.executable, "-m", "res2net", *words])
    sys.exit(main(list(words)))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps on the digits; tests copy what they change."""
    from res2net.cli.main import main

    run = tmp_path_factory.mktemp("tiny") / "run"
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as err:
        code = main([*TINY, "--data", "digits", "--train.batch", "16", "--out", str(run)])
    assert (code, err.getvalue()) == (0, "")
    return run


@pytest.fixture(scope="session")
def without_pictures() -> Callable[[], AbstractContextManager[None]]:
    """Runs and evaluations without their pictures, which take longer than a few steps."""

    @contextmanager
    def patched() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("res2net.tasks.finish.draw_curves", lambda *_, **__: None)
            for task in ("detect", "pose", "saliency", "segment"):
                patch.setattr(f"res2net.tasks.{task}.scores.draw_scores", lambda *_, **__: None)
                patch.setattr(f"res2net.tasks.{task}.scores.draw_sheet", lambda *_, **__: None)
            for name in ("confusion", "calibration", "precision_recall", "mistakes"):
                drawn = f"res2net.tasks.classify.scores.draw_{name}"
                patch.setattr(drawn, lambda *_, **__: False)
            yield

    return patched


@pytest.fixture
def undrawn(without_pictures: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """A test without the pictures of its runs and evaluations."""
    with without_pictures():
        yield


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was written on the figures, filled when they are saved."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    found: list[str] = []
    savefig = Figure.savefig

    def listen(figure: Figure, *args: object, **options: object) -> None:
        found.extend(text.get_text() for text in figure.findobj(Text))
        savefig(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", listen)
    return found


@pytest.fixture(scope="module")
def few_scenes() -> Iterator[None]:
    """Eight generated scenes, and few masks in each: one costs as much as the rest of an image."""
    from torchvision.models.detection import MaskRCNN

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("res2net.data.scenes.generated.TRAIN", 8)
        patch.setattr("res2net.data.scenes.generated.VAL", 4)
        few = partial(MaskRCNN, box_detections_per_img=5)
        patch.setattr("res2net.heads.detector.MaskRCNN", few)
        yield


@pytest.fixture
def shapes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """On ``meta``, batch norms and random weights are left out: most of the time, and no shape."""
    norm, start = torch.nn.BatchNorm2d.forward, torch.nn.init.kaiming_normal_

    def forward(self: torch.nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
        return x if x.device.type == "meta" else norm(self, x)

    def initialise(tensor: torch.Tensor, *args: Any, **how: Any) -> torch.Tensor:
        return tensor if tensor.device.type == "meta" else start(tensor, *args, **how)

    monkeypatch.setattr(torch.nn.BatchNorm2d, "forward", forward)
    monkeypatch.setattr(torch.nn.init, "kaiming_normal_", initialise)


@pytest.fixture
def tiny() -> tuple[str, ...]:
    """``train`` with the options that make it a matter of a second, all but data and folder."""
    return TINY


@pytest.fixture
def served() -> Callable[..., AbstractContextManager[str]]:
    """``with served(run, waiting=2) as address``: a real server in a thread of this process."""

    @contextmanager
    def serve(run: Path, **limits: int) -> Iterator[str]:
        from res2net.serve.api import make_app
        from res2net.serve.networks import open_networks
        from res2net.serve.server import Server, address_of, take_port
        from res2net.serve.service import Limits, Service

        service = Service(open_networks([str(run)]), Limits(**limits))
        server = Server(make_app(service), service)
        with take_port("127.0.0.1", 0) as held:
            thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
            thread.start()
            while not server.started:
                time.sleep(0.01)
            try:
                yield address_of(held)
            finally:
                service.stopping = True
                thread.join(20)
        assert not thread.is_alive()

    return serve


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Small photos of three classes: 6 to train on and 3 to validate with of each."""
    root = tmp_path / "photos"
    chance = np.random.default_rng(0)
    for number, name in enumerate(("ant", "bee", "cat")):
        for split, count in (("train", 6), ("val", 3)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = chance.integers(0, 90, (40, 36, 3), dtype=np.uint8)
                pixels[..., number] += 160
                Image.fromarray(pixels).save(root / split / name / f"{i}.jpg", quality=90)
    return root


ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 7, 10**12, 10**30, 1.5, float("nan"), float("inf"), "", "x"),
    *("\x1b[2J\ud800", "http://127.0.0.1:9/x.pth", "../x", "a" * 300, [], ["x"], [7] * 3, [[]]),
    *({}, {"x": 7}, {"": {}}),
)


Spoilt = Callable[[Any], Iterator[Any]]


@pytest.fixture
def spoilt() -> Spoilt:
    """JSON value → those that differ from it at one place: an odd value there, or nothing."""
    return _spoilt


def _spoilt(value: Any) -> Iterator[Any]:
    yield from ODD_VALUES
    keys: Iterable[Any] = range(len(value)) if isinstance(value, list) else ()
    for key in value if isinstance(value, dict) else keys:
        for inside in _spoilt(value[key]):
            copy = value.copy()
            copy[key] = inside
            yield copy
        copy = value.copy()
        del copy[key]
        yield copy
    if isinstance(value, dict):
        yield {**value, "pretrained": "x", "unknown": 7}


class Tape:
    """A recorder that holds what a CUDA graph needs: one memory for images, one for the results."""

    def __init__(self):
        self.made, self.replayed = [], []

    def __call__(self, run, images):
        from res2net.capture import Recording

        own = images.clone()
        found = run(own)
        self.made.append(len(images))

        def replay():
            self.replayed.append(len(images))
            again = run(own)
            for kept, new in zip(_tensors(found), _tensors(again), strict=True):
                kept.copy_(new)

        return Recording(own, found, replay)


def _tensors(found):
    if isinstance(found, torch.Tensor):
        return [found]
    values = found.values() if isinstance(found, dict) else found
    return [tensor for value in values for tensor in _tensors(value)]


@pytest.fixture(scope="session")
def lively() -> Callable[[Any], Any]:
    """The network in float64, with norms as training leaves them."""
    return _lively


def _lively(net: Any) -> Any:
    chance = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=chance)
            module.running_var.uniform_(0.5, 1.5, generator=chance)
            torch.nn.init.uniform_(module.weight, 0.3, 0.9, generator=chance)
            torch.nn.init.normal_(module.bias, 0, 0.1, generator=chance)
    return net.double().eval()


@pytest.fixture
def tape() -> Tape:
    """In place of ``record_cuda``."""
    return Tape()

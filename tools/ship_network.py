"""Put a trained run into the package: weights, model.json and a card for people.

``python tools/ship_network.py RUN`` takes the run that ``res2net study cifar-shipped`` trained.
Every number of the card is one that the run wrote.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from res2net.card import CARD_NAME, WEIGHTS_NAME, ModelCard
from res2net.files import write_bytes, write_text
from res2net.paper.networks import find_variant
from res2net.paper.structure import tally
from res2net.weights.catalogue import SHIPPED

LARGEST = 8e6  # bytes that a package may carry
CARD = """# {network}, as this package ships it
A small {network} ({options}) that knows the {classes} classes of {data}, so that `res2net
predict`, `explain` and `serve` have something to show without a download. It sees {size}×{size}
pixels, so it knows things by their rough shape and colour; train or fine-tune a network of your own
for real work.

| | |
| --- | --- |
| parameters | {params:.2f} M |
| multiply-adds of an image | {macs:.0f} M |
| top-1 error on {data}, {tested} test images | {top1:.2f} % |
| top-5 error | {top5:.2f} % |
| epochs; the best one is kept, chosen on the images above | {epochs} |
| recipe | `{recipe}`, from scratch, one thread of {cpu} |
| trained at | {commit}, torch {torch} |
| file | {size_mb:.2f} MB |

It was trained by `res2net study cifar-shipped`. The weights have the licence of this package; the
training images are not part of it. They show a hundred kinds of things in even numbers and nothing
else: whatever you show it, it names one of these, and its certainty says little about a photo that
shows none of them.
"""


def ship(run: Path) -> list[Path]:
    """Write the three files; returns them.

    Raises:
        UserError: not a run folder.
        SystemExit: weights too large for a package.
    """
    found = ModelCard.read(run / CARD_NAME)
    weights = (run / WEIGHTS_NAME).read_bytes()
    if len(weights) > LARGEST:
        raise SystemExit(f"{run}: {len(weights)} bytes of weights, a package may carry {LARGEST}")
    data = found.data.partition(":")[0]
    card = replace(found, data=data, notes=f"trained on {data} by this project, from scratch")
    size = card.preprocess.size
    options = {name: card.options[name] for name in ("width", "scale") if name in card.options}
    count = tally(find_variant(card.network, options), size=size, num_classes=len(card.classes))
    history = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()
    said = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    text = CARD.format(
        network=card.network,
        options=", ".join(f"{name} {value}" for name, value in options.items()),
        classes=len(card.classes),
        data=data,
        size=size,
        params=count.params / 1e6,
        macs=count.macs / 1e6,
        tested=said["count"],
        top1=said["top1_error"],
        top5=said["top5_error"],
        epochs=len(history) - 1,
        recipe=card.recipe,
        cpu=card.versions["cpu"],
        torch=card.versions["torch"],
        commit=card.commit,
        size_mb=len(weights) / 1e6,
    )
    SHIPPED.mkdir(exist_ok=True)
    files = [SHIPPED / name for name in (WEIGHTS_NAME, CARD_NAME, "README.md")]
    write_bytes(files[0], weights)
    write_text(files[1], json.dumps(card.as_dict(), indent=2) + "\n")
    write_text(files[2], text)
    return files


if __name__ == "__main__":
    for written in ship(Path(sys.argv[1])):
        print(written)

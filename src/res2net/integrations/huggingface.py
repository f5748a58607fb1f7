"""Trained networks on the Hugging Face hub: save, push and load them as others are.

What is written is also a run folder to everything in this project (``res2net.load``,
``res2net predict``): weights under the network's own names, and ``model.json`` beside them.

Legend: B batch · H, W space · N classes
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from res2net.card import ModelCard
from res2net.data.foreign import read_json
from res2net.data.preprocess import Preprocess
from res2net.errors import UserError, one_line
from res2net.files import write_text
from res2net.integrations import missing
from res2net.models.network import Network
from res2net.models.weights import (
    CARD_NAME,
    WEIGHTS_NAME,
    apply_weights,
    build,
    check_description,
    load_target,
    read_weights,
    save_weights,
)
from res2net.tasks.classify.task import CLASSIFY, Classifier

try:
    from huggingface_hub import ModelCard as HubCard
    from huggingface_hub import PyTorchModelHubMixin
except ModuleNotFoundError as error:
    raise missing(__name__, error, "res2net[hub]") from None

README = """---
{{ card_data }}
---

# {{ network }}

{{ summary }}

```python
from res2net.integrations.huggingface import HubModel

model = HubModel.from_pretrained("<this repository or folder>")
model.predictor().predict("photo.jpg")
```

{% for name, value in facts.items() if value %}- {{ name }}: {{ value }}
{% endfor %}
"""


class HubModel(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="res2net",
    pipeline_tag="image-classification",
    tags=["res2net"],
    paper_url="https://arxiv.org/abs/1904.01169",
    model_card_template=README,
):
    """A trained classifier with its classes and preprocessing: (B, 3, H, W) → (B, N).

    Make one with ``HubModel.from_run(target)`` or ``HubModel.of(network, card)``.

    Args:
        card: the content of a ``model.json`` (``ModelCard.as_dict()``); it goes to ``config.json``.

    Raises:
        UserError: no card, or none of this version.
    """

    def __init__(self, card: dict[str, Any] | None = None) -> None:
        super().__init__()
        if card is None:
            raise UserError("there is no config.json here with the description of a res2net model")
        self.card = ModelCard.from_dict(card, "config.json")
        check_description(lambda: build(self.card), "config.json")
        self.network = build(self.card)

    @classmethod
    def of(cls, network: Network, card: ModelCard) -> HubModel:
        """A network that is in memory, with its description.

        Raises:
            UserError: weights that do not fit the description.
        """
        model = cls(card.as_dict())
        apply_weights(model.network, network.state_dict(), "the network")
        return model.eval()

    @classmethod
    def from_run(cls, target: str | Path) -> HubModel:
        """A run folder, a checkpoint, or a ``.safetensors`` file with its ``model.json``.

        Raises:
            UserError: nothing there, or nothing that can be loaded.
        """
        return cls.of(*load_target(target))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **how: Any) -> HubModel:
        """A repository of the hub (``OWNER/NAME``) or a folder; ``how`` is the mixin's.

        Raises:
            UserError: no description, or a damaged one; weights that are damaged or do not fit.
        """
        config = Path(pretrained_model_name_or_path) / "config.json"
        if config.exists() and not isinstance(read_json(config, "a description"), dict):
            raise UserError(f"{config}: not a description of a res2net model")
        try:
            found: HubModel = super().from_pretrained(str(pretrained_model_name_or_path), **how)
        except (ValueError, RecursionError, AttributeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{pretrained_model_name_or_path}: {one_line(error)}") from None
        return found

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the logits."""
        return self.card.classes

    @property
    def preprocess(self) -> Preprocess:
        """What an image goes through before the network."""
        return self.card.preprocess

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits

    def predictor(self) -> Classifier:
        """The same model for files and pictures (see ``res2net.load``)."""
        return Classifier(CLASSIFY, self.card, model=self.network)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> HubCard:
        """The README of a repository: what the network is, how to use it, what is known of it."""
        size = self.preprocess.size
        names = ", ".join(self.classes[:10]) + (", ..." if len(self.classes) > 10 else "")
        facts = {
            "images": f"{size}×{size} pixels",
            "data": self.card.data,
            "recipe": self.card.recipe,
            **{name: f"{value:.4g}" for name, value in self.card.metrics.items()},
            "notes": self.card.notes,
        }
        return super().generate_model_card(
            *args,
            network=self.card.network,
            summary=f"Image classifier of {len(self.classes)} classes: {names}.",
            facts=facts,
            **kwargs,
        )

    def _save_pretrained(self, save_directory: Path) -> None:
        save_weights(self.network, save_directory / WEIGHTS_NAME)
        write_text(save_directory / CARD_NAME, json.dumps(self.card.as_dict(), indent=2))

    @classmethod
    def _load_as_safetensor(
        cls,
        model: Any,
        model_file: str,
        map_location: str,
        strict: bool,  # noqa: ARG003
    ) -> Any:
        """Every tensor or an error; the mixin would leave out what does not fit."""
        state, _ = read_weights(Path(model_file))
        apply_weights(model.network, state, model_file)
        return model.to(map_location).eval()

    @classmethod
    def _load_as_pickle(cls, model: Any, model_file: str, *_: Any) -> Any:  # noqa: ARG003
        raise UserError(f"{model_file}: only {WEIGHTS_NAME} is read; this repository has none")

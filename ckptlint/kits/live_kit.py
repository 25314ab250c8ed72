"""The torch kit beside a model that is there: what migrations leave to the model's initialisation is what the model holds now."""

from __future__ import annotations

import torch
from torch import nn

from ckptlint.core.operation import External
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import PlanError, UsageError
from ckptlint.kits.torch_kit import TorchKit


class LiveKit(TorchKit):
    """`model` is only read; Python code that migrations name is not run."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def external(
        self, asked: External, inputs: tuple[torch.Tensor, ...], specs: tuple[TensorSpec, ...]
    ) -> tuple[torch.Tensor, ...]:
        """Return the model's own tensor; `PlanError` where it has none of that name."""
        if asked.kind == "drawn":
            return super().external(asked, inputs, specs)
        if asked.kind != "model":
            raise UsageError(
                f"the migration calls {asked.name}: Python code is not run while loading",
                hint="`ckptlint migrate --allow-python` makes a new file",
            )
        found = self._model.state_dict().get(asked.name)
        if not isinstance(found, torch.Tensor):
            raise PlanError(f"{asked.name} is to be what the model begins with, and the model has none")
        made = found.detach().clone()
        if self.spec(made).shape != specs[0].shape:
            raise PlanError(f"{asked.name} is {self.spec(made)} in the model, and {specs[0]} in the migration")
        return (made,)

"""What a run optimizes and how it is judged: the one thing that `fit` must be told by its task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn

from course_utils.data import Features

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Objective:
    """The parts of a training run that differ from task to task.

    loss: called as loss(model, batch); the mean loss over the labels of the batch that are not
        -100, as a scalar tensor. `fit` does the weighting over micro-batches and processes, so that
        any split of a batch gives the full batch's gradient.
    collate: called as collate(examples); a batch of tensors that holds "labels".
    evaluate: called as evaluate(model, accelerator); metrics by name, `best_metric` among them.
        None: nothing is evaluated, and the last weights are kept.
    best_metric: the weights with the best value of it are kept and put back at the end. Higher is
        better; of "loss", lower.
    """

    loss: Callable[[nn.Module, Batch], torch.Tensor]
    collate: Callable[[Sequence[Features]], Batch]
    evaluate: Callable[[nn.Module, Accelerator], Mapping[str, float]] | None = None
    best_metric: str = "accuracy"

    def score(self, metrics: Mapping[str, float]) -> float:
        """The best metric's value, higher for better. Raises ValueError if it is not there."""
        if self.best_metric not in metrics:
            raise ValueError(
                f'evaluate must return "{self.best_metric}", it returned {sorted(metrics)}'
            )
        value = metrics[self.best_metric]
        return -value if self.best_metric == "loss" else value

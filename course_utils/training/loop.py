"""fit: the one training loop, behind pre-training and every fine-tune, on one device or many."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from course_utils import models
from course_utils.config import TrainConfig
from course_utils.data import Features, make_batches
from course_utils.progress import is_first_process
from course_utils.training import hardware, saved_state
from course_utils.training.interrupts import (
    Interrupted,
    finish_update_on_signal,
    interrupts_in_one_line,
)
from course_utils.training.objective import Batch, Objective
from course_utils.training.optimization import linear_schedule, parameter_groups
from course_utils.training.runs import RunFolder
from course_utils.training.trial import PrecisionTrial

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitResult:
    """What a run did.

    history: one entry per update (step, loss in nats, learning_rate), and one per evaluation (step,
        and eval_NAME for each metric).
    num_updates: done in all, earlier starts included.
    resumed_from_steps: the updates after which the run was stopped and went on.
    train_seconds: time spent in updates, over all starts.
    best_step: the update whose weights were kept; None without evaluations.
    finished: False if the run was stopped on purpose before its end.
    accelerator: device, precision and processes of the run, for an evaluation after it.
    """

    history: list[dict[str, float]]
    num_updates: int
    resumed_from_steps: list[int]
    train_seconds: float
    examples_per_second: float
    hardware: hardware.Hardware
    best_step: int | None
    finished: bool
    accelerator: Accelerator = field(repr=False)


@dataclass
class _Progress:
    """Where a run stands; saved as JSON with each state."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    resumed_from_steps: list[int] = field(default_factory=list)
    train_seconds: float = 0.0
    examples_seen: int = 0
    best_step: int | None = None
    best_score: float = -math.inf
    evaluations_without_gain: int = 0
    stopped_early: bool = False


def fit(
    model: nn.Module,
    features: Sequence[Features],
    config: TrainConfig,
    objective: Objective,
    *,
    output_dir: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    stop_after: int | None = None,
    progress: bool = False,
) -> FitResult:
    """Train `model` in place on `features`; with `output_dir`, save as it goes and resume.

    model: left on the device that trained it, in eval mode. If the run is stopped before its end,
        it holds the best weights so far (or the average so far).
    features: the training examples, each with "input_ids"; `objective.collate` makes batches.
    config: the recipe.
    objective: what is optimized, and how it is judged.
    output_dir: the run's folder; None: nothing is saved.
    identity: what else must be the same for `output_dir` to be this run's, such as the name of the
        start weights.
    stop_after: stop, saved, once this many updates are done in all.
    progress: show a bar.

    Precision and threads are chosen in two seconds at most, before the first update
    (`hardware.choose`); torch is left with that number of threads. Where a measurement chose bf16,
    and the first updates are far slower than fp32 can be, the run goes on in fp32 and says so in
    the log.

    Started again with the same `output_dir`, data and config, a run goes on from its last saved
    state, and its final weights are bit for bit those of an uninterrupted run on the same machine
    with the same threads. Ctrl-C and SIGTERM let the current update finish and save it, and raise
    Interrupted, a KeyboardInterrupt. Seeds torch's global generator with config.seed.

    Raises ValueError if `output_dir` holds another run (both values named) or there are no
    examples; OSError if it cannot be written; FloatingPointError if the loss is not finite;
    MemoryError that says what to make smaller.
    """
    if not len(features):
        raise ValueError("there are no training examples; expected at least one")
    folder = None
    if output_dir is not None:
        content = {"num_examples": len(features), "data_sha256": _digest(features)}
        folder = RunFolder(output_dir, {**(identity or {}), **config.identity(), **content})
    try:
        with tqdm(
            desc="choosing precision and threads",
            total=config.num_updates(len(features)),
            unit="update",
            disable=not (progress and is_first_process()),
        ) as bar:
            run = _Run(model, features, config, objective, folder)
            stopped = "stopped at once; the state that was saved last is untouched"
            with interrupts_in_one_line(stopped), finish_update_on_signal() as signalled:
                run.train(stop_after, bar, signalled)
        return run.result()
    except (RuntimeError, MemoryError) as error:
        if hardware.is_out_of_memory(error):
            raise MemoryError(
                f"out of memory: batch_size={config.batch_size}, gradient_accumulation_steps="
                f"{config.gradient_accumulation_steps}; more of these, or shorter inputs, need less"
            ) from error
        raise
    finally:
        hardware.unwrap(model)
        hardware.release_freed_memory()


class _Run:
    """One call of fit: its model, optimizer, place in the data, and saved state."""

    def __init__(
        self,
        model: nn.Module,
        features: Sequence[Features],
        config: TrainConfig,
        objective: Objective,
        folder: RunFolder | None,
    ) -> None:
        self.features = features
        self.config = config
        self.objective = objective
        self.folder = folder
        self.lengths = [len(feature["input_ids"]) for feature in features]
        self.num_updates = config.num_updates(len(features))
        self.num_warmup = config.warmup_updates(self.num_updates)
        self.progress = _Progress()
        record = folder.start() if folder else {}
        self.hardware = self._choose_hardware(model, record)
        log.info("computing with %s", self.hardware.reason)
        optimizer = torch.optim.AdamW(
            parameter_groups(model, config),
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.adam_epsilon,
            fused=self.hardware.device != "mps",
        )
        self._prepare(model, optimizer)
        self.trial = PrecisionTrial(self.bare_model) if self._bf16_is_on_trial(record) else None
        self.average = None
        if config.average_decay:
            averaging = get_ema_multi_avg_fn(config.average_decay)
            self.average = AveragedModel(self.bare_model, multi_avg_fn=averaging)
        self.best: models.Tensors = {}
        optimizer.zero_grad()  # of whatever the model did before
        torch.manual_seed(config.seed + self.accelerator.process_index)
        self._resume()
        self._write_record()

    def _prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Wrap model and optimizer for the device, precision and processes of this run."""
        self.accelerator = hardware.make_accelerator(self.hardware.precision)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.bare_model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)

    def _write_record(self) -> None:
        if self.folder and self.accelerator.is_main_process:
            self.folder.write_record(self.hardware.to_dict())

    # --- the loop

    def train(self, stop_after: int | None, bar: tqdm, signalled: threading.Event) -> None:
        last_step = self.num_updates if stop_after is None else min(stop_after, self.num_updates)
        last_save, interrupted = time.monotonic(), False
        self.model.train()
        bar.set_description("training", refresh=False)
        # The rate that the bar shows is that of this start.
        bar.n = bar.last_print_n = bar.initial = self.progress.step
        bar.refresh()
        for batch_indices in self._remaining_batches(last_step):
            self._update(batch_indices, bar)
            if self._evaluation_is_due():
                self._evaluate()
            interrupted = self._agree(signalled.is_set())
            stop = interrupted or self.progress.step >= last_step or self.progress.stopped_early
            if stop or self._agree(self._save_is_due(last_save)):
                self._save()
                last_save = time.monotonic()
            if stop:
                break
        if interrupted:
            outcome = "not saved, as there is no output_dir"
            if self.folder:
                outcome = "saved; start again to go on"
            raise Interrupted(f"stopped after update {self.progress.step}, {outcome}")
        self._take_final_weights()

    def _remaining_batches(self, last_step: int) -> Iterator[list[int]]:
        """The global batches from the current step on: a pure function of seed and epoch,
        so no state is needed.
        """
        batches_per_epoch = math.ceil(len(self.features) / self.config.batch_size)
        while self.progress.step < last_step and not self.progress.stopped_early:
            epoch, position = divmod(self.progress.step, batches_per_epoch)
            generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
            batches = make_batches(
                self.lengths,
                self.config.batch_size,
                generator=generator,
                group_by_length=self.config.length_grouping,
            )
            yield from batches[position : position + last_step - self.progress.step]

    def _update(self, batch_indices: list[int], bar: tqdm) -> None:
        """One optimizer step on one global batch,
        of which this process takes every n-th example.
        """
        start = time.perf_counter()
        factor = linear_schedule(self.progress.step, self.num_updates, self.num_warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        micro_batches = self._micro_batches(batch_indices)
        loss = self._sum(self._backward(micro_batches))
        norm = self._clip_gradients()
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise FloatingPointError(
                f"the loss is {loss}, its gradient's norm {norm} at update "
                f"{self.progress.step + 1}, learning rate "
                f"{self.config.learning_rate * factor:.2g}; take a lower learning_rate or "
                'precision="fp32". The last saved state is untouched'
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.bare_model)
        self.progress.step += 1
        seconds = time.perf_counter() - start
        self.progress.train_seconds += seconds
        self.progress.examples_seen += len(batch_indices)
        self.progress.history.append(
            {
                "step": self.progress.step,
                "loss": loss,
                "learning_rate": self.config.learning_rate * factor,
            }
        )
        bar.update()
        bar.set_postfix(
            loss=f"{loss:.3f}", examples_per_s=f"{self._examples_per_second():.1f}", refresh=False
        )
        self._judge_precision(seconds, micro_batches)

    def _bf16_is_on_trial(self, saved: Mapping[str, Any]) -> bool:
        """Whether bf16 was neither asked for by name, nor kept from an earlier start,
        and one process may change it.
        """
        chosen = self.hardware.device == "cpu" and self.hardware.precision == "bf16"
        asked = hardware.asked_precision(self.config.precision) != "auto"
        return chosen and not asked and not saved and self.accelerator.num_processes == 1

    def _judge_precision(self, seconds: float, micro_batches: Sequence[Batch]) -> None:
        """After the first updates in bf16: go on in fp32 if bf16 turns out far slower."""
        if self.trial is None:
            return
        num_tokens = sum(batch["input_ids"].numel() for batch in micro_batches)
        if why := self.trial.verdict(seconds, num_tokens):
            self._go_on_in_fp32(why)

    def _go_on_in_fp32(self, why: str) -> None:
        threads = self.hardware.num_threads
        self.hardware = replace(
            self.hardware, precision="fp32", reason=f"cpu, fp32, {threads} threads: {why}"
        )
        self.trial = None
        log.warning("update %d: going on in fp32, as %s", self.progress.step + 1, why)
        hardware.unwrap(self.bare_model)
        if self.average is not None:
            hardware.unwrap(self.average.module)
        self._prepare(self.bare_model, self.optimizer.optimizer)
        self._write_record()

    def _clip_gradients(self) -> float:
        """Scale the gradient down to max_grad_norm;
        return its norm before, if an infinite one is an error.
        """
        if not self.config.max_grad_norm:
            return 0.0
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        # fp16's scaler leaves out updates that overflow, so there an infinite norm is no error.
        return 0.0 if self.accelerator.scaler else float(norm)

    def _micro_batches(self, batch_indices: list[int]) -> list[Batch]:
        """This process's share of a global batch,
        in gradient_accumulation_steps parts of similar size.
        """
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        parts = self.config.gradient_accumulation_steps
        mine = batch_indices[rank::world]
        # A share with no example still takes part, with an ignored label: every process must call
        # backward.
        chunks = [
            mine[part::parts] or batch_indices[:1] for part in range(min(parts, max(1, len(mine))))
        ]
        batches = []
        for chunk in chunks:
            batch = self.objective.collate([self.features[index] for index in chunk])
            if not mine:
                batch["labels"] = torch.full_like(batch["labels"], -100)
            batches.append(self._to_device(batch))
        return batches

    def _to_device(self, batch: Batch) -> Batch:
        return {name: tensor.to(self.accelerator.device) for name, tensor in batch.items()}

    def _backward(self, micro_batches: list[Batch]) -> float:
        """Accumulate the gradient of the mean loss over the whole global batch;
        return this process's part of it.
        """
        counts = [int((batch["labels"] != -100).sum()) for batch in micro_batches]
        total, loss_part = self._sum(sum(counts)), 0.0
        for number, (batch, count) in enumerate(zip(micro_batches, counts, strict=True)):
            last = number == len(micro_batches) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                share = count / max(1.0, total)
                loss = self._loss(batch) if count else self._zero_loss(batch)
                # DDP averages gradients over processes: undo that, the shares already sum to one.
                self.accelerator.backward(loss * (share * self.accelerator.num_processes))
                loss_part += loss.item() * share
        return loss_part

    def _loss(self, batch: Batch) -> torch.Tensor:
        return self.objective.loss(self.model, batch)

    def _zero_loss(self, batch: Batch) -> torch.Tensor:
        """A loss of 0 that reaches every parameter: the mean over no label at all would be NaN."""
        counted = {**batch, "labels": torch.zeros_like(batch["labels"])}
        return self._loss(counted) * 0.0

    # --- evaluation

    def _evaluation_is_due(self) -> bool:
        if self.objective.evaluate is None:
            return False
        every = self.config.eval_steps or math.ceil(len(self.features) / self.config.batch_size)
        return self.progress.step % every == 0 or self.progress.step == self.num_updates

    def _evaluate(self) -> None:
        """Measure, keep the best weights, and see whether patience has run out."""
        model = self.bare_model if self.average is None else self.average.module
        metrics = dict(self.objective.evaluate(model, self.accelerator))
        self.model.train()
        score = self.objective.score(metrics)
        named = {f"eval_{name}": value for name, value in metrics.items()}
        self.progress.history.append({"step": self.progress.step, **named})
        if score > self.progress.best_score:
            self.progress.best_score, self.progress.best_step = score, self.progress.step
            self.progress.evaluations_without_gain = 0
            self.best = {
                name: tensor.clone() for name, tensor in models.model_tensors(model).items()
            }
        else:
            self.progress.evaluations_without_gain += 1
        patience = self.config.early_stopping_patience
        self.progress.stopped_early = 0 < patience <= self.progress.evaluations_without_gain

    def _take_final_weights(self) -> None:
        """Put the best weights (if evaluated), else the average (if kept), into the model."""
        if self.best:
            models.load_tensors(self.bare_model, self.best)
        elif self.average is not None:
            models.load_tensors(self.bare_model, models.model_tensors(self.average.module))
        self.bare_model.eval()
        self.accelerator.free_memory()

    # --- state

    def _tensors(self) -> dict[str, models.Tensors]:
        average = {} if self.average is None else models.model_tensors(self.average)
        return {
            "model": models.model_tensors(self.bare_model),
            "average": average,
            "best": self.best,
            "optimizer": saved_state.optimizer_tensors(self.optimizer),
        }

    def _save(self) -> None:
        """Write the whole state; every process hands its random state to the main one."""
        if self.folder is None:
            return
        random_states = gather_object([saved_state.random_states()])
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
            saved_state.save_state(
                self.folder.states,
                self.progress.step,
                self._tensors(),
                {**vars(self.progress), "random_states": random_states, "scaler": scaler},
            )
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        """Go on from the newest state, if there is one."""
        state = self.folder and saved_state.newest_state(self.folder.states)
        if len(set(gather_object([str(state)]))) > 1:
            raise ValueError(
                f"the processes see different states in {self.folder.path}; "
                "all machines must share it"
            )
        if not state:
            return
        tensors, saved = saved_state.load_state(state, self._tensors())
        random_states, scaler = saved.pop("random_states"), saved.pop("scaler")
        self.progress = _Progress(**saved)
        models.load_tensors(self.bare_model, tensors["model"])
        saved_state.load_optimizer(self.optimizer, tensors["optimizer"])
        if self.average is not None:
            models.load_tensors(self.average, tensors["average"])
        self.best = {
            name: tensor.to(self.accelerator.device) for name, tensor in tensors["best"].items()
        }
        if scaler and self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(scaler)
        # Another number of processes draws anew.
        if len(random_states) == self.accelerator.num_processes:
            saved_state.restore_random_states(random_states[self.accelerator.process_index])
        if self.progress.step < self.num_updates and not self.progress.stopped_early:
            self.progress.resumed_from_steps.append(self.progress.step)

    def _save_is_due(self, last_save: float) -> bool:
        if self.config.save_steps:
            return self.progress.step % self.config.save_steps == 0
        return time.monotonic() - last_save > 60 * self.config.save_minutes

    # --- helpers

    def _choose_hardware(self, model: nn.Module, record: Mapping[str, Any]) -> hardware.Hardware:
        """The choice of the run's first start if there was one, changed only by what the config
        asks for by name.
        """
        accelerator = hardware.make_accelerator()
        model.to(accelerator.device).train()
        former = record.get("hardware", {})
        precision = hardware.asked_precision(self.config.precision)
        threads = self.config.num_threads
        if former and former["device"] == accelerator.device.type:  # on another device: choose anew
            precision = former["precision"] if precision == "auto" else precision
            threads = threads or former["num_threads"]
        num_parts = self.config.gradient_accumulation_steps * accelerator.num_processes
        rows = max(1, self.config.batch_size // num_parts) * max(self.lengths)
        box: list[hardware.Hardware | None] = [None]
        if accelerator.is_main_process:
            box[0] = hardware.choose(model, num_rows=rows, precision=precision, num_threads=threads)
        broadcast_object_list(box)
        chosen = box[0]
        torch.set_num_threads(chosen.num_threads)
        if former and former == {**chosen.to_dict(), "reason": former["reason"]}:
            return hardware.Hardware(**former)  # the reason is still what the first start measured
        return chosen

    def _sum(self, value: float) -> float:
        """Sum a number over all processes, in double precision."""
        if self.accelerator.num_processes == 1:
            return float(value)
        number = torch.tensor(value, dtype=torch.float64, device=self.accelerator.device)
        return self.accelerator.reduce(number, "sum").item()

    def _agree(self, flag: bool) -> bool:
        """True on every process if it is true on any: they must save and stop together."""
        return self._sum(float(flag)) > 0

    def _examples_per_second(self) -> float:
        return self.progress.examples_seen / max(1e-9, self.progress.train_seconds)

    def result(self) -> FitResult:
        return FitResult(
            history=self.progress.history,
            num_updates=self.progress.step,
            resumed_from_steps=self.progress.resumed_from_steps,
            train_seconds=self.progress.train_seconds,
            examples_per_second=self._examples_per_second(),
            hardware=self.hardware,
            best_step=self.progress.best_step,
            finished=self.progress.step >= self.num_updates or self.progress.stopped_early,
            accelerator=self.accelerator,
        )


def _digest(features: Sequence[Features]) -> str:
    """A fingerprint of the training data, ids and labels in their order."""
    digest = hashlib.sha256()
    for feature in features:
        digest.update(json.dumps([feature["input_ids"], feature.get("labels")]).encode())
    return digest.hexdigest()

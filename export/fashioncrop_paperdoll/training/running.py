"""Starts the processes that train one model together."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace

import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn

from fashioncrop_paperdoll.scene import TRAINING_SEEDS, VALIDATION_SEEDS
from fashioncrop_paperdoll.training.clip_task import ClipTask
from fashioncrop_paperdoll.training.crop_pool import CropPool
from fashioncrop_paperdoll.training.depth_task import DepthTask
from fashioncrop_paperdoll.training.detector_task import DetectorTask
from fashioncrop_paperdoll.training.loop import Task, Workers, train
from fashioncrop_paperdoll.training.pool import Pool
from fashioncrop_paperdoll.training.recipes import Model, Run

_JUDGED_SCENES = 100


def start(run: Run) -> None:
    """Train, in as many processes as the run says; returns when all have ended."""
    run.folder.mkdir(parents=True, exist_ok=True)
    _make_task(replace(run, batch=run.workers), run.workers)  # draws what is missing, once
    if run.workers == 1:
        _work(0, run, "")
        return
    with tempfile.TemporaryDirectory() as meeting:
        spawn(_work, (run, f"{meeting}/store"), nprocs=run.workers)  # type: ignore[no-untyped-call]


def _work(rank: int, run: Run, store: str) -> None:
    if run.workers > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // run.workers))
        distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=run.workers)
    torch.set_default_device(run.device)
    torch.manual_seed(run.recipe.seed)
    task = _make_task(run, 1)
    train(task, run.recipe, run.folder, Workers(rank, run.workers))
    if run.workers > 1:
        distributed.destroy_process_group()


def _make_task(run: Run, processes: int) -> Task:
    batch = run.batch // run.workers
    training = range(TRAINING_SEEDS.start, TRAINING_SEEDS.start + run.scenes)
    judging = range(VALIDATION_SEEDS.start, VALIDATION_SEEDS.start + _JUDGED_SCENES)
    if run.model is Model.CLIP:
        crops = [CropPool(run.folder.parent / "crops", seeds, processes=processes) for seeds in (training, judging)]
        return ClipTask(crops[0], crops[1], batch=batch, device=run.device)
    pools = [Pool(run.folder.parent / "scenes", seeds, processes=processes) for seeds in (training, judging)]
    if run.model is Model.DEPTH:
        return DepthTask(pools[0], pools[1], batch=batch, device=run.device)
    return DetectorTask(
        pools[0],
        pools[1],
        batch=batch,
        small_steps=run.small_steps,
        focused_steps=run.recipe.steps,
        device=run.device,
    )

"""Makes one engine from a plan: the graph, its comparison with the original, and the identity that names both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import onnx

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import engine_folder, read_config
from fashioncrop_export import validation
from fashioncrop_export.checkpoints import Checkpoint, file_digest
from fashioncrop_export.graph_plan import GraphPlan
from fashioncrop_export.half_storage import restore_from_half, store_in_half
from fashioncrop_export.identity import (
    TOKENIZER_FILE,
    ModelIdentity,
    exporter_versions,
    files_of,
    read_identity,
    write_identity,
)
from fashioncrop_export.onnx_graph import clean, opset_of, simplify, trace
from fashioncrop_export.originals import tokenizer_of
from fashioncrop_export.quantisation import quantise
from fashioncrop_export.variants import Variant

OnStage: TypeAlias = Callable[[Literal["export", "clean", "quantise", "validate"]], None]


def make_fp32(
    plan: GraphPlan, checkpoint: Checkpoint, repository: Path, folder: Path, on_stage: OnStage
) -> ModelIdentity:
    """Trace the original and prove that the graph computes the same.

    Args:
        plan: of the model.
        checkpoint: what it is made from.
        repository: holds the configuration that the graph has to fit.
        folder: where the engine's files are written.
        on_stage: told what begins.

    Raises:
        ParityError: the graph is not what it has to be.
    """
    engine = folder / Variant.FP32.engine_file
    on_stage("export")
    model = trace(plan)
    on_stage("clean")
    model = simplify(model)
    clean(plan, model)
    if checkpoint.has_half_weights:
        store_in_half(model)
    onnx.save(model, str(engine))
    on_stage("validate")
    figures = validation.validate(plan, engine, read_config(repository, plan.role))
    identity = ModelIdentity(
        role=plan.role.value,
        name=checkpoint.name,
        version=checkpoint.version,
        source=checkpoint.source,
        trained=checkpoint.trained,
        license=checkpoint.license,
        domain=checkpoint.domain,
        digest=file_digest(engine),
        checkpoint_digests=checkpoint.digests,
        config_digest=file_digest(repository / plan.role / Variant.FP32.config_file),
        exporter=exporter_versions(),
        opset=opset_of(model),
        ir_version=model.ir_version,
        preprocessing=dict(plan.preprocessing),
        parity=[figure.to_json() for figure in figures],
    )
    if TOKENIZER_FILE in files_of(plan.role):
        tokenizer_of(checkpoint).save(str(folder / TOKENIZER_FILE))
    write_identity(identity, folder)
    return identity


def make_int8(
    plan: GraphPlan, checkpoint: Checkpoint, repository: Path, folder: Path, on_stage: OnStage
) -> ModelIdentity:
    """Quantise the fp32 engine that is in the repository, and compare with the original, not with that engine.

    Args:
        plan: of the model.
        checkpoint: what the fp32 engine was made from.
        repository: holds that engine, and the configuration that the int8 engine has to fit.
        folder: where the int8 engine's files are written.
        on_stage: told what begins.

    Raises:
        ModelFileError: there is no fp32 engine, or the model has no int8 variant.
        ParityError: the graph is not what it has to be.
    """
    source_folder, engine = engine_folder(repository, plan.role), folder / Variant.INT8.engine_file
    config = repository / plan.role / Variant.INT8.config_file
    source = read_identity(source_folder)
    if source is None or plan.quantisation is None:
        raise ModelFileError(f"{config} asks for an int8 engine of {plan.role}, and there is none. Remove the file.")
    on_stage("quantise")
    exact = onnx.load(str(source_folder / Variant.FP32.engine_file))
    restore_from_half(exact)
    model = quantise(exact, plan.quantisation.exact)
    clean(plan, model)
    if checkpoint.has_half_weights:
        store_in_half(model)
    onnx.save(model, str(engine))
    on_stage("validate")
    figures = validation.validate(plan.quantised(), engine, read_config(repository, plan.role, Variant.INT8))
    identity = source.model_copy(
        update={
            "variant": Variant.INT8,
            "digest": file_digest(engine),
            "source_digest": source.digest,
            "config_digest": file_digest(config),
            "exporter": exporter_versions(),
            "opset": opset_of(model),
            "ir_version": model.ir_version,
            "parity": [figure.to_json() for figure in figures],
        }
    )
    write_identity(identity, folder)
    return identity

"""The stage `score`: one arm on all suites, or the judge on two arms' answers.

    ScoreNode(arm=base@nf4, suites=[capitals])
    -> samples.jsonl     {"arm": "base@nf4", "suite": "capitals", "metric": "acc", "doc_hash": "9f..", "value": 1.0}
       generations.jsonl {"arm": "base@nf4", "suite": "python-docs-answers", "prompt": "...", "output": "...", ...}
       arm.json          what was scored and under which conditions
       timing.json       how long it took

Suites and documents are checked before the model is loaded.
"""

from __future__ import annotations

from pathlib import Path

from workbench.core.fingerprints import file_sha256, tree_sha256
from workbench.core.nodes import JudgeNode, ScoreNode
from workbench.core.stage import Context, Inputs, Outcome, Stage
from workbench.core.suites import Suite, fewshot_path, suite_path


def run(config: ScoreNode | JudgeNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Scores an arm (samples, generations, arm, timing) or judges two (judgments, trust)."""
    if isinstance(config, JudgeNode):
        from workbench.score.judge import run_judge

        return run_judge(config, inputs, ctx)
    from workbench.score.arm import score_arm

    return score_arm(config, inputs, ctx)


def external(config: ScoreNode | JudgeNode, project: Path) -> dict[str, str]:
    """Hashes of suite files, weights (a base's too) and a named adapter.

    Before any run: UsageError for bad suites, PrerequisiteError for a missing model, IncompleteError for a directory
    that holds no adapter."""
    from workbench.endpoints.client import endpoint_external
    from workbench.models.adapter_files import check_files
    from workbench.models.refs import model_fingerprint, named_at, resolve
    from workbench.score.arm import check_suites, named_adapter
    from workbench.score.judging.ratings import ratings_external

    suites = config.suites if isinstance(config, ScoreNode) else (config.suite,)
    check_suites(suites)
    hashes = _file_hashes(suites, project / config.suites_dir)
    if isinstance(config, JudgeNode):
        ratings = ratings_external(config.judge, project)
        return hashes | ratings | endpoint_external(config.endpoint, config.model, project)
    with named_at("model.ref" if config.base is None else f"score.arms {config.arm.name}: model"):
        source = resolve(config.model.ref, config.model.revision, project)
        hashes[f"model:{config.model.ref}"] = model_fingerprint(source)
    if config.base is not None:
        base = model_fingerprint(resolve(config.base.ref, config.base.revision, project))
        hashes[f"base:{config.base.ref}"] = base
    if config.arm.adapter not in (None, "train", "sham"):
        assert config.arm.adapter is not None
        adapter = named_adapter(config.arm.adapter, config.arm.name, project)
        with named_at(f"score.arms {config.arm.name}: adapter"):
            check_files(adapter)
        hashes[f"adapter:{config.arm.adapter}"] = tree_sha256(adapter)
    return hashes


def _file_hashes(suites: tuple[Suite, ...], suites_dir: Path) -> dict[str, str]:
    """SHA-256 of what suites keep in files: documents and few-shot examples; those of datasets are inputs."""
    hashes = {}
    for suite in suites:
        if suite.documents.file is not None:
            documents = suite_path(suites_dir, suite, {})
            hashes[f"suite:{suite.name}"] = file_sha256(documents)
            if (examples := fewshot_path(documents, suite)) is not None:
                hashes[f"suite:{suite.name}:fewshot"] = file_sha256(examples)
    return hashes


STAGE = Stage(
    name="score",
    version=3,
    config=(ScoreNode, JudgeNode),
    run=run,
    libraries=("lm-eval", "transformers", "torch", "peft", "bitsandbytes", "sacrebleu", "rouge-score", "jsonschema"),
    external=external,
)

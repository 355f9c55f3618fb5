"""The teacher of objective `gkd`: a larger model with the student's vocabulary, id by id.

    teacher_config(node)               the teacher as a model to load
    teacher_externals(node, project)   {"teacher": fingerprint of its weights}; refuses another vocabulary where it is
                                       known without loading anything
    refuse_other_vocabulary(mine, its)  the same check between two tokenizers, before weights are loaded
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from workbench.core.config import ModelConfig
from workbench.core.errors import UsageError
from workbench.core.nodes import TrainNode
from workbench.models.refs import model_fingerprint, named_at, resolve

WHERE = "train.gkd.teacher"


def teacher_config(node: TrainNode) -> ModelConfig:
    """The teacher with the student's length and system prompt."""
    settings = node.train.gkd
    assert settings.teacher is not None, "refused when the configuration is read"
    return node.model.model_copy(
        update={
            "ref": settings.teacher,
            "revision": settings.teacher_revision,
            "precision": settings.teacher_precision,
        }
    )


def teacher_externals(node: TrainNode, project: Path) -> dict[str, str]:
    """The teacher's weights. Raises as `resolve`, and UsageError for another vocabulary where both are known."""
    teacher = teacher_config(node)
    with named_at(WHERE):
        source = resolve(teacher.ref, teacher.revision, project)
    student = resolve(node.model.ref, node.model.revision, project)
    mine, its = (_written_vocabulary(found.path) for found in (student, source))
    if mine is not None and its is not None:
        refuse_other_vocabulary(mine, its)
    with named_at(WHERE):
        fingerprint = model_fingerprint(source)
    if fingerprint == model_fingerprint(student) and teacher.precision == node.model.precision:
        raise UsageError(
            "the teacher is the student itself: they agree on everything, and there is nothing to learn",
            where=WHERE,
            next_step="name a larger model, or give the same one another teacher_precision than the student's",
        )
    return {"teacher": fingerprint}


def refuse_other_vocabulary(student: Mapping[str, int], teacher: Mapping[str, int]) -> None:
    """UsageError if a token has not the same id in both: the two distributions would be about different things."""
    different = {token for token in student.keys() | teacher.keys() if student.get(token) != teacher.get(token)}
    if not different:
        return
    example = min(different)
    raise UsageError(
        f"the teacher has another vocabulary than the student: {len(different)} tokens differ, for example {example!r} "
        f"(student {student.get(example)}, teacher {teacher.get(example)})",
        where=WHERE,
        next_step="take a larger model of the same family; or let it write answers (qa_from_docs)",
    )


def _written_vocabulary(directory: Path | None) -> dict[str, int] | None:
    """Token to id as tokenizer.json has it; None for a model elsewhere or a file of another shape."""
    file = directory / "tokenizer.json" if directory is not None else None
    if file is None or not file.is_file():
        return None
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return None  # loading it says what is wrong
    vocabulary = document.get("model", {}).get("vocab") if isinstance(document, dict) else None
    if not isinstance(vocabulary, dict):
        return None
    added = {token["content"]: token["id"] for token in document.get("added_tokens", ())}
    return {**vocabulary, **added}

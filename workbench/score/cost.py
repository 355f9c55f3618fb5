"""What scoring a suite takes: tokens from the tokenizer alone, seconds from what earlier runs took.

    tokens_of(suite, documents, [], tokenizer, system_prompt=None)  ->  Tokens(documents=200, read=4_180, generated=0)
    expected_seconds(Tokens(...), [timing of the same suite: .021 s a document], others)  ->  4.2

Tokens read count every choice with its prompt, as if nothing were shared; tokens generated are the most there can be,
and in a conversation those of earlier turns are read again by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.records import Message
from workbench.core.suites import Suite, SuiteDocument
from workbench.core.timing import SuiteTiming
from workbench.score.dialogue import conversations, stand_in, template_problems, turn_by_turn
from workbench.score.scoring import text_field
from workbench.score.standard import is_standard, leaves, shots
from workbench.score.turns import questions

_COUNTED = 100
"""Documents that are tokenized, evenly spread; the others are taken to be like them."""
_DEFAULT_ANSWER = 256
"""lm-eval's own limit of an answer."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one arm has to compute on a suite."""

    documents: int
    read: int
    generated: int


def tokens_of(
    suite: Suite,
    documents: Sequence[SuiteDocument],
    examples: Sequence[dict[str, Any]],
    tokenizer: Any,
    *,
    system_prompt: str | None,
) -> Tokens:
    """Tokens of one arm; IncompleteError or PrerequisiteError where a standard task cannot be built, UsageError where
    the chat template cannot show a prompt."""
    step = max(1, len(documents) // _COUNTED)
    some = list(documents)[::step]
    read = generated = 0
    for prompt, continuations, answer, earlier in _requests(suite, some, examples, tokenizer, system_prompt):
        ids = len(tokenizer.encode(prompt, add_special_tokens=False))
        own = [len(tokenizer.encode(text, add_special_tokens=False)) for text in continuations]
        read += sum(ids + count for count in own) if own else ids + earlier
        generated += answer
    scale = len(documents) / len(some)
    return Tokens(len(documents), round(read * scale), round(generated * scale))


def expected_seconds(
    tokens: Tokens, same: Sequence[SuiteTiming], others: Iterable[tuple[Tokens, SuiteTiming]]
) -> float | None:
    """Seconds of one arm, from the middle of what this suite took, else from what others took per token.

    None if nothing like it was ever scored in the project."""
    if same:
        per_document = sorted(timing.seconds_per_document for timing in same)
        return per_document[len(per_document) // 2] * tokens.documents
    alike = [
        (known.generated or known.read, timing)
        for known, timing in others
        if bool(known.generated) == bool(tokens.generated) and timing.documents == known.documents
    ]
    counted, took = sum(count for count, _ in alike), sum(timing.seconds for _, timing in alike)
    return took / counted * (tokens.generated or tokens.read) if counted else None


Request = tuple[str, list[str], int, int]
"""Prompt, continuations that are scored after it, tokens that may be generated, tokens that were before."""


def _requests(
    suite: Suite,
    documents: Sequence[SuiteDocument],
    examples: Sequence[dict[str, Any]],
    tokenizer: Any,
    system_prompt: str | None,
) -> Iterable[Request]:
    if suite.kind in ("lm_eval", "regression"):
        render = _template(suite, documents, tokenizer, system_prompt) if suite.chat else None
        if is_standard(suite):
            yield from _standard(suite, documents, examples, render)
        else:
            yield from _task(suite, documents, tokenizer, system_prompt, render)
        return
    for one in documents:
        if suite.kind in ("perplexity", "kl"):
            prompt = text_field(one.fields, "prompt") or ""
            shown = _shown(tokenizer, [prompt], system_prompt) if prompt and suite.chat else prompt
            yield shown, [text_field(one.fields, "text") or ""], 0, 0
            continue
        asked = questions(one.fields if suite.kind == "judge" else {"prompt": one.fields.get("prompt")})
        for turn, prompt in enumerate(asked):
            shown = _shown(tokenizer, asked[: turn + 1], system_prompt) if suite.chat else prompt
            yield shown, [], suite.max_new_tokens, turn * suite.max_new_tokens


def _shown(tokenizer: Any, asked: Sequence[str], system_prompt: str | None) -> str:
    """A conversation up to its last question, with nothing in the place of the answers."""
    from workbench.models.chat import prompt_ids

    turns = [
        turn for text in asked for turn in (Message(role="user", content=text), Message(role="assistant", content=""))
    ]
    return str(tokenizer.decode(prompt_ids(tokenizer, turns[:-1], system_prompt)))


Render = Callable[..., str]
"""lm-eval's turns as the text that the model reads."""


def _template(
    suite: Suite, documents: Sequence[SuiteDocument], tokenizer: Any, system_prompt: str | None
) -> Render:
    from workbench.models.chat import prompt_ids

    known = conversations(suite, documents)

    def render(history: list[dict[str, str]], **_: Any) -> str:
        return str(tokenizer.decode(prompt_ids(tokenizer, turn_by_turn(history, known), system_prompt)))

    return render


def _task(
    suite: Suite,
    documents: Sequence[SuiteDocument],
    tokenizer: Any,
    system_prompt: str | None,
    render: Render | None,
) -> Iterable[Request]:
    from workbench.score.kinds.lm_eval import load_task, readable_documents
    from workbench.score.tasks import task_settings

    settings = task_settings(suite)
    readable, _ = readable_documents(suite, settings, list(documents))
    unshown = template_problems(suite, readable, tokenizer, system_prompt)
    if rows := [stand_in(suite, one.fields) for one in readable if one.doc_id not in unshown]:
        task = load_task(settings, rows)["tasks"][settings["task"]]
        yield from _asked(task, rows, settings["num_fewshot"], render)


def _standard(
    suite: Suite, documents: Sequence[SuiteDocument], examples: Sequence[dict[str, Any]], render: Render | None
) -> Iterable[Request]:
    from workbench.score.standard_task import by_subtask, standard_task

    tasks = leaves(suite.task["standard"])
    drawn = by_subtask(examples, tasks) if examples else {}
    rows = by_subtask([one.fields for one in documents], tasks)
    for task in tasks:
        if task.name in rows:
            count = shots(suite, task)
            loaded = standard_task(task, rows[task.name], drawn.get(task.name, []), count)
            yield from _asked(loaded, list(loaded.eval_docs), count, render)


def _asked(task: Any, rows: Sequence[dict[str, Any]], count: int, render: Render | None) -> Iterable[Request]:
    """Requests of one of lm-eval's tasks, with its few-shot examples before them."""
    limit = (task.config.generation_kwargs or {}).get("max_gen_toks", _DEFAULT_ANSWER)
    for row in rows:
        prompt = task.fewshot_context(
            row,
            num_fewshot=count,
            apply_chat_template=render is not None,
            fewshot_as_multiturn=render is not None,
            chat_template=render,
            gen_prefix=task.doc_to_prefix(row),
        )
        if isinstance(prompt, list):
            # A prompt of its own per choice, and the same end after each: WinoGrande
            yield from ((one, [str(task.doc_to_target(row))], 0, 0) for one in prompt)
        elif task.OUTPUT_TYPE == "multiple_choice":
            yield prompt, [f" {choice}" for choice in task.doc_to_choice(row)], 0, 0
        elif task.OUTPUT_TYPE == "generate_until":
            yield prompt, [], int(limit), 0
        else:
            yield prompt, [str(task.doc_to_target(row))], 0, 0

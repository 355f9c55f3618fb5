"""Named rewards of objective `grpo`: numbers for answers, one per answer, or None where none could be given.

    exact_match    reference "Lima", answer " lima"                          1.0
    exact_match    pattern "answer is (\\w+)", answer "The answer is Lima."   1.0
    exact_match    pattern "[0-9]+", reference "6 times 7 is 42", answer "42"  1.0
    format         pattern "[0-9]+", answer "It is 4"                        0.0
    judge          rated 4 of 5                                              0.75; None if the judge gave no rating
    python         rewards/my.py:score("Capital of Peru?", "Lima", "Lima")   whatever it returns

`make_rewards` gives them in the order of the configuration. A record's prompt was answered; its own answer is the
reference.
"""

from __future__ import annotations

import ast
import math
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.core.config import EndpointConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.fingerprints import file_sha256
from workbench.core.nodes import TrainNode
from workbench.core.online import GrpoReward
from workbench.core.paths import inside
from workbench.core.records import Record
from workbench.endpoints.client import (
    Endpoint,
    endpoint_external,
    open_endpoint,
    refuse_outage,
    responses_dir,
)
from workbench.endpoints.probe import Capabilities, probe
from workbench.endpoints.ratings import DATA_NOTE, rating_request, read_rating, wording

Reward = Callable[[Sequence[Record], Sequence[str]], list[float | None]]
"""Rewards of answers, each to the record beside it."""
_WHERE = "train.grpo.rewards"
_SHOWN_CHARACTERS = 200
_RUBRIC = "A good answer is correct, complete and clear; one that is short and right is good."


def make_rewards(node: TrainNode, project: Path, info: Callable[[str], object]) -> list[Reward]:
    """The rewards of `node.train.grpo`, ready to be asked.

    Raises UsageError for a reward file or function that is not there, PrerequisiteError for a judge that does not
    answer; `info` hears what a judge cannot do.
    """
    found: list[Reward] = []
    for reward in node.train.grpo.rewards:
        if reward.name == "exact_match":
            found.append(partial(_exact_matches, reward.pattern, reward.ignore_case))
        elif reward.name == "format":
            assert reward.pattern is not None
            found.append(partial(_format_matches, re.compile(reward.pattern)))
        elif reward.name == "judge":
            found.append(_judge(reward, node, project, info))
        else:
            assert reward.function is not None
            found.append(_Function.load(project, reward.function))
    return found


def reward_externals(node: TrainNode, project: Path) -> dict[str, str]:
    """What the rewards read outside of artifacts, for the fingerprint: files of functions, judges and what they are
    asked. Raises UsageError for a file or function that is not there and for a budget that may not last; runs and
    sends nothing."""
    found: dict[str, str] = {}
    _refuse_small_budgets(node)
    for reward in node.train.grpo.rewards:
        if reward.function is not None:
            found[f"reward {reward.function}"] = file_sha256(_source(project, reward.function))
        if reward.endpoint is not None:
            outside = endpoint_external(_endpoint(node, reward), node.model, project)
            found |= {f"judge {reward.endpoint} {name}": value for name, value in outside.items()}
            found[f"judge {reward.endpoint} wording"] = wording(_instructions(reward))
    return found


def _refuse_small_budgets(node: TrainNode) -> None:
    """UsageError for a judge that may be asked more than its budget allows, where the number of steps is known."""
    train = node.train
    if train.max_steps is None:
        return
    answers = train.max_steps * train.batch_size * train.gradient_accumulation
    for name, times in Counter(train.grpo.endpoints()).items():
        budget = node.endpoints[name].max_requests
        if budget is not None and budget < answers * times:
            raise UsageError(
                f"endpoint {name} may be asked {budget} times, but {train.max_steps} steps have {answers * times} "
                "answers for it to judge",
                where=f"endpoints.{name}.max_requests",
                next_step=f"set it to {answers * times} or more, or lower train.max_steps",
            )


def _exact_matches(
    pattern: str | None, ignore_case: bool, records: Sequence[Record], answers: Sequence[str]
) -> list[float | None]:
    def plain(text: str) -> str:
        joined = " ".join(text.split())
        return joined.casefold() if ignore_case else joined

    def given(text: str) -> str | None:
        if pattern is None:
            return text
        found = list(re.finditer(pattern, text, re.IGNORECASE if ignore_case else 0))
        return found[-1][1 if found[-1].re.groups else 0] if found else None

    rewards: list[float | None] = []
    for record, answer in zip(records, answers, strict=True):
        said, reference = given(answer), given(record.answer())
        wanted = record.answer() if reference is None else reference
        rewards.append(0.0 if said is None else float(plain(said) == plain(wanted)))
    return rewards


def _format_matches(pattern: re.Pattern[str], records: Sequence[Record], answers: Sequence[str]) -> list[float | None]:
    return [float(pattern.fullmatch(answer.strip()) is not None) for answer in answers]


def _judge(reward: GrpoReward, node: TrainNode, project: Path, info: Callable[[str], object]) -> _Judge:
    config = _endpoint(node, reward)
    endpoint = open_endpoint(config, node.model, project, responses_dir(project), info)
    if config.kind == "in_process":
        info("the judge of train.grpo is the base model itself: small models rate at random")
    abilities = probe(endpoint, logprobs=True, schema=True)
    for remark in abilities.remarks:
        info(remark)
    return _Judge(endpoint, abilities, _instructions(reward))


def _endpoint(node: TrainNode, reward: GrpoReward) -> EndpointConfig:
    assert reward.endpoint is not None
    return node.endpoints[reward.endpoint]


def _instructions(reward: GrpoReward) -> str:
    return (
        f"You rate answers to questions. {reward.rubric or _RUBRIC} 5: fully so. 4: with a small flaw. 3: in part. "
        f"2: hardly. 1: not at all, or the answer is empty, broken or about something else. {DATA_NOTE}"
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """An endpoint that rates each answer from 1 to 5, given the question and the reference."""

    endpoint: Endpoint
    abilities: Capabilities
    instructions: str

    def __call__(self, records: Sequence[Record], answers: Sequence[str]) -> list[float | None]:
        """Ratings as rewards from 0 to 1. Waits for all of them, so that a step is whole or was not made.

        IncompleteError or PrerequisiteError if the judge is away, IncompleteError if its budget is used up.
        """
        requests = [
            rating_request(
                self.instructions,
                [("question", record.prompt()), ("reference", record.answer()), ("answer", answer)],
                schema=self.abilities.schema,
                logprobs=self.abilities.logprobs,
            )
            for record, answer in zip(records, answers, strict=True)
        ]
        replies = self.endpoint.chat(requests)
        refuse_outage(replies, where=self.endpoint.name)
        ratings = [read_rating(reply) for reply in replies]
        return [None if isinstance(rating, str) else (rating - 1) / 4 for rating in ratings]


def _source(project: Path, function: str) -> Path:
    """The file of `FILE:FUNCTION`, read but not run; UsageError if it leaves the project or has no such function."""
    relative, name = function.rsplit(":", 1)
    file = inside(project, relative, where=_WHERE)
    if not file.is_file():
        raise UsageError(f"reward file {relative} does not exist", where=_WHERE, next_step="correct the path")
    try:
        tree = ast.parse(file.read_bytes(), filename=relative)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise UsageError(f"is no Python: {error}", where=f"{relative}:{line}" if line else relative) from None
    defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    if name not in defined:
        raise UsageError(
            f"reward file {relative} has no function {name}; it has {', '.join(defined) or 'none'}",
            where=_WHERE,
            next_step=f"write `def {name}(prompt, answer, reference):` at the top level of the file",
        )
    return file


@dataclass(frozen=True, slots=True)
class _Function:
    """A function of the project. It runs in this process, with all its rights."""

    name: str
    file: Path
    call: Callable[[str, str, str], Any]

    @classmethod
    def load(cls, project: Path, function: str) -> _Function:
        """Runs the file once; IncompleteError with the line if that raises."""
        file = _source(project, function)
        module = ModuleType(f"workbench_reward_{file.stem}")
        module.__file__ = str(file)
        sys.modules[module.__name__] = module  # dataclasses look for their module
        code = compile(file.read_bytes(), str(file), "exec")
        try:
            exec(code, module.__dict__)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the project's own code may raise anything, SystemExit too
            raise IncompleteError(
                f"reward file raised {_said(error)}", where=_line_in(file, function, error), next_step="mend it"
            ) from error
        return cls(function, file, getattr(module, function.rsplit(":", 1)[1]))

    def __call__(self, records: Sequence[Record], answers: Sequence[str]) -> list[float | None]:
        return [self._reward(record, answer) for record, answer in zip(records, answers, strict=True)]

    def _reward(self, record: Record, answer: str) -> float | None:
        """One answer's reward; IncompleteError with line and sample if the function raises or gives no number."""
        sample = f"the prompt was {_short(record.prompt())}, the answer {_short(answer)}"
        try:
            value = self.call(record.prompt(), answer, record.answer())
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the project's own code may raise anything, SystemExit too
            raise IncompleteError(
                f"reward {self.name} raised {_said(error)}; {sample}",
                where=_line_in(self.file, self.name, error),
                next_step="mend the function and run again: training begins anew, since its rewards are others",
            ) from error
        if value is None:
            return None
        number = _as_float(value)
        if not math.isfinite(number):
            raise IncompleteError(
                f"reward {self.name} gave {_short(str(value))}, not a finite number or None; {sample}",
                where=self.name,
                next_step="let the function return a float",
            )
        return number


def _as_float(value: Any) -> float:
    """A number of any kind, one of numpy or torch too; NaN for what is none."""
    if isinstance(value, str) or not hasattr(value, "__float__"):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last is torch's, for more than one number
        return math.nan


def _line_in(file: Path, function: str, error: BaseException) -> str:
    """`FILE:LINE` of the last frame of `error` that is in the file of `FILE:FUNCTION`."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    relative = function.rsplit(":", 1)[0]
    return f"{relative}:{lines[-1]}" if lines else relative


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {_short(str(error))}" if str(error) else type(error).__name__


def _short(text: str) -> str:
    """The beginning of a text, safe to print."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")

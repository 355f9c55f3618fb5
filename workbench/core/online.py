"""The sections `train.grpo` and `train.gkd`: objectives in which the model writes answers while it learns.

    train: {objective: grpo, grpo: {rewards: [{name: exact_match}, {name: format, pattern: "[0-9]+", weight: 0.5}]}}
    train: {objective: gkd, gkd: {teacher: "models/larger", lmbda: 0.5}}

A reward is a number for one answer to one prompt. The rewards of an answer are added up with their weights; one that
could not be given (the judge failed) leaves the answer without a reward, which is not a reward of zero.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

from pydantic import Field, model_validator

from workbench.core.cards import Name
from workbench.core.errors import SettingError
from workbench.core.methods import Precision
from workbench.core.wire import Wire

RewardName = Literal["exact_match", "format", "judge", "python"]
_KEYS: dict[RewardName, tuple[str, ...]] = {
    "exact_match": ("pattern", "ignore_case"),
    "format": ("pattern",),
    "judge": ("endpoint", "rubric"),
    "python": ("function",),
}
"""What each reward is told beside its name and weight."""
_NEEDED: dict[RewardName, tuple[str, str]] = {
    "format": ("pattern", 'a regular expression such as "[0-9]+"'),
    "judge": ("endpoint", "a name under `endpoints`"),
    "python": ("function", 'a file in the project and a function in it, such as "rewards/my.py:score"'),
}


class GrpoReward(Wire):
    """One named reward of objective `grpo`."""

    name: RewardName
    """`exact_match`: 1 if the answer is the record's, else 0. `format`: 1 if the whole answer matches `pattern`, else
    0. `judge`: an endpoint rates the answer, 0 to 1. `python`: a function of the project says."""
    weight: float = 1.0
    """What it counts for in the sum; negative punishes."""
    pattern: str | None = None
    """Regular expression. `format`: what the whole answer must match, white space around it aside. `exact_match`: its
    last match in the answer (group 1 where it has one) is compared with that in the reference, or with the whole
    reference where there is none."""
    ignore_case: bool = True
    """`exact_match`: whether upper and lower case are the same."""
    endpoint: Name | None = None
    """`judge`: a name under `endpoints`."""
    rubric: str | None = None
    """`judge`: what a good answer is, in a sentence or more; None asks for correct, complete and clear."""
    function: str | None = None
    """`python`: `FILE:FUNCTION`, the file relative to the project; called as `FUNCTION(prompt, answer, reference)`,
    gives a number or None. It runs inside the training process with all its rights."""

    @model_validator(mode="after")
    def _keys_belong(self) -> GrpoReward:
        given = self.model_fields_set - {"name", "weight"}
        for key in sorted(given - set(_KEYS[self.name])):
            if getattr(self, key) != type(self).model_fields[key].default:
                has = f"reward {self.name} has {', '.join(_KEYS[self.name])}"
                raise SettingError(f"`{key}` is no setting of reward {self.name}", key=key, next_step=has)
        if self.name in _NEEDED and not getattr(self, _NEEDED[self.name][0]):
            key, meaning = _NEEDED[self.name]
            raise SettingError(f"reward {self.name} needs `{key}`", key=key, next_step=f"set `{key}`: {meaning}")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                problem = f"`pattern` {self.pattern!r} is no regular expression: {error}"
                step = "correct it; a backslash needs single quotes in YAML"
                raise SettingError(problem, key="pattern", next_step=step) from None
        if self.function is not None and not re.fullmatch(r"[^:]+\.py:[A-Za-z_]\w*", self.function):
            problem = f"`function` {self.function!r} is not FILE.py:FUNCTION"
            raise SettingError(problem, key="function", next_step="write it like `rewards/my.py:score`")
        return self


class GrpoConfig(Wire):
    """Settings of objective `grpo` (Shao et al., 2024, arXiv 2402.03300), with the loss of DAPO (arXiv 2503.14476)."""

    rewards: tuple[GrpoReward, ...] = ()
    """What answers are rewarded for; at least one."""
    generations: int = Field(default=8, ge=2)
    """Answers per prompt, which are compared with each other. `batch_size` times `gradient_accumulation` counts answers
    and must be a multiple of it."""
    max_new_tokens: int = Field(default=128, ge=1)
    """Longest answer in tokens."""
    temperature: float = Field(default=1.0, gt=0)
    """Of the answers; without differences between them there is nothing to learn."""
    beta: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the base; 0 does not compute it, 0.04 is the paper's."""

    def problem(self, answers: int) -> tuple[str, str, str] | None:
        """Key below `train`, what is wrong with these settings for steps of so many `answers`, and what to do; None if
        they can work."""
        if not self.rewards:
            return "grpo.rewards", "objective grpo has no reward", "name some, such as [{name: exact_match}]"
        if answers % self.generations:
            return (
                "grpo.generations",
                f"a step has {answers} answers (`batch_size` times `gradient_accumulation`), which is no multiple of "
                f"`grpo.generations` {self.generations}",
                f"set train.batch_size: {self.generations}",
            )
        return None

    def endpoints(self) -> list[str]:
        """Names of the endpoints that judge."""
        return [reward.endpoint for reward in self.rewards if reward.endpoint is not None]

    def names(self) -> tuple[str, ...]:
        """What each reward is called in events and curves: its name, numbered where there are several of a kind."""
        counts, seen = Counter(reward.name for reward in self.rewards), Counter[str]()
        found = []
        for reward in self.rewards:
            seen[reward.name] += 1
            found.append(reward.name if counts[reward.name] == 1 else f"{reward.name}_{seen[reward.name]}")
        return tuple(found)


class GkdConfig(Wire):
    """Settings of objective `gkd` (Agarwal et al., 2023, arXiv 2306.13649)."""

    teacher: str | None = None
    """The larger model, as in `model.ref`; it must have the base's vocabulary."""
    teacher_precision: Precision = "bf16"
    """Precision in which the teacher is loaded; `nf4` takes a quarter of the memory."""
    teacher_revision: str | None = None
    """Commit, tag or branch of a hub teacher."""
    lmbda: float = Field(default=0.5, ge=0, le=1)
    """Share of the passes that learn from answers the student writes itself; the others learn from the data's."""
    beta: float = Field(default=0.5, ge=0, le=1)
    """Divergence: 0 is KL(teacher, student), which covers all the teacher may say; 1 the reverse, which keeps to what
    it says most; between them a generalised Jensen-Shannon divergence."""
    temperature: float = Field(default=0.9, gt=0)
    """Of the student's own answers."""
    max_new_tokens: int = Field(default=128, ge=1)
    """Longest answer of the student in tokens."""

    def problem(self) -> tuple[str, str, str] | None:
        """Key below `train`, what is wrong with these settings, and what to do; None if they can work."""
        if self.teacher:
            return None
        return "gkd.teacher", "objective gkd needs a larger model to learn from", "set train.gkd.teacher: MODEL"

"""Putting questions to the judge: each in both orders, as often as configured, with every failure counted.

    asker.bouts([Bout("Capital of Peru?", "Quito", "Lima")], "answers")
    ->  [Said(in_order=(Opinion(0.97),), swapped=(Opinion(0.04),))]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from workbench.core.results import JudgeCost
from workbench.core.stage import Context
from workbench.endpoints.budget import prompt_tokens
from workbench.endpoints.calls import Answer, ChatRequest, Endpoint, Reply, refuse_outage
from workbench.score.golden import Calls, PairCalls
from workbench.score.judging.agreement import level
from workbench.score.judging.pairwise import Bout, Opinion, both_orders, read_opinion, request

_EQUAL = Opinion(0.5, raw="equal answers, the judge was not asked")


@dataclass(frozen=True, slots=True)
class Said:
    """What the judge said of one bout in both orders, once per repeat."""

    in_order: tuple[Opinion, ...]
    swapped: tuple[Opinion, ...]

    def calls(self) -> PairCalls:
        """Mean preference in each order."""
        return PairCalls(_mean(self.in_order), _mean(self.swapped))

    def repeats_differ(self) -> bool:
        """Whether some verdict changed between repeats of one question."""
        return any(
            len({level(said.second_preferred) for said in order if said.second_preferred is not None}) > 1
            for order in (self.in_order, self.swapped)
        )

    def opinions(self) -> tuple[Opinion, ...]:
        """Every opinion, in the order of the calls."""
        return tuple(said for pair in zip(self.in_order, self.swapped, strict=True) for said in pair)


@dataclass(slots=True)
class Asker:
    """One judge with its settings."""

    judge: Endpoint
    ctx: Context
    logprobs: bool
    repeats: int = 1
    temperature: float = 0.0
    models: set[str] = field(default_factory=set)
    """Models that answered, by the server's own word."""
    kept: int = 0
    """Answers that were known from before."""
    prompt_tokens: int = 0
    """Of the questions behind all replies, kept ones too."""
    completion_tokens: int = 0
    counted_questions: set[int] = field(default_factory=set)
    """Hashes of the questions whose tokens are counted: the same one is paid once."""

    def bouts(self, bouts: Sequence[Bout], what: str) -> list[Said]:
        """What the judge says of each bout; equal answers are a tie without a call.

        Raises if the judge is away for more than a tenth of the calls.
        """
        shown = both_orders([bout for bout in bouts if not bout.is_equal()])
        requests = [
            request(bout, logprobs=self.logprobs, temperature=self.temperature, repeat=repeat)
            for bout in shown
            for repeat in range(self.repeats)
        ]
        opinions = iter([read_opinion(answer) for answer in self.answers(requests, what)])
        return [
            Said((_EQUAL,), (_EQUAL,))
            if bout.is_equal()
            else Said(tuple(islice(opinions, self.repeats)), tuple(islice(opinions, self.repeats)))
            for bout in bouts
        ]

    def counted(self, said: Sequence[Said]) -> Calls:
        """How the calls behind `said` went, and all models that answered up to now."""
        opinions = [opinion for calls in said for opinion in calls.opinions() if opinion is not _EQUAL]
        return Calls(
            judge=self.judge.name,
            total=len(opinions),
            unread=sum(opinion.second_preferred is None and opinion.failed is None for opinion in opinions),
            failed=tuple(opinion.failed for opinion in opinions if opinion.failed is not None),
            repeats=self.repeats,
            models=self.served(),
            worded=sum(opinion.worded for opinion in opinions) if self.logprobs else 0,
        )

    def answers(self, requests: Sequence[ChatRequest], what: str) -> Sequence[Answer]:
        """Answers in the order of the requests; the models that gave them are noted."""
        # every answer is read from the disk when it is looked at, which is done more than once
        answers = list(
            self.judge.chat(
                requests, lambda done: self.ctx.progress(done, len(requests), "calls", what), self.ctx.cancelled
            )
        )
        refuse_outage(answers, where=self.judge.name)
        self._count_tokens(requests, answers)
        self.kept += sum(isinstance(answer, Reply) and answer.cached for answer in answers)
        self.models |= {answer.model for answer in answers if isinstance(answer, Reply) and answer.model is not None}
        return answers

    def used(self) -> JudgeCost:
        """What all calls took up to now. What that costs is left to the report, for a price can be corrected later."""
        spent = self.judge.budget.spent()
        return JudgeCost(
            requests=spent.requests,
            tokens=spent.tokens,
            kept=self.kept,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )

    def _count_tokens(self, requests: Sequence[ChatRequest], answers: Sequence[Answer]) -> None:
        """Adds what the replies took, from the cache too; without a report the question's tokens, as budgets do."""
        for question, answer in zip(requests, answers, strict=True):
            named = hash(question)
            if not isinstance(answer, Reply) or named in self.counted_questions:
                continue
            self.counted_questions.add(named)
            unknown = not answer.prompt_tokens + answer.completion_tokens
            self.prompt_tokens += prompt_tokens(question) if unknown else answer.prompt_tokens
            self.completion_tokens += answer.completion_tokens

    def served(self) -> tuple[str, ...]:
        """All models that answered, in the order of their names."""
        return tuple(sorted(self.models))


def _mean(opinions: Sequence[Opinion]) -> float | None:
    """Mean preference for the second answer over the repeats with a verdict; None without one."""
    readable = [said.second_preferred for said in opinions if said.second_preferred is not None]
    return sum(readable) / len(readable) if readable else None

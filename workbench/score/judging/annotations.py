"""Judgments that others published, read as they are: AlpacaEval, MT-Bench (pairs, grades, human votes), own ratings.

    {"instruction": "...", "generator_1": "base", "output_1": "...", "generator_2": "tuned", "output_2": "...",
     "preference": 1.93}                                                ->  Vote(..., preference=0.93)
    {"question_id": 81, "turn": 1, "model_1": "a", "model_2": "b", "g1_winner": "model_2", "g2_winner": "model_2"}
                                                                        ->  Vote(..., preference=1.0)
    {"question_id": 81, "turn": 1, "model": "a", "score": 9}            ->  Mark(model="a", turn=1, score=9)

A row whose verdict is missing or impossible is kept, as failed. Ratings are a log: a rater's last word about a pair,
whichever way round, is kept, unless it was withdrawn; a verdict that is none takes no other's place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.wire import storable
from workbench.score.judging.judgment_rows import judgment_rows

Reader = Callable[[dict[str, Any]], "Vote | Mark"]
_WINNERS = {"model_1": 0.0, "model_a": 0.0, "model_2": 1.0, "model_b": 1.0}
_HIGHEST_GRADE = 10
_BOTH_BAD = "both_bad"
_VERDICTS = {"before": 0.0, "after": 1.0, "tie": 0.5, "neither": 0.5}
_GENERATORS = ("generator_1", "generator_2")
_SHAPES = (
    "AlpacaEval annotations (preference, output_1, output_2), MT-Bench pairs (model_1, model_2, g1_winner, g2_winner), "
    "votes (model_a, model_b, and winner or winner_model_a, winner_model_b, winner_tie), grades (model, score), or "
    "ratings (before_output, after_output, verdict)"
)


@dataclass(frozen=True, slots=True)
class Vote:
    """One judge or person on one pair of answers."""

    question: str
    """What tells this question, and its turn, from others; empty if the file does not say."""
    models: tuple[str, str]
    preference: float | None
    """For the second model, 0 to 1; None if the judge failed."""
    judge: str
    lengths: tuple[int, int] | None = None
    """Characters of both answers, where the file holds them."""
    answers: tuple[str, str] | None = None
    games: tuple[float | None, float | None] | None = None
    """Preference in each order, for the second model, where both were asked."""
    turn: int = 1

    def swapped(self) -> Vote:
        """The same seen from the other side."""
        return replace(
            self,
            models=(self.models[1], self.models[0]),
            preference=_turned(self.preference),
            lengths=self.lengths and (self.lengths[1], self.lengths[0]),
            answers=self.answers and (self.answers[1], self.answers[0]),
            games=self.games and (_turned(self.games[0]), _turned(self.games[1])),
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """One answer graded alone."""

    question: str
    model: str
    turn: int
    score: float | None
    """1 to 10; None if the judge failed."""
    judge: str


def read_annotations(path: Path) -> list[Vote] | list[Mark]:
    """All rows of a file: judgments of pairs or grades. UsageError for both in one file or a shape that is not known,
    IncompleteError for a file or a row that cannot be read."""
    votes: list[Vote] = []
    marks: list[Mark] = []
    for place, row, reader in _that_hold(_recognised(list(judgment_rows(path)))):
        try:
            found = reader(row)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise IncompleteError(f"a field is missing or of the wrong kind: {error}", where=place) from None
        if isinstance(found, Mark):
            marks.append(found)
        else:
            votes.append(found)
    if votes and marks:
        raise UsageError("pairs and grades stand in one file", where=str(path), next_step="give each its own file")
    if not votes and not marks:
        raise IncompleteError("there is no judgment in the file", where=str(path))
    return votes or marks


def _recognised(rows: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any], Reader]]:
    """Every row with what reads it: a row without some key has the shape of the first one that has them all. A row
    with none of that shape's keys, or without the models that others name, is no judgment: IncompleteError."""
    first = next((shape for _, row in rows if (shape := _shape(row)) is not None), None)
    generators = [key for key in _GENERATORS if any(row.get(key) is not None for _, row in rows)]
    for place, row in rows:
        shape = _shape(row) or first
        found = ", ".join(sorted(row)[:8])
        if shape is None:
            problem = f"the row has a shape that is not known (its keys: {found})"
            raise UsageError(problem, where=place, next_step=f"known: {_SHAPES}")
        keys, reader = shape
        if not any(key in row for key in keys):
            raise IncompleteError(f"the row has no key of the other judgments (its keys: {found})", where=place)
        unnamed = [key for key in generators if row.get(key) is None] if reader is _alpaca else []
        if unnamed:
            raise IncompleteError(f"the row does not name its models: {unnamed[0]} is missing", where=place)
        yield place, row, reader


def _that_hold(
    rows: Iterator[tuple[str, dict[str, Any], Reader]],
) -> Iterator[tuple[str, dict[str, Any], Reader]]:
    """All rows but the ratings that their rater changed or withdrew later."""
    ratings: dict[str, tuple[str, dict[str, Any], Reader]] = {}
    for place, row, reader in rows:
        if reader is not _rating:
            yield place, row, reader
            continue
        answers = sorted((row.get("before_output"), row.get("after_output")), key=str)
        of = json.dumps([row.get("prompt"), answers, row.get("rater")], default=str)
        verdict = str(row.get("verdict"))
        if verdict == "withdrawn" or verdict in _VERDICTS:
            ratings.pop(of, None)
        if verdict != "withdrawn":
            ratings.setdefault(of, (place, row, reader))
    yield from ratings.values()


def _shape(row: dict[str, Any]) -> tuple[tuple[str, ...], Reader] | None:
    """The keys that tell a row's shape and what reads it; None for a row that has not all keys of any."""
    shapes: list[tuple[tuple[str, ...], Reader]] = [
        (("preference", "output_1", "output_2"), _alpaca),
        (("g1_winner", "g2_winner", "model_1", "model_2"), _both_games),
        (("winner", "model_1", "model_2"), _one_game),
        (("winner", "model_a", "model_b"), _one_game),
        (("winner_model_a", "winner_model_b", "winner_tie", "model_a", "model_b"), _three_columns),
        (("score", "model"), _mark),
        (("verdict", "before_output", "after_output"), _rating),
    ]
    return next((shape for shape in shapes if all(key in row for key in shape[0])), None)


def _alpaca(row: dict[str, Any]) -> Vote:
    """0 and 1.5 are draws, 1 the first, 2 the second, numbers between them what a weighted annotator gave."""
    answers = None
    if row.get("output_1") is not None and row.get("output_2") is not None:
        answers = (_text(row["output_1"]), _text(row["output_2"]))
    given: Any = row.get("preference")
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    preference = None
    if is_number and given == 0:
        preference = 0.5
    elif is_number and 1 <= given <= 2:
        preference = float(given) - 1
    judge = row.get("annotator", row.get("annotator_index", ""))
    models = (_name(row.get("generator_1", "output_1")), _name(row.get("generator_2", "output_2")))
    # AlpacaFarm's tasks have an input beside the instruction, which tells them apart
    question = "\n".join(str(row[key]) for key in ("instruction", "input") if row.get(key))
    return Vote(_question(row, question), models, preference, _name(judge), answers and _lengths(answers), answers)


def _both_games(row: dict[str, Any]) -> Vote:
    """A verdict that changes with the order is a tie, an error in either order a failure (MT-Bench's rule)."""
    models = (_name(row["model_1"]), _name(row["model_2"]))
    games = (_winner(row.get("g1_winner"), models), _winner(row.get("g2_winner"), models))
    first, second = games
    preference = None if first is None or second is None else first if first == second else 0.5
    return Vote(_question(row), models, preference, _judge(row), games=games, turn=_turn(row))


def _one_game(row: dict[str, Any]) -> Vote:
    names = ("model_1", "model_2") if "model_1" in row else ("model_a", "model_b")
    models = (_name(row[names[0]]), _name(row[names[1]]))
    answers, asked = None, ""
    if isinstance(row.get("conversation_a"), list) and isinstance(row.get("conversation_b"), list):
        answers = (_spoken(row["conversation_a"], _turn(row)), _spoken(row["conversation_b"], _turn(row)))
        asked = _spoken(row["conversation_a"], _turn(row), role="user")
    preference = _winner(row.get("winner"), models)
    lengths = answers and _lengths(answers)
    return Vote(_question(row, asked), models, preference, _judge(row), lengths, answers, turn=_turn(row))


def _three_columns(row: dict[str, Any]) -> Vote:
    """An arena vote with a column per outcome, one of them 1; prompts and answers are JSON lists of turns."""
    outcomes = {"winner_model_a": 0.0, "winner_model_b": 1.0, "winner_tie": 0.5}
    chosen = [preference for name, preference in outcomes.items() if row.get(name) in (1, "1")]
    answers = None
    if isinstance(row.get("response_a"), str) and isinstance(row.get("response_b"), str):
        answers = (_turns(row["response_a"]), _turns(row["response_b"]))
    return Vote(
        _question(row, row.get("prompt", "")),
        (_name(row["model_a"]), _name(row["model_b"])),
        chosen[0] if len(chosen) == 1 else None,
        _judge(row),
        answers and _lengths(answers),
        answers,
    )


def _mark(row: dict[str, Any]) -> Mark:
    given: Any = row.get("score")
    is_grade = isinstance(given, int | float) and not isinstance(given, bool) and 1 <= given <= _HIGHEST_GRADE
    return Mark(_question(row), _name(row["model"]), _turn(row), float(given) if is_grade else None, _judge(row))


def _rating(row: dict[str, Any]) -> Vote:
    answers = (_text(row["before_output"]), _text(row["after_output"]))
    models = (_name(row.get("before") or "before"), _name(row.get("after") or "after"))
    return Vote(
        _question(row, row.get("prompt", "")),
        models,
        _VERDICTS.get(str(row.get("verdict"))),
        _name(row.get("rater", "")),
        _lengths(answers),
        answers,
    )


def _winner(said: Any, models: tuple[str, str]) -> float | None:
    """Preference for the second model; None for an error or a word that names no winner."""
    if not isinstance(said, str):
        return None
    if said.startswith("tie") or said == _BOTH_BAD:
        return 0.5
    if said in _WINNERS:
        return _WINNERS[said]
    return {models[0]: 0.0, models[1]: 1.0}.get(said)


def _question(row: dict[str, Any], text: Any = "") -> str:
    for key in ("question_id", "id"):
        if row.get(key) is not None:
            return f"{row[key]} turn {_turn(row)}"
    return _text(text)


def _turn(row: dict[str, Any]) -> int:
    return 1 if row.get("turn") is None else int(row["turn"])


def _judge(row: dict[str, Any]) -> str:
    """Name of the judge; MT-Bench gives it with the prompt template, of which one judge has several."""
    judge = row.get("judge", "")
    return _name(judge[0] if isinstance(judge, list) and judge else judge)


def _spoken(conversation: Sequence[Any], turns: int, role: str = "assistant") -> str:
    if not all(isinstance(message, dict) for message in conversation):
        raise TypeError("expected a conversation of messages")
    said = [_content(message.get("content")) for message in conversation if message.get("role") == role]
    return "\n".join(said[:turns])


def _content(content: Any) -> str:
    """Text of a message, which may come in parts."""
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and part.get("text"))
    return "" if content is None else str(content)


def _turns(text: str) -> str:
    """The turns of an answer that is written as a JSON list, or the text itself."""
    try:
        turns = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return "\n".join(_content(turn) for turn in turns) if isinstance(turns, list) else text


def _lengths(answers: tuple[str, str]) -> tuple[int, int]:
    return len(answers[0]), len(answers[1])


def _name(value: Any) -> str:
    """A name from outside, without what UTF-8 cannot hold; none is empty."""
    return "" if value is None else storable(str(value))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _turned(preference: float | None) -> float | None:
    return None if preference is None else 1 - preference

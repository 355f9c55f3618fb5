"""Files of judgments made elsewhere, against the formulas of those who publish them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.results import Interval
from workbench.score.judging.annotations import Mark, Vote, read_annotations
from workbench.score.judging.length import length_adjusted
from workbench.score.judging.published import PublishedJudgments, summarise_marks, summarise_votes


def votes_in(path: Path) -> list[Vote]:
    return [row for row in read_annotations(path) if isinstance(row, Vote)]


def write(path: Path, rows: list[dict[str, Any]], *, as_list: bool = False) -> Path:
    text = json.dumps(rows) if as_list else "\n".join(json.dumps(row) for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def alpaca(preferences: list[Any], seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "instruction": f"question {number}",
            "output_1": "x" * int(rng.integers(20, 400)),
            "generator_1": "davinci",
            "output_2": "y" * int(rng.integers(20, 600)),
            "generator_2": "tuned",
            "annotator": "a_judge",
            "preference": preference,
        }
        for number, preference in enumerate(preferences)
    ]


@pytest.mark.parametrize("as_list", [True, False])
def test_alpaca_eval_win_rate_and_error_are_the_leaderboards(tmp_path: Path, as_list: bool) -> None:
    """As published: 0 and 1.5 are draws, mean and sample error of preference - 1, missing ones dropped."""
    rng = np.random.default_rng(1)
    graded = [float(value) for value in 1 + rng.beta(0.6, 0.4, 90)]
    preferences = [*graded, *[1, 2, 2, 2, 1.5, 0, None, float("nan"), 3, -1, "2", True]]
    rows = alpaca(preferences)
    path = write(tmp_path / "annotations.json", rows, as_list=as_list)
    found = summarise_votes(votes_in(path))
    # the last six are missing or impossible
    series = pd.Series([1.5 if value == 0 else value for value in preferences[:-6]], dtype=float) - 1
    (pair,) = found.pairs
    assert (pair.model_1, pair.model_2) == ("davinci", "tuned")
    assert (found.rows, found.failed, pair.n) == (102, 6, 96)
    assert pair.win_rate.value == pytest.approx(series.mean(), abs=1e-12)
    assert pair.standard_error == pytest.approx(series.sem(), abs=1e-12)
    assert (pair.wins, pair.losses, pair.draws) == (
        int((series > 0.5).sum()), int((series < 0.5).sum()), int((series == 0.5).sum()),
    )  # fmt: skip
    assert pair.discrete_win_rate == pytest.approx((pair.wins + pair.draws / 2) / 96)
    assert pair.all_lost == pytest.approx(series.sum() / 102)
    assert pair.all_won == pytest.approx((series.sum() + 6) / 102)
    gaps = [len(row["output_2"]) - len(row["output_1"]) for row in rows[:-6]]
    adjusted = length_adjusted(list(series), gaps)
    assert isinstance(adjusted, Interval)
    assert pair.length_adjusted == adjusted
    assert found.models == ()
    assert found.judges == ("a_judge",)


def mt_pairs() -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    rows = []
    for question in range(40):
        for turn in (1, 2):
            for first, second in (("llama", "vicuna"), ("llama", "claude"), ("vicuna", "claude")):
                games = rng.choice(["model_1", "model_2", "tie", "error"], p=[0.3, 0.45, 0.2, 0.05], size=2)
                rows.append(
                    {
                        "question_id": question,
                        "turn": turn,
                        "model_1": first,
                        "model_2": second,
                        "g1_winner": str(games[0]),
                        "g2_winner": str(games[1]),
                        "judge": ["gpt-4", "pair-v2" if turn == 1 else "pair-v2-multi-turn"],
                    }
                )
    return rows


def test_mt_bench_pairs_give_the_published_table(tmp_path: Path) -> None:
    """As published: an error in either order drops the row, a verdict that changes with the order is a tie."""
    rows = mt_pairs()
    found = summarise_votes(votes_in(write(tmp_path / "pairs.jsonl", rows)))
    frame = pd.DataFrame(rows)
    frame = frame[(frame.g1_winner != "error") & (frame.g2_winner != "error")]
    results = []
    for row in frame.itertuples():
        if row.g1_winner == "tie" or row.g1_winner != row.g2_winner:
            results += [(row.model_1, 0.5), (row.model_2, 0.5)]
        else:
            won = float(row.g1_winner == "model_1")
            results += [(row.model_1, won), (row.model_2, 1 - won)]
    table = pd.DataFrame(results, columns=["model", "win"]).groupby("model").win
    assert {rate.model for rate in found.models} == {"llama", "vicuna", "claude"}
    for rate in found.models:
        games = table.get_group(rate.model)
        assert rate.games == len(games)
        assert rate.win_rate == pytest.approx((games == 1).mean())
        assert rate.loss_rate == pytest.approx((games == 0).mean())
        assert rate.win_rate_adjusted == pytest.approx(games.mean())
        assert rate.standard_error == pytest.approx(games.sem())
    assert [rate.win_rate_adjusted for rate in found.models] == sorted(
        (rate.win_rate_adjusted for rate in found.models), reverse=True
    )
    assert found.failed == len(rows) - len(frame)
    assert found.judges == ("gpt-4",)
    first = frame[(frame.model_1 == "llama") & (frame.model_2 == "vicuna")]
    pair = next(pair for pair in found.pairs if {pair.model_1, pair.model_2} == {"llama", "vicuna"})
    assert pair.position_inconsistent is not None
    assert pair.position_inconsistent.value == pytest.approx((first.g1_winner != first.g2_winner).mean())
    assert (pair.length_adjusted, pair.length_note) == (None, "the file holds no answers")


def test_mt_bench_grades_are_averaged_by_turn_without_failures(tmp_path: Path) -> None:
    rows = [
        {"question_id": number, "model": model, "score": score, "turn": turn, "judge": ["gpt-4", "single-v1"]}
        for number, (model, turn, score) in enumerate(
            [("a", 1, 8), ("a", 1, 6), ("a", 2, 3), ("a", 2, -1), ("b", 1, 9.5), ("b", 2, 11), ("b", 2, None)]
        )
    ]
    marks = [row for row in read_annotations(write(tmp_path / "single.jsonl", rows)) if isinstance(row, Mark)]
    found = summarise_marks(marks)
    best, other = found.grades
    assert (best.model, best.average, best.n, best.failed) == ("b", 9.5, 1, 2)
    assert other.by_turn == {1: 7.0, 2: 3.0}
    assert other.average == pytest.approx(17 / 3)
    assert other.standard_error == pytest.approx(np.std([8, 6, 3], ddof=1) / np.sqrt(3))
    assert (found.rows, found.failed) == (7, 3)


def test_agreement_with_people_counts_votes_as_mt_bench_does(tmp_path: Path) -> None:
    """Sides are told apart by their names, so a person may have seen them the other way round."""
    judged = [
        {"question_id": n, "turn": 1, "model_1": "x", "model_2": "y", "g1_winner": won, "g2_winner": won, "judge": "g"}
        for n, won in enumerate(["model_1", "model_2", "tie", "model_2", "model_1"])
    ]
    human = [
        {"question_id": 0, "turn": 1, "model_a": "y", "model_b": "x", "winner": "model_b", "judge": "expert_1"},
        {"question_id": 0, "turn": 1, "model_a": "x", "model_b": "y", "winner": "model_a", "judge": "expert_2"},
        {"question_id": 1, "turn": 1, "model_a": "x", "model_b": "y", "winner": "model_a", "judge": "expert_1"},
        {"question_id": 2, "turn": 1, "model_a": "x", "model_b": "y", "winner": "tie (bothbad)", "judge": "expert_1"},
        {"question_id": 3, "turn": 1, "model_a": "x", "model_b": "y", "winner": "tie", "judge": "expert_1"},
        {"question_id": 3, "turn": 1, "model_a": "x", "model_b": "y", "winner": "model_b", "judge": "expert_2"},
        {"question_id": 9, "turn": 1, "model_a": "x", "model_b": "y", "winner": "model_b", "judge": "expert_2"},
    ]
    judge = votes_in(write(tmp_path / "judge.jsonl", judged))
    people = summarise_votes(judge, votes_in(write(tmp_path / "human.jsonl", human))).people
    assert people is not None
    assert (people.contests, people.votes) == (4, 6)
    assert people.votes_agree.value == 4 / 6
    assert people.clear_votes_agree.value == 3 / 4
    assert people.people_agree.value == 1 / 2
    # people: x, x, tie, y (one says tie, nobody x), against the judge's x, y, tie, y
    assert people.agreement.value == 3 / 4
    assert people.kappa.value == pytest.approx(cohen_kappa_score([0, 0, 1, 2], [0, 2, 1, 2], weights="quadratic"))


def test_kappa_and_alpha_are_those_of_the_preferences_as_they_stand_in_the_file(tmp_path: Path) -> None:
    """Both depend on which side is called the first, where raters favour one: it is the side the file calls so."""
    rng = np.random.default_rng(8)
    told = rng.choice([1, 1.5, 2], size=(60, 2), p=[0.2, 0.2, 0.6])
    told[:25, 1] = told[:25, 0]
    rows = [
        {"instruction": f"q{n}", "output_1": "xz"[n % 2], "output_2": "y", "preference": preference, "annotator": who}
        for n, both in enumerate(told)
        for who, preference in zip("ab", both, strict=True)
    ]  # fmt: skip
    votes = votes_in(write(tmp_path / "cross.json", rows))
    people = summarise_votes([vote for vote in votes if vote.judge == "a"], votes).people
    assert people is not None and people.alpha is not None
    codes = (told * 2).astype(int)
    expected = cohen_kappa_score(codes[:, 1], codes[:, 0], weights="quadratic")
    assert people.kappa.value == pytest.approx(expected)
    values, pooled = told - 1, (told - 1).ravel()
    observed = np.mean((values[:, 0] - values[:, 1]) ** 2)
    chance = np.sum((pooled[:, None] - pooled) ** 2) / (len(pooled) * (len(pooled) - 1))
    assert people.alpha.value == pytest.approx(1 - observed / chance)
    among = summarise_votes(votes).among_judges
    assert among is not None and among.value == pytest.approx(1 - observed / chance)


def test_two_annotators_of_one_file_are_compared_by_the_answers_they_saw(tmp_path: Path) -> None:
    first = alpaca([1, 2, 2, 1, 2, 1])
    second = [dict(row, annotator="another") for row in first]
    for row in second[:3]:  # shown the other way round, same verdict
        row["output_1"], row["output_2"] = row["output_2"], row["output_1"]
        row["generator_1"], row["generator_2"] = "tuned", "davinci"
        row["preference"] = 3 - row["preference"]
    found = summarise_votes(votes_in(write(tmp_path / "both.json", first + second)))
    assert found.among_judges is not None
    assert found.among_judges.value == 1.0
    (pair,) = found.pairs
    assert (pair.n, pair.wins) == (12, 6)
    again = summarise_votes(votes_in(write(tmp_path / "one.json", first + first)))
    assert again.among_judges is None  # one judge who said everything twice


def test_a_judges_own_verdicts_are_none_of_the_peoples(tmp_path: Path) -> None:
    """AlpacaFarm's cross-annotations hold one annotator's verdicts among those of the others."""
    rng = np.random.default_rng(5)
    told = rng.integers(1, 3, size=(40, 3))
    rows = [
        {
            "instruction": f"q{n}",
            "output_1": "x",
            "output_2": "y",
            "annotator_index": who,
            "preference": int(told[n, who]),
        }
        for n in range(40)
        for who in range(3)
    ]
    votes = votes_in(write(tmp_path / "cross.json", rows))
    people = summarise_votes([vote for vote in votes if vote.judge == "0"], votes).people
    assert people is not None
    assert (people.contests, people.votes) == (40, 80)
    assert people.votes_agree.value == pytest.approx(np.mean(told[:, :1] == told[:, 1:]))
    assert people.people_agree.value == pytest.approx(np.mean(told[:, 1] == told[:, 2]))


def test_an_input_tells_tasks_of_one_instruction_apart(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Sentiment?", "input": text, "output_1": "good", "output_2": "bad", "preference": preference,
         "annotator_index": who}
        for who in (1, 2)
        for text, preference in (("Lovely.", 1), ("Dreadful.", 2))
    ]  # fmt: skip
    found = summarise_votes(votes_in(write(tmp_path / "cross.json", rows)))
    assert found.among_judges is not None
    assert found.among_judges.value == 1.0  # both say the same of each


def test_an_empty_id_is_no_id(tmp_path: Path) -> None:
    rows = [
        {"question_id": None, "instruction": text, "output_1": "good", "output_2": "bad", "preference": 1}
        for text in ("Name a river.", "Name a lake.")
    ]
    assert len({vote.question for vote in votes_in(write(tmp_path / "empty.json", rows))}) == 2


def test_arena_votes_count_in_every_form_they_were_published_in(tmp_path: Path) -> None:
    outcomes = ["model_a", "model_b", "model_b", "tie", "tie (bothbad)", "both_bad", "nobody"]
    battles = [
        {"model_a": "x", "model_b": "y", "winner": winner, "judge": f"arena_user_{n % 2}", "turn": 1, "anony": True}
        for n, winner in enumerate(outcomes)
    ]
    plain = summarise_votes(votes_in(write(tmp_path / "battles.json", battles, as_list=True)))
    said = [{"role": "assistant", "content": [{"type": "text", "text": "four"}, {"type": "image"}]}]
    asked = [{"role": "user", "content": "2 + 2?"}]
    talks = [row | {"conversation_a": asked + said, "conversation_b": asked + said * 2} for row in battles]
    spoken = summarise_votes(votes_in(write(tmp_path / "talks.jsonl", talks)))
    columns = [
        {"id": n, "model_a": "x", "model_b": "y", "prompt": '["2 + 2?"]', "response_a": '["four"]', "response_b": "4",
         **{f"winner_{name}": int(winner == name or (name == "tie" and "bad" in winner))
            for name in ("model_a", "model_b", "tie")}}
        for n, winner in enumerate(outcomes)
    ]  # fmt: skip
    wide = summarise_votes(votes_in(write(tmp_path / "wide.jsonl", columns)))
    for found in (plain, spoken, wide):
        (pair,) = found.pairs
        assert (pair.wins, pair.losses, pair.draws, pair.failed) == (2, 1, 3, 1)
        assert pair.win_rate.value == pytest.approx((2 + 1.5) / 6)
    assert plain.among_judges is None  # nobody knows which votes are on one question
    assert spoken.among_judges is not None
    assert spoken.pairs[0].mean_lengths == (4, 4)  # the first turn alone, as `turn` says
    assert wide.pairs[0].mean_lengths == (4, 1)


def test_rows_that_lack_a_field_cost_no_more_than_their_own_verdict(tmp_path: Path) -> None:
    """The file keeps the shape of its whole rows, whichever comes first."""
    rows = alpaca([2, 2, 2, 1.25, 1, 2])
    del rows[0]["preference"]
    del rows[1]["output_1"]
    rows[2] |= {"output_2": None, "annotator": None, "instruction": 7}
    found = summarise_votes(votes_in(write(tmp_path / "annotations.json", rows)))
    (pair,) = found.pairs
    assert (found.rows, found.failed, pair.n, found.judges) == (6, 1, 5, ("a_judge",))
    assert pair.win_rate.value == pytest.approx((1 + 1 + 0.25 + 0 + 1) / 5)
    shown = rows[3:]  # the others' lengths are not known
    assert pair.mean_lengths == (
        np.mean([len(row["output_1"]) for row in shown]), np.mean([len(row["output_2"]) for row in shown]),
    )  # fmt: skip
    games = [row | {"g1_winner": "model_2", "g2_winner": "model_2"} for row in mt_pairs() if row["question_id"] < 2]
    del games[0]["g2_winner"]
    games[1] |= {"turn": None, "judge": None}
    table = summarise_votes(votes_in(write(tmp_path / "pairs.jsonl", games)))
    assert (table.rows, table.failed, table.judges) == (12, 1, ("gpt-4",))
    marks = read_annotations(write(tmp_path / "m.jsonl", [{"model": "a", "turn": 1}, {"model": "a", "score": 4}]))
    assert [mark.score for mark in marks if isinstance(mark, Mark)] == [None, 4.0]


def test_tables_say_what_json_says(tmp_path: Path) -> None:
    """Arena votes were published as CSV and, like MT-Bench's, as Parquet."""
    said = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "four, or so"}]
    talks = [
        {"question_id": n, "model_a": "x", "model_b": "y", "winner": winner, "judge": "ann", "turn": n % 2 + 1,
         "conversation_a": said * 2, "conversation_b": said[:1]}
        for n, winner in enumerate(["model_a", "model_b", "tie (bothbad)", "model_b", None])
    ]  # fmt: skip
    pd.DataFrame(talks).to_parquet(tmp_path / "talks.parquet")
    assert votes_in(tmp_path / "talks.parquet") == votes_in(write(tmp_path / "talks.jsonl", talks))
    columns = [
        {"id": str(n), "model_a": "x", "model_b": "y", "prompt": '["2 + 2?"]', "response_a": '["four,\\n\\"or\\" so"]',
         "response_b": "x" * 200_000, **dict(zip(("winner_model_a", "winner_model_b", "winner_tie"), won, strict=True))}
        for n, won in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)])
    ]  # fmt: skip
    graded = [row | {"preference": None if n == 2 else row["preference"]} for n, row in enumerate(alpaca([1.25] * 4))]
    marks = [{"model": "a", "turn": turn, "score": score} for turn, score in ((1, 8), (2, None), (2, 7.5))]
    for name, rows in (("wide", columns), ("graded", graded), ("marks", marks)):
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
        expected = read_annotations(write(tmp_path / f"{name}.jsonl", rows))
        assert read_annotations(tmp_path / f"{name}.csv") == expected
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "talks.parquet").read_bytes()[:-9])
    (tmp_path / "torn.csv").write_text('model,score\na,"3')
    for name in ("torn.parquet", "torn.csv"):
        with pytest.raises(IncompleteError, match=name):
            read_annotations(tmp_path / name)


def test_one_answer_that_is_missing_takes_no_other_pair_from_the_agreement(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"q{n}", "output_1": f"x{n}", "output_2": f"y{n}", "preference": n % 2 + 1, "annotator": "j"}
        for n in range(12)
    ]
    ratings = [
        {"prompt": f"q{n}", "before_output": f"x{n}", "after_output": f"y{n}", "rater": "ann", "verdict": "after"}
        for n in range(12)
    ]
    rows[5]["output_1"] = None
    judged, rated = (write(tmp_path / name, said) for name, said in (("judge.json", rows), ("people.jsonl", ratings)))
    people = summarise_votes(votes_in(judged), votes_in(rated)).people
    assert people is not None
    assert (people.contests, people.votes_agree.value) == (11, 5 / 11)


def test_an_empty_answer_in_a_table_is_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("prompt,before_output,after_output,rater,verdict\n,,x,ann,after\n", encoding="utf-8")
    (vote,) = votes_in(path)
    assert (vote.answers, vote.preference, vote.question) == (("", "x"), 1.0, "")


def test_whole_numbers_in_tables_may_be_written_as_decimals(tmp_path: Path) -> None:
    """A column with gaps becomes one of decimals in many programs; Parquet has an exact kind of them too."""
    wide = [
        {"question_id": 81 + n, "turn": n + 1, "model_a": "x", "model_b": "y",
         **dict(zip(("winner_model_a", "winner_model_b", "winner_tie"), won, strict=True))}
        for n, won in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1)])
    ]  # fmt: skip
    marks = [{"question_id": 81, "model": "a", "turn": 2, "score": 7.5}]
    numbers = ["question_id", "turn", "winner_model_a", "winner_model_b", "winner_tie", "score"]
    for name, rows in (("wide", wide), ("marks", marks)):
        expected = read_annotations(write(tmp_path / f"{name}.jsonl", rows))
        frame = pd.DataFrame(rows)
        held = [column for column in numbers if column in frame]
        frame = frame.astype(dict.fromkeys(held, float))
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        frame.to_parquet(tmp_path / f"{name}.parquet")
        exact = frame.assign(**{column: [Decimal(str(value)) for value in frame[column]] for column in held})
        exact.to_parquet(tmp_path / f"{name}_exact.parquet")
        for table in (f"{name}.csv", f"{name}.parquet", f"{name}_exact.parquet"):
            assert read_annotations(tmp_path / table) == expected, table


def test_a_row_that_is_no_judgment_makes_no_pair_of_its_own(tmp_path: Path) -> None:
    for odd, said in (
        ({"error": "boom"}, "entry 2: the row has no key"),
        ({"instruction": "q", "output_1": "x", "output_2": "y", "preference": 2}, "entry 2: .*generator_1 is missing"),
        (alpaca([1])[0] | {"generator_2": None}, "entry 2: .*generator_2 is missing"),
    ):
        first, last = alpaca([1, 2])
        with pytest.raises(IncompleteError, match=said):
            read_annotations(write(tmp_path / "annotations.json", [first, odd, last], as_list=True))


def test_a_raters_last_word_counts_whichever_way_round_the_pair_stood(tmp_path: Path) -> None:
    """A word that says nothing takes no other's place."""
    pair = {"prompt": "q", "before_output": "x", "after_output": "y", "rater": "ann", "verdict": "after"}
    turned = pair | {"before_output": "y", "after_output": "x"}
    (vote,) = votes_in(write(tmp_path / "turned.jsonl", [pair, turned]))
    assert (vote.answers, vote.preference) == (("y", "x"), 1.0)
    kept = votes_in(write(tmp_path / "odd.jsonl", [pair, pair | {"verdict": "bfore"}]))
    assert [vote.preference for vote in kept] == [1.0]
    first_odd = votes_in(write(tmp_path / "first.jsonl", [pair | {"verdict": "bfore"}, pair]))
    assert [vote.preference for vote in first_odd] == [1.0]
    pd.DataFrame([pair | {"before_output": b"x"}]).to_parquet(tmp_path / "bytes.parquet")
    with pytest.raises(IncompleteError, match=r"row 1.*expected text, found bytes"):
        read_annotations(tmp_path / "bytes.parquet")


def test_a_failed_verdict_fixes_the_direction_of_its_pair_too(tmp_path: Path) -> None:
    """The sides are those of the row in which the file first holds the pair."""
    rows = [
        {"instruction": f"q{n}", "output_1": "x", "output_2": "y", "preference": preference, "annotator": who}
        for n, told in enumerate([(None, 2, 2), (1, 1, 2), (2, 2, 2), (1.5, 1, 1), (2, 2, 2)])
        for who, preference in zip("abc", told, strict=True)
    ]  # fmt: skip
    late = dict(rows[0], output_1="y", output_2="x", preference=1)
    judged = [row for row in rows if row["annotator"] == "a"]
    people = [row for row in rows if row["annotator"] != "a"]
    votes = votes_in(write(tmp_path / "judge.json", [*judged, late]))
    found = summarise_votes(votes, votes_in(write(tmp_path / "people.json", people))).people
    assert found is not None
    # judge: y, x, y, tie, y; most people: y, tie, y, x, y
    assert found.kappa.value == pytest.approx(cohen_kappa_score([2, 1, 2, 0, 2], [2, 0, 2, 1, 2], weights="quadratic"))


def test_of_own_ratings_the_last_words_count_and_withdrawn_ones_do_not(tmp_path: Path) -> None:
    """`workbench rate` writes a log: undoing and rating again add lines."""
    said = [
        ("ann", 0, "before"), ("ann", 1, "before"), ("ann", 2, "tie"), ("ann", 3, "neither"), ("bo", 0, "before"),
        ("ann", 0, "withdrawn"), ("ann", 0, "after"), ("bo", 0, "withdrawn"), ("ann", 4, "no word of ours"),
    ]  # fmt: skip
    rows = [
        {"prompt": f"q{n}", "before_output": "x", "after_output": "yy", "rater": rater, "verdict": verdict}
        for rater, n, verdict in said
    ]
    found: PublishedJudgments = summarise_votes(votes_in(write(tmp_path / "ratings.jsonl", rows)))
    (pair,) = found.pairs
    assert (pair.model_1, pair.model_2, pair.n, pair.failed) == ("before", "after", 4, 1)
    assert (pair.wins, pair.losses, pair.draws) == (1, 1, 2)
    assert found.judges == ("ann",)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", IncompleteError, "no judgment"),
        ("[]", IncompleteError, "no judgment"),
        ("[1, 2]", IncompleteError, "entry 1: expected a JSON object"),
        ("[{", IncompleteError, "no JSON list"),
        ('{"model": "a", "score": 3}\n{broken', IncompleteError, "file.jsonl:2: is no JSON"),
        ('{"a": 1}', UsageError, "shape that is not known"),
        ('{"preference": 1, "output_1": 3, "output_2": "x"}', IncompleteError, "expected text, found int"),
        ('{"model": "a", "score": 3, "turn": "one"}', IncompleteError, "wrong kind"),
        ('{"model": "a", "score": 3, "turn": 1e999}', IncompleteError, "wrong kind"),
        (
            '{"winner": "tie", "model_a": "a", "model_b": "b", "conversation_a": [1], "conversation_b": []}',
            IncompleteError,
            "conversation of messages",
        ),
        ("[" * 100_000, IncompleteError, "no JSON list"),
        ("[" + "9" * 5000 + "]", IncompleteError, "no JSON list"),
        ('{"model": "a", "score": ' + "9" * 5000 + "}", IncompleteError, "file.jsonl:1: is no JSON"),
        (
            '{"model": "a", "score": 3}\n{"winner": "tie", "model_1": "a", "model_2": "b"}',
            UsageError,
            "pairs and grades",
        ),
    ],
)
def test_a_file_that_is_something_else_is_refused_with_its_line(
    tmp_path: Path, text: str, error: type[Exception], said: str
) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=said):
        read_annotations(path)


@pytest.mark.parametrize("as_list", [True, False])
def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path, as_list: bool) -> None:
    path = write(tmp_path / "file.json", alpaca([1, 2]), as_list=as_list)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(votes_in(path)) == 2


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_annotations(tmp_path / "none.jsonl")

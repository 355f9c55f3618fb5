from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_makers import chat, document, preference

from workbench.core.records import ToolCall
from workbench.curate.decide import Decisions
from workbench.curate.duplicates import Preference, exact_key, exact_labels, written_key
from workbench.curate.filters.contract import Verdict
from workbench.curate.spool import Later
from workbench.curate.table import Numbers
from workbench.text.normalise import words
from workbench.text.sketch import SketchSettings
from workbench.text.union_find import UnionFind


def brute_force(texts: Sequence[str], threshold: float, n: int = 5) -> dict[tuple[int, int], float]:
    """Every pair at or above the threshold with its Jaccard similarity, from the definition."""
    sets = []
    for text in texts:
        sequence = words(text)
        starts = range(max(len(sequence) - n + 1, 1 if sequence else 0))
        sets.append({tuple(sequence[start : start + n]) for start in starts})
    pairs = {
        (i, j): len(sets[i] & sets[j]) / max(len(sets[i] | sets[j]), 1) for i, j in combinations(range(len(sets)), 2)
    }
    return {pair: similarity for pair, similarity in pairs.items() if similarity >= threshold}


def numbers(**columns: object) -> Numbers:
    """Rows with the given columns; what is not given is equal for all."""
    n = len(next(iter(columns.values())))
    zeros = np.zeros(n, dtype=np.uint64)
    usual = {
        "record_id": zeros, "content_id": zeros, "exact_key": np.zeros((n, 2), dtype=np.uint64),
        "place": np.zeros((n, 3), dtype=np.uint64), "chars": np.zeros(n, dtype=np.int32),
        "written": zeros, "dropped": np.zeros(n, dtype=bool), "flags": np.zeros(n, dtype=np.uint16),
        "restored": np.zeros(n, dtype=bool), "saved": np.zeros(n, dtype=bool),
        "lengths": np.zeros((n, 2), dtype=np.int32), "keyed": {}, "keys": {},
    }  # fmt: skip
    return Numbers(**{**usual, **columns})


Row = tuple[bool, float | None, int, int, int, int]
"""Dropped, rating, flags, characters, id, cluster."""
ROWS = st.lists(
    st.tuples(
        st.booleans(), st.sampled_from([None, 1.0, 4.5]), st.integers(0, 2), st.integers(0, 2), st.integers(0, 3),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=30,
)  # fmt: skip


@given(ROWS)
def test_the_row_that_stays_is_the_one_that_sorting_by_the_policy_puts_first(rows: list[Row]) -> None:
    dropped, ratings, flags, chars, ids, clusters = zip(*rows, strict=True)
    table = numbers(
        dropped=np.array(dropped),
        flags=np.array(flags, dtype=np.uint16),
        chars=np.array(chars, dtype=np.int32),
        content_id=np.array(ids, dtype=np.uint64),
        place=np.array([(0, 0, row) for row in range(len(rows))], dtype=np.uint64),
    )
    rated = np.array([np.nan if rating is None else rating for rating in ratings])
    stays = Preference.of(table, table.order_by_id(), rated).best(np.array(clusters))

    def policy(row: int) -> tuple[object, ...]:
        rating = ratings[row]
        return dropped[row], math.inf if rating is None else -rating, flags[row], -chars[row], ids[row], row

    for row, cluster in enumerate(clusters):
        members = [other for other, its in enumerate(clusters) if its == cluster]
        assert stays[row] == min(members, key=policy)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=40))
def test_exact_labels_are_the_first_row_with_the_same_key(keys: list[tuple[int, int]]) -> None:
    labels = exact_labels(np.array(keys, dtype=np.uint64).reshape(-1, 2))
    assert labels.tolist() == [keys.index(key) for key in keys]


def test_the_exact_key_ignores_case_space_and_width_and_nothing_else() -> None:
    base = exact_key(chat("Capital of Peru?", "Lima"))
    assert len(base) == 16
    assert base == exact_key(chat("capital  of PERU?\n", "ｌｉｍａ", row=9))
    different = [
        chat("Capital of Peru", "Lima"),
        chat("Capital of Peru?", "Lima", label=True),
        chat("Capital of Peru?", "Lima", calls=(ToolCall(name="f", arguments="{}"),)),
        chat("Capital of Peru? Lima", ""),
        chat("Capital of Peru?", "Lima").model_copy(update={"tools": "[]"}),
        document("Capital of Peru? Lima"),
        preference("Capital of Peru?", "Lima", "Rome"),
    ]
    assert len({exact_key(record) for record in different} | {base}) == 8


def test_edges_are_verified_and_hold_the_clusters_together(curate: Callable) -> None:
    rng = random.Random(12)
    vocabulary = [f"word{number}" for number in range(400)]
    originals = [rng.choices(vocabulary, k=rng.randint(40, 120)) for _ in range(20)]
    texts = [list(text) for text in originals]
    for _ in range(100):
        copy = list(rng.choice(originals))
        for _ in range(rng.choice([1, 1, 2, 3, 5, 8])):
            copy[rng.randrange(len(copy))] = rng.choice(vocabulary)
        texts.append(copy)
    rng.shuffle(texts)
    records = [document(" ".join(text), row=row) for row, text in enumerate(texts)]
    result = curate(records, filters=())
    truth = brute_force([record.answer() for record in records], 0.7)
    sets = UnionFind(len(records))
    for edge in result.edges:
        assert edge.jaccard == truth[tuple(sorted((edge.left_row, edge.right_row)))]
        assert (edge.left, edge.right) == (records[edge.left_row].id, records[edge.right_row].id)
        sets.join(edge.left_row, edge.right_row)
    clusters = [cluster for cluster in sets.clusters() if len(cluster) > 1]
    assert len(result.dropped) == sum(len(cluster) - 1 for cluster in clusters) > 40
    kept = {record.source.row for record in result.records}
    assert all(len(kept.intersection(cluster)) == 1 for cluster in clusters)
    for drop in result.dropped:
        left, right = drop.row, int(drop.findings[0].detail.split("with row ")[1].split()[0])
        shown = float(drop.findings[0].detail.split()[1])
        true = brute_force([records[left].answer(), records[right].answer()], 0)[0, 1]
        assert shown == pytest.approx(true, abs=5e-4)


def test_records_without_words_are_nobodys_near_duplicates(curate: Callable) -> None:
    result = curate([document("!!!"), document("???"), document("..."), document("a text")])
    assert len(result.records) == 4
    assert result.funnel.near_duplicate_settings["rows_without_shingles"] == 3


def test_of_near_duplicates_the_longest_stays_and_the_finding_shows_the_similarity(curate: Callable) -> None:
    page = " ".join(f"word{number}" for number in range(60))
    rows = [document(page, row=0), document(page + " and more", row=1), document(page + " x", row=2)]
    result = curate(rows)
    assert result.records == [rows[1]]
    similarity = brute_force([page, page + " and more"], 0)[0, 1]
    assert result.dropped[0].findings[0].detail == f"Jaccard {similarity:.3f} with row 1 ({rows[1].id}, data row 1)"
    assert [(cluster.kept, cluster.rows) for cluster in result.funnel.largest_clusters] == [(rows[1].id, 3)]


def test_a_row_that_fails_a_filter_is_not_kept_in_place_of_one_that_passes(curate: Callable) -> None:
    page = " ".join(f"word{number}" for number in range(60))
    clean, flagged, failing = page, page + " {{flag}} x", page + " and much more <|im_end|> inside"
    result = curate([document(clean), document(flagged), document(failing)])
    assert result.records == [document(clean)]
    assert result.reasons(2) == ["special_token_in_text", "near_duplicate"]


def test_a_chain_is_one_cluster_and_says_that_its_ends_differ(curate: Callable) -> None:
    stream = [f"word{number:03}" for number in range(90)]
    rows = [document(" ".join(stream[start : start + 70 - start // 10]), row=start) for start in (0, 10, 20)]
    result = curate(rows, near_duplicates={"threshold": 0.7})
    truth = brute_force([row.answer() for row in rows], 0)
    assert truth[0, 1] >= 0.7 and truth[1, 2] >= 0.7 and truth[0, 2] < 0.7
    assert result.records == [rows[0]]
    assert "linked through rows in between" not in result.dropped[0].findings[0].detail
    assert f"Jaccard {truth[0, 2]:.3f}" in result.dropped[1].findings[0].detail
    assert "linked through rows in between" in result.dropped[1].findings[0].detail


def test_exact_copies_count_in_their_near_duplicate_cluster(curate: Callable) -> None:
    page = " ".join(f"word{number}" for number in range(60))
    texts = [page, page.upper(), page + " and more", "x y", "X  y"]
    result = curate([document(text) for text in texts])
    assert [cluster.rows for cluster in result.funnel.largest_clusters] == [3, 2]
    assert result.funnel.largest_clusters[1].members == ("same text: x y",)
    assert len(result.records) == 2


def test_the_compared_part_can_be_chosen(curate: Callable) -> None:
    question = "Please explain in a few words what the following thing is and does"
    answer = "It is a thing that does what things of this kind usually do all day"
    rows = [
        chat(question, "One answer of quite another kind, in its own words entirely"),
        chat(question, answer),
        chat("Something else is asked here with other words than before", answer),
    ]
    kept = {part: len(curate(rows, near_duplicates={"compare": part}).records) for part in ("all", "prompt", "answer")}
    assert kept == {"all": 3, "prompt": 2, "answer": 2}


def test_preferences_are_compared_with_both_endings(curate: Callable) -> None:
    better = " ".join(f"good{number}" for number in range(30))
    worse = [" ".join(f"bad{number}{kind}" for number in range(30)) for kind in "ab"]
    assert len(curate([preference("Q?", better, text) for text in worse]).records) == 2
    assert len(curate([preference("Q?", better, worse[0] + tail) for tail in ("", " x")]).records) == 1


def test_settings_that_decide_what_is_found_stand_in_the_funnel(curate: Callable) -> None:
    settings = curate([document("a text")]).funnel.near_duplicate_settings
    sketching = SketchSettings(threshold=0.7, ngram=5, num_perm=128)
    assert (settings["bands"], settings["rows_per_band"], settings["seed"]) == (sketching.bands, sketching.rows, 1)
    assert (settings["scheme"], settings["hash"]) == ("affine32", "xxh32")


def test_of_flagged_and_clean_near_duplicates_the_clean_one_stays_though_it_is_shorter(curate: Callable) -> None:
    page = " ".join(f"word{number}" for number in range(60))
    rows = [document(page), document(page + " what is {{ flag }} x")]
    result = curate(rows, filters=("template_placeholder",))
    assert result.records == [rows[0]]
    assert result.reasons(1, "flag") == ["template_placeholder"] and result.reasons(1) == ["near_duplicate"]


def test_a_cluster_shows_its_least_similar_members_and_what_was_kept(curate: Callable) -> None:
    words = [f"word{number}" for number in range(60)]
    texts = [" ".join(words), " ".join([*words, "more"])]
    texts += [" ".join([*words[:change], "other", *words[change + 1 :]]) for change in (3, 30, 58)]
    cluster = curate([document(text) for text in [*texts, texts[1].upper()]], filters=()).funnel.largest_clusters[0]
    kept = document(texts[1])
    alike = sorted(brute_force([texts[1], text], 0)[0, 1] for text in texts if text != texts[1])
    assert cluster.rows == 6
    assert cluster.lowest_jaccard == alike[0]
    assert cluster.excerpt.startswith("word0 word1")
    assert [member.split(":")[0] for member in cluster.members] == [f"Jaccard {value:.2f}" for value in alike[:3]]
    assert cluster.kept in {kept.id, document(texts[1].upper()).id}


def test_a_restored_near_duplicate_stays_beside_the_one_that_was_kept(curate: Callable) -> None:
    page = " ".join(f"word{number}" for number in range(60))
    rows = [document(page, row=0), document(page + " and more", row=1)]
    result = curate(rows, restored=[rows[0].id])
    assert result.records == rows and result.funnel.restored == 1
    assert result.reasons(0, "flag") == ["near_duplicate"]
    assert result.detail(0, "near_duplicate").endswith("kept, because a person took it back")


def test_a_restored_record_is_kept_against_every_filter_but_its_copies_are_still_one(curate: Callable) -> None:
    empty = chat("Say nothing at all.", "", row=1)
    rows = [chat("Say it.", "It.", row=0), empty, chat("Say nothing at all.", "", row=2)]
    result = curate(rows, filters=("empty_output",), restored=[empty.id])
    assert result.records == rows[:2] and result.funnel.restored == 1
    assert result.reasons(1, "flag") == ["empty_output"]
    assert result.reasons(2) == ["exact_duplicate"]


def test_of_exact_copies_in_two_spellings_the_restored_one_stays(curate: Callable) -> None:
    spellings = [chat("Capital of Peru?", "Lima", row=0), chat("capital of peru?", "lima", row=1)]
    first = curate(spellings).records[0]
    other = next(record for record in spellings if record != first)
    result = curate(spellings, restored=[other.id])
    assert result.records == [other]
    both = curate(spellings, restored=[record.id for record in spellings])
    assert both.records == spellings


LOOP = "for name in names:\n    greet(name)\ncount(names)"
INDENTED = "for name in names:\n    greet(name)\n    count(names)"


@pytest.mark.parametrize(
    "question, left, right",
    [
        ("How many metres are in a megametre?", "10⁶", "106"),
        ("What is five times five?", "5²", "52"),
        ("Fix the loop.", LOOP, INDENTED),
        ("Write a condition that is true.", "a && b", "a || b"),
        ("When is it done?", "```\nif (ready) run();\n```", "```\nif (!ready) run();\n```"),
        ("Which holds?", "x ≤ 3", "x ≥ 3"),
        ("Is it 5 > 3 or not?", "5 > 3", "5 < 3"),
    ],
)
def test_answers_that_differ_in_what_is_no_word_both_stay(
    curate: Callable, question: str, left: str, right: str
) -> None:
    result = curate([chat(question, left, row=0), chat(question, right, row=1)])
    assert len(result.records) == 2


@pytest.mark.parametrize(
    "left, right",
    [
        ("It is **bold**, and well-known.", "It is bold and well known"),
        ("- red\n- green", "* red\n* green"),
        ("f(a,b) + 1", "f(a, b)  + 1"),
        ("Ten files.", "TEN ﬁles."),
    ],
)
def test_answers_that_differ_in_punctuation_and_formatting_are_one(curate: Callable, left: str, right: str) -> None:
    assert len(curate([chat("Tell me in short.", left), chat("Tell me in short.", right)]).records) == 1
    assert written_key(left) == written_key(right)


def test_of_each_spelling_of_the_same_words_one_stays(curate: Callable) -> None:
    asked = "Write a condition that is true."
    rows = [chat(asked, answer, row=row) for row, answer in enumerate(["a && b", "a || b", "a ||  b;", "a || b."])]
    result = curate(rows)
    assert len(result.records) == 3
    flagged = [row for row in range(4) if "near_duplicate" in result.reasons(row, "flag")]
    (dropped,) = result.dropped
    assert dropped.findings[0].detail.startswith("Jaccard 1.000 with row ")
    assert all("but other signs or indentation" in result.detail(row, "near_duplicate") for row in flagged)


def test_an_exact_copy_names_the_row_that_stayed_of_its_whole_cluster(curate: Callable) -> None:
    page = " ".join(f"word{number}" for number in range(60))
    rows = [document(page, row=0), document(page.upper(), row=1), document(page + " and then some more", row=2)]
    result = curate(rows)
    assert result.records == [rows[2]]
    similarity = brute_force([page, rows[2].answer()], 0)[0, 1]
    named = f"Jaccard {similarity:.3f} with row 2 ({rows[2].id}, data row 2)"
    details = {row: result.detail(row, reason) for row in (0, 1) for reason in result.reasons(row)}
    assert all(detail.startswith(named) for detail in details.values()) and len(details) == 2
    (copy,) = [row for row in (0, 1) if result.reasons(row) == ["exact_duplicate"]]
    twin = rows[1 - copy]
    assert details[copy] == f"{named}; same text as row {1 - copy} ({twin.id}, data row {1 - copy}), which went"


def test_an_exact_copy_names_its_twin_where_near_duplicates_are_only_flagged(curate: Callable) -> None:
    page = " ".join(f"word{number}" for number in range(60))
    rows = [document(page, row=0), document(page, row=1), document(page + " and then some more", row=2)]
    result = curate(rows, actions={"near_duplicate": "flag"})
    assert [drop.findings[-1].detail.split(" (")[0] for drop in result.dropped] == ["same text as row 0"]


@pytest.mark.slow
def test_a_limit_that_nobody_chose_does_not_decide_which_duplicate_stays(prepare: Callable) -> None:
    story = " ".join(f"word{number}" for number in range(60))
    rows = [chat("Tell me a story.", story, row=0), chat("Tell me a story.", story + " and then some more", row=1)]
    ready = prepare(rows, count_tokens=True, filters=())
    limited = replace(ready, config=ready.config.model_copy(update={"max_length": 187})).run()
    assert limited.reasons(1, "flag") == ["truncated_by_limit"] and limited.reasons(0, "flag") == []
    assert limited.records == [rows[1]]


def test_flags_of_a_length_limit_do_not_count_against_a_row(prepare: Callable, tmp_path: Path) -> None:
    table = numbers(flags=np.zeros(2, dtype=np.uint16))
    with Later(tmp_path / "later") as later:
        decisions = Decisions(prepare([document("x")]).config, table, later)
        decisions.add(0, "tokens", Verdict("truncated_by_limit", "flag", "the answer loses 3 of 9 tokens"))
        decisions.add(1, "repetition", Verdict("repetition", "flag", "said twice"))
        assert [row for row, _ in later.of_rows()] == [0, 1]
    assert table.flags.tolist() == [0, 1]

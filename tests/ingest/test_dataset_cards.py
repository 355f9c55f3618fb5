from __future__ import annotations

import json
from pathlib import Path

import pytest
from ingest_makers import RunStage

from workbench.core.cards import Card, FileSource
from workbench.core.parts import read_rows
from workbench.core.paths import starter_dir
from workbench.core.records import Quarantined, Record
from workbench.core.yamlfile import load_model
from workbench.ingest.clusters import cluster_texts

CARDS = starter_dir() / "datasets_cfg"


@pytest.mark.parametrize("path", sorted(CARDS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_cards_are_valid_named_after_their_file_and_licensed(path: Path) -> None:
    card = load_model(path, Card)

    assert card.name == path.stem
    assert card.description and card.licence != "unknown"


def test_the_example_shows_two_duplicates_and_one_broken_row(tmp_path: Path, run_stage: RunStage) -> None:
    card = load_model(CARDS / "example-alpaca.yaml", Card)
    assert isinstance(card.source, FileSource)
    data = tmp_path / card.source.path
    data.parent.mkdir()
    data.write_bytes((starter_dir() / card.source.path).read_bytes())
    run = run_stage(card)

    records = list(read_rows(run.out / "records.jsonl", Record))
    (bad,) = read_rows(run.out / "quarantine.jsonl", Quarantined)
    heldout = (run.out / "heldout.jsonl").read_text().splitlines()
    assert len(records) + len(heldout) == 20 and len(heldout) == 3
    assert (bad.reason, bad.line) == ("bad_json", 16)
    with pytest.raises(json.JSONDecodeError):
        json.loads(data.read_text().splitlines()[15])
    everything = [record.full_text() for record in records] + [json.loads(line)["text"] for line in heldout]
    assert len(cluster_texts(everything)) == 18

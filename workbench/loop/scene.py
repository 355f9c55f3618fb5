"""What a configuration names: its datasets and suites, read, made and checked before anything is planned on them.

    read_scene(config, project)   ->   Scene(data=("docs", "general"), cards={...}, suites=(docs-heldout, ...))
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workbench.compare.power import refuse_small_margins
from workbench.core.cards import BuilderSource, Card
from workbench.core.config import LoopConfig
from workbench.core.errors import UsageError
from workbench.core.suites import Documents, Suite, read_documents, suite_path
from workbench.loop.settings import load_card, load_suite
from workbench.mix.shares import refuse_unknown_sources


@dataclass(frozen=True, slots=True)
class Scene:
    """What a configuration names, read and checked."""

    data: tuple[str, ...]
    """Datasets to train on, replayed ones included."""
    cards: dict[str, Card]
    """Those, and the datasets behind suites and decontamination."""
    suites: tuple[Suite, ...]
    """With margins."""

    @property
    def measured(self) -> tuple[Suite, ...]:
        """The suites as scoring and curation see them."""
        return tuple(without_policy(suite) for suite in self.suites)


def read_scene(config: LoopConfig, project: Path) -> Scene:
    """Cards and suites of a configuration. UsageError for what is missing, wrong, or cannot be judged."""
    replayed = config.mix.replay.datasets
    data = tuple(dict.fromkeys((*config.data, *replayed)))
    data_cards = {name: load_card(project, config.datasets_dir, name) for name in data}
    named = tuple(suite_of(config, project, entry) for entry in config.score.suites)
    suites = named + (_heldout_suites(data_cards.values(), named, replayed) if config.score.heldout else ())
    if not suites:
        raise UsageError(
            "nothing to score on: no suite and no held-out data",
            where="score.suites",
            next_step="name suites there (workbench init DIR brings some), or datasets under `data`",
        )
    _refuse_equal_names(suites)
    if config.gate.refuse_undetectable and data_cards:
        _refuse_undetectable(suites, config, project)
    return Scene(data, data_cards | cards_behind(suites, config, project, known=set(data_cards)), suites)


def refuse_unknown_shares(config: LoopConfig, data: Iterable[str]) -> None:
    """UsageError for a share of a source that neither a dataset nor a strategy of this configuration gives."""
    sources = [*data, *dict.fromkeys(f"synth:{strategy.strategy}" for strategy in config.synth.strategies)]
    refuse_unknown_sources(config.mix.shares, sources)


def suite_of(config: LoopConfig, project: Path, entry: str | Suite) -> Suite:
    return entry if isinstance(entry, Suite) else load_suite(project, config.suites_dir, entry)


def without_policy(suite: Suite) -> Suite:
    """The suite without what only the gate reads, so that another margin does not score everything again."""
    return suite.model_copy(
        update={
            "description": "",
            "licence": "unknown",
            "gated": True,
            "margin": 0.0,
            "allowed_failures": None,
            "tags": (),
            "owners": (),
        }
    )


def _heldout_suites(
    cards: Iterable[Card], named: tuple[Suite, ...], replayed: tuple[str, ...]
) -> tuple[Suite, ...]:
    """A perplexity suite on the held-out rows of every dataset that has some and no suite of its own on them.

    Replayed data is there so that it is not forgotten: its suite has the role `general`."""
    covered = {suite.documents.dataset for suite in named if suite.documents.part == "heldout.jsonl"}
    return tuple(
        Suite(
            name=f"{card.name}-heldout"[:64],
            description=f"Held-out rows of {card.name}: nats per token of the answer.",
            kind="perplexity",
            role="general" if card.name in replayed else "target",
            documents=Documents(dataset=card.name, part="heldout.jsonl"),
            primary_metric="nll",
            groups="group",
            cluster="cluster",
            margin=0.1,
        )
        for card in cards
        if card.name not in covered and card.heldout_fraction > 0 and not isinstance(card.source, BuilderSource)
    )


def _refuse_equal_names(suites: tuple[Suite, ...]) -> None:
    names = [suite.name for suite in suites]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"suite named twice: {', '.join(repeated)}", where="score.suites")


def _refuse_undetectable(suites: tuple[Suite, ...], config: LoopConfig, project: Path) -> None:
    """UsageError before anything is trained if a suite could not show what its gate asks for.

    Documents that a dataset makes are not there yet to be counted; the comparison states their detectable effect."""
    directory = project / config.suites_dir
    in_files = [suite for suite in suites if suite.documents.file is not None]
    counts = {suite.name: len(read_documents(suite_path(directory, suite, {}), suite)) for suite in in_files}
    if sentences := refuse_small_margins(in_files, counts, alpha=config.gate.alpha):
        raise UsageError(
            "\n".join(sentences),
            where="score.suites",
            next_step="or train all the same: --set gate.refuse_undetectable=false",
        )


def cards_behind(suites: tuple[Suite, ...], config: LoopConfig, project: Path, known: set[str]) -> dict[str, Card]:
    wanted = (*datasets_of(suites), *config.curate.decontamination.datasets)
    names = [name for name in dict.fromkeys(wanted) if name not in known]
    return {name: load_card(project, config.datasets_dir, name) for name in names}


def datasets_of(suites: tuple[Suite, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(suite.documents.dataset for suite in suites if suite.documents.dataset))

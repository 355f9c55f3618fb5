"""What curation did to the rows, number by number: reasons, clusters, lengths, balance."""

from __future__ import annotations

from typing import Literal

from workbench.core.records import Text
from workbench.core.wire import Wire


class ReasonCount(Wire):
    """How many rows one reason touched."""

    reason: str
    action: Literal["drop", "flag", "repair"]
    rows: int
    """Rows with this reason."""
    only: int
    """Rows with this reason and no other of the same action: what would come back without it."""
    examples: tuple[Text, ...] = ()
    """Up to three excerpts."""


class DuplicateCluster(Wire):
    """One of the largest duplicate clusters."""

    kept: str
    """Id of the record that stayed, or of the best of a cluster that went as a whole."""
    rows: int
    """Rows in the cluster, exact copies included."""
    lowest_jaccard: float = 1.0
    """Smallest similarity of a member to the kept record."""
    excerpt: Text = ""
    """Beginning of the kept record."""
    members: tuple[Text, ...] = ()
    """Beginnings of up to three other members, each with its similarity."""


class TokenLengths(Wire):
    """How long the kept records are, and what a limit would cut."""

    unit: Literal["tokens", "words"]
    counter: str
    """What counted: the model's tokenizer with its template, or words."""
    quantiles: dict[str, int]
    """Length that `p50`, `p90`, `p99` and `max` of the records do not exceed (nearest rank)."""
    total: int
    trainable: int = 0
    """Tokens learned: answers, and documents whole."""
    max_length: int | None = None
    """The limit looked at."""
    rows_cut: int = 0
    """Kept rows that lose their end."""
    tokens_cut: int = 0
    answers_cut_away: int = 0
    """Rows of which no answer token is left within the limit; they are dropped (`no_trainable_tokens`)."""


class BalanceGroup(Wire):
    """Kept rows with one property."""

    value: Text
    rows: int
    share: float


class BalanceTable(Wire):
    """How evenly the kept rows are spread over one property."""

    by: str
    """`topic`, `dataset`, `answer`, `length`, `style` or `language`."""
    groups: tuple[BalanceGroup, ...]
    """Largest first, at most ten."""
    distinct: int
    effective: float
    """exp of the Shannon entropy: as many equally frequent values would be as diverse."""


class Funnel(Wire):
    """What happened to every row between a file and the training set."""

    rows_in: int
    rows_out: int
    reasons: tuple[ReasonCount, ...]
    largest_clusters: tuple[DuplicateCluster, ...] = ()
    """Largest first, at most ten."""
    lengths: TokenLengths | None = None
    balance: tuple[BalanceTable, ...] = ()
    distinct_2: float | None = None
    """How varied the prompts of the kept rows are: different pairs of neighbouring words per pair, in a sample."""
    restored: int = 0
    """Rows kept against a reason to drop them, because a person said so."""
    near_duplicate_settings: dict[str, float | int | str] = {}

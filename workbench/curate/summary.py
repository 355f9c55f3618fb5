"""The funnel as a page for a terminal, at most 110 columns wide.

    1,000 rows in, 912 kept (91.2%)

    Why rows went, were flagged or repaired
    reason            action    rows    only  share
    exact_duplicate   drop        14      12   1.4%  #
    ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.core.funnel import BalanceTable, DuplicateCluster, Funnel, ReasonCount, TokenLengths
from workbench.core.wire import printable

_WIDTH = 110
_BAR = 20
_SHOWN_GROUPS = 4


def render_funnel(funnel: Funnel, *, examples: int = 3, clusters: int = 5) -> str:
    """`funnel` as plain text without a closing newline; control characters of the data are shown escaped.

    `rows` counts the rows a reason touched, `only` those it touched and no other of the same action: what would come
    back without it. At most `examples` per reason and so many `clusters` are shown.
    """
    blocks = [_total(funnel), _reasons(funnel)]
    if examples:
        blocks.append(_examples(funnel.reasons, examples))
    blocks += [_clusters(funnel, clusters), _lengths(funnel.lengths, funnel.rows_out), _balance(funnel.balance)]
    blocks.append(_variety(funnel.distinct_2))
    return "\n\n".join(block for block in blocks if block)


def _total(funnel: Funnel) -> str:
    kept = funnel.rows_out / funnel.rows_in if funnel.rows_in else 0.0
    line = f"{funnel.rows_in:,} rows in, {funnel.rows_out:,} kept ({kept:.1%})"
    if funnel.restored:
        line += f"; {funnel.restored:,} of them because a person took them back"
    return line


def _reasons(funnel: Funnel) -> str:
    if not funnel.reasons:
        return "No filter found anything."
    width = max(len("reason"), *(len(printable(count.reason)) for count in funnel.reasons))
    lines = [
        "Why rows went, were flagged or repaired (only: with no other reason of that kind)",
        f"{'reason':<{width}}  {'action':<6}  {'rows':>9}  {'only':>9}  {'share':>6}",
    ]
    for count in funnel.reasons:
        share = count.rows / funnel.rows_in if funnel.rows_in else 0.0
        bar = "#" * round(_BAR * share) if count.rows else ""
        counts = f"{count.action:<6}  {count.rows:>9,}  {count.only:>9,}  {share:>6.1%}"
        lines.append(f"{printable(count.reason):<{width}}  {counts}  {bar}".rstrip())
    return "\n".join(lines)


def _examples(reasons: Sequence[ReasonCount], most: int) -> str:
    lines = ["Examples"]
    for count in reasons:
        if count.examples:
            lines.append(f"{printable(count.reason)} ({count.action})")
            for example in count.examples[:most]:
                text, _, detail = example.partition("\n")
                lines += [*fitted(text, "  - "), *fitted(detail.removeprefix("[").removesuffix("]"), "    why: ")]
    return "\n".join(lines) if len(lines) > 1 else ""


def _clusters(funnel: Funnel, most: int) -> str:
    shown = funnel.largest_clusters[:most]
    if not shown:
        return ""
    title = "The largest duplicate cluster" if len(shown) == 1 else f"The {len(shown)} largest duplicate clusters"
    threshold = funnel.near_duplicate_settings.get("threshold")
    if threshold is not None:
        title += f" (similarity: Jaccard of {funnel.near_duplicate_settings['ngram']}-grams, from {threshold})"
    lines = [title]
    for cluster in shown:
        lines += _cluster(cluster)
    if capped := funnel.near_duplicate_settings.get("capped_rows"):
        lines.append(f"{capped:,} rows were compared with some rows of a crowded bucket only: it may hold more.")
    return "\n".join(lines)


def _cluster(cluster: DuplicateCluster) -> Iterator[str]:
    alike = "all the same text" if cluster.lowest_jaccard == 1 else f"similarity from {cluster.lowest_jaccard:.2f}"
    yield f"{cluster.rows:,} rows, {alike}; kept {printable(cluster.kept)}"
    yield from fitted(cluster.excerpt, "     kept: ")
    for member in cluster.members:
        how, _, text = member.partition(": ")
        if how != "same text":
            yield from fitted(text, f"{how.removeprefix('Jaccard '):>9}: ")


def _lengths(lengths: TokenLengths | None, rows: int) -> str:
    if lengths is None or not lengths.quantiles:
        return ""
    quantiles = "   ".join(f"{name} {value:,}" for name, value in lengths.quantiles.items())
    lines = [
        f"Length of the kept rows in {lengths.unit} ({printable(lengths.counter)})",
        f"  {quantiles}   total {lengths.total:,}, of them learned {lengths.trainable:,}",
    ]
    if lengths.max_length is not None:
        lines.append(f"  {_cut(lengths, rows)}")
    return "\n".join(lines)


def _cut(lengths: TokenLengths, rows: int) -> str:
    if not lengths.rows_cut and not lengths.answers_cut_away:
        return f"At max length {lengths.max_length:,} nothing is cut."
    share = lengths.rows_cut / rows if rows else 0.0
    tokens = lengths.tokens_cut / lengths.total if lengths.total else 0.0
    said = f"At max length {lengths.max_length:,}: {lengths.rows_cut:,} rows ({share:.1%}) lose their end"
    said += f", {lengths.tokens_cut:,} tokens ({tokens:.1%})"
    if lengths.answers_cut_away:
        said += f"; {lengths.answers_cut_away:,} rows have no answer token left"
    return said + "."


def _balance(tables: Sequence[BalanceTable]) -> str:
    telling = [table for table in tables if table.distinct > 1]
    if not telling:
        return ""
    lines = ["Balance of the kept rows (as diverse as so many equally frequent values)"]
    for table in telling:
        groups = ", ".join(f"{group.value} {group.share:.1%}" for group in table.groups[:_SHOWN_GROUPS])
        more = table.distinct - len(table.groups[:_SHOWN_GROUPS])
        rest = f", {more:,} more" if more > 0 else ""
        lines += fitted(f"{groups}{rest}", f"  {table.by:<9} {table.effective:>8,.1f}  ", hanging=True)
    return "\n".join(lines)


def _variety(distinct_2: float | None) -> str:
    if distinct_2 is None:
        return ""
    return f"Variety of the prompts: distinct-2 {distinct_2:.2f} (different pairs of neighbouring words per pair)"


def fitted(text: str, lead: str, *, hanging: bool = False) -> list[str]:
    """One line of data behind `lead`, cut at the width of the page; `hanging` goes on below instead."""
    line = printable(" ".join(text.split()))
    room = _WIDTH - len(lead)
    if len(line) <= room:
        return [(lead + line).rstrip()]
    if not hanging:
        return [lead + line[: room - 3].rstrip() + "..."]
    at = line.rfind(", ", 0, room) + 1 or room
    return [lead + line[:at], *fitted(line[at:], " " * len(lead), hanging=True)]

"""The funnel as a table for a terminal.

    1000 rows in, 912 out (91.2% kept)

    reason            action    rows    only   share
    exact_duplicate   drop        14      12    1.4%
    ...
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.core.records import Edge
from workbench.core.results import Funnel, ReasonCount
from workbench.core.wire import printable

_WIDTH = 180


def render_funnel(funnel: Funnel, edges: Sequence[Edge] = (), *, examples: bool = True) -> str:
    """`funnel` as plain text without a closing newline; control characters of the data are shown escaped.

    `rows` counts the rows a reason touched, `only` those it touched alone: what would come back without it. `edges`
    adds a line on how similar the near-duplicates are.
    """
    kept = funnel.rows_out / funnel.rows_in if funnel.rows_in else 0.0
    blocks = [f"{funnel.rows_in} rows in, {funnel.rows_out} out ({kept:.1%} kept)"]
    if funnel.reasons:
        blocks.append(_reasons(funnel))
    if examples and any(count.examples for count in funnel.reasons):
        blocks.append(_examples(funnel.reasons))
    blocks.append("\n".join(_facts(funnel, edges)))
    return "\n\n".join(block for block in blocks if block)


def _reasons(funnel: Funnel) -> str:
    width = max(len("reason"), *(len(count.reason) for count in funnel.reasons))
    lines = [f"{'reason':<{width}}  {'action':<6}  {'rows':>7}  {'only':>7}  {'share':>6}"]
    for count in funnel.reasons:
        share = count.rows / funnel.rows_in if funnel.rows_in else 0.0
        lines.append(
            f"{printable(count.reason):<{width}}  {count.action:<6}  {count.rows:>7}  {count.only:>7}  {share:>6.1%}"
        )
    return "\n".join(lines)


def _examples(reasons: Sequence[ReasonCount]) -> str:
    lines = []
    for count in reasons:
        lines.append(f"{printable(count.reason)} ({count.action}), for example")
        lines += [f"  - {_one_line(example)}" for example in count.examples]
    return "\n".join(lines)


def _facts(funnel: Funnel, edges: Sequence[Edge]) -> list[str]:
    lines = []
    if edges:
        values = sorted(edge.jaccard for edge in edges)
        lines.append(
            f"near-duplicate pairs  {len(values)} verified, true Jaccard {values[0]:.2f} to {values[-1]:.2f}, "
            f"median {values[len(values) // 2]:.2f}"
        )
    if funnel.largest_clusters:
        shown = ", ".join(f"{size} x {printable(record)}" for record, size in funnel.largest_clusters[:5])
        lines.append(f"largest clusters      {shown}")
    if funnel.token_quantiles:
        shown = ", ".join(f"{name} {value}" for name, value in funnel.token_quantiles.items())
        lines.append(f"length in {funnel.token_unit:<12}{shown}")
    return lines


def _one_line(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."

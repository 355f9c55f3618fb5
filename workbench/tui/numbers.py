"""The numbers beside a funnel, as short text: lengths, what truncation cuts, balance, how near-duplicates were found.

length_line(funnel)   ->  "length p50 102, p99 1,920 tokens; at 512: 269 rows (6.4%) lose their end"
"""

from __future__ import annotations

from rich.text import Text

from workbench.core.funnel import BalanceTable, Funnel, TokenLengths
from workbench.tui.signs import bar, one_line

_GROUPS = 4
_BAR = 8


def length_line(funnel: Funnel) -> str:
    """Lengths and truncation on one line; empty where nothing was counted."""
    lengths = funnel.lengths
    if lengths is None or not lengths.quantiles:
        return ""
    some = ", ".join(f"{name} {lengths.quantiles[name]:,}" for name in ("p50", "p99") if name in lengths.quantiles)
    cut = _cut(lengths, funnel.rows_out)
    return f"length {some} {lengths.unit}" + (f"; {cut[0]}" if cut else "")


def numbers_text(funnel: Funnel) -> Text:
    """All of them, one block each."""
    text = Text()
    if funnel.lengths is not None and funnel.lengths.quantiles:
        _lengths(text, funnel.lengths, funnel.rows_out)
    telling = [table for table in funnel.balance if table.distinct > 1]
    if telling:
        text.append("Balance of the kept rows\n", "bold")
        for table in telling:
            _balance(text, table)
    _near_duplicates(text, funnel)
    return text if text.plain else Text("This run counted nothing besides reasons.", "dim")


def _lengths(text: Text, lengths: TokenLengths, rows: int) -> None:
    text.append(f"Length of the kept rows in {lengths.unit}\n", "bold")
    text.append("  " + "  ".join(f"{name} {value:,}" for name, value in lengths.quantiles.items()) + "\n")
    text.append(f"  total {lengths.total:,}, learned {lengths.trainable:,}\n")
    text.append(f"  {one_line(lengths.counter, 80)}\n", "dim")
    for line in _cut(lengths, rows):
        text.append(f"  {line}\n")


def _cut(lengths: TokenLengths, rows: int) -> list[str]:
    if lengths.max_length is None:
        return []
    limit = f"at {lengths.max_length:,}: "
    if not lengths.rows_cut and not lengths.answers_cut_away:
        return [f"{limit}nothing is cut"]
    said = [f"{limit}{lengths.rows_cut:,} rows ({lengths.rows_cut / max(1, rows):.1%}) lose their end"]
    said.append(f"{lengths.tokens_cut:,} tokens ({lengths.tokens_cut / max(1, lengths.total):.1%}) are cut")
    if lengths.answers_cut_away:
        said.append(f"{lengths.answers_cut_away:,} rows have no answer token left")
    return said


def _balance(text: Text, table: BalanceTable) -> None:
    text.append(f"  {one_line(table.by, 12)}", "cyan")
    text.append(f"  {table.distinct:,} values, as diverse as {table.effective:,.1f} equal ones\n", "dim")
    for group in table.groups[:_GROUPS]:
        share = round(1000 * group.share)
        text.append(f"    {bar(share, 1000, _BAR)} {group.share:>6.1%} {one_line(group.value, 30)}\n")
    if (more := table.distinct - len(table.groups[:_GROUPS])) > 0:
        text.append(f"    {more:,} more\n", "dim")


def _near_duplicates(text: Text, funnel: Funnel) -> None:
    settings = funnel.near_duplicate_settings
    if not settings:
        return
    values = {name: one_line(str(value), 30) for name, value in settings.items()}
    compared = values.get("compare", "all")
    text.append("Near-duplicates\n", "bold")
    text.append(f"  true Jaccard of {values.get('ngram', '?')}-grams from {values.get('threshold', '?')}")
    text.append(f", comparing {'prompt and answer' if compared == 'all' else compared}\n")
    text.append(f"  {values.get('num_perm', '?')} permutations, {values.get('bands', '?')} bands")
    text.append(f" of {values.get('rows_per_band', '?')} rows\n")
    counted = {"pairs_checked": "pairs checked", "edges": "links kept", "rows_without_shingles": "rows without words"}
    said = [f"{_number(settings[name])} {what}" for name, what in counted.items() if settings.get(name) is not None]
    text.append(f"  {', '.join(said)}\n")
    if capped := settings.get("capped_rows"):
        text.append(f"  {_number(capped)} rows of crowded buckets were not compared with all\n", "yellow")


def _number(value: float | int | str) -> str:
    return f"{value:,}" if isinstance(value, int | float) else one_line(value, 20)

"""Glyph, sign and colour for what is shown; never one of them alone, and no text from outside without `plain`."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.text import Text

from workbench.core.wire import printable

STATUS_SIGNS: dict[str, tuple[str, str]] = {
    "running": ("▶", "cyan"),
    "completed": ("✔", "green"),
    "failed": ("✘", "red"),
    "cancelled": ("■", "yellow"),
    "killed": ("✘", "yellow"),
    "stopped": ("■", "yellow"),
    "pending": ("·", "dim"),
    "cached": ("↺", "dim"),
    "done": ("✔", "green"),
}
STATE_SIGNS: dict[str, tuple[str, str]] = {
    "passed": ("✔", "green"),
    "improved": ("▲", "green"),
    "non-inferior": ("≈", "green"),
    "inconclusive": ("?", "yellow"),
    "not informative": ("○", "dim"),
    "not comparable": ("≠", "magenta"),
    "regressed": ("▼", "bold red"),
}
KIND_SIGNS: dict[str, tuple[str, str]] = {"forgotten": ("✘", "red"), "learned": ("✔", "green")}
ACTION_SIGNS: dict[str, tuple[str, str]] = {"drop": ("✘", "red"), "flag": ("!", "yellow"), "repair": ("~", "cyan")}
ROW_SIGNS: dict[str, tuple[str, str]] = {"dropped": ("✘", "red"), "kept": ("✔", "dim"), "restored": ("↺", "green")}


def plain(text: str) -> str:
    """Text from outside, safe for a terminal: control and bidirectional characters shown as escapes, tabs as spaces."""
    return printable(text).replace("\r", "\\x0d").expandtabs(4)


def one_line(text: str, width: int = 400) -> str:
    """The same on one line, cut to `width` characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


def coloured(text: str, style: str) -> Text:
    """`text` in an ANSI colour of the theme; a style given to `Text` itself would be read as a CSS colour."""
    return Text().append(text, style)


def signed(word: str | None, signs: dict[str, tuple[str, str]]) -> Text:
    """Glyph and word in the state's colour; a dash where there is none."""
    if word is None:
        return Text("-", "dim")
    glyph, colour = signs.get(word, ("•", ""))
    return coloured(f"{glyph} {one_line(word, 40)}", colour)


def row_state(dropped: bool, restored: bool) -> Text:
    """What became of a row, or will become of it: a restored one is kept by the next curation."""
    return signed("restored" if restored else "dropped" if dropped else "kept", ROW_SIGNS)


def duration(seconds: float | None) -> str:
    """`4 s`, `3:07`, `2:05:10`; empty for None."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def ago(at: str, now: datetime) -> str:
    """`3 min ago` for a UTC time in ISO 8601; the text itself if it is none."""
    try:
        then = datetime.fromisoformat(at)
    except ValueError:
        return one_line(at, 20)
    seconds = (now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def score(value: float, unit: str) -> str:
    """A score in its unit: accuracies and win rates in percent, the rest with three decimals."""
    return f"{100 * value:.1f}%" if unit in ("accuracy", "win_rate") else f"{value:.3f}"


def gain(value: float, unit: str) -> str:
    """A difference with its sign: percentage points or the unit's own."""
    return f"{100 * value:+.1f}" if unit in ("accuracy", "win_rate") else f"{value:+.3f}"


def bar(done: int, total: int | None, width: int) -> str:
    """`━━━━╌╌╌╌`; empty where the total is not known."""
    if not total or width < 1:
        return ""
    filled = min(width, round(width * done / total))
    return "━" * filled + "╌" * (width - filled)

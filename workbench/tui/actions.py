"""Everything the keys can do, once: bindings, palette, help screen and the table in docs/tui.md are made from it.

Action("start_demo", "d", "Demo", "...", on=("home",), command="workbench demo")
-> binding `d` on the home screen calling `action_start_demo`, a line in the palette, a line on the help screen
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding

ScreenName = Literal[
    "app",
    "home",
    "start",
    "confirm",
    "run",
    "compare",
    "sample",
    "data",
    "record",
    "clusters",
    "pair",
    "restore",
    "rate",
    "note",
    "chat",
    "help",
]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a key does."""

    name: str
    """Method `action_NAME` of the screen (or of the app, for `app`)."""
    keys: str
    """Keys as Textual names them, separated by commas."""
    label: str
    """Two words for the footer and the palette."""
    help: str
    """One sentence for the help screen."""
    on: tuple[ScreenName, ...]
    """Screens that have it; `app` means all of them."""
    command: str = ""
    """The same on the command line."""
    footer: bool = True


_INNER: tuple[ScreenName, ...] = (
    "run",
    "compare",
    "sample",
    "data",
    "record",
    "clusters",
    "pair",
    "rate",
    "chat",
    "help",
)
_UNFINISHED = ("cancelled", "killed", "failed")
_LISTS: tuple[ScreenName, ...] = ("home", "compare", "data", "clusters", "start")

ACTIONS: tuple[Action, ...] = (
    Action("start_demo", "d", "Demo", "Run the whole loop on the built-in example.", ("home",), "workbench demo"),
    Action("start_loop", "r", "Run", "Choose a loop file and run it as a job.", ("home",), "workbench run LOOP.yaml"),
    Action("open", "enter", "Open", "Watch the run: nodes, loss, log.", ("home",), "workbench runs attach RUN"),
    Action(
        "compare",
        "c",
        "Compare",
        "Before against after: suites, intervals, flips.",
        ("home", "run"),
        "workbench report RUN",
    ),
    Action(
        "data",
        "f",
        "Funnel",
        "What became of the data: reasons, rows, duplicate clusters.",
        ("home", "run", "compare"),
        'workbench store query "from funnel_reasons"',
    ),
    Action(
        "cancel",
        "x",
        "Cancel",
        "Stop a running job; it saves what it can resume from.",
        ("home", "run"),
        "workbench runs cancel RUN",
    ),
    Action(
        "resume",
        "g",
        "Go on",
        "Take up a run that was stopped, killed or failed; training goes on from its last checkpoint.",
        ("home", "run"),
        "workbench run --resume RUN",
    ),
    Action("rate", "v", "Rate", "Which of two answers is better? Names hidden.", ("run",), "workbench rate RUN"),
    Action("chat", "t", "Chat", "Talk to base and adapter side by side.", ("run",), "workbench chat --run RUN"),
    Action("begin", "enter", "Start", "Start the chosen loop file as a job.", ("start",), "workbench run LOOP.yaml"),
    Action("yes", "y", "Yes", "Do it.", ("confirm",)),
    Action("no", "n,escape", "No", "Leave it.", ("confirm",)),
    Action(
        "show_flip", "enter", "Open", "Of a flip: before and after side by side. Of a suite: its flips.", ("compare",)
    ),
    Action("next_pair", "p", "Pair", "Show the next pair of arms.", ("compare",), "workbench compare RUN:A RUN:B"),
    Action("next_suite", "s", "Suite", "Flips of one suite, then the next, then all.", ("compare",)),
    Action("next_kind", "t", "Kind", "Flips: all, forgotten only, learned only.", ("compare",)),
    Action("search", "slash", "Search", "Flips that contain a text.", ("compare",)),
    Action("next_flip", "n,right", "Next", "The next flip.", ("sample",)),
    Action("previous_flip", "b,left", "Previous", "The flip before.", ("sample",)),
    Action(
        "open_row",
        "enter",
        "Open",
        "The whole record with every finding. Of a reason: its rows.",
        ("data",),
        "workbench curate FILE --dropped FILE.jsonl",
    ),
    Action("open_pair", "enter", "Open", "Of a row: beside the one that stayed. Of a cluster: rows.", ("clusters",)),
    Action("clusters", "c", "Clusters", "Rows that are the same or nearly the same text.", ("data",)),
    Action("twin", "c", "Twin", "A duplicate beside the row that stayed.", ("record",)),
    Action(
        "restore",
        "u",
        "Restore",
        "Keep this dropped row in the next run; again: take that back.",
        ("data", "record", "clusters", "pair"),
        "workbench restore ID --reason TEXT",
    ),
    Action("search", "slash", "Search", "Rows whose record or evidence contains a text.", ("data",)),
    Action("numbers", "i", "Numbers", "Lengths, what truncation cuts, balance, near-duplicate settings.", ("data",)),
    Action("next_row", "n,right", "Next", "The next row of the list.", ("record", "pair")),
    Action("previous_row", "b,left", "Previous", "The row before.", ("record", "pair")),
    Action("down", "j", "Down", "One row down (or the arrow key).", _LISTS, footer=False),
    Action("up", "k", "Up", "One row up (or the arrow key).", _LISTS, footer=False),
    Action("first", "a", "A", "The answer on the left is better.", ("rate",)),
    Action("second", "b", "B", "The answer on the right is better.", ("rate",)),
    Action("tie", "t", "Tie", "Both are equally good.", ("rate",)),
    Action("neither", "n", "Neither", "Both are bad.", ("rate",)),
    Action("skip", "s", "Skip", "Put this pair off until the others are rated.", ("rate",)),
    Action("undo", "u", "Undo", "Take your last verdict back, and say it again.", ("rate",)),
    Action("note", "w", "Note", "Write a note that is kept with the verdict.", ("rate",)),
    Action("reference", "r", "Reference", "Show or hide what the data answers.", ("rate",)),
    Action(
        "keep_base", "f5", "Base right", "Make a regression item: the answer of the base is the right one.", ("chat",)
    ),
    Action(
        "keep_tuned",
        "f6",
        "Adapter right",
        "Make a regression item: the answer of the adapter is the right one.",
        ("chat",),
    ),
    Action("undo_item", "f7", "Undo", "Take the last regression item of this chat back.", ("chat",)),
    Action("stop", "f8", "Stop", "Stop the answers that are being written.", ("chat",)),
    Action("anew", "f9", "Anew", "Begin another conversation.", ("chat",)),
    Action("no", "escape", "No", "Leave it as it is.", ("restore", "note")),
    Action("back", "escape", "Back", "To the screen before.", (*_INNER, "start")),
    Action("toggle_theme", "f2", "Light/dark", "Change between the dark and the light theme.", ("app",), footer=False),
    Action("help", "question_mark", "Help", "Every key and its command.", ("app",), "workbench --help"),
    Action("quit", "q", "Quit", "Close the terminal interface; jobs go on.", ("app",)),
)

SCREEN_TITLES: dict[ScreenName, str] = {
    "app": "Everywhere",
    "home": "Runs",
    "start": "Choosing a loop file",
    "confirm": "Question",
    "run": "One run",
    "compare": "Comparison",
    "sample": "One document",
    "data": "Data funnel",
    "record": "One record",
    "clusters": "Duplicate clusters",
    "pair": "Two duplicates",
    "restore": "Restoring",
    "rate": "Rating",
    "note": "A note",
    "chat": "Chat",
    "help": "Help",
}


def actions_on(screen: ScreenName) -> tuple[Action, ...]:
    """The actions of one screen, those of the app not included."""
    return tuple(action for action in ACTIONS if screen in action.on)


def applies(name: str, status: str | None) -> bool:
    """Whether an action can be done to a run of this status (None: there is no run). One at work can be cancelled, one
    that did not get to its end can be taken up."""
    if name == "cancel":
        return status == "running"
    return name != "resume" or status in _UNFINISHED


def bindings_for(screen: ScreenName) -> list[Binding]:
    """Textual's bindings for one screen."""
    return [Binding(action.keys, action.name, action.label, show=action.footer) for action in actions_on(screen)]


def shown_keys(action: Action) -> str:
    """The keys as people know them."""
    names = {"question_mark": "?", "slash": "/", "escape": "esc", "left": "←", "right": "→"}
    return " ".join(names.get(key, key) for key in action.keys.split(","))


def help_table() -> str:
    """The keys as a Markdown table, for docs/tui.md."""
    lines = ["| screen | key | does | on the command line |", "|---|---|---|---|"]
    for screen, title in SCREEN_TITLES.items():
        for action in actions_on(screen):
            command = f"`{action.command}`" if action.command else ""
            keys = shown_keys(action).replace("|", "\\|")
            lines.append(f"| {title} | `{keys}` | {action.label}: {action.help} | {command} |")
    return "\n".join(lines) + "\n"

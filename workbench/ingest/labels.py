"""Labels that are no true or false: judgments of the answer (KTO), or the class that the answer is?

    {"prompt": "Say something nice", "completion": "You look great", "label": 1}
    {"prompt": "Say something nice", "completion": "Go away", "label": 0}          ->  judgments: good, bad

    {"prompt": "Good food. Sentiment?", "completion": "positive", "label": 1}
    {"prompt": "Long queues. Sentiment?", "completion": "negative", "label": 0}    ->  classes, where answers repeat
    {"prompt": "...", "completion": "...", "label": 4}                             ->  classes, all of them

One row cannot tell, so all rows of a dataset are asked. A bad answer taken for a good one would be learned, so labels
are judgments unless something speaks against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.ingest.formats.shape import Parsed, spelled_judgment
from workbench.ingest.rows import Row


@dataclass(slots=True)
class LabelReading:
    """What the labels of a dataset are, as far as its rows were seen."""

    found: bool = False
    """Whether a label was seen that may be a judgment or a class."""
    has_others: bool = False
    """Whether a label was seen that is no judgment."""
    _answers: dict[bool, set[str]] = field(default_factory=dict)
    """The first two answers that each label comes with."""
    _repeats: bool = False
    """Whether an answer came twice with the same label."""

    def add(self, row: Row, parsed: Parsed | None) -> None:
        """Takes a row that has a label, with its content if it can be read."""
        label = row.get("label")
        if label is None or label == "" or isinstance(label, bool) or parsed is None or parsed.kind != "chat":
            return
        judgment = spelled_judgment(label)
        if judgment is None:
            self.has_others = True
            return
        self.found = True
        answer, answers = parsed.messages[-1].content, self._answers.setdefault(judgment, set())
        if answer in answers:
            self._repeats = True
        elif len(answers) < 2:
            answers.add(answer)

    @property
    def are_judgments(self) -> bool:
        """Whether 1 and 0 mean good and bad."""
        return not self.has_others and not self._tell_the_answers()

    def story(self, good: int, bad: int) -> str | None:
        """How the labels were read, for people; None where there was nothing to decide."""
        if not self.found:
            return None
        if self.are_judgments:
            return (
                f"column 'label' marks {good} good and {bad} bad answers (KTO): bad ones are not learned as answers;"
                " rename the column if it is something else"
            )
        why = "has other values than 1 and 0" if self.has_others else "comes with one answer for each value"
        return f"column 'label' {why}, so it is a class and no judgment; name it kto_tag if it marks bad answers"

    def _tell_the_answers(self) -> bool:
        """Whether each label has one answer of its own, as the name of a class has."""
        good, bad = (self._answers.get(judgment, set()) for judgment in (True, False))
        return self._repeats and len(good) == len(bad) == 1 and good != bad


def judged(row: Row) -> Row:
    """`row` with true or false for a label that is spelled in another way."""
    label = row.get("label")
    if label is None or isinstance(label, bool) or (judgment := spelled_judgment(label)) is None:
        return row
    return row | {"label": judgment}

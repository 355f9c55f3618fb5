from __future__ import annotations

import pytest
from pydantic import ValidationError
from record_makers import chat, document, preference

from workbench.core.curation import CurateConfig, Language
from workbench.core.records import Record
from workbench.curate.filters import language
from workbench.curate.filters.contract import Subject

GERMAN = "Zuerst mischt man Mehl, Wasser, Hefe und Salz, dann ruht der Teig eine Stunde lang."
ENGLISH = "First you mix flour, water, yeast and salt, then the dough rests for an hour."
QUESTION = "How do I bake bread at home without a machine?"


def verdicts(record: Record, *allowed: str, action: str = "flag") -> list[tuple[str, str]]:
    config = CurateConfig.model_validate({"language": {"allowed": allowed, "action": action}})
    return [(found.action, found.reason) for found in language.check(Subject(record), config)]


def test_an_answer_in_another_language_than_its_prompt_is_flagged() -> None:
    assert verdicts(chat(QUESTION, GERMAN)) == [("flag", "language_mismatch")]
    assert verdicts(preference(QUESTION, GERMAN, ENGLISH)) == [("flag", "language_mismatch")]
    assert verdicts(chat("怎样在家里不用机器烤面包？", ENGLISH)) == [("flag", "language_mismatch")]
    (found,) = language.check(Subject(chat(QUESTION, GERMAN)), CurateConfig())
    assert "prompt is in en (" in found.detail and "answer in de (" in found.detail


@pytest.mark.parametrize(
    "question, answer",
    [
        (QUESTION, ENGLISH),
        (QUESTION, "Brot"),
        ("Bread?", GERMAN),
        ("Translate this recipe.\n" + ENGLISH, GERMAN),
        ("Say how bread is baked, in German please.", GERMAN),
        ("Answer as a baker from Munich would, auf Deutsch, and explain how bread is baked.", GERMAN),
        ("用英文解释怎样烤面包，不要使用机器。", ENGLISH),
        ("Summarise the following text in one sentence.\n\n" + GERMAN, GERMAN),
        ('Make the sentence "Der Teig ruht eine Stunde lang in der Küche" sound more polite.', GERMAN),
        ("怎样用代码计算面积？", "def area(radius):\n    # compute the area of a circle\n    return radius ** 2"),
        ("Hvordan bager jeg brød derhjemme uden en maskine?", "Først blander du mel, vann, gjær og salt, så hviler."),
    ],
)
def test_an_answer_may_be_in_another_language_where_the_task_has_it_so(question: str, answer: str) -> None:
    assert verdicts(chat(question, answer)) == []


def test_languages_that_are_not_allowed_are_flagged_or_dropped() -> None:
    assert verdicts(document(GERMAN), "en") == [("flag", "language_not_allowed")]
    assert verdicts(document(GERMAN), "en", action="drop") == [("drop", "language_not_allowed")]
    assert verdicts(document(GERMAN), "en", "de", action="drop") == []
    assert verdicts(document("Lima"), "en", action="drop") == []
    assert verdicts(document("Biblioteket stenger klokka seks, men lesesalen er åpen hele kvelden."), "nb") == []
    assert verdicts(chat(QUESTION, GERMAN), "en") == [("flag", "language_not_allowed"), ("flag", "language_mismatch")]
    (found,) = language.check(Subject(document(GERMAN)), CurateConfig(language=Language(allowed=("en", "fr"))))
    assert found.detail.endswith("allowed: en, fr")


@pytest.mark.parametrize("code", ["english", "EN", "e", ""])
def test_a_language_is_named_by_its_code(code: str) -> None:
    with pytest.raises(ValidationError, match="ISO 639"):
        Language(allowed=(code,))


def test_every_reason_is_announced() -> None:
    assert set(language.FILTER.reasons) == {"language_mismatch", "language_not_allowed"}

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from filter_runs import calling, everything, turns, verdicts
from record_makers import chat, document, preference

from workbench.core.curation import CurateConfig
from workbench.core.errors import UsageError
from workbench.core.records import Record
from workbench.curate.filters.contract import Subject, rewritten
from workbench.curate.filters.registry import DATASET_FILTERS, FILTERS, all_reasons, chosen_filters

RULES = tuple(one for one in FILTERS if one.name not in ("language", "personal_data"))

SONNET = """Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date"""
SONG = "\n".join(
    ["Row, row, row your boat", "Gently down the stream", "Merrily, merrily, merrily, merrily", "Life is a dream"] * 2
)
TABLE = "| city | country |\n|---|---|\n| Lima | Peru |\n| Quito | Ecuador |\n| Lima | Peru |\n| Quito | Ecuador |"
PYTHON = "def add(a, b):\n    if a is None:\n        return b\n    if b is None:\n        return a\n    return a + b"
SQL = "\n".join(f"INSERT INTO people (id, name) VALUES ({number}, 'Anna');" for number in range(12))
MATRIX = "[[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]"
LABELS = "1. Positive\n2. Negative\n3. Positive\n4. Positive\n5. Negative\n6. Positive\n7. Positive\n8. Negative"
SUM = "She sold 48 / 2 = <<48/2=24>>24 clips in May.\nTogether she sold 48 + 24 = <<48+24=72>>72 clips.\n#### 72"
EMAIL = "Dear Ms Lee,\n\nThank you for your time last week. I enjoyed our talk.\n\nBest regards,\nAnna"
DIALOGUE = "Human: Hello, how are you?\nAssistant: I am fine.\nHuman: What is new?\nAssistant: Nothing much."
UNICODE = "Ünïcode façade: „Zitat“, «guillemets», naïve Ærøskøbing, ŁÓDŹ, SÃO PAULO, Übermut – 25 °C, √2, ¬p"

UNTOUCHED = {
    "label": chat("Is this review positive or negative?\nI loved it.", "positive"),
    "yes": chat("Does sentence A follow from sentence B? Answer yes or no.", "no"),
    "number": chat("What is 6 x 7?", "42"),
    "letter": chat("Which option is right?\nA) Lima\nB) Quito\nC) None of these", "C"),
    "none is the answer": chat("Which of these numbers are prime: 4, 6, 8?", "None"),
    "n/a was asked for": chat("Give the phone number in the text, or N/A.\nAnna lives in Bern.", "N/A"),
    "prints nothing": chat("What does this Python program print?\nx = 1", "No output"),
    "null in JSON": chat("What is the value of `b` in this JSON? {\"b\": null}", "null"),
    "emoji": chat("React to: we won the cup!", "🎉👩‍🚀👨‍👩‍👧"),
    "code": chat("Write a function that adds two numbers.", PYTHON),
    "indented completion": chat("Complete the body:\ndef twice(x):", "    return 2 * x"),
    "fenced code": chat("How do I print in Python?", "Use `print`:\n\n```python\nprint('x')\n```"),
    "fence in a line": chat("Show both.", "Use ```print(1)``` or\n```\nprint(2)\n```"),
    "nested fences": chat("Show Markdown with code.", "````markdown\n```python\nprint(1)\n```\n````"),
    "sql": chat("Write insert statements for a dozen people called Anna.", SQL),
    "matrix": chat("Give the adjacency matrix.", MATRIX),
    "table": chat("List capitals as a table.", TABLE),
    "poem": chat("Quote Sonnet 18.", SONNET),
    "song": chat("What are the words of Row, Row, Row Your Boat?", SONG),
    "labels": chat("Classify the eight reviews.", LABELS),
    "list": chat("Name three fruits.", "- apples\n- pears\n- plums"),
    "math": chat("Natalia sold 48 clips in April and half as many in May. How many in all?", SUM),
    "latex": chat("Simplify.", r"$\frac{{a}}{b} + x^{{n}} = \mathbf{{x}}$"),
    "title": chat("Give the article a title.", "How the Amazon Came to Flow from West to East"),
    "letter with a name": chat("Write a thank-you note to Ms Lee.", EMAIL),
    "quote": chat("Quote Edison.", '"The most certain way to succeed is to try one more time." - Thomas A. Edison'),
    "chinese": chat("秘鲁的首都是什么?", "秘鲁的首都是利马。它位于太平洋沿岸,是全国最大的城市。"),
    "japanese": chat("ペルーの首都は?", "ペルーの首都はリマです。"),
    "arabic": chat("ما عاصمة بيرو؟", "عاصمة بيرو هي ليما."),
    "persian with joiners": chat("پایتخت پرو؟", "می‌خواهم بگویم: لیما."),
    "thai": chat("เมืองหลวงของเปรู", "ลิมาเป็นเมืองหลวงของประเทศเปรูและเป็นเมืองที่ใหญ่ที่สุดในประเทศนี้ด้วยเช่นกัน"),
    "european letters": chat("Give odd letters.", UNICODE),
    "templates": chat("What does {{ x }} do in a Jinja template?", "{{ x }} prints the value of x."),
    "workflow": chat("Explain: run: echo ${{ github.ref }}", "It prints ${{ github.ref }}."),
    "sets": chat("Write a set of sets.", "{{1, 2}, {3}}"),
    "asked-for template": chat("Write a letter template.", "Dear [Name],\n\nI am [Your Name].\n\nYours,\n[Your Name]"),
    "links and references": chat("Sources?", "See [Name](https://a.org), [1], [x] and rows[name]."),
    "special tokens": chat("What does <|endoftext|> mean?", "It ends a document: <|endoftext|>"),
    "the end token": chat("Which special token ends a text in GPT-2?", "<|endoftext|>"),
    "chat template": chat("Show the ChatML prompt format.", "<|im_start|>user\nHi<|im_end|>"),
    "struck through": chat("Strike out the price.", "<p>Only <s>$20</s> $10</p>"),
    "pipes": chat("What is <| in F#?", "It applies: f <| x, and x |> f."),
    "dialogue": chat("Write a conversation between a human and an assistant.", DIALOGUE),
    "api headings": chat("Document the endpoint.", "## Endpoint\n### Input:\nA file.\n### Output:\nA report."),
    "instruction list": chat("How do I boil an egg?", "1. Instruction: Heat water.\n2. Instruction: Add the egg."),
    "faq": chat("Write two FAQs.", "Q: Is it free?\nA: Yes.\n\nQ: Is it fast?\nA: Very."),
    "sentence given": chat("Translate the following sentence into French: Good day.", "Bonjour."),
    "sentence quoted": chat('Explain the following sentence "Time flies".', "Time passes quickly."),
    "article below": chat("Summarize the following article.\nA fire broke out in Bern on Monday.", "Fire in Bern."),
    "image described": chat("Describe the given painting.\nThe Starry Night by Vincent van Gogh", "A swirling sky."),
    "report to mention": chat("Say by e-mail that the report is attached.", "Please find it attached."),
    "html tags": chat("How do I use the <video> tag in HTML?", "Write <video src='a.mp4'></video>."),
    "file names": chat("What is the file extension?\nphoto.jpg", "jpg"),
    "attaching": chat("How do I attach a file to an e-mail?", "Click on the paper clip."),
    "url is the input": chat("Extract the domain of the URL.\nhttps://example.org/a", "example.org"),
    "phishing": chat("Is this link phishing?\nhttp://paypa1.example/login", "yes"),
    "url in a text": chat("Summarize.\nThe page https://example.org says that Lima is large.", "Lima is large."),
    "draw a conclusion": chat("Draw a conclusion from the data.", "Sales went up."),
    "draw in code": chat("Draw a circle with Python's turtle module.", "import turtle\nturtle.circle(50)"),
    "caption": chat("Write a caption for a picture of a dog.", "Man's best friend."),
    "not a refusal": chat("How was the game?", "I can't believe how good it was, and I'm sorry you missed it."),
    "condolence": chat("My cat died.", "I'm sorry for your loss. Would you like to talk about it?"),
    "apology letter": chat("Decline the invitation.", "Dear Tom, I'm sorry, but I can't come on Friday."),
    "ai researcher": chat("Who is she?", "As an AI researcher, she works on speech."),
    "asked about itself": chat("Are you a human?", "No, as an AI, I have no body."),
    "sorted already": chat("Capital of Peru and Ecuador?", "Lima, Quito"),
    "asked for a word": chat("Explain photosynthesis in one word.", "Light-eating"),
    "tool call": turns(("user", "Weather?"), calling()),
    "tools used": turns(("user", "Weather?"), calling(), ("tool", "{}"), ("assistant", "It is sunny.")),
    "called twice": turns(("user", "Both?"), calling(), ("tool", "1"), ("tool", "2"), calling(), ("tool", "3"),
                          ("assistant", "Three.")),
    "said, then called": turns(("user", "Weather?"), ("assistant", "One moment."), calling(), ("tool", "{}"),
                               ("assistant", "Sunny.")),
    "system": turns(("system", "You are a helpful AI assistant."), ("user", "Hi"), ("assistant", "Hello!")),
    "long talk": turns(("user", "Hi"), ("assistant", "Hello!"), ("user", "Summarize the text above."),
                       ("assistant", "We greeted each other.")),
    "preference": preference("Capital of Peru?", "Lima", "Cusco"),
    "file": document("first line\nsecond line\n"),
    "diff": chat("Show the patch.", "--- a\n+++ b\n@@ -1,2 +1,2 @@\n-x\n+y\n "),
    "bidi text": document("\u200fשלום\u200f (abc) \u202bמילה\u202c"),
    "flag": document("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f and 👍🏽"),
    "multiplication table": chat("The table of seven?", "\n".join(f"7 x {n} = {7 * n}" for n in range(1, 11))),
    "named twice": chat("Root?", "The square root of 16 is: wolfram('square root of 16')."),
    "numbers from text": chat("List the codes.", "1e3, 007, NA, 0042"),
}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_is_right_is_touched_by_no_rule(name: str) -> None:
    assert everything(RULES, UNTOUCHED[name]) == []


@pytest.mark.parametrize(
    "text",
    ["<|a|>" * 50_000, " " * 300_000 + "x", "input:" * 50_000, "{{" * 100_000, "{{a" + " " * 200_000, "`" * 100_001,
     "\n" * 300_000, "\nQ:" * 60_000, "\nHuman: a" * 30_000, "\n1. Instruction:" * 20_000, "\nInstruction:\n" * 20_000,
     "\n```" * 60_001, "[" * 200_000, "[Your " * 50_000, "![" * 100_000, "https://" * 40_000, "a" * 300_000,
     "ab" * 150_000,
     "Ã©" * 100_000, "РџСЂ" * 60_000, "\x1b[" * 100_000, "\x1b]" + "x" * 200_000, "\u200d" * 200_000,
     "\r\n" * 150_000,
     "I'm sorry, but " * 20_000, "please " * 40_000, "draw a " * 40_000, "the following " * 20_000, "。" * 200_000,
     "the attached image " * 15_000, "</s><s>" * 40_000, "|" * 300_000, "- \n" * 100_000, "(" * 300_000],
    ids=lambda text: repr(text[:12]),
)  # fmt: skip
@pytest.mark.timeout(20)
def test_hostile_texts_do_not_make_the_filters_hang(text: str) -> None:
    text = text[:100_001]  # what takes quadratic time takes minutes here
    for record in (chat(text, text), document(text), chat(text, "a")):
        everything(RULES, record)


def test_verdicts_and_repairs_give_registered_reasons_alone() -> None:
    records = [*UNTOUCHED.values(), chat("\x00a\r\n<noinput>", ""), preference("Q", "a", "a"), document("<s>{{x}}")]
    for record in records:
        for one in RULES:
            found = {reason for _, reason in everything([one], record)}
            assert found <= set(one.reasons)
            assert found <= all_reasons()


def test_names_and_reasons_are_unique() -> None:
    reasons = [reason for one in FILTERS for reason in one.reasons]
    reasons += [reason for one in DATASET_FILTERS for reason in one.reasons]
    names = [one.name for one in FILTERS] + [one.name for one in DATASET_FILTERS]
    assert len(set(reasons)) == len(reasons) and len(set(names)) == len(names)
    assert all_reasons() == set(reasons)


def test_no_names_mean_all_filters_and_names_keep_the_registrys_order() -> None:
    assert chosen_filters(None) == (FILTERS, DATASET_FILTERS)
    chosen, of_datasets = chosen_filters(["repetition", "length", "conflicting_answers", "repetition"])
    assert [one.name for one in chosen] == ["length", "repetition"]
    assert [one.name for one in of_datasets] == ["conflicting_answers"]
    assert chosen_filters([]) == ((), ())


def test_an_unknown_filter_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="unknown filter 'repetitions'; did you mean 'repetition'"):
        chosen_filters(["length", "repetitions"])
    with pytest.raises(UsageError, match="known filters: line_ends"):
        chosen_filters(["zzz"])


def test_repairs_run_before_blank_edges_are_cut() -> None:
    # What decoding, control characters, tokens and notes leave behind is blank: cutting it off comes last.
    names = [one.name for one in FILTERS if one.repair and one in RULES]
    assert names == ["line_ends", "mojibake", "control_chars", "special_tokens", "input_placeholder", "edge_whitespace"]
    found = everything(RULES, chat("Name a river.\r\n<noinput>", "\ufeff Rhine.\x00 <|im_end|>\n"))
    assert [reason for _, reason in found] == ["line_ends", "control_chars", "edge_special_token", "input_placeholder"]


def test_rewriting_reaches_the_roles_asked_for_and_gives_an_id_of_the_new_content() -> None:
    talk = turns(("system", "s"), ("user", "u"), calling("a"), ("tool", "t"), ("assistant", "b"))
    shouted = rewritten(talk, str.upper)
    assert [turn.content for turn in shouted.messages] == ["S", "U", "A", "T", "B"]
    assert shouted == turns(("system", "S"), ("user", "U"), calling("A"), ("tool", "T"), ("assistant", "B"))
    assert [turn.content for turn in rewritten(talk, str.upper, roles=("user",)).messages] == ["s", "U", "a", "t", "b"]
    assert rewritten(preference("q", "a", "b"), str.upper, roles=("assistant",)) == preference("q", "A", "B")
    assert rewritten(document("a"), str.upper) == document("A")
    assert rewritten(document("a"), str.upper, roles=("user",)) == document("a")


def test_rewriting_that_changes_nothing_gives_the_record_itself() -> None:
    for record in (chat("q", "a"), preference("q", "a", "b"), document("a")):
        assert rewritten(record, str.lower) is record


def test_a_subject_works_out_what_filters_share() -> None:
    talk = Subject(turns(("system", "S"), ("user", "One?"), ("assistant", "A"), ("user", "Two?"), ("assistant", "B")))
    assert (talk.question, talk.answer, talk.calls_tools) == ("Two?", "B", False)
    assert talk.whole == "S\nOne?\nA\nTwo?\nB" and talk.lowered == talk.whole.lower()
    assert Subject(preference("Q", "A", "B")).texts == ("Q", "A", "B")
    assert Subject(document("D")).question is None and Subject(document("D")).texts == ("D",)
    assert Subject(turns(("user", "Weather?"), calling())).calls_tools


def _guide() -> str:
    return (Path(__file__).parents[2] / "docs" / "filters.md").read_text(encoding="utf-8")


def test_the_guide_lists_every_filter_with_its_reasons() -> None:
    guide = _guide()
    for one in (*FILTERS, *DATASET_FILTERS):
        row = next((line for line in guide.splitlines() if line.startswith(f"| `{one.name}` |")), "")
        assert row, one.name
        assert [reason for reason in one.reasons if f"`{reason}`" not in row] == [], one.name


def test_the_example_of_the_guide_works() -> None:
    source = re.search(r"```python\n(\"\"\"`shouting`.*?FILTER = .*?\n)```\n", _guide(), re.DOTALL)
    assert source is not None
    namespace: dict[str, Any] = {"__name__": "shouting"}
    exec(source.group(1), namespace)
    loud: Record = chat("How?", "LIKE THIS, AND NOT OTHERWISE!")
    assert verdicts(namespace["FILTER"], loud) == [("flag", "shouting")]
    assert verdicts(namespace["FILTER"], chat("How?", "Like this.")) == []
    assert CurateConfig().filters is None

from __future__ import annotations

import pytest
from filter_runs import calling, turns, verdicts
from record_makers import chat, document, preference

from workbench.core.curation import CurateConfig
from workbench.core.records import ToolCall
from workbench.curate.filters import (
    ai_boilerplate,
    bracket_placeholder,
    code_fence,
    empty_output,
    endings,
    length,
    output_equals_prompt,
    refusal,
    repetition,
    template_placeholder,
    truncated_end,
)
from workbench.curate.filters.contract import Subject
from workbench.curate.filters.text_shape import shape

CIRCLES = "I do not know what to say. " * 3
PROSE = "The Amazon rises in Peru. It is fed by more than a thousand tributaries and flows through the"


@pytest.mark.parametrize(
    "answer",
    [
        *("", " \n", "N/A", "n/a.", "<nooutput>", "No output", "<noinput>", "<No Output>", "[no response]", "(empty)"),
        *("<nooutput> This type of instruction cannot be fulfilled by a GPT model.", "无输出"),
        *("```\n```", "```python\n\n```"),
    ],
)
def test_empty_output_drops_answers_that_say_nothing(answer: str) -> None:
    assert verdicts(empty_output.FILTER, chat("Name a prime.", answer)) == [("drop", "empty_output")]


@pytest.mark.parametrize("answer", ["7", "None", "no", "是", "🙂", "0", "-", "[]", "{}", "<p>", "NA", "no inputs"])
def test_empty_output_keeps_short_answers(answer: str) -> None:
    assert verdicts(empty_output.FILTER, chat("Name a prime.", answer)) == []


@pytest.mark.parametrize("answer", ["nan", "null", "undefined"])
def test_what_may_be_a_missing_value_is_flagged_unless_the_task_is_about_values(answer: str) -> None:
    assert verdicts(empty_output.FILTER, chat("Name a prime.", answer)) == [("flag", "empty_output")]
    assert verdicts(empty_output.FILTER, chat("What does this JavaScript print?", answer)) == []
    assert verdicts(empty_output.FILTER, chat(f"Say {answer}.", answer)) == []


def test_an_empty_block_that_was_asked_for_is_an_answer() -> None:
    for asked in ("Give me an empty code block.", "Show a Markdown code fence.", "Write the file:\n```\n```"):
        assert verdicts(empty_output.FILTER, chat(asked, "```\n```")) == []
    assert verdicts(empty_output.FILTER, chat("Write a program.", "```\n```")) == [("drop", "empty_output")]


def test_empty_output_looks_at_documents_preferences_and_tool_calls() -> None:
    assert verdicts(empty_output.FILTER, document("  ")) == [("drop", "empty_output")]
    assert verdicts(empty_output.FILTER, preference("Q?", "", "no")) == [("drop", "empty_output")]
    assert verdicts(empty_output.FILTER, preference("Q?", "yes", " ")) == [("flag", "empty_rejected")]
    call = ToolCall(name="weather", arguments="{}")
    assert verdicts(empty_output.FILTER, chat("Weather?", "", calls=(call,))) == []


@pytest.mark.parametrize(
    "question, answer, expected",
    [
        ("Name three fruits.", " Name three fruits.\n", "drop"),
        ("Name three fruits.", "name  three FRUITS.", "flag"),
        ("In capitals, please.\nGood day to you", "GOOD DAY TO YOU", "flag"),
        ("Divide into paragraphs.\nOne day. Another day.", "One day.\n\nAnother day.", "flag"),
        ("Translate to French.\nGood day to you", "Good day to you", "drop"),
        ("翻译成英文。\n我喜欢早上跑步", "我喜欢早上跑步", "drop"),
        ("按长度排序。\n我喜欢早上跑步", "我喜欢早上跑步", "flag"),
        ("Correct the grammar.\nShe sings well", "She sings well", "flag"),
        ("Add commas where needed.\nShe sings well", "She sings well", "flag"),
        ("Repeat after me", "Repeat after me", "flag"),
        ("Is this spam? Answer\nyes or no", "no", None),
        ("Which one?\nno", "no", None),
        ("Name three fruits.", "Apple, pear, plum.", None),
        ("", "", None),
    ],
)
def test_output_equals_prompt_tells_echoes_from_tasks_that_may_change_nothing(
    question: str, answer: str, expected: str | None
) -> None:
    wanted = [(expected, "output_equals_prompt")] if expected else []
    assert verdicts(output_equals_prompt.FILTER, chat(question, answer)) == wanted
    assert verdicts(output_equals_prompt.FILTER, preference(question, answer, "other")) == wanted


def test_output_equals_prompt_has_nothing_to_say_about_documents() -> None:
    assert verdicts(output_equals_prompt.FILTER, document("A text.")) == []


def test_repetition_measures_repeated_4grams_against_its_limit() -> None:
    # 21 words: 18 4-grams, of which 7 are distinct. Below 60 4-grams, 5/3 of the limit may repeat.
    assert verdicts(repetition.FILTER, chat("Well?", CIRCLES)) == [("drop", "repetition")]
    assert verdicts(repetition.FILTER, chat("Well?", CIRCLES), repetition_max=0.6 * 11 / 18 + 1e-9) == []
    assert verdicts(repetition.FILTER, chat("Well?", CIRCLES), repetition_max=0.6 * 0.61) == [("drop", "repetition")]
    (found,) = repetition.check(Subject(document(CIRCLES)), CurateConfig())
    assert "11 of its 18" in found.detail and "0.61" in found.detail and "limit 0.5" in found.detail


def test_repetition_takes_the_limit_as_it_is_for_longer_answers() -> None:
    # 40 words without repeats, then 3 times the same 10: 67 4-grams, of which 7 + 10 are repeats.
    text = " ".join([f"word{number}" for number in range(40)] + [f"again{number}" for number in range(10)] * 3)
    assert verdicts(repetition.FILTER, document(text), repetition_max=0.25) == [("drop", "repetition")]
    assert verdicts(repetition.FILTER, document(text), repetition_max=17 / 67) == []


def test_what_is_said_twice_and_no_more_is_flagged_and_all_said_twice_dropped() -> None:
    paragraph = " ".join(f"word{number}" for number in range(50))
    other = " ".join(f"more{number}" for number in range(20))
    assert verdicts(repetition.FILTER, document(f"{other} {paragraph} {paragraph}")) == [("flag", "repetition")]
    assert verdicts(repetition.FILTER, document(f"{paragraph} {paragraph}")) == [("drop", "repetition")]
    short = "The answer to this is five apples today. " * 2
    assert verdicts(repetition.FILTER, chat("How many?", short)) == [("drop", "repetition")]


@pytest.mark.parametrize(
    "answer",
    [
        "\n".join(f"{number}. Buy a litre of milk" for number in range(1, 9)),
        "\n".join(["- The river is long and wide."] * 8),
        "ha" * 200,
        "no " * 100,
        "I love you " * 20,
        "Ooh ah! *giggle* " * 60,
        "我不知道该怎么说。" * 4,
        "Das weiß ich nicht. " * 12,
    ],
)
def test_repetition_finds_loops_of_lines_pieces_and_words(answer: str) -> None:
    assert verdicts(repetition.FILTER, chat("Well?", answer)) == [("drop", "repetition")]
    assert verdicts(repetition.FILTER, chat("Say it ten times.", answer)) == [("flag", "repetition")]


@pytest.mark.parametrize(
    "answer",
    [
        "No, no, no, no, no, no, no, no.",
        "=" * 400,
        "AGCT" * 3,
        "Yes, No, Yes, Yes, No, Yes, No, No, Yes, Yes, No, Yes, Yes, No",
        "0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1",
        "Spam\nHam\n" * 12,
        "```\n" + "print(1)\n" * 40 + "```",
        "name,age\n" + "Anna,30\n" * 20,
        "人工智能改变世界,人工智能改变教育,人工智能改变医疗,人工智能改变交通。",
    ],
)
def test_repetition_leaves_labels_numbers_tables_code_and_short_answers(answer: str) -> None:
    assert verdicts(repetition.FILTER, chat("Well?", answer)) == []


CASES = "\n".join(
    f"Case {n}: if n is congruent to {n} modulo 4, then n squared is congruent to {n * n % 4} modulo 4, as required."
    for n in range(4)
)
TRUTH = " ".join(
    f"If A is {a} and B is {b}, then A and B is {str(a and b).lower()}."
    for a, b in [("true", "true"), ("true", "false"), ("false", "true"), ("false", "false")]
)
DREAMS = " ".join(
    f"I have a dream that one day {what}."
    for what in (
        "the valleys will bloom", "every child will read", "rivers will run clean", "neighbours will share bread",
        "swords will rust", "old wounds will close", "songs will cross borders", "we will stand as one",
    )
)  # fmt: skip
CLAUSES = "\n".join(
    f"{n}. The party of the first part shall not be liable to the party of the second part for {what}."
    for n, what in enumerate(("fire", "floods", "loss of data", "loss of profit", "late delivery", "strikes"), 1)
)


@pytest.mark.parametrize("answer", [CASES, TRUTH, DREAMS, CLAUSES])
def test_sentences_built_alike_that_are_not_the_same_are_flagged_at_most(answer: str) -> None:
    assert ("drop", "repetition") not in verdicts(repetition.FILTER, chat("Well?", answer))
    assert verdicts(repetition.FILTER, chat("Well?", answer), repetition_max=0.2) == [("flag", "repetition")]


@pytest.mark.parametrize(
    "answer",
    [
        f"{TRUTH} " * 3,
        "\n".join([CASES] * 3),
        "I have a dream that one day we will be free. " * 6 + "So it is.",
        "It goes on and on and on " * 20 + "here.\nAnd it goes on and on and on " * 20 + "there.\nThat is all.",
    ],
    ids=["sentences again", "lines again", "one sentence", "circles in three sentences"],
)
def test_what_is_said_again_word_for_word_is_dropped_however_it_is_built(answer: str) -> None:
    assert verdicts(repetition.FILTER, chat("Well?", answer)) == [("drop", "repetition")]


def test_repetition_looks_at_the_answer_alone() -> None:
    assert verdicts(repetition.FILTER, chat(CIRCLES, "Something else.")) == []


def test_length_keeps_short_answers_unless_told_otherwise() -> None:
    assert verdicts(length.FILTER, chat("Name a prime.", "7")) == []
    assert verdicts(length.FILTER, chat("Name a prime.", "7"), min_answer_chars=2) == [("drop", "too_short")]
    assert verdicts(length.FILTER, chat("Name a prime.", " ")) == []
    assert verdicts(length.FILTER, chat("Name a prime.", " "), min_answer_chars=2) == []
    assert verdicts(length.FILTER, chat("Name a prime.", " "), filters=("length",)) == [("drop", "too_short")]
    assert verdicts(length.FILTER, turns(("user", "Weather?"), calling())) == []


def test_length_counts_the_words_of_the_whole_record_if_it_has_a_limit() -> None:
    assert verdicts(length.FILTER, document("word " * 100_000)) == []
    assert verdicts(length.FILTER, chat("one two three", "four five"), max_words=5) == []
    assert verdicts(length.FILTER, chat("one two three", "four five"), max_words=4) == [("drop", "too_long")]
    assert verdicts(length.FILTER, preference("one", "two", "three four five"), max_words=3) == [("drop", "too_long")]
    assert verdicts(length.FILTER, preference("one", "two", "three four five"), max_words=4) == []
    assert verdicts(length.FILTER, document("机器学习很好"), max_words=5) == [("drop", "too_long")]


@pytest.mark.parametrize(
    "question, answer, is_short",
    [
        ("Write an essay about bees.", "Bees fly.", True),
        ("Explain the water cycle in detail.", "It rains.", True),
        ("Write a short story title.", "Bees", False),
        ("Explain in one word what water is.", "Wet", False),
        ("Is it positive or negative?", "positive", False),
        ("Describe the sky.", "Blue.", False),
        ("Write an essay about bees.", "Bees fly from flower to flower all day long.", False),
        ("Tell me if the following e-mail is spam.\nWin a prize!", "yes", False),
        ("The film takes its time to tell its story. What is the sentiment?", "positive", False),
    ],
)
def test_few_words_are_noted_where_many_were_asked_for(question: str, answer: str, is_short: bool) -> None:
    assert verdicts(length.FILTER, chat(question, answer)) == ([("flag", "short_answer")] if is_short else [])


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I’m unable to assist with booking flights.",
        "I'm sorry, but as an AI, I don't have the capability to order a pizza.",
        "I cannot provide instructions for illegal activities.",
        "As an AI language model, I cannot browse the internet.",
        "Unfortunately, I am not able to access real-time data.",
        "I apologize for any inconvenience, but I cannot fulfill this request.",
        "I can't assist with that request.",
        '"I\'m sorry, but I can\'t help with that."',
        'You asked for "it". I\'m sorry, but I can\'t help with that.',
        "很抱歉，我无法帮助您预订机票。",
        "作为一个人工智能助手，我无法执行这样的任务。",
        "Es tut mir leid, aber ich kann dir dabei nicht helfen.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "申し訳ありませんが、そのご依頼にはお応えできません。",
    ],
)
def test_refusals_are_flagged(answer: str) -> None:
    assert verdicts(refusal.FILTER, chat("Do it.", answer)) == [("flag", "refusal")]


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry to hear that you are bored. Here are a few ideas.",
        "I can't wait to see you.",
        "You cannot divide by zero.",
        "The gender cannot be determined from the sentence.",
        "Better safe than sorry.",
        "Dear Mr Smith,\n\nWe are sorry that your parcel was late.",
        "Unfortunately, the Titanic sank.",
        "I'm sorry, but I'm unable to come into work today.",
        'You could say: "I\'m sorry, but I can\'t help with that."',
        "Models answer “I cannot assist with that request.” to this.",
        "Sage „Es tut mir leid, aber ich kann dir dabei nicht helfen.“",
        "人类无法飞行的原因主要有两点。",
        "A story. " * 60 + "I'm sorry, but I can't help you, said the fox.",
    ],
)
def test_regret_alone_is_no_refusal(answer: str) -> None:
    assert verdicts(refusal.FILTER, chat("Do it.", answer)) == []
    assert verdicts(refusal.FILTER, document("I'm sorry, but I can't help with that.")) == []


@pytest.mark.parametrize(
    "answer",
    [
        "As an AI language model, I have no opinion.",
        "Well, as an AI assistant, I do not eat.",
        "As a large language model, it is hard to say.",
        "It ended in 2021, as of my last update.",
        "My knowledge cutoff is September 2021.",
        "I was trained by OpenAI and know no prices.",
        "由于我是一个语言模型，无法提供实时路线。",
        "作为一个人工智能，我没有感觉。",
        "En tant que modèle de langage, je n'ai pas d'avis.",
    ],
)
def test_another_assistants_words_about_itself_are_flagged(answer: str) -> None:
    assert verdicts(ai_boilerplate.FILTER, chat("What is best?", answer)) == [("flag", "ai_boilerplate")]
    assert verdicts(ai_boilerplate.FILTER, chat("Who are you?", answer)) == []


@pytest.mark.parametrize(
    "answer",
    ["As an AI researcher, she works on speech.", "OpenAI made ChatGPT.", "As an aid, it is good.", "My training"],
)
def test_speaking_about_ai_is_no_boilerplate(answer: str) -> None:
    assert verdicts(ai_boilerplate.FILTER, chat("Tell me.", answer)) == []


@pytest.mark.parametrize(
    "answer",
    [
        PROSE,
        f"First paragraph, done.\n\n{PROSE}",
        "秘鲁的首都是利马。它位于太平洋沿岸。它是全国最大的城市，也是全国的政治、经济和文化中心，拥有悠久的历史和众多的古迹。此外，利马还是南美洲重要的交通",
        "1. Apples are a fruit that many people eat.\n2. Pears are another fruit, which is eaten in autumn and the",
        "Here is what I think about the matter. In the first place, it is (",
    ],
)
def test_answers_that_break_off_are_flagged(answer: str) -> None:
    assert verdicts(truncated_end.FILTER, chat("Tell me.", answer)) == [("flag", "truncated_end")]


@pytest.mark.parametrize(
    "answer",
    [
        "Lima",
        f"{PROSE} jungle.",
        "1. Apples are a fruit that many people like to eat\n2. Pears are another fruit that people eat in autumn",
        "Thank you for your time last week. I enjoyed our talk very much indeed.\n\nBest regards,\nAnna",
        "Dear all, thank you for the lovely evening. It was great fun. Yours sincerely, Dr. Jane Goodall",
        '"Friendship is born when one person says to another: What! You too? I thought I was alone." - C.S. Lewis',
        "It is described on the page of the town. More can be read there: https://example.org/a/long/path",
        "We had such a great day at the beach today with all of our friends! #sun #sea",
        "Down the street. We walked alone\nAnd did not speak. The lamps were lit\nAnd still the rain\nCame down on it",
        "| a long cell with a sentence. And another | one more cell |\n|---|---|\n| a cell. And more text in it | the",
        "x = compute_the_value_of_everything(first_argument, second_argument)\ny = x + 1\nreturn x +",
    ],
)
def test_answers_without_a_full_stop_that_are_whole_are_not_flagged(answer: str) -> None:
    assert verdicts(truncated_end.FILTER, chat("Tell me.", answer)) == []


def test_what_was_copied_and_what_is_informal_need_no_full_stop() -> None:
    assert verdicts(truncated_end.FILTER, chat(f"Extract the part on Peru.\n{PROSE} jungle.", PROSE)) == []
    assert verdicts(truncated_end.FILTER, chat("Write a review of the app.", PROSE)) == []


def test_documents_and_tool_calls_do_not_break_off() -> None:
    assert verdicts(truncated_end.FILTER, document(PROSE)) == []
    assert verdicts(truncated_end.FILTER, turns(("user", "Weather?"), calling(PROSE))) == []


@pytest.mark.parametrize(
    "answer, expected",
    [
        ("Use this:\n```python\nprint(1)", "drop"),
        ("Use this:\n```python\nprint(1)\n```\nand this:\n```\nls", "drop"),
        ("~~~\nls", "drop"),
        ("It is simple.\n```", "flag"),
        ("Use this:\n```python\nprint(1)\n```", None),
        ("- item\n\n  ```sh\n  ls\n  ```", None),
        ("> ```\n> ls\n> ```", None),
        ("````markdown\n```python\nprint(1)\n```\n````", None),
        ("```markdown\n# A\n```python\nprint(1)\n```\n```", None),
        ("Use ```print(1)``` in a line.", None),
        ("Here: ```python\nprint(1)\n```", None),
        ("x = 1\nif x:\n    print(x)\n```\nThat is all.", None),
        ("No code.", None),
    ],
)
def test_code_blocks_that_are_never_closed(answer: str, expected: str | None) -> None:
    wanted = [(expected, "unclosed_code_fence")] if expected else []
    assert verdicts(code_fence.FILTER, chat("How?", answer)) == wanted
    on_a_page = [("flag", "unclosed_code_fence")] if expected else []
    assert verdicts(code_fence.FILTER, document(answer)) == on_a_page


def test_a_code_block_that_the_prompt_opened_is_closed_by_the_answer() -> None:
    assert verdicts(code_fence.FILTER, chat("Go on:\n```python\nfor x", "in y:\n```")) == []


@pytest.mark.parametrize(
    "record, expected",
    [
        (chat("Who are you?", "Hello, I am {{name}}."), "drop"),
        (chat("Who are you?", "I was made by {{ author }}."), "drop"),
        (chat("Answer the question: {{question}}", "Lima"), "drop"),
        (chat("Write to {{ customer }}.", "Dear customer,"), "flag"),
        (chat("Who are you?", "I am {first_name}."), "flag"),
        (chat("Fill in {{x}}.", "I did: {{x}}"), "flag"),
        (document("Set {{name}} in the file."), "flag"),
        (preference("Hi", "Hello.", "I am {{name}}."), "drop"),
        (chat("What does {{ x }} do in Jinja?", "{{ x }} prints x."), None),
        (chat("How do I greet?", "Write `{{ x }}`, or\n```\n{{ y }}\n```"), None),
        (chat("Sets?", "{1, 2} and {{1, 2}, {3}}"), None),
        (chat("Power?", "$e^{{x}}$ and $\\frac{{a}}{b}$"), None),
        (chat("Style it.", "<p style={{ styles }}>Hi</p>"), None),
        (document("x = {}\ny = f'{{name}}'\nprint(x, y)\nreturn x"), None),
    ],
)
def test_template_placeholders_that_nobody_filled_in(record: object, expected: str | None) -> None:
    wanted = [(expected, "template_placeholder")] if expected else []
    assert verdicts(template_placeholder.FILTER, record) == wanted


@pytest.mark.parametrize(
    "answer, is_flagged",
    [
        ("Dear Ms Lee,\n\nYours,\n[Your Name]", True),
        ("Hello, this is [Salesperson's Name] from [Company Name].", True),
        ("Call us at [Phone Number] or [insert e-mail here].", True),
        ("See [Name](https://example.org) and [1].", False),
        ("`rows[name]` or rows[name], [x] and [ ]", False),
        ("[The end]", False),
        ("He [the king] said so.", False),
    ],
)
def test_gaps_in_brackets_are_flagged(answer: str, is_flagged: bool) -> None:
    wanted = [("flag", "bracket_placeholder")] if is_flagged else []
    assert verdicts(bracket_placeholder.FILTER, chat("Write a letter.", answer)) == wanted
    assert verdicts(bracket_placeholder.FILTER, chat("Write a letter template.", answer)) == []
    assert verdicts(bracket_placeholder.FILTER, chat(f"Correct it: {answer}", answer)) == []


def test_preferences_between_equal_endings() -> None:
    assert verdicts(endings.FILTER, preference("Q?", "Lima", "Lima")) == [("drop", "identical_endings")]
    assert verdicts(endings.FILTER, preference("Q?", "Lima", " Lima\n")) == [("drop", "identical_endings")]
    assert verdicts(endings.FILTER, preference("Q?", "Lima is big", "lima  is big")) == [("flag", "ends_equal")]
    assert verdicts(endings.FILTER, preference("Q?", "Lima", "Cusco")) == []
    assert verdicts(endings.FILTER, chat("Q?", "Lima")) == []


@pytest.mark.parametrize(
    "text, expected",
    [
        ("x = 1\nif (x):\n    print(x)", "code"),
        ("<ul>\n<li>a</li>\n</ul>", "code"),
        ("SELECT a\nFROM b\nWHERE c = 1", "code"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "table"),
        ("a,b,c,d\n1,2,3,4\n5,6,7,8", "table"),
        ("1. Apples\n2. Pears\n3. Plums", "list"),
        ("- from the north\n- from the south\n- from the east", "list"),
        ("The fog comes\non little cat feet.\nIt sits looking\nover harbor and city", "verse"),
        ("From the north came a wind.\nIt was cold.\nWe left.", "prose"),
        ("One sentence. Another one.", "prose"),
        ("", "prose"),
    ],
)
def test_shapes(text: str, expected: str) -> None:
    assert shape(text) == expected

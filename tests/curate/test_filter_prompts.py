from __future__ import annotations

import pytest
from filter_runs import calling, turns, verdicts
from record_makers import chat, document, preference

from workbench.core.records import Message
from workbench.curate.filters import (
    empty_prompt,
    make_image,
    merged_instruction,
    missing_attachment,
    roles,
    run_on,
    special_tokens,
    url_only_input,
)

REFUSED = "I'm sorry, but I cannot see any image. Could you please provide it?"


@pytest.mark.parametrize(
    "question",
    [
        "Summarize the given article in 200 words.\nhttps://www.bbc.com/news/world-51461830",
        "Appraise the following website design.\nhttps://example.com",
        "https://example.com/a",
        "Describe the painting.\nwww.example.com/a.jpg",
        "Compare the articles.\nhttps://example.com/a\nhttps://example.com/b",
        "总结文章。\nhttps://example.com/a",
    ],
)
def test_an_input_that_is_an_address_alone_is_dropped(question: str) -> None:
    assert verdicts(url_only_input.FILTER, chat(question, "It is nice.")) == [("drop", "url_only_input")]
    assert verdicts(url_only_input.FILTER, chat(question, REFUSED)) == [("flag", "url_only_input")]


@pytest.mark.parametrize(
    "question",
    [
        "Extract the domain.\nhttps://example.org/a",
        "Is this phishing?\nhttp://paypa1.example",
        "Write an HTTP request.\nhttps://example.org/api",
        "Shorten the URL.\nhttps://example.org/a/b/c",
        "Summarize.\nhttps://example.org says that Lima is large.",
        "What is on https://example.org?",
        "Name a website.",
    ],
)
def test_addresses_that_are_the_topic_are_left(question: str) -> None:
    assert verdicts(url_only_input.FILTER, chat(question, "It is nice.")) == []


def test_an_address_that_a_tool_opens_is_left() -> None:
    opened = turns(("user", "https://example.org"), calling(name="browse"), ("tool", "Hi"), ("assistant", "It greets."))
    assert verdicts(url_only_input.FILTER, opened) == []


@pytest.mark.parametrize(
    "question",
    [
        "Name the boat in the photo.\nAttached photo",
        "Classify the following shape according to simple geometry.\n<Picture Attached>",
        "Describe the painting.\n[image]",
        "Describe it.\n![alt text](https://example.org/a.png)",
        "Describe the picture.\nbeach.jpg",
        "Summarize the report.\nSee attached file.",
        "<image>What is this?",
        "What is this?\n<image>",
        "Describe the image below.",
        "What can you see in the attached picture?",
        "Please summarize the attached document.",
        "Analyze the data in the uploaded spreadsheet.",
        "Summarize the following article.",
        "Rewrite the following sentence to make it clearer",
        "Explain the code below.",
        "Identify the theme of the given poem.",
        "Task: Describe the image below.",
        "Summarize the following text:",
        "Translate the following sentence into French:",
        "请总结以下文章：",
        "Based on the passage above, who is the king?",
        "Who is the king, according to the passage above?",
        "Using the code above, add a test.",
        "总结以下文章。",
    ],
)
def test_what_the_prompt_speaks_of_and_does_not_have_is_missed(question: str) -> None:
    assert verdicts(missing_attachment.FILTER, chat(question, "A sailing boat.")) == [("drop", "missing_attachment")]
    assert verdicts(missing_attachment.FILTER, chat(question, REFUSED)) == [("flag", "missing_attachment")]


@pytest.mark.parametrize(
    "question",
    [
        "Translate the following sentence into French: Good day.",
        "Translate the following sentence: 'Good day.'",
        "Summarize the following article.\nA fire broke out in Bern.",
        "Rewrite the following sentence for better understanding.School is a place for students.",
        "Describe the given painting.\nThe Starry Night by Vincent van Gogh",
        "Write an e-mail saying that the report is attached.",
        "How do I attach a file to an e-mail?",
        "How do I use the <video> tag in HTML?",
        "Fix the HTML.\n<img src='a.png'>",
        "What type of file is this?\nphoto.jpg",
        "Given a list of numbers, write a function that sorts it.",
        "Explain how images are stored in a file.",
        "Describe an image of a sunset.",
        "List the following: three fruits, two animals.",
        "Which of the following is a fruit: apple, table?",
        "Use the following format: name, age. List two people.",
        "给定一个整数列表，编写一个函数求和。",
        "提供五个动词的列表。",
        "Translate this into German: The image below shows a cat.",
        "Correct the grammar: The file attached contain the report.",
        "Say it in French: look, the image below is nice.",
        'Correct this: "Look. The picture above is nice."',
        "Based on the passage above, who is the king? Lear was king of Britain.",
        "Based on the following passage, who is the king? Lear was.",
        "In the story above the clouds, who flies?",
        "Classify the following statement: All swans are white.",
        "What is 'the passage above' called in a legal text?",
    ],
)
def test_what_is_there_or_was_not_announced_is_not_missed(question: str) -> None:
    assert verdicts(missing_attachment.FILTER, chat(question, "Here you are.")) == []


def test_an_earlier_turn_may_have_what_the_prompt_speaks_of() -> None:
    article = "A fire broke out in Bern on Monday. " * 5
    asked = turns(("system", article), ("user", "Summarize the following article."), ("assistant", "Fire."))
    again = turns(("user", article), ("assistant", "I see."), ("user", "Summarize the given text."), ("assistant", "."))
    short = turns(("system", "Be brief."), ("user", "Summarize the following article."), ("assistant", "Fire."))
    assert verdicts(missing_attachment.FILTER, asked) == verdicts(missing_attachment.FILTER, again) == []
    assert verdicts(missing_attachment.FILTER, short) == [("drop", "missing_attachment")]


@pytest.mark.parametrize(
    "question, is_one",
    [
        ("Create a logo for a bakery.", True),
        ("Draw a picture of a cat.", True),
        ("Please generate an image of a sunset over the sea.", True),
        ("Design a poster for a student film festival", True),
        ("Render a 3D model of a house", True),
        ("Draw me a horse.", True),
        ("设计一个标志。", True),
        ("Draw a conclusion from the data.", False),
        ("Draw a parallel between the two.", False),
        ("Write a caption for a picture.", False),
        ("Generate a list of images for the page.", False),
        ("Create an image classifier.", False),
        ("Draw a cat in ASCII.", False),
        ("Create a logo in SVG.", False),
        ("Describe a painting.", False),
        ("Create a Dockerfile for an image.", False),
        ("Make a video game plot.", False),
    ],
)
def test_requests_to_draw_are_flagged(question: str, is_one: bool) -> None:
    wanted = [("flag", "make_image_request")] if is_one else []
    assert verdicts(make_image.FILTER, chat(question, "The logo shows a bun.")) == wanted


MERGED = "It depends.\n##\n18. Instruction: Identify the noun:\n18. Input:\nThe apple was good.\n18. Output:\nApple"


@pytest.mark.parametrize(
    "answer",
    [
        MERGED,
        "Lima.\n\n\n \n\n6. Instruction: Create a table of contents.\n6. Input:\n<noinput>\n6. Output:\nTable",
        "Lima.\n###\n7. Instruction: Name a river.",
        "Lima.\n\nInstruction: Name a river.\nInput: Peru\nOutput: Amazon",
        "利马。\n///\n14. Instruction: 计算平均值。\n14. Input:\n5, 7\n14. Output:\n6",
    ],
)
def test_a_second_task_in_the_answer_is_dropped(answer: str) -> None:
    assert verdicts(merged_instruction.FILTER, chat("Should I invest?", answer)) == [("drop", "merged_instruction")]
    assert verdicts(run_on.FILTER, chat("Should I invest?", answer)) == []


def test_a_second_task_in_the_prompt_is_dropped() -> None:
    asked = "Name a river.\n11. Instruction: Put it into the past tense.\n11. Input:\nHe eats."
    assert verdicts(merged_instruction.FILTER, chat(asked, "Rhine")) == [("drop", "merged_instruction")]


@pytest.mark.parametrize(
    "answer",
    [
        "1. Instruction: Heat water.\n2. Instruction: Add the egg.",
        "Do this:\n1. Instruction: Heat water.\n2. Wait.",
        "The instruction: stir. The output: soup.",
        "An instruction has an input and an output.",
    ],
)
def test_lists_and_texts_about_instructions_are_not_merged(answer: str) -> None:
    assert verdicts(merged_instruction.FILTER, chat("How?", answer)) == []
    assert verdicts(merged_instruction.FILTER, document(MERGED)) == []


@pytest.mark.parametrize(
    "question, answer",
    [
        ("Capital?", "Lima.\n\n### Instruction:\nName a river."),
        ("Capital?", "Lima.\n\n### Human: And of Chile?\n### Assistant: Santiago."),
        ("Capital?", "Lima.\n\n### Input:\nPeru\n\n### Response:\nLima"),
        ("Capital?", "Lima.\n\nHuman: And of Chile?\n\nAssistant: Santiago."),
        ("Capital?", "Lima.\nUser: And of Chile?\nAssistant:"),
        ("Q: Capital of Peru?\nA:", "Lima\nQ: Capital of Chile?\nA: Santiago"),
        ("Question: Capital of Peru?\nAnswer:", "Lima\n\nQuestion: Capital of Chile?"),
    ],
)
def test_an_answer_that_goes_on_with_the_next_example_is_dropped(question: str, answer: str) -> None:
    assert verdicts(run_on.FILTER, chat(question, answer)) == [("drop", "run_on_next_example")]
    assert verdicts(run_on.FILTER, preference(question, answer, "x")) == [("drop", "run_on_next_example")]


@pytest.mark.parametrize(
    "question, answer",
    [
        ("Write a dialogue.", "Here:\nHuman: Hello\nAssistant: Hi"),
        ("Write an Alpaca prompt template.", "Below is a task.\n\n### Instruction:\n{x}\n\n### Response:"),
        ("Document the function.", "It adds.\n### Input:\nTwo numbers.\n### Output:\nTheir sum."),
        ("Say hello.", "Human: Hello\nAssistant: Hi"),
        ("Write two quiz questions.", "Sure.\nQ: 1 + 1?\nA: 2"),
        ("Capital?", "```\n### Instruction:\nx\n```"),
    ],
)
def test_dialogues_and_headings_that_were_asked_for_are_no_next_example(question: str, answer: str) -> None:
    assert verdicts(run_on.FILTER, chat(question, answer)) == []
    assert verdicts(run_on.FILTER, document("# Guide\n### Instruction:\nA file.")) == []


@pytest.mark.parametrize(
    "question, answer, expected",
    [
        ("Capital?", "Lima.<|im_end|>\n<|im_start|>user\nAnd?", "drop"),
        ("[INST] Capital? [/INST]", "Lima.", "drop"),
        ("<<SYS>>Be brief.<</SYS>> Capital?", "Lima.", "drop"),
        ("Capital?", "Lima.</s><s>And Chile?", "drop"),
        ("Capital?<|eot_id|>", "Lima.", "drop"),
        ("Capital?", "Lima <unk> Peru.", "flag"),
        ("What is <|endoftext|>?", "A token: <|endoftext|> ends a text.", None),
        ("Which stop tokens are there?", "For example <|im_end|> in ChatML.", None),
        ("How do I end a turn?", "Write `<|im_end|>`.", None),
        ("How do I end a turn?", "```\n<|im_end|>\n```", None),
        ("Strike it.", "<p><s>20</s> 10</p>", None),
        ("Which HTML tags strike text through?", "Use <s> or <del>.", None),
        ("Declare a vector of s.", "std::vector<s> is one.", None),
        ("How are sentences separated for BERT?", "By [SEP], and by <s> and </s> in RoBERTa.", None),
        ("Write the old price struck out.", "<s>10 EUR</s>", None),
        ("The old price?", "<s>10 EUR</s>", "flag"),
        ("Robert, the prices?", "<s>10 EUR</s> <s>9 EUR</s>", "flag"),
        ("Capital?", "<s> Lima.</s><s> And Chile?</s>", "drop"),
        ("Capital?", "Lima </s> Peru.", None),
        ("Sentiment?", "Fill in [MASK], please.", None),
        ("What is this?", "Lima, if x <| y and a || b.", None),
    ],
)
def test_control_tokens_inside_texts(question: str, answer: str, expected: str | None) -> None:
    wanted = [(expected, "special_token_in_text")] if expected else []
    assert verdicts(special_tokens.FILTER, chat(question, answer)) == wanted


def test_control_tokens_are_looked_for_in_rejected_endings_and_documents() -> None:
    dropped = [("drop", "special_token_in_text")]
    assert verdicts(special_tokens.FILTER, preference("Q", "a", "b <|im_end|> c")) == dropped
    assert verdicts(special_tokens.FILTER, document("a <|endoftext|> b")) == dropped


USER, ASSISTANT = ("user", "Hi"), ("assistant", "Hello")
TOOL, SYSTEM = ("tool", "{}"), ("system", "Be brief.")


@pytest.mark.parametrize(
    "said, expected",
    [
        ((USER, USER, ASSISTANT), "drop"),
        ((ASSISTANT, USER, ASSISTANT), "drop"),
        ((SYSTEM, ASSISTANT, USER, ASSISTANT), "drop"),
        ((USER, ASSISTANT, ASSISTANT), "drop"),
        ((USER, TOOL, ASSISTANT), "drop"),
        ((USER, ASSISTANT, TOOL, ASSISTANT), "drop"),
        ((USER, calling(), TOOL, ASSISTANT, USER, TOOL, ASSISTANT), "drop"),
        ((USER, ASSISTANT, SYSTEM, USER, ASSISTANT), "flag"),
        ((USER, ASSISTANT), None),
        ((SYSTEM, USER, ASSISTANT, USER, ASSISTANT), None),
        ((USER, calling(), TOOL, ASSISTANT), None),
        ((USER, calling(), calling(), TOOL, TOOL, ASSISTANT), None),
        ((USER, ASSISTANT, calling(), TOOL, ASSISTANT), None),
        ((USER, calling(), TOOL, calling(), TOOL, ASSISTANT, USER, ASSISTANT), None),
        ((USER, calling()), None),
    ],
)
def test_turns_in_an_order_that_no_chat_has(said: tuple[tuple[str, str] | Message, ...], expected: str | None) -> None:
    assert verdicts(roles.FILTER, turns(*said)) == ([(expected, "invalid_roles")] if expected else [])


def test_the_endings_of_a_preference_follow_its_prompt() -> None:
    talk = preference("Q", "a", "b")
    answered = talk.model_copy(update={"messages": (*talk.messages, Message(role="assistant", content="c"))})
    assert verdicts(roles.FILTER, talk) == verdicts(roles.FILTER, document("a")) == []
    assert verdicts(roles.FILTER, answered) == [("drop", "invalid_roles")]


def test_an_answer_to_nothing_is_dropped() -> None:
    assert verdicts(empty_prompt.FILTER, chat(" \n", "Lima")) == [("drop", "empty_prompt")]
    assert verdicts(empty_prompt.FILTER, turns(USER, ASSISTANT, ("user", ""), ASSISTANT)) == [("drop", "empty_prompt")]
    assert verdicts(empty_prompt.FILTER, chat("?", "Lima")) == verdicts(empty_prompt.FILTER, document("")) == []

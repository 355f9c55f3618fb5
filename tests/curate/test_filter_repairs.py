from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import ftfy
import pytest
from filter_runs import calling, repaired, turns, verdicts
from hypothesis import given
from hypothesis import strategies as st
from record_makers import chat, document, preference

from workbench.core.curation import CurateConfig
from workbench.curate.filters import (
    control_chars,
    edge_whitespace,
    input_placeholder,
    line_ends,
    mojibake,
    special_tokens,
)
from workbench.curate.filters.contract import Filter

LANGUAGES = {
    "german": "Größe, süß, „Zitat“ – ‚einfach‘; «Franz» kostet 5 € (©2020, §3).",
    "french": "Voilà l'été à Noël : où est le cœur ? « à » ÇA, À PROPOS — œuvre, Île, naïve",
    "spanish": "¿Qué pasó, señor? ¡Olé! NIÑO, AÑO, 3º, 2ª",
    "portuguese": "Não há SÃO PAULO, AÇÃO, maçã, à mão; às vezes…",
    "polish": "Łódź, źdźbło, gęś, „cytat”, ŻÓŁĆ",
    "czech": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "hungarian": "Árvíztűrő tükörfúrógép, ŐRÜLT ŰR",
    "romanian": "Țară, și, ÎNTRE, „ghilimele”",
    "turkish": "İstanbul'da ığdır, ŞİİR, öğüt, ÂLEM",
    "vietnamese": "Đây là một câu có dấu. ẤM ÁP, NGƯỜI, “trích dẫn” – à ạ",
    "icelandic": "Ævar þór ðáði ÞÓRÐUR",
    "russian": "Съешь ещё этих мягких французских булок — «ёлка» №5, РСФСР, Рим",
    "ukrainian": "Українська мова: її, є, ґанок, «їжак» — Київ, Рівне, Сіверськ",
    "greek": "Καλημέρα κόσμε· «Γρηγόρης», ΓΈΝΟΣ, ΪΫ",
    "hebrew": "שלום עולם — ״מרכאות״ נִקּוּד",
    "arabic": "مرحبا بالعالم، «اقتباس»؟ ١٢٣",
    "persian": "می‌خواهم کتاب‌ها را",
    "hindi": "हिन्दी में लिखा हुआ वाक्य। क्‍ष",
    "thai": "ภาษาไทยไม่มีช่องว่าง",
    "khmer": "ភាសា\u200bខ្មែរ\u200bមិន\u200bមាន",
    "chinese": "中文句子。“引号”《书名》——省略号……，全角！",
    "japanese": "日本語の文章「かぎ」・ー〜",
    "korean": "한국어 문장입니다.",
    "georgian and amharic": "ქართული ენა. አማርኛ ቋንቋ።",
    "mathematics": "∀x∈ℝ, √2 ≈ 1.414, ¬p ∧ q, ±5 µm, 10×5÷2, a² + b³, ½, ∑∫∂",
    "emoji": "👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ❤️ ☺️ 🧑‍💻 👁️‍🗨️",
    "boxes": "├── src\n│   └── a.py\n┬ ┴ ┼ ═ ╬",
    "phonetic": "/ˈɹiːdɪŋ/ [ʃ] ə ɛ̃ œ̃",
    "trade marks": "CAFÉ™, NESTLÉ®, JOSÉ’S, MÜNCHEN“",
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("one", [line_ends.FILTER, mojibake.FILTER, control_chars.FILTER], ids=lambda one: one.name)
def test_right_text_of_any_language_is_not_changed(one: Filter, language: str) -> None:
    text = LANGUAGES[language]
    assert repaired(one, chat(text, text)) is None
    assert repaired(one, document(f"{text}\n{text}")) is None
    assert verdicts(one, document(text)) == []


@pytest.mark.parametrize(
    "text, wanted",
    [("a\r\nb\r\n", "a\nb\n"), ("a\rb", "a\nb"), ("a\r\r\nb", "a\n\nb"), ("a\u2028b\u2029c", "a\nb\nc")],
)
def test_lines_end_in_line_feeds_in_everything_said(text: str, wanted: str) -> None:
    assert repaired(line_ends.FILTER, chat(text, text)) == chat(wanted, wanted)
    assert repaired(line_ends.FILTER, document(text)) == document(wanted)
    assert repaired(line_ends.FILTER, preference(text, text, text)) == preference(wanted, wanted, wanted)


def test_line_ends_are_counted_and_written_out_escapes_left_alone() -> None:
    (one,) = line_ends.repair(document("a\r\nb\rc\r\n"), CurateConfig())
    assert (one.reason, one.detail) == ("line_ends", "line feeds instead of 2 CRLF, 1 CR")
    assert repaired(line_ends.FILTER, chat("What is '\\r\\n'?", "CR and LF: \\r\\n")) is None


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize("text", ["It’s a café.", "“Déjà vu” – naïve", "5 € für Übermut", "Łódź", "日本語", "Привет"])
def test_text_decoded_wrongly_is_decoded_again(text: str, encoding: str) -> None:
    broken = "".join(bytes([byte]).decode(encoding, "replace") for byte in text.encode())
    if "\ufffd" in broken:
        broken = text.encode().decode("latin-1")
    assert repaired(mojibake.FILTER, chat("What?", f"Well: {broken}")) == chat("What?", f"Well: {text}")


@pytest.mark.parametrize("broken, wanted", [("It\x92s", "It’s"), ("a \x93b\x94 \x97 c\x85", "a “b” — c…")])
def test_windows_punctuation_read_as_latin_1_is_put_right(broken: str, wanted: str) -> None:
    assert repaired(mojibake.FILTER, document(broken)) == document(wanted)


def test_mojibake_shows_before_and_after() -> None:
    (one,) = mojibake.repair(chat("Where?", "In the long street, there is a cafÃ© on the left side."), CurateConfig())
    assert one.reason == "mojibake"
    assert "cafÃ©" in one.detail and "became" in one.detail and "café" in one.detail


def test_mojibake_that_is_the_topic_is_flagged_and_kept() -> None:
    asked = chat("Why does “it’s” become â€™ in UTF-8?", "The bytes of ’ are read as â€™.")
    assert repaired(mojibake.FILTER, asked) is None
    assert verdicts(mojibake.FILTER, asked) == [("flag", "mojibake")]


@pytest.mark.parametrize(
    "question, answer, action",
    [
        ("Qual é a letra maiúscula com til?", "Ã é uma letra do alfabeto português.", None),
        ("Which letter is it: Ã or Â?", "Ã is A with tilde; Â is A with circumflex.", None),
        ("Formel?", "Die Größe Ã (A mit Tilde) bezeichnet den Operator.", "flag"),
        ("Was bedeutet Â° auf einer Webseite?", "Ein Fehler.", "flag"),
        ("What does the symbol â€œ mean?", "Nothing.", "flag"),
        ("Traduza: wool and apple", "LÃ E MAÇÃ", None),
        ("He?", "He left Â  and came.", "flag"),
    ],
)
def test_a_letter_by_itself_and_what_is_asked_about_is_no_evidence(
    question: str, answer: str, action: str | None
) -> None:
    assert repaired(mojibake.FILTER, chat(question, answer)) is None
    assert verdicts(mojibake.FILTER, chat(question, answer)) == ([(action, "mojibake")] if action else [])


@pytest.mark.parametrize(
    "broken, wanted",
    [
        ("The letter says: cafÃ©.", "The letter says: café."),
        ("What does 20 Â°C mean?", "What does 20 °C mean?"),
        ("It is 20 Â° warm.", "It is 20 ° warm."),
        ("Copyright Â© 2020", "Copyright © 2020"),
        ("this â€“ and that", "this – and that"),
        ("Ã©", "é"),
        ("Ã la carte, cafÃ©", "à la carte, café"),
    ],
)
def test_certain_places_are_repaired_whatever_is_spoken_of(broken: str, wanted: str) -> None:
    assert repaired(mojibake.FILTER, chat("Well?", broken)) == chat("Well?", wanted)
    assert verdicts(mojibake.FILTER, chat("Well?", wanted)) == []


def test_lost_characters_are_flagged_since_nobody_can_bring_them_back() -> None:
    assert verdicts(mojibake.FILTER, document("The caf\ufffd is closed.")) == [("flag", "mojibake")]
    assert verdicts(mojibake.FILTER, chat("What is U+FFFD in Unicode?", "It is \ufffd.")) == []
    assert repaired(mojibake.FILTER, document("The caf\ufffd is closed.")) is None


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("a\x00b\x07c\x7fd", "abcd"),
        ("\ufeffHello", "Hello"),
        ("zero\u200bwidth\u2060s\u00ad", "zerowidths"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]52;c;AAAA\x07copied \x1b]0;title\x1b\\done", "copied done"),
        ("page one\x0cpage two", "page one\npage two"),
        ("if admin\u202e # tuo tnemmoc\u2066", "if admin # tuo tnemmoc"),
        ("no\u200d joiner, lat\u200cin", "no joiner, latin"),
        ("smuggled\U000e0061\U000e0062\U000e0063", "smuggled"),
        ("\x80\x81\x9f", ""),
        ("keeps\ttabs\nand lines", None),
        ("\u200fעברית\u200f \u202babc\u202c", None),
        ("עברית \u202eabc", "עברית abc"),
        ("👨\u200d👩\u200d👧 and ♂\ufe0f", None),
        ("می\u200cخواهم", None),
        ("ශ්\u200dරී", None),
        ("ភាសា\u200bខ្មែរ", None),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", None),
    ],
)
def test_control_chars_go_where_they_say_nothing(text: str, wanted: str | None) -> None:
    assert repaired(control_chars.FILTER, document(text)) == (None if wanted is None else document(wanted))
    in_talk = None if wanted is None else chat(wanted, "a")
    assert repaired(control_chars.FILTER, chat(text, "a")) == in_talk


def test_control_chars_are_named_and_counted() -> None:
    (one,) = control_chars.repair(document("\x1b[31ma\x1b[0m\x00\x00"), CurateConfig())
    assert one.detail == "removed 2 escape sequences, 2 U+0000"


@given(st.text())
def test_repairs_need_one_pass_alone(text: str) -> None:
    for one in (line_ends.FILTER, control_chars.FILTER, edge_whitespace.FILTER):
        for record in (chat("What?", text), document(text)):
            first = repaired(one, record)
            assert first is None or (first != record and repaired(one, first) is None)


@pytest.mark.parametrize(
    "text, wanted",
    [
        (" \n The answer is 7. \n\n", "The answer is 7."),
        ("Lima\u00a0\u3000", "Lima"),
        (" yes", "yes"),
        ("   The answer to this question is no.", "The answer to this question is no."),
        ("\n\n    return x + 1\n", "    return x + 1"),
        ("    return x + 1", None),
        ("\tindented", None),
        ("  1  2\n  3  4", None),
        ("    Down the long street\n        we walked alone", None),
        ("def f():\n    return 1\n", None),
        ("--- a\n+++ b\n@@ -1,2 +1,2 @@\n-x\n+y\n ", None),
        ("<think>\nLet me see.\n</think>\n\n", None),
        ("   ", ""),
        ("a  b\n\n c", None),
    ],
)
def test_blank_edges_are_cut_off_and_indentation_stays(text: str, wanted: str | None) -> None:
    assert repaired(edge_whitespace.FILTER, chat("What?", text)) == (None if wanted is None else chat("What?", wanted))


def test_blank_edges_of_files_and_of_what_tools_return() -> None:
    assert repaired(edge_whitespace.FILTER, document("one\ntwo\n")) is None
    assert repaired(edge_whitespace.FILTER, document("one\ntwo \n\n\n")) == document("one\ntwo\n")
    assert repaired(edge_whitespace.FILTER, document("one ")) == document("one")
    talk = turns(("user", " Weather? "), calling(), ("tool", " {} \n"), ("assistant", "Sunny. "))
    wanted = turns(("user", "Weather?"), calling(), ("tool", " {} \n"), ("assistant", "Sunny."))
    assert repaired(edge_whitespace.FILTER, talk) == wanted
    assert repaired(edge_whitespace.FILTER, preference(" q", "a ", "b ")) == preference("q", "a", "b")


@pytest.mark.parametrize(
    "question, wanted",
    [
        ("Name a river.\n<noinput>", "Name a river."),
        ("Name a river.\nInput: <noinput>\n", "Name a river."),
        ("Name a river.\nNo input", "Name a river."),
        ("Name a river.\nno input.", "Name a river."),
        ("Name a river.\nNoinput", "Name a river."),
        ("Name a river.\n[No Input]", "Name a river."),
        ("Name a river.\n<no input needed>", "Name a river."),
        ("Name a river.\nNo input required.", "Name a river."),
        ("Write a poem.\nIt should rhyme.\n<noinput>", "Write a poem.\nIt should rhyme."),
        ("Name a river.\nN/A", "Name a river."),
        ("Name a river.\nnone", "Name a river."),
        ("写一首诗。\n无输入", "写一首诗。"),
        ("Translate the following word.\nNone", None),
        ("What does this abbreviation mean?\nN/A", None),
        ("Translate into French:\nnone", None),
        ("Pick one:\nRed\nGreen\nNone", None),
        ("<noinput>", None),
        ("Name a river.\nThere is no input", None),
        ("What does 'no input' mean?", None),
        ("Name a river.", None),
    ],
)
def test_notes_that_there_is_no_input_are_removed(question: str, wanted: str | None) -> None:
    found = repaired(input_placeholder.FILTER, chat(question, "Rhine"))
    assert found == (None if wanted is None else chat(wanted, "Rhine"))


def test_notes_are_removed_from_prompts_alone() -> None:
    assert repaired(input_placeholder.FILTER, chat("Say it.", "Fine.\n<noinput>")) is None
    assert repaired(input_placeholder.FILTER, document("Fine.\n<noinput>")) is None
    (one,) = input_placeholder.repair(preference("Say it.\n<noinput>", "a", "b"), CurateConfig())
    assert (one.record, one.detail) == (preference("Say it.", "a", "b"), "removed '<noinput>'")


@pytest.mark.parametrize(
    "answer, wanted",
    [
        ("Lima.<|endoftext|>", "Lima."),
        ("<|im_start|> Lima. <|im_end|>\n<|endoftext|>\n", "Lima."),
        ("<|endoftext|><|endoftext|>", ""),
        ("Lima.</s>", "Lima."),
        ("<s> Lima.</s>", "Lima."),
        ("Lima.<｜end▁of▁sentence｜>", "Lima."),
        ("Lima.<end_of_turn>", "Lima."),
        ("<s> Lima.", "Lima."),
        ("Lima</s>", "Lima"),
        ("<|im_start|> Lima. <|im_end|></s>", "Lima."),
        ("std::vector<s>", None),
        ("<s>10 EUR</s>", None),
        ("</s> Lima <s>", None),
        ("Lima <|sep|> Peru", None),
        ("It costs <s>20</s> <b>10</b>.</s>", None),
        ("  Lima. ", None),
        ("", None),
    ],
)
def test_control_tokens_at_the_ends_are_cut_off(answer: str, wanted: str | None) -> None:
    found = repaired(special_tokens.FILTER, chat("Capital?", answer))
    assert found == (None if wanted is None else chat("Capital?", wanted))


@pytest.mark.parametrize(
    "question, answer",
    [
        ("How do I close what strikes text through in HTML?", "With </s>"),
        ("Which token does RoBERTa put first?", "<s>"),
        ("A vector of s in C++?", "<s> or std::vector<s>"),
    ],
)
def test_tokens_at_the_ends_that_are_spoken_of_stay(question: str, answer: str) -> None:
    assert repaired(special_tokens.FILTER, chat(question, answer)) is None


def test_the_end_token_of_documents_goes_and_that_of_prompts_stays() -> None:
    assert repaired(special_tokens.FILTER, document("A text.<|endoftext|>")) == document("A text.")
    assert repaired(special_tokens.FILTER, chat("Capital?<|endoftext|>", "Lima")) is None


def test_mojibake_is_looked_for_wherever_ftfy_would_find_it() -> None:
    path = Path(os.environ.get("WORKBENCH_SHARED_DATA", "../shared/data")) / "dedup" / "real_50k.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there (set WORKBENCH_SHARED_DATA)")
    settings = ftfy.TextFixerConfig(replace_lossy_sequences=False)
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        texts = [json.loads(line)["text"] for number, line in enumerate(stream) if number % 10 == 0]
    for text in (text for text in texts if not text.isascii()):
        found = repaired(mojibake.FILTER, document(text))
        wanted = ftfy.fixes.fix_c1_controls(ftfy.fix_encoding(text, settings))
        assert (text if found is None else found.text) == wanted


def test_each_repair_says_what_it_did() -> None:
    record = chat("Name one.\r\n<noinput>", "\x00 Ã© <|im_end|>")
    for one in (line_ends, mojibake, control_chars, special_tokens, input_placeholder):
        (repair,) = one.repair(record, CurateConfig())
        assert repair.reason in one.FILTER.reasons and repair.detail

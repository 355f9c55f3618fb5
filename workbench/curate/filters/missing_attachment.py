"""`missing_attachment`: the prompt speaks of an image, a file or a text that is not there.

    user: "Name the boat in the photo.\\nAttached photo"           ->  drop  missing_attachment
    user: "<image>What is this?"                                 ->  drop  missing_attachment
    user: "Describe the image below."                            ->  drop  missing_attachment
    user: "Summarize the following article."                     ->  drop  missing_attachment: nothing follows
    user: "Summarize the following text:"                        ->  drop  missing_attachment: nor after the colon
    user: "Based on the passage above, who is the king?"         ->  drop  missing_attachment: there is none above
    user: "Summarize the attached file."
      assistant: "I don't see a file. Could you send it again?"   ->  flag  missing_attachment: a right answer
    user: "Translate the following sentence: Good day."          ->  nothing: there it is
    user: "Translate: The image below shows a cat."              ->  nothing: what follows the colon is the text
    user: "Write an e-mail about the attached report."           ->  nothing: an e-mail can be written
    user: "How do I use <video> in HTML?"                        ->  nothing

A text is missed only where it was announced by a task that cannot do without it, in a prompt of one sentence that
quotes nothing and with no earlier turn that could have had it. Images are missed also after a few words of input.
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.refusal import refused
from workbench.curate.filters.wording import any_of

_MEDIA = any_of(
    """
    images? pictures? photos? photographs? paintings? screenshots? videos? audios? recordings? audio~clips?
    video~clips? pdfs? scans?
    """
)
_DRAWN = any_of("charts? graphs? diagrams? figures? maps? drawings? illustrations? infographics?")
_FILES = any_of(
    """
    files? documents? spreadsheets? attachments? pdfs? word~documents? excel~(?:file|sheet)s? csv(?:~files?)? reports?
    links? datasets? tables?
    """
)
_TEXTS = any_of(
    r"""
    sentences? paragraphs? passages? articles? texts? essays? poems? code(?:~snippets?|~fragments?)? snippets?
    excerpts? tables? stor(?:y|ies) blog~posts? conversations? dialogues? e-?mails? reviews? headlines? quotes?
    lists?(?:~of~\w+)? data(?:~?sets?)? speech transcripts? paper abstract statements?
    """
)
_READS = any_of(
    """
    summari[sz]e describe caption analy[sz]e translate identify read transcribe review proofread correct edit rewrite
    paraphrase rephrase classify categori[sz]e recogni[sz]e name evaluate critique interpret look~at count label
    explain simplify shorten condense convert check examine extract compare debug punctuate reword detect find
    determine detail highlight what which who how~many where is are does list tell
    """
)
_SENT = any_of("attached enclosed uploaded")
_WHICH = any_of("attached enclosed uploaded following given provided below above accompanying supplied")
_ANY = f"(?:{_MEDIA}|{_DRAWN}|{_FILES})"
_PLACEHOLDERS = (
    rf"[<\[({{](?:an? |the )?(?:\w+ )?{_ANY}(?: (?:is )?{any_of('attached here goes~here uploaded below placeholder')}"
    r"| \d| of [^\n<>\[\](){}]{1,80})?[>\])}]\.?",
    rf"(?:(?:please )?see |find |the )?{_SENT} (?:\w+ )?{_ANY}\.?",
    rf"{_ANY} (?:is )?{_SENT}\.?",
    r"(?:see attach(?:ed|ment)|attachment|attached)\.?",
    r"!\[[^\]\n]{0,200}\]\([^)\s]{1,2000}\)",
    r"<img\b[^<>]{1,2000}/?>",
    rf"[\w ./-]{{1,100}}\.{any_of('jpe?g png gif bmp webp tiff? mp[34] wav avi mov pdf docx? xlsx? pptx?')}",
)
_PLACEHOLDER = re.compile(f"(?:{'|'.join(_PLACEHOLDERS)})\\Z", re.IGNORECASE)
_MARK = re.compile(
    r"(?:\A|\n)\s{0,8}<(?:image|video|audio|img)>|<(?:image|video|audio|img)>\s{0,8}\Z|<image_?\d>|<\|image(?:_pad)?\|>"
)
_ABOUT_MARKUP = re.compile(
    r"\b"
    + any_of(
        """
        html tags? css markup markdown svg xml dom web~?pages? types? file~?(?:names?|extensions?|paths?|formats?)
        extensions? rename mime elements? attributes? src alt~text javascript python code script
        """
    )
    + r"\b",
    re.IGNORECASE,
)
_OPENING = r"(?:\A|[.!?,] ?|\bplease )(?:" + any_of(
    "please can~you could~you kindly based~on look~at using given in from according~to see for refer~to here~is this~is"
)
_MISSING_MEDIA = re.compile(
    rf"{_OPENING}\b[ ,]*)*(?:{_READS}\b[^.?!:\n]{{0,80}}?\b)?(?:the |this |these |an? )?"
    rf"(?:{_WHICH} (?:\w+ )?(?:{_MEDIA}|{_DRAWN})|(?:{_MEDIA}|{_DRAWN}) (?:\w+ )?(?:{_SENT}|below|above|provided))\b",
    re.IGNORECASE,
)
_MISSING_FILE = re.compile(
    rf"{_OPENING}\b[ ,]*)*{_READS}\b[^.?!:\n]{{0,60}}?\b(?:the |this |these )?"
    rf"(?:{_SENT} (?:\w+ )?{_FILES}|{_FILES} {_SENT})\b",
    re.IGNORECASE,
)
_WITH_A_TEXT = any_of("based~on according~to using from in given going~by referring~to with~reference~to considering")
_GOES_ON = any_of(
    """
    and to what who whom whose when where why how which is are was were does did do can could please write answer
    explain list give find choose select determine identify name
    """
)
_MISSING_TEXT = re.compile(
    rf"(?:please |can you |could you )?{_READS}\b[^.?!:\n\"“'‘«0-9]{{0,60}}?"
    rf"\bthe (?:(?:following|below|given|provided|above) (?:\w+ )?{_TEXTS}|{_TEXTS} (?:below|above))"
    rf"(?: {any_of('to into in from using by for as so with and according does do means?')}"
    r"(?-i:(?: [a-z][a-z'’-]*,?| \d{1,3}){0,14}))?[.?!:]?\Z"
    rf"|(?:please |can you |could you )?{_READS}\b[^.?!:\n\"“'‘«0-9]{{0,60}}?\bthe (?:following|given) (?:\w+ )?"
    rf"{_TEXTS}"
    r"[^.?!:\n\"“'‘«0-9]{0,60}:\Z"
    rf"|{_WITH_A_TEXT} the (?:(?:above|preceding) (?:\w+ )?{_TEXTS}|{_TEXTS} above)(?=[,.?]|\Z| {_GOES_ON}\b)"
    r"[^.?!:\n\"“‘«0-9]{0,120}[.?]?\Z"
    rf"|[^.?!:,\n\"“‘«]{{1,100}},? {_WITH_A_TEXT} the (?:(?:above|preceding) {_TEXTS}|{_TEXTS} above)[.?]?\Z"
    r"|(?!.{0,30}(?:编写|函数|程序|算法|写一|生成|创建|给定一))"
    r"[^。：:“\"\n]{0,30}(?:以下|下列|下面|给定|所给)的?[^。：:“\"\n，,]{0,8}"
    r"(?:文章|文本|段落|句子|短文|诗歌|诗|代码|列表|图片|图像|表格|陈述|故事|文字|语句|短语)[^。：:“\"\n，,]{0,10}[。？！：:]?\Z",
    re.IGNORECASE,
)
_MISSES_IT = re.compile(
    r"\b(?:can(?:no|['’])t|do(?:n['’]t| not)|unable to|not able to|without) (?:\w+ ){0,3}"
    + any_of("see view access open have display process find look provide any being")
    + r"|\b(?:no|any) (?:\w+ )?"
    + any_of("image picture photo file attachment text article sentence passage document code table input content")
    + r"s? (?:\w+ ){0,3}(?:attached|provided|given|included|was|were|is|has|here)"
    r"|\bnot? (?:attached|provided|included|given|specified)|\b(?:please|could you|can you|would you) (?:\w+ ){0,2}"
    + any_of("provide share send upload attach paste give supply resend specify include")
    + r"|没有(?:提供|给出|给我|给定)|未提供|请(?:您)?提供|能提供|无法(?:看到|访问|查看)",
    re.IGNORECASE,
)
_LABEL = re.compile(r"\s*(?:task|question|q|instruction|prompt|problem|exercise|user|human) ?\d{0,3} ?[:：]\s*", re.I)
_GIVEN = re.compile(r"[:：]\s*\S|[\"“«‘]\w")
_LONGEST = 1200
"""Characters of a prompt: a longer one has what it speaks of."""
_HAS_CONTENT = 100
"""Characters of an earlier turn, or of a system prompt, that may hold what the prompt speaks of."""
_NEEDLES = (
    *("image", "picture", "photo", "painting", "attach", "enclosed", "upload", "screenshot", "video", "audio"),
    *("recording", "chart", "graph", "diagram", "figure", " map", "drawing", "illustration"),
)
_TEXT_NEEDLES = (
    *("following", "below", "given", "provided", "above", "preceding"),
    *("以下", "下列", "下面", "给定", "所给"),
)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops conversations about something that is not there; flags them where the answer says so."""
    question = subject.question
    if question is None or subject.record.tools:
        return []
    missing = _missing(subject, question.strip())
    if missing is None:
        return []
    detail = f"{missing[:80]!r} in the prompt, and nothing there"
    if _MISSES_IT.search(subject.answer[:400]) or refused(subject):
        return [Verdict("missing_attachment", "flag", f"{detail}; the answer says so")]
    return [Verdict("missing_attachment", "drop", detail)]


def _missing(subject: Subject, question: str) -> str | None:
    if "<" in question and (mark := _MARK.search(question)) and not _ABOUT_MARKUP.search(question):
        return mark.group().strip()
    if len(question) > _LONGEST:
        return None
    lowered = question.lower()
    if label := _LABEL.match(question):
        question = question[label.end() :]
    instruction, _, rest = question.partition("\n")
    given = rest.strip()
    if given:
        stands_for_it = _PLACEHOLDER.match(given) and not _ABOUT_MARKUP.search(instruction)
        return given if stands_for_it else None
    if any(needle in lowered for needle in _NEEDLES) and not _has_context(subject):
        task = _task(instruction)
        found = _MISSING_MEDIA.search(task) or _MISSING_FILE.search(task)
        if found and not _names_it(instruction, found.end()):
            return found.group().strip(" .,!?")
    if not any(needle in lowered for needle in _TEXT_NEEDLES) or _has_context(subject):
        return None
    text = _MISSING_TEXT.match(instruction)
    return text.group() if text else None


def _task(instruction: str) -> str:
    """What comes before a quotation, or before a colon and the text behind it."""
    given = _GIVEN.search(instruction)
    return instruction if given is None else instruction[: given.start()]


def _names_it(instruction: str, after: int) -> bool:
    """Whether something follows that could be what was announced: after a colon, in quotes, at an address."""
    rest = instruction[after:]
    return bool(re.search(r"[:：]\s*\S|[\"“«‘]\w|://|\(\w", rest)) or len(rest) > 200


def _has_context(subject: Subject) -> bool:
    turns = subject.record.messages if subject.record.kind == "preference" else subject.record.messages[:-1]
    return len(turns) > 1 and (len(turns) > 2 or len(turns[0].content) >= _HAS_CONTENT)


FILTER = Filter("missing_attachment", ("missing_attachment",), check)

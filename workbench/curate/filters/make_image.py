"""`make_image`: the task is to draw, and a language model answers in words.

    user: "Create a logo for a bakery."                         ->  flag  make_image_request
    user: "Write a caption for a picture of a dog."             ->  nothing: words are asked for
    user: "Draw a circle with Python's turtle.", "in ASCII"     ->  nothing: code and characters draw, too
    user: "Draw a conclusion."                                  ->  nothing
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.wording import any_of

_PICTURE = any_of(
    """
    images? pictures? photos? photographs? logos? illustrations? paintings? posters? infographics? cartoons? portraits?
    icons? wallpapers? banners? sketch(?:es)? 3-?d~(?:models?|renderings?) (?:digital~)?artworks? animations? gifs?
    memes? (?:visual~)?graphics? drawings? comic~strips? collages? flyers? renderings? videos?
    """
)
_MAKE = any_of("create draw generate design paint sketch render make produce illustrate compose edit photoshop")
_OF_WORDS = any_of(
    """
    prompt caption description title list story poem plan table program script function class code tool app web guide
    tutorial docker
    """
)
_AFTER = any_of(
    """
    of for that which with showing depicting representing to in using about based featuring inspired from illustrating
    on and where
    """
)
_DRAWN_IN_WORDS = any_of(
    """
    conclusions? comparisons? parallels? distinctions? line graph inspiration lessons? attention blank card analog
    inference connections? contrast diagram~of~the~(?:data|class) up on from out upon any your over near back more
    people customers crowd lots? random venn insights? outline
    """
)
_REQUEST = re.compile(
    rf"(?:\A|[.!?\n] ?)(?:{any_of('please can~you could~you i~want~you~to i~need~you~to kindly help~me')}[ ,]+)*(?:"
    rf"{_MAKE} (?:me |us )?(?:an? |the |some |one |two |three |\d )?(?:(?!{_OF_WORDS})[\w'’-]+ ){{0,4}}?{_PICTURE}"
    rf"(?= {_AFTER}\b|\s*[.!?:,\n]|\s*\Z)"
    rf"|(?:draw|sketch|paint) (?:me |us )?+(?:an? |the )?+(?!{_DRAWN_IN_WORDS})[\w-]+)"
    r"|(?:画|绘制)(?:一|出一|个|幅|张)"
    r"|(?:设计|创建|生成|制作)[^。\n，,]{0,12}(?:标志|图标|海报|图像|图片|插图|徽标|漫画)(?:[。！\n]|\Z)",
    re.IGNORECASE,
)
_IN_CODE_OR_WORDS = re.compile(
    r"\b"
    + any_of(
        r"""
        python turtle svg html css javascript js canvas matplotlib plotly seaborn ggplot tikz latex ascii code program
        script function mermaid graphviz dot plantuml opencv pil docker\w* algorithm prompts? midjourney dall-?e
        stable~diffusion describ\w+ description words? text plan ideas? concepts? instructions steps tutorial opengl
        processing excel r emoji
        """
    )
    + r"\b|代码|程序|描述|提示词",
    re.IGNORECASE,
)
_BEGINNING = 250
"""Characters in which the request stands."""
_STEMS = (
    *("draw", "sketch", "paint", "image", "picture", "photo", "logo", "illustration", "poster", "infographic"),
    *("cartoon", "portrait", "icon", "wallpaper", "banner", "3d", "3-d", "artwork", "animation", "gif", "meme"),
    *("graphic", "comic", "collage", "flyer", "rendering", "video", "画", "绘", "标志", "图标", "海报", "图像", "图片"),
)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Flags conversations whose last question asks for an image; many of them have a sensible answer."""
    question = subject.question
    if question is None or subject.record.tools or subject.calls_tools:
        return []
    lowered = question[:_BEGINNING].lower()
    if not any(stem in lowered for stem in _STEMS):
        return []
    found = _REQUEST.search(question[:_BEGINNING])
    if found is None or _IN_CODE_OR_WORDS.search(question):
        return []
    return [Verdict("make_image_request", "flag", f"{found.group().strip(' .!?')[:80]!r} in the prompt")]


FILTER = Filter("make_image", ("make_image_request",), check)

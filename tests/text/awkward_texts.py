"""Texts on which tokenising, hashing and comparing go wrong first, and made-up near-duplicates."""

from __future__ import annotations

import random

AWKWARD_TEXTS = [
    "",
    "...",
    "\n\t ",
    "one",
    "two words",
    "five words are one shingle",
    "İstanbul ΟΔΟΣ Straße ﬁne ẞ ǅ ŉ",
    "ΟΔΟΣ ΟΔΟΣ. ΣΣ Σ",
    "机器学习是一门学科 and some English",
    "ひらがなとカタカナ ｶﾞｷﾞ 々〆〇 한국어 단어",
    "ภาษาไทย ก็ ๑๒๓ ພາສາລາວ བོད་ཡིག မြန်မာ ខ្មែរ",
    "smile 🙂 again 👩‍👩‍👧 and again 🇵🇪 and again and again",
    "e\u0301 combining a\u0308 marks n\u0303 here and there, Zalgo h\u0335e\u0336",
    "العربية تُكتَب من اليمين עברית हिन्दी भाषा বাংলা",
    "x² ½ ① ৪ ٣ 𝒳 𝟘 _under_score_ snake_case",
    "don't \u2019 re-use: 3.14, 1e-9 & a@b.c\u00a0nbsp\u200bzero\u2028line",
    "plain words in a row that go on for a while " * 5,
    "a" * 300,
    "字" * 300,
    "\U0010ffff \x00 \x1f \ufffe \ue000",
]


def made_up_texts(count: int, seed: int = 0) -> list[str]:
    """Texts of 0 to 40 tokens from several scripts."""
    rng = random.Random(seed)
    vocabulary = [f"w{number}" for number in range(200)]
    vocabulary += [*"机器学习是一门学科ไทย🙂é", "İI", "Straße", "ﬁ", "Σ", "½", "_", "."]
    separators = [" ", " ", " ", ", ", "\n", "", "\u3000"]
    return [
        "".join(rng.choice(vocabulary) + rng.choice(separators) for _ in range(rng.randrange(41))) for _ in range(count)
    ]


def variations(seed: int, originals: int = 40) -> list[str]:
    """Texts of 60 words, each with copies in which 0, 1, 2, 4, 8 or 16 words are replaced."""
    rng = random.Random(seed)
    vocabulary = [f"w{number}" for number in range(500)]
    texts = []
    for _ in range(originals):
        original = rng.choices(vocabulary, k=60)
        for changes in (0, 1, 2, 4, 8, 16):
            copy = list(original)
            for position in rng.sample(range(60), changes):
                copy[position] = rng.choice(vocabulary)
            texts.append(" ".join(copy))
    return texts

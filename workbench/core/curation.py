"""The section `curate` of the configuration: duplicates, decontamination, filters, quality scores, balance."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from workbench.core.cards import Name
from workbench.core.wire import Wire

ISO_639_1 = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el "
    "en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it "
    "iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt "
    "my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl "
    "sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo "
    "za zh zu"
)
"""The codes of languages, two letters each."""


class NearDuplicates(Wire):
    """MinHash LSH with exact verification."""

    enabled: bool = True
    """Whether to look for near-duplicates."""
    threshold: float = Field(default=0.7, gt=0, lt=1)
    """Jaccard similarity from which two records are near-duplicates."""
    num_perm: int = Field(default=128, ge=16)
    """Permutations of the MinHash signature."""
    ngram: int = Field(default=5, ge=1)
    """Words per shingle; characters in scripts without spaces."""
    compare: Literal["all", "prompt", "answer"] = "all"
    """What part of a record is compared."""
    index: str | None = None
    """Directory of a saved index, relative to the project: rows that it holds already are dropped, the others join."""


class SemanticDuplicates(Wire):
    """Records that say the same in other words: cosine similarity of embeddings."""

    model: str | None = None
    """Embedding model (hub id, directory or `pypi:DISTRIBUTION`); None looks for none."""
    threshold: float = Field(default=0.95, gt=0, le=1)
    """Cosine similarity from which two records are duplicates."""
    compare: Literal["all", "prompt", "answer"] = "prompt"
    """What part of a record is compared."""
    action: Literal["drop", "flag"] = "flag"
    """What happens to all but the best record of a cluster: embeddings cannot be verified exactly."""


class Decontamination(Wire):
    """Search for evaluation documents in the training data, curated or made."""

    enabled: bool = True
    """Whether to look for them."""
    ngram: int = Field(default=8, ge=2)
    """Words per n-gram."""
    drop_at: float = Field(default=0.5, gt=0, le=1)
    """Share of an evaluation document's n-grams found in a record from which it is dropped; a made one is rejected."""
    flag_at: float = Field(default=0.2, gt=0, le=1)
    """Share from which it is flagged; a made one goes to review."""
    datasets: tuple[Name, ...] = ()
    """Further evaluation sets, as dataset cards (a hub set, say): their rows are looked for like suite documents."""
    splits: bool = True
    """Whether the dataset's own test and validation splits are evaluation data: left out and looked for in the rest."""


class Language(Wire):
    """Language of the answers, identified offline."""

    allowed: tuple[str, ...] = ()
    """ISO 639-1 codes such as `en`; empty allows all and flags answers in another language than their prompt."""
    action: Literal["drop", "flag"] = "flag"
    """What happens to an answer in a language that is not allowed."""

    @field_validator("allowed")
    @classmethod
    def _codes_exist(cls, allowed: tuple[str, ...]) -> tuple[str, ...]:
        for code in allowed:
            if len(code) != 2 or code not in ISO_639_1.split():
                raise ValueError(f"{code!r} is no ISO 639-1 code; English is `en`, German `de`, Chinese `zh`")
        return allowed


class PersonalData(Wire):
    """Personal data and secrets in the text."""

    kinds: tuple[Literal["email", "phone", "card", "iban", "ip", "ssn", "secret"], ...] = (
        "email", "phone", "card", "iban", "ip", "ssn", "secret",
    )
    """What is looked for. Numbers count only with a valid checksum where their kind has one."""
    action: Literal["flag", "mask", "drop"] = "flag"
    """`mask` replaces what was found with its kind, such as `<EMAIL>`, which is a repair."""


class Ifd(Wire):
    """Instruction-following difficulty, exp(NLL(answer | prompt) - NLL(answer)), with the base (arXiv 2308.12032)."""

    enabled: bool = False
    """Whether to score the rows that passed everything else; about 0.3 s per row on a CPU."""
    drop_at: float = Field(default=1.0, gt=0)
    """From here the prompt does not help with the answer: the row is dropped."""
    low_at: float = Field(default=0.1, ge=0)
    """Below, the answer repeats the prompt or is trivial: the row is flagged."""
    worst_share: float = Field(default=0.0, ge=0, lt=1)
    """Besides, flag so large a share of the rows with the highest values."""


class Rating(Wire):
    """Quality of an answer, 1 to 5, by a judge or a reward model."""

    endpoint: Name | None = None
    """A judge: a name under `endpoints`."""
    reward_model: str | None = None
    """A sequence classifier with one output (hub id or directory), or the directory of an adapter that objective
    `reward` trained; used instead of a judge."""
    drop_below: float | None = None
    """Rows rated lower are dropped; None flags nothing and only keeps the better of duplicates."""
    flag_below: float | None = None
    """Rows rated lower are flagged."""


class Balance(Wire):
    """Limits on how much of the data one topic may be."""

    max_share: float = Field(default=1.0, gt=0, le=1)
    """Largest share of the kept rows with one value of `by`; rows above it are dropped, chosen by hash."""
    by: Literal["topic", "dataset", "answer", "length", "style"] = "topic"
    """Topic of the data, dataset, answer class (equal short answers), length band, or style (how the prompt opens)."""


class CurateConfig(Wire):
    """Cleaning: duplicates, filters, decontamination."""

    exact_duplicates: bool = True
    """Drop records whose normalised text is equal."""
    near_duplicates: NearDuplicates = NearDuplicates()
    """Drop records that are nearly equal to a better one."""
    semantic_duplicates: SemanticDuplicates = SemanticDuplicates()
    """Records that say the same in other words."""
    decontamination: Decontamination = Decontamination()
    """Drop records that contain documents of the suites."""
    filters: tuple[str, ...] | None = None
    """Filters to run, by name; None runs all. All run on every record and every reason is kept."""
    actions: dict[str, Literal["drop", "flag", "off"]] = {}
    """Reason code to what happens instead of the default: `{refusal: drop, repetition: flag, mojibake: off}`."""
    repetition_max: float = Field(default=0.3, gt=0, le=1)
    """`repetition`: largest share of the answer's word 4-grams that may be repeats."""
    min_answer_chars: int = Field(default=1, ge=0)
    """`length`: shortest answer in characters. A short answer is not a bad one: only empty ones go."""
    max_words: int | None = Field(default=None, ge=1)
    """`length`: longest record in words; None leaves long records to `tokens`."""
    count_tokens: bool = True
    """Count tokens with the model's tokenizer: lengths, what truncation cuts, rows without a trainable token."""
    max_length: int | None = Field(default=None, ge=8)
    """Tokens that training will read; None takes `train.max_length` or `model.max_length`."""
    language: Language = Language()
    """Language of the answers."""
    personal_data: PersonalData = PersonalData()
    """Personal data and secrets."""
    ifd: Ifd = Ifd()
    """Instruction-following difficulty; off by default."""
    rating: Rating = Rating()
    """Quality by a judge or reward model; off by default."""
    balance: Balance = Balance()
    """Balance of topics, classes, lengths and styles; always reported, limited only where asked."""

    @field_validator("actions", mode="before")
    @classmethod
    def _off_is_a_word(cls, actions: object) -> object:
        """YAML reads a bare `off` as false."""
        if not isinstance(actions, dict):
            return actions
        return {reason: "off" if action is False else action for reason, action in actions.items()}

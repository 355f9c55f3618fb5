"""The stage with the score cache: nothing is computed twice, a kill repeats nothing, no two arms share an answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from score_surroundings import CHOICES, Runner, artifact

from workbench.core.events import Event, NodeProgress
from workbench.core.nodes import ScoreNode
from workbench.core.parts import read_model
from workbench.core.stage import Artifact, Done
from workbench.core.timing import ArmTiming
from workbench.score.stage import STAGE

TEXTS = [{"text": f"The word number {number} is here." * (1 + number % 4)} for number in range(11)]
PROMPTS = [{"prompt": f"Say a word, number {number}."} for number in range(14)]


def stage_run(
    runner: Runner, node: ScoreNode, inputs: dict[str, Artifact] | None = None
) -> tuple[Path, dict[str, Any]]:
    """Runs the stage as a run of its own: nothing in the work directory. Gives the parts and the summary."""
    runner.work_dir = runner.project / f"work{runner.attempts}-of-its-own"
    runner.work_dir.mkdir()
    ctx = runner.context()
    outcome = STAGE.run(node, inputs or {}, ctx)
    assert isinstance(outcome, Done), outcome
    return ctx.out_dir, dict(outcome.summary)


def parts(out: Path) -> tuple[bytes, bytes, bytes]:
    """Everything that equal runs must share: all parts but timing.json."""
    names = {path.name for path in out.iterdir()}
    assert names == {"samples.jsonl", "generations.jsonl", "arm.json", "timing.json"}
    rows, generations, arm = ((out / name).read_bytes() for name in ("samples.jsonl", "generations.jsonl", "arm.json"))
    return rows, generations, arm


def all_kinds(runner: Runner, texts: int = 9) -> tuple[Any, ...]:
    return (
        runner.suite(TEXTS[:texts], name="texts", kind="perplexity", primary_metric="nll"),
        runner.suite(PROMPTS, name="answers", kind="judge", primary_metric="win_rate", max_new_tokens=5),
        runner.suite(CHOICES, name="choices"),
    )


@pytest.fixture
def forwards(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Grows by one entry, the rows, each time a model reads a batch."""
    import workbench.models.loading as loading

    seen: list[int] = []
    hooked: dict[int, Any] = {}
    load = loading.load

    def watched(*args: Any, **kwargs: Any) -> Any:
        loaded = load(*args, **kwargs)
        embeddings = loaded.model.get_input_embeddings()
        if id(embeddings) not in hooked:
            hooked[id(embeddings)] = embeddings.register_forward_hook(
                lambda module, inputs, output: seen.append(len(inputs[0]))
            )
        return loaded

    monkeypatch.setattr(loading, "load", watched)
    yield seen
    for hook in hooked.values():
        hook.remove()


def test_a_second_run_computes_nothing_and_gives_the_same_bytes(runner: Runner, forwards: list[int]) -> None:
    first, summary = stage_run(runner, runner.node(*all_kinds(runner)))
    computed = len(forwards)
    assert computed > 0 and summary["batches"] > 0 and summary["reused_batches"] == 0

    again, summary = stage_run(runner, runner.node(*all_kinds(runner)))

    assert len(forwards) == computed
    assert parts(again) == parts(first)
    assert summary["reused_batches"] == summary["batches"]
    assert [message.split(":")[0] for message in runner.messages()] == ["suite texts", "suite answers", "suite choices"]
    assert all("from the score cache" in message for message in runner.messages())


def test_a_suite_or_documents_more_cost_only_what_is_new(runner: Runner, forwards: list[int]) -> None:
    equal = [{"text": "one two three four five six"} for _ in range(12)]
    suite = runner.suite(equal, name="equal", kind="perplexity", primary_metric="nll")
    stage_run(runner, runner.node(suite.model_copy(update={"limit": 6})))
    assert forwards == [3], "the second batch has the same rows"

    _, summary = stage_run(runner, runner.node(suite))
    assert forwards == [3] and summary["batches"] == summary["reused_batches"] == 4

    texts = runner.suite(TEXTS, name="texts", kind="perplexity", primary_metric="nll")
    alone, _ = stage_run(runner, runner.node(texts))
    forwards.clear()
    both, _ = stage_run(runner, runner.node(suite, texts))
    assert forwards == []
    assert (both / "samples.jsonl").read_bytes().endswith((alone / "samples.jsonl").read_bytes())


def test_a_chat_suite_is_computed_again_under_another_prompt(runner: Runner, forwards: list[int]) -> None:
    settings = {"kind": "judge", "primary_metric": "win_rate", "max_new_tokens": 2, "chat": True}
    suite = runner.suite(PROMPTS[:3], name="chats", **settings)
    stage_run(runner, runner.node(suite, system_prompt="Be brief."))
    forwards.clear()
    _, summary = stage_run(runner, runner.node(suite, system_prompt="Answer in Latin."))

    assert forwards and summary["reused_batches"] == 0


def test_other_batches_are_computed(runner: Runner, forwards: list[int]) -> None:
    suite = all_kinds(runner)[0]
    stage_run(runner, runner.node(suite))
    forwards.clear()
    stage_run(runner, runner.node(suite, name="noise", batch_size=4))

    assert forwards == [4, 4, 1]


@pytest.mark.parametrize("sampled", [False, True])
def test_greedy_answers_by_lm_evals_own_code_are_kept_and_sampled_ones_are_not(
    runner: Runner, forwards: list[int], monkeypatch: pytest.MonkeyPatch, sampled: bool
) -> None:
    monkeypatch.setattr("workbench.score.hf_fast.unsupported", lambda model, longest: "not this model")
    sampling = {"do_sample": True, "temperature": 1.0} if sampled else {"do_sample": False}
    task = {
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "word",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 3, **sampling},
    }
    suite = runner.suite(PROMPTS, name="asked", primary_metric="exact_match", task=task)
    first, _ = stage_run(runner, runner.node(suite))
    forwards.clear()

    again, summary = stage_run(runner, runner.node(suite))

    assert bool(forwards) == sampled and summary["reused_batches"] == (0 if sampled else 2)
    assert sampled or parts(again) == parts(first)


@pytest.fixture
def adapters(runner: Runner, tmp_path: Path) -> Artifact:
    """Two adapters of the same shape, with other weights."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(runner.model.ref, dtype=torch.bfloat16)
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for seed, name in enumerate(("adapter", "other")):
        with torch.no_grad():
            for key, weight in model.named_parameters():
                if "lora_" in key:
                    drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
                    weight.copy_(drawn * 0.5)
        model.save_pretrained(tmp_path / "train" / name)
    return artifact(tmp_path / "train", "train")


def test_base_adapters_prompts_and_precisions_never_share_an_answer(
    runner: Runner, adapters: Artifact, forwards: list[int]
) -> None:
    arms: dict[str, dict[str, Any]] = {
        "base": {},
        "one": {"adapter": "train"},
        "two": {"adapter": "train/other"},
        "prompted": {"system_prompt": "Answer in Latin."},
        "fp32": {"precision": "fp32"},
    }
    suites = all_kinds(runner)
    together, alone = {}, {}
    for name, arm in arms.items():
        forwards.clear()
        together[name], _ = stage_run(runner, runner.node(*suites, **arm), {"train": adapters})
        assert bool(forwards) == (name != "prompted"), f"{name}: no suite here shows a model its system prompt"
    project = runner.project
    for name, arm in arms.items():
        (project / ".workbench" / "scores").rename(project / f"scores-{name}")
        alone[name], _ = stage_run(runner, runner.node(*suites, **arm), {"train": adapters})

    for name in arms:
        assert parts(together[name]) == parts(alone[name]), name
    outputs = {name: parts(out)[:2] for name, out in together.items()}
    assert outputs["base"] == outputs["prompted"], "no suite here is a chat, so the prompt is unseen"
    assert len({outputs[name] for name in ("base", "one", "two", "fp32")}) == 4


@contextmanager
def stopped_after(runner: Runner, batches: int) -> Iterator[None]:
    """Ends the stage, as a kill would, when so many batches are done."""

    class Stop(BaseException):
        pass

    class Events(list[Event]):
        done = 0

        def append(self, event: Event) -> None:
            super().append(event)
            self.done += isinstance(event, NodeProgress) and event.message != "loading the model"
            if self.done == batches:
                raise Stop

    runner.events = Events()
    with pytest.raises(Stop):
        yield
    runner.events = []


@pytest.mark.parametrize("suite", [0, 1])
def test_a_run_that_ends_within_a_suite_repeats_no_batch(runner: Runner, forwards: list[int], suite: int) -> None:
    chosen = all_kinds(runner, texts=11)[suite]
    whole, _ = stage_run(runner, runner.node(chosen))
    needed = len(forwards)
    (runner.project / ".workbench" / "scores").rename(runner.project / "other-scores")

    forwards.clear()
    with stopped_after(runner, 1):
        stage_run(runner, runner.node(chosen))
    assert 0 < len(forwards) < needed
    resumed, summary = stage_run(runner, runner.node(chosen))

    assert len(forwards) == needed
    assert summary["reused_batches"] == 1
    assert parts(resumed) == parts(whole)


KILLED = """
import os, signal, sys
from pathlib import Path
from score_surroundings import Runner
from workbench.core.nodes import ScoreNode
from workbench.score.stage import STAGE
import workbench.models.loading as loading
load = loading.load
def watched(*args, **kwargs):
    loaded = load(*args, **kwargs)
    log = open(sys.argv[3], "a")
    def count(module, inputs, output):
        log.write("."); log.flush()
    loaded.model.get_input_embeddings().register_forward_hook(count)
    return loaded
loading.load = watched
class Killer(list):
    done = 0
    def append(self, event):
        self.done += event.event == "node_progress" and event.message != "loading the model"
        if self.done == int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)
import torch
torch.set_num_threads(1)
node = ScoreNode.model_validate_json(sys.stdin.read())
runner = Runner(Path(sys.argv[1]), node.model, Path(sys.argv[2]), events=Killer(), attempts=int(sys.argv[4]) * 100)
STAGE.run(node, {}, runner.context())
"""


@pytest.mark.slow
def test_sigkill_in_the_middle_of_a_suite_repeats_no_finished_batch(
    runner: Runner, forwards: list[int], tmp_path: Path
) -> None:
    import torch

    torch.set_num_threads(1)
    suites = all_kinds(runner, texts=11)[:2]
    whole, _ = stage_run(runner, runner.node(*suites))
    needed = len(forwards)
    (runner.project / ".workbench" / "scores").rename(runner.project / "other-scores")
    forwards.clear()
    calls, work = tmp_path / "calls", tmp_path / "work-killed"
    work.mkdir()

    def killed_after(batches: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path), str(work), str(calls), str(batches)],
            input=runner.node(*suites).model_dump_json(),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        return len(calls.read_text())

    made: list[int] = [killed_after(batches) for batches in (2, 5)]
    assert made == sorted(set(made)) and made[-1] < needed
    resumed, _ = stage_run(runner, runner.node(*suites))

    assert made[-1] + len(forwards) == needed
    assert parts(resumed) == parts(whole)


def test_a_damaged_cache_is_told_and_computed_again(runner: Runner) -> None:
    suite = all_kinds(runner)[0]
    first, _ = stage_run(runner, runner.node(suite))
    (file,) = (runner.project / ".workbench" / "scores").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    changed = lines[1].replace(b"result", b"resulT")
    file.write_bytes(b"".join([lines[0], b"garbage\n", changed, *lines[2:], b'{"batch":']))

    again, summary = stage_run(runner, runner.node(suite))

    assert parts(again) == parts(first)
    assert summary["batches"] - summary["reused_batches"] == 1
    assert runner.messages()[-1] == "3 lines of the score cache were damaged; their batches were computed again"


def test_lm_eval_is_imported_before_the_clock_starts(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.score import arm

    started: list[float] = []
    monkeypatch.setattr(arm, "time", SimpleNamespace(perf_counter=lambda: started.append(1.0) or 1.0))
    monkeypatch.setitem(sys.modules, "workbench.score.hf_fast", None)

    with pytest.raises(ModuleNotFoundError, match="hf_fast"):
        stage_run(runner, runner.node(runner.suite(CHOICES, name="choices")))
    assert started == []


def test_timing_is_kept_apart_and_counts_the_cache_as_computed(runner: Runner) -> None:
    suites = all_kinds(runner)
    first = read_model(stage_run(runner, runner.node(*suites))[0] / "timing.json", ArmTiming)
    again = read_model(stage_run(runner, runner.node(*suites))[0] / "timing.json", ArmTiming)

    assert [suite.suite for suite in first.suites] == ["texts", "answers", "choices"]
    texts, answers, _ = first.suites
    assert (texts.documents, texts.generated_tokens, texts.tokens_per_second) == (9, 0, None)
    assert 0 < answers.generated_tokens <= 5 * len(PROMPTS)
    assert answers.tokens_per_second == pytest.approx(answers.generated_tokens / answers.seconds, rel=0.01)
    assert 0 < answers.longest_batch_seconds <= answers.seconds
    assert answers.seconds_per_document == pytest.approx(answers.seconds / len(PROMPTS), abs=1e-4)
    reused = again.suites[1]
    assert reused.generated_tokens == answers.generated_tokens
    assert reused.longest_batch_seconds == answers.longest_batch_seconds
    assert reused.seconds >= answers.longest_batch_seconds

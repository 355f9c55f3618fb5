"""The one client for teacher and judge.

    endpoint = open_endpoint(EndpointConfig(base_url="http://127.0.0.1:8000/v1", model="qwen"), model, project, cache)
    endpoint.chat([ChatRequest((Message(role="user", content="Capital of Peru?"),), max_tokens=8)])
    ->  [Reply(text="Lima", ...)]

Opening sends nothing. `workbench.endpoints.probe` finds out whether the server is there and what it can do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench.core.config import EndpointConfig, ModelConfig
from workbench.core.errors import UsageError
from workbench.core.fingerprints import fingerprint
from workbench.core.paths import Project
from workbench.endpoints.address import server_address, server_key
from workbench.endpoints.calls import Answer, CallFailed, ChatRequest, Endpoint, Reply, nobody, refuse_outage
from workbench.models.refs import model_fingerprint, resolve

__all__ = [
    "Answer",
    "CallFailed",
    "ChatRequest",
    "Endpoint",
    "Reply",
    "endpoint_external",
    "open_endpoint",
    "refuse_outage",
    "responses_dir",
]


def open_endpoint(
    config: EndpointConfig,
    model: ModelConfig,
    project: Path,
    cache_dir: Path,
    say: Callable[[str], object] = nobody,
) -> Endpoint:
    """The teacher or judge that `config` names; `model` is the base model, for the in-process endpoint.

    `say` hears what all calls of a chat will take, once a twentieth of them is answered. Raises UsageError for an
    endpoint without address or model id or, with `local_only`, elsewhere; PrerequisiteError for a missing key or model.
    """
    if config.kind == "in_process":
        # asyncio and sqlite, 0.05 s together with the server's: the plan imports every stage and calls no model
        from workbench.endpoints.in_process import InProcessEndpoint

        return InProcessEndpoint(config, model, project, cache_dir, say)
    if not config.model:
        raise UsageError(
            "endpoint has no model id", where="endpoints: model", next_step="set `model` to the id the server knows"
        )
    address = server_address(config)
    key = server_key(config, address)
    from workbench.endpoints.server import ServerEndpoint

    return ServerEndpoint(config, base_url=address, model=config.model, key=key, cache_dir=cache_dir, say=say)


def endpoint_external(config: EndpointConfig, model: ModelConfig, project: Path) -> dict[str, str]:
    """What an endpoint reads outside of artifacts, for a node's fingerprint: the base's weights, or the address.

    Sends nothing to the server; a hub model's commit is looked up.
    """
    if config.kind == "in_process":
        return {"model": model_fingerprint(resolve(model.ref, model.revision, project))}
    return {"address": fingerprint(server_address(config))}


def responses_dir(project: Path) -> Path:
    """Where a project keeps its response cache. One for all runs: raising a budget or moving a threshold makes another
    node, and its answers must not be paid again."""
    return Project(project).state / "responses"

"""The Jinja environments. Every value is made printable, then escaped for its format, unless this package drew it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from workbench.core.results import GroupComparison
from workbench.core.wire import printable
from workbench.report import numbers
from workbench.report.excerpts import excerpt, one_line
from workbench.report.funnel import funnel_steps
from workbench.report.model import ReportModel
from workbench.report.outputs import shown_outputs
from workbench.report.rows import all_rows, controls, deciding_row, main_pair, main_rows, uncompared
from workbench.report.states import NOTHING_CHANGED, RUN_STATES, SUITE_STATES
from workbench.report.tally import tally
from workbench.report.timing import cost, scoring_seconds

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
_GROUPS_SHOWN = 25
_CONFIG_CHARS = 12_000


def html_environment() -> Environment:
    """For `.html.j2`: HTML escaping, control and bidirectional characters made visible."""
    return _environment(autoescape=True, finalize=_visible)


def markdown_environment(escaped: Callable[[Any], str], code: Callable[[str], str]) -> Environment:
    """For `.md.j2`: `escaped` is applied to every value, `code` is the filter for text from models and data."""
    environment = _environment(autoescape=False, finalize=escaped)
    environment.filters["code"] = code
    return environment


def _environment(*, autoescape: bool, finalize: Callable[[Any], Any]) -> Environment:
    # Imported here: 40 ms that no plan or command line needs.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(
        numbers=numbers,
        main_pair=main_pair,
        main_rows=main_rows,
        all_rows=all_rows,
        deciding_row=deciding_row,
        controls=controls,
        uncompared=uncompared,
        tally=tally,
        cost=cost,
        scoring_seconds=scoring_seconds,
        funnel_steps=funnel_steps,
        libraries=libraries,
        shown_outputs=shown_outputs,
        run_states=RUN_STATES,
        suite_states=SUITE_STATES,
        nothing_changed=NOTHING_CHANGED,
    )
    environment.filters.update(moment=moment, one_line=one_line, by_size=by_size, as_yaml=as_yaml)
    return environment


def moment(timestamp: str) -> str:
    """`2026-11-22 08:30 UTC` from ISO 8601; anything else as it is."""
    try:
        at = datetime.fromisoformat(timestamp)
    except ValueError:
        return timestamp
    return f"{at:%Y-%m-%d %H:%M} UTC"


def by_size(groups: Sequence[GroupComparison]) -> list[GroupComparison]:
    """The largest categories, by number of documents."""
    return sorted(groups, key=lambda group: -group.n)[:_GROUPS_SHOWN]


def as_yaml(config: dict[str, Any]) -> str:
    """A node's configuration as YAML, without the suites, which stand in the results."""
    own = {key: value for key, value in config.items() if key != "suites"}
    return excerpt(yaml.safe_dump(own, sort_keys=False, allow_unicode=True, width=100), _CONFIG_CHARS)


def libraries(model: ReportModel) -> dict[str, str]:
    """Every library that a node names, with its version."""
    return dict(sorted({name: version for node in model.nodes for name, version in node.libraries.items()}.items()))


def _visible(value: Any) -> Any:
    """Text with control and bidirectional characters shown; markup made by this package as it is."""
    return value if hasattr(value, "__html__") else printable(str(value))

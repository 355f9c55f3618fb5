"""The configuration reference, written from the models' docstrings."""

from __future__ import annotations

from typing import Any

from workbench.core.config import LoopConfig


def config_reference() -> str:
    """Markdown: one table per section of workbench.yaml, every key with type, default and meaning."""
    schema = LoopConfig.model_json_schema()
    definitions = schema.get("$defs", {})
    lines = ["# Configuration reference", "", "Made from the program by `workbench config reference`; do not edit.", ""]
    lines += ["`workbench.yaml`, top level:", "", *_table(schema, definitions)]
    for name, definition in sorted(definitions.items()):
        if definition.get("type") == "object" and definition.get("properties"):
            lines += ["", f"## {name}", "", _first_paragraph(definition.get("description", "")), ""]
            lines += _table(definition, definitions)
    return "\n".join(lines) + "\n"


def _table(schema: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    required = set(schema.get("required", ()))
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, field in schema.get("properties", {}).items():
        default = "required" if key in required else f"`{_default(field.get('default'))}`"
        section = definitions[_name(field)] if "$ref" in field else {}
        meaning = field.get("description") or section.get("description", "")
        rows.append(f"| `{key}` | {_type(field)} | {default} | {_cell(meaning)} |")
    return rows


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return f"[{_name(field)}](#{_name(field).lower()})"
    if "allOf" in field:
        return _type(field["allOf"][0])
    options = field.get("anyOf") or field.get("oneOf")
    if options:
        return " or ".join(dict.fromkeys(_type(option) for option in options))
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}" if "items" in field else "list"
    if field.get("type") == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"mapping to {_type(field['additionalProperties'])}"
    return str(field.get("type", "any"))


def _name(field: dict[str, Any]) -> str:
    return str(field["$ref"]).rsplit("/", 1)[-1]


def _default(value: Any) -> str:
    if isinstance(value, dict | list):
        return "see below" if value else ("{}" if isinstance(value, dict) else "[]")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "none" if value is None else str(value)


def _first_paragraph(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

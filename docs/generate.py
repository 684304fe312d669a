"""
The reference of the custom resources, made from their CRDs, of the programs' settings, made
from their models, and of the commands, made from their help, so that none can be out of date.

    python docs/generate.py            writes docs/reference-*.md
    python docs/generate.py --check    only says which of them are out of date, and exits with 1
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from typer.main import get_command

from trackmate.main import app
from trackmate_consume.settings import PROGRAM as CONSUME
from trackmate_consume.settings import ConsumeSettings
from trackmate_contract.quantity import DURATION, SIZE, TIME
from trackmate_contract.settings import Settings, settings
from trackmate_ingest.settings import PROGRAM as INGEST
from trackmate_ingest.settings import IngestSettings
from trackmate_operator.settings import PROGRAM as OPERATOR
from trackmate_operator.settings import OperatorSettings

DOCS = Path(__file__).parent
CRDS = DOCS.parent / "crds"

Schema = dict[str, Any]

_BOUNDED = {DURATION, SIZE}
_FORMS = {DURATION: "duration", SIZE: "size", TIME: "time"}


def references() -> dict[Path, str]:
    """Every page of the reference and what it must hold."""
    sources = sorted(CRDS.glob("*.yaml"))
    pages = {DOCS / f"reference-{source.stem}.md": page(source.read_text()) for source in sources}
    return pages | {
        DOCS / "reference-ingest.md": settings_page("ingest", IngestSettings, INGEST),
        DOCS / "reference-consume.md": settings_page("consume", ConsumeSettings, CONSUME),
        DOCS / "reference-operator.md": settings_page("operator", OperatorSettings, OPERATOR),
        DOCS / "reference-commands.md": commands_page(get_command(app)),
    }


def settings_page(name: str, model: type[Settings], program: str) -> str:
    """The reference of a program's settings, from their model."""
    lines = [
        f"# Settings of `trackmate-{name}`",
        "",
        f"<!-- Made from the model of the settings by docs/generate.py; see {name}.md. -->",
        "",
        f"`trackmate-{name} --help` prints them too. A variable of the environment overrides the",
        "file, and its value is written as in the file.",
        "",
        "| setting | form | default | variable | |",
        "|---|---|---|---|---|",
    ]
    for one in settings(model, program):
        form = one.form.replace("|", "or")
        default = one.default if one.default in {"", "required"} else f"`{one.default}`"
        lines.append(f"| `{one.path}` | {form} | {default} | `{one.variable}` | {one.text} |")
    return "\n".join(lines) + "\n"


def commands_page(command: Any) -> str:
    """The reference of the `trackmate` command, from what its `--help` is made of."""
    lines = [
        "# The `trackmate` command",
        "",
        "<!-- Made from the command's help by docs/generate.py; see commands.md. -->",
        "",
        f"{command.help}",
        "",
        f"{command.epilog}",
        *_commands("trackmate", command),
    ]
    return "\n".join(lines) + "\n"


def _commands(called: str, command: Any) -> Iterator[str]:
    for name, one in command.commands.items():
        if hasattr(one, "commands"):
            yield from _commands(f"{called} {name}", one)
            continue
        arguments = [part for part in one.params if not part.opts[0].startswith("-")]
        usage = " ".join([called, name, *map(_argument, arguments)])
        yield from ("", f"## `{usage}`", "", one.help, "", "| | | default |", "|---|---|---|")
        for part in one.params:
            yield f"| `{_called(part)}` | {part.help} | {_preset(part)} |"


def _argument(part: Any) -> str:
    named = str(part.metavar or part.name.upper())
    return named if part.required or named.startswith("[") else f"[{named}]"


def _called(part: Any) -> str:
    if not part.opts[0].startswith("-"):
        return _argument(part).replace("|", "\\|")
    value = "" if part.is_flag else f" {part.metavar or part.name.upper()}"
    return f"{', '.join(part.opts)}{value}".replace("|", "\\|")


def _preset(part: Any) -> str:
    if part.required:
        return "required"
    if isinstance(part.show_default, str):
        return part.show_default
    return (
        "" if part.default in (None, False) else f"`{getattr(part.default, 'value', part.default)}`"
    )


def page(source: str) -> str:
    """The reference of one kind, from its CRD."""
    crd = yaml.safe_load(source)["spec"]
    [version] = crd["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    return "\n".join([*_opening(crd, version["name"], schema), *_sections(schema)]) + "\n"


def _opening(crd: Schema, version: str, schema: Schema) -> Iterator[str]:
    names = crd["names"]
    scope = "cluster" if crd["scope"] == "Cluster" else "namespace"
    yield f"# {names['kind']}"
    yield ""
    yield f"<!-- Made from crds/{names['singular']}.yaml by docs/generate.py. -->"
    yield ""
    yield schema["description"]
    yield ""
    yield (
        f"`apiVersion: {crd['group']}/{version}`, one name in a {scope}; "
        f"`kubectl get {names['shortNames'][0]}`."
    )
    yield ""
    yield (
        "A *duration* is a whole number and `s`, `m`, `h` or `d`; a *size* is a Kubernetes "
        "quantity in bytes, as `64Ki`; a *time* is RFC 3339, as `2026-11-01T00:00:00Z`."
    )


def _sections(schema: Schema) -> Iterator[str]:
    yield from _table("metadata", schema["properties"]["metadata"])
    for part in ("spec", "status"):
        yield from _section(part, schema["properties"][part])
    yield from ("", "## Rules", "", "What the API server refuses beside a wrong form.", "")
    yield from sorted({f"- `{path}`: {message}" for path, message in _rules("", schema)})


def _rules(path: str, node: Schema) -> Iterator[tuple[str, str]]:
    """The rules at a node and below it, but for bounds, which its description says."""
    for rule in node.get("x-kubernetes-validations", ()):
        where = f"{path}{rule.get('fieldPath', '')}".lstrip(".")
        if node.get("pattern") not in _BOUNDED:
            yield where, rule["message"]
    for name, child in node.get("properties", {}).items():
        yield from _rules(f"{path}.{name}", child)
    if "items" in node:
        yield from _rules(f"{path}[]", node["items"])


def _section(path: str, node: Schema) -> Iterator[str]:
    """The table of a node's fields, and then those of the nodes below it."""
    yield from _table(path, node)
    for name, child in node.get("properties", {}).items():
        inner = child.get("items", child)
        if "properties" in inner:
            yield from _section(f"{path}.{name}{'[]' if inner is not child else ''}", inner)


def _table(path: str, node: Schema) -> Iterator[str]:
    yield from ("", f"## `{path}`", "")
    if "description" in node:
        yield from (node["description"], "")
    yield "| field | form | default | |"
    yield "|---|---|---|---|"
    for name, child in node["properties"].items():
        default = "required" if name in node.get("required", ()) else _default(child)
        yield f"| `{name}` | {_form(child)} | {default} | {child['description']} |"


def _default(node: Schema) -> str:
    if "default" not in node or node["default"] == {}:  # its fields have defaults of their own
        return ""
    text = yaml.safe_dump(node["default"], default_flow_style=True, sort_keys=False, width=1000)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _form(node: Schema) -> str:
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if node.get("pattern") in _FORMS:
        return _FORMS[node["pattern"]]
    if node.get("type") == "array":
        return f"list, at most {node['maxItems']}, of: {_form(node['items'])}"
    if node.get("type") == "integer" and "maximum" in node:
        return f"integer, {node['minimum']} to {node['maximum']}"
    if node.get("type") == "string" and "maxLength" in node:
        return f"string, at most {node['maxLength']}"
    return str(node["type"])


def main(*, check: bool) -> int:
    stale = [path for path, text in references().items() if _text(path) != text]
    for path in stale:
        sys.stdout.write(f"{path.name} {'is out of date' if check else 'written anew'}\n")
        if not check:
            path.write_text(references()[path])
    if stale and check:
        sys.stdout.write("Run python docs/generate.py and commit what it writes.\n")
    return 1 if stale and check else 0


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))

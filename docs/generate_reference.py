"""Write the pages of the reference that follow from the code: the command line, and every key of a recipe.

python docs/generate_reference.py
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from reddino.cli import app
from reddino.pretraining.run.recipe import Recipe, read_recipe, shipped_recipes

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate_reference.py from the code: do not edit. -->\n\n"


def main() -> None:
    """Write both pages and print where they are."""
    for name, text in {"cli.md": command_line(), "recipe-keys.md": recipe_keys()}.items():
        path = REFERENCE / name
        path.write_text(NOTE + text, encoding="utf-8")
        print(path)


# ------------------------------------------------------------------ the command line


def command_line() -> str:
    """Return the help of every command as Markdown, in the order of the names."""
    text = app.generate_docs(output_format="markdown", heading_level=1)
    text = re.sub(r"## Table of Contents\n.*?(?=\*\*Commands\*\*)", "", text, flags=re.DOTALL)
    head, *commands = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    intro = (
        "Every command and its options, as `reddino COMMAND --help` prints them. Bad input ends with one "
        "sentence and exit code 1, a wrong command line with 2. A command that was stopped ends with 130; "
        "it continues when it is given again.\n"
    )
    head = head.replace("# reddino\n", f"# Command line\n\n{intro}", 1)
    return "\n".join([head.rstrip(), "", *(_escaped(one).rstrip() + "\n" for one in sorted(commands))])


def _escaped(text: str) -> str:
    """Text outside of code with angle brackets that are not taken for HTML."""
    parts = re.split(r"(```.*?```|`[^`\n]*`)", text, flags=re.DOTALL)
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


# ------------------------------------------------------------------ recipes


def recipe_keys() -> str:
    """Return every key of a recipe: its values, its default, and what the package's recipes set it to."""
    recipes = {name: read_recipe(name) for name in shipped_recipes()}
    lines = [
        "# Every key of a recipe",
        "",
        "From the definition in the code (`reddino.pretraining.run.recipe`). A key is set on the command "
        "line as `--set section.key=value`, and in a file as YAML. `null` stands for no value. The last "
        "column lists the recipes of the package that differ from the default; [recipes](recipes.md) says "
        "what they are for.",
        "",
    ]
    plain = {name: field for name, field in Recipe.model_fields.items() if _section(field) is None}
    lines += ["## Outside of the sections", "", *_table(plain, "", recipes)]
    for name, field in Recipe.model_fields.items():
        section = _section(field)
        if section is not None:
            lines += [f"## `{name}`", "", _explained(section), ""]
            lines += _table(section.model_fields, name, recipes)
    return "\n".join(lines)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a section, also of one that may be absent; None for a single key."""
    for one in (field.annotation, *get_args(field.annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def _explained(section: type[BaseModel]) -> str:
    """Return the docstring of a section as Markdown paragraphs."""
    parts = re.split(r"(`[^`]*`)", inspect.cleandoc(section.__doc__ or ""))
    return "".join(part if part.startswith("`") else part.replace("*", r"\*") for part in parts)


def _table(fields: Mapping[str, FieldInfo], section: str, recipes: Mapping[str, Recipe]) -> list[str]:
    described = any(field.description for field in fields.values())
    heads = ["key", "values", "default", *(["meaning"] if described else []), "set by the recipes"]
    rows = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for name, field in fields.items():
        key = f"{section}.{name}" if section else name
        cells = [f"`{key}`", _values(field), _default(field)]
        cells += [field.description or ""] if described else []
        rows.append(f"| {' | '.join([*cells, _differing(key, field, recipes)])} |")
    return [*rows, ""]


def _default(field: FieldInfo) -> str:
    return (
        "**required**" if field.is_required() else f"`{_shown(field.get_default(call_default_factory=True))}`"
    )


def _differing(key: str, field: FieldInfo, recipes: Mapping[str, Recipe]) -> str:
    """Which recipes set a key to what, equal values together."""
    default = PydanticUndefined if field.is_required() else field.get_default(call_default_factory=True)
    by_value: dict[str, list[str]] = {}
    for name, recipe in recipes.items():
        value: Any = recipe
        for part in key.split("."):
            value = getattr(value, part, None)
        absent = "." in key and getattr(recipe, key.split(".", maxsplit=1)[0]) is None
        if not absent and value != default:
            by_value.setdefault(_shown(value), []).append(name)
    return "; ".join(f"{', '.join(names)}: `{_short(value)}`" for value, names in by_value.items())


def _short(value: str) -> str:
    count = value.count(",") + 1
    return f"{count} names" if len(value) > 90 else value


def _shown(value: Any) -> str:
    """Return a value as it is written in YAML on one line."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case tuple() | list():
            return f"[{', '.join(_shown(one) for one in value)}]"
        case dict():
            return "{" + ", ".join(f"{key}: {_shown(one)}" for key, one in value.items()) + "}"
        case float():
            return f"{value:g}"
    return str(value)


def _values(field: FieldInfo) -> str:
    """Return what a key takes: kind of value and bounds."""
    return _kind(field.annotation, [*field.metadata])


NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false"}


def _kind(annotation: Any, metadata: list[Any]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0], [*arguments[1:], *metadata])
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin in (Union, types.UnionType):
        kinds = [_kind(one, metadata) for one in arguments if one is not type(None)]
        return " or ".join([*kinds, *(["`null`"] if type(None) in arguments else [])])
    if origin in (tuple, list, dict):
        fixed = origin is tuple and Ellipsis not in arguments
        head = f"{len(arguments)} values" if fixed else "by name" if origin is dict else "list"
        return f"{head}: {_kind(arguments[origin is dict], metadata)}"
    return NAMES.get(annotation, str(annotation)) + "".join(_bounds(metadata))


def _bounds(metadata: list[Any]) -> Iterator[str]:
    for one in _flat(metadata):
        match one:
            case annotated_types.Ge():
                yield f", at least {_shown(one.ge)}"
            case annotated_types.Gt():
                yield f", above {_shown(one.gt)}"
            case annotated_types.Le():
                yield f", at most {_bound(one.le)}"
            case annotated_types.Lt():
                yield f", below {_bound(one.lt)}"


def _bound(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) or value < 10**6 else f"{value:.2g}"


def _flat(metadata: list[Any]) -> Iterator[Any]:
    for one in metadata:
        yield from one.metadata if isinstance(one, FieldInfo) else [one]


if __name__ == "__main__":
    main()

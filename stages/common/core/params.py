"""params.yaml, read as DVC reads it and refused by name when something in it is wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from unicodedata import category

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.common.core.errors import UserError, describe_encoding, error_list

# Of Unicode: controls, formats, surrogates, private characters, separators of lines and paragraphs.
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def require_written_keys(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Make a JSON schema ask for the keys that params.yaml must hold."""
    always = [model.tag] if issubclass(model, Alternative) else list(schema.get("properties", {}))
    schema["required"] = list(dict.fromkeys([*always, *schema.get("required", [])]))


class Strict(BaseModel):
    """A section of params.yaml: no unknown keys, no silent conversions, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, json_schema_extra=require_written_keys)


class Alternative(Strict):
    """One of several entries that a place of params.yaml can hold, each with its own keys only.

    A subclass names itself in the field `tag`, a Literal. Keys that are not written have the model's defaults.
    """

    tag: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def refuse_keys_of_others(cls, content: Any) -> Any:
        if isinstance(content, dict) and (others := [key for key in content if key not in cls.model_fields]):
            own = [key for key in cls.model_fields if key != cls.tag]
            context = {"tag": cls.tag, "name": content.get(cls.tag, ""), "others": others, "own": own}
            context["alone"] = not any(cls.model_fields[key].is_required() for key in own)
            raise PydanticCustomError("keys_of_others", "keys of another entry", context)
        return content


@dataclass(frozen=True)
class ByName:
    """Part of a type: an alternative may be written by its name alone, such as `dwa` for `{method: dwa}`.

    So one `-S train.adaptive=dwa` replaces a whole section. Stands behind `Field(discriminator=...)`.
    """

    tag: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def in_full(content: Any) -> Any:
            return {self.tag: content} if isinstance(content, str) else content

        return core_schema.no_info_before_validator_function(in_full, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        entries = handler(schema)
        return {"anyOf": [{"enum": list(entries["discriminator"]["mapping"])}, entries]}


def param(default: Any, description: str, unit: str = "", **limits: Any) -> Any:
    """A key of params.yaml: what its comment, docs/reference/params.md and params.schema.json are made from.

    Args:
        default: its value where an alternative is written without it, and in params.yaml as shipped.
        description: a phrase; type, range and unit are put before it.
        unit: of a number.
        limits: as for pydantic's Field (ge, lt, ...).
    """
    return Field(default, description=description, json_schema_extra={"unit": unit} if unit else None, **limits)


def hidden_characters(text: str) -> Iterator[tuple[int, str]]:
    """Characters that programs may see and readers do not, each with the number of its line from 1.

    Parsers of YAML end a line at some of them, where an editor goes on with the comment that it shows.
    """
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        for character in line:
            if character != "\t" and category(character) in HIDDEN:
                yield number, f"U+{ord(character):04X}"


def read_sections(path: Path, models: Mapping[str, type[Strict]], source: str = "") -> dict[str, Any]:
    """The whole file as plain Python values, each section checked by its model.

    Args:
        path: params.yaml.
        models: the model of each section, by its name.
        source: what an error names in place of the path.
    Raises:
        UserError: the file is missing, is no YAML or has characters that nobody sees, or a key is unknown, missing, of
            the wrong type or out of range.
    """
    try:
        text = path.read_bytes().decode()  # with the line ends that the parser sees
        content = YAML(typ="safe").load(text)
    except FileNotFoundError:
        raise UserError(
            f"{path}: expected the pipeline's parameters, found no file; run from the project's root"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(describe_encoding(path, error)) from None
    except YAMLError as error:
        raise UserError(f"{path}: expected YAML, found a fault in it: {' '.join(str(error).split())}") from None
    if hidden := [f"line {number}: {character}" for number, character in hidden_characters(text)]:
        raise error_list(f"{path}: expected characters that readers see, found others; remove them", hidden)
    content = content if isinstance(content, dict) else {}
    findings = [f"{name}: there is no such section" for name in content if name not in models]
    findings += [f"{name}: this section is missing" for name in models if name not in content]
    for name, model in models.items():
        if name in content:
            findings += section_errors(name, model, content[name])
    if findings:
        raise error_list(f"{source or path}: these parameters cannot be used", findings)
    return content


def section_errors(name: str, model: type[Strict], content: Any) -> list[str]:
    """What is wrong with a section, one sentence each, none where it can be used."""
    try:
        section = model.model_validate(content)
    except ValidationError as error:
        return [describe_error(item, name, content) for item in error.errors()]
    return [f"{key}: this parameter is missing" for key in unwritten(name, section)]


def unwritten(key: str, section: Strict) -> Iterator[str]:
    """The keys that the file lacks below `key`.

    DVC compares params by the file, so that a default which is not written there would be an input that it does not
    see. Alternatives may lack keys, so that a word can stand for one: their defaults are code of the stage that uses
    them, which DVC sees.
    """
    for name in type(section).model_fields:
        value = getattr(section, name)
        if name not in section.model_fields_set:
            yield f"{key}.{name}"
        elif isinstance(value, Strict) and not isinstance(value, Alternative):
            yield from unwritten(f"{key}.{name}", value)


def describe_error(item: Any, section: str, content: Any) -> str:
    """One pydantic error as `section.key.key: message (found value)`.

    Args:
        item: of `ValidationError.errors()`.
        content: of the section that was validated.
    """
    key = ".".join([section, *written_keys(item["loc"], content)])
    if item["type"] == "keys_of_others":
        return f"{key}: {leftovers(key, **item['ctx'])}"
    context = {"discriminator": "", "expected_tags": "", "tag": ""} | item.get("ctx", {})
    said = {
        "extra_forbidden": "there is no such parameter",
        "missing": "this parameter is missing",
        "union_tag_not_found": "expected the key {discriminator}, which says what the others are about, found none",
        "union_tag_invalid": "expected {discriminator} as one of {expected_tags}, found {tag!r}",
    }
    if item["type"] in said:
        return f"{key}: {said[item['type']].format_map(context)}"
    mapping = item["type"] in ("model_type", "model_attributes_type")  # whose text is about Python
    return f"{key}: {'expected keys with values' if mapping else item['msg']} (found {item['input']!r})"


def written_keys(loc: tuple[int | str, ...], content: Any) -> list[str]:
    """A pydantic location without the names of alternatives, which it holds beside the keys of the file."""
    keys = []
    for part in loc:
        if content == part or (isinstance(content, dict) and part not in content and part in content.values()):
            continue
        keys.append(str(part))
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            content = None
    return keys


def leftovers(key: str, tag: str, name: str, others: list[str], own: list[str], *, alone: bool) -> str:
    """What to do about keys that an alternative does not have, in params.yaml and on the command line.

    Args:
        key: of the entry, dotted.
        tag: the key that names the alternative.
        name: of the alternative.
        others: keys that are written and not its own.
        own: its keys, without the tag.
        alone: whether its name is enough for an entry.
    """
    text = f"{tag} {name} has no {', '.join(others)} (its keys: {', '.join(own) or 'none'}); remove "
    text += f"{'it' if len(others) == 1 else 'them'} from params.yaml"
    if not alone:
        return text
    text += f", or replace the whole entry: -S {key}={name}"
    if own and not key.rpartition(".")[2].isdecimal():  # Hydra cannot delete an element of a list
        text += f", or with keys of your own: -S '~{key}' -S '+{key}={{{tag}: {name}, {own[-1]}: ...}}'"
    return text

"""YAML that somebody else wrote: plain values only, bounded in size, depth and number, no aliases, no key twice."""

from collections.abc import Callable, Iterator
from typing import Any

import yaml
from yaml import CSafeLoader

MAX_YAML_BYTES = 1024 * 1024
"""Of one document."""

MAX_YAML_VALUES = 50_000
"""Values of one document."""

MAX_YAML_DEPTH = 64
"""Levels of one document."""

INCLUDE_TAG = "!include"
"""The tag by which one document takes in another."""

IncludeParser = Callable[[str], Any]
"""What stands behind the path of an include."""


class InvalidYaml(Exception):
    """It cannot be read; the text is one line for whoever wrote it, and quotes nothing but marks and names."""


def parse_yaml(content: bytes, included: IncludeParser | None = None) -> Any:  # noqa: ANN401 - somebody else's YAML
    """The value of a document; raises `InvalidYaml`. Includes are refused where nobody says what they stand for."""
    text = _decode(content)
    try:
        _check_size(text)
        return _build_value(text, included)
    except yaml.MarkedYAMLError as error:
        raise InvalidYaml(_describe_error(error)) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        raise InvalidYaml("not readable YAML") from None


class _BoundedLoader(CSafeLoader):
    """The safe loader, and includes."""

    included: IncludeParser | None = None

    def mapping(self, node: yaml.Node) -> Iterator[dict[Any, Any]]:
        """A mapping, empty at first: what it holds comes when its parts are there."""
        made: dict[Any, Any] = {}
        yield made
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            made.update(self.construct_mapping(node))

    def include(self, node: yaml.Node) -> Any:  # noqa: ANN401 - whatever the other document holds
        """What another document holds."""
        if self.included is None:
            raise InvalidYaml(f"{_describe_line(node.start_mark)}!include is not possible here")
        if not isinstance(node, yaml.ScalarNode):
            raise InvalidYaml(f"{_describe_line(node.start_mark)}!include takes a path")
        return self.included(str(node.value))


_BoundedLoader.add_constructor("tag:yaml.org,2002:map", _BoundedLoader.mapping)
_BoundedLoader.add_constructor(INCLUDE_TAG, _BoundedLoader.include)


def _decode(content: bytes) -> str:
    if len(content) > MAX_YAML_BYTES:
        raise InvalidYaml(f"more than {MAX_YAML_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidYaml("not UTF-8") from None


def _check_size(text: str) -> None:
    """See how big it is before anything is built of it: an alias can make much of little."""
    nodes = depth = 0
    for event in yaml.parse(text, Loader=CSafeLoader):
        match event:
            case yaml.AliasEvent():
                raise InvalidYaml(f"{_describe_line(event.start_mark)}aliases are not possible here")
            case yaml.CollectionStartEvent():
                nodes, depth = nodes + 1, depth + 1
            case yaml.CollectionEndEvent():
                depth -= 1
            case yaml.ScalarEvent():
                nodes += 1
        if depth > MAX_YAML_DEPTH:
            raise InvalidYaml(f"more than {MAX_YAML_DEPTH} levels")
        if nodes > MAX_YAML_VALUES:
            raise InvalidYaml(f"more than {MAX_YAML_VALUES} values")


def _build_value(text: str, included: IncludeParser | None) -> Any:  # noqa: ANN401 - somebody else's YAML
    loader = _BoundedLoader(text)
    loader.included = included
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _check_keys(node: yaml.MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        named = (key.tag, str(key.value))
        if named in seen:
            raise InvalidYaml(f"{_describe_line(key.start_mark)}{str(key.value)[:50]} is there twice")
        seen.add(named)


def _describe_error(error: yaml.MarkedYAMLError) -> str:
    return f"{_describe_line(error.problem_mark)}{(error.problem or 'not readable YAML')[:200]}"


def _describe_line(mark: Any) -> str:  # noqa: ANN401 - the parser has two kinds of marks
    return f"line {mark.line + 1}: " if mark else ""

"""Parses untrusted YAML: plain values only, limited in size, depth and number, without aliases or duplicate keys."""

from collections.abc import Callable, Iterator
from typing import Any

import yaml
from yaml import CSafeLoader

MAX_YAML_BYTES = 1024 * 1024
"""Size of one document."""

MAX_YAML_VALUES = 50_000
"""Mappings, lists and scalars in one document."""

MAX_YAML_DEPTH = 64
"""Nesting levels of one document."""

FIRST_NUMBER_OUT_OF_RANGE = 10**308

INCLUDE_TAG = "!include"
"""The tag that inserts another document."""

IncludeParser = Callable[[str], Any]
"""Returns the parsed document at the path of an include."""


class InvalidYaml(Exception):
    """The document cannot be parsed. The text is one line for its author; it contains positions and keys, no values."""


def parse_yaml(content: bytes, parse_include: IncludeParser | None = None) -> Any:  # noqa: ANN401 - any YAML value
    """Return the value of a document; raises `InvalidYaml`. Includes are refused without `parse_include`."""
    text = _decode(content)
    try:
        _check_size(text)
        return _build_value(text, parse_include)
    except yaml.MarkedYAMLError as error:
        raise InvalidYaml(_describe_error(error)) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        raise InvalidYaml("not readable YAML") from None


class _BoundedLoader(CSafeLoader):
    """PyYAML's safe loader with a check for duplicate keys and with includes."""

    parse_include: IncludeParser | None = None

    def mapping(self, node: yaml.Node) -> Iterator[dict[Any, Any]]:
        """Construct a mapping. PyYAML requires it to be yielded empty and filled afterwards."""
        constructed: dict[Any, Any] = {}
        yield constructed
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            constructed.update(self.construct_mapping(node))

    def whole_number(self, node: yaml.ScalarNode) -> int:
        """Construct a whole number. One that JSON cannot hold is refused; Python could not even write it."""
        number = int(self.construct_yaml_int(node))
        if abs(number) >= FIRST_NUMBER_OUT_OF_RANGE:
            raise InvalidYaml(f"{_describe_line(node.start_mark)}a number out of range")
        return number

    def include(self, node: yaml.Node) -> Any:  # noqa: ANN401 - any YAML value
        """Construct the value of an included document."""
        if self.parse_include is None:
            raise InvalidYaml(f"{_describe_line(node.start_mark)}!include is not possible here")
        if not isinstance(node, yaml.ScalarNode):
            raise InvalidYaml(f"{_describe_line(node.start_mark)}!include takes a path")
        return self.parse_include(str(node.value))


_BoundedLoader.add_constructor("tag:yaml.org,2002:map", _BoundedLoader.mapping)
_BoundedLoader.add_constructor("tag:yaml.org,2002:int", _BoundedLoader.whole_number)
_BoundedLoader.add_constructor(INCLUDE_TAG, _BoundedLoader.include)


def _decode(content: bytes) -> str:
    if len(content) > MAX_YAML_BYTES:
        raise InvalidYaml(f"more than {MAX_YAML_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidYaml("not UTF-8") from None


def _check_size(text: str) -> None:
    """Check the limits on the event stream, before any value is built: an alias can make a short text huge."""
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


def _build_value(text: str, parse_include: IncludeParser | None) -> Any:  # noqa: ANN401 - any YAML value
    loader = _BoundedLoader(text)
    loader.parse_include = parse_include
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _check_keys(node: yaml.MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        name = (key.tag, str(key.value))
        if name in seen:
            raise InvalidYaml(f"{_describe_line(key.start_mark)}{str(key.value)[:50]} is there twice")
        seen.add(name)


def _describe_error(error: yaml.MarkedYAMLError) -> str:
    return f"{_describe_line(error.problem_mark)}{(error.problem or 'not readable YAML')[:200]}"


def _describe_line(mark: Any) -> str:  # noqa: ANN401 - PyYAML has two mark classes
    return f"line {mark.line + 1}: " if mark else ""

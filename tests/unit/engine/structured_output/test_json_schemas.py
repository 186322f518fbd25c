"""Whatever a schema's keywords, a text that ends fits it, or the schema is refused by the keyword's name."""

import json
import random

import jsonschema
import pytest
from constrained_texts import num_valid, random_text, takes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddock.engine.structured_output.constraint import Constraint
from paddock.engine.structured_output.errors import ConstraintError

BACKENDS = ["xgrammar", "guidance", "outlines", "lm-format-enforcer"]
TREE = {
    "type": "object",
    "properties": {"c": {"type": "array", "items": {"$ref": "#/$defs/t"}}},
    "additionalProperties": False,
}
A = {"a": {"type": "integer"}}
SHAPES = [
    True, {}, {"type": "object"}, {"type": "array"}, {"type": ["string", "null"]}, {"type": "integer"},
    {"type": "number"}, {"type": "boolean"}, {"type": "null"}, {"type": "string"},
    {"type": "string", "minLength": 2, "maxLength": 5}, {"type": "string", "pattern": "^a+b$"},
    {"type": "string", "pattern": "ab"}, {"type": "string", "pattern": "^[a-z]+$", "maxLength": 4},
    {"type": "string", "pattern": "^.{1,3}$"},
    {"type": "integer", "minimum": 3, "maximum": 17}, {"type": "integer", "exclusiveMinimum": 3},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, {"type": "integer", "multipleOf": 3},
    {"minimum": 5}, {"maxLength": 2}, {"type": ["integer", "string"], "minimum": 5, "maxLength": 2},
    {"enum": ["a", 1, None, {"x": [1]}]}, {"const": {"a": [1, 2]}}, {"type": "string", "enum": ["a", 1]},
    {"const": 'a"b'}, {"type": "string", "enum": ["a.b", "c"]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {"type": "array", "prefixItems": [{"type": "integer"}]}, {"items": {"type": "integer"}},
    {"type": "array", "items": {"type": "object", "properties": A, "additionalProperties": False}},
    {"type": "object", "properties": A}, {"type": "object", "properties": A, "required": ["a"], "additionalProperties": False},
    {"type": "object", "properties": A, "required": ["a", "b"]}, {"type": "object", "additionalProperties": A["a"]},
    {"type": "object", "patternProperties": {"^x": A["a"]}, "additionalProperties": False},
    {"type": "object", "properties": A, "patternProperties": {"^x": A["a"]}},
    {"type": "object", "minProperties": 1, "maxProperties": 2},
    {"properties": A}, {"required": ["a"]}, {"anyOf": [A["a"], {"type": "string"}]}, {"oneOf": [A["a"], {"type": "string"}]},
{"allOf": [A["a"]]},
    {"allOf": [{"minimum": 2}, {"type": "integer", "maximum": 3}]}, {"type": "integer", "anyOf": [{"minimum": 2}, {"maximum": -2}]},
    {"type": "object", "properties": A, "anyOf": [{"required": ["a"]}], "additionalProperties": False},
    {"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, {"$ref": "#/$defs/n", "minimum": 5, "$defs": {"n": {"type": "integer"}}},
    {"$defs": {"t": TREE}, "$ref": "#/$defs/t"}, {"type": "object", "properties": {"a": {"$ref": "#"}}, "additionalProperties": False},
    {"type": "object", "properties": {'a"b\u00e9': {"type": "null"}}, "required": ['a"b\u00e9']},
    {"type": "string", "format": "uuid"}, {"type": "string", "format": "date"}, {"type": "number", "multipleOf": 0.5},
]  # fmt: skip
NOT_FITTING = [
    ({"maxItems": 1}, b"[1, 2]"), ({"type": ["array", "null"], "minItems": 1}, b"[]"),
    ({"type": "integer", "multipleOf": 0.5, "maximum": 9}, b"0.25"), ({"type": "integer", "multipleOf": 3, "minimum": 4}, b"5"),
    ({"properties": {"a\nb": A["a"]}}, rb'{"a\nb": "x"}'), ({"type": "object", "properties": {"\u00e9": A["a"]}}, '{"\u00e9": "x"}'.encode()),
    ({"type": "string", "maxLength": 2.0}, b'"abc"'),
    ({"type": "object", "properties": A, "additionalProperties": {"type": "string"}}, b'{"b": "x", "a": "x"}'),
]  # fmt: skip
SAYS_NOTHING = [
    {"uniqueItems": False},
    {"then": False},
    {"minContains": 2},
    {"unevaluatedProperties": True},
    {"$schema": "https://example.com/s"},
]
UNKEPT = [
    ("uniqueItems", {"type": "array", "uniqueItems": True}),
    ("contains", {"type": "array", "contains": {"const": 1}}),
    ("not", {"not": {"type": "string"}}),
    ("if", {"if": {"type": "string"}, "then": {"maxLength": 1}}),
    ("dependentRequired", {"dependentRequired": {"a": ["b"]}}),
    ("unevaluatedProperties", {"type": "object", "unevaluatedProperties": False}),
    ("$ref", {"$ref": "https://example.com/s.json"}),
    ("type", {"type": "colour"}),
    ("minLength", {"minLength": -1}),
    ("enum", {"type": "string", "enum": [1, 2]}),
    ("maxItems", {"type": "array", "maxItems": 10**9}),
    ("maxLength", {"items": [{"type": "string", "maxLength": 1e9}]}),
    ("format", {"format": []}),
    ("regex", {"type": "string", "format": "regex"}),
    ("propertyNames", {"type": "object", "propertyNames": {"maxLength": 3}}),
    ("oneOf", {"oneOf": [{"type": "integer"}, {"type": "number"}]}),
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_text_fits_what_a_backend_does_not_refuse(maker_of, backend: str) -> None:
    kept = 0
    for schema in SHAPES:
        constraint = Constraint(kind="json", text=json.dumps(schema), disable_fallback=True)
        try:
            grammar = maker_of(backend).make(constraint)
        except ConstraintError:
            continue
        num_valid(grammar, schema, 6)
        kept += 1
    assert kept >= {"xgrammar": 25, "guidance": 45, "outlines": 12, "lm-format-enforcer": 6}[backend]


@pytest.mark.parametrize("schema", SHAPES, ids=lambda schema: json.dumps(schema)[:60])
def test_auto_keeps_the_common_shapes(maker_of, schema: object) -> None:
    grammar = maker_of("auto").make(Constraint(kind="json", text=json.dumps(schema)))
    num_valid(grammar, schema, 3)


@pytest.mark.parametrize(("schema", "text"), NOT_FITTING, ids=lambda each: str(each)[:60])
def test_no_backend_lets_pass_what_does_not_fit(maker_of, schema: object, text: bytes) -> None:
    assert not jsonschema.Draft202012Validator(schema).is_valid(json.loads(text))
    for backend in BACKENDS:
        constraint = Constraint(kind="json", text=json.dumps(schema), disable_fallback=True)
        try:
            grammar = maker_of(backend).make(constraint)
        except ConstraintError:
            continue
        assert not takes(grammar, text), backend


@pytest.mark.parametrize("schema", SAYS_NOTHING, ids=str)
def test_a_keyword_that_says_nothing_is_no_fault(maker_of, schema: object) -> None:
    assert takes(maker_of("auto").make(Constraint(kind="json", text=json.dumps(schema))), b"[1, 1]")


@pytest.mark.parametrize(("keyword", "schema"), UNKEPT)
def test_what_nobody_keeps_is_refused_with_the_keyword(maker_of, keyword: str, schema: object) -> None:
    with pytest.raises(ConstraintError, match=keyword.replace("$", r"\$")):
        maker_of("auto").make(Constraint(kind="json", text=json.dumps(schema)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_that_cannot_gives_way_unless_told_not_to(maker_of, backend: str) -> None:
    constraint = Constraint(kind="grammar", text='root ::= "a"')
    assert random_text(maker_of(backend).make(constraint), random.Random(0)) == b"a"
    if backend in ("outlines", "lm-format-enforcer"):
        with pytest.raises(ConstraintError, match="grammar cannot be kept"):
            maker_of(backend).make(Constraint(kind="grammar", text='root ::= "a"', disable_fallback=True))


@pytest.mark.parametrize("backend", ["xgrammar", "guidance"])
def test_without_free_whitespace_json_has_none(maker_of, backend: str) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "null"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    tight = Constraint(
        kind="json", text=json.dumps(schema), disable_any_whitespace=True, disable_fallback=True
    )
    grammar, rng = maker_of(backend).make(tight), random.Random(0)
    texts = [text for _ in range(10) if (text := random_text(grammar, rng)) is not None]
    assert texts
    assert not any(byte in b" \n\t\r" for text in texts for byte in text)


def test_a_closed_schema_has_no_other_properties(maker_of) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    closed = Constraint(kind="json", text=json.dumps(schema), disable_additional_properties=True)
    assert num_valid(maker_of("auto").make(closed), {**schema, "additionalProperties": False}, 10)


SCALARS = st.sampled_from([
    {"type": "integer"}, {"type": "boolean"}, {"type": "null"}, {"type": "string"}, {"type": "number"},
    {"type": "integer", "minimum": -7, "maximum": 99}, {"enum": ["x", 2, None]}, {"const": "fixed"},
    {"type": "string", "minLength": 1, "maxLength": 6}, {"type": "string", "pattern": "^[a-f]{2}$"},
])  # fmt: skip


def _composed(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    names = st.sampled_from(["a", "b c", 'q"', "\u00e9"])
    objects = st.builds(
        lambda properties, required, closed: {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name in required],
            **({"additionalProperties": False} if closed else {}),
        },
        st.dictionaries(names, inner, min_size=1, max_size=3),
        st.sets(names),
        st.booleans(),
    )
    arrays = st.builds(
        lambda items, most: {"type": "array", "items": items, "maxItems": most}, inner, st.integers(0, 3)
    )
    unions = st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches})
    return objects | arrays | unions


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(schema=st.recursive(SCALARS, _composed, max_leaves=6))
@pytest.mark.parametrize("backend", ["xgrammar", "guidance", "auto"])
def test_random_schemas_are_kept(maker_of, backend: str, schema: object) -> None:
    num_valid(maker_of(backend).make(Constraint(kind="json", text=json.dumps(schema))), schema, 2)

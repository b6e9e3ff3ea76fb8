"""Whatever a model answers: each number that was asked for is described or has a problem, and nothing is made up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashioncrop.describing.naming import parse_names
from fashioncrop.describing.schema import (
    GARMENTS_SCHEMA,
    NAMES_SCHEMA,
    Answer,
    Parsed,
    json_value,
    parse_garments,
    quoted,
)
from fashioncrop.results import NOT_VISIBLE, Description
from scripted_answers import describe

WHOLE = describe(1, "shirt")


def parsed(items: object, asked: tuple[int, ...] = (1, 2), **answer: Any) -> Parsed:  # noqa: ANN401 - of Answer
    return parse_garments(Answer(json.dumps({"garments": items}), **answer), asked)


def objects(schema: object) -> list[dict[str, Any]]:
    """Every object of a schema, however deep."""
    if isinstance(schema, list):
        return [found for entry in schema for found in objects(entry)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for value in schema.values() for found in objects(value)]


@pytest.mark.parametrize("schema", [GARMENTS_SCHEMA, NAMES_SCHEMA])
def test_a_strict_schema_requires_everything_and_allows_nothing_else(schema: dict[str, Any]) -> None:
    assert objects(schema)
    for one in objects(schema):
        assert one["additionalProperties"] is False
        assert one["required"] == list(one["properties"])


def test_the_schema_asks_for_what_a_description_holds() -> None:
    item = GARMENTS_SCHEMA["properties"]["garments"]["items"]
    assert set(item["properties"]) == {"index", *Description.model_fields}


def test_a_good_answer_is_described() -> None:
    result = parsed([describe(2, "skirt"), WHOLE])
    assert result.problems == {}
    assert result.doubt is None
    assert list(result.descriptions) == [1, 2]
    assert result.descriptions[1].type == "shirt"
    assert result.descriptions[2].colours == ("light beige",)


@pytest.mark.parametrize(
    "around", ["```json\n%s\n```", "```\n%s\n```", "Here you are: %s Enjoy!", "<think>hm</think>\n%s"]
)
def test_text_around_the_json_is_passed_over(around: str) -> None:
    assert parse_garments(Answer(around % json.dumps({"garments": [WHOLE]})), [1]).problems == {}


@pytest.mark.parametrize("text", ["", "Not visible", "not visible.", "  NOT VISIBLE "])
def test_what_cannot_be_seen_is_always_said_the_same_way(text: str) -> None:
    result = parsed([{**WHOLE, "sleeve": text, "colours": [text], "details": [text, "zip"]}], (1,))
    description = result.descriptions[1]
    assert (description.sleeve, description.colours, description.details) == (NOT_VISIBLE, (), ("zip",))


def test_texts_are_one_printable_line() -> None:
    result = parsed([{**WHOLE, "sentence": "Light\n beige\x00 shirt\ud800 "}], (1,))
    assert result.descriptions[1].sentence == "Light beige shirt"
    assert result.descriptions[1].model_dump_json()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sentence": ""}, "sentence is empty"),
        ({"sentence": "x" * 301}, "sentence has 301 characters, 300 are allowed"),
        ({"fit": "x" * 81}, "fit has 81 characters"),
        ({"fit": 3}, "fit is not a text"),
        ({"fit": None}, "fit is missing"),
        ({"colours": "red"}, "colours is not a list of texts"),
        ({"colours": [1]}, "colours is not a list of texts"),
        ({"colours": None}, "colours is missing"),
        ({"details": ["x"] * 13}, "details has 13 entries"),
        ({"details": ["x" * 81]}, "details has an entry of more than 80 characters"),
        ({"fit": [], "sentence": {}}, "fit is not a text; sentence is not a text"),
    ],
)
def test_a_garment_that_breaks_the_schema_has_a_problem_and_the_others_none(
    changes: dict[str, object], words: str
) -> None:
    result = parsed([{**WHOLE, **changes}, describe(2, "skirt")])
    assert words in result.problems[1]
    assert list(result.descriptions) == [2]


def test_a_number_that_is_left_out_has_a_problem() -> None:
    assert parsed([WHOLE]).problems == {2: "the answer lacks it"}
    assert "without a whole number as index: 2" in parsed([WHOLE, {}, {**WHOLE, "index": True}]).problems[2]


def test_numbers_counted_from_zero_are_not_believed() -> None:
    result = parsed([describe(0, "shirt"), describe(1, "skirt")])
    assert result.descriptions == {}
    assert result.problems.keys() == {1, 2}
    assert "mixed up the numbers: it has 0 and lacks 2" in result.problems[1]


def test_a_number_too_many_leaves_a_doubt() -> None:
    result = parsed([WHOLE, describe(2, "skirt"), describe(9, "ghost")])
    assert result.descriptions.keys() == {1, 2}
    assert result.doubt == "the answer has numbers that were not asked for: 9"


def test_a_number_that_is_there_twice_is_believed_only_where_both_say_the_same() -> None:
    assert parsed([WHOLE, WHOLE], (1,)).problems == {}
    assert "more than once" in parsed([WHOLE, {**WHOLE, "fit": "slim"}], (1,)).problems[1]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer("no json"), "not JSON: no json"),
        (Answer(None), "is empty"),
        (Answer("  "), "is empty"),
        (Answer(None, truncated=True), "cut off before it began"),
        (Answer('{"garments": [{"ind', truncated=True), "cut off"),
        (Answer("null"), "not JSON"),
        (Answer("[]"), "no list `garments`"),
        (Answer('{"garments": {}}'), "no list `garments`"),
        (Answer('{"garments": []}', refusal="I will not\nsay."), "refused: I will not say."),
        (Answer('{"garments": ' + "[" * 100_000), "not JSON"),
        (Answer('{"garments": ' + "9" * 10_000 + "}"), "not JSON"),
    ],
)
def test_an_answer_without_garments_is_a_problem_of_every_number(answer: Answer, words: str) -> None:
    result = parse_garments(answer, (1, 2))
    assert result.descriptions == {}
    assert result.problems.keys() == {1, 2}
    assert all(words in problem for problem in result.problems.values())


def test_what_was_whole_when_an_answer_was_cut_off_is_kept() -> None:
    text = json.dumps({"garments": [WHOLE, describe(2, "skirt"), describe(3, "hat")]})
    result = parse_garments(Answer(text[: text.index('"hat"')], truncated=True), (1, 2, 3))
    assert list(result.descriptions) == [1, 2]
    assert result.problems == {3: "the answer was cut off"}


def test_long_words_are_shortened_before_they_are_quoted() -> None:
    assert quoted("a\n" * 1_000_000) == ("a " * 59)[:117] + "..."


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        **{name: JSON_VALUES | st.text(max_size=400) for name in Description.model_fields},
        "index": st.integers(-1, 5) | JSON_VALUES,
    },
).map(lambda changes: {**WHOLE, **changes})
ANSWERS = st.one_of(
    st.builds(Answer, st.none() | st.text(), st.none() | st.text(), st.booleans()),
    st.builds(lambda value: Answer(json.dumps(value)), JSON_VALUES),
    st.builds(
        lambda items, stop, truncated: Answer(json.dumps({"garments": items})[:stop], truncated=truncated),
        st.lists(NEARLY | JSON_VALUES, max_size=6),
        st.none() | st.integers(0, 800),
        st.booleans(),
    ),
)
ASKED = st.lists(st.integers(1, 16), min_size=1, max_size=6, unique=True)


@given(answer=ANSWERS, asked=ASKED)
def test_every_number_is_described_or_has_a_problem(answer: Answer, asked: list[int]) -> None:
    result = parse_garments(answer, asked)
    assert sorted([*result.descriptions, *result.problems]) == sorted(asked)
    assert all(problem.isprintable() and problem for problem in result.problems.values())
    for description in result.descriptions.values():
        again = Description.model_validate_json(description.model_dump_json())
        assert again == description
        assert description.sentence
        assert len(description.sentence) <= 300


@given(answer=ANSWERS)
def test_any_answer_is_json_or_a_reason(answer: Answer) -> None:
    value, problem = json_value(answer)
    assert (value is None) == bool(problem)


@given(answer=ANSWERS | st.builds(lambda names: Answer(json.dumps({"garments": names})), st.lists(JSON_VALUES)))
def test_any_answer_has_names_that_a_detector_takes(answer: Answer) -> None:
    phrases, problems = parse_names(answer)
    assert len(set(phrases)) == len(phrases) <= 20
    for phrase in phrases:
        assert phrase == phrase.lower() == " ".join(phrase.split())
        assert not set(phrase) & set(".?")
        assert len(phrase.split()) <= 6
        assert phrase.encode()
    assert all(problem.isprintable() for problem in problems)

"""Templates: what they may say, what they refuse, and that nothing in them runs."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, nodes

from app.errors import BadInput
from app.ingest.templates import MAX_OUTPUT_BYTES, compile_template


def render(source: str, **row: object) -> str:
    return compile_template(source).render(row)


def refusal(source: str, **row: object) -> str:
    with pytest.raises(BadInput) as caught:
        compile_template(source).render(row)
    return caught.value.message


def test_a_template_puts_cells_into_text():
    assert render("{{ product }}: {{ review }}\n", product="Lamp", review="Bright.") == "Lamp: Bright.\n"


def test_a_template_says_which_columns_it_names():
    # Given a template that names columns in every way there is
    template = compile_template('{{ a }} {{ row["b c"] }} {{ row.d }} {% if e %}{{ f|upper }}{% endif %}')

    # Then all of them are known before any row is rendered
    assert template.variables == {"a", "b c", "d", "e", "f"}


def test_a_column_whose_name_is_no_identifier_can_be_used():
    row = {"Review text": "Nice", "prix €": 12.5, "row": "seven", "items": "three"}

    assert compile_template('{{ row["Review text"] }}, {{ row["prix €"] }} €').render(row) == "Nice, 12.5 €"
    assert compile_template('{{ row["row"] }} {{ row.items }} {{ items }}').render(row) == "seven three three"


def test_the_whole_row_can_be_given_as_json():
    assert json.loads(render("{{ row|tojson }}", a="é", b=None)) == {"a": "é", "b": ""}


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("", ""),
        (None, ""),
        (0, "0"),
        (2.5, "2.5"),
        (True, "true"),
        (["é", 1], '["é",1]'),
        ({"a": None}, '{"a":null}'),
    ],
)
def test_a_cell_is_shown_as_its_reader_expects(cell, text):
    assert render("[{{ cell }}]", cell=cell) == f"[{text}]"


def test_cells_are_data_and_never_templates():
    assert render("{{ review }}", review="Dear {{ name }} {% if x %}") == "Dear {{ name }} {% if x %}"


def test_nothing_is_escaped():
    assert render("{{ review }}", review='<b>5 > 4 & "good"</b>') == '<b>5 > 4 & "good"</b>'


def test_parts_of_a_structured_cell_can_be_named():
    row = {"address": {"city": "Lyon", "items": "post"}, "tags": ["red", "blue"]}

    assert (
        compile_template("{{ address.city }} {{ address.items }} {{ tags[1] }}").render(row)
        == "Lyon post blue"
    )


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("'aB'|upper", "AB"),
        ("'aB'|lower", "ab"),
        ("'one two'|capitalize", "One two"),
        ("'one two'|title", "One Two"),
        ("'  x '|trim", "x"),
        ("'one two three'|truncate(11)", "one two..."),
        ("'one two three'|truncate(11, true)", "one two ..."),
        ("'a-b-c'|replace('-', '+')", "a+b+c"),
        ("'été'|length", "3"),
        ("tags|length", "2"),
        ("tags|join(', ')", "red, blue"),
        ("'4.7'|int", "4"),
        ("'12345678901234567890'|int", "12345678901234567890"),
        ("'many'|int", "0"),
        ("'4.66'|round(1)", "4.7"),
        ("tags|tojson", '["red","blue"]'),
        ("absent|default('none')", "none"),
        ("empty|default('none')|upper", "NONE"),
        ("'x' if tags else 'y'", "x"),
    ],
)
def test_filters_do_what_their_names_say(expression, text):
    assert render("{{ " + expression + " }}", tags=["red", "blue"], empty="") == text


def test_a_condition_chooses():
    source = "{% if rating|int > 3 and not sold %}good{% elif rating == '3' %}fair{% else %}bad{% endif %}"

    assert [render(source, rating=r, sold="") for r in ("5", "3", "1")] == ["good", "fair", "bad"]


@pytest.mark.parametrize(
    ("source", "line", "construct"),
    [
        ("{{ 'ab' * 300000000 }}", 1, "arithmetic"),
        ("{{ a ~ a }}", 1, "joining with ~"),
        ("{{ -1 }}", 1, "arithmetic"),
        ("a\n{% for x in a %}{% endfor %}", 2, "a loop"),
        ("{{ a.upper() }}", 1, "a call"),
        ("{{ range(10) }}", 1, "a call"),
        ("a\n\n{% set x = 1 %}", 3, "{% set %}"),
        ("{% include 'x' %}", 1, "{% include %}"),
        ("{% macro m() %}{% endmacro %}", 1, "{% macro %}"),
        ("{% filter upper %}a{% endfilter %}", 1, "{% filter %}"),
        ("{{ a is defined }}", 1, "an `is` test"),
        ("{{ [a, a] }}", 1, "a list"),
        ("{{ {'a': a} }}", 1, "a dictionary"),
        ("{{ a[1:2] }}", 1, "a subscript that is not a constant"),
        ("{{ a[b] }}", 1, "a subscript that is not a constant"),
        ("{{ a|format(1) }}", 1, "the filter format"),
        ("{{ a|truncate(b) }}", 1, "a filter argument that is not a constant"),
    ],
)
def test_what_could_run_or_blow_up_is_refused_by_name_and_line(source, line, construct):
    assert refusal(source).startswith(f"the template, line {line}: {construct} is not allowed")


@pytest.mark.parametrize(
    "source",
    [
        "{{ a",
        "{% if a %}",
        "{{ 9" + "9" * 5_000 + " }}",
        "{{ " + "(" * 5_000 + "a" + ")" * 5_000 + " }}",
        "{{ a" + "|upper" * 10_000 + " }}",
        "{{ a" + ".b" * 5_000 + " }}",
        "{{ " + "not " * 5_000 + "a }}",
        "{{ a }}" * 5_000,
        "{{ " + " < ".join(["a"] * 20_000) + " }}",
        "{% if a %}" * 500 + "{% endif %}" * 500,
        "{% if a %}" + "{% elif b %}" * 900 + "{% endif %}" + "{{ a|" * 10,
        "x" * 1_000_001,
        "{{ a|truncate(1, 2, 3, 4) }}",
        "{{ a|truncate(*b) }}",
        "{{ self }}",
        "\ud83d",
        "a\0b",
        "{{ a if 'x'.y else a }}",
        "{% if 'x'.y %}{% endif %}",
    ],
    ids=range(19),
)
def test_a_template_that_cannot_be_compiled_is_a_refusal_and_not_a_crash(source):
    assert refusal(source).startswith("the template")


def test_a_long_chain_of_conditions_still_compiles():
    assert render("{% if a == 'x' %}1" + "{% elif a == 'y' %}2" * 900 + "{% endif %}", a="y") == "2"


@pytest.mark.parametrize("name", ["__class__", "upper", "format", "__globals__", "keys", "0"])
def test_no_attribute_of_a_python_object_can_be_reached(name):
    assert "does not fit this row" in refusal("{{ cell." + name + " }}", cell={"a": 1})
    assert "does not fit this row" in refusal("{{ cell['" + name + "'] }}", cell={"a": 1})


def test_an_absent_column_is_named_beside_the_columns_there_are():
    assert refusal("{{ revew }}", product="Lamp", review="x") == (
        'the template uses "revew"; there is "product", "review"'
    )


def test_a_cell_that_does_not_fit_is_an_error_of_its_row():
    assert "`|int` converts them" in refusal("{% if rating > 3 %}x{% endif %}", rating="5")
    assert "has no number" in refusal("{{ rating|round }}", rating="many")


def test_an_output_of_over_a_megabyte_is_refused():
    # Given two cells that are each allowed
    cell = "x" * (MAX_OUTPUT_BYTES // 2)
    template = compile_template("{{ a }}{{ b }}")

    # Then together they may have exactly a megabyte, counted in bytes
    assert len(template.render({"a": cell, "b": cell})) == MAX_OUTPUT_BYTES
    with pytest.raises(BadInput, match="over 1,000,000 bytes"):
        template.render({"a": cell, "b": cell + "x"})
    with pytest.raises(BadInput, match="over 1,000,000 bytes"):
        template.render({"a": cell, "b": "é" * len(cell)})


def test_a_template_that_repeats_a_large_cell_is_stopped_on_the_way():
    assert "over 1,000,000 bytes" in refusal("{{ a }}" * 1_000, a="x" * 1_000_000)
    assert "would produce" in refusal("{{ a|replace('x', 'yyyyyyyyyy') }}", a="x" * 1_000_000)
    assert "would produce" in refusal("{{ a|join('yyyyyyyyyy') }}", a=[1] * 500_000)


@pytest.mark.parametrize(
    ("source", "cell"),
    [
        ("{% if x" + "|title" * 10 + " == 'q' %}a{% endif %}", "a " * 450_000),
        ("{% if x == 'q' or x in 'q' %}a{% endif %}" * 5, "a" * 900_000),
        (
            "{% if x|replace('a', '" + "b" * 100_000 + "')|upper|lower|upper|lower|upper == 1 %}{% endif %}",
            "a" * 9,
        ),
        ("{% if x == x %}a{% endif %}" * 3, [[1] * 400_000]),
    ],
)
def test_a_template_that_makes_much_work_of_a_cell_is_stopped_on_the_way(source, cell):
    assert "shorten the cell" in refusal(source, x=cell)


def test_a_large_cell_may_be_looked_at_now_and_then():
    assert render("{% if x|trim != 'no' %}{{ x|trim|truncate(4) }}{% endif %}", x="y" * 990_000) == "y..."


def test_half_a_surrogate_pair_and_nul_pass_through():
    assert render("{{ a }}", a="\ud83d \0") == "\ud83d \0"


class Tripwire(dict):
    """A cell that notices when anything of it is called."""

    def __call__(self, *args: object, **kwargs: object) -> str:
        raise AssertionError("a template called a cell")


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "row", "a.b", "row.a", "'x'", "1", "none", "a[0]", "row['a']"]),
    lambda inner: st.one_of(
        st.builds("{}()".format, inner),
        st.builds("{}({})".format, inner, inner),
        st.builds("({} + {})".format, inner, inner),
        st.builds("{}|upper".format, inner),
        st.builds("{}|map({})".format, inner, inner),
        st.builds("{}.__init__".format, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_a_template_never_executes_a_call(expression):
    # Given a row whose cells would notice
    row = {"a": Tripwire(b=Tripwire())}

    # When anything at all is asked of it
    try:
        template = compile_template("{{ " + expression + " }}")
    except BadInput:
        return

    # Then either it was refused, or there is no call in it
    assert not list(Environment().parse(template.source).find_all(nodes.Call))
    try:
        template.render(row)
    except BadInput:
        pass


@given(st.text(alphabet=string.printable + "{}%|é€", max_size=60))
def test_any_text_is_a_template_or_a_refusal(source):
    try:
        compile_template(source).render({"a": "x"})
    except BadInput:
        pass

"""What is written as TOML is read back the same by the standard library."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pirack.toml_writer import dumps

keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
scalars = (
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
)
values = (
    scalars | st.lists(scalars, max_size=3) | st.dictionaries(keys, scalars, max_size=3)
)
tables = st.dictionaries(keys, values, max_size=4)


@given(
    st.dictionaries(keys, tables | st.lists(tables, min_size=1, max_size=3), max_size=4)
)
def test_every_document_comes_back_as_it_was(document: dict[str, Any]) -> None:
    assert tomllib.loads(dumps(document)) == document


def test_it_reads_as_a_person_would_write_it() -> None:
    text = dumps({"rack": {"name": "lab"}, "node": [{"id": "pi-1", "slot": 2}]})
    assert text == '[rack]\nname = "lab"\n\n[[node]]\nid = "pi-1"\nslot = 2\n'


def test_a_value_without_a_form_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="NoneType None has no TOML form"):
        dumps({"rack": {"name": None}})

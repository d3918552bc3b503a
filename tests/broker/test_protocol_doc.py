"""docs/protocol.md is what the code says."""

import pytest

from broker.contract import protocol_doc
from broker.contract.messages import decode, encode
from broker.contract.protocol_doc import EXAMPLES, TOPICS, TopicRow, read_docstring
from broker.contract.topics import Fixed, NodeLeaf, Topics

FILLED = {"<id>": "pi-51000302", "<n>": "3", "<scope>": "rack", "<verb>": "ping"}


def test_the_document_is_up_to_date() -> None:
    page = protocol_doc.PATH.read_text(encoding="utf-8")
    assert page.count("written from the code") == page.count("<!-- end -->") == 3
    assert page == protocol_doc.render(page), f"run: python -m {protocol_doc.__name__}"


@pytest.mark.parametrize("row", TOPICS, ids=lambda row: row.topic)
def test_every_topic_in_the_document_is_one_the_parser_knows(row: TopicRow) -> None:
    topic = row.topic
    if topic.startswith("inbox/"):
        return  # nothing parses it: it is answered to, never listened to
    for name, value in FILLED.items():
        topic = topic.replace(name, value)
    rack = Topics("lab")
    rack.parse(f"{rack.prefix}/{topic}")


def test_no_topic_of_the_contract_is_missing() -> None:
    documented = {row.topic for row in TOPICS}
    assert {f"node/<id>/{leaf}" for leaf in NodeLeaf} <= documented
    assert {fixed.value for fixed in Fixed} <= documented


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: type(one).__name__)
def test_every_example_can_be_read(example: object) -> None:
    assert decode(encode(example), type(example)) == example  # type: ignore[arg-type]  # a parametrised Wire


def test_every_field_of_every_payload_is_explained() -> None:
    for row in TOPICS:
        fields = getattr(row.payload, "__struct_fields__", ())
        _, about = read_docstring(row.payload)
        assert set(fields) <= set(about), row.payload.__name__

"""`pirack send` says how to mean it only when that is what was missing."""

import pytest

from broker.contract.messages import Command, Phase, Reply
from broker.contract.topics import Scope
from pirack.ask import Question
from pirack.receipt import Receipt
from pirack.send import needs_confirm


def _refused(error: str) -> Receipt:
    receipt = Receipt("1")
    receipt.add(
        Reply(id="1", verb="reboot", scope="stack/3", phase=Phase.REFUSED, error=error)
    )
    return receipt


@pytest.mark.parametrize(
    ("error", "hinted"),
    [
        ("reboot interrupts 4 boards; repeat it with confirm=stack/3", True),
        ("it cannot 'reboot'; it can: ping", False),
    ],
)
def test_the_hint_to_confirm_is_given_only_for_a_missing_confirm(
    *, error: str, hinted: bool
) -> None:
    asked = Question(
        scope=Scope.parse("stack/3"), verb="reboot", command=Command(id="1")
    )
    assert needs_confirm(asked, _refused(error)) is hinted

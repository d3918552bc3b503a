from pathlib import Path
from typing import Any

import pytest

from broker.client.fake import FakeBroker
from broker.contract.messages import (
    Command,
    Event,
    EventKind,
    OnFailure,
    Phase,
    Reply,
    TargetRow,
    decode,
)
from broker.contract.topics import Topics
from broker.contract.verbs import ADMIN_VERBS
from dashboard.live.command_sender import (
    FIRST_ANSWER_S,
    NEXT_ANSWER_S,
    CommandRequest,
    CommandSender,
    NotSentError,
)
from dashboard.live.hub import View
from dashboard.server.users import PageRole, Users, make_user
from tests.dashboard.conftest import Deaf, FakePort


class Sender:
    """A loader on a broker in memory."""

    def __init__(self, path: Path, role: PageRole) -> None:
        self.users = Users(path)
        self.user = make_user("ada", role, "x")
        self.users.put(self.user)
        self.now = 0.0
        self.broker = FakeBroker()
        self.view = View(FakePort(), self.user)
        self.commands = CommandSender(
            Topics("lab"), self.users, clock=lambda: self.now, new_id=lambda: "id-1"
        )
        self.commands.link = self.broker.connect(
            Deaf(), client_id="d", subscriptions=()
        )

    async def open(self) -> None:
        assert self.commands.link is not None
        await self.commands.link.start()
        assert await self.commands.link.wait_connected(1)

    def pushed(self, key: str) -> list[Any]:
        found: list[Any] = self.view._private.get(key, [])  # noqa: SLF001  # what the next message will carry
        return found


@pytest.fixture
async def sender(tmp_path: Path) -> Sender:
    sender = Sender(tmp_path / "users.json", PageRole.ADMIN)
    await sender.open()
    return sender


def reply(**values: object) -> Reply:
    base: dict[str, Any] = {"id": "id-1", "verb": "ping", "scope": "rack"}
    base |= {"phase": Phase.DONE, "ok": True}
    base.update(values)
    return Reply(**base)


async def test_a_command_leaves_by_the_link_of_the_askers_role(sender: Sender) -> None:
    sent: dict[PageRole, FakeBroker] = {}
    for role in (PageRole.OPERATOR, PageRole.ADMIN):
        sent[role] = FakeBroker()
        link = sent[role].connect(Deaf(), client_id="d", subscriptions=())
        await link.start()
        assert await link.wait_connected(1)
        sender.commands.links[role] = link

    sender.commands.send(sender.view, CommandRequest("node/pi-1", "name", ("one",)))

    assert [len(one.published) for one in sent.values()] == [0, 1]
    assert sender.broker.published == []


async def test_a_page_that_the_broker_refuses_for_a_role_says_so(
    sender: Sender,
) -> None:
    sender.commands.links[PageRole.ADMIN] = FakeBroker().connect(
        Deaf(), client_id="d", subscriptions=()
    )
    with pytest.raises(NotSentError, match="does not let the page in as admin"):
        sender.commands.send(sender.view, CommandRequest("rack", "ping"))


async def test_a_command_is_what_mosquitto_pub_could_send(sender: Sender) -> None:
    sender.commands.send(
        sender.view, CommandRequest("stack/3", "reboot", confirm="stack/3")
    )

    (message,) = sender.broker.published
    assert message.topic == "pirack/v1/lab/stack/3/cmd/reboot"
    assert not message.retain
    command = decode(message.payload, Command)
    assert (command.id, command.confirm, command.by) == ("id-1", "stack/3", "ada")


async def test_waves_and_what_a_failure_means_go_with_the_command(
    sender: Sender,
) -> None:
    sender.commands.send(
        sender.view,
        CommandRequest("rack", "reboot", wave=2, on_failure=OnFailure.CONTINUE),
    )

    (message,) = sender.broker.published
    command = decode(message.payload, Command)
    assert (command.wave, command.on_failure) == (2, OnFailure.CONTINUE)


async def test_a_wave_nobody_chose_is_left_to_the_master(sender: Sender) -> None:
    sender.commands.send(sender.view, CommandRequest("rack", "reboot"))

    (message,) = sender.broker.published
    assert b"wave" not in message.payload
    assert decode(message.payload, Command).on_failure is OnFailure.STOP


@pytest.mark.parametrize(
    ("role", "verb", "allowed"),
    [
        (PageRole.VIEWER, "events", True),
        (PageRole.VIEWER, "lock", False),
        (PageRole.OPERATOR, "lock", True),
        (PageRole.OPERATOR, "cancel", True),
        (PageRole.OPERATOR, "update", True),
        (PageRole.VIEWER, "ping", False),
        (PageRole.OPERATOR, "ping", True),
        (PageRole.OPERATOR, "reboot", True),
        (PageRole.OPERATOR, "power", True),
        (PageRole.ADMIN, "power", True),
        *((PageRole.OPERATOR, verb, False) for verb in sorted(ADMIN_VERBS)),
        *((PageRole.ADMIN, verb, True) for verb in sorted(ADMIN_VERBS)),
    ],
)
async def test_the_role_decides_not_what_the_page_hides(
    tmp_path: Path, role: PageRole, verb: str, *, allowed: bool
) -> None:
    sender = Sender(tmp_path / "users.json", role)
    await sender.open()

    if allowed:
        sender.commands.send(sender.view, CommandRequest("rack", verb))
    else:
        with pytest.raises(NotSentError, match=f"{verb} needs the role"):
            sender.commands.send(sender.view, CommandRequest("rack", verb))
    assert len(sender.broker.published) == allowed


async def test_an_open_page_does_not_outlive_its_session(sender: Sender) -> None:
    sender.users.put(make_user("ada", PageRole.ADMIN, "another password"))

    with pytest.raises(NotSentError, match="sign in again"):
        sender.commands.send(sender.view, CommandRequest("rack", "ping"))


@pytest.mark.parametrize(
    ("scope", "verb"),
    [
        ("node/Bad Name", "ping"),
        ("nowhere/3", "ping"),
        ("rack", "Not A Verb"),
        ("rack", "../x"),
        ("sim", "crash"),
    ],
)
async def test_what_breaks_the_contract_is_refused(
    sender: Sender, scope: str, verb: str
) -> None:
    with pytest.raises(NotSentError):
        sender.commands.send(sender.view, CommandRequest(scope, verb))
    assert sender.broker.published == []


async def test_nothing_is_sent_while_the_broker_is_away(tmp_path: Path) -> None:
    sender = Sender(tmp_path / "users.json", PageRole.ADMIN)

    with pytest.raises(NotSentError, match="not connected: nothing was sent"):
        sender.commands.send(sender.view, CommandRequest("rack", "ping"))


async def test_a_receipt_is_brought_to_the_tab_that_asked(sender: Sender) -> None:
    sender.commands.send(sender.view, CommandRequest("rack", "ping"))
    row = TargetRow(node="pi-1", name="s01n1", phase=Phase.DONE, stdout="out")

    sender.commands.answer(reply(phase=Phase.RUNNING, ok=None))
    sender.commands.answer(reply(targets=(row,)))

    first, final = sender.pushed("receipts")
    assert not first["complete"]
    assert final["complete"]
    (told,) = final["rows"]
    assert (told["node"], told["phase"], told["output"]) == ("pi-1", "done", "out")


async def test_lines_of_history_are_brought_to_the_tab_that_asked(
    sender: Sender,
) -> None:
    sender.commands.send(sender.view, CommandRequest("rack", "events"))
    line = Event(seq=4, ts=9.0, kind=EventKind.FAULT, text="hot", node="pi-1")

    sender.commands.answer(reply(verb="events", events=(line,)))

    (receipt,) = sender.pushed("receipts")
    (told,) = receipt["events"]
    assert (told["seq"], told["kind"], told["text"]) == (4, "fault", "hot")


async def test_a_receipt_in_parts_is_complete_with_the_last(sender: Sender) -> None:
    sender.commands.send(sender.view, CommandRequest("rack", "ping"))

    sender.commands.answer(reply(part=2, parts=2))
    sender.commands.answer(reply(part=1, parts=2))

    assert [each["complete"] for each in sender.pushed("receipts")] == [False, True]


async def test_answers_to_other_people_are_ignored(sender: Sender) -> None:
    sender.commands.answer(reply(id="somebody-else"))

    assert sender.pushed("receipts") == []


async def test_silence_is_told(sender: Sender) -> None:
    sender.commands.send(sender.view, CommandRequest("rack", "ping"))
    sender.now = FIRST_ANSWER_S + 0.1

    sender.commands.tick()
    sender.commands.tick()

    (receipt,) = sender.pushed("receipts")
    assert receipt["ok"] is False
    assert "no answer within 5 s: is the master running?" in receipt["error"]


async def test_a_long_command_may_take_its_time(sender: Sender) -> None:
    sender.commands.send(sender.view, CommandRequest("rack", "update"))
    sender.commands.answer(reply(verb="update", phase=Phase.ACCEPTED, ok=None))
    sender.now = 300

    sender.commands.tick()

    assert len(sender.pushed("receipts")) == 1


async def test_a_closed_tab_leaves_nothing_behind(sender: Sender) -> None:
    sender.commands.send(sender.view, CommandRequest("rack", "ping"))
    sender.commands.forget(sender.view)

    sender.commands.answer(reply())

    assert sender.pushed("receipts") == []


async def test_a_command_that_makes_progress_is_never_given_up(sender: Sender) -> None:
    sender.commands.send(sender.view, CommandRequest("rack", "update", confirm="rack"))
    for _ in range(10):
        sender.now += 600.0
        sender.commands.answer(reply(verb="update", phase=Phase.RUNNING, ok=None))
        sender.commands.tick()
    assert not any(receipt["complete"] for receipt in sender.pushed("receipts"))

    sender.now += NEXT_ANSWER_S + 1.0
    sender.commands.tick()
    sender.commands.tick()
    given_up = [each for each in sender.pushed("receipts") if each["complete"]]
    assert [each["phase"] for each in given_up] == ["failed"]


async def test_a_last_word_that_comes_late_is_shown_after_all(sender: Sender) -> None:
    sender.commands.send(sender.view, CommandRequest("rack", "update", confirm="rack"))
    sender.now += FIRST_ANSWER_S + 1.0
    sender.commands.tick()
    sender.commands.answer(reply(verb="update", phase=Phase.DONE))
    last = sender.pushed("receipts")[-1]
    assert (last["phase"], last["complete"]) == ("done", True)

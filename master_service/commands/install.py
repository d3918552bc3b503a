"""``install``: what must not be begun is refused before anything is switched; pure."""

from broker.contract.messages import Phase, TargetRow
from broker.contract.topics import ScopeKind
from master_service.commands import reserve
from master_service.commands.effects import (
    Answer,
    Asked,
    Commit,
    DoInstall,
    Effects,
    Persist,
    RefusedError,
)
from master_service.commands.install_words import Ask, InstallOrder, WordsError, read
from master_service.power.switchboard import Switchboard
from master_service.presence.rack import Rack
from master_service.rack.records import CommandBegun

_SCOPES = frozenset({ScopeKind.RACK, ScopeKind.STACK})


class InstallDoor:
    """Lets install commands in.

    Args:
        rack: The rack.
        power: Knows what is under way with the outlets.
    """

    def __init__(self, rack: Rack, power: Switchboard) -> None:
        self._rack = rack
        self._power = power

    def begin(self, asked: Asked) -> Effects:
        """Check it and pass it on; its id is on disk before it is carried out.

        Raises:
            RefusedError: It is not understood, or must not be.
        """
        if asked.scope.kind not in _SCOPES:
            text = f"install is for the rack or one stack, not for {asked.scope}"
            raise RefusedError(text)
        try:
            order = read(asked.command.args)
        except WordsError as error:
            raise RefusedError(str(error)) from error
        if order.what is Ask.START and not order.dry:
            self._require(asked, order)
        return [
            Persist(CommandBegun(asked.id)),
            Commit(asked.id),
            DoInstall(asked, order),
        ]

    def _require(self, asked: Asked, order: InstallOrder) -> None:
        """Refuse what ``power off`` of the same stacks would refuse."""
        confirm = asked.command.confirm
        if confirm not in {"", str(asked.scope)}:
            text = f"confirm={confirm} is not the scope; write confirm={asked.scope}"
            raise RefusedError(text)
        outlets = self._power.choice.outlets(asked.scope)
        stacks = [fed.row.stack for fed in outlets if fed.row.stack is not None]
        reserve.require(self._rack, asked, self._power.choice.hit(outlets), stacks)
        self._power.require_idle(outlets, force=order.force)


def answer(asked: Asked, phase: Phase, text: str) -> Answer:
    """Return the answer to an install command.

    Args:
        asked: The command.
        phase: Where it stands.
        text: What came of it; of a refusal, why.
    """
    done = phase is Phase.DONE
    row = TargetRow(node="", name="install", phase=phase, verified=done, stdout=text)
    reply = asked.reply(
        phase,
        ok=done if phase.final else None,
        error=text if phase.final and not done else "",
        targets=(row,) if done else (),
        verified=done,
    )
    return Answer(reply, asked.route)

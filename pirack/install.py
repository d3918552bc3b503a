"""``pirack install``: find, place and address every board, and watch it happen."""

import argparse
import asyncio
import contextlib
import enum
import math
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable

from broker.client.link import Connect, Message, Subscription
from broker.common.errors import ConfigError, LinkError, PiRackError, TopicError
from broker.common.service import (
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_NO_BROKER,
    EXIT_OK,
    EXIT_USAGE,
)
from broker.common.tasks import first
from broker.contract.messages import Event, EventKind, InstallState, InstallStep
from broker.contract.topics import Scope, ScopeKind, Topics
from broker.contract.verbs import Verb
from pirack import install_view, option_types, rack_config, terminal
from pirack.install_view import RunLog, RunPicture
from pirack.rack_client import RACK, NoAnswerError, RackClient, question
from pirack.rack_config import FoundRack
from pirack.receipt import Receipt
from pirack.screen import is_redrawable
from pirack.terminal import LineReader
from provisioning.run.state import Leave

HELP = "find every board by its power, and give each its place and address"

EPILOG = """\
what it does
  start     cuts the stacks (boards that run shut down first), switches them on one by
            one, hears which boards ask for an address, pins each to stack, slot, name
            and address, and sees that it answers there. It says first what will happen
            and who loses power, and asks. Known boards keep name and address; a board
            in the place of another takes over both.
  status    prints where the run that is under way stands, else the latest one; with
            --follow, shows it until its end
  confirm   lets a run begin that waits for a word, wherever it was started
  cancel    ends it: restore (the outlets as before; the default), leave (as they are)
            or off. Places that were found stay.
  swap      exchanges the boards of two slots, when their lights (`pirack send s03n1
            identify`) say so
  undo      gives the DHCP server its reservations of before the latest run, or of
            before a swap after it, until the next run; once more takes that back. Names
            and places stay: to take back a swap, swap the two again

examples
  pirack install start --dry-run      what would happen, and what stands against it
  pirack install                      start; it asks before anything is switched
  pirack install start --stack 3      one stack only, after a board was exchanged
  pirack install start --yes          begin without asking, for scripts
  pirack install status --follow      show the run until its end
  pirack install cancel off
  pirack install swap s03n1 s03n2

Ctrl-C stops looking; the run goes on, and over a restart of the master, too.

It publishes pirack/v1/<rack>/rack/cmd/install, and reads …/install/state,
…/install/stack/+ and …/event, as
  mosquitto_pub -t pirack/v1/lab/rack/cmd/install -m 'start dry'

exit codes
  0 done   1 problems, failed, refused, not begun, or stopped looking   2 wrong usage
  3 configuration   4 the broker cannot be reached
"""

SLOTS = 2
FIRST_S = 2.0
"""At most for what is retained, and for the first word of a run that was begun."""
LAST_S = 0.5
"""For the last lines of history, after the run is over."""
GOES_ON = (
    "the run goes on without this terminal. To see it: pirack install status "
    "--follow; to end it: pirack install cancel"
)


class InstallSubcommand(enum.StrEnum):
    """What a person wants."""

    START = "start"
    STATUS = "status"
    CONFIRM = "confirm"
    CANCEL = "cancel"
    SWAP = "swap"
    UNDO = "undo"


class UsageError(PiRackError):
    """The options contradict each other; the text says what would be right."""


class NotDoneError(PiRackError):
    """The master refused, or nothing waits for what was asked; says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what ``pirack install`` takes."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=[action.value for action in InstallSubcommand],
        default=InstallSubcommand.START.value,
        help="what to do (default: start)",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="word",
        help="cancel: restore, leave or off; swap: the names of two slots",
    )
    parser.add_argument(
        "--stack",
        type=option_types.stack,
        metavar="N",
        help="start: scan this stack only",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="start: only say what would happen"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="start: begin over problems that would stop it, and cut boards that do "
        "not shut down",
    )
    parser.add_argument(
        "--yes", action="store_true", help="do not ask before it begins"
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="do not follow the run; print and end (status does that anyway)",
    )
    parser.add_argument(
        "--follow", action="store_true", help="status: show the run until its end"
    )
    parser.add_argument(
        "--plain", action="store_true", help="no colour, no cursor movement: lines only"
    )
    rack_config.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Does what is wanted and returns the exit code."""
    try:
        check_usage(args, terminal=sys.stdin.isatty())
        return asyncio.run(_run(rack_config.find_rack(args, Verb.INSTALL), args))
    except UsageError as error:
        code, text = EXIT_USAGE, str(error)
    except (ConfigError, TopicError) as error:
        code, text = EXIT_CONFIG, str(error)
    except LinkError as error:
        code, text = EXIT_NO_BROKER, str(error)
    except PiRackError as error:
        code, text = EXIT_FAILED, str(error)
    except KeyboardInterrupt:  # before there was a loop to hear it
        code, text = EXIT_FAILED, GOES_ON
    terminal.complain(f"pirack install: {text}\n")
    return code


def check_usage(args: argparse.Namespace, *, terminal: bool) -> None:
    """Checks that the options make sense together.

    Args:
        args: From the command line.
        terminal: Whether somebody is there to be asked.

    Raises:
        UsageError: They do not.
    """
    starts = args.action == InstallSubcommand.START
    for option in ("stack", "dry_run", "force"):
        if not starts and getattr(args, option):
            text = f"--{option.replace('_', '-')} goes with start, not {args.action}"
            raise UsageError(text)
    _check_words(args.action, args.words)
    if starts and not (args.dry_run or args.yes or terminal):
        text = (
            "there is no terminal to ask on: --yes begins without asking, and "
            "`pirack install start --dry-run` says what it would do"
        )
        raise UsageError(text)


def _check_words(action: str, words: list[str]) -> None:
    match action:
        case InstallSubcommand.CANCEL if len(words) <= 1 and set(words) <= set(Leave):
            return
        case InstallSubcommand.CANCEL:
            text = f"cancel takes one of {', '.join(Leave)}, not {' '.join(words)!r}"
        case InstallSubcommand.SWAP if len(words) != SLOTS:
            text = "swap takes the names of two slots: pirack install swap s03n1 s03n2"
        case InstallSubcommand.SWAP if len(set(words)) != SLOTS:
            text = f"swap takes the names of two slots, not {words[0]} twice"
        case InstallSubcommand.SWAP:
            return
        case _ if not words:
            return
        case _:
            text = f"{action} takes no words, not {' '.join(words)!r}"
    raise UsageError(text)


async def _run(place: FoundRack, args: argparse.Namespace) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    session = InstallSession(
        await rack_config.connect(place),
        place.topics,
        args,
        read_line=LineReader().line,
        screen=RunPicture if is_redrawable() and not args.plain else RunLog,
        ended=ended,
    )
    return await session.run()


class InstallSession:
    """One ``pirack install``: asked, shown, agreed to, followed.

    Args:
        connect: Makes links.
        topics: Of the rack.
        args: From the command line.
        read_line: Returns what a person types, line by line; None for nothing more.
        screen: Makes what shows the run.
        ended: Set when somebody wants to stop looking.
    """

    def __init__(
        self,
        connect: Connect,
        topics: Topics,
        args: argparse.Namespace,
        *,
        read_line: Callable[[], Coroutine[None, None, str | None]],
        screen: type[RunLog | RunPicture],
        ended: asyncio.Event,
    ) -> None:
        self._args = args
        self._read_line = read_line
        self._screen = screen
        self._ended = ended
        self._show_event: Callable[[Event], None] = lambda _event: None
        self._scope = RACK
        if args.stack is not None:
            self._scope = Scope(ScopeKind.STACK, str(args.stack))
        self._client = RackClient(
            connect,
            topics,
            name="install",
            hears=[
                Subscription(topics.install_state, qos=1),
                Subscription(topics.install_stack("+"), qos=1),
                Subscription(topics.event, qos=1),
            ],
            replies={topics.reply(one, Verb.INSTALL) for one in (RACK, self._scope)},
            on_message=self._on_message,
        )

    async def run(self) -> int:
        """Does what is wanted and returns the exit code.

        Raises:
            LinkError: The broker cannot be reached.
            NoAnswerError: The master is offline, or nothing answers.
            NotDoneError: The master refused.
        """
        ways = {
            InstallSubcommand.START: self._start,
            InstallSubcommand.STATUS: self._status,
            InstallSubcommand.CONFIRM: self._confirm,
            InstallSubcommand.CANCEL: self._cancel,
            InstallSubcommand.SWAP: self._change,
            InstallSubcommand.UNDO: self._change,
        }
        async with self._client as client:
            picture = client.picture
            await client.wait_for(
                lambda: picture.install is not None and picture.master != "", FIRST_S
            )
            return await ways[InstallSubcommand(self._args.action)]()

    def _on_message(self, _message: Message, value: object) -> None:
        if isinstance(value, Event) and value.kind is EventKind.INSTALL:
            self._show_event(value)

    # --- what a person can want -------------------------------------------------------

    async def _start(self) -> int:
        known, args = self._client.picture.install, self._args
        before = known.run if known else ""
        words = ["dry"] * args.dry_run + ["force"] * args.force
        confirm = str(self._scope) if args.yes else ""  # agreed to already
        await self._ask(
            InstallSubcommand.START, *words, scope=self._scope, confirm=confirm
        )
        if not await self._until(lambda state: state.run not in {"", before}):
            topic = self._client.topics.install_state
            text = f"the master began, and says nothing on {topic}"
            raise NoAnswerError(text)
        await self._show(lambda: self._state.step is InstallStep.PREFLIGHT)
        if self._state.step is InstallStep.PREFLIGHT and not args.yes:
            return await self._refuse()
        return await self._agreed_and_followed()

    async def _confirm(self) -> int:
        state = self._state
        if state.step is not InstallStep.CONFIRM:
            text = f"no run waits for a word; {install_view.title(state)}"
            raise NotDoneError(text)
        _say(install_view.forecast(state))
        return await self._begun(state.run)

    async def _status(self) -> int:
        state = self._state
        if install_view.is_live(state) and self._args.follow:
            return await self._follow(state.run)
        return self._report(state)

    async def _cancel(self) -> int:
        words = self._args.words or [Leave.RESTORE.value]
        receipt = await self._ask(InstallSubcommand.CANCEL, *words)
        state = self._client.picture.install
        if state is None or self._args.once:
            _say(_told(receipt))
            return EXIT_OK
        await self._follow(state.run)
        return EXIT_FAILED if self._ended.is_set() else EXIT_OK

    async def _change(self) -> int:
        _say(_told(await self._ask(self._args.action, *self._args.words)))
        return EXIT_OK

    # --- the steps of these -----------------------------------------------------------

    async def _agreed_and_followed(self) -> int:
        """Shows what will happen, has it agreed to, and follows it."""
        state = self._state
        if state.dry or install_view.is_live(state):
            _say(install_view.forecast(state))
        if state.step is InstallStep.CONFIRM:
            agreed = True if self._args.yes else await self._agree()
            if agreed is False:
                return await self._refuse()
            if agreed:
                return await self._begun(state.run)
        if not install_view.is_live(state):  # it was shown to its end
            return self._report(state)
        return await self._followed(state.run)

    async def _begun(self, run: str) -> int:
        """Lets a run begin that waits for a person, and follows it."""
        await self._ask(InstallSubcommand.CONFIRM, confirm=str(RACK))
        await self._until(_has_begun)
        return await self._followed(run)

    async def _followed(self, run: str) -> int:
        """Follows a run, if that is wanted."""
        if self._args.once and install_view.is_live(self._state):
            _say([f"{run} runs; to see it: pirack install status --follow"])
            return EXIT_OK
        return await self._follow(run)

    async def _agree(self) -> bool | None:
        """Asks; returns None if the run went on meanwhile without this terminal."""
        sys.stdout.write("Begin? [y/N] ")
        sys.stdout.flush()
        moved = self._until(_has_begun, math.inf)
        line, elsewhere, _ = await first(self._read_line(), moved, self._ended.wait())
        if elsewhere:
            _say(["", f"answered elsewhere: {install_view.title(self._state)}"])
            return None
        answer = (line or "").strip().lower()
        if not answer:
            _say([""])
        return answer in {"y", "yes"}

    async def _refuse(self) -> int:
        """Ends a run that was not agreed to: it has touched nothing yet."""
        await self._ask(InstallSubcommand.CANCEL, Leave.LEAVE)
        _say(["Not begun: nothing was switched."])
        return EXIT_FAILED

    async def _follow(self, run: str) -> int:
        """Shows a run to its end, or until somebody has seen enough."""
        await self._show(lambda: self._is_mine(run))
        state = self._state
        if self._is_mine(run):
            raise NotDoneError(GOES_ON)
        if state.run != run:
            now = install_view.title(state)
            text = f"{run} is not the rack's latest run any more; {now}"
            raise NotDoneError(text)
        return self._report(state)

    async def _show(self, going: Callable[[], bool]) -> None:
        """Shows a run as long as something holds, or until somebody has seen enough."""
        client = self._client
        with self._screen() as screen:
            self._show_event = screen.event
            screen.draw(client)
            while going() and not self._ended.is_set():
                seen = client.changes
                news = client.wait_for(lambda: client.changes > seen)  # noqa: B023  # awaited in this turn
                await first(news, self._ended.wait())
                screen.draw(client)
            if not install_view.is_live(self._state):
                # What the history tells of the end comes a little after the state.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_S):
                        await self._ended.wait()
                screen.draw(client)

    def _is_mine(self, run: str) -> bool:
        return self._state.run == run and install_view.is_live(self._state)

    @property
    def _state(self) -> InstallState:
        """The run's state.

        Raises:
            NoAnswerError: The master never said any.
        """
        if self._client.picture.install is None:
            text = (
                "the rack says nothing of install runs: is `pirack master` running, "
                "and --rack right? See `pirack doctor`"
            )
            raise NoAnswerError(text)
        return self._client.picture.install

    async def _until(
        self, true: Callable[[InstallState], bool], timeout_s: float = FIRST_S
    ) -> bool:
        """Waits until the run's state is as wanted; returns whether it is."""
        picture = self._client.picture
        return await self._client.wait_for(
            lambda: picture.install is not None and true(picture.install), timeout_s
        )

    async def _ask(
        self, action: str, *words: str, scope: Scope = RACK, confirm: str = ""
    ) -> Receipt:
        """Asks the master.

        Raises:
            NoAnswerError: The master is offline, or nothing answers.
            NotDoneError: It refused.
        """
        asked = question(scope, Verb.INSTALL, action, *words, confirm=confirm)
        receipt = await self._client.ask(asked)
        if not receipt.ok:
            raise NotDoneError(receipt.why)
        return receipt

    def _report(self, state: InstallState) -> int:
        """Prints where a run stands, or what came of it; returns the exit code."""
        if state.step is InstallStep.CONFIRM:  # who comes now has to read it, too
            _say(install_view.forecast(state))
        _say(install_view.boards(self._client.picture.scanned))
        _say(install_view.summary(state))
        if missing := install_view.away(self._client):
            _say([f"({missing})"])
        return install_view.exit_code(state)


def _has_begun(state: InstallState) -> bool:
    return state.step is not InstallStep.CONFIRM


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        terminal.say(line)


def _told(receipt: Receipt) -> list[str]:
    """Returns what the master did, in its own words."""
    told = [line for row in receipt.rows for line in row.stdout.splitlines() if line]
    return told or [receipt.summary()]

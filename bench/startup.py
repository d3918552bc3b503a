"""How long a prepared machine takes from ``pirack up`` to a page that shows the rack.

The floor is what no arrangement of ours can avoid: importing NiceGUI and starting a
Mosquitto, measured in the same run.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Page

from bench import chromium, services
from bench.figures import Figure, at_most
from bench.sandbox import BenchError, Sandbox, free_port, stop
from bench.servers import sign_in
from pirack import runfile
from pirack.runfile import RunFile

CASE = "start-up"
STACKS = 12
BOARDS = 4
NODES = STACKS * BOARDS + 1
ROUNDS = 3
ONLINE_S = 90.0
_SHOWS_ALL = f"""
() => document.querySelectorAll(
  '.slot:is([data-state=ok], [data-state=warn], [data-state=crit])'
).length >= {NODES}
"""


def measure() -> list[Figure]:
    """Starts the rack once to prepare it, then again and again."""
    with Sandbox() as sandbox, chromium.browser() as browser:
        page = browser.new_page(viewport=chromium.WINDOW)
        ports = (free_port(), free_port())
        first_s = _start(sandbox, page, ports)
        took_s = [_start(sandbox, page, ports) for _ in range(ROUNDS)]
        floor_s = _timed(_import_nicegui) + _timed(sandbox.mosquitto)
    again = Figure(
        case=CASE,
        what=f"again, until the page shows {NODES} online",
        ours=statistics.median(took_s),
        unit="s",
        beside={"import nicegui + Mosquitto": floor_s},
        target=at_most(8),
        note=(
            f"pirack up, median of {ROUNDS}, slowest {max(took_s):.1f} s; simulated "
            "boards take about 3 s to boot, on purpose"
        ),
    )
    first = Figure(
        case=CASE,
        what="the first time, with secrets to make",
        ours=first_s,
        unit="s",
        beside={"import nicegui + Mosquitto": floor_s},
    )
    return [again, first]


def _start(sandbox: Sandbox, page: Page, ports: tuple[int, int]) -> float:
    """Starts the rack, waits until the page shows all of it, stops it."""
    data = sandbox.folder / "data"
    began = time.monotonic()
    child = sandbox.python(
        "up",
        *("-c", services.PIRACK, "up", "--data", data),
        *("--simulate", f"{STACKS}x{BOARDS}"),
        *("--mqtt-port", str(ports[0]), "--http-port", str(ports[1])),
    )
    try:
        run = _run_file(sandbox, child, data)
        sandbox.wait(child, "up", lambda: _opens(page, run), ONLINE_S)
        page.wait_for_function(_SHOWS_ALL, timeout=ONLINE_S * 1000, polling=50)
        return time.monotonic() - began
    except BrowserError as error:
        text = f"the page did not show {NODES} online: {error}; {sandbox.log('up')}"
        raise BenchError(text) from error
    finally:
        stop(child)


def _run_file(
    sandbox: Sandbox, child: "subprocess.Popen[bytes]", data: Path
) -> RunFile:
    sandbox.wait(child, "up", lambda: runfile.read(data), ONLINE_S)
    run = runfile.read(data)
    if run is None:
        text = f"{data}: run.json is gone again"
        raise BenchError(text)
    return run


def _opens(page: Page, run: RunFile) -> bool:
    """Try to sign in; the page may not listen yet."""
    try:
        sign_in(page, run.url, run.login.username, run.login.password)
    except BrowserError:
        return False
    return True


def _timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def _import_nicegui() -> None:
    subprocess.run([sys.executable, "-c", "import nicegui"], check=True, timeout=60)

"""Finding 48 boards: how soon each is heard, and what an install adds to boots."""

import os
import random
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, at_most, percentile
from bench.sandbox import ROOT, BenchError
from provisioning.common.errors import BackendError
from provisioning.run.state import InstallRun

CASE = "provisioning"
STACKS = 12
SLOTS = 4
BOOT_S = (0.2, 0.8)
SIGHTING_S = 0.3
OVERHEAD_S = 2.0


class Dated(list[str]):
    """Lines of history that know when they came."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: dict[str, float] = {}

    def append(self, line: str) -> None:
        """Keeps a line; one that says a board asked is dated."""
        super().append(line)
        words = line.split()
        if "asked after" in line:
            self.heard[words[2]] = time.time()


def measure() -> list[Figure]:
    """Installs a rack of namespaces: dnsmasq, udhcpc and real packets."""
    if os.geteuid() != 0:
        text = "network namespaces need root"
        raise BenchError(text)
    # The lab is the tests'; it is no part of what is installed.
    sys.path.insert(0, str(ROOT))
    from tests.system.provisioning_netns.lab import Lab  # noqa: PLC0415  # see above
    from tests.system.provisioning_netns.rack import Rack  # noqa: PLC0415  # see above

    numbers = random.Random(1)  # noqa: S311  # boot times, no secret
    with tempfile.TemporaryDirectory(prefix="pirack-bench-") as folder:
        lab = Lab(Path(folder))
        try:
            lab.open()
            rack = Rack(lab, STACKS, SLOTS, lambda: numbers.uniform(*BOOT_S))
            rack.events = dated = Dated()
            began = time.monotonic()
            run = rack.install()
            took_s = time.monotonic() - began
            late = [dated.heard[pi.mac] - pi.starts[0] for pi in rack.pis.values()]
            boots = [
                max(rack.pis[stack, slot].boot_s for slot in range(1, SLOTS + 1))
                for stack in range(1, STACKS + 1)
            ]
        except (BackendError, FileNotFoundError) as error:
            raise BenchError(str(error)) from error
        finally:
            lab.close()
    return _figures(run, late, (took_s - sum(boots)) / STACKS)


def _figures(run: InstallRun, late: list[float], overhead_s: float) -> list[Figure]:
    return [
        Figure(
            case=CASE,
            what="client starts to sighting published, p95 of 48",
            ours=percentile(late, 95),
            unit="s",
            beside={"median": percentile(late, 50), "worst": max(late)},
            target=at_most(SIGHTING_S),
        ),
        Figure(
            case=CASE,
            what="install of 12 x 4 beyond the boots, per stack",
            ours=overhead_s,
            unit="s",
            target=at_most(OVERHEAD_S),
            note=f"{len(run.verified)} of {run.boards} verified, step {run.step}; "
            "boots of 0.2 to 0.8 s",
        ),
    ]

"""Where no root of another Debian can be made, that is said; in CI it is a failure."""

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]

SCRIPT = Path(__file__).parents[2] / "scripts" / "debian-root"


@pytest.mark.parametrize(
    ("options", "ci", "code"),
    [(["--optional"], "", 0), (["--optional"], "true", 1), ([], "", 1)],
)
def test_a_user_without_root_is_told_what_is_skipped_and_why(
    options: list[str], ci: str, code: int
) -> None:
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    done = subprocess.run(
        [*nobody, "sh", "-s", "--", *options, "trixie", "make", "test-fast"],
        input=SCRIPT.read_text().replace('"$(dirname "$0")/.."', "/"),
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == code
    assert "only root can make one" in done.stderr
    assert ("SKIPPED on Debian trixie: make test-fast" in done.stderr) == (code == 0)

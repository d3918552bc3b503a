"""What the tests of several sub-commands share."""

import pytest


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """`pirack install` waits for no word after a run's end: the script has told all."""
    monkeypatch.setattr("pirack.install.conduct.LAST_S", 0)

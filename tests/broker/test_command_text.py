"""Plain words of a command that cannot be are told with what can."""

import pytest

from broker.common.errors import PayloadError
from broker.contract.command_text import read


def test_a_word_with_a_value_that_it_cannot_have_is_told_with_one_that_it_can() -> None:
    with pytest.raises(PayloadError, match=r"^wave=some cannot be: .*write.* wave=4"):
        read(["wave=some"], id="c")


def test_an_argument_that_is_too_long_is_counted_and_not_called_a_wave() -> None:
    with pytest.raises(PayloadError, match=r"^args\[1\] cannot be: .*256$"):
        read(["short", "x" * 257], id="c")

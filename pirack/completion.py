"""``pirack completion``: tab completion for bash, zsh and tcsh."""

import argparse
import sys

from broker.common.service import EXIT_CONFIG, EXIT_OK

HELP = "print a completion script for your shell"

EPILOG = """\
examples
  pirack completion bash > ~/.local/share/bash-completion/completions/pirack
  pirack completion zsh > ~/.zfunc/_pirack          (with fpath+=~/.zfunc in ~/.zshrc)
  pirack completion tcsh >> ~/.tcshrc
"""

SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the name of the shell."""
    parser.add_argument("shell", choices=SHELLS, help="whose completion to print")


def run(args: argparse.Namespace) -> int:
    """Prints the script and returns the exit code."""
    try:
        import shtab  # noqa: PLC0415  # an extra: the rest works without it
    except ModuleNotFoundError:
        from broker.common.extras import how_to_add  # noqa: PLC0415  # heavy, seldom needed

        sys.stderr.write(
            "pirack completion: shtab is not installed; it comes with the extra "
            f"'rack': {how_to_add('rack')}\n"
        )
        return EXIT_CONFIG
    from pirack.cli import parser  # noqa: PLC0415  # the two know each other

    print(shtab.complete(parser(), shell=args.shell))
    return EXIT_OK

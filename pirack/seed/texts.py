"""What cloud-init and Raspberry Pi OS 12 read at a card's first boot; pure.

None of it holds a secret: that is in the archive beside them.
"""

import json
import re
import shlex

import msgspec

from broker.common.errors import ConfigError

USER_DATA, META_DATA, FIRSTRUN = "user-data", "meta-data", "firstrun.sh"
OURS = "Written by `pirack seed`"
"""Stands in the first lines of each: what has it may be replaced."""
HOOK = (
    "systemd.run=/boot/firmware/firstrun.sh",
    "systemd.run_success_action=reboot",
    "systemd.unit=kernel-command-line.target",
)
"""Words of the kernel's command line that run ``firstrun.sh`` (systemd-run-generator),
as Raspberry Pi Imager writes them for Bookworm."""

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_KEY = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( [ -~]*)?")


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a card is told.

    Args:
        user: Account by which the master comes in.
        key: The master's line for ``authorized_keys``.
        instance: Names this preparation: another one makes cloud-init run again.
        script: ``first-boot``.

    Raises:
        ConfigError: User or key is none.
    """

    user: str
    key: str
    instance: str
    script: str

    def __post_init__(self) -> None:
        """Refuses what could mean something else to a shell or to sudo."""
        if _USER.fullmatch(self.user) is None or self.user == "root":
            text = f"user {self.user[:64]!r} is no name of an account, as pi is"
            raise ConfigError(text)
        if _KEY.fullmatch(self.key) is None:
            text = (
                f"{self.key[:40]!r}… is no public SSH key; it looks like `ssh-ed25519 "
                "AAAA… name`, in one line, and stands in a file that ends in .pub"
            )
            raise ConfigError(text)


def user_data(card: Card) -> str:
    """Returns ``user-data`` of cloud-init (Raspberry Pi OS 13, Ubuntu)."""
    script = "".join(
        f"      {line}\n" if line else "\n" for line in card.script.splitlines()
    )
    return f"""\
#cloud-config
# {OURS}. No secret is in here.

# A board is known by its serial, and the rack gives it its name.
preserve_hostname: true
ssh_pwauth: false

write_files:
  - path: /var/lib/pirack-first-boot
    owner: root:root
    permissions: '0700'
    content: |
{script}
runcmd:
  - [sh, /var/lib/pirack-first-boot, {json.dumps(card.user)}, {json.dumps(card.key)}]

# A new machine-id is made at the start; only if all went well.
power_state:
  mode: reboot
  delay: now
  message: the first boot is over
  timeout: 60
  condition: test -e /run/pirack-first-boot
"""


def meta_data(card: Card) -> str:
    """Returns ``meta-data`` of cloud-init."""
    return f"""\
# {OURS}. Another instance-id makes cloud-init run once more.
dsmode: local
instance-id: {card.instance}
"""


def firstrun(card: Card) -> str:
    """Returns ``firstrun.sh`` of Raspberry Pi OS 12 (Bookworm).

    Whatever becomes of it, the card boots as usual afterwards.
    """
    dotted = (word.replace(".", r"\.") for word in HOOK)
    removed = "; ".join(f"s| {word}||" for word in dotted)
    return f"""\
#!/bin/sh
# {OURS}. No secret is in here.
# What the kernel's command line runs at the first boot; what it said is beside it then.
boot=/boot/firmware
cat >/run/first-boot.sh <<'END_OF_FIRST_BOOT'
{card.script}END_OF_FIRST_BOOT
sh /run/first-boot.sh {shlex.quote(card.user)} {shlex.quote(card.key)} \\
    >"$boot/pirack-seed.log" 2>&1 ||
    echo "first boot failed: exit code $?" >>"$boot/pirack-seed.log"
rm -f "$boot/firstrun.sh"
sed -i '{removed}' "$boot/cmdline.txt"
exit 0
"""


def hooked(cmdline: str) -> str:
    """Returns the kernel's command line with what runs ``firstrun.sh``.

    Args:
        cmdline: Of the card: one line.

    Raises:
        ConfigError: It runs something else at the first boot.
    """
    words = cmdline.split()
    others = [word for word in words if word.startswith("systemd.run=")]
    if HOOK[0] in others:
        return cmdline
    if others:
        text = (
            f"cmdline.txt runs something of its own at the first boot ({others[0]}), "
            "as Raspberry Pi Imager writes it: start the card once before, or write "
            "its image without customisation"
        )
        raise ConfigError(text)
    return " ".join((*words, *HOOK)) + "\n"

"""The prose of ``docs/protocol.md``."""

INTRODUCTION = """\
# The protocol

<!-- Written by `python -m broker.protocol_doc` from the code; change it there. -->

Everything PiRack's parts say to each other is MQTT on the topics below, and anything
that speaks MQTT can take part: the dashboard and `pirack send` have no other way in.

`P` stands for `pirack/v1/<rack>`; the examples use `{prefix}`. Names (`<rack>`,
`<id>`, tags, verbs) match `[a-z0-9-]{{1,32}}`. A node's id is `pi-` and the last eight
hex digits of the board's serial, else of its wired MAC; its display name is separate,
and commands accept either. `<scope>` is `node/<id or name>`, `stack/<n>`, `tag/<tag>`,
`rack`, or `sim` for the simulator's faults.

Payloads are UTF-8 JSON of at most {limit} KiB, plain text for `status`. Unknown fields
are ignored; a missing required field or a wrong type makes a message that is counted,
logged once and dropped. MQTT 5 is used where the broker speaks it; 3.1.1 loses no
function.
"""

RULES = """\
1. One topic, one writer. State is retained; orders, commands, results and replies
   never are.
2. A stored command or order is refused, answered and cleared, never obeyed.
3. Clean sessions: nothing waits for the absent. The master answers at once for a
   target that is offline (`not-delivered`). A command older than its `ttl_s`, counted
   from receipt, is answered `expired`; what no target can do, `refused`, without an
   `accepted` before. An id runs once. While a program runs, its node repeats `running`,
   once a minute or more often: only one that says nothing any more has failed.
4. Every connection has a new `session`. A node that sees its own status say `offline`
   while it is connected publishes `online` again: a late will had overtaken it. Before
   a clean stop it says `offline` itself, with the reason in its details.
5. The broker is a cache. Nodes publish details and status again when they connect,
   when the master comes `online`, and on Home Assistant's birth message.
6. Offline is a hint; the master's verdict in `node/<id>/state` joins it with
   heartbeats, pings and the outlet.
7. A response topic (MQTT 5) is honoured only in the form `P/inbox/<client>`.
8. A command on many nodes goes in waves: `wave` nodes at a time (`reboot` and `update`
   by fours unless told otherwise), `pause_s` between, and `on_failure=stop` or
   `continue`. Who is offline is answered at once and stops nothing; a target that
   never began is answered `not-delivered` with the reason. The first reply to a
   command that interrupts names every board it hits.
9. `cancel` at a scope stops the commands addressed to it, at `rack` all of them, with
   an id that one: what has not begun never does, the rest is told as going on.
10. `install start` is answered `done` when the run has begun; without `confirm` it
    waits at step `confirm` for `install confirm`. Until it is over, on
    `P/install/state`, whatever interrupts its stacks is refused and names the run.
11. The schema only grows. `v1` changes when a reader would break.
"""

EXAMPLE_COMMANDS = """\
Add `-h`, `-p`, `-u` and `-P` of your broker; `pirack up` prints lines that work as they
are.

```sh
# who is there, and every vital sign as it comes
mosquitto_sub -v -t '{prefix}/node/+/status'
mosquitto_sub -v -t '{prefix}/node/+/heartbeat'

# ask a node, a stack, the rack; -n is an empty payload
mosquitto_sub -v -t '{prefix}/+/reply/#' -t '{prefix}/+/+/reply/#' &
mosquitto_pub -q 1 -t {prefix}/node/{name}/cmd/ping -n
mosquitto_pub -q 1 -t {prefix}/node/{name}/cmd/reboot -n
mosquitto_pub -q 1 -t {prefix}/rack/cmd/temperature -n

# plain words are arguments; JSON adds an id, a time to live, a confirmation
mosquitto_pub -q 1 -t {prefix}/node/{name}/cmd/name -m attic-1
mosquitto_pub -q 1 -t {prefix}/stack/3/cmd/power \\
  -m '{{"id": "c0ffee01", "args": ["cycle"], "ttl_s": 10, "confirm": "stack/3"}}'

# many nodes: a few at a time; and stop what has not begun
mosquitto_pub -q 1 -t {prefix}/rack/cmd/reboot -m 'wave=4 pause_s=5 confirm=rack'
mosquitto_pub -q 1 -t {prefix}/rack/cmd/cancel -n

# what happened, and a stack for oneself while one works on it
mosquitto_pub -q 1 -t {prefix}/node/{name}/cmd/events -m 'since=2h kind=power,verdict'
mosquitto_pub -q 1 -t {prefix}/stack/3/cmd/lock -m '2h new fan by=ann'

# find, place and address every board; one word for what it would do, one to agree
mosquitto_sub -v -t '{prefix}/install/#' &
mosquitto_pub -q 1 -t {prefix}/rack/cmd/install -m 'start dry'
mosquitto_pub -q 1 -t {prefix}/rack/cmd/install -m start
mosquitto_pub -q 1 -t {prefix}/rack/cmd/install -m confirm

# MQTT 5: ask and wait for the answer in one's own inbox
mosquitto_rr -V 5 -q 1 -t {prefix}/node/{name}/cmd/ping -e {prefix}/inbox/me -n
```
"""

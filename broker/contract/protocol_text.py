"""The prose of ``docs/protocol.md``."""

INTRODUCTION = """\
# The protocol

<!-- Written by `python -m broker.contract.protocol_doc`; change the code. -->

Every topic and payload, for whoever reads or commands a rack by MQTT. The page and
`pirack send` have no other way in: what they can do, any MQTT client with the same
rights can do.

`P` stands for `pirack/v1/<rack>`; the examples use `{prefix}`. Names (`<rack>`,
`<id>`, tags, verbs) match `[a-z0-9-]{{1,32}}`. A node's id is `pi-` and the last eight
hex digits of the board's serial, else of its wired MAC address; its display name is
separate, and commands accept either. `<scope>` is `node/<id or name>`, `stack/<n>`,
`tag/<tag>`, `rack`, or `sim` for the simulator's faults. Users and rights:
[integrations.md](integrations.md).

Payloads are UTF-8 JSON of at most {limit} KiB; `status` is plain text. Unknown fields
are ignored. One value that cannot be read (a wrong type, out of range, not a number, a
word of a newer release) costs that value: it reads as missing, an unknown word of the
master as `other`, and is counted and logged once. A message that lacks a required field
is counted, logged once and dropped; a command or an order is read as a whole or not at
all. Times lie in the years 1970 to 9999, integers are at most 2^53. MQTT 5 is used
where the broker speaks it; 3.1.1 does all but the response topic.
"""

RULES = """\
1. One topic, one writer. State is retained; orders, commands, results and replies
   never are.
2. A stored command or order is refused, answered and cleared, never obeyed.
3. Clean sessions: nothing waits for the absent. The master answers at once for a
   target that is offline (`not-delivered`). A command older than its `ttl_s`, counted
   from receipt, is answered `expired`; what no target can do, `refused`, without an
   `accepted` before. An id runs once; a command without one that its sender delivers
   twice (QoS 1 after a broken connection) runs twice, so give an id to what must not.
   Every command is answered with its id, also one that is refused as stored or whose
   topic has no legal scope: on that topic with `reply` for `cmd`. While a program
   runs, its node repeats `running` at least once a minute; only one that falls silent
   has failed.
4. Every connection has a new `session`. A node that sees its own status say `offline`
   while it is connected publishes `online` again: that was the late will of an earlier
   connection. Before a clean stop it says `offline` itself, with the reason in its
   details.
5. The broker is a cache. Nodes publish details and status again when they connect,
   when the master comes `online`, and on Home Assistant's birth message.
6. Offline is a hint; the master's verdict in `node/<id>/state` joins it with
   heartbeats, pings and the outlet.
7. A response topic (MQTT 5) is honoured only in the form `P/inbox/<client>`.
8. A command on many nodes goes in waves: `wave` nodes at a time (`reboot` and `update`
   four at a time unless told otherwise, others all at once), `pause_s` between, and
   `on_failure=stop` or `continue`. Who is offline is answered at once and stops
   nothing; a target that never began is answered `not-delivered` with the reason. The
   first reply to a command that interrupts names every board it hits.
9. `cancel` stops the commands that were addressed to its scope, at `rack` all of them,
   with an id only that one: what has not begun never does, what has begun goes on and
   is named.
10. `install start` is answered `done` when the run has begun; without `confirm` it
    waits at step `confirm` for `install confirm`. Its progress is on `P/install/state`.
    Until it is over, whatever would interrupt its stacks is refused with the run's id.
11. The schema only grows. `v1` changes when a reader would break.
"""

EXAMPLE_COMMANDS = """\
Add `-h`, `-p`, `-u` and `-P` of your broker; or, with `pirack up`, run them after
`export XDG_CONFIG_HOME=$PWD/.pirack/client`, where the client tools find all four.

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
mosquitto_pub -q 1 -t {prefix}/node/s03n1/cmd/name -m attic-1
mosquitto_pub -q 1 -t {prefix}/stack/3/cmd/power \\
  -m '{{"id": "c0ffee01", "args": ["cycle"], "ttl_s": 10, "confirm": "stack/3"}}'

# many nodes: a few at a time; and stop what has not begun
mosquitto_pub -q 1 -t {prefix}/rack/cmd/reboot -m 'wave=4 pause_s=5 confirm=rack'
mosquitto_pub -q 1 -t {prefix}/rack/cmd/cancel -n

# what happened, and a stack for oneself while one works on it
mosquitto_pub -q 1 -t {prefix}/node/{name}/cmd/events -m 'since=2h kind=power,verdict'
mosquitto_pub -q 1 -t {prefix}/stack/3/cmd/lock -m '2h new fan by=ann'
mosquitto_pub -q 1 -t {prefix}/stack/3/cmd/unlock -m by=ann

# find, place and address every board: say what would happen; begin; agree to it
mosquitto_sub -v -t '{prefix}/install/#' &
mosquitto_pub -q 1 -t {prefix}/rack/cmd/install -m 'start dry'
mosquitto_pub -q 1 -t {prefix}/rack/cmd/install -m start
mosquitto_pub -q 1 -t {prefix}/rack/cmd/install -m confirm

# MQTT 5: ask and wait for the answer in one's own inbox
mosquitto_rr -V 5 -q 1 -t {prefix}/node/{name}/cmd/ping -e {prefix}/inbox/me -n
```

## What follows a verb

Words in plain text, or `args` in JSON. Without a scope below, a verb takes any.

- `ping`, `refresh`, `identify`, `reboot`, `shutdown`, `update`, `restart-agent`:
  nothing. A `ping` to a node whose agent is away asks the board itself, by ICMP;
  `refresh` has a node publish its details again; `identify` blinks its ACT light.
- an alias, or `run` and an alias: its arguments, in order or as `name=value`.
- `power`: `on` or `on nowait`; `off` or `cycle`, also with `force` (cut what does not
  shut down) or `force=<board>` (that one only).
- `install`, at `rack` or `stack/<n>`: `start`, also with `dry` or `force`; `confirm`;
  `cancel`, also with `restore` (the default), `leave` or `off`; `swap <slot> <slot>`;
  `undo`.
- `name`, at one node: the new name. `place`, at one node: `3 2`, `3/2` or `none`.
- `tag`: `web -spare` adds one and takes one away.
- `forget`: nothing; or `undo`, at `node/<id>`; `undo new` also admits an id that was
  never heard, so that it has a name and a place before the board comes.
- `lock`, at a node or stack: for how long (`90s`, `2h`, `1d12h`; at most `30d`) and
  why; `by` is needed. `unlock`: nothing, or `force` for the lock of somebody else.
- `cancel`: nothing, or the id of a command.
- `events`: `since=`, `until=`, `kind=`, `incident=`, `correlation=`, `before=`,
  `limit=` ([events.md](events.md#the-event-log)).
- `snapshot`: nothing; the master publishes again all that it retains.
- `silence`, `history`: reserved names; the master refuses them.
- at `sim`, where the rack is simulated, a fault is the verb: `crash`, `hang`, `freeze`,
  `network-cut`, `brown-out`, `under-voltage`, `duplicate`, `slow-boot`, `clock-skew`;
  `heal` ends them. Then the target and `for=`, `after=` or `seconds=`: `{name} for=30`
  on `{prefix}/sim/cmd/crash`.
"""

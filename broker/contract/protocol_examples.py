"""One example of each payload, made of real structs so that it cannot be wrong."""

from broker.contract.messages import (
    Ability,
    Command,
    Details,
    Event,
    EventKind,
    Heartbeat,
    MasterDetails,
    NodeState,
    Order,
    Phase,
    Power,
    Reply,
    Result,
    StackState,
    TargetRow,
    Throttled,
    ThrottleFlag,
    Verdict,
    Wire,
)
from broker.contract.protocol_topics import NODE

SESSION = "9f2c51d07be4a836"
NAME = "s03n2"
ID = "c0ffee01"
NOW = 1_795_219_200.0

EXAMPLES: tuple[Wire, ...] = (
    Details(
        session=SESSION,
        boot_id="0b6ff1a5-5cd2-4b52-8d5a-6a2a2f2f8f10",
        hostname="pi-three-two",
        interval_s=10,
        agent_version="0.1.0",
        model="Raspberry Pi 4 Model B Rev 1.4",
        serial="1000000051000302",
        macs=("dc:a6:32:00:03:02",),
        addresses=("192.168.7.32",),
        abilities=(Ability(verb="uptime", note="how long the board has been up"),),
    ),
    Heartbeat(
        session=SESSION,
        seq=41,
        ts=NOW,
        uptime_s=86_412.5,
        cpu_percent=12.5,
        load=(0.4, 0.3, 0.2),
        memory_percent=31.2,
        disk_percent=44.0,
        temperature_c=51.1,
        throttled=Throttled(since_boot=(ThrottleFlag.UNDER_VOLTAGE,)),
    ),
    Order(id=ID, verb="reboot", ttl_s=30, by="operator"),
    Result(
        id=ID, verb="reboot", session=SESSION, phase=Phase.ACCEPTED, duration_s=0.01
    ),
    NodeState(
        id=NODE,
        name=NAME,
        verdict=Verdict.LATE,
        since=NOW,
        reason="silent for 21 s, two heartbeats missed",
        stack=3,
        slot=2,
        power=Power.ON,
        last_seen=NOW - 21,
    ),
    StackState(
        stack=3,
        name="Stack 3",
        x=2,
        y=0,
        slots=4,
        wanted=Power.ON,
        power=Power.ON,
        worst=Verdict.LATE,
        totals={Verdict.ONLINE: 3, Verdict.LATE: 1},
    ),
    Event(
        seq=1207,
        ts=NOW,
        kind=EventKind.VERDICT,
        text="s03n2 is late: silent for 21 s",
        node=NODE,
        stack=3,
    ),
    MasterDetails(session=SESSION, hostname="rack", version="0.1.0", started=NOW),
    Command(id=ID, args=("cycle",), confirm="stack/3", by="operator"),
    Reply(
        id=ID,
        verb="reboot",
        scope=f"node/{NAME}",
        phase=Phase.DONE,
        ok=True,
        targets=(
            TargetRow(
                node=NODE, name=NAME, phase=Phase.DONE, verified=True, duration_s=23.4
            ),
        ),
        by="operator",
        verified=True,
        duration_s=23.4,
    ),
)

"""What each make of plug is told, and how what it says is read."""

import pytest

from broker.common.errors import ConfigError
from broker.contract.messages import Power
from master_service.power.drivers.mqtt import Plug, resolve
from master_service.rack.settings import PlugRow, Preset

TASMOTA = resolve(PlugRow(preset=Preset.TASMOTA, device="rack", channel=2))
SHELLY = resolve(PlugRow(preset=Preset.SHELLY_GEN2, device="shellypro4pm-1"))
ZIGBEE = resolve(PlugRow(preset=Preset.ZIGBEE2MQTT, device="rack", channel="l2"))
ESPHOME = resolve(PlugRow(preset=Preset.ESPHOME, device="strip", channel="relay_1"))


@pytest.mark.parametrize(
    ("plug", "topic", "on", "off"),
    [
        (TASMOTA, "cmnd/rack/POWER2", "ON", "OFF"),
        (SHELLY, "shellypro4pm-1/command/switch:0", "on", "off"),
        (ZIGBEE, "zigbee2mqtt/rack/set", '{"state_l2": "ON"}', '{"state_l2": "OFF"}'),
        (ESPHOME, "strip/switch/relay_1/command", "ON", "OFF"),
    ],
)
def test_each_is_told_in_its_own_words(
    plug: Plug, topic: str, on: str, off: str
) -> None:
    assert (plug.command_topic, plug.on, plug.off) == (topic, on, off)


@pytest.mark.parametrize(
    ("plug", "topic", "payload", "level"),
    [
        (TASMOTA, "stat/rack/POWER2", b"ON", Power.ON),
        (TASMOTA, "stat/rack/POWER2", b"off ", Power.OFF),
        (SHELLY, "shellypro4pm-1/status/switch:0", b'{"output":true}', Power.ON),
        (SHELLY, "shellypro4pm-1/status/switch:0", b'{"output":false}', Power.OFF),
        (SHELLY, "shellypro4pm-1/status/switch:0", b'{"apower":3.1}', None),
        (SHELLY, "shellypro4pm-1/status/switch:0", b"no json", None),
        (ZIGBEE, "zigbee2mqtt/rack", b'{"state_l1":"ON","state_l2":"OFF"}', Power.OFF),
        (ZIGBEE, "zigbee2mqtt/rack", b'{"linkquality":80}', None),
        (ZIGBEE, "zigbee2mqtt/rack", b"[1]", None),
        (ESPHOME, "strip/switch/relay_1/state", b"ON", Power.ON),
    ],
)
def test_each_is_understood(
    plug: Plug, topic: str, payload: bytes, level: Power | None
) -> None:
    assert plug.state_topic == topic
    assert plug.level(payload) is level


@pytest.mark.parametrize(
    ("plug", "payload"),
    [
        (TASMOTA, b""),
        (TASMOTA, b"  "),
        (ZIGBEE, b'{"state_l2":null,"linkquality":80}'),
        (ZIGBEE, b'{"state_l2":""}'),
        (SHELLY, b'{"id":0,"output":null}'),
    ],
)
def test_null_and_nothing_say_nothing(plug: Plug, payload: bytes) -> None:
    assert plug.level(payload) is None


@pytest.mark.parametrize("payload", [b"\xff\xfe", b"BLINK"])
def test_what_means_nothing_is_said_so(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]{0,64}$"):
        TASMOTA.level(payload)


@pytest.mark.parametrize(
    ("plug", "topic", "there", "gone"),
    [
        (TASMOTA, "tele/rack/LWT", b"Online", b"Offline"),
        (SHELLY, "shellypro4pm-1/online", b"true", b"false"),
        (
            ZIGBEE,
            "zigbee2mqtt/rack/availability",
            b'{"state":"online"}',
            b'{"state":"offline"}',
        ),
        (ZIGBEE, "zigbee2mqtt/rack/availability", b"online", b"offline"),
        (ESPHOME, "strip/status", b"online", b"offline"),
    ],
)
def test_each_says_whether_it_is_there(
    plug: Plug, topic: str, there: bytes, gone: bytes
) -> None:
    assert plug.availability_topic == topic
    assert plug.there(there) is True
    assert plug.there(gone) is False
    assert plug.there(b"perhaps") is None


def test_any_other_plug_is_described_by_its_topics() -> None:
    row = PlugRow(
        device="attic/7",
        command_topic="{device}/set",
        on="1",
        off="0",
        state_topic="{device}/get",
        state_key="relay.level",
        state_on="1",
        state_off="0",
    )
    plug = resolve(row)
    assert plug.command_topic == "attic/7/set"
    assert plug.level(b'{"relay":{"level":1}}') is Power.ON
    assert plug.topics == ("attic/7/get",)


def test_a_preset_can_be_bent() -> None:
    row = PlugRow(
        preset=Preset.TASMOTA,
        device="rack",
        command_topic="home/{device}/cmnd/POWER",
        availability_topic="",
    )
    plug = resolve(row)
    assert plug.command_topic == "home/rack/cmnd/POWER"
    assert plug.state_topic == "stat/rack/POWER"
    assert plug.topics == ("stat/rack/POWER",)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (PlugRow(preset=Preset.ESPHOME, device="strip"), "needs the switch"),
        (PlugRow(preset=Preset.SHELLY_GEN2), "needs the plug"),
        (PlugRow(command_topic="a"), "no state_topic"),
        (PlugRow(command_topic="a/+", state_topic="b"), "without"),
        (PlugRow(command_topic="a", state_topic="b", on="x", off="X"), "on and off"),
        (
            PlugRow(command_topic="a", state_topic="b", availability_topic="b"),
            "are both",
        ),
    ],
)
def test_what_cannot_work_is_refused(row: PlugRow, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve(row)

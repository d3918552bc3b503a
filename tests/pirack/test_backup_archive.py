"""What `pirack restore` believes of an archive: nothing that its manifest cannot be."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.common.errors import ConfigError
from pirack.backup import archive, backup
from pirack.backup.archive import (
    DATA,
    ArchiveError,
    Entry,
    Manifest,
    RackFolders,
    RackKind,
)

Member = tuple[tarfile.TarInfo, bytes]
CONTENT = b"secret"


def entry(name: str, content: bytes | None = CONTENT, **changed: Any) -> Entry:  # noqa: ANN401  # any field of Entry
    said: dict[str, Any] = {"name": name, "owner": "root", "group": "root"}
    if content is None:
        return Entry(**{**said, "mode": "0700", **changed})
    sha256 = hashlib.sha256(content).hexdigest()
    size = {"size_bytes": len(content), "sha256": sha256}
    return Entry(**{**said, "mode": "0600", **size, **changed})


def manifest(*entries: Entry, **changed: Any) -> Manifest:  # noqa: ANN401  # any field of Manifest
    said: dict[str, Any] = {
        "format": archive.FORMAT,
        "pirack": "0.1.0",
        "kind": "up",
        "rack": "lab",
        "created": "2026-01-02T03:04:05Z",
        "hostname": "attic",
        "folders": {"data": "/home/pi/.pirack"},
        "entries": entries,
    }
    return Manifest(**{**said, **changed})


def member(name: str, content: bytes = CONTENT, **changed: Any) -> Member:  # noqa: ANN401  # any field of TarInfo
    header = tarfile.TarInfo(name)
    header.size = len(content)
    for field, value in changed.items():
        setattr(header, field, value)
    return header, content


def folder(name: str) -> Member:
    return member(name, b"", type=tarfile.DIRTYPE)


def packed(said: object, *members: Member) -> io.BytesIO:
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb") as pack,
        tarfile.open(fileobj=pack, mode="w|") as tar,
    ):
        everything = list(members)
        if said is not None:
            everything.insert(0, member(archive.MANIFEST, msgspec.json.encode(said)))
        for header, content in everything:
            tar.addfile(header, io.BytesIO(content) if content else None)
    return out


GOOD = (entry("data", None), entry("data/a"))
GOOD_MEMBERS = (folder("data"), member("data/a"))


def refused(file: io.BytesIO) -> str:
    with pytest.raises(ArchiveError) as found:
        archive.check(file)
    return str(found.value)


def test_what_is_as_it_says_is_taken() -> None:
    assert archive.check(packed(manifest(*GOOD), *GOOD_MEMBERS)).files == (GOOD[1],)


@pytest.mark.parametrize(
    "name",
    [
        "data/../../etc/passwd",
        "/etc/passwd",
        "../passwd",
        "data//a",
        "data/./a",
        "data/",
        "",
        "etc/passwd",
        "data/no-folder/a",
        "data/a\0b",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    said = manifest(entry("data", None), entry(name))
    assert "its manifest names" in refused(packed(said, folder("data"), member(name)))


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CONTTYPE,
        tarfile.DIRTYPE,
    ],
)
def test_a_link_or_a_device_in_the_place_of_a_file_is_refused(kind: bytes) -> None:
    linked = member("data/a", b"", type=kind, linkname="/etc/shadow")
    said = manifest(entry("data", None), entry("data/a", b""))
    assert "is not a file" in refused(packed(said, folder("data"), linked))


def test_a_link_in_the_place_of_a_folder_is_refused() -> None:
    linked = member("data", b"", type=tarfile.SYMTYPE, linkname="/etc")
    assert "is not a folder" in refused(
        packed(manifest(*GOOD), linked, GOOD_MEMBERS[1])
    )


def test_nothing_can_be_written_through_a_file() -> None:
    said = manifest(*GOOD, entry("data/a/b"))
    assert "has no folder" in refused(packed(said, *GOOD_MEMBERS, member("data/a/b")))


def test_what_is_there_twice_is_refused() -> None:
    twice = manifest(*GOOD, GOOD[1])
    assert "twice" in refused(packed(twice, *GOOD_MEMBERS, GOOD_MEMBERS[1]))


def test_what_the_manifest_does_not_name_is_refused() -> None:
    text = refused(packed(manifest(*GOOD), *GOOD_MEMBERS, member("data/more")))
    assert "'data/more', which its manifest does not name" in text


def test_what_the_manifest_names_must_be_there() -> None:
    assert "it holds nothing where" in refused(packed(manifest(*GOOD), folder("data")))


@pytest.mark.parametrize("other", [b"SECRET", b"secrets", b""])
def test_another_content_than_the_manifest_says_is_refused(other: bytes) -> None:
    text = refused(packed(manifest(*GOOD), folder("data"), member("data/a", other)))
    assert "its hash is not" in text or "another size" in text


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_is_huge_is_refused_before_it_is_read(kind: bytes) -> None:
    huge = member("long", b"x" * (archive.HEADER_BYTES + 1), type=kind)
    said = refused(packed(manifest(*GOOD), GOOD_MEMBERS[0], huge, GOOD_MEMBERS[1]))
    assert f"a header has {archive.HEADER_BYTES + 1} bytes" in said


@pytest.mark.parametrize("number", [str(2**32 - 1), "9" * 30])
@pytest.mark.parametrize("field", ["owner", "group"])
def test_an_owner_that_no_system_has_is_refused(field: str, number: str) -> None:
    changed: dict[str, Any] = {field: number}
    said = manifest(GOOD[0], entry("data/a", **changed))
    assert "an owner that no system has" in refused(packed(said, *GOOD_MEMBERS))


def test_an_archive_without_a_manifest_is_none_of_ours() -> None:
    assert "does not begin with" in refused(packed(None, *GOOD_MEMBERS))
    assert "does not begin with" in refused(packed(None))


def test_a_manifest_that_is_a_link_is_none() -> None:
    linked = member(archive.MANIFEST, b"", type=tarfile.SYMTYPE, linkname="/etc/x")
    assert "does not begin with" in refused(packed(None, linked))


@pytest.mark.parametrize(
    "said", [[], {}, {"format": "x"}, {"format": 1, "entries": 3}, "text"]
)
def test_a_manifest_that_cannot_be_read_is_refused(said: object) -> None:
    assert "cannot be read" in refused(packed(said))


def test_a_newer_format_is_named_although_it_is_otherwise() -> None:
    plain = msgspec.to_builtins(manifest()) | {"format": 2, "entries": "elsewhere"}
    text = refused(packed(plain | {"pirack": "7.0.0"}))
    assert "PiRack 7.0.0 wrote it, in format 2" in text
    assert "reads up to 1" in text


def test_a_rack_of_an_unknown_kind_is_refused() -> None:
    assert "not known: 'cloud'" in refused(packed(manifest(*GOOD, kind="cloud")))


@pytest.mark.parametrize("mode", ["", "99", "-7", "70000", "0o7", "٧"])
def test_a_mode_that_is_none_is_refused(mode: str) -> None:
    said = manifest(entry("data", None), entry("data/a", mode=mode))
    assert "no mode" in refused(packed(said, *GOOD_MEMBERS))


def test_no_restored_file_runs_as_another_user_or_is_written_by_others() -> None:
    assert entry("data/a", mode="6777").bits == 0o755
    assert entry("data/a", mode="0640").bits == 0o640


def test_every_way_to_cut_it_short_is_seen() -> None:
    whole = packed(manifest(*GOOD), *GOOD_MEMBERS).getvalue()
    for length in range(len(whole)):
        refused(io.BytesIO(whole[:length]))


def test_no_flipped_bit_passes_as_something_else() -> None:
    said = manifest(*GOOD)
    whole = packed(said, *GOOD_MEMBERS).getvalue()
    passed = 0
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 0x10
        try:
            assert archive.check(io.BytesIO(flipped)) == said
            passed += 1
        except ArchiveError:
            pass
    assert passed < 10, "only those that say nothing: gzip's date, padding"


def write(folder: Path) -> tuple[Manifest, io.BytesIO]:
    out = io.BytesIO()
    source = RackFolders(RackKind.UP, {DATA: folder})
    made = archive.write(
        source,
        backup.walk(source),
        out,
        rack="lab",
        hostname="attic",
        room=folder.parent,
    )
    return made, out


def test_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "racks/lab/master").mkdir(parents=True)
    (data / "secrets").mkdir(mode=0o700)
    (data / "secrets/a.json").write_bytes(b"{}")
    (data / "secrets/a.json").chmod(0o600)
    (data / "empty").write_bytes(b"")
    (data / "link").symlink_to("/etc/passwd")
    big = bytes(range(256)) * 8192
    (data / "racks/lab/big").write_bytes(big)
    made, out = write(data)
    assert archive.check(out) == made
    names = {one.name: one for one in made.entries}
    assert "data/link" not in names
    assert names["data/secrets/a.json"].mode == "0600"
    assert names["data/secrets"].sha256 == ""
    assert names["data/racks/lab/big"].sha256 == hashlib.sha256(big).hexdigest()
    assert list(tmp_path.iterdir()) == [data], "nothing is left beside it"


def test_a_file_name_that_no_manifest_can_have_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "new\nline").write_bytes(b"x")
    with pytest.raises(ConfigError, match="rename the file"):
        write(data)

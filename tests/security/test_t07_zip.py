"""T7: every trick that a zip can play is refused, and nothing lands outside the workspace."""

import io
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.intake import builders
from tests.timing import computes_at_most
from workbench.errors import IntakeError
from workbench.intake import archive as archives
from workbench.intake.adapter import WANTED, read_adapter
from workbench.intake.archive import holds, unpack
from workbench.limits import LIMITS

Members = list[tuple[zipfile.ZipInfo | str, bytes]]
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def good(tmp_path: Path) -> Members:
    return list(builders.members(builders.adapter_folder(tmp_path / "in")).items())


def pack(path: Path, members: Members, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def refused(path: Path, tmp_path: Path) -> str:
    before = {entry for entry in tmp_path.iterdir() if entry.name != "work"}
    with pytest.raises(IntakeError) as caught:
        read_adapter(path, tmp_path / "work")
    assert {entry for entry in tmp_path.iterdir() if entry.name != "work"} == before
    assert not list((tmp_path / "work").rglob("upload.zip"))
    assert len(str(caught.value)) < 400
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "../adapter_config.json",
        "a/../../x.md",
        "/etc/cron.d/x.md",
        "//x.md",
        "..\\..\\x.md",
        "C:\\x.md",
        "C:x.md",
        "a//x.md",
        "./x.md",
        "x\x1b.md",
        "x\u202egnp.md",
        "a/..",
    ],
)
def test_t07_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    path = pack(tmp_path / "a.zip", [*good(tmp_path), (name, b"x")])
    assert "unsafe name" in refused(path, tmp_path)


def test_t07_name_with_a_nul(tmp_path: Path) -> None:
    """zipfile shows "adapter_config.json" for a member that is stored under another name."""
    path = pack(tmp_path / "a.zip", [*good(tmp_path)[1:], ("adapter_config.json@.md", b"{}")])
    path.write_bytes(path.read_bytes().replace(b"json@.md", b"json\0.md"))
    assert "unsafe name" in refused(path, tmp_path)


def test_t07_long_names(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", [*good(tmp_path), ("a" * 300 + ".md", b"")])
    assert "too long" in refused(path, tmp_path)
    path = pack(tmp_path / "b.zip", [*good(tmp_path), ("a" * 65535, b"")])
    assert "too long" in refused(path, tmp_path)


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR]
)
@pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
def test_t07_links_and_devices(tmp_path: Path, kind: int, name: str) -> None:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    members = [member for member in good(tmp_path) if member[0] != name]
    path = pack(tmp_path / "a.zip", [*members, (info, b"/etc/passwd")])
    assert "not an ordinary file" in refused(path, tmp_path)


BESIDE = [
    "inner.zip",
    "inner.tar.gz",
    "run.sh",
    "config.json",
    "model.safetensors",
    "sub/x/README.md",
]


@pytest.mark.parametrize(
    "name", [*BESIDE, "sub/x/README.md", "Thumbs.db", "__MACOSX/._adapter_config.json"]
)
def test_t07_other_members_are_never_opened(tmp_path: Path, name: str) -> None:
    """Their bytes are not even a valid stream: opening one would be an error."""
    path = pack(tmp_path / "a.zip", [*good(tmp_path), (name, b"x" * 100)])
    forge(path, name, crc=1)
    files = read_adapter(path, tmp_path / "work")
    stored = [entry.name for entry in (tmp_path / "work").rglob("*") if entry.is_file()]
    assert stored == [WEIGHTS] and files.parameters == 256


def test_t07_a_link_beside_the_adapter_is_never_followed(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("latest")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = pack(tmp_path / "a.zip", [*good(tmp_path), (info, b"/etc/passwd")])
    assert "latest" in " ".join(read_adapter(path, tmp_path / "work").notes)


def test_t07_only_an_archive_in_the_archive(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", [("lora.zip", b"PK\x03\x04")])
    assert "holds an archive (lora.zip)" in refused(path, tmp_path)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (CONFIG, CONFIG),
        (CONFIG, "Adapter_Config.JSON"),
        (WEIGHTS, "ADAPTER_MODEL.safetensors"),
        (CONFIG, "adapter_config.json/"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_t07_names_that_collide(tmp_path: Path, one: str, two: str) -> None:
    members = [member for member in good(tmp_path) if member[0] != one]
    path = pack(tmp_path / "a.zip", [*members, (one, b"{}"), (two, b"")])
    assert "twice" in refused(path, tmp_path)


def test_t07_bomb(tmp_path: Path) -> None:
    """512 MB of zeros are half a megabyte; the ratio gives them away before they are expanded."""
    members = [(CONFIG, b"{}"), (WEIGHTS, bytes(16 * 1024**2))]
    path = pack(tmp_path / "a.zip", members, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    assert "more than 20 times" in refused(path, tmp_path)


def test_t07_stated_size_above_the_ceiling(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", [(CONFIG, bytes(2**20 + 1)), (WEIGHTS, b"")])
    assert "larger than 1 MB" in refused(path, tmp_path)


def forge(path: Path, name: str, **fields: int) -> None:
    """Overwrite fields of a member in both headers, as a program that lies would write them."""
    raw = bytearray(path.read_bytes())
    places = {"flags": (6, 8, "<H"), "method": (8, 10, "<H"), "crc": (14, 16, "<I")}
    places |= {"packed": (18, 20, "<I"), "size": (22, 24, "<I")}
    for signature, column in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 1)):
        at = -1
        while (at := raw.find(signature, at + 1)) >= 0:
            length = struct.unpack_from("<H", raw, at + (26, 28)[column])[0]
            start = at + (30, 46)[column]
            if raw[start : start + length] == name.encode():
                for field, value in fields.items():
                    place = places[field]
                    struct.pack_into(place[2], raw, at + place[column], value)
    path.write_bytes(raw)


def test_t07_a_forged_small_size(tmp_path: Path) -> None:
    """The stated size passes every check; what is really in there must not be written."""
    path = pack(
        tmp_path / "a.zip", [(CONFIG, b"{}"), (WEIGHTS, bytes(8 * 1024**2))], zipfile.ZIP_DEFLATED
    )
    forge(path, WEIGHTS, size=1000)
    refused(path, tmp_path)
    written = [entry.stat().st_size for entry in (tmp_path / "work").rglob("*") if entry.is_file()]
    assert max(written, default=0) <= 1000


def test_t07_a_forged_checksum(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", good(tmp_path))
    forge(path, WEIGHTS, crc=1)
    assert "damaged" in refused(path, tmp_path)


def test_t07_a_forged_large_size(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", good(tmp_path))
    forge(path, WEIGHTS, size=100_000)
    assert "shorter than stated" in refused(path, tmp_path)
    forge(path, WEIGHTS, size=2**32 - 2)
    assert "expand more than 20 times" in refused(path, tmp_path)


@pytest.mark.parametrize("flags", [0x1, 0x20, 0x40, 0x2041])
def test_t07_encryption(tmp_path: Path, flags: int) -> None:
    path = pack(tmp_path / "a.zip", good(tmp_path))
    forge(path, WEIGHTS, flags=flags)
    assert "encrypted" in refused(path, tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_t07_other_compression(tmp_path: Path, method: int) -> None:
    path = pack(tmp_path / "a.zip", good(tmp_path), method)
    assert "unusual way" in refused(path, tmp_path)


def test_t07_overlap(tmp_path: Path) -> None:
    """Two entries of the list that point at the same bytes (David Fifield's zip bomb)."""
    path = pack(tmp_path / "a.zip", [*good(tmp_path), ("x.md", b"0" * 100)])
    raw = bytearray(path.read_bytes())
    offsets = []
    at = -1
    while (at := raw.find(b"PK\x01\x02", at + 1)) >= 0:
        offsets.append(at + 42)
    raw[offsets[2] : offsets[2] + 4] = raw[offsets[1] : offsets[1] + 4]
    path.write_bytes(raw)
    sentence = refused(path, tmp_path)
    assert "overlap" in sentence or "damaged" in sentence


def quoting_bomb(copies: int) -> bytes:
    """Entries that really share one compressed kernel: local headers quoted by their neighbours."""
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = kernel.compress(bytes(100_000)) + kernel.flush()
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0, 0, len(packed), 100_000, 4, 0)
    body = local + b"a.md" + packed
    directory = b"".join(
        struct.pack(
            "<IHHHHHHIIIHHHHHII",
            *(0x02014B50, 20, 20, 0, 8, 0, 0, 0, len(packed), 100_000, 4, 0, 0, 0, 0, 0, 0),
        )
        + f"{number:01x}.md".encode()
        for number in range(copies)
    )
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, copies, copies, len(directory), len(body), 0)
    return body + directory + end


def test_t07_shared_kernel(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(quoting_bomb(8))
    assert "overlap" in refused(path, tmp_path)


@pytest.mark.parametrize("members", [8193, 100_000])
def test_t07_too_many_members(tmp_path: Path, members: int) -> None:
    path = pack(tmp_path / "a.zip", [(f"{number}.md", b"") for number in range(min(members, 8193))])
    if members > 8193:  # the list alone counts: repeat it instead of writing 100,000 files
        raw = path.read_bytes()
        start = raw.index(b"PK\x01\x02")
        end = raw.rindex(b"PK\x05\x06")
        listing = raw[start:end] * 50
        tail = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 65535, 65535, len(listing), start, 0)
        path.write_bytes(raw[:start] + listing + tail)
        del raw, listing
    tracemalloc.start()
    with computes_at_most(1):
        assert "too many members" in refused(path, tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 8 * 1024**2
    tracemalloc.stop()


def test_t07_a_list_that_is_larger_than_it_says(tmp_path: Path) -> None:
    """The count in the end record is a claim; zipfile goes by the size."""
    path = pack(tmp_path / "a.zip", [(f"{number}.md", b"") for number in range(5000)])
    raw = bytearray(path.read_bytes())
    struct.pack_into("<HH", raw, len(raw) - 14, 2, 2)
    path.write_bytes(raw)
    assert "too many members" in refused(path, tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a zip"),
        (b"PK\x03\x04", "cut off or damaged"),
        (b"Rar!\x1a\x07\x00", "not a zip"),
        (b"\x1f\x8b\x08", "not a zip"),
        (b"7z\xbc\xaf\x27\x1c", "not a zip"),
        (b"<html>", "not a zip"),
    ],
)
def test_t07_other_formats_under_the_name(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert words in refused(path, tmp_path)
    assert not holds(path, "kit.json")


def test_t07_zip64_and_ambiguous_ends(tmp_path: Path) -> None:
    raw = pack(tmp_path / "a.zip", good(tmp_path)).read_bytes()
    at = raw.rindex(b"PK\x05\x06")
    path = tmp_path / "b.zip"
    path.write_bytes(raw[:at] + b"PK\x06\x07" + bytes(16) + raw[at:])
    assert "ambiguous" in refused(path, tmp_path)  # an end of zip64 that leads nowhere
    path.write_bytes(raw + raw[at:][:10])
    assert "damaged" in refused(path, tmp_path)
    path.write_bytes(raw + b"trailing bytes")
    assert "ambiguous" in refused(path, tmp_path)


def test_t07_an_archive_over_the_ceiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(tmp_path / "a.zip", good(tmp_path))
    monkeypatch.setattr(archives, "LIMITS", type(LIMITS)(archive_bytes=path.stat().st_size - 1))
    assert "larger than" in refused(path, tmp_path)


def test_t07_a_comment_is_no_reason_to_refuse(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", good(tmp_path))
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"made by ann"
    assert read_adapter(path, tmp_path / "work").parameters == 256


Mutation = Callable[[bytearray], None]


@settings(max_examples=200)
@given(edits=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=6))
def test_t07_mutated_archives_are_read_or_refused(tmp_path: Path, edits: list) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CONFIG, b'{"a": 1}' * 10)
        archive.writestr(WEIGHTS, bytes(range(256)) * 4)
        archive.writestr("README.md", b"hello")
    raw = bytearray(buffer.getvalue())
    for place, value in edits:
        raw[place % len(raw)] = value
    path = tmp_path / "a.zip"
    path.write_bytes(raw)
    folder = tmp_path / "work" / str(abs(hash(bytes(raw))))
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.iterdir():
        leftover.unlink()
    try:
        found = unpack(path, folder, WANTED)
    except IntakeError:
        return
    assert set(found) <= set(WANTED)


def test_t07_a_long_comment_hides_no_end(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", good(tmp_path))
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"x" * 65_535
    assert read_adapter(path, tmp_path / "w").weights.exists()


@pytest.mark.parametrize(("at", "format_"), [(10, "<H"), (12, "<I")])
def test_t07_a_long_list_of_members_is_not_read(tmp_path: Path, at: int, format_: str) -> None:
    path = pack(tmp_path / "a.zip", good(tmp_path))
    raw = bytearray(path.read_bytes())
    struct.pack_into(format_, raw, raw.rfind(b"PK\x05\x06") + at, 60_000 if at == 10 else 10**9)
    path.write_bytes(raw)
    assert "too many members" in refused(path, tmp_path)


@pytest.mark.parametrize(
    ("mark", "at", "words"),
    [
        (b"PK\x06\x06", 32, "too many members"),
        (b"PK\x06\x06", 40, "too many members"),
        (b"PK\x06\x07", 8, "ambiguous end"),
    ],
)
def test_t07_a_zip_of_over_2_gib_is_bounded_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: bytes, at: int, words: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(zipfile, "ZIP64_LIMIT", 10)
        path = pack(tmp_path / "a.zip", good(tmp_path))
    assert read_adapter(path, tmp_path / "w").weights.exists()
    raw = bytearray(path.read_bytes())
    struct.pack_into("<Q", raw, raw.rfind(mark) + at, 10**9)
    path.write_bytes(raw)
    assert words in refused(path, tmp_path)

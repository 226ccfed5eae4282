"""Bounds of everything that comes from outside. One place, plain numbers, units in names."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Upper bounds; intake refuses with a sentence what is over them."""

    adapter_bytes: int = 512 * 1024**2
    adapter_config_bytes: int = 1024**2
    safetensors_header_bytes: int = 1024**2
    tensors: int = 4096
    rank: int = 1024
    archive_bytes: int = 600 * 1024**2
    archive_members: int = 12  # of a kit
    archive_listed: int = 4096  # of any other archive, of which few are taken
    archive_ratio: int = 20
    member_name_characters: int = 200
    recipe_bytes: int = 512 * 1024  # five texts of 20,000 characters, each of up to four bytes
    rows_file_bytes: int = 32 * 1024**2
    row_bytes: int = 1024**2
    rows: int = 100_000
    seeds: int = 15  # of more, the others become unlabelled inputs
    # Long documents; what a base's context has room for is seen when it reads them.
    input_characters: int = 200_000
    output_characters: int = 50_000
    json_depth: int = 32
    # Of a run's database: samples, their history, the journal.
    database_bytes: int = 1024**3
    # Below this, nothing new is begun and nothing is taken in.
    free_disk_bytes: int = 2 * 1024**3
    # Of what a browser, or a program in its place, sends to the page:
    request_bytes: int = 2 * 1024**2
    request_values: int = 20_000
    light_request_bytes: int = 256 * 1024
    requests_held_bytes: int = 32 * 1024**2
    upload_files: int = 8
    upload_folder_bytes: int = 6 * 1024**3
    upload_visitor_bytes: int = 3 * 1024**3 // 2
    upload_seconds: int = 3600
    field_characters: int = 256 * 1024
    log_bytes: int = 5 * 1024**2
    # Of one visitor of a server that strangers share:
    drafts: int = 20
    owner_bytes: int = 4 * 1024**3


def on_shared_server() -> bool:
    """Whether strangers use this server: a Space, or WORKBENCH_SHARED=1; 0 is no."""
    told = os.environ.get("WORKBENCH_SHARED", "").strip().lower()
    return bool(os.environ.get("SPACE_ID")) or told not in ("", "0", "false", "no")


def limits(shared: bool) -> Limits:
    """The bounds of a server that strangers share, or of one's own machine.

    On one's own an adapter may be as large as the largest rank makes it on a base of 70 billion
    parameters.
    """
    if shared:
        return Limits()
    return Limits(adapter_bytes=16 * 1024**3, archive_bytes=16 * 1024**3)


LIMITS = limits(on_shared_server())

"""Bounds of everything that comes from outside. One place, plain numbers, units in names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Upper bounds; intake refuses with a sentence what is over them."""

    adapter_bytes: int = 512 * 1024**2
    adapter_config_bytes: int = 64 * 1024
    safetensors_header_bytes: int = 1024**2
    tensors: int = 4096
    rank: int = 256
    archive_bytes: int = 600 * 1024**2
    archive_members: int = 12
    archive_ratio: int = 20
    member_name_characters: int = 200
    recipe_bytes: int = 64 * 1024
    rows_file_bytes: int = 32 * 1024**2
    row_bytes: int = 64 * 1024
    rows: int = 100_000
    seeds: int = 15
    input_characters: int = 8_000
    output_characters: int = 4_000
    json_depth: int = 32
    free_disk_bytes: int = 1024**3
    # Of one visitor of a server that strangers share:
    drafts: int = 20
    owner_input_bytes: int = 2 * 1024**3


LIMITS = Limits()

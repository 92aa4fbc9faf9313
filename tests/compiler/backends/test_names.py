"""Names in printed files."""

from __future__ import annotations

from compiler.backends.names import network_parameter


def test_networks_never_hide_what_a_file_uses() -> None:
    names = {"G": "G", "D_A": "D_A", "F": "F_", "F_": "F__", "np": "np_", "list": "list_", "if": "if_"}
    assert {name: network_parameter(name) for name in names} == names

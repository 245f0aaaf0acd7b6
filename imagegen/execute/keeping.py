"""Keeping in the store what is about to be replaced or removed, or was made by hand: it can be gone back to."""

from __future__ import annotations

import hashlib

from imagegen.execute.deciding import now
from imagegen.plan.output import Output
from imagegen.plan.record import OutputLine
from imagegen.project import Project
from imagegen.state.store import StoreEntry

__all__ = ["keep", "put_as_recorded", "put_in_store"]


def keep(project: Project, output: Output) -> None:
    """What is about to be replaced or removed goes into the store first. Raises OSError."""
    state = project.hashes.state(output.path)
    if state is None or state.is_pointer:
        return
    line = project.lock(output.job).line_of(output.path, state.sha256)
    put_in_store(project, output, (project.root / output.path).read_bytes(), line)


def put_in_store(project: Project, output: Output, data: bytes, line: OutputLine | None) -> str:
    """Keep an output's file, so that it can be gone back to; its sha256. Raises OSError.

    line: the one that counts for it. Where that is of another file, or there is none, the file was made by hand.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    if line is not None and line.sha256 == sha256:
        put_as_recorded(project, output.store_name, data, line)
        return sha256
    if project.store.get(sha256) is None:
        project.store.put(data)
    elif project.store.is_listed(sha256):
        return sha256  # it is listed as what it was when it came
    fingerprint, request = (line.fingerprint, line.request) if line else (output.fingerprint, output.fields)
    if fingerprint:
        name = output.store_name
        entry = StoreEntry(fingerprint, sha256, None, "", 0.0, now(), output.encoding, {}, name, request, by_hand=True)
        _index(project, entry)
    return sha256


def put_as_recorded(project: Project, name: str, data: bytes, line: OutputLine) -> None:
    """Keep a file that is as its line says. name: of its output (`Output.store_name`). Raises OSError."""
    project.store.put(data)
    entry = StoreEntry(
        line.fingerprint,
        line.sha256,
        line.model_digest,
        line.backend_version,
        line.seconds,
        line.time,
        line.encoding,
        name=name,
        request=line.request,
    )
    _index(project, entry)


def _index(project: Project, entry: StoreEntry) -> None:
    if all(known.sha256 != entry.sha256 for known in project.store.entries(entry.fingerprint)):
        project.store.add(entry)

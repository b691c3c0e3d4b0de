"""The Milvus of this installation: whether it names candidates, and which collections are there."""

import logging
import secrets
from functools import cache
from pathlib import Path

from django.conf import settings

from vision.engine.milvus import Collection, MilvusAway, MilvusServer, collection_prefix, collections_drop
from vision.engine.snapshot_generations import generations
from vision.engine.snapshots import Manifest

logger = logging.getLogger(__name__)

#: In a folder of snapshots: what tells its collections from those of other folders on the same server.
_KEY = "collections"


def milvus_current() -> MilvusServer | None:
    """The server that the settings name, shared by the threads of this process; None for other engines."""
    if settings.INDEX != "milvus":
        return None
    return _server(settings.MILVUS_URI or str(settings.FAULTDIAG_DATA / "milvus.db"), settings.MILVUS_TOKEN)


@cache
def _server(uri: str, token: str) -> MilvusServer:
    return MilvusServer(uri, token)


def collection_plan(parent: Path, space: str, generation: str) -> Collection | None:
    """The collection that a snapshot in this folder is going to have; None for other engines."""
    server = milvus_current()
    return server and Collection(server, _prefix(parent, space) + generation)


def collections_clear(parent: Path, space: str) -> None:
    """Drop the collections of snapshots that are gone, and what a builder left that was killed.

    Only the builder calls this, under its lock. While Milvus is away they stay, for the next one.
    """
    server = milvus_current()
    if server is None:
        return
    try:
        collections_drop(server, _prefix(parent, space), keep={folder.name for folder in generations(parent)})
    except MilvusAway as away:
        logger.warning("Old collections may be left in Milvus: the next snapshot drops them. %s", away)


def _prefix(parent: Path, space: str) -> str:
    path = parent / _KEY
    if not path.exists():
        path.write_text(secrets.token_hex(4))
    return collection_prefix(space, settings.METRIC, path.read_text())


def milvus_check(manifest: Manifest) -> str:
    """Why Milvus names no candidates for this snapshot, as a sentence; empty if it does or is not to."""
    server = milvus_current()
    if server is None:
        if manifest.engine != "milvus":
            return ""
        return (
            "FAULTDIAG_INDEX no longer asks for Milvus: every vector is compared until a new snapshot is"
            " written (manage.py library rebuild)."
        )
    if not manifest.count:
        return ""
    if manifest.engine != "milvus":
        return "This snapshot has no collection in Milvus; one with it: manage.py library rebuild."
    try:
        if server.call("has_collection", manifest.parameters["collection"]):
            return ""
    except MilvusAway as away:
        return f"Every vector is compared, which is right and slower. {away}"
    return "Milvus has lost the collection: every vector is compared until a new snapshot is written."


def collection_lost(manifest: Manifest) -> bool:
    """Whether Milvus answers and lacks what a new snapshot would bring.

    Milvus Lite is not asked: that would take its folder away from the process that searches.
    """
    server = milvus_current()
    if server is None or server.is_lite or not manifest.count:
        return False
    try:
        return manifest.parameters.get("collection") not in server.call("list_collections")
    except MilvusAway:
        return False

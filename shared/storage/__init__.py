"""Object stores: one protocol, a directory for one machine, OSS for the cloud."""

from shared.storage.base import ObjectInfo, ObjectStore

__all__ = ["ObjectInfo", "ObjectStore"]

"""Tenants: teams that share one deployment and nothing else. A tenant is the first part of a name.

    song-1          an item of the platform's own public catalogue
    acme:song-1     an item of team acme, which acme itself calls `song-1`

Names from outside may not hold a colon, and the door puts the tenant of the caller's key in front (`inner`). So no key
can name, and therefore neither read nor touch, an item, creator or tag of another tenant, whatever the code behind the
door does; two teams may both have a `song-1`. On the way out the tenant is taken off again (`outer`). Everything in
between (log, folds, model, snapshots) keeps full names and needs no field of its own (decision 0004).

Tags are free text, so a platform tag that holds a colon gets an empty tenant in front.
"""

PLATFORM = ""  # the tenant of people's videos and of keys made with `--platform`
SEPARATOR = ":"


def inner(tenant: str, name: str) -> str:
    """Return the full name of what `tenant` calls `name`."""
    return f"{tenant}{SEPARATOR}{name}" if tenant else name


def outer(name: str) -> str:
    """Return what the owner of a full item name calls it."""
    return name.rpartition(SEPARATOR)[2]  # an item's own name holds no colon


def tenant_of(name: str) -> str:
    """Return the tenant of a full item name, PLATFORM for the platform's own."""
    head, colon, _ = name.partition(SEPARATOR)
    return head if colon else PLATFORM


def creator_shown(tenant: str, creator: str) -> str:
    """Return what `tenant` calls a creator (whose own name may hold colons)."""
    return creator.removeprefix(f"{tenant}{SEPARATOR}") if tenant else creator


def tag_in(tenant: str, tag: str) -> str:
    """Return the name under which the catalogue numbers a tag of `tenant`."""
    return f"{tenant}{SEPARATOR}{tag}" if tenant or SEPARATOR in tag else tag


def tag_shown(name: str) -> str:
    """Return the tag as its tenant wrote it, from the name in the catalogue."""
    _, colon, tag = name.partition(SEPARATOR)
    return tag if colon else name

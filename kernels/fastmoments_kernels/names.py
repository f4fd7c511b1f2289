"""The known name that a mistyped one is nearest to, for errors."""

from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the nearest of the names, without regard to case and underscores, or None where none is near."""
    # on errors alone
    from difflib import get_close_matches

    by_key = {key_of(known): known for known in names if not known.startswith("_")}
    key = key_of(name)
    near = (
        get_close_matches(key, by_key, 1, cutoff=0.8)
        # tol for tolerance
        or sorted((known for known in by_key if len(known) > 2 and key.startswith(known)), key=len, reverse=True)
        or get_close_matches(key, by_key, 1)
        or sorted((known for known in by_key if key and key in known), key=len)
    )
    return by_key[near[0]] if near else None


def key_of(name: str) -> str:
    """Return a name in small letters, without what joins words."""
    return name.lower().replace("_", "").replace("-", "")

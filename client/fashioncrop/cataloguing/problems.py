"""What is wrong with a database, in sentences. Its words at the connection are not quoted: they may hold a password."""

from __future__ import annotations

from fashioncrop.errors import CatalogueError

_MAX_QUOTED_CHARACTERS = 200

_AT_CONNECTION = (
    (("password authentication failed", "no password supplied"), "refuses the user or the password. Check both"),
    (("no pg_hba.conf entry", "eer authentication failed"), "does not let this user in from here. Ask its keeper"),
    (
        ("server does not support SSL",),
        "offers no encryption. Where nobody can listen, end the URL with ?sslmode=disable",
    ),
    (("certificate",), "shows a certificate that cannot be trusted. Check host and sslrootcert"),
    (("could not translate host name", "failed to resolve host"), "has a host that nobody knows. Check its name"),
    (("timeout", "timed out"), "did not answer in time. Check host and port, and whether a firewall is between"),
    (
        ("Connection refused", "No such file or directory", "No route to host", "Network is unreachable"),
        "is not reached: nobody answers there. Check host and port, and whether it runs",
    ),
    (("does not exist",), "does not have this database or user. Check both names, or create them"),
    (("too many", "remaining connection slots"), "has no connection left. Try again, or allow more"),
    (("starting up", "shutting down", "in recovery"), "is just starting or stopping. Try again"),
    (("closed the connection unexpectedly",), "closed the connection. Is it PostgreSQL, and does it run?"),
)

_BY_STATE = {
    "42501": "does not allow this user to do that: {words}. Give the user the right, or use another",
    "0A000": "does not have pgvector: {words}. Install pgvector 0.8 or newer on its server",
    "58P01": "does not have pgvector: {words}. Install pgvector 0.8 or newer on its server",
    "25006": "is a copy that cannot be written. Name the database that it is a copy of",
    "53100": "has no room left on its disk. Make room; what was stored is kept",
    "53200": "has no memory left. Give it more, or let it build with less: {words}",
    "53300": "has no connection left. Try again, or allow more",
    "40001": "was changed by somebody else at the same moment. Run it again",
    "40P01": "was changed by somebody else at the same moment. Run it again",
    "55P03": "is used by somebody else. Run it again",
    "57014": "ended the query because it took too long, as its keeper set it",
    "3F000": "has no catalogue of this kind. Make it: fashioncrop index",
    "42P01": "has no catalogue of this kind. Make it: fashioncrop index",
    "3D000": "does not exist. Create it, or check its name",
    "XX001": "is damaged: {words}. Restore it, or index into a new one",
    "XX002": "has a damaged index: {words}. Run REINDEX DATABASE, or index into a new one",
}
_BY_CLASS = {
    "08": "lost the connection. Run it again; what was stored is kept",
    "57": "was stopped meanwhile. Run it again; what was stored is kept",
    "28": "refuses the user or the password. Check both",
}


def at_connection(shown: str, text: str) -> CatalogueError:
    """Why no connection came to be.

    Args:
        shown: the database, as it may be shown.
        text: the error's own words; only known patterns are looked for in them.
    """
    for patterns, sentence in _AT_CONNECTION:
        if any(pattern in text for pattern in patterns):
            return CatalogueError(f"The database {shown} {sentence}.")
    return CatalogueError(f"The database {shown} cannot be connected to. Check address, user and rights.")


def in_use(shown: str, state: str | None, words: str) -> CatalogueError:
    """Why a statement failed.

    Args:
        shown: the database, as it may be shown.
        state: SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html); None where the connection
            broke.
        words: the server's own sentence.
    """
    quoted = "".join(letter if letter.isprintable() else " " for letter in words).strip()[:_MAX_QUOTED_CHARACTERS]
    sentence = _BY_STATE.get(state or "08") or _BY_CLASS.get((state or "08")[:2])
    if sentence is None:
        return CatalogueError(f"The database {shown} failed ({state}): {quoted}.")
    return CatalogueError(f"The database {shown} {sentence.format(words=quoted)}.")

"""Jobs: requests that are answered later, by whichever worker has time, on whichever host.

They are kept in PostgreSQL, the catalogue's by default: an embedded one, or any at an address. procrastinate hands them
to workers, again where a worker died; what is answered of a job is written once for each image, whoever writes it.
Needs the extra `jobs`.
"""

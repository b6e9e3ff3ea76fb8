"""Jobs: answered later, once, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from fashioncrop._postgres.embedded import EmbeddedPostgres
from fashioncrop.errors import OptionError, OverloadedError, QueueError, ServerFaultError
from fashioncrop.gateway.jobs._database import JobsDatabase
from fashioncrop.gateway.jobs.book import Book
from fashioncrop.gateway.jobs.entries import Submission
from fashioncrop.gateway.jobs.kinds import JOB_KINDS
from fashioncrop.gateway.jobs.working import MOST_ATTEMPTS, Runner
from fashioncrop.gateway.keys import ANYBODY, Scope
from gateway_world import PHOTO, Gateway, eventually, picture, refused
from planted import make_database, reachable_folder

B64 = base64.b64encode(PHOTO).decode()
THREE = {"images": [{"base64": B64}, {"base64": "no image"}, {"base64": base64.b64encode(picture(70)).decode()}]}


@pytest.fixture(scope="module")
def place() -> Iterator[SecretStr]:
    with reachable_folder() as folder:
        yield SecretStr(str(folder))


@pytest.fixture(scope="module")
def jobs(place: SecretStr, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("jobs")
    with Gateway(folder, rate_limit="1000000/minute", jobs=True, jobs_database=place) as running:
        eventually(lambda: running.get("/health/live").status_code == 200)
        yield running


@pytest.fixture(autouse=True)
def rested(request: pytest.FixtureRequest) -> None:
    if "jobs" in request.fixturenames:
        running: Gateway = request.getfixturevalue("jobs")
        running.fake.asked.clear()
        running.fake.error, running.fake.pause_s = None, 0.0


def submit(jobs: Gateway, kind: str = "detect", body: Any = THREE, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    response = jobs.post(f"/jobs/submit/{kind}", json=body, **options)
    assert response.status_code == 202, response.text
    document: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/jobs/{document['id']}"
    return document


def ended(jobs: Gateway, id_: str) -> dict[str, Any]:
    eventually(lambda: jobs.get(f"/jobs/{id_}").json()["state"] in {"succeeded", "failed"})
    document: dict[str, Any] = jobs.get(f"/jobs/{id_}").json()
    return document


def held(jobs: Gateway) -> Callable[[], None]:
    """Nobody takes jobs until what is returned is called."""
    jobs.fake.pause_s = 0.3
    return lambda: setattr(jobs.fake, "pause_s", 0.0)


@pytest.mark.parametrize("kind", ["analyze", "detect", "depth"])
def test_a_job_answers_what_a_batch_answers(jobs: Gateway, kind: str) -> None:
    submitted = submit(jobs, kind)
    assert submitted["kind"] == kind
    assert submitted["progress"]["total"] == 3
    assert submitted["result"] is None
    job = ended(jobs, submitted["id"])
    assert job["state"] == "succeeded", job
    assert job["progress"] == {"done": 3, "total": 3}
    assert job["attempts"] == 1
    assert job["created"] <= job["started"] <= job["finished"] < job["expires"]
    assert job["problem"] is None
    batch = jobs.post(f"/v1/{kind}", json=THREE).json()
    for one in (*batch["results"], *job["result"]["results"]):
        one.get("analysis", {}).pop("timings_ms", None)
    assert job["result"] == batch


def test_a_form_is_a_job_too_and_options_reach_the_server(jobs: Gateway) -> None:
    files = [("images", ("a.png", PHOTO)), ("images", ("b.png", PHOTO))]
    response = jobs.post("/jobs/submit/detect", files=files, data={"threshold": "0.25", "vocabulary": ["hat"]})
    job = ended(jobs, response.json()["id"])
    assert len(job["result"]["results"]) == 2
    assert jobs.fake.asked[0][1] == {"vocabulary": ["hat"], "score_threshold": 0.25}
    one = submit(jobs, "detect", {"image": {"base64": B64}})
    assert len(ended(jobs, one["id"])["result"]["results"]) == 1


def test_the_same_name_and_request_is_the_same_job(jobs: Gateway) -> None:
    named = {**jobs.headers, "Idempotency-Key": f"order-{uuid.uuid4()}"}
    first, second = submit(jobs, headers=named), submit(jobs, headers=named)
    assert first["id"] == second["id"]
    ended(jobs, first["id"])
    assert submit(jobs, headers=named)["state"] == "succeeded"
    assert len([what for what, _ in jobs.fake.asked if what == "detect"]) == 2, "of the two images that are photos"
    other = jobs.post("/jobs/submit/detect", json={"images": THREE["images"][:1]}, headers=named)
    assert "another request" in refused(other, 409, "conflict")
    refused(jobs.post("/jobs/submit/depth", json=THREE, headers=named), 409, "conflict")
    stranger = {**jobs.key_for(Scope.JOBS, Scope.ANALYZE), "Idempotency-Key": named["Idempotency-Key"]}
    assert submit(jobs, headers=stranger)["id"] != first["id"]
    for wrong in (b"", b"a b", b"x" * 256, b"\xe4"):
        headers = [
            *((name.encode(), value.encode()) for name, value in jobs.headers.items()),
            (b"Idempotency-Key", wrong),
        ]
        refused(jobs.client.post("/jobs/submit/detect", json=THREE, headers=headers), 422, "invalid")


def test_a_job_is_its_owners_and_the_admins(jobs: Gateway) -> None:
    mine = jobs.key_for(Scope.JOBS, Scope.ANALYZE)
    job = submit(jobs, headers=mine)
    assert jobs.get(f"/jobs/{job['id']}", headers=mine).status_code == 200
    assert jobs.get(f"/jobs/{job['id']}").status_code == 200, "the key for everything is an admin's"
    other = jobs.key_for(Scope.JOBS, Scope.ANALYZE)
    refused(jobs.get(f"/jobs/{job['id']}", headers=other), 404, "not-found")
    refused(jobs.client.delete(f"/jobs/{job['id']}", headers=other), 404, "not-found")
    assert jobs.get("/jobs", headers=other).json() == {"jobs": [], "next": None}
    assert [one["id"] for one in jobs.get("/jobs", headers=mine).json()["jobs"]] == [job["id"]]


def test_jobs_need_their_scope_and_the_kinds(jobs: Gateway) -> None:
    refused(jobs.post("/jobs/submit/detect", json=THREE, headers=jobs.key_for(Scope.ANALYZE)), 403, "forbidden")
    only = jobs.key_for(Scope.JOBS)
    assert "scope analyze" in refused(jobs.post("/jobs/submit/detect", json=THREE, headers=only), 403, "forbidden")
    assert "scope describe" in refused(jobs.post("/jobs/submit/describe", json=THREE, headers=only), 403, "forbidden")
    both = jobs.key_for(Scope.JOBS, Scope.ANALYZE)
    cheap = submit(jobs, "analyze", {**THREE, "mode": "hybrid"}, headers=both)
    results = ended(jobs, cheap["id"])["result"]["results"]
    assert [one.get("problem", {}).get("status") for one in results] == [403, 422, 403]


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"images": []}, 422), ({**THREE, "threshold": 7}, 422), ({"images": [{"base64": B64}] * 33}, 422)],
)
def test_what_would_fail_is_refused_at_once(jobs: Gateway, body: dict[str, Any], status: int) -> None:
    refused(jobs.post("/jobs/submit/detect", json=body), status, "invalid")


def test_an_unknown_kind_is_answered_with_the_known(jobs: Gateway) -> None:
    response = jobs.post("/jobs/submit/translate", json=THREE)
    refused(response, 404, "not-found")
    assert response.json()["known"] == list(JOB_KINDS)


def test_pages_of_jobs(jobs: Gateway) -> None:
    headers = jobs.key_for(Scope.JOBS, Scope.ANALYZE)
    ids = [submit(jobs, "detect" if number % 2 else "depth", headers=headers)["id"] for number in range(7)]
    for id_ in ids:
        ended(jobs, id_)
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = jobs.get("/jobs", headers=headers, params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        seen += [one["id"] for one in page["jobs"]]
        cursor, pages = page["next"], pages + 1
    assert seen == ids[::-1]
    assert pages == 3
    assert all(one["result"] is None for one in page["jobs"])
    detects = jobs.get("/jobs", headers=headers, params={"kind": "detect"}).json()["jobs"]
    assert [one["id"] for one in detects] == ids[1::2][::-1]
    assert jobs.get("/jobs", headers=headers, params={"state": "failed"}).json()["jobs"] == []
    assert len(jobs.get("/jobs", headers=headers, params={"state": "succeeded"}).json()["jobs"]) == 7


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "many"},
        {"state": "lost"},
        {"cursor": "!"},
        {"cursor": "bm90aGluZw=="},
        {"cursor": base64.urlsafe_b64encode(b'["2026-01-01", "x"]').decode()},
        {
            "cursor": base64.urlsafe_b64encode(
                b'["2026-01-01T00:00:00", "00000000-0000-0000-0000-000000000000"]'
            ).decode()
        },
        {"kind": "x" * 61},
    ],
)
def test_a_page_that_there_is_not_is_told(jobs: Gateway, query: dict[str, str]) -> None:
    refused(jobs.get("/jobs", params=query), 422, "invalid")


def test_what_is_no_id_and_what_is_nobodys(jobs: Gateway) -> None:
    for call in (jobs.get, lambda path: jobs.client.delete(path, headers=jobs.headers)):
        refused(call("/jobs/everything"), 422, "invalid")
        refused(call(f"/jobs/{uuid.uuid4()}"), 404, "not-found")


def test_a_job_that_is_removed_is_gone_and_what_runs_it_stops(jobs: Gateway) -> None:
    go_on = held(jobs)
    body = {"images": [{"base64": B64}] * 12}
    job = submit(jobs, body=body)
    eventually(lambda: bool(jobs.fake.asked))
    assert jobs.get(f"/jobs/{job['id']}").json()["state"] == "running"
    assert jobs.client.delete(f"/jobs/{job['id']}", headers=jobs.headers).status_code == 204
    refused(jobs.get(f"/jobs/{job['id']}"), 404, "not-found")
    refused(jobs.client.delete(f"/jobs/{job['id']}", headers=jobs.headers), 404, "not-found")
    time.sleep(0.8)
    assert len(jobs.fake.asked) < 12
    go_on()
    assert ended(jobs, submit(jobs)["id"])["state"] == "succeeded"


def test_what_may_go_better_later_is_tried_later(jobs: Gateway) -> None:
    jobs.fake.error = OverloadedError("10.0.0.7 is full.")
    job = submit(jobs)
    eventually(lambda: jobs.get(f"/jobs/{job['id']}").json()["attempts"] >= 2)
    jobs.fake.error = None
    done = ended(jobs, job["id"])
    assert done["state"] == "succeeded"
    assert 2 < done["attempts"] <= MOST_ATTEMPTS
    assert [one["index"] for one in done["result"]["results"]] == [0, 1, 2]


def test_what_does_not_go_at_all_fails_with_a_reason_and_what_there_is(jobs: Gateway) -> None:
    jobs.fake.error = ServerFaultError("10.0.0.7 is on fire.")
    done = ended(jobs, submit(jobs)["id"])
    assert done["state"] == "failed"
    assert done["attempts"] == 1, "asking again would not help"
    assert done["problem"]["status"] == 502
    assert "10.0.0.7" not in str(done)
    assert [one["problem"]["status"] for one in done["result"]["results"]] == [502, 422, 502]


def test_jobs_are_counted(jobs: Gateway) -> None:
    ended(jobs, submit(jobs)["id"])
    text = jobs.get("/metrics").text
    assert 'fashioncrop_gateway_jobs{state="succeeded"}' in text
    assert 'fashioncrop_gateway_jobs{state="queued"} 0.0' in text


def test_a_gateway_without_jobs_says_so(gateway: Gateway) -> None:
    for response in (
        gateway.post("/jobs/submit/detect", json=THREE),
        gateway.get("/jobs"),
        gateway.get(f"/jobs/{uuid.uuid4()}"),
        gateway.client.delete(f"/jobs/{uuid.uuid4()}", headers=gateway.headers),
    ):
        assert "--jobs" in refused(response, 501, "not-offered")


class TestBook:
    """The book itself, with nobody who works."""

    @pytest.fixture
    async def url(self, place: SecretStr) -> AsyncIterator[str]:
        """A database of a test's own, which no worker knows."""
        embedded = EmbeddedPostgres(Path(place.get_secret_value()))
        try:
            yield make_database((await asyncio.to_thread(embedded.open)).rpartition(" dbname=")[0])
        finally:
            embedded.close()

    @pytest.fixture
    async def book(self, url: str) -> AsyncIterator[Book]:
        database = JobsDatabase(url, "here")
        await database.open()
        yield Book(database, keep_s=3600)
        await database.close()

    @staticmethod
    def submission(key: str | None = None, total: int = 2) -> Submission:
        return Submission("detect", ANYBODY, b"{}", uuid.uuid4().bytes, total, key)

    async def test_two_who_run_one_job_write_each_result_once_and_end_it_once(self, book: Book) -> None:
        job = await book.submit(self.submission())
        one, other = await book.claim(job.id), await book.claim(job.id)
        assert one is not None
        assert other is not None
        assert (one.attempts, other.attempts) == (1, 2)
        assert await book.write(job.id, 0, b"first")
        assert await book.write(job.id, 0, b"second"), "it is there, and the other may go on"
        third = await book.claim(job.id)
        assert third is not None
        assert third.done == {0}
        assert await book.write(job.id, 1, b"last")
        ends = await asyncio.gather(*(book.finish(job.id, None) for _ in range(3)))
        assert sorted(ends) == [False, False, True]
        assert await book.results(job.id) == [b"first", b"last"]
        assert not await book.write(job.id, 1, b"late")
        assert await book.claim(job.id) is None
        await book.remove(job.id, None)

    async def test_a_job_that_ends_workers_does_not_go_on_for_ever(self, book: Book, jobs: Gateway) -> None:
        job = await book.submit(self.submission())
        for _ in range(MOST_ATTEMPTS):
            assert await book.claim(job.id) is not None
        assert await Runner(book, jobs.workshop).run(job.id) is None
        done = await book.get(job.id, None)
        assert done is not None
        assert done.state == "failed"
        assert done.problem is not None
        assert "6 times" in done.problem.detail
        await book.remove(job.id, None)

    async def test_what_has_expired_is_removed_and_what_was_forgotten_is_found(self, book: Book) -> None:
        old, forgotten = await book.submit(self.submission()), await book.submit(self.submission())
        async with book.database.transaction() as transaction:
            await transaction.run("UPDATE job SET expires = now() - interval '1 s' WHERE id = %(id)s", id=old.id)
            await transaction.run(
                "UPDATE job SET created = now() - interval '1 hour', state = 'running' WHERE id = %(id)s",
                id=forgotten.id,
            )
            await transaction.run("DELETE FROM procrastinate_jobs WHERE args ->> 'job' = %(id)s", id=forgotten.id)
        removed, found = await book.tidy(60)
        assert removed >= 1
        assert forgotten.id in found
        assert await book.get(old.id, None) is None
        await book.database.enqueue(forgotten.id)
        await book.database.enqueue(forgotten.id)  # once is enough, and twice does no harm
        assert forgotten.id not in (await book.tidy(60))[1]
        await book.remove(forgotten.id, None)

    async def test_a_page_ends_where_the_jobs_end(self, book: Book) -> None:
        early = dt.datetime(2000, 1, 1, tzinfo=dt.UTC), str(uuid.uuid4())
        assert await book.page(None, state=None, kind=None, limit=5, before=early) == []

    async def test_opening_again_and_at_once_changes_nothing(self, url: str) -> None:
        async def opened() -> int:
            database = JobsDatabase(url, "here")
            await database.open()
            try:
                async with database.transaction() as transaction:
                    return len(await transaction.rows("SELECT name FROM step"))
            finally:
                await database.close()

        counts = [await opened(), *await asyncio.gather(*(opened() for _ in range(3)))]
        assert len(set(counts)) == 1
        assert counts[0] > 30, "procrastinate's migrations are steps"

    async def test_a_database_that_does_not_answer_is_told_without_its_password(self) -> None:
        database = JobsDatabase("postgresql://jo:PLANTED@127.0.0.1:1/jobs", "127.0.0.1:1/jobs")
        with pytest.raises(QueueError) as caught:
            await database.open()
        assert "127.0.0.1:1/jobs" in str(caught.value)
        assert "PLANTED" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"

    @pytest.mark.parametrize("url", ["postgresql://a b", "nonsense PLANTED", "host"])
    def test_what_is_no_address_is_told(self, url: str) -> None:
        with pytest.raises(OptionError) as caught:
            JobsDatabase(url, "here")
        assert "PLANTED" not in str(caught.value)


def test_a_database_that_goes_away_is_told_and_comes_back(place: SecretStr, tmp_path: Path) -> None:
    with Gateway(tmp_path, jobs=True, jobs_database=place) as own:
        eventually(lambda: own.workshop.book is not None and own.get("/jobs").status_code == 200)
        book = own.workshop.book
        assert book is not None
        pool = book.database._pool
        own.run(pool.close())
        refused(own.get("/jobs"), 503, "unavailable")
        refused(own.post("/jobs/submit/detect", json=THREE), 503, "unavailable")
        assert own.get("/health/live").status_code == 200

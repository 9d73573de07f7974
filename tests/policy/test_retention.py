"""Which ended jobs are forgotten."""

from collections.abc import Iterable

from bgjobd.policy.retention import Ended, Limits, beyond

DAY_NS = 86_400 * 10**9
NOW_NS = 100 * DAY_NS
JOBS = [Ended(f"job-{age}", NOW_NS - age * DAY_NS, 100) for age in range(4, -1, -1)]  # oldest first
NONE = Limits(None, None, None)


def plan(limits: Limits, jobs: list[Ended] = JOBS, now_ns: int = NOW_NS) -> list[str]:
    return named(beyond(limits, jobs, len(jobs), sum(job.kept_bytes for job in jobs), now_ns))


def named(jobs: Iterable[Ended]) -> list[str]:
    return [job.job_id for job in jobs]


def test_without_limits_everything_stays() -> None:
    assert plan(NONE) == []


def test_jobs_beyond_the_number_go_oldest_first() -> None:
    assert plan(NONE._replace(keep_jobs=3)) == ["job-4", "job-3"]
    assert plan(NONE._replace(keep_jobs=0)) == ["job-4", "job-3", "job-2", "job-1", "job-0"]


def test_jobs_that_are_too_old_go() -> None:
    assert plan(NONE._replace(keep_for_s=2.5 * 86_400)) == ["job-4", "job-3"]


def test_jobs_beyond_the_total_size_go_but_never_the_newest() -> None:
    assert plan(NONE._replace(total_bytes=250)) == ["job-4", "job-3", "job-2"]
    assert plan(NONE._replace(total_bytes=10)) == ["job-4", "job-3", "job-2", "job-1"]


def test_any_limit_that_is_passed_is_enough() -> None:
    assert plan(Limits(keep_jobs=4, keep_for_s=3.5 * 86_400, total_bytes=350)) == ["job-4", "job-3"]


def test_jobs_that_must_stay_count_and_are_not_named() -> None:
    assert named(beyond(NONE._replace(keep_jobs=3), JOBS[1:], 5, 500, NOW_NS)) == ["job-3", "job-2"]


def test_no_more_is_looked_at_than_has_to_go() -> None:
    looked_at = []

    def jobs():
        for job in JOBS:
            looked_at.append(job.job_id)
            yield job

    assert named(beyond(NONE._replace(keep_jobs=4), jobs(), 5, 500, NOW_NS)) == ["job-4"]
    assert looked_at == ["job-4", "job-3"]


def test_a_clock_that_was_set_back_makes_jobs_young() -> None:
    assert plan(NONE._replace(keep_for_s=86_400), now_ns=NOW_NS - 50 * DAY_NS) == []

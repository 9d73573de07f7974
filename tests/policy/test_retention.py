"""Which ended jobs are forgotten."""

from bgjobd.policy.retention import Ended, Limits, beyond

DAY_NS = 86_400 * 10**9
NOW_NS = 100 * DAY_NS
JOBS = [Ended(f"job-{age}", NOW_NS - age * DAY_NS, 100) for age in range(5)]  # newest first
NONE = Limits(None, None, None)


def test_without_limits_everything_stays() -> None:
    assert beyond(NONE, JOBS, NOW_NS) == []


def test_jobs_beyond_the_number_go_oldest_first() -> None:
    assert beyond(NONE._replace(keep_jobs=3), JOBS, NOW_NS) == ["job-4", "job-3"]
    assert beyond(NONE._replace(keep_jobs=0), JOBS, NOW_NS) == ["job-4", "job-3", "job-2", "job-1", "job-0"]


def test_jobs_that_are_too_old_go() -> None:
    assert beyond(NONE._replace(keep_for_s=2.5 * 86_400), JOBS, NOW_NS) == ["job-4", "job-3"]


def test_jobs_beyond_the_total_size_go_but_never_the_newest() -> None:
    assert beyond(NONE._replace(total_bytes=250), JOBS, NOW_NS) == ["job-4", "job-3", "job-2"]
    assert beyond(NONE._replace(total_bytes=10), JOBS, NOW_NS) == ["job-4", "job-3", "job-2", "job-1"]


def test_a_small_old_job_stays_when_a_large_one_between_goes() -> None:
    jobs = [Ended("new", NOW_NS, 10), Ended("huge", NOW_NS, 1000), Ended("small", NOW_NS, 10)]
    assert beyond(NONE._replace(total_bytes=100), jobs, NOW_NS) == ["huge"]


def test_a_clock_that_was_set_back_makes_jobs_young() -> None:
    assert beyond(NONE._replace(keep_for_s=86_400), JOBS, NOW_NS - 50 * DAY_NS) == []

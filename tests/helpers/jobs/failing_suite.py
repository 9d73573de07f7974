"""A test suite with one test that passes and one that fails, to be run as a job."""


def test_that_passes() -> None:
    assert "bgjob"


def test_that_fails() -> None:
    assert not "bgjob"

"""How a job is named and found: rules of `bgjobd.model.reference`."""

import pytest

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.model.reference import (
    MAX_NAME_LENGTH,
    ActiveJobs,
    check_name,
    id_prefix,
    is_job_id,
    new_job_id,
    resolve,
    short_id,
)

A = "aaaa1111-0000-4000-8000-000000000001"
B = "aaaa2222-0000-4000-8000-000000000002"
C = "cccc3333-0000-4000-8000-000000000003"


def code_of(call, *arguments):
    with pytest.raises(BgjobError) as caught:
        call(*arguments)
    return caught.value.code


def test_a_new_id_is_a_job_id_and_differs_from_the_next():
    first, second = new_job_id(), new_job_id()
    assert is_job_id(first) and is_job_id(second) and first != second


@pytest.mark.parametrize("text", ["", "aaaa1111", A.upper(), A + "\n", " " + A, A.replace("-", ""), A[:-1] + "g"])
def test_only_the_canonical_form_is_a_job_id(text):
    assert not is_job_id(text)


@pytest.mark.parametrize("name", ["a", "dev-server", "build:web", "тест", "x" * MAX_NAME_LENGTH, "aaaa1111", "🚀"])
def test_printable_words_are_names(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * (MAX_NAME_LENGTH + 1),
        "two words",
        "tab\t",
        "nul\0",
        "\x1b[31m",
        "-n",
        A,
        A.upper(),
        "\u00a0",
        "a\u2028b",
    ],
)
def test_what_could_be_mistaken_for_something_else_is_no_name(name):
    assert code_of(check_name, name) is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("AAAA", "aaaa"),
        ("aaaa1111", "aaaa1111"),
        ("aaaa1111-", "aaaa1111"),
        ("aaaa11110", "aaaa1111-0"),
        (A.replace("-", ""), A),
        (A, A),
        ("xyz", ""),
        ("", ""),
        ("-", ""),
        (A + "0", ""),
    ],
)
def test_a_prefix_gets_its_dashes_where_an_id_has_them(text, prefix):
    assert id_prefix(text) == prefix


def test_a_whole_id_wins_over_everything():
    active, ended = ActiveJobs({C: "x"}), ActiveJobs({A: "", B: ""})
    assert resolve(B, [active, ended]) == B
    assert resolve(f"  {A.upper()} ", [active, ended]) == A


def test_an_active_job_goes_before_an_ended_one_of_the_same_name():
    assert resolve("web", [ActiveJobs({A: "web"}), ActiveJobs({B: "web", C: "web"})]) == A


def test_of_ended_jobs_with_one_name_the_newest_is_meant():
    assert resolve("web", [ActiveJobs({}), ActiveJobs({A: "web", B: "web", C: "other"})]) == B


def test_a_name_that_looks_like_a_prefix_is_a_name_first():
    assert resolve("aaaa", [ActiveJobs({C: "aaaa", A: ""})]) == C


def test_a_unique_prefix_finds_its_job_in_either_catalogue():
    catalogues = [ActiveJobs({A: ""}), ActiveJobs({C: ""})]
    assert resolve("aaaa", catalogues) == A
    assert resolve("CCCC-3333", catalogues) == C


def test_a_job_in_both_catalogues_is_not_ambiguous():
    assert resolve("aaaa", [ActiveJobs({A: "n"}), ActiveJobs({A: "n"})]) == A


def test_an_ambiguous_prefix_lists_every_candidate():
    with pytest.raises(BgjobError) as caught:
        resolve("aaaa", [ActiveJobs({A: "one"}), ActiveJobs({B: "two", C: ""})])
    assert caught.value.code is ErrorCode.AMBIGUOUS_JOB
    assert [job["job_id"] for job in caught.value.details["candidates"]] == [A, B]
    assert A in caught.value.hint and "two" in caught.value.hint


def test_a_misspelt_name_is_answered_with_the_close_ones():
    with pytest.raises(BgjobError) as caught:
        resolve("dev-sever", [ActiveJobs({A: "dev-server"}), ActiveJobs({B: "unrelated"})])
    assert caught.value.code is ErrorCode.NO_SUCH_JOB
    assert caught.value.details["candidates"] == [{"job_id": A, "name": "dev-server"}]
    assert "dev-server" in caught.value.hint and short_id(A) in caught.value.hint


def test_a_mistyped_id_is_answered_with_the_close_one():
    with pytest.raises(BgjobError) as caught:
        resolve(C[:-1] + "9", [ActiveJobs({A: "", C: ""})])
    assert caught.value.details["candidates"][0]["job_id"] == C


def test_three_digits_are_too_few_even_if_they_would_be_unique():
    assert code_of(resolve, "ccc", [ActiveJobs({C: ""})]) is ErrorCode.NO_SUCH_JOB


def test_a_reference_that_no_name_can_be_as_long_as_is_told_in_short():
    with pytest.raises(BgjobError) as caught:
        resolve("x" * 3000, [ActiveJobs({C: ""})])
    assert caught.value.code is ErrorCode.NO_SUCH_JOB and len(caught.value.message) < 3 * MAX_NAME_LENGTH


def test_without_any_jobs_the_error_says_so():
    with pytest.raises(BgjobError) as caught:
        resolve("web", [ActiveJobs({})])
    assert caught.value.code is ErrorCode.NO_SUCH_JOB and caught.value.details["candidates"] == []


@pytest.mark.parametrize("reference", ["", "  "])
def test_an_empty_reference_is_a_wrong_argument(reference):
    assert code_of(resolve, reference, [ActiveJobs({A: ""})]) is ErrorCode.INVALID_ARGUMENT

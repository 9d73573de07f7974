"""A test run that passes, verbosely: 2,000 lines, one for each test."""

from pace import paced

TESTS = 2000

print("============================= test session starts ==============================")
print(f"collected {TESTS} items\n", flush=True)
for number in paced("suite", range(1, TESTS + 1), 20.0):
    area = ("storage", "protocol", "session", "render")[number % 4]
    print(f"tests/test_{area}.py::test_case_{number:04} PASSED [{number * 100 // TESTS:3}%]", flush=True)
print(f"\n============================= {TESTS} passed in 20.13s =============================")

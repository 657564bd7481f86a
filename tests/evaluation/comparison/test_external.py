"""Outside programs: their inputs, and one line for every failure."""

import os
import sys
import time

import psutil
import pytest

from overtone.core.errors import OvertoneError
from overtone.evaluation.comparison import external
from overtone.evaluation.comparison.external import Program

INSTALL = "ask\n  around"
COPY = """
import pathlib, shutil, sys
for path in pathlib.Path(sys.argv[1]).iterdir():
    shutil.copy(path, sys.argv[2])
"""


@pytest.fixture
def run(tmp_path):
    """Run a Python script as a program on two files; gives the work and the output folder."""
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    for name in ("a.wav", "b.wav"):
        (inputs / name).write_text(name)

    def run(script, command="{python} {script} {input} {output}", **changes):
        recipe = {"command": command, "install": INSTALL, "python": sys.executable, "script": script}
        return external.run(Program(**(recipe | changes)), inputs, outputs, 4800.5, 44100), outputs

    return run


def reason(run, *arguments, **changes):
    with pytest.raises(OvertoneError) as caught:
        run(*arguments, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_program_writes_a_file_for_every_file(run):
    work, outputs = run(COPY)
    assert {path.name: path.read_text() for path in outputs.iterdir()} == {"a.wav": "a.wav", "b.wav": "b.wav"}
    assert 0 < work.seconds < 60


def test_the_command_has_cutoff_and_rate_and_braces_of_a_shell_stay(run, monkeypatch):
    monkeypatch.setenv("OVERTONE_PROGRAMS", "/there")
    command = "x=1; echo {cutoff} {rate} ${x} {programs} > {output}/a.wav; cp {input}/b.wav {output}/b.wav"
    _, outputs = run("", command=f"sh -c '{command}'")
    assert (outputs / "a.wav").read_text() == "4800.5 44100 1 /there\n"


def test_it_runs_in_its_own_environment(run, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/not/for/others")
    script = COPY + "import os; assert 'PYTHONPATH' not in os.environ and os.getcwd() != sys.argv[3]"
    run(script, command="{python} {script} {input} {output} " + os.getcwd())


@pytest.mark.parametrize(
    "changes",
    [
        {"command": "no-such-program {input} {output}"},
        {"python": "/no/such/python"},
        {"needs": ("{programs}/checkpoint",)},
        {"needs": ("no-such-program",)},
    ],
)
def test_a_missing_program_says_how_to_get_it(run, changes):
    assert reason(run, COPY, **changes) == "not installed: ask around"


def test_a_crash_is_reported_with_its_last_line(run):
    message = reason(run, "import sys; print('one'); raise ValueError('no such layer')")
    assert message == "failed with exit code 1: ValueError: no such layer"


def test_a_killed_program_is_reported_by_its_signal(run):
    assert reason(run, "import os; os.kill(os.getpid(), 11)") == "died of SIGSEGV"


def test_a_file_that_is_no_program_does_not_start(run, tmp_path):
    (tmp_path / "data").write_bytes(b"\x7fELF no program")
    (tmp_path / "data").chmod(0o755)
    assert reason(run, "", command=f"{tmp_path}/data {{input}} {{output}}").startswith("does not start: ")


@pytest.mark.parametrize("starts", ["sleep 60 &", "setsid sleep 60 &"], ids=["its own", "another session"])
def test_a_program_that_hangs_is_stopped_with_its_children(run, tmp_path, starts):
    command = f"sh -c '{starts} echo $! > {tmp_path}/pid; wait' {{input}} {{output}}"
    began = time.monotonic()
    assert reason(run, "", command=command, timeout=1.0) == "stopped after 1 s, its time-out"
    assert time.monotonic() - began < 30
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 30
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_program_that_takes_too_much_memory_is_stopped(run):
    script = "import time; held = b'x' * 300_000_000; time.sleep(60)"
    message = reason(run, script, memory_gb=0.1)
    assert message.startswith("stopped at 0.")
    assert message.endswith("GB; its limit is 0.1")


def test_peak_memory_is_measured(run):
    work, _ = run(COPY + "import time; held = b'x' * 100_000_000; time.sleep(0.5)")
    assert 0.1e9 < work.memory < 0.2e9


def test_a_program_that_writes_nothing_is_reported(run):
    assert reason(run, "") == "wrote nothing: a.wav is not in its output folder"


def test_a_missing_output_file_is_reported(run):
    message = reason(run, "import sys; open(sys.argv[2] + '/a.wav', 'w')")
    assert message == "wrote 1 of 2 files: no b.wav"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x:\n  command: cp {input}\n  install: i", "x: command is 'cp {input}'; it is a command line that"),
        ("x:\n  command: cp {input} {output}\n  install: ' '", "x: install is ' '; it is a line that says"),
        ("x:\n  command: a {input} {output}\n  install: i\n  timeout: 0", "x: timeout is 0.0; it is a time"),
        ("x:\n  command: a {input} {output}\n  install: i\n  memory_gb: -1", "x: memory_gb is -1.0; it is a"),
        ("x:\n  comand: a", "x: comand is not known; x has command, install"),
        ("y: {}", "has no group 'x:'"),
    ],
)
def test_a_bad_recipe_is_one_line(tmp_path, text, message):
    (tmp_path / "programs.yaml").write_text(text)
    with pytest.raises(OvertoneError) as caught:
        external.recipe("x", tmp_path / "programs.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_recipes_are_known_by_name(tmp_path):
    assert external.names(tmp_path / "programs.yaml") == []
    (tmp_path / "programs.yaml").write_text("a: {}\nb: {}\n")
    assert external.names(tmp_path / "programs.yaml") == ["a", "b"]
    (tmp_path / "programs.yaml").write_text("- a")
    with pytest.raises(OvertoneError, match="recipes by name"):
        external.names(tmp_path / "programs.yaml")

"""Commands as processes of their own: what they load, how they end, what survives a signal."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "numpy", "sklearn", "PIL", "rich", "onnx"}
SPEC = """
netlang: 1
name: small
networks:
  net: {inputs: {point: [N, 2]}, layers: {h: linear(8) -> tanh, y: linear(2)}}
data:
  train: moons(samples=64)
  test: moons(samples=32, seed=1)
train:
  epochs: EPOCHS
  batch: 16
  steps:
    - update: net
      minimize: cross_entropy(net(point), label)
      with: adam
  metrics:
    accuracy: accuracy(net(point), label)
"""


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "NETLANG_TRACEBACK")}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | variables


def netlang(*arguments: object, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "netlang", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment(**variables))


def loaded_by(program: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after the program."""
    ending = "\nprint('modules', *sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}{ending}"], capture_output=True, text=True, check=False, cwd=ROOT, env=environment()
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def small(folder: Path, epochs: int) -> Path:
    path = folder / "small.yaml"
    path.write_text(SPEC.replace("EPOCHS", str(epochs)))
    return path


def read_all(descriptor: int) -> bytes:
    """What is written to a terminal until its last process has gone, which Linux tells as an error."""
    parts = []
    try:
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except OSError:
        pass
    os.close(descriptor)
    return b"".join(parts)


@pytest.mark.parametrize("arguments", [["check", "vgg19"], ["check", "nowhere"], ["check", "lenet5", "--json"], ["schema"], ["--version"]])
def test_check_loads_nothing_heavy(arguments: list[str]) -> None:
    loaded = loaded_by(f"from netlang.cli import run\nrun({arguments!r})")
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "arguments", [["show", "vgg19"], ["show", "gan", "--program"], ["explain"], ["ops", "conv"], ["specs"], ["--help"], ["train", "-h"]]
)
def test_looking_loads_neither_torch_nor_numpy(arguments: list[str]) -> None:
    assert loaded_by(f"from netlang.cli import run\nrun({arguments!r})").isdisjoint(HEAVY - {"rich"})


def test_importing_netlang_loads_next_to_nothing() -> None:
    assert loaded_by("import netlang, compiler").isdisjoint(HEAVY | {"click", "lark", "yaml"})
    assert loaded_by("import netlang\nnetlang.check('lenet5')").isdisjoint(HEAVY)


def test_building_for_numpy_loads_no_torch(tmp_path: Path) -> None:
    program = f"import netlang\nnetlang.build('lenet5', {str(tmp_path / 'out')!r}, to='numpy')\nnetlang.load('lenet5', backend='numpy')"
    assert "torch" not in loaded_by(program)


def test_exit_codes_reach_the_shell(tmp_path: Path) -> None:
    assert netlang("check", "lenet5").returncode == 0
    assert netlang("check", "lenet55").returncode == 2
    (tmp_path / "net.yaml").write_text("netlang: 1\nnetworks: {}\nwhat: 1\n")
    assert netlang("check", tmp_path / "net.yaml").returncode == 1
    refused = netlang("train", small(tmp_path, 1), "--max-bytes", 100, cwd=tmp_path)
    assert refused.returncode == 3
    assert "NL711" in refused.stderr
    assert not (tmp_path / "runs").exists()


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m netlang ops --json | head -c 10"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT, env=environment()
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_knows_ascii_alone() -> None:
    done = netlang("show", "lenet5", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n-----" in done.stdout
    assert done.stdout.isascii()


def test_training_in_a_pipe_is_one_line_an_epoch(tmp_path: Path) -> None:
    done = netlang("train", small(tmp_path, 3), "--run", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [
        re.match(r"epoch (\d)/3  iteration (\d+)  objective [\d.]+  accuracy [01]\.\d{4}  [\d.]+ s$", line) is not None for line in lines
    ] == [True] * 3
    assert re.fullmatch(rf"accuracy [01]\.\d{{4}}\n{re.escape(str(tmp_path / 'run' / 'model.safetensors'))}\n", done.stdout)
    assert "\x1b" not in done.stdout + done.stderr
    measured = netlang("eval", small(tmp_path, 3), "--weights", tmp_path / "run")
    assert measured.stdout == done.stdout.splitlines()[0] + "\n"


def test_training_on_a_terminal_shows_a_bar(tmp_path: Path) -> None:
    spec = small(tmp_path, 3)
    own, theirs = pty.openpty()
    command = [sys.executable, "-m", "netlang", "train", str(spec), "--run", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment(TERM="xterm-256color", COLUMNS="100"), cwd=tmp_path)
    os.close(theirs)
    shown = read_all(own).decode()
    assert process.wait() == 0
    assert "epoch 3/3" in shown
    assert "━" in shown
    last = shown.rindex("\x1b[?25h")
    assert "model.safetensors" in shown[last:], "results follow when the bar is gone"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_run_which_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    spec = small(tmp_path, 100_000)
    command = [sys.executable, "-m", "netlang", "train", str(spec), "--run", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path)
    assert process.stderr is not None
    process.stderr.readline()
    time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert out == ""
    assert err.splitlines()[-1] == f"stopped; to go on: netlang train {spec} --resume {tmp_path / 'run'}"
    assert "Traceback" not in err
    done = netlang("train", spec, "--resume", tmp_path / "run", "--epochs", 1)
    assert done.returncode == 0, done.stderr

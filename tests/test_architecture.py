"""The house rules that no linter knows: sizes of files and functions, forbidden calls, what an import loads, what the set-up says."""

from __future__ import annotations

import ast
import importlib.resources
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES = 400
MOST_FUNCTION_LINES = 60

LONGER: dict[str, str] = {}
"""Files (`path.py`) and functions (`path.py:name`) that may be longer, each with its reason."""

ALLOWED: dict[str, str] = {
    "compiler/backends/execution.py:compile": "runs what a back end printed, under a name that tracebacks show",
    "compiler/backends/execution.py:exec": "the same",
    "compiler/ops/registry.py:import_module": "loads the files of this folder that its own table names",
    "netlang/data/packages.py:import_module": "loads optional packages by names that stand in this code, never in a spec",
    "netlang/training/foreign_weights.py:load": "reads a file of PyTorch with `weights_only=True`, which makes nothing but tensors",
    "netlang/training/foreign_weights.py:pickle": "for the name of the exception with which torch refuses anything else",
}
"""Calls (`path.py:call`) that are otherwise never made, each with its reason."""

FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MEMBERS = {
    "importlib": {"import_module"},
    "os": {"popen", "system"},
    "torch": {"load"},
    "yaml": {"full_load", "load", "load_all", "unsafe_load"},
}
FORBIDDEN_MODULES = {"cPickle", "dill", "marshal", "pickle", "shelve"}


def list_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def find_long(path: Path, source: str) -> Iterator[tuple[str, int]]:
    """What is longer than allowed, as `path.py` or `path.py:function`, with its lines."""
    count = len(source.splitlines())
    if count > MOST_LINES:
        yield relative(path), count
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MOST_FUNCTION_LINES:
                yield f"{relative(path)}:{node.name}", length


def find_forbidden(source: str) -> Iterator[tuple[str, int]]:
    """Calls, imports and handlers that are not allowed, with their lines."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_NAMES:
                yield name, node.lineno
            case ast.Attribute(value=ast.Name(id=base), attr=member) if member in FORBIDDEN_MEMBERS.get(base, ()):
                yield member, node.lineno
            case ast.Import(names=names) if found := FORBIDDEN_MODULES & {item.name.split(".")[0] for item in names}:
                yield from ((module, node.lineno) for module in sorted(found))
            case ast.ImportFrom(module=str(module), names=names):
                if module.split(".")[0] in FORBIDDEN_MODULES:
                    yield module, node.lineno
                yield from ((item.name, node.lineno) for item in names if item.name in FORBIDDEN_MEMBERS.get(module, ()))
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                yield "shell=True", node.value.lineno
            case ast.ExceptHandler(type=None):
                yield "except:", node.lineno
            case _:
                pass


def test_files_and_functions_are_short() -> None:
    found = {name: count for path in list_files("compiler", "netlang", "tests") for name, count in find_long(path, path.read_text())}
    assert {name: count for name, count in found.items() if name not in LONGER} == {}
    assert set(LONGER) <= set(found), "an exception that nothing needs any more"


def test_no_forbidden_calls() -> None:
    found = {
        f"{relative(path)}:{call}": line
        for path in list_files("compiler", "netlang", "specs")
        for call, line in find_forbidden(path.read_text())
    }
    assert {name: line for name, line in found.items() if name not in ALLOWED} == {}
    assert set(ALLOWED) <= set(found), "an exception that nothing needs any more"


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("eval('1')", "eval"),
        ("exec(compile(text, 'x', 'exec'))", "exec"),
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle"),
        ("from torch import load", "load"),
        ("torch.load(path)", "load"),
        ("reader = yaml.load", "load"),
        ("subprocess.run(text, shell=True)", "shell=True"),
        ("try:\n    pass\nexcept:\n    pass", "except:"),
        ("__import__(name)", "__import__"),
    ],
)
def test_forbidden_calls_are_seen(source: str, call: str) -> None:
    assert call in [name for name, _ in find_forbidden(source)]


def test_harmless_calls_are_not_seen() -> None:
    source = "re.compile('x'); yaml.compose(text); json.load(file)\ntry:\n    pass\nexcept ValueError:\n    pass\nrun(shell=False)"
    assert list(find_forbidden(source)) == []


def loaded_after(imports: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after these imports."""
    program = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{imports}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def module_name(path: Path) -> str:
    return relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_the_compiler_loads_no_tensor_library() -> None:
    modules = [module_name(path) for path in list_files("compiler") if "runtime" not in path.stem]
    assert loaded_after(f"import {', '.join(modules)}").isdisjoint({"numpy", "torch", "onnx", "sklearn", "PIL", "netlang"})


def test_netlang_and_its_readers_load_no_tensor_library() -> None:
    assert loaded_after("import netlang, netlang.data").isdisjoint({"numpy", "torch", "onnx", "sklearn", "PIL"})


def test_everything_loads_without_torch() -> None:
    modules = [module_name(path) for path in list_files("compiler", "netlang") if path.stem != "__main__"]
    assert "torch" not in loaded_after(f"import {', '.join(modules)}")


def test_specs_are_found_and_shipped() -> None:
    folder = importlib.resources.files("specs")
    assert folder.joinpath("__init__.py").is_file()
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    files = [path for name in ("compiler", "netlang", "specs") for path in (ROOT / name).rglob("*") if path.is_file()]
    code = {".py", ".pyc", ".pyi"}
    assert [relative(path) for path in files if path.suffix not in code and not any(fnmatch(path.name, item) for item in patterns)] == []


def test_ci_runs_the_second_command_of_the_readme() -> None:
    commands = re.findall(r"```sh\n(.*?)\n```", (ROOT / "README.md").read_text().split("\n## ")[1], re.DOTALL)
    assert len(commands) == 2, "one command for the main job, one for the tests"
    wanted = commands[1].split(" && ")
    steps = [line.replace('"$venv"', ".venv") for line in (ROOT / ".ci" / "run").read_text().splitlines()]
    assert [step for step in steps if step in wanted] == wanted

"""What the documentation shows must run: code blocks in order, docstring examples, type stubs."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import minigrad
from minigrad import backend, op, stubs
from minigrad.tensor import Tensor

ROOT = Path(__file__).parent.parent


def code_blocks(name):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)


def modules():
    found = pkgutil.walk_packages(minigrad.__path__, "minigrad.")
    return ["minigrad", *(m.name for m in found if not m.name.endswith("__main__"))]


@pytest.fixture
def definitions_undone():
    """Ops and backends that an example defines must not reach other tests."""
    registry, methods = dict(op.registry), dict(vars(Tensor))
    tables = [(t, dict(t)) for t in (backend.XP, backend._by_type, backend._by_name)]
    yield
    for name in set(op.registry) - set(registry):
        del op.registry[name]
    for name in set(vars(Tensor)) - set(methods):
        delattr(Tensor, name)
    for table, before in tables:
        table.clear()
        table.update(before)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_code_blocks_run_in_order(name, definitions_undone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # they write files
    blocks = code_blocks(name)
    assert blocks
    namespace = {"__name__": "documentation"}
    for block in blocks:
        exec(compile(block, name, "exec"), namespace)


def test_the_readme_example_is_about_fifteen_lines():
    first = [line for line in code_blocks("README.md")[0].splitlines() if line.strip()]
    assert 10 <= len(first) <= 15


def test_the_readme_shows_what_its_blocks_print(capsys, tmp_path, monkeypatch, definitions_undone):
    pytest.importorskip("sklearn")
    pytest.importorskip("safetensors")
    monkeypatch.chdir(tmp_path)
    namespace, text, shown = {"__name__": "documentation"}, (ROOT / "README.md").read_text(), 0
    for block in code_blocks("README.md"):
        exec(block, namespace)
        printed = capsys.readouterr().out
        shown += bool(printed)
        assert not printed or f"```text\n{printed}```" in text
    assert shown >= 2


def test_the_readme_counts_the_ops_rightly():
    ours = [each for each in op.registry.values() if each.forward.__module__[:9] == "minigrad."]
    named = sum(each.method for each in ours)
    assert f"| the ops, {named} by name |" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", modules())
def test_docstring_examples_give_what_they_say(name, request):
    if name == "minigrad.backend.cupy":
        request.getfixturevalue("standin")  # importing it imports CuPy
    names = {"mg": minigrad, "np": np}  # ops stand below `import minigrad as mg`
    results = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.ELLIPSIS, extraglobs=names
    )
    assert results.failed == 0


@pytest.mark.parametrize("file", sorted(stubs.STUBS))
def test_stubs_are_current(file):
    assert (stubs.FOLDER / file).read_text() == stubs.text_of(file), "run python -m minigrad.stubs"


def test_no_machine_path_or_registry_host_is_committed():
    pattern = re.compile(r"(?<![\w.])/(?:home|root|tmp)/\w|https?://\S+/simple\b")
    for path in ROOT.rglob("*"):
        if path.suffix in {".py", ".md", ".toml", ".pyi"} and ".venv" not in path.parts:
            assert path == Path(__file__) or not pattern.search(path.read_text()), path

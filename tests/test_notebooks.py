"""The notebooks: script and notebook are pairs, what is committed is clean, what is mistyped."""

import base64
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "notebooks"


def command_line():
    """examples/notebooks/__main__.py, under another name: pytest has a __main__ already."""
    spec = importlib.util.spec_from_file_location("notebooks_main", FOLDER / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lab = command_line()
NAMES = lab.names()


def committed(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def outputs(notebook):
    return [each for cell in notebook["cells"] for each in cell.get("outputs", [])]


def texts(notebook):
    """What outputs say in words, SVG and HTML included."""
    for each in outputs(notebook):
        yield "".join(each.get("text", []))
        for kind, data in each.get("data", {}).items():
            if not kind.startswith("image/") or kind == "image/svg+xml":
                yield "".join(data)


# ---- pairs


def test_every_notebook_has_its_script():
    assert sorted(file.stem for file in FOLDER.glob("*.ipynb")) == NAMES
    assert len(NAMES) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_script_and_notebook_are_a_pair(name):
    pytest.importorskip("jupytext")
    assert lab.differences(name) == "", "run ./run notebooks"


def test_a_changed_script_is_noticed(tmp_path, monkeypatch):
    pytest.importorskip("jupytext")
    name = NAMES[0]
    for kind in ("py", "ipynb"):
        (tmp_path / f"{name}.{kind}").write_bytes((FOLDER / f"{name}.{kind}").read_bytes())
    monkeypatch.setattr(lab, "HERE", tmp_path)
    script = tmp_path / f"{name}.py"
    before = script.read_text(encoding="utf-8")
    assert lab.differences(name) == ""
    script.write_text(before.replace("import minigrad as mg", "import minigrad", 1))
    assert "is not that of" in lab.differences(name)
    script.write_text(before + "\n# %%\nprint(1)\n")
    assert "cells" in lab.differences(name)
    assert lab.check([name]) == 1
    (tmp_path / f"{name}.ipynb").unlink()
    assert "there is no" in lab.differences(name)


# ---- what is committed


@pytest.mark.parametrize("name", NAMES)
def test_each_code_cell_ran_in_order_without_an_error_or_a_warning(name):
    notebook = committed(name)
    counts = [c["execution_count"] for c in notebook["cells"] if c["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert outputs(notebook)
    for each in outputs(notebook):
        assert each["output_type"] != "error"
        assert each.get("name") != "stderr", each


@pytest.mark.parametrize("name", NAMES)
def test_nothing_tells_when_or_where_it_ran(name):
    notebook = committed(name)
    assert notebook["metadata"] == {"kernelspec": lab.KERNEL}
    for i, cell in enumerate(notebook["cells"]):
        assert cell["metadata"] == {}
        assert cell["id"] == f"cell-{i:02}"
    for text in texts(notebook):
        assert not re.search(r"(?<![\w.])/(?:home|root|tmp|work)/\w| at 0x[0-9a-f]{6}", text)
        assert not re.search(r"[\x00-\x08\x0b-\x1f]", text), "control characters of a progress bar"


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_small(name):
    for each in outputs(committed(name)):
        data = each.get("data", {})
        assert len(base64.b64decode(data.get("image/png", ""))) < 60_000
        assert len("".join(data.get("image/svg+xml", []))) < 60_000


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_notebooks(name):
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # ")
    assert "# ## What next" in text
    for link in re.findall(r"^# .*?\]\((.*?)\)", text, re.MULTILINE):
        assert "//" in link or (FOLDER / link).exists(), link


# ---- running them


def test_a_script_runs_by_itself_from_another_folder(tmp_path):
    script = FOLDER / "04_write_an_op.py"
    result = subprocess.run(
        [sys.executable, "-W", "error", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert "every law holds" in result.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["03", "3", "03_train", "03_train.py", "03_train.ipynb"])
def test_a_notebook_is_found_by_number_and_by_name(word):
    assert lab.found(word) == "03_train"


def test_an_unknown_notebook_is_answered_with_those_there_are(capsys):
    with pytest.raises(SystemExit) as stop:
        lab.main(["trian"])
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert "there is no notebook 'trian'" in printed
    assert all(name in printed for name in NAMES)


def test_what_is_not_installed_is_named(capsys, monkeypatch):
    monkeypatch.setattr(lab, "NEEDS", ("ipykernel_that_is_not_there",))
    with pytest.raises(SystemExit) as stop:
        lab.main(["--check"])
    assert stop.value.code == 1
    printed = capsys.readouterr().err
    assert "ipykernel_that_is_not_there" in printed
    assert "pip install" in printed

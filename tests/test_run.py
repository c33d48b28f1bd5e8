"""The `run` script: what a user types first, and mistypes."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*words):
    return subprocess.run([ROOT / "run", *words], capture_output=True, text=True, cwd=ROOT.parent)


@pytest.mark.parametrize("word", ["help", "-h", "--help"])
def test_help_lists_the_commands_and_benchmarks(word):
    result = run(word)
    assert result.returncode == 0
    for name in ("demo", "notebooks", "test", "bench", "lint", "batch_norm"):
        assert name in result.stdout
    assert "_harness" not in result.stdout


@pytest.mark.parametrize("words", [["tset"], ["bench", "bacth_norm"], ["bench", "_harnes"]])
def test_an_unknown_word_is_named_with_the_usage(words):
    result = run(*words)
    assert result.returncode == 2
    assert repr(words[-1]) in result.stderr
    assert "usage" in result.stderr


@pytest.mark.parametrize("words", [[], ["bench"]])
def test_nothing_to_do_shows_the_usage(words):
    result = run(*words)
    assert result.returncode == 2
    assert "usage" in result.stderr

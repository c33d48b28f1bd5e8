"""The script that draws BatchNorm in both forms: README's picture is what it makes."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import draw_batch_norm

COMMITTED = Path(draw_batch_norm.__file__).with_name("batch_norm.svg")
NUMBER = r"\d+\.\d+"  # places in pixels, whose last digit may depend on how Python adds


def test_the_committed_picture_is_the_scripts(tmp_path, capsys):
    picture = tmp_path / "batch_norm.svg"
    assert draw_batch_norm.main(["--out", str(picture)]) == 0
    written = picture.read_text(encoding="utf-8")
    kept = COMMITTED.read_text(encoding="utf-8")
    assert re.sub(NUMBER, "", written) == re.sub(NUMBER, "", kept)
    places = [np.array(re.findall(NUMBER, text), float) for text in (written, kept)]
    np.testing.assert_allclose(*places, rtol=0, atol=0.11)
    assert float(ElementTree.fromstring(written).get("width")) <= 800  # README's width
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("composed   13 ops keep  1,048,704 bytes")
    assert second.startswith("fused       1 op  keeps       512 bytes")
    assert last == f"picture: {picture}"


def test_composed_keeps_at_least_an_array_of_xs_size_and_fused_none():
    composed, fused = (draw_batch_norm.drawn(fused=fused) for fused in (False, True))
    x = 64 * 32 * 8 * 8 * 4
    assert composed.kept >= x
    assert fused.kept < x / 100
    assert [v.name for v in fused.vertices if v.kind == "fused"] == ["batch_norm"]


@pytest.mark.parametrize("out", ["batch_norm.png", "no/such/folder/a.svg"])
def test_a_bad_file_name_says_what_to_type(out, capsys):
    with pytest.raises(SystemExit) as stop:
        draw_batch_norm.main(["--out", out])
    assert stop.value.code == 2
    assert out.split("/")[0].removesuffix(".png") in capsys.readouterr().err

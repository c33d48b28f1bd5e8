"""What notebooks show of tensors, modules and summaries: small tables, escaped, without scripts."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


class Reader(HTMLParser):
    """Checks that tags are closed, and notes cells and texts."""

    def __init__(self, html):
        super().__init__()
        self.open, self.rows, self.texts, self.tags, self.opened = [], [], [], set(), []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "details":
            self.opened.append("open" in dict(attributes))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def read(shown):
    return Reader(shown._repr_html_())


def test_a_matrix_is_a_table_under_its_facts():
    found = read(mg.tensor([[1.0, -2.5], [1e-9, np.inf]], dtype=mg.float64))
    assert found.texts[0] == "Tensor · float64 · (2, 2)"
    assert found.rows == [["1", "-2.5"], ["1e-09", "inf"]]


def test_a_vector_is_one_row_and_a_number_none():
    assert read(mg.tensor([True, False])).rows == [["True", "False"]]
    assert read(mg.tensor(7)).texts == ["Tensor · int64 · ()", "7"]


def test_long_tensors_are_cut_in_the_middle():
    found = read(mg.arange(11 * 30).reshape(11, 30))
    assert found.rows[0] == ["0", "1", "2", "3", "4", "…", "25", "26", "27", "28", "29"]
    assert len(found.rows) == 11
    assert set(found.rows[5]) == {"…"}
    assert found.rows[10][-1] == "329"
    assert read(mg.arange(10)).rows == [[str(i) for i in range(10)]]


def test_more_axes_are_numpys_text():
    found = read(mg.ones(2, 1, 3))
    assert "pre" in found.tags
    assert "[[[1., 1., 1.]],\n\n [[1., 1., 1.]]]" in found.texts
    assert len(mg.ones(50, 50, 50)._repr_html_()) < 3000


def test_an_empty_tensor_shows_its_shape_alone():
    assert read(mg.ones(0, 3)).texts == ["Tensor · float32 · (0, 3)"]


def test_the_origin_is_told():
    x = mg.ones(2, requires_grad=True)
    assert read(x).texts[0].endswith("requires grad")
    assert read(x.exp()).texts[0].endswith("computed by exp")
    assert read(nn.Linear(1, 1).weight).texts[0].startswith("Parameter · ")


def test_values_on_a_gpu_are_not_fetched(cuda):
    found = read(mg.ones(2, device=cuda))
    assert found.texts == ["Tensor · float32 · (2,) · on cuda:0"]


def test_a_module_is_a_tree_that_opens():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Sequential(nn.ReLU().eval())))
    found = read(model)
    assert found.texts == [
        "Sequential()  # training",
        "(0): Linear(in_features=2, out_features=3, bias=True)  # weight (3, 2), bias (3,)",
        "(1): Sequential()",
        "(0): Sequential()",
        "(0): ReLU()  # evaluation",
        "9 parameters",
    ]
    assert found.opened == [True, True, False]


def test_names_and_options_are_escaped():
    class Odd(nn.Module):
        def __init__(self):
            self.parts = {"<b>": nn.ReLU()}

        def extra_repr(self):
            return "<script>"

    found = read(Odd())
    assert found.texts[:2] == ["Odd(<script>)  # training", "(parts.<b>): ReLU()"]
    assert "script" not in found.tags
    assert {"&lt;b&gt;"} <= set(re.findall(r"&lt;b&gt;", Odd()._repr_html_()))


def test_a_summary_is_a_table():
    summary = nn.summary(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (2, 4))
    found = read(summary)
    assert found.rows == [
        ["layer", "output shape", "parameters", "kept for backward"],
        ["Sequential", "(2, 3)", "15", "24 B"],
        ["  0: Linear", "(2, 3)", "15", "0 B"],
        ["  1: ReLU", "(2, 3)", "0", "24 B"],
    ]
    assert found.texts[-1] == "15 parameters; 24 B kept for backward"


@pytest.mark.parametrize(
    "shown",
    [
        mg.ones(2, 3),
        mg.ones(2, 3, 4),
        nn.Sequential(nn.Linear(2, 3)),
        nn.summary(nn.Linear(2, 3), (1, 2)),
    ],
    ids=lambda shown: type(shown).__name__,
)
def test_no_script_no_class_and_no_colour_of_its_own(shown):
    html = shown._repr_html_()
    assert not re.search(r"<script|<style|class=|id=|on\w+=", html)
    colours = re.findall(r"(?<![-\w])(?:color|background):([^;\"]+)", html)
    assert set(colours) <= {"inherit", "transparent"}  # legible on light and on dark pages

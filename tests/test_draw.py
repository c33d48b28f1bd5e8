"""mg.draw: what is drawn is the graph, each vertex once and in its module's box, and legible."""

import gc
import re
import weakref
from collections import Counter
from itertools import combinations, pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.drawing import layers
from minigrad.drawing.boxes import Box, boxed, collapsed, height
from minigrad.drawing.layout import laid_out
from minigrad.drawing.modules import Call
from minigrad.drawing.vertices import Vertex

SVG = "{http://www.w3.org/2000/svg}"


class Block(nn.Module):
    """Two layers with a way around them, whose ReLU is called twice."""

    def __init__(self, channels, fused=True):
        self.a, self.norm = nn.Linear(channels, channels), nn.BatchNorm1d(channels, fused=fused)
        self.b, self.act = nn.Linear(channels, channels), nn.ReLU()

    def forward(self, x):
        return self.act(self.b(self.act(self.norm(self.a(x)))) + x)


def net(blocks=2, fused=True):
    return nn.Sequential(nn.Linear(3, 4), *(Block(4, fused) for _ in range(blocks)))


def only(drawing, **wanted):
    """The one vertex with these attributes."""
    (found,) = [
        v for v in drawing.vertices if all(getattr(v, k) == value for k, value in wanted.items())
    ]
    return found


def texts(drawing):
    """What stands in the picture, line by line."""
    return [each.text for each in ElementTree.fromstring(drawing.to_svg()).iter(f"{SVG}text")]


def boxes(drawing):
    """The boxes' labels, each with the names of what stands right in it."""
    return {
        box.label: [i.name for i in box.items if isinstance(i, Vertex)]
        for box in drawing.root.boxes()
    }


# ---- what is drawn -------------------------------------------------------------------------------


def test_every_node_is_drawn_once_with_an_edge_from_each_of_its_parents():
    x = mg.randn(2, 3, requires_grad=True)
    w = mg.randn(3, requires_grad=True)
    y = (x * w).exp()
    drawing = mg.draw((y * y + x).sum(), names={"x": x, "w": w})
    found = [(v.kind, v.name, [p.name for p in v.parents]) for v in drawing.vertices]
    assert found == [
        ("leaf", "x", []),
        ("leaf", "w", []),
        ("op", "mul", ["x", "w"]),
        ("op", "exp", ["mul"]),
        ("op", "mul", ["exp"]),  # y * y: one edge
        ("op", "add", ["mul", "x"]),
        ("op", "sum", ["add"]),
    ]
    assert [v.is_result for v in drawing.vertices] == [False] * 6 + [True]


def test_nodes_of_a_real_step_are_all_there():
    model = net()
    loss = model(mg.randn(5, 3)).sum()
    nodes, stack = set(), [loss.node]
    while stack:
        node = stack.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            stack += node.parents
    drawn = mg.draw(loss, model)
    assert Counter(v.time for v in drawn.vertices if not v.is_leaf) == Counter(
        n.id for n in nodes if n.op is not None
    )
    assert sum(len(v.parents) for v in drawn.vertices) == sum(
        len({p for p in n.parents if p is not None}) for n in nodes
    )


def test_parameters_have_dotted_names_and_fused_ops_their_own_look():
    model = net(1)
    drawing = mg.draw(model(mg.randn(5, 3)), model)
    named = {v.name: v.shapes for v in drawing.vertices if v.kind == "parameter"}
    assert named == {name: (p.shape,) for name, p in model.named_parameters()}
    assert {v.name for v in drawing.vertices if v.kind == "fused"} == {"linear", "batch_norm"}
    with mg.unfused():
        composed = mg.draw(model(mg.randn(5, 3)), model)
    assert all(v.kind != "fused" for v in composed.vertices)
    assert len(composed.vertices) > len(drawing.vertices)


def test_without_a_model_parameters_and_leaves_are_told_apart():
    layer, x = nn.Linear(2, 1), mg.ones(1, 2, requires_grad=True)
    drawing = mg.draw(layer(x))
    assert Counter(v.name for v in drawing.vertices) == {"parameter": 2, "leaf": 1, "linear": 1}


def test_an_op_with_several_outputs_is_one_vertex():
    x = mg.randn(4, 2, requires_grad=True)
    first, last = x.chunk(2)
    drawing = mg.draw(first * last)
    assert [v.name for v in drawing.vertices][1:] == [first.node.parents[0].op.name, "mul"]
    assert drawing.vertices[1].shapes == ((2, 2), (2, 2))


def test_several_tensors_share_one_picture():
    x = mg.randn(3, requires_grad=True)
    drawing = mg.draw([x.exp(), x.sin()])
    assert [(v.name, v.is_result) for v in drawing.vertices] == [
        ("leaf", False),
        ("exp", True),
        ("sin", True),
    ]


def test_a_leaf_alone_is_a_picture():
    assert [v.name for v in mg.draw(mg.ones(2, requires_grad=True)).vertices] == ["leaf"]


def test_derivatives_and_checkpoints_are_graphs_too():
    x = mg.tensor([0.5, 2.0], requires_grad=True)
    (g,) = mg.grad(x.exp().sum(), x, create_graph=True)
    assert only(mg.draw(g), is_result=True).name == "mul"
    y = mg.func.checkpoint(lambda x: x.exp().sin(), x)
    assert [v.name for v in mg.draw(y).vertices] == ["leaf", "checkpoint"]


def test_bytes_kept_are_those_of_the_summary():
    for fused in (True, False):
        model = net(fused=fused)
        x = mg.randn(6, 3, requires_grad=True)
        drawing = mg.draw(model(x), model)
        assert drawing.kept == nn.summary(model, x).kept > 0


def test_what_two_ops_keep_counts_for_the_first():
    x = mg.randn(6, requires_grad=True)
    y = x.exp()
    drawing = mg.draw((y * y.sin()).sum())
    kept = {v.name: v.kept for v in drawing.vertices}
    assert kept == {"leaf": 0, "exp": 24, "sin": 0, "mul": 24, "sum": 0}
    assert "keeps 24 B" in texts(drawing)
    assert any("held elsewhere" in note for note in only(drawing, name="sin").notes)


def test_buffers_count_for_nothing():
    model, x = nn.BatchNorm1d(3).eval(), mg.randn(4, 3, requires_grad=True)
    y = model(x)
    assert mg.draw(y, model).kept < mg.draw(y).kept


def test_a_drawing_keeps_nothing_alive():
    x = mg.randn(100, requires_grad=True)
    y = x.exp()
    values, node = weakref.ref(y.array), weakref.ref(y.node)
    drawing = mg.draw(y.sum())
    del y
    gc.collect()
    assert values() is None
    assert node() is None
    assert "(100,)" in texts(drawing)


def test_drawing_leaves_the_model_as_it_was():
    model, x = net(), mg.randn(5, 3)
    loss = model(x).sum()
    before = model.state_dict()
    mg.draw(loss, model)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name].numpy())
    mg.draw(lambda: model(x), model)
    assert all(not m._hooks.before and not m._hooks.after for m in model.modules())
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


# ---- modules -------------------------------------------------------------------------------------


def test_a_function_is_watched_and_its_boxes_are_exact():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, fused=False), nn.ReLU())
    x = mg.randn(5, 3)
    drawing = mg.draw(lambda: model(x).sum(), model)
    found = boxes(drawing)
    assert found[""] == ["sum"]
    assert found["Sequential"] == []
    assert found["0: Linear"] == ["0.weight", "0.bias", "linear"]
    assert found["2: ReLU"] == ["relu"]
    alone = mg.draw(nn.BatchNorm1d(4, fused=False)(mg.randn(5, 4, requires_grad=True)))
    ops = Counter(v.name for v in alone.vertices if not v.is_leaf)
    assert Counter(found["1: BatchNorm1d"]) == ops + Counter(("1.weight", "1.bias"))
    assert not any("guessed" in line for line in texts(drawing))


def test_each_call_of_a_module_has_a_box():
    model = net(1)
    drawing = mg.draw(lambda: model(mg.ones(5, 3)), model)
    assert {"act: ReLU, call 1", "act: ReLU, call 2", "1: Block"} <= set(boxes(drawing))
    assert boxes(drawing)["1: Block"] == ["add"]


def test_boxes_of_what_is_there_already_are_guessed_from_parameters():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), Block(4))
    drawing = mg.draw(model(mg.randn(5, 3)).sum(), model)
    assert boxes(drawing) == {
        "": ["add", "relu", "sum"],  # after the last parameter: nobody knows
        "Sequential": ["relu"],
        "0: Linear": ["0.weight", "0.bias", "linear"],
        "2: Block": ["relu"],
        "a: Linear": ["2.a.weight", "2.a.bias", "linear"],
        "norm: BatchNorm1d": ["2.norm.weight", "2.norm.bias", "batch_norm"],
        "b: Linear": ["2.b.weight", "2.b.bias", "linear"],
    }
    assert any("guessed" in line for line in texts(drawing))


def test_a_parameter_of_two_modules_belongs_to_what_is_around_both():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    found = boxes(mg.draw(model(mg.ones(2, 3)), model))
    assert found["1: Linear"] == ["1.bias", "linear"]  # the bias tells
    model[0].bias = model[1].bias = None
    found = boxes(mg.draw(model(mg.ones(2, 3)), model))
    ops = ["transpose", "matmul"]
    assert found == {"": [], "Sequential": ["0.weight", *ops, *ops]}


def test_a_guess_knows_a_parameter_in_another_form():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.BatchNorm1d(3, fused=False))
    x = mg.ones(2, 3)
    guess, exact = mg.draw(model(x), model), mg.draw(lambda: model(x), model)
    assert boxes(guess)["0: Linear"] == boxes(exact)["0: Linear"]
    last = ["mul", "2.bias", "reshape", "add"]
    assert boxes(guess)["2: BatchNorm1d"][-4:] == boxes(exact)["2: BatchNorm1d"][-4:] == last
    assert "relu" in boxes(guess)["Sequential"]


def test_ops_between_calls_of_one_layer_are_not_in_it():
    cell, h = nn.Linear(3, 3), mg.zeros(1, 3)
    for _ in range(3):
        h = cell(h).tanh()
    drawing = mg.draw(h, cell)
    inside = [box for box in drawing.root.boxes() if box.label == "Linear"]
    assert [[i.name for i in box.items] for box in inside] == [
        ["weight", "bias", "linear"],
        ["linear"],
        ["linear"],
    ]


def test_an_error_in_the_function_leaves_no_hooks():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(4, 4))
    with pytest.raises(mg.ShapeError):
        mg.draw(lambda: model(mg.ones(2, 3)), model)
    assert all(not m._hooks.before and not m._hooks.after for m in model.modules())


def test_a_forward_that_fails_and_is_caught_is_over():
    class Careful(nn.Module):
        def __init__(self):
            self.wrong, self.right = nn.Linear(2, 2), nn.Linear(3, 3)

        def forward(self, x):
            try:
                return self.wrong(x)
            except mg.ShapeError:
                return self.right(x).relu()

    model = Careful()
    found = boxes(mg.draw(lambda: model(mg.ones(1, 3)), model))
    assert found["Careful"] == ["relu"]


@pytest.mark.parametrize(
    ("depth", "modules", "parameters"), [(0, 1, 0), (1, 3, 0), (2, 10, 2), (3, 0, 14)]
)
def test_depth_draws_deeper_modules_as_one_vertex(depth, modules, parameters):
    model = net(2)
    whole = mg.draw(lambda: model(mg.ones(5, 3)), model)
    drawing = mg.draw(lambda: model(mg.ones(5, 3)), model, depth=depth)
    kinds = Counter(v.kind for v in drawing.vertices)
    assert (kinds["module"], kinds["parameter"]) == (modules, parameters)
    assert drawing.kept == whole.kept
    assert sum(v.is_result for v in drawing.vertices) == 1
    everything = set(drawing.vertices)
    assert all(set(v.parents) <= everything - {v} for v in drawing.vertices)


def test_a_module_as_one_vertex_shows_what_comes_out():
    model = net(1)
    drawing = mg.draw(lambda: model(mg.ones(5, 3)).sum(), model, depth=1)
    first, second, total = drawing.vertices
    assert (first.name, first.shapes) == ("0: Linear", ((5, 4),))
    assert (second.name, second.parents) == ("1: Block", [first])
    assert total.parents == [second]
    assert first.notes == ["1 op, 2 parameters"]


# ---- SVG and DOT ---------------------------------------------------------------------------------


def test_the_picture_says_what_each_vertex_is():
    model = net(1)
    drawing = mg.draw(lambda: model(mg.ones(5, 3)), model, title="one & only")
    lines = texts(drawing)
    for v in drawing.vertices:
        assert set(v.lines) <= set(lines)
    assert {"one & only", "a: Linear", "1.norm.weight", "fused", "op"} <= set(lines)
    assert "7 ops (4 fused) and 8 parameters" in lines
    groups = [
        each.get("class")
        for each in ElementTree.fromstring(drawing.to_svg()).iter(f"{SVG}g")
        if each.get("class")
    ]
    assert Counter(groups) == Counter(f"vertex {v.kind}" for v in drawing.vertices)


NAME = '<x & "y"> \\ ]]>\x00\n'


def test_names_are_escaped_and_long_ones_shortened():
    x = mg.ones(2, requires_grad=True)
    drawing = mg.draw(x.exp(), names={NAME: x}, title=NAME)
    assert '<x & "y"> \\ ]]>\N{REPLACEMENT CHARACTER}\n' in texts(drawing)
    assert r'"<x & \"y\"> \\ ]]>' in drawing.to_dot()
    long = "layer." * 30 + "weight"
    drawing = mg.draw(x.exp(), names={long: x})
    assert max(map(len, texts(drawing)[:2])) <= 40
    assert long in drawing.to_svg()  # the mouse shows it whole


def test_the_picture_has_no_script_style_sheet_or_id():
    found = ElementTree.fromstring(mg.draw(mg.ones(2, requires_grad=True).exp()).to_svg())
    assert {each.tag.removeprefix(SVG) for each in found.iter()} <= {
        *("svg", "g", "rect", "path", "text", "title")
    }
    assert not any("id" in each.attrib for each in found.iter())


def parsed(dot):
    """Nodes, edges and clusters of a text for Graphviz; fails at what it does not know."""
    nodes, edges, depth, clusters = {}, [], 0, []
    quoted = r'"((?:[^"\\]|\\.)*)"'
    first, *lines = dot.splitlines()
    assert first == "digraph minigrad {"
    for line in map(str.strip, lines):
        if found := re.fullmatch(r"n(\d+) -> n(\d+);", line):
            edges.append(tuple(map(int, found.groups())))
        elif found := re.fullmatch(rf"n(\d+) \[label={quoted}( \w+={quoted})*\];", line):
            nodes[int(found[1])] = found[2]
        elif re.fullmatch(r"subgraph cluster_\d+ \{", line):
            depth += 1
        elif found := re.fullmatch(rf"label={quoted};", line):
            clusters.append(found[1])
        elif line == "}":
            depth -= 1
        else:
            assert re.fullmatch(r"node \[.*\];", line), line
    assert depth == -1
    return nodes, edges, clusters


def test_dot_has_every_vertex_edge_and_module():
    model = net(2, fused=False)
    drawing = mg.draw(lambda: model(mg.ones(5, 3)), model)
    nodes, edges, clusters = parsed(drawing.to_dot())
    vertices = drawing.vertices
    assert list(nodes.values()) == [r"\n".join(v.lines) for v in vertices]
    assert Counter((vertices[a], vertices[b]) for a, b in edges) == Counter(
        (p, v) for v in vertices for p in v.parents
    )
    assert clusters == [box.label for box in drawing.root.boxes()][1:]


def test_save_writes_what_a_notebook_shows(tmp_path):
    drawing = mg.draw(mg.ones(2, requires_grad=True).exp())
    drawing.save(tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == drawing._repr_svg_()
    drawing.save(str(tmp_path / "GRAPH.SVG"))


def test_drawings_stand_side_by_side(tmp_path):
    x = mg.ones(2, requires_grad=True)
    one, two = mg.draw(x.exp(), title="one"), mg.draw(x.sin().sum(), title="two")
    both = one.beside(two)
    both.save(tmp_path / "both.svg")
    assert texts(both) == texts(one) + texts(two)
    assert ElementTree.fromstring(both._repr_svg_()).get("height") == str(round(two.picture.height))
    assert repr(both) == f"<2 drawings side by side: [{one!r}, {two!r}]>"
    with pytest.raises(TypeError, match=r"beside got a Tensor: give drawings, mg.draw\(y\)"):
        one.beside(x)


def test_the_text_counts_and_says_what_to_type():
    model = net(1)
    data = 5 * 3 * 4  # the first layer keeps them
    kept = nn.summary(model, (5, 3)).kept + data
    assert repr(mg.draw(lambda: model(mg.ones(5, 3)), model, depth=1)) == (
        f'<drawing of 2 modules; {kept} B kept for backward; .save("graph.svg") writes it>'
    )


# ---- layout --------------------------------------------------------------------------------------


@st.composite
def pictures(draw):
    """Random graphs in random boxes."""
    calls = [Call(str(i), "M") for i in range(draw(st.integers(0, 4)))]
    vertices, paths = [], {}
    for i in range(draw(st.integers(1, 14))):
        parents = draw(st.lists(st.sampled_from(vertices), max_size=3)) if vertices else []
        kind = "op" if parents else draw(st.sampled_from(["leaf", "parameter"]))
        name = draw(st.sampled_from(["x", "add", "a.very.long.name.indeed"]))
        v = Vertex(kind, name, ((2, 3),), "float32", kept=draw(st.integers(0, 1)), time=i)
        v.parents = list(dict.fromkeys(parents))
        vertices.append(v)
    for v in vertices:
        if not v.is_leaf:
            paths[v] = tuple(calls[: draw(st.integers(0, len(calls)))])
    for v in reversed(vertices):  # as the graph has it: just before its first use
        users = [u for u in vertices if v in u.parents]
        if v.is_leaf and users:
            v.time = users[0].time - 0.5
    vertices.sort(key=lambda v: v.time)
    owned = {v for v in vertices if v.kind == "parameter"}
    return vertices, boxed(vertices, paths, owned)


def overlap(a, b, space=0.0):
    return (
        a.x < b.x + b.width + space - 1e-6
        and b.x < a.x + a.width + space - 1e-6
        and a.y < b.y + b.height + space - 1e-6
        and b.y < a.y + a.height + space - 1e-6
    )


def contains(outer, inner):
    return (
        outer.x <= inner.x + 1e-6
        and inner.x + inner.width <= outer.x + outer.width + 1e-6
        and outer.y <= inner.y + 1e-6
        and inner.y + inner.height <= outer.y + outer.height + 1e-6
    )


def sources(found):
    """Each vertex with those that its arrows come from, by following the lines backwards."""
    ending, starting = {}, {}
    for line in found.lines:
        if not line.arrives:
            ending[round(line.x1, 4), round(line.y1, 4)] = line
    for v, r in found.vertices.items():
        starting[round(r.x + r.width / 2, 4), round(r.y + r.height, 4)] = v
    heads = {(round(r.x + r.width / 2, 4), round(r.y, 4)): v for v, r in found.vertices.items()}
    reached = {v: [] for v in found.vertices}
    for line in found.lines:
        if line.arrives:
            head = heads[round(line.x1, 4), round(line.y1, 4)]
            start = round(line.x0, 4), round(line.y0, 4)
            while start not in starting:
                line = ending[start]
                start = round(line.x0, 4), round(line.y0, 4)
            reached[head].append(starting[start])
    return reached


@given(pictures())
def test_boxes_hold_every_vertex_once_and_parents_come_first(drawn):
    vertices, root = drawn
    inside = list(root.vertices())
    assert Counter(inside) == Counter(vertices)
    place = {v: i for i, v in enumerate(inside)}
    assert all(place[p] < place[v] for v in inside for p in v.parents)


@given(pictures())
def test_nothing_overlaps_and_boxes_contain_what_is_in_them(drawn):
    _, root = drawn
    found = laid_out(root)
    assert set(found.vertices) == set(root.vertices())
    for box in root.boxes():
        inside = [found.boxes[i] if isinstance(i, Box) else found.vertices[i] for i in box.items]
        assert not any(overlap(a, b, space=8.0) for a, b in combinations(inside, 2))
        if box is not root:
            assert all(contains(found.boxes[box], each) for each in inside)
    for r in (*found.vertices.values(), *found.boxes.values()):
        assert r.x >= 0
        assert r.y >= 0
        assert r.x + r.width <= found.width
        assert r.y + r.height <= found.height


@given(pictures())
def test_lines_lead_from_each_parent_to_its_child(drawn):
    _, root = drawn
    for v, reached in sources(laid_out(root)).items():
        assert Counter(reached) == Counter(v.parents)


@given(pictures())
def test_lines_run_down_and_through_no_vertex(drawn):
    _, root = drawn
    found = laid_out(root)
    for line in found.lines:
        heights = [line.y0, line.bend0, line.bend1, line.y1]
        assert all(a <= b + 1e-6 for a, b in pairwise(heights))
        left, right = sorted((line.x0, line.x1))
        for r in found.vertices.values():
            for x0, x1, y0, y1 in (
                (line.x0, line.x0, line.y0, line.bend0),
                (left, right, line.bend0, line.bend1),
                (line.x1, line.x1, line.bend1, line.y1),
            ):
                crosses = x0 < r.x + r.width - 1e-6 and r.x + 1e-6 < x1
                crosses |= x0 == x1 and r.x + 1e-6 < x0 < r.x + r.width - 1e-6
                assert not (crosses and y0 < r.y + r.height - 1e-6 and r.y + 1e-6 < y1)


@given(pictures(), st.integers(0, 3))
def test_collapsing_keeps_what_is_not_inside(drawn, depth):
    vertices, root = drawn
    new = collapsed(root, depth)
    assert height(new) == min(depth, height(root))
    inside = list(new.vertices())
    assert all(set(v.parents) <= set(inside) - {v} for v in inside)
    assert sum(v.kept for v in inside) == sum(v.kept for v in vertices)
    laid_out(new)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(0.1, 10), st.floats(0, 99)), min_size=1))
def test_apart_keeps_order_and_space_and_does_nothing_unasked(cells):
    wanted, widths = [(x, w) for x, w, _ in cells], [width for *_, width in cells]
    found = layers.apart(wanted, widths)
    for (a, wa), (b, wb) in pairwise(zip(found, widths, strict=True)):
        assert b - a >= (wa + wb) / 2 + layers.SPACE - 1e-6
    again = layers.apart([(x, w) for x, (_, w) in zip(found, wanted, strict=True)], widths)
    np.testing.assert_allclose(again, found, rtol=0, atol=1e-6)


def test_apart_is_least_squares():
    # two that want the same place, with weights 1 and 3: they stand 1:3 around it
    a, b = layers.apart([(0.0, 1.0), (0.0, 3.0)], [4.0, 4.0])
    assert (a, b) == pytest.approx((-15.0, 5.0))


def test_a_long_chain_with_a_shared_weight_costs_lines_in_proportion():
    w, counts = mg.ones(2, requires_grad=True), []
    for steps in (50, 100):
        h = w
        for _ in range(steps):
            h = (h * w).tanh()
        counts.append(len(laid_out(mg.draw(h).root).lines))
    assert counts[1] < 2.1 * counts[0]


def test_three_hundred_vertices_are_a_picture():
    model = net(25)
    x = mg.ones(2, 3)
    drawing = mg.draw(lambda: model(x), model)
    assert 250 < len(drawing.vertices) < 350
    found = laid_out(drawing.root)
    assert found.width < 800  # a chain of boxes does not drift to one side
    ElementTree.fromstring(drawing.to_svg())


# ---- what cannot be drawn ------------------------------------------------------------------------


def test_a_constant_has_no_graph():
    with pytest.raises(mg.GraphError, match=r"constant of shape \(2,\).*requires_grad=True"):
        mg.draw(mg.ones(2))
    with mg.no_grad(), pytest.raises(mg.GraphError, match=r"no_grad\(\) was on"):
        mg.draw(mg.ones(2, requires_grad=True) * 2)


def test_a_freed_graph_says_how_to_keep_it():
    x = mg.ones(2, requires_grad=True)
    y = x.exp().sum()
    y.backward(retain_graph=True)
    assert len(mg.draw(y).vertices) == 3
    y.backward()
    with pytest.raises(mg.GraphError, match=r"last op, sum, is left.*retain_graph=True"):
        mg.draw(y)


def test_a_graph_that_is_freed_in_part_shows_where_it_ends():
    x = mg.ones(2, requires_grad=True)
    shared = x.exp()
    other = shared.sin().sum()
    shared.sum().backward()
    drawing = mg.draw(other)
    assert [(v.kind, v.name) for v in drawing.vertices] == [
        ("freed", "exp, freed"),
        ("op", "sin"),
        ("op", "sum"),
    ]
    assert "2 ops and 1 freed" in repr(drawing)


def chain(steps):
    h = w = mg.ones(2, requires_grad=True)
    for _ in range(steps):
        h = h * w
    return h


def test_ten_thousand_vertices_are_refused_and_drawn_when_asked_for():
    h = chain(10_000)
    with pytest.raises(ValueError, match=r"10,001 vertices.*limit=1,000.*limit=10001"):
        mg.draw(h)
    assert len(mg.draw(h, limit=10_001).vertices) == 10_001


def test_too_large_a_model_is_drawn_with_its_modules_as_vertices():
    model, x = net(8), mg.ones(2, 3)
    drawing = mg.draw(lambda: model(x), model, limit=60)
    assert Counter(v.kind for v in drawing.vertices)["module"] == 8 * 5
    assert any("depth=2" in line for line in texts(drawing))
    assert len(mg.draw(lambda: model(x), model, limit=1).vertices) == 1
    with pytest.raises(ValueError, match=r"this graph has 14 vertices.*draw fewer steps"):
        mg.draw(lambda: chain(10) + model(x).sum(), model, limit=10)


@pytest.mark.parametrize("given", [3, None, "x", np.ones(2), [mg.ones(1, requires_grad=True), 2]])
def test_what_is_no_tensor_is_told(given):
    with pytest.raises(TypeError, match=r"draw got a \w+: give a tensor"):
        mg.draw(given)


def test_a_model_in_the_wrong_place_is_told():
    model, x = net(), mg.ones(5, 3)
    with pytest.raises(TypeError, match=r"draw got a module, Sequential.*mg.draw\(model\(x\), mod"):
        mg.draw(model)
    with pytest.raises(TypeError, match="give a module, or leave it out"):
        mg.draw(model(x), x)
    with pytest.raises(TypeError, match=r"draw got a ndarray"):
        mg.draw(lambda: np.ones(2))
    with pytest.raises(ValueError, match="draw got no tensor"):
        mg.draw([])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": -1}, "depth=-1: give 0 or more"),
        ({"depth": 1.5}, "depth=1.5: give 0 or more"),
        ({"limit": 0}, "limit=0: give 1 or more"),
        ({"limit": None}, "limit=None: give 1 or more"),
    ],
)
def test_wrong_options_say_what_to_give(options, words):
    model = net()
    with pytest.raises(ValueError, match=words):
        mg.draw(model(mg.ones(5, 3)), model, **options)


def test_depth_needs_a_model():
    with pytest.raises(ValueError, match=r"mg.draw\(y, model, depth=1\)"):
        mg.draw(mg.ones(2, requires_grad=True).exp(), depth=1)


def test_names_are_of_leaves():
    x = mg.ones(2, requires_grad=True)
    y = x.exp()
    for wrong in (y, mg.ones(2), 3):
        with pytest.raises(mg.GraphError, match="a name, 'x', for what is no leaf"):
            mg.draw(y, names={"x": wrong})
    with pytest.raises(TypeError, match="give a dict"):
        mg.draw(y, names=["x"])


@pytest.mark.parametrize("name", ["graph.png", "graph", "graph.svgz", "graph.dot"])
def test_other_files_than_svg_are_refused_with_what_to_type(name, tmp_path):
    drawing = mg.draw(mg.ones(2, requires_grad=True).exp())
    with pytest.raises(ValueError, match=r"\.save\(\"graph\.svg\"\)"):
        drawing.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_drawing_works_on_every_device(device):
    model = nn.Linear(2, 3).to(device)
    x = mg.ones(4, 2, device=device)
    drawing = mg.draw(model(x).relu().sum(), model)
    assert [v.name for v in drawing.vertices] == ["weight", "bias", "linear", "relu", "sum"]
    drawing.to_svg()

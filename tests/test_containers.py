"""Sequential, ModuleList and ModuleDict: list and dict methods, names, and what they refuse."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import OutOfRangeError, nn

SIZES = (2, 3, 4, 5)


def linear(i):
    return nn.Linear(i, i)


def listed(kind, modules):
    return kind(*modules) if kind is nn.Sequential else kind(modules)


lists = pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])


def kept(container):
    """The modules, by identity."""
    return [id(module) for module in container]


# ---- the list protocol ---------------------------------------------------------------------------

STEPS = {
    "append": lambda c, i, new: c.append(new),
    "extend": lambda c, i, new: c.extend([new, new]),
    "insert": lambda c, i, new: c.insert(i, new),
    "setitem": lambda c, i, new: c.__setitem__(i, new),
    "delitem": lambda c, i, new: c.__delitem__(i),
    "delete a slice": lambda c, i, new: c.__delitem__(slice(i, None, 2)),
    "pop": lambda c, i, new: c.pop(i),
    "add": lambda c, i, new: c.__iadd__([new]),
}


@lists
@given(steps=st.lists(st.tuples(st.sampled_from([*STEPS]), st.integers(-6, 6)), max_size=6))
def test_they_behave_as_lists_do(kind, steps):
    """Any methods in any order: the same modules as in a list, named by their positions."""
    modules = [nn.ReLU() for _ in range(3)]
    container = listed(kind, modules)
    for name, i in steps:
        new, size = nn.ReLU(), len(modules)
        if name == "insert" and not -size <= i <= size:
            continue  # a list would put it at the end
        try:
            STEPS[name](modules, i, new)
        except IndexError:
            with pytest.raises(OutOfRangeError):
                STEPS[name](container, i, new)
        else:
            STEPS[name](container, i, new)
        assert kept(container) == [id(module) for module in modules]
        assert [n for n, _ in container.named_children()] == [str(i) for i in range(len(modules))]
    assert len(container) == len(modules)
    for i in range(-len(modules), len(modules)):
        assert container[i] is modules[i]
    assert kept(reversed(container)) == kept(reversed(modules))


@lists
@given(start=st.integers(-5, 5), stop=st.integers(-5, 5), step=st.sampled_from([1, 2, -1, None]))
def test_a_slice_holds_the_same_modules_and_keeps_the_class(kind, start, stop, step):
    class Own(kind):
        pass

    modules = [nn.ReLU() for _ in range(4)]
    part = listed(kind, modules)[start:stop:step]
    assert kept(part) == kept(modules[start:stop:step])
    own = Own(*modules) if kind is nn.Sequential else Own(modules)
    assert type(own[start:stop]) is Own


@lists
def test_in_and_plus(kind):
    a, b = listed(kind, [linear(2), nn.ReLU()]), listed(kind, [linear(3)])
    assert a[0] in a
    assert b[0] not in a
    both = a + b
    assert type(both) is kind
    assert kept(both) == kept(a) + kept(b)
    assert len(a) == 2


@lists
def test_methods_that_add_give_the_container_back(kind):
    c = listed(kind, [])
    assert c.append(nn.ReLU()) is c
    assert c.extend([nn.ReLU()]) is c
    assert c.insert(0, nn.ReLU()) is c
    assert c.extend(module for module in [nn.ReLU()]) is c
    assert len(c) == 4


@lists
@pytest.mark.parametrize("i", [3, -4])
def test_a_position_that_is_not_there_is_told(kind, i):
    c = listed(kind, map(linear, (1, 2, 3)))
    for call in (lambda: c[i], lambda: c.pop(i), lambda: c.__setitem__(i, nn.ReLU())):
        with pytest.raises(OutOfRangeError, match=f"of 3 modules has none at {i}"):
            call()
    with pytest.raises(IndexError, match="no position 4"):
        c.insert(4, nn.ReLU())
    assert len(c) == 3


# ---- names ---------------------------------------------------------------------------------------


class Model:
    """The same model here and in PyTorch."""

    def __new__(cls, n):
        class Net(n.Module):
            def __init__(self):
                super().__init__()
                self.layers = n.ModuleList([n.Linear(i, i) for i in SIZES])
                self.heads = n.ModuleDict({"a": n.Linear(2, 3), "b": n.BatchNorm1d(3)})
                self.body = n.Sequential(OrderedDict(conv1=n.Linear(2, 2), act=n.ReLU()))
                self.twice = n.Sequential(self.layers[0], n.ReLU(), self.layers[0])
                self.nested = n.ModuleList([n.ModuleDict({"x": n.ModuleList([n.Linear(1, 1)])})])
                self.layers.insert(1, n.Linear(7, 7))
                self.layers.append(n.Linear(8, 8))
                del self.layers[2]
                self.heads["c"] = n.Linear(4, 4)
                self.heads.update([("a", n.Linear(5, 5)), ("d", n.LayerNorm(2))])
                self.heads.pop("b")
                self.tail = n.Sequential(n.Linear(2, 2), n.ReLU(), n.Linear(3, 3))[1:]
                self.cut = n.Sequential(OrderedDict(a=n.ReLU(), b=n.Linear(2, 2)))
                del self.cut[0]

        return Net()


def test_names_in_the_state_dict_are_torchs():
    torch = pytest.importorskip("torch")
    ours, theirs = Model(nn), Model(torch.nn)
    shapes = [(name, tuple(value.shape)) for name, value in ours.state_dict().items()]
    assert shapes == [(name, tuple(value.shape)) for name, value in theirs.state_dict().items()]
    for walk in ("named_parameters", "named_buffers", "named_modules"):
        assert [n for n, _ in getattr(ours, walk)()] == [n for n, _ in getattr(theirs, walk)()]
    ours.load_state_dict(theirs.state_dict())


def test_a_module_held_twice_is_counted_once_and_saved_twice():
    shared = linear(2)
    model = nn.ModuleDict({"a": nn.ModuleList([shared, shared]), "b": shared})
    assert len(list(model.parameters())) == 2
    assert list(model.state_dict())[::2] == ["a.0.weight", "a.1.weight", "b.weight"]


def test_named_modules_are_attributes():
    first = linear(2)
    model = nn.Sequential(OrderedDict(conv1=first, act=nn.ReLU()))
    assert model.conv1 is model[0] is first
    assert model.act is model[-1]
    assert list(model[1:].named_children()) == [("act", model.act)]
    model[0] = other = linear(2)
    assert model.conv1 is other
    assert nn.Sequential({"conv1": first}).conv1 is first


def test_what_is_set_as_an_attribute_joins_at_the_end():
    model = nn.Sequential(linear(2))
    model.last = nn.ReLU()
    assert kept(model) == [id(model[0]), id(model.last)]
    model.scale, model.note = mg.ones(1), "no module"
    assert len(model) == 2


def test_append_to_a_slice_loses_no_module():
    """PyTorch would replace the module that happens to have the new one's name."""
    part = nn.Sequential(nn.ReLU(), linear(2))[1:]
    with pytest.raises(ValueError, match=r"'1'.*Sequential\(\*modules, module\)"):
        part.append(nn.ReLU())
    assert len(part) == 1
    assert len(part.insert(1, nn.ReLU())) == 2


def test_the_repr_shows_what_they_hold():
    shown = repr(nn.ModuleDict({"a": nn.ModuleList([nn.ReLU()]), "b": nn.Sequential()}))
    assert shown == (
        "ModuleDict(  # training\n  (a): ModuleList(\n    (0): ReLU()\n  )\n  (b): Sequential()\n)"
    )


# ---- the dict protocol ---------------------------------------------------------------------------


def test_a_module_dict_is_used_like_a_dict():
    a, b, c = linear(2), nn.ReLU(), linear(3)
    heads = nn.ModuleDict({"a": a, "b": b})
    heads["c"] = c
    assert list(heads) == list(heads.keys()) == ["a", "b", "c"]
    assert list(heads.values()) == [a, b, c]
    assert list(heads.items()) == [("a", a), ("b", b), ("c", c)]
    assert "a" in heads
    assert "d" not in heads
    assert a not in heads
    assert heads["a"] is heads.a is a
    heads.update({"a": b, "d": a})
    assert list(heads.items()) == [("a", b), ("b", b), ("c", c), ("d", a)]
    heads.update(nn.ModuleDict({"e": a}))
    del heads["d"]
    assert heads.pop("c") is c
    assert list(heads) == ["a", "b", "e"]
    assert len(heads) == 3
    heads.clear()
    assert not len(heads)
    assert not list(nn.ModuleDict())


def test_a_name_that_is_not_there_is_told():
    heads = nn.ModuleDict({"a": linear(2)})
    for call in (lambda: heads["b"], lambda: heads.pop("b"), lambda: heads.__delitem__("b")):
        with pytest.raises(KeyError, match="no 'b', but a"):
            call()


# ---- what they compute, copies -------------------------------------------------------------------


def test_sequential_applies_its_modules_in_order(device):
    model = nn.Sequential(linear(3), nn.ReLU(), linear(3)).to(device)
    x = mg.randn(2, 3, device=device)
    np.testing.assert_array_equal(
        model(x).cpu().numpy(), model[2](model[1](model[0](x))).cpu().numpy()
    )
    assert nn.Sequential()(x) is x


@pytest.mark.parametrize("make", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_hold_their_own_modules_and_sharing_stays(make):
    shared = linear(2)
    model = nn.Sequential(
        OrderedDict(a=shared, b=nn.ModuleList([shared, linear(3)]), c=nn.ModuleDict({"x": shared}))
    ).eval()
    other = make(model)
    assert repr(other) == repr(model)
    assert list(other.state_dict()) == list(model.state_dict())
    assert other.a is other.b[0] is other.c["x"]
    assert other.a is not shared
    with mg.no_grad():
        other.a.weight.zero_()
    assert model.a.weight.numpy().any()


def test_modes_and_freezing_reach_what_they_hold():
    model = nn.ModuleDict({"a": nn.ModuleList([nn.Dropout(), nn.Sequential(linear(2))])})
    model.eval()
    assert not any(module.training for module in model.modules())
    model.freeze()
    assert not any(p.requires_grad for p in model.parameters())


# ---- refusals ------------------------------------------------------------------------------------

L, D, S = nn.ModuleList([nn.ReLU()]), nn.ModuleDict({"a": nn.ReLU()}), nn.Sequential(nn.ReLU())
WRONG = {
    "a class": (lambda: nn.Sequential(nn.Linear(1, 1), nn.ReLU), TypeError,
                r"class ReLU for position 1: .*nn\.ReLU\(\.\.\.\)"),
    "a class in a list": (lambda: nn.ModuleList([nn.ReLU]), TypeError, "class ReLU"),
    "a class by name": (lambda: nn.ModuleDict({"x": nn.ReLU}), TypeError, "ReLU for 'x'"),
    "a class appended": (lambda: S.append(nn.ReLU), TypeError, "class ReLU"),
    "a function": (lambda: L.append(mg.relu), TypeError, "give modules, such as"),
    "None": (lambda: D.update({"b": None}), TypeError, "NoneType for 'b'"),
    "a list": (lambda: nn.Sequential([nn.ReLU()]), TypeError,
               r"got a list: unpack it, nn\.Sequential\(\*layers\)"),
    "a generator": (lambda: nn.Sequential(nn.ReLU() for _ in "ab"), TypeError, "unpack"),
    "a ModuleList": (lambda: nn.Sequential(L), TypeError, "got a ModuleList: unpack"),
    "one module": (lambda: nn.ModuleList(nn.ReLU()), TypeError, r"nn\.ModuleList\(\[layer\]\)"),
    "a call of a list": (lambda: L(mg.ones(1)), TypeError, "for layer in layers"),
    "a call of a dict": (lambda: D(mg.ones(1)), TypeError, r"heads\[name\]\(x\)"),
    "a number as name": (lambda: nn.ModuleDict({3: nn.ReLU()}), TypeError, "name 3: .*'3'"),
    "a dot": (lambda: nn.ModuleDict({"a.b": nn.ReLU()}), ValueError, "dot, such as 'a_b'"),
    "no name": (lambda: nn.ModuleDict({"": nn.ReLU()}), ValueError, "name ''"),
    "forward": (lambda: nn.ModuleDict({"forward": nn.ReLU()}), ValueError, "such as 'forward_'"),
    "keys": (lambda: D.update({"keys": nn.ReLU()}), ValueError, "'keys', which is an attribute"),
    "training": (lambda: nn.Sequential({"training": nn.ReLU()}), ValueError, "'training'"),
    "a private name": (lambda: nn.ModuleDict({"_hooks": nn.ReLU()}), ValueError, "'_hooks_'"),
    "a module put in": (lambda: S.__setitem__(0, 3), TypeError, "got a int for position 0"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG.values(), ids=WRONG)
def test_errors_name_given_and_wanted_and_change_nothing(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
    for c in (L, D, S):
        assert len(c) == 1
        assert isinstance(next(c.children()), nn.ReLU)


def test_a_refused_update_changes_nothing():
    heads = nn.ModuleDict({"a": linear(2)})
    with pytest.raises(ValueError, match="forward"):
        heads.update({"b": nn.ReLU(), "forward": nn.ReLU()})
    assert list(heads) == ["a"]
    layers = nn.ModuleList([linear(2)])
    with pytest.raises(TypeError, match="position 2"):
        layers.extend([nn.ReLU(), nn.ReLU])
    assert len(layers) == 1

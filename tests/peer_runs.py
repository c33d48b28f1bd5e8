"""Running an op and its peer on the same inputs."""

import warnings

import numpy as np
from peers import PEERS, torch

import minigrad as mg
from minigrad.laws import Sample
from minigrad.laws.sample import listed
from minigrad.op import registry
from minigrad.samples import Draw


def words(text):
    """Names, one after the other."""
    return text.split()


def theirs(s, arrays, floating=()):
    """The peer's inputs and outputs."""
    zs = [torch.tensor(a, requires_grad=i in floating) for i, a in enumerate(arrays)]
    statics = {name: v for name, v in s.statics.items() if name != "hint"}
    with warnings.catch_warnings():  # torch warns of var without degrees of freedom, and the like
        warnings.simplefilter("ignore", UserWarning)
        return zs, listed(PEERS[s.op.name](*zs, **statics))


def host(t):
    """The array of one of PyTorch's tensors, materialised if it is only known to be zero."""
    return t.detach().numpy(force=True)


def kinds(ys):
    """Dtypes by name, of ours and of PyTorch's."""
    return [str(y.dtype).removeprefix("torch.") for y in ys]


def attempt(f):
    """Results, or the error."""
    try:
        return f()
    except (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError) as error:
        return error


def our_gradients(ys, xs, seeds, create_graph):
    """Zeros where nothing comes."""
    tracked = [(y, w) for y, w in zip(ys, seeds, strict=True) if y.requires_grad]
    if not tracked:
        return [x.detach() * 0.0 for x in xs]
    ys, seeds = zip(*tracked, strict=True)
    found = mg.grad(ys, xs, seeds, create_graph=create_graph, allow_unused=True)
    return [x.detach() * 0.0 if g is None else g for x, g in zip(xs, found, strict=True)]


def their_gradients(zs, xs, seeds, create_graph):
    """The same in PyTorch, of the same cotangents."""
    pairs = [(z, torch.tensor(w.numpy())) for z, w in zip(zs, seeds, strict=True)]
    tracked = [(z, w) for z, w in pairs if z.requires_grad]
    if not tracked:
        return [torch.zeros_like(x) for x in xs]
    zs, seeds = zip(*tracked, strict=True)
    options = {"create_graph": create_graph, "materialize_grads": True}
    return torch.autograd.grad(zs, xs, seeds, **options)


def both(name, arrays, statics, seeds_of):
    """Outputs and gradients of an op and of its peer, as arrays; NumPy's warnings are no news."""
    arrays = [np.asarray(a) for a in arrays]
    s = Sample(registry[name], tuple(arrays), statics, Draw.seeded(0))
    with np.errstate(all="ignore"):
        xs = s.tensors()
        ys = listed(s.call(*xs))
        seeds = [seeds_of(y) for y in ys]
        gs = our_gradients(ys, [x for x in xs if x.requires_grad], seeds, False)
    zs, others = theirs(s, arrays, s.floating)
    hs = their_gradients(others, [z for z in zs if z.requires_grad], seeds, False)
    return [t.numpy() for t in (*ys, *gs)], [host(t) for t in (*others, *hs)]

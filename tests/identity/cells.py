"""A notebook's cells as text: one that makes a Problem, one that makes data functions; edited by tests."""

import types
from typing import Any

PROBLEM = '''
import functools
import torch
from torch import nn
from neuromancer.constraint import variable
from neuromancer.loss import BarrierLoss, PenaltyLoss
from neuromancer.modules import blocks
from neuromancer.problem import Problem
from neuromancer.system import Node, System
from neuromancer.dynamics import integrators, ode

GAIN = 2.0
LIMITS = {"low": -1.0, "high": 1.0}
REFERENCE = torch.linspace(0.0, 1.0, 30)[:, None]


def damped(x, rate=0.1):
    """Less of x."""
    return x * (1.0 - rate)  # each step


class Estimator(nn.Module):
    """Two layers."""

    scale = 3.0

    def __init__(self, width):
        super().__init__()
        first, last = nn.Linear(2, width), nn.Linear(width, 2)
        self.net = nn.Sequential(first, nn.BatchNorm1d(width, eps=1e-5), nn.Dropout(0.1), last)
        self.register_buffer("mean", torch.zeros(2))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.settings = {"order": 2, "names": ["a", "b"]}
        self.unused = 0

    def forward(self, x):
        self.last = x
        self.seen = getattr(self, "seen", 0) + 1
        return self.finished(self.net(x - self.mean) * self.frozen * self.scale)

    def finished(self, x):
        return x + self.settings["order"]

    def plotted(self):
        return 1


class Plant:
    def __init__(self, mass):
        self.mass = mass

    def step(self, x, u):
        return x + u / self.mass


def coupled(a):
    def plant(x, u):
        change = a * u
        return damped(x) + GAIN * change
    return plant


class Tank(ode.ODESystem):
    def __init__(self):
        super().__init__(insize=2, outsize=2)
        self.c = nn.Parameter(torch.tensor([0.1]), requires_grad=False)

    def ode_equations(self, x):
        return -self.c * x


def build(weights=1.0):
    torch.manual_seed(0)
    estimator = Node(Estimator(4), ["y"], ["x"], name="estimator")
    network = blocks.MLP_bounds(2, 2, hsizes=[8, 8], nonlin=nn.ReLU, min=-1.0, max=1.0)
    policy = Node(network, ["x"], ["u"], name="policy")
    plant = Node(coupled(0.5), ["x", "u"], ["x"], name="plant")
    push = Node(Plant(1.5).step, ["x", "u"], ["x2"], name="push")
    cut = Node(functools.partial(torch.clamp, min=-5.0), ["x"], ["xc"], name="cut")
    tank = Node(integrators.RK4(Tank(), h=0.1), ["x"], ["z"], name="tank")
    loop = System([policy, plant, push, cut, tank], name="loop", nsteps=3)
    x, u, y, z = variable("x"), variable("u"), variable("y"), variable("z")
    track = weights * (((x - 0.5) ** 2).minimize(weight=1.0, name="track"))
    follow = ((z[:, -1:, :] * REFERENCE[0]) ** 2).minimize(metric=lambda v: v.sum() * 0.1, name="follow")
    bound = 10.0 * (x <= LIMITS["high"])
    bound.name = "bound"
    action = 2.0 * ((u == 0.25) ^ 2)
    action.name = "action"
    return Problem([estimator, loop], PenaltyLoss([track, follow], [bound, action]))


problem = build()
'''

DATA = '''
import functools
import math
import numpy as np
import torch

SCALE = 1.0
TABLE = {"a": [1, 2], "b": {3, 4}}
NOISE = np.linspace(0.0, 1.0, 50)


def helper(n):
    """Makes n samples."""
    return math.sqrt(n) * SCALE  # scaled


def for_plant(mass, offset=0.0):
    def data(nsim=10):
        """The plant's data."""
        first = nsim * mass
        return helper(first) + offset
    return data


class Maker:
    kind = "wide"
    factor = 2

    def __init__(self, noise):
        self.noise = noise
        self.grid = np.arange(60.0)

    def __call__(self, nsim=10):
        return self.noise * nsim

    def make(self, nsim=10):
        self.calls = getattr(self, "calls", 0) + 1
        return self.scaled(nsim)

    def scaled(self, n):
        return self.noise * n * self.factor

    @classmethod
    def of_class(cls, nsim=10):
        return nsim * cls.factor

    def shown(self):
        return "a picture"


class Narrow(Maker):
    factor = 3


closure = for_plant(1.0)
calling = Maker(0.1)
method = Maker(0.1).make
inherited = Narrow.of_class
bound = functools.partial(helper, n=4)
lean = lambda nsim=10: TABLE["a"][0] * nsim + NOISE.sum()
'''


def run(cell: str, old: str = "", new: str = "", name: str = "__main__") -> types.SimpleNamespace:
    """Run a cell in which `old` is replaced by `new`, and return what it defines."""
    assert old in cell, f"{old!r} is not in the cell"
    names: dict[str, Any] = {"__name__": name}
    exec(compile(cell.replace(old, new) if old else cell, f"<ipython-input-{hash(new)}>", "exec"), names)
    return types.SimpleNamespace(**names)

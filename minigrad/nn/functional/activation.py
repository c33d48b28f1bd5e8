"""Activations as functions."""

from __future__ import annotations

from ...ops import elementwise, piecewise, reduce

relu, tanh, sigmoid = piecewise.relu, elementwise.tanh, elementwise.sigmoid
softmax, log_softmax = reduce.softmax, reduce.log_softmax

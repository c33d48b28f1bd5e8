"""What can go wrong, in a few kinds; each is also the built-in error to expect."""


class ShapeError(ValueError):
    """Shapes, axes or sizes that do not fit."""


class OutOfRangeError(ShapeError, IndexError):
    """An index or an axis that is not there."""


class DTypeError(TypeError):
    """An element type, or a type of argument, that an operation cannot take."""


class DeviceError(RuntimeError):
    """Arrays of different devices met, or a device is not there."""


class OutOfMemoryError(DeviceError, MemoryError):
    """A GPU has no memory for a result; what was there stays as it was."""


class GraphError(RuntimeError):
    """The graph cannot be differentiated as asked: swept twice, written to, or not there at all."""

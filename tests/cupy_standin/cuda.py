"""The `cupy.cuda` namespace: two devices that are not there, without streams."""

import threading
from types import ModuleType

from .cublas import make_cublas
from .memory import OutOfMemoryError, room

DEVICES = 2


class CUDARuntimeError(RuntimeError):
    """What CuPy raises when the CUDA runtime refuses."""


class Device:
    """A device by its number; the current one if none is given."""

    current = 0

    def __init__(self, device=None):
        self.id = Device.current if device is None else int(device)
        self._before = []

    def use(self):
        """Make this the current device, where arrays are made and kernels run."""
        if self.id >= DEVICES:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        Device.current = self.id

    def synchronize(self):
        """Everything has happened already."""

    def __enter__(self):
        self._before.append(Device.current)
        self.use()
        return self

    def __exit__(self, *exception):
        Device.current = self._before.pop()

    def __int__(self):
        return self.id

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    __hash__ = None

    def __repr__(self):
        return f"<CUDA Device {self.id}>"


def is_available():
    """Whether there is a driver and a device."""
    return True


def make_module():
    """`cupy.cuda`."""
    module, runtime = ModuleType("cupy.cuda"), ModuleType("cupy.cuda.runtime")
    runtime.getDeviceCount = lambda: DEVICES
    runtime.getDevice = lambda: Device.current
    runtime.CUDARuntimeError = CUDARuntimeError
    runtime.memGetInfo = room.info
    runtime.getDeviceProperties = lambda number: {"name": b"NVIDIA Stand-in 2"}
    module.memory = ModuleType("cupy.cuda.memory")
    module.memory.OutOfMemoryError = OutOfMemoryError
    module.Device, module.is_available, module.runtime = Device, is_available, runtime
    module.cublas, module.get_cublas_handle = make_cublas(), threading.get_ident
    return module

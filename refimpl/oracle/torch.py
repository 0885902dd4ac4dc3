"""What torch's authors import: the base class of adapters with models, data, losses and names."""

from refimpl.oracle.subject.torch_adapter import TorchAdapter as TorchAdapter

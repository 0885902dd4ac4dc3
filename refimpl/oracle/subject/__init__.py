"""Implementations under test: adapters in this process, and programs in any language behind a protocol."""

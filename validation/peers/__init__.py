"""Four published libraries as adapters, judged like any other implementation: `nox -s peers`."""

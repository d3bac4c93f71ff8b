"""What crosses a process: one module a topic. Imports msgspec only, so that any program may use it."""

"""Measures the plane: `python -m bench` runs every scenario.

| Module | What it holds                                        |
|--------|------------------------------------------------------|
| `a2a`  | an A2A echo through the plane, and past it           |
| `load` | clients that do nothing but ask and wait             |
| `agent`| the fastest agent there is, so that it hides nothing |
"""

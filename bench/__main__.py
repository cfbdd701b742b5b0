"""Runs the A2A benchmark: `python -m bench`."""

from bench.a2a import main

if __name__ == "__main__":
    main()

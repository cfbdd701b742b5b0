"""A module whose `Adapter` is not derived from `BaseAdapter`."""


class Adapter:
    def __init__(self, workspace) -> None:
        pass

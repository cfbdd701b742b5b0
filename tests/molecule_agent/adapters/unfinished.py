"""Not an adapter yet."""


class Adapter:
    def __init__(self, workspace) -> None:
        pass

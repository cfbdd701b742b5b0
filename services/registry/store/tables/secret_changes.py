"""The table of the cursor of secret changes."""

import sqlalchemy as sa

from services.registry.store.tables.schema import META

# One row. While a change of a global secret is being applied, `under_way` is its id and `within` the last workspace
# that it has reached.
rollout_cursors = sa.Table(
    "turnovers",
    META,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("finished", sa.BigInteger, nullable=False),
    sa.Column("under_way", sa.BigInteger, nullable=False),
    sa.Column("within", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)

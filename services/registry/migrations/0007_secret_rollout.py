"""The table that stores how far changes of secrets were applied."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table with its only row."""
    op.execute(
        """
        create table registry.turnovers (
            id integer constraint turnovers_pkey primary key,
            finished bigint not null,
            under_way bigint not null,
            within text not null,
            constraint turnovers_one_row_check check (id = 1)
        )
        """
    )

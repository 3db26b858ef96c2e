"""an approval may hold for the rest of its run, and may change what is done"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('approvals') as approvals:
        approvals.add_column(sa.Column('alike', sqlmodel.sql.sqltypes.AutoString(), nullable=False, server_default=''))
        approvals.add_column(sa.Column('for_run', sa.Boolean(), nullable=False, server_default=sa.false()))
        approvals.add_column(sa.Column('edits', sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('approvals') as approvals:
        approvals.drop_column('edits')
        approvals.drop_column('for_run')
        approvals.drop_column('alike')

"""what a key may do: those there are belong to the machine's owner"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('api_keys') as keys:
        keys.add_column(sa.Column('scope', sqlmodel.sql.sqltypes.AutoString(), nullable=False, server_default='admin'))


def downgrade() -> None:
    with op.batch_alter_table('api_keys') as keys:
        keys.drop_column('scope')

-- Everything, in order, for psql: psql -v ON_ERROR_STOP=1 -f install.sql "$DATABASE_URL"
-- Harmless to apply again. outbox.Migrate applies the same files in the same order.
\ir 001_outbox.sql
\ir 003_access.sql
\ir 004_parity.sql
\ir 005_bell.sql
\ir functions.sql
\ir access.sql
\ir operator.sql
\ir parity.sql

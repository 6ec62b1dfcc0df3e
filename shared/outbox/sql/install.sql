-- Everything, in order, for psql: psql -v ON_ERROR_STOP=1 -f install.sql "$DATABASE_URL"
-- Harmless to apply again. admin.Migrate applies the same files in the same order.
\ir 001_schema.sql
\ir capture.sql
\ir wakeup.sql
\ir claim.sql
\ir history.sql
\ir retention.sql
\ir access.sql
\ir attach.sql
\ir revocation.sql
\ir presence.sql
\ir operator.sql
\ir selfcheck.sql
\ir parity.sql
\ir audit.sql
\ir rights.sql

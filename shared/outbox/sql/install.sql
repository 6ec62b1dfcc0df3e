-- Everything, in order, for psql: psql -v ON_ERROR_STOP=1 -f install.sql "$DATABASE_URL"
-- Harmless to apply again. admin.Migrate applies the same files in the same order.
\ir 001_schema.sql
\ir wakeup.sql
\ir attach.sql
\ir capture_text.sql
\ir capture_write.sql
\ir capture.sql
\ir capture_members.sql
\ir capture_slow.sql
\ir upkeep.sql
\ir numbering.sql
\ir restore.sql
\ir claim.sql
\ir history.sql
\ir retention.sql
\ir access.sql
\ir members.sql
\ir attach_as.sql
\ir send.sql
\ir recheck.sql
\ir revocation.sql
\ir presence.sql
\ir operator.sql
\ir selfcheck.sql
\ir parity.sql
\ir audit.sql
\ir rights.sql

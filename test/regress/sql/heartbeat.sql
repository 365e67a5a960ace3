--
-- Whose heartbeats a node obeys, and which server start they mean.
--
\set watchdog '\'11111111-2222-3333-4444-555555555555\''
\set other '\'99999999-2222-3333-4444-555555555555\''
\set VERBOSITY sqlstate
SET ROLE regress_watchdog;

SELECT boot_id, started_at, postmaster_pid
FROM regent.heartbeat(:watchdog, 3, NULL, NULL, NULL, NULL) \gset

-- this very server start
SELECT node_name FROM regent.heartbeat(:watchdog, 3, :'boot_id', :'started_at', 4, NULL);
SELECT node_name FROM regent.heartbeat(:watchdog, 3, :'boot_id', :'started_at', 4, 123456);
SELECT node_name FROM regent.heartbeat(:watchdog, 3, :watchdog, NULL, 4, NULL);
SELECT node_name FROM regent.heartbeat(:watchdog, 3, NULL, '2001-01-01', 4, NULL);

-- the watchdog that the node obeys, in its newest life
SELECT node_name FROM regent.heartbeat(:other, 3, NULL, NULL, NULL, NULL);
SELECT node_name FROM regent.heartbeat(:watchdog, 2, NULL, NULL, NULL, NULL);
SELECT node_name FROM regent.heartbeat(:watchdog, 7, NULL, NULL, NULL, NULL);
SELECT node_name FROM regent.heartbeat(:watchdog, 3, NULL, NULL, NULL, NULL);
SELECT node_name FROM regent.heartbeat(:watchdog, 7, NULL, NULL, NULL, NULL);
RESET ROLE;
SELECT line FROM string_to_table(pg_read_file('regent.state'), E'\n') AS line WHERE line ~ '^watchdog';


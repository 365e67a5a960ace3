--
-- A node before its first rule: it answers, and obeys nobody.
--
\set watchdog '\'11111111-2222-3333-4444-555555555555\''
\set VERBOSITY sqlstate

CREATE ROLE regress_watchdog LOGIN IN ROLE regent_watchdog;
CREATE ROLE regress_operator LOGIN IN ROLE regent_operator;
CREATE ROLE regress_monitor LOGIN IN ROLE pg_monitor;
CREATE ROLE regress_nobody LOGIN;

SET ROLE regress_monitor;
SELECT regent.walrecrunning();
SELECT node_name, role, in_recovery, writable, gate, walreceiver_state, upstream, timeline,
	   receive_lsn, replay_lsn, replay_lag_bytes, replay_lag_ms, last_message_age_ms,
	   replay_paused
FROM regent.node_status();
SELECT disk_state, disk_free_bytes > 0 AS disk_free_bytes, disk_hung_ms,
	   disk_text ~ '^[0-9]+ bytes free in ' AS disk_text, crash_restarts
FROM regent.node_status();
SELECT term, promised_term, leader, lease_left_ms, watchdog_seen_ms, streaming_standbys,
	   sync_standbys, extension_version
FROM regent.node_status();
SELECT s.system_identifier = c.system_identifier AS system_identifier,
	   flush_lsn <= pg_current_wal_insert_lsn() AS flush_lsn,
	   current_lsn >= flush_lsn AS current_lsn,
	   started_at = pg_postmaster_start_time() AS started_at,
	   boottime_ms > 0 AS boottime_ms,
	   reported_at BETWEEN now() AND clock_timestamp() AS reported_at,
	   server_version = current_setting('server_version') AS server_version
FROM regent.node_status() s, pg_control_system() c;
SELECT * FROM regent.cluster();
SELECT * FROM regent.jobs();
SELECT count(*) FROM regent.rule;

-- others may not
SELECT * FROM regent.heartbeat(:watchdog, 1, NULL, NULL, NULL, NULL);
SET ROLE regress_nobody;
SELECT regent.walrecrunning();
SET ROLE regress_operator;
SELECT regent.rebuild('n2');
SELECT count(*) FROM regent.rule;
SELECT regent.fence(:watchdog, 1, 1);

-- a heartbeat of anybody is answered
SET ROLE regress_watchdog;
SELECT node_name, role, term, rule, followed_terms, requests, promoting_term, standbys,
	   postmaster_pid > 0 AS postmaster_pid, watchdog_seen_ms >= 0 AS watchdog_seen_ms
FROM regent.heartbeat(:watchdog, 1, NULL, NULL, NULL, NULL);
SELECT node_name FROM regent.heartbeat('99999999-2222-3333-4444-555555555555', 1, NULL, NULL, 7, 1000);
SELECT node_name FROM regent.heartbeat(NULL, 1, NULL, NULL, NULL, NULL);
SELECT node_name FROM regent.heartbeat(:watchdog, NULL, NULL, NULL, NULL, NULL);

-- its commands are not
SELECT * FROM regent.promise(:watchdog, 1, 1, 1000);
SELECT regent.promote(:watchdog, 1, 1);
SELECT regent.follow(:watchdog, 1, 1, 'n2', 'host=localhost', 'regent_n1');
SELECT regent.fence(:watchdog, 1, 1);
SELECT regent.publish(:watchdog, 1, 1, '{}');
SELECT regent.fence(NULL, 1, 1);
SELECT regent.fence(:watchdog, NULL, 1);
SELECT regent.fence(:watchdog, 1, NULL);
RESET ROLE;

-- no pledge was made, and no file written for nothing
SELECT pg_stat_file('regent.state', true) IS NULL AS no_state_file;

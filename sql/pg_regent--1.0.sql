/* sql/pg_regent--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_regent" to load this file. \quit

COMMENT ON SCHEMA regent IS 'pg_regent: keeps exactly one server of a cluster writable';

-- Roles: they belong to the server, not to this database, and outlive the extension.
DO $roles$
BEGIN
	IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'regent_watchdog') THEN
		CREATE ROLE regent_watchdog NOLOGIN;
		COMMENT ON ROLE regent_watchdog IS 'pg_regent: may send heartbeats and commands to a node';
	END IF;
	IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'regent_operator') THEN
		CREATE ROLE regent_operator NOLOGIN;
		COMMENT ON ROLE regent_operator IS 'pg_regent: may ask the watchdog for work';
	END IF;
END
$roles$;

--
-- The rules: whose history this copy of the data holds.
--
CREATE TABLE regent.rule (
	term		pg_catalog.int8 NOT NULL CHECK (term > 0),
	seq			pg_catalog.int4 NOT NULL CHECK (seq >= 0),
	leader		pg_catalog.text NOT NULL,
	voters		pg_catalog.text[] NOT NULL,
	durability	pg_catalog.text NOT NULL CHECK (durability IN ('async', 'sync', 'strict')),
	quorum		pg_catalog.int4 NOT NULL CHECK (quorum >= 0),
	left_out	pg_catalog.text[] NOT NULL DEFAULT '{}',
	lease		pg_catalog.interval NOT NULL,
	pause_until	pg_catalog.timestamptz,
	watchdog	pg_catalog.uuid NOT NULL,
	reason		pg_catalog.text NOT NULL,
	at			pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	timeline	pg_catalog.int4 NOT NULL,
	PRIMARY KEY (term, seq)
);

-- Not dumped: rules belong to these servers, not to the data, and would bind the cluster into
-- which a dump is restored to nodes that it has not.  For the same reason those of another
-- cluster do not come in by logical replication.
CREATE FUNCTION regent.keep_foreign_rules_out()
RETURNS trigger
AS 'MODULE_PATHNAME', 'regent_keep_foreign_rules_out'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.keep_foreign_rules_out()
	IS 'skips what logical replication brings into regent.rule: rules of another cluster';

CREATE TRIGGER keep_foreign_rules_out BEFORE INSERT OR UPDATE OR DELETE ON regent.rule
	FOR EACH ROW EXECUTE FUNCTION regent.keep_foreign_rules_out();
ALTER TABLE regent.rule ENABLE ALWAYS TRIGGER keep_foreign_rules_out;

COMMENT ON TRIGGER keep_foreign_rules_out ON regent.rule IS 'rules of another cluster do not come in';

COMMENT ON TABLE regent.rule IS 'rules of the cluster; the newest (term, seq) is in force';
COMMENT ON COLUMN regent.rule.term IS 'only grows; each change of leader has its own';
COMMENT ON COLUMN regent.rule.seq IS 'number of the rule within its term';
COMMENT ON COLUMN regent.rule.leader IS 'node that may acknowledge writes';
COMMENT ON COLUMN regent.rule.voters IS 'nodes whose flush counts, the leader among them';
COMMENT ON COLUMN regent.rule.durability IS 'async, sync or strict';
COMMENT ON COLUMN regent.rule.quorum IS 'how many voters beside the leader must have flushed a commit';
COMMENT ON COLUMN regent.rule.left_out IS 'voters that do not count at present';
COMMENT ON COLUMN regent.rule.lease IS 'how long a leader may act without being heard';
COMMENT ON COLUMN regent.rule.pause_until IS 'until when leases reach while the watchdog is away on purpose';
COMMENT ON COLUMN regent.rule.watchdog IS 'the watchdog that nodes with this rule obey';
COMMENT ON COLUMN regent.rule.reason IS 'why this rule was written';
COMMENT ON COLUMN regent.rule.at IS 'when it was written, by the leader''s clock';
COMMENT ON COLUMN regent.rule.timeline IS 'timeline on which it was written';

--
-- Diagnostics
--
CREATE FUNCTION regent.walrecrunning()
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'regent_walrecrunning'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION regent.walrecrunning() IS 'is this server''s walreceiver streaming?';

CREATE FUNCTION regent.node_status(
	OUT node_name pg_catalog.text,
	OUT role pg_catalog.text,
	OUT in_recovery pg_catalog.bool,
	OUT writable pg_catalog.bool,
	OUT gate pg_catalog.text,
	OUT walreceiver_state pg_catalog.text,
	OUT upstream pg_catalog.text,
	OUT timeline pg_catalog.int4,
	OUT receive_lsn pg_catalog.pg_lsn,
	OUT replay_lsn pg_catalog.pg_lsn,
	OUT flush_lsn pg_catalog.pg_lsn,
	OUT current_lsn pg_catalog.pg_lsn,
	OUT replay_lag_bytes pg_catalog.int8,
	OUT replay_lag_ms pg_catalog.int8,
	OUT last_message_age_ms pg_catalog.int8,
	OUT replay_paused pg_catalog.bool,
	OUT system_identifier pg_catalog.int8,
	OUT term pg_catalog.int8,
	OUT promised_term pg_catalog.int8,
	OUT leader pg_catalog.text,
	OUT lease_left_ms pg_catalog.int8,
	OUT watchdog_seen_ms pg_catalog.int8,
	OUT streaming_standbys pg_catalog.int4,
	OUT sync_standbys pg_catalog.int4,
	OUT started_at pg_catalog.timestamptz,
	OUT boottime_ms pg_catalog.int8,
	OUT reported_at pg_catalog.timestamptz,
	OUT server_version pg_catalog.text,
	OUT extension_version pg_catalog.text,
	OUT disk_state pg_catalog.text,
	OUT disk_free_bytes pg_catalog.int8,
	OUT disk_hung_ms pg_catalog.int8,
	OUT disk_text pg_catalog.text,
	OUT crash_restarts pg_catalog.int4)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME', 'regent_node_status'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION regent.node_status() IS 'what this server is and does, as one row; also on a standby';

CREATE FUNCTION regent.cluster(
	OUT node_name pg_catalog.text,
	OUT host pg_catalog.text,
	OUT port pg_catalog.int4,
	OUT role pg_catalog.text,
	OUT state pg_catalog.text,
	OUT status pg_catalog.int4,
	OUT lb_weight pg_catalog.float8,
	OUT replay_lag_bytes pg_catalog.int8,
	OUT term pg_catalog.int8,
	OUT timeline pg_catalog.int4,
	OUT last_seen pg_catalog.timestamptz,
	OUT reason pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'regent_cluster'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION regent.cluster() IS 'all nodes, as the watchdog last published them here';

--
-- Operators
--
CREATE FUNCTION regent.jobs(
	OUT id pg_catalog.int8,
	OUT kind pg_catalog.text,
	OUT node pg_catalog.text,
	OUT state pg_catalog.text,
	OUT progress pg_catalog.float8,
	OUT message pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'regent_jobs'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION regent.jobs() IS 'work of the watchdog, and requests that it has not taken yet';

CREATE FUNCTION regent.rebuild(
	node pg_catalog.text,
	method pg_catalog.text DEFAULT 'auto')
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'regent_rebuild'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.rebuild(pg_catalog.text, pg_catalog.text) IS 'ask the watchdog to rebuild a node; returns the id of the job';

CREATE FUNCTION regent.switchover(
	node pg_catalog.text DEFAULT NULL)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'regent_switchover'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.switchover(pg_catalog.text) IS 'ask the watchdog to make another node, or this one, the leader; returns the id of the job';

--
-- Superusers
--
CREATE FUNCTION regent.override_gate(
	reason pg_catalog.text,
	duration pg_catalog.interval)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'regent_override_gate'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.override_gate(pg_catalog.text, pg_catalog.interval)
	IS 'lets this node write without a lease, for an hour at most; 0 ends it; superusers only';

--
-- The watchdog
--
CREATE FUNCTION regent.heartbeat(
	watchdog pg_catalog.uuid,
	counter pg_catalog.int8,
	boot_id pg_catalog.uuid,
	postmaster_start pg_catalog.timestamptz,
	term pg_catalog.int8,
	lease_until_ms pg_catalog.int8,
	OUT node_name pg_catalog.text,
	OUT role pg_catalog.text,
	OUT in_recovery pg_catalog.bool,
	OUT writable pg_catalog.bool,
	OUT gate pg_catalog.text,
	OUT walreceiver_state pg_catalog.text,
	OUT upstream pg_catalog.text,
	OUT timeline pg_catalog.int4,
	OUT receive_lsn pg_catalog.pg_lsn,
	OUT replay_lsn pg_catalog.pg_lsn,
	OUT flush_lsn pg_catalog.pg_lsn,
	OUT current_lsn pg_catalog.pg_lsn,
	OUT replay_lag_bytes pg_catalog.int8,
	OUT replay_lag_ms pg_catalog.int8,
	OUT last_message_age_ms pg_catalog.int8,
	OUT replay_paused pg_catalog.bool,
	OUT system_identifier pg_catalog.int8,
	OUT term pg_catalog.int8,
	OUT promised_term pg_catalog.int8,
	OUT leader pg_catalog.text,
	OUT lease_left_ms pg_catalog.int8,
	OUT watchdog_seen_ms pg_catalog.int8,
	OUT streaming_standbys pg_catalog.int4,
	OUT sync_standbys pg_catalog.int4,
	OUT started_at pg_catalog.timestamptz,
	OUT boottime_ms pg_catalog.int8,
	OUT reported_at pg_catalog.timestamptz,
	OUT server_version pg_catalog.text,
	OUT extension_version pg_catalog.text,
	OUT disk_state pg_catalog.text,
	OUT disk_free_bytes pg_catalog.int8,
	OUT disk_hung_ms pg_catalog.int8,
	OUT disk_text pg_catalog.text,
	OUT crash_restarts pg_catalog.int4,
	OUT boot_id pg_catalog.uuid,
	OUT postmaster_pid pg_catalog.int4,
	OUT rule pg_catalog.jsonb,
	OUT followed_terms pg_catalog.jsonb,
	OUT requests pg_catalog.jsonb,
	OUT promoting_term pg_catalog.int8,
	OUT standbys pg_catalog.jsonb,
	OUT ahead pg_catalog.text,
	OUT intruder pg_catalog.text,
	OUT intruder_age_ms pg_catalog.int8,
	OUT wal_age_ms pg_catalog.int8,
	OUT start_lsn pg_catalog.pg_lsn,
	OUT slots pg_catalog.jsonb)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME', 'regent_heartbeat'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.heartbeat(pg_catalog.uuid, pg_catalog.int8, pg_catalog.uuid, pg_catalog.timestamptz, pg_catalog.int8, pg_catalog.int8)
	IS 'the watchdog''s regular question; answers node_status() and what it needs to decide';

CREATE FUNCTION regent.promise(
	watchdog pg_catalog.uuid,
	counter pg_catalog.int8,
	term pg_catalog.int8,
	deadline_ms pg_catalog.int8,
	OUT complete pg_catalog.bool,
	OUT rule pg_catalog.jsonb,
	OUT followed_terms pg_catalog.jsonb,
	OUT timeline pg_catalog.int4,
	OUT lsn pg_catalog.pg_lsn,
	OUT last_wal_age_ms pg_catalog.int8,
	OUT held_lsn pg_catalog.pg_lsn)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME', 'regent_promise'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.promise(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8, pg_catalog.int8)
	IS 'nothing from below this term any more; recruits a standby, closes a primary; answers its position';

CREATE FUNCTION regent.fetch_wal(
	watchdog pg_catalog.uuid,
	counter pg_catalog.int8,
	term pg_catalog.int8,
	source pg_catalog.text,
	conninfo pg_catalog.text,
	slot pg_catalog.text,
	until pg_catalog.pg_lsn,
	deadline_ms pg_catalog.int8,
	OUT complete pg_catalog.bool,
	OUT rule pg_catalog.jsonb,
	OUT followed_terms pg_catalog.jsonb,
	OUT timeline pg_catalog.int4,
	OUT lsn pg_catalog.pg_lsn,
	OUT last_wal_age_ms pg_catalog.int8,
	OUT held_lsn pg_catalog.pg_lsn)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME', 'regent_fetch_wal'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.fetch_wal(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.pg_lsn, pg_catalog.int8)
	IS 'a standby that has promised this term gets the WAL that another such standby has; answers its position';

CREATE FUNCTION regent.promote(
	watchdog pg_catalog.uuid,
	counter pg_catalog.int8,
	term pg_catalog.int8)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'regent_promote'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.promote(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8)
	IS 'promotes a standby that has promised this term';

CREATE FUNCTION regent.follow(
	watchdog pg_catalog.uuid,
	counter pg_catalog.int8,
	term pg_catalog.int8,
	leader pg_catalog.text,
	conninfo pg_catalog.text,
	slot pg_catalog.text)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'regent_follow'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.follow(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8, pg_catalog.text, pg_catalog.text, pg_catalog.text)
	IS 'lets a standby stream from the leader of a term, without a restart';

CREATE FUNCTION regent.write_rule(
	watchdog pg_catalog.uuid,
	counter pg_catalog.int8,
	term pg_catalog.int8,
	seq pg_catalog.int4,
	leader pg_catalog.text,
	voters pg_catalog.text[],
	durability pg_catalog.text,
	quorum pg_catalog.int4,
	left_out pg_catalog.text[],
	lease pg_catalog.interval,
	pause_until pg_catalog.timestamptz,
	reason pg_catalog.text)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'regent_write_rule'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.write_rule(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8, pg_catalog.int4, pg_catalog.text, pg_catalog.text[], pg_catalog.text, pg_catalog.int4, pg_catalog.text[], pg_catalog.interval, pg_catalog.timestamptz, pg_catalog.text)
	IS 'writes the next rule, on its leader; flushed when it has returned';

CREATE FUNCTION regent.fence(
	watchdog pg_catalog.uuid,
	counter pg_catalog.int8,
	term pg_catalog.int8)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'regent_fence'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.fence(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8)
	IS 'a promise that also ends all client sessions';

CREATE FUNCTION regent.checkpoint(
	watchdog pg_catalog.uuid,
	counter pg_catalog.int8,
	term pg_catalog.int8)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'regent_checkpoint'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.checkpoint(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8)
	IS 'an immediate checkpoint, so that a planned stop is a short one';

CREATE FUNCTION regent.takeover(
	watchdog pg_catalog.uuid,
	counter pg_catalog.int8,
	old_watchdog pg_catalog.uuid)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'regent_takeover'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.takeover(pg_catalog.uuid, pg_catalog.int8, pg_catalog.uuid)
	IS 'from now on this node obeys another watchdog; whoever calls it knows that the old one is stopped';

CREATE FUNCTION regent.publish(
	watchdog pg_catalog.uuid,
	counter pg_catalog.int8,
	term pg_catalog.int8,
	state pg_catalog.jsonb)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'regent_publish'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.publish(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8, pg_catalog.jsonb)
	IS 'what cluster() and jobs() show on this node from now on';

--
-- Copies: for the role that replicates, to which regent init grants them.
--
CREATE FUNCTION regent.copy_files(
	OUT path pg_catalog.text,
	OUT kind pg_catalog.text,
	OUT size pg_catalog.int8)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'regent_copy_files'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.copy_files() IS 'the files and directories that a copy of this server consists of';

CREATE FUNCTION regent.copy_compare(request pg_catalog.bytea)
RETURNS pg_catalog.bytea
AS 'MODULE_PATHNAME', 'regent_copy_compare'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION regent.copy_compare(pg_catalog.bytea) IS 'the blocks of files that differ from those whose hashes the asker sends';

CREATE FUNCTION regent.rewind_ls_dir(dirname pg_catalog.text, missing_ok pg_catalog.bool, include_dot_dirs pg_catalog.bool)
RETURNS SETOF pg_catalog.text
AS 'MODULE_PATHNAME', 'regent_rewind_ls_dir'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION regent.rewind_ls_dir(pg_catalog.text, pg_catalog.bool, pg_catalog.bool)
IS 'what pg_rewind sees instead of pg_ls_dir: in pg_wal only the segments that a rewind needs (regent.rewind_wal_from)';

--
-- Rights: nothing for PUBLIC.
--
REVOKE ALL ON SCHEMA regent FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA regent FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA regent FROM PUBLIC;

GRANT USAGE ON SCHEMA regent TO pg_monitor, regent_watchdog, regent_operator;
GRANT SELECT ON regent.rule TO pg_monitor;

GRANT EXECUTE ON FUNCTION regent.walrecrunning(), regent.node_status(), regent.cluster()
	TO pg_monitor;
GRANT EXECUTE ON FUNCTION regent.jobs() TO pg_monitor, regent_operator;
GRANT EXECUTE ON FUNCTION regent.rebuild(pg_catalog.text, pg_catalog.text),
	regent.switchover(pg_catalog.text)
	TO regent_operator;
GRANT EXECUTE ON FUNCTION
	regent.heartbeat(pg_catalog.uuid, pg_catalog.int8, pg_catalog.uuid, pg_catalog.timestamptz, pg_catalog.int8, pg_catalog.int8),
	regent.promise(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8, pg_catalog.int8),
	regent.fetch_wal(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.pg_lsn, pg_catalog.int8),
	regent.promote(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8),
	regent.follow(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8, pg_catalog.text, pg_catalog.text, pg_catalog.text),
	regent.write_rule(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8, pg_catalog.int4, pg_catalog.text, pg_catalog.text[], pg_catalog.text, pg_catalog.int4, pg_catalog.text[], pg_catalog.interval, pg_catalog.timestamptz, pg_catalog.text),
	regent.fence(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8),
	regent.checkpoint(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8),
	regent.takeover(pg_catalog.uuid, pg_catalog.int8, pg_catalog.uuid),
	regent.publish(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8, pg_catalog.jsonb)
	TO regent_watchdog;

--
-- Rules: what is refused, what is written, what is shown.
--
\set watchdog '\'11111111-2222-3333-4444-555555555555\''
\set other '\'99999999-2222-3333-4444-555555555555\''
\set VERBOSITY sqlstate
SET ROLE regress_watchdog;

-- makes no sense
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n2,n3}', 'async', 1, '{}', '5s', NULL, 'leader is no voter');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,n2,n2}', 'async', 1, '{}', '5s', NULL, 'twice');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,N2}', 'async', 1, '{}', '5s', NULL, 'name');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,any}', 'async', 1, '{}', '5s', NULL, 'name');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,NULL}', 'async', 1, '{}', '5s', NULL, 'name');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,n2}', 'best', 1, '{}', '5s', NULL, 'durability');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,n2}', 'sync', 2, '{}', '5s', NULL, 'quorum');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,n2}', 'sync', -1, '{}', '5s', NULL, 'quorum');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,n2}', 'sync', 1, '{n3}', '5s', NULL, 'left out');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,n2}', 'sync', 1, '{n1}', '5s', NULL, 'left out');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,n2}', 'sync', 1, '{}', '0s', NULL, 'lease');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,n2}', 'sync', 1, '{}', '2h', NULL, 'lease');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,n2}', 'sync', 1, '{}', '5s', now() + '2 days', 'pause');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,n2}', 'sync', 1, '{}', '5s', 'infinity', 'pause');
SELECT regent.write_rule(:watchdog, 1, 1, -1, 'n1', '{n1,n2}', 'sync', 1, '{}', '5s', NULL, 'seq');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', NULL, 'sync', 1, '{}', '5s', NULL, 'null');
SELECT regent.write_rule(:watchdog, 1, 0, 1, 'n1', '{n1,n2}', 'sync', 1, '{}', '5s', NULL, 'term');
SELECT regent.write_rule(:watchdog, 1, 1001, 1, 'n1', '{n1,n2}', 'sync', 1, '{}', '5s', NULL, 'term');
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n2', '{n1,n2}', 'sync', 1, '{}', '5s', NULL, 'not the leader');

-- a rule is a transaction of its own
BEGIN;
SELECT regent.write_rule(:watchdog, 1, 1, 1, 'n1', '{n1,n2}', 'async', 1, '{}', '5s', NULL, 'block');
ROLLBACK;

-- the first one, also in a session that is read-only
SET default_transaction_read_only = on;
SELECT regent.write_rule(:watchdog, 3, 1, 1, 'n1', '{n1,n2,n3}', 'async', 1, '{}', '5s', NULL, 'init')
	   - 'lsn' AS state;
RESET default_transaction_read_only;

-- it is in force at once
SELECT node_name, term, promised_term, leader FROM regent.heartbeat(:watchdog, 3, NULL, NULL, NULL, NULL);
SELECT rule - 'at' AS rule, followed_terms FROM regent.heartbeat(:watchdog, 3, NULL, NULL, NULL, NULL);
RESET ROLE;
SELECT term, seq, leader, voters, durability, quorum, left_out, lease, pause_until, watchdog, reason, timeline
FROM regent.rule;

-- rules only go forward
SET ROLE regress_watchdog;
SELECT regent.write_rule(:watchdog, 3, 1, 1, 'n1', '{n1,n2,n3}', 'async', 1, '{}', '5s', NULL, 'again');
SELECT regent.write_rule(:watchdog, 3, 1, 0, 'n1', '{n1,n2,n3}', 'async', 1, '{}', '5s', NULL, 'older');
SELECT regent.write_rule(:other, 9, 1, 2, 'n1', '{n1,n2,n3}', 'async', 1, '{}', '5s', NULL, 'other watchdog');
SELECT regent.write_rule(:watchdog, 2, 1, 2, 'n1', '{n1,n2,n3}', 'async', 1, '{}', '5s', NULL, 'older watchdog');
SELECT regent.write_rule(:watchdog, 3, 1, 2, 'n1', '{n1,n2,n3}', 'sync', 1, '{n3}', '10s', NULL, E'n3 "left\nout" \u00e4')
	   - 'lsn' AS state;
SELECT rule->'seq' AS seq, rule->'durability' AS durability, rule->'left_out' AS left_out,
	   rule->'lease_ms' AS lease_ms, rule->'reason' AS reason
FROM regent.heartbeat(:watchdog, 3, NULL, NULL, NULL, NULL);

-- nobody has flushed rule 1.2, so rule 1.1 is still in question: no third one beside the two
SELECT regent.write_rule(:watchdog, 3, 1, 3, 'n1', '{n1,n2}', 'sync', 1, '{}', '5s', NULL, 'a third one');

-- a new term of the same leader, on the same timeline, that goes back
SELECT regent.write_rule(:watchdog, 3, 2, 1, 'n1', '{n1,n2,n3}', 'async', 1, '{}', '5s', now() + '1 hour', 'term 2')
	   - 'lsn' AS state;
SELECT followed_terms, rule->>'pause_until' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$' AS pause_until
FROM regent.heartbeat(:watchdog, 3, NULL, NULL, NULL, NULL);

-- a leader promises nothing for its own term or an older one; it is not promoted or sent to follow
SELECT * FROM regent.promise(:watchdog, 3, 1, 1000);
SELECT * FROM regent.promise(:watchdog, 3, 2, 1000);
SELECT * FROM regent.promise(:watchdog, 3, 3, 0);
SELECT * FROM regent.promise(:watchdog, 3, 3, 60001);
SELECT regent.promote(:watchdog, 3, 3);
SELECT regent.promote(:watchdog, 3, 2) - 'lsn' AS leads_already;
SELECT regent.follow(:watchdog, 3, 3, 'n2', 'host=localhost port=1', 'regent_n1');
SELECT regent.follow(:watchdog, 3, 3, 'n1', 'host=localhost port=1', 'regent_n1');
SELECT regent.follow(:watchdog, 3, 3, 'n2', 'host=localhost password=secret', 'regent_n1');
SELECT regent.follow(:watchdog, 3, 3, 'n2', 'host=localhost sslpassword = secret', 'regent_n1');
SELECT regent.follow(:watchdog, 3, 3, 'n2', '', 'regent_n1');

-- but it can be fenced, and then nothing older acts any more
SELECT regent.fence(:watchdog, 3, 1);
SELECT regent.fence(:watchdog, 3, 2);
SELECT regent.fence(:watchdog, 3, 1003);
SELECT regent.fence(:watchdog, 3, 4) - 'lsn' AS state;
SELECT regent.write_rule(:watchdog, 3, 3, 1, 'n1', '{n1,n2}', 'async', 1, '{}', '5s', NULL, 'stale');
SELECT regent.write_rule(:watchdog, 3, 4, 1, 'n1', '{n1,n2,n3}', 'async', 1, '{}', '5s', NULL, 'undone')
	   - 'lsn' AS state;
SELECT term, promised_term, leader FROM regent.heartbeat(:watchdog, 3, NULL, NULL, NULL, NULL);
RESET ROLE;

-- the state file, but for what differs between runs; the worker writes it after the commit
DO $$
BEGIN
	FOR i IN 1 .. 500 LOOP
		EXIT WHEN pg_read_file('regent.state') ~ E'\npending_rule -\n';
		PERFORM pg_sleep(0.02);
	END LOOP;
END
$$;
SELECT regexp_replace(line, '(system_identifier|checksum|unopened) (?:[0-9A-F/ ]+|-)$|"at":"[^"]*"|"pause_until":"[^"]*"', '\1 ...', 'g') AS line
FROM string_to_table(pg_read_file('regent.state'), E'\n') AS line;

--
-- The gate: what a closed one says, who may override it, what sessions see.
-- The rule of this node has no lease before the test grants one.
--
\set watchdog '\'11111111-2222-3333-4444-555555555555\''
\set VERBOSITY sqlstate

-- no time to be adopted until
ALTER SYSTEM SET regent.adopting = 'soon';
ALTER SYSTEM SET regent.adopting = 'now';
ALTER SYSTEM SET regent.adopting = '2030-13-01';

SELECT gate, writable, lease_left_ms FROM regent.node_status();
SELECT regent.override_gate('make a table', '1 minute');
SELECT gate, writable FROM regent.node_status();
CREATE TABLE gate_test (a int);
SELECT regent.override_gate('', '0');
SELECT gate, writable, lease_left_ms FROM regent.node_status();

-- closed
INSERT INTO gate_test VALUES (1);
CREATE TABLE gate_other (a int);
SELECT count(*) FROM gate_test;
SELECT txid_current() > 0 AS reads_only_until_its_commit;
SELECT current_setting('default_transaction_read_only') AS default_read_only,
	   current_setting('transaction_read_only') AS read_only,
	   source FROM pg_settings WHERE name = 'default_transaction_read_only';
SET default_transaction_read_only = off;
SHOW default_transaction_read_only;
RESET default_transaction_read_only;
BEGIN;
SAVEPOINT a;
INSERT INTO gate_test VALUES (1);
ROLLBACK TO a;
SELECT count(*) FROM gate_test;
COMMIT;
\set VERBOSITY terse
INSERT INTO gate_test VALUES (1);
\set VERBOSITY default
INSERT INTO gate_test VALUES (1);
\set VERBOSITY sqlstate

-- open: the grant is cut to the rule's lease
SELECT boot_id, started_at, boottime_ms, term AS newest
FROM regent.heartbeat(:watchdog, 7, NULL, NULL, NULL, NULL) \gset
SELECT gate, writable, lease_left_ms BETWEEN 1 AND 5000 AS has_lease
FROM regent.heartbeat(:watchdog, 7, :'boot_id', :'started_at', :newest, :boottime_ms + 3600000);
INSERT INTO gate_test VALUES (1);
SHOW default_transaction_read_only;
DROP TABLE gate_test;

-- the rules are not to be held up
LOCK TABLE regent.rule;
BEGIN;
LOCK TABLE regent.rule IN SHARE UPDATE EXCLUSIVE MODE;
ROLLBACK;
BEGIN;
LOCK TABLE regent.rule IN ROW EXCLUSIVE MODE;
LOCK TABLE regent.rule IN ACCESS SHARE MODE NOWAIT;
ROLLBACK;

-- what logical replication brings is skipped
SET session_replication_role = replica;
INSERT INTO regent.rule (term, seq, leader, voters, durability, quorum, lease, watchdog, reason, timeline)
VALUES (99, 1, 'other', '{other}', 'async', 0, '5s', '99999999-2222-3333-4444-555555555555', 'foreign', 1);
UPDATE regent.rule SET leader = 'other';
DELETE FROM regent.rule;
RESET session_replication_role;
SELECT count(*) FILTER (WHERE leader = 'other') AS others, count(*) > 0 AS is_left FROM regent.rule;

-- a promise takes the lease away
SELECT complete FROM regent.promise(:watchdog, 7, :newest + 1, 2000);
SELECT gate, writable, lease_left_ms, promised_term - term AS ahead FROM regent.node_status();
\set VERBOSITY default
CREATE TABLE gate_other (a int);
\set VERBOSITY sqlstate
SELECT gate, lease_left_ms
FROM regent.heartbeat(:watchdog, 7, :'boot_id', :'started_at', :newest, :boottime_ms + 3600000);

-- override: superusers, an hour at most, with a reason
SELECT regent.override_gate('test', '61 minutes');
SELECT regent.override_gate('test', '1 day');
SELECT regent.override_gate('test', '1 month');
SELECT regent.override_gate('test', '-1 second');
SELECT regent.override_gate(' ', '1 minute');
SELECT regent.override_gate(NULL, '1 minute');
SELECT regent.override_gate('test', NULL);
SELECT gate FROM regent.node_status();
SET ROLE regress_watchdog;
SELECT regent.override_gate('test', '1 minute');
SET ROLE regress_operator;
SELECT regent.override_gate('test', '1 minute');
RESET ROLE;
SELECT regent.override_gate('regress_watchdog may call it, and is no superuser', '1 minute');
GRANT EXECUTE ON FUNCTION regent.override_gate(text, interval) TO regress_watchdog;
SET ROLE regress_watchdog;
SELECT regent.override_gate('test', '1 minute');
RESET ROLE;
SELECT gate, writable FROM regent.node_status();

DROP EXTENSION pg_regent;
DROP ROLE regress_watchdog, regress_operator, regress_monitor, regress_nobody;
SHOW default_transaction_read_only;

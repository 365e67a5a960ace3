--
-- What the watchdog publishes, and what operators ask it for.
--
\set watchdog '\'11111111-2222-3333-4444-555555555555\''
\set VERBOSITY sqlstate

SET ROLE regress_watchdog;
SELECT node_name FROM regent.heartbeat(:watchdog, 7, NULL, NULL, NULL, NULL);
SELECT regent.publish(:watchdog, 7, 4, '{
	"nodes": [
		{"node_name": "n1", "host": "10.0.0.11", "port": 5432, "role": "primary", "state": "ok",
		 "status": 2, "lb_weight": 1, "replay_lag_bytes": null, "term": 4, "timeline": 1,
		 "last_seen": "2026-11-23T10:00:00Z", "reason": null},
		{"node_name": "n2", "host": "10.0.0.12", "port": 5432, "role": "standby", "state": "lagging",
		 "status": 2, "lb_weight": 0.5, "replay_lag_bytes": 4096, "term": 4, "timeline": 1,
		 "last_seen": "2026-11-23T10:00:00Z", "reason": "it is 4 kB behind"},
		{"node_name": "n3"}],
	"jobs": [
		{"id": 17, "kind": "rebuild", "node": "n3", "state": "running", "progress": 41.5,
		 "message": "copying"}]}') - 'lsn' AS state;
SELECT * FROM regent.cluster();

SET ROLE regress_monitor;
SET timezone = 'UTC';
SELECT * FROM regent.cluster();
SELECT * FROM regent.jobs();

-- an operator asks for a rebuild
SET ROLE regress_operator;
SELECT regent.rebuild('n9');
SELECT regent.rebuild('n1');
SELECT regent.rebuild('n2', 'rsync');
SELECT regent.rebuild(NULL);
SELECT regent.rebuild('n2') AS job \gset
SELECT :job > 1000000 AS has_id, regent.rebuild('n2', 'auto') = :job AS same_again;
SELECT regent.rebuild('n3', 'copy') AS other \gset
SELECT :other > :job AS ascends;
SELECT CASE id WHEN :job THEN 'first' WHEN :other THEN 'second' ELSE id::text END AS job,
	   kind, node, state, progress, message
FROM regent.jobs();

-- each heartbeat takes them along until a job of that id is published
SET ROLE regress_watchdog;
SELECT r->>'id' = :'job' AS is_first, r - 'id' AS request
FROM regent.heartbeat(:watchdog, 7, NULL, NULL, NULL, NULL) h, jsonb_array_elements(h.requests) r;
SELECT regent.publish(:watchdog, 7, 4, jsonb_build_object('nodes', '[]'::jsonb, 'jobs',
	jsonb_build_array(jsonb_build_object('id', :job, 'kind', 'rebuild', 'node', 'n2', 'state', 'running')))) IS NOT NULL;
SELECT jsonb_array_length(requests) FROM regent.heartbeat(:watchdog, 7, NULL, NULL, NULL, NULL);
SELECT regent.publish(:watchdog, 7, 4, jsonb_build_object('jobs',
	jsonb_build_array(jsonb_build_object('id', :other, 'kind', 'rebuild', 'node', 'n3', 'state', 'done', 'progress', 100)))) IS NOT NULL;
SELECT requests FROM regent.heartbeat(:watchdog, 7, NULL, NULL, NULL, NULL);
SET ROLE regress_operator;
SELECT kind, node, state, progress FROM regent.jobs();
SET ROLE regress_monitor;
SELECT count(*) FROM regent.cluster();

-- sixteen can wait
SET ROLE regress_watchdog;
SELECT regent.write_rule(:watchdog, 7, 4, 2, 'n1',
	(SELECT array_agg('n' || i) FROM generate_series(1, 20) i), 'async', 1, '{}', '5s', NULL, 'many') IS NOT NULL;
SET ROLE regress_operator;
SELECT count(regent.rebuild('n' || i)) FROM generate_series(2, 17) i;
SELECT regent.rebuild('n18');
SELECT count(*) FROM regent.jobs() WHERE state = 'queued';
SET ROLE regress_watchdog;
SELECT regent.publish(:watchdog, 7, 4, jsonb_build_object('jobs', jsonb_agg(r))) IS NOT NULL
FROM regent.heartbeat(:watchdog, 7, NULL, NULL, NULL, NULL) h, jsonb_array_elements(h.requests) r;
SELECT requests FROM regent.heartbeat(:watchdog, 7, NULL, NULL, NULL, NULL);

-- nonsense is refused, and what was there stays
SELECT regent.publish(:watchdog, 6, 4, '{}');
SELECT regent.publish('99999999-2222-3333-4444-555555555555', 7, 4, '{}');
SELECT regent.publish(:watchdog, 7, 4, NULL);
SELECT regent.publish(:watchdog, 7, 4, '[]');
SELECT regent.publish(:watchdog, 7, 4, '{"nodes": 1}');
SELECT regent.publish(:watchdog, 7, 4, '{"nodes": {}}');
SELECT regent.publish(:watchdog, 7, 4, '{"nodes": [1]}');
SELECT regent.publish(:watchdog, 7, 4, '{"nodes": [{"port": "x"}]}');
SELECT regent.publish(:watchdog, 7, 4, '{"nodes": [{"port": 5432.5}]}');
SELECT regent.publish(:watchdog, 7, 4, '{"nodes": [{"host": []}]}');
SELECT regent.publish(:watchdog, 7, 4, '{"nodes": [{"last_seen": "yesterday or so"}]}');
SELECT regent.publish(:watchdog, 7, 4, '{"jobs": [{"kind": "rebuild"}]}');
SELECT regent.publish(:watchdog, 7, 4, jsonb_build_object('more', repeat('x', 65536)));
SELECT regent.publish(:watchdog, 7, 4, jsonb_build_object('nodes',
	(SELECT jsonb_agg(jsonb_build_object('node_name', 'n' || i)) FROM generate_series(1, 65) i)));
SET ROLE regress_monitor;
SELECT count(*) FROM regent.jobs();

RESET ROLE;

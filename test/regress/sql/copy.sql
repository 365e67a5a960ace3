--
-- What a delta copy asks of its source.
--
CREATE EXTENSION pg_regent;
CREATE TABLE kept AS SELECT 1 AS id;
CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS id;
CHECKPOINT;

-- what is in the list, and what is not
SELECT kind, size > 0 AS has_size FROM regent.copy_files() WHERE path = pg_relation_filepath('kept');
SELECT replace(path, pg_relation_filepath('unlogged'), 'unlogged') AS path, kind
FROM regent.copy_files() WHERE path LIKE pg_relation_filepath('unlogged') || '%';
SELECT kind, path FROM regent.copy_files()
WHERE path IN ('PG_VERSION', 'global/pg_control', 'pg_wal', 'pg_replslot', 'postmaster.pid', 'global/1262')
ORDER BY path COLLATE "C";
SELECT count(*) AS wal FROM regent.copy_files() WHERE path ~ '^pg_wal/[0-9A-F]{24}$';

-- a tablespace is listed with what is in it; of an unlogged table the init fork
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE regress_copy LOCATION '';
CREATE TABLE in_space TABLESPACE regress_copy AS SELECT 1 AS id;
CREATE UNLOGGED TABLE unlogged_in_space TABLESPACE regress_copy AS SELECT 1 AS id;
CHECKPOINT;
SELECT regexp_replace(path, '[0-9]+', 'N', 'g') AS place, kind, count(*)
FROM regent.copy_files() WHERE path LIKE 'pg_tblspc%' GROUP BY 1, 2 ORDER BY count(*), place;
SELECT kind, size FROM regent.copy_files() WHERE path = pg_relation_filepath('in_space');

-- a request: seed, start of the backup, then path length, number of hashes, length, offset, path, hashes
CREATE FUNCTION ask(path text, hashes bytea, length int, start bigint DEFAULT 0) RETURNS bytea LANGUAGE sql AS $$
	SELECT regent.copy_compare(int8send(7) || int8send(0) || int2send(octet_length(path)::int2)
		|| int2send((octet_length(hashes) / 16)::int2) || int4send(length) || int8send(start) || path::bytea || hashes)
$$;

-- without a hash everything comes: extent, one run, its place and length, the bytes
SELECT substr(ask('PG_VERSION', '', 8192), 1, 16) AS head,
	   substr(ask('PG_VERSION', '', 8192), 17)::text = pg_read_binary_file('PG_VERSION')::text AS whole;
-- with a wrong hash, too; beyond the end nothing; what is not there is gone
SELECT octet_length(ask('PG_VERSION', decode(repeat('00', 16), 'hex'), 8192)) AS length;
SELECT ask('PG_VERSION', '', 8192, 8192) AS beyond, ask('base/1/nothing', '', 8192) AS gone;
-- a relation's page, whole
SELECT octet_length(ask(pg_relation_filepath('kept'), '', 16384)) AS length;

-- refused: what is no request, what lies elsewhere, too much at once
\set VERBOSITY terse
SELECT regent.copy_compare('\x00');
SELECT regent.copy_compare(int8send(7) || int8send(0) || '\x0001');
SELECT ask('../x', '', 8192);
SELECT ask('/etc/passwd', '', 8192);
SELECT ask('PG_VERSION', '', 8192, 1);
SELECT ask('PG_VERSION', '', 1073741824);
SELECT regent.copy_compare(NULL) IS NULL AS nothing;

-- a session that rewinds sees the WAL from where it needs it, through pg_ls_dir itself
\set VERBOSITY default
SELECT pg_walfile_name(pg_current_wal_lsn()) AS first \gset
SELECT pg_switch_wal() > '0/0' AS switched;
CREATE TABLE more ();
SET regent.rewind_wal_from = 'here';
SELECT set_config('regent.rewind_wal_from', substr(pg_walfile_name(pg_current_wal_lsn()), 9), false) > '' AS is_set;
SET search_path = '';
SELECT count(*) FILTER (WHERE name = :'first') AS before, count(*) FILTER (WHERE name ~ '^[0-9A-F]{24}$') AS segments,
	   count(*) FILTER (WHERE name = 'archive_status') AS others
FROM (WITH RECURSIVE list (dir, name) AS (SELECT '', pg_ls_dir('pg_wal', true, false)
	UNION ALL SELECT 'pg_wal/' || list.name, below FROM list, pg_ls_dir('pg_wal/' || list.name, true, false) AS below WHERE list.name = 'archive_status')
	SELECT name FROM list WHERE dir = '') AS l;
RESET search_path;
RESET regent.rewind_wal_from;
SELECT count(*) FROM pg_ls_dir('pg_wal', true, false) AS name WHERE name = :'first';
-- nothing is exchanged for a role that may not execute it
CREATE ROLE regress_rewinder;
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean) TO regress_rewinder;
SET ROLE regress_rewinder;
SET regent.rewind_wal_from = 'FFFFFFFFFFFFFFFF';
SELECT count(*) > 0 AS all_of_it FROM pg_ls_dir('pg_wal', true, false) AS name WHERE name ~ '^[0-9A-F]{24}$';
RESET ROLE;
RESET regent.rewind_wal_from;
REVOKE EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean) FROM regress_rewinder;
DROP ROLE regress_rewinder;
DROP TABLE more;

DROP FUNCTION ask;
DROP TABLE kept, unlogged, in_space, unlogged_in_space;
DROP TABLESPACE regress_copy;
DROP EXTENSION pg_regent;

--
-- What the extension creates, who may use it, and that all of it is described.
--
CREATE EXTENSION pg_regent;

-- all objects; from PostgreSQL 16 on the types of tables are listed, too
SELECT pg_describe_object(classid, objid, 0) AS object
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND classid <> 'pg_type'::regclass
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_regent')
ORDER BY pg_describe_object(classid, objid, 0) COLLATE "C";

-- nothing is granted to PUBLIC: no rows
SELECT p.oid::regprocedure AS public_function
FROM pg_proc p
WHERE p.pronamespace = 'regent'::regnamespace
  AND (p.proacl IS NULL OR EXISTS (SELECT 1 FROM aclexplode(p.proacl) a WHERE a.grantee = 0));
SELECT c.oid::regclass AS public_relation
FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace = 'regent'::regnamespace AND a.grantee = 0;
SELECT n.nspname AS public_schema
FROM pg_namespace n, aclexplode(n.nspacl) a
WHERE n.nspname = 'regent' AND a.grantee = 0;

-- who may call what
SELECT p.proname, a.grantee::regrole
FROM pg_proc p, aclexplode(p.proacl) a
WHERE p.pronamespace = 'regent'::regnamespace AND a.grantee <> p.proowner
ORDER BY p.proname COLLATE "C", a.grantee::regrole::text COLLATE "C";
SELECT a.privilege_type, a.grantee::regrole
FROM pg_class c, aclexplode(c.relacl) a
WHERE c.oid = 'regent.rule'::regclass AND a.grantee <> c.relowner;

-- everything has a comment: no rows
SELECT p.oid::regprocedure AS no_comment
FROM pg_proc p
WHERE p.pronamespace = 'regent'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;
SELECT a.attrelid::regclass, a.attname AS no_comment
FROM pg_attribute a
WHERE a.attrelid = 'regent.rule'::regclass AND a.attnum > 0
  AND col_description(a.attrelid, a.attnum) IS NULL;
SELECT 'table' AS no_comment WHERE obj_description('regent.rule'::regclass, 'pg_class') IS NULL;
SELECT 'schema' AS no_comment WHERE obj_description('regent'::regnamespace, 'pg_namespace') IS NULL;
SELECT rolname AS no_comment FROM pg_roles
WHERE rolname LIKE 'regent\_%' AND shobj_description(oid, 'pg_authid') IS NULL;

-- roles cannot log in and are nobody special
SELECT rolname, rolcanlogin, rolsuper, rolcreaterole, rolreplication
FROM pg_roles WHERE rolname IN ('regent_watchdog', 'regent_operator') ORDER BY rolname;

-- functions in C only, no search_path to play with; none runs with its owner's rights
SELECT p.proname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'regent'::regnamespace AND (l.lanname <> 'c' OR p.prosecdef);

-- the rules are no part of a dump, and the trigger that keeps others out fires for replicas, too
SELECT extconfig IS NULL AS is_not_dumped FROM pg_extension WHERE extname = 'pg_regent';
SELECT tgname, tgenabled, obj_description(oid, 'pg_trigger') IS NOT NULL AS has_comment
FROM pg_trigger WHERE tgrelid = 'regent.rule'::regclass;

-- heartbeat() answers all of node_status() in the same order
WITH f AS (
	SELECT proname, array_agg(n ORDER BY i) FILTER (WHERE m = 'o') AS outs,
		   array_agg(t::regtype::text ORDER BY i) FILTER (WHERE m = 'o') AS types
	FROM pg_proc, unnest(proargnames, proargmodes, proallargtypes) WITH ORDINALITY u(n, m, t, i)
	WHERE oid IN ('regent.node_status'::regproc, 'regent.heartbeat'::regproc)
	GROUP BY proname)
SELECT h.outs[1:34] = s.outs AS same_names, h.types[1:34] = s.types AS same_types, h.outs[35:] AS more
FROM f h, f s WHERE h.proname = 'heartbeat' AND s.proname = 'node_status';

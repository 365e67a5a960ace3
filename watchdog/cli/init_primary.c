/*
 * init_primary.c
 *	  What init makes on the primary: extension, two roles, slots.
 *
 * Passwords come from the passfile and leave this process only as a SCRAM
 * verifier.  A password that a role has already is never replaced unasked.
 */
#include "init.h"
#include "passfile.h"

#include <stdlib.h>
#include <string.h>

/* A statement with one quoted identifier for each %I; freed by the caller. */
static int
exec_with_role(RgInit *init, const char *before, const char *role, const char *after, RgError *err)
{
	PGconn	   *conn = init->nodes[init->primary].session.conn;
	char	   *quoted = conn != NULL ? PQescapeIdentifier(conn, role, strlen(role)) : NULL;
	char		sql[2048];
	int			n;

	if (quoted == NULL)
		return rg_error_set(err, RGE_STATE, "the session with the primary is gone");
	n = snprintf(sql, sizeof(sql), "%s%s%s", before, quoted, after);
	PQfreemem(quoted);
	if (n < 0 || (size_t) n >= sizeof(sql))
		return rg_error_set(err, RGE_LIMIT, "a statement for role \"%.60s\" is too long", role);
	n = rg_init_exec(init, init->primary, sql, err);
	explicit_bzero(sql, sizeof(sql));
	return n;
}

static int
make_extension(RgInit *init, RgError *err)
{
	const char *name = init->config->nodes[init->primary].name;
	char		version[64];
	int			rc = rg_init_value(init, init->primary, "SELECT extversion FROM pg_extension WHERE extname = 'pg_regent'",
								   NULL, version, sizeof(version), err);

	if (rc != 0)
		return rc;
	if (version[0] != '\0')
	{
		rg_init_act(init, false, name, "extension pg_regent %s", version);
		return 0;
	}
	rc = rg_init_exec(init, init->primary, "CREATE EXTENSION IF NOT EXISTS pg_regent", err);
	if (rc == 0)
		rg_init_act(init, true, name, "created extension pg_regent in database %s", init->config->database);
	return rc;
}

/* PQencryptPasswordConn's verifier holds no quote; PQescapeLiteral is used all the same. */
static int
set_password(RgInit *init, const char *role, char *password, RgError *err)
{
	PGconn	   *conn = init->nodes[init->primary].session.conn;
	char	   *verifier = PQencryptPasswordConn(conn, password, role, "scram-sha-256");
	char	   *literal = verifier != NULL ? PQescapeLiteral(conn, verifier, strlen(verifier)) : NULL;
	char		after[1024];
	int			rc;

	if (literal == NULL)
	{
		PQfreemem(verifier);
		return rg_error_set(err, RGE_STATE, "the password of role \"%s\" could not be encrypted", role);
	}
	snprintf(after, sizeof(after), " PASSWORD %s", literal);
	rc = exec_with_role(init, "ALTER ROLE ", role, after, err);
	explicit_bzero(after, sizeof(after));
	PQfreemem(literal);
	PQfreemem(verifier);
	return rc;
}

/* Gives a role its password out of the passfile, where it has none yet. */
static int
ensure_password(RgInit *init, const char *role, RgError *err)
{
	const char *name = init->config->nodes[init->primary].name;
	char		password[RG_PASSWORD_MAX];
	char		has_one[8];
	int			rc;

	rc = rg_init_value(init, init->primary, "SELECT rolpassword IS NOT NULL FROM pg_authid WHERE rolname = $1",
					   role, has_one, sizeof(has_one), err);
	if (rc != 0)
		return rc;
	if (strcmp(has_one, "t") == 0 && !init->resets_passwords)
	{
		rg_init_act(init, false, name, "role %s has a password, which is left as it is", role);
		return 0;
	}
	rc = rg_passfile_find(init->config->passfile, role, password, sizeof(password), err);
	if (rc != 0)
		return rc;
	if (password[0] == '\0')
	{
		rg_init_act(init, false, name, "role %s has no password, since the passfile has no line for it", role);
		return 0;
	}
	rc = set_password(init, role, password, err);
	explicit_bzero(password, sizeof(password));
	if (rc == 0)
		rg_init_act(init, true, name, "gave role %s the password of the passfile", role);
	return rc;
}

/* CREATE, or ALTER where an attribute lacks. */
static int
ensure_role(RgInit *init, const char *role, bool replicates, RgError *err)
{
	const char *name = init->config->nodes[init->primary].name;
	const char *attributes = replicates ? " LOGIN REPLICATION" : " LOGIN";
	char		fits[8];
	int			rc = rg_init_value(init, init->primary, replicates ?
								   "SELECT rolcanlogin AND rolreplication FROM pg_roles WHERE rolname = $1" :
								   "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1",
								   role, fits, sizeof(fits), err);

	if (rc != 0)
		return rc;
	if (strcmp(fits, "t") == 0)
	{
		rg_init_act(init, false, name, "role %s", role);
		return ensure_password(init, role, err);
	}
	rc = exec_with_role(init, fits[0] == '\0' ? "CREATE ROLE " : "ALTER ROLE ", role, attributes, err);
	if (rc != 0)
		return rc;
	rg_init_act(init, true, name, "%s role %s%s", fits[0] == '\0' ? "created" : "altered", role, attributes);
	return ensure_password(init, role, err);
}

static int
ensure_member(RgInit *init, const char *group, RgError *err)
{
	const char *name = init->config->nodes[init->primary].name;
	const char *role = init->config->user;
	char		sql[256];
	char		is_member[8];
	int			rc;

	snprintf(sql, sizeof(sql), "SELECT count(*) > 0 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member"
			 " WHERE r.rolname = $1 AND m.roleid = '%s'::regrole", group);
	rc = rg_init_value(init, init->primary, sql, role, is_member, sizeof(is_member), err);
	if (rc != 0)
		return rc;
	if (strcmp(is_member, "t") == 0)
	{
		rg_init_act(init, false, name, "role %s is in %s", role, group);
		return 0;
	}
	snprintf(sql, sizeof(sql), "GRANT %s TO ", group);
	rc = exec_with_role(init, sql, role, "", err);
	if (rc == 0)
		rg_init_act(init, true, name, "granted %s to role %s", group, role);
	return rc;
}

/* Grants one thing to the replication user, unless he has it. */
static int
ensure_grant(RgInit *init, const char *test, const char *grant, bool *is_change, RgError *err)
{
	const char *role = init->config->replication_user;
	char		has_it[8];
	int			rc = rg_init_value(init, init->primary, test, role, has_it, sizeof(has_it), err);

	if (rc != 0 || strcmp(has_it, "t") == 0)
		return rc;
	*is_change = true;
	return exec_with_role(init, grant, role, "", err);
}

/* pg_rewind and regent-copy read files through these; nobody else gets them. */
static int
ensure_copy_rights(RgInit *init, RgError *err)
{
	static const char *const functions[] = {
		"pg_catalog.pg_ls_dir(text, boolean, boolean)",
		"pg_catalog.pg_stat_file(text, boolean)",
		"pg_catalog.pg_read_binary_file(text)",
		"pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)",
		"pg_catalog.pg_backup_start(text, boolean)",
		"pg_catalog.pg_backup_stop(boolean)",
		"regent.copy_files()",
		"regent.copy_compare(bytea)",
		"regent.rewind_ls_dir(text, boolean, boolean)",
	};
	const char *name = init->config->nodes[init->primary].name;
	const char *role = init->config->replication_user;
	bool		is_change = false;
	int			rc = ensure_grant(init, "SELECT has_schema_privilege($1, 'regent', 'USAGE')",
								  "GRANT USAGE ON SCHEMA regent TO ", &is_change, err);

	for (size_t i = 0; rc == 0 && i < sizeof(functions) / sizeof(functions[0]); i++)
	{
		char		test[256];
		char		grant[256];

		snprintf(test, sizeof(test), "SELECT has_function_privilege($1, '%s', 'EXECUTE')", functions[i]);
		snprintf(grant, sizeof(grant), "GRANT EXECUTE ON FUNCTION %s TO ", functions[i]);
		rc = ensure_grant(init, test, grant, &is_change, err);
	}
	if (rc != 0)
		return rc;
	rg_init_act(init, is_change, name, is_change ? "granted to role %s what pg_rewind and delta copies need" :
				"role %s has what pg_rewind and delta copies need", role);
	return 0;
}

/* The slot of another node; one that does not answer gets a slot that keeps no WAL yet. */
static int
ensure_slot(RgInit *init, int node, RgError *err)
{
	const char *name = init->config->nodes[init->primary].name;
	char		slot[RG_NAME_MAX + 8];
	char		type[32];
	bool		keeps_wal = init->nodes[node].answers;
	int			rc;

	snprintf(slot, sizeof(slot), "regent_%s", init->config->nodes[node].name);
	rc = rg_init_value(init, init->primary, "SELECT slot_type FROM pg_replication_slots WHERE slot_name = $1",
					   slot, type, sizeof(type), err);
	if (rc != 0)
		return rc;
	if (strcmp(type, "physical") == 0)
	{
		rg_init_act(init, false, name, "slot %s", slot);
		return 0;
	}
	if (type[0] != '\0')
	{
		rc = rg_error_set(err, RGE_STATE, "%s: slot \"%s\" is a %s one", name, slot, type);
		rg_error_hint(err, "Drop it on the primary, if nobody needs it: SELECT pg_drop_replication_slot('%s').", slot);
		return rc;
	}
	rc = rg_init_value(init, init->primary, keeps_wal ? "SELECT slot_name FROM pg_create_physical_replication_slot($1, true)" :
					   "SELECT slot_name FROM pg_create_physical_replication_slot($1, false)",
					   slot, type, sizeof(type), err);
	if (rc == 0)
		rg_init_act(init, true, name, "made slot %s", slot);
	else if (strcmp(init->nodes[init->primary].session.sqlstate, "53400") == 0)
		rg_error_hint(err, "Raise max_replication_slots on %s to at least %d more than now and restart it.",
					  name, init->config->nnodes);
	return rc;
}

int
rg_init_primary(RgInit *init, RgError *err)
{
	const RgConfig *config = init->config;
	int			rc = make_extension(init, err);

	if (rc == 0)
		rc = ensure_role(init, config->user, false, err);
	if (rc == 0)
		rc = ensure_member(init, "regent_watchdog", err);
	if (rc == 0)
		rc = ensure_member(init, "pg_monitor", err);
	if (rc == 0)
		rc = ensure_role(init, config->replication_user, true, err);
	if (rc == 0)
		rc = ensure_copy_rights(init, err);
	for (int i = 0; rc == 0 && i < config->nnodes; i++)
		if (i != init->primary)
			rc = ensure_slot(init, i, err);
	return rc;
}

/*
 * init_rule.c
 *	  The first rule: who leads, who votes, and which watchdog is obeyed.
 *
 * It is written once in a cluster's life; from then on only regentd writes
 * rules.  The watchdog's identity is made here, as the user that regentd runs
 * as, so that root leaves no file behind that regentd can't read.
 */
#include "init.h"
#include "../base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAEMON_USER "regent"
#define RULE_REPLAY_MS 10000

/* Whom the state directory belongs to, or will belong to. */
static void
find_owner(const char *directory, uid_t *ret_uid, gid_t *ret_gid)
{
	struct stat st;
	struct passwd pw;
	struct passwd *found = NULL;
	char		buf[4096];

	*ret_uid = geteuid();
	*ret_gid = getegid();
	if (stat(directory, &st) == 0)
	{
		*ret_uid = st.st_uid;
		*ret_gid = st.st_gid;
		return;
	}
	if (getpwnam_r(DAEMON_USER, &pw, buf, sizeof(buf), &found) != 0 || found == NULL)
		return;
	*ret_uid = pw.pw_uid;
	*ret_gid = pw.pw_gid;
	if (mkdir(directory, 0700) == 0 && chown(directory, *ret_uid, *ret_gid) != 0)
		rmdir(directory);		/* rg_identity_ensure makes it and says what is wrong */
}

/* The identity, made where there is none; by root in the name of regentd's user. */
static int
ensure_identity(const RgInit *init, RgIdentity *ret_identity, RgError *err)
{
	const char *directory = init->config->state_directory;
	uid_t		uid;
	gid_t		gid;
	int			rc;

	if (geteuid() != 0)
		return rg_identity_ensure(directory, ret_identity, err);
	find_owner(directory, &uid, &gid);
	if (setegid(gid) != 0 || seteuid(uid) != 0)
		rc = rg_error_set(err, RGE_IO, "could not become user %lu: %s", (unsigned long) uid, strerror(errno));
	else
		rc = rg_identity_ensure(directory, ret_identity, err);
	if (seteuid(0) != 0 || setegid(0) != 0)
		rc = rg_error_set(err, RGE_IO, "could not become root again: %s", strerror(errno));
	return rc;
}

/* {n1,n2,n3}, without cascading nodes: names are [a-z0-9_], which need no quotes. */
static void
format_voters(const RgConfig *config, char *buf, size_t size)
{
	size_t		len = 0;

	for (int i = 0; i < config->nnodes && len < size; i++)
		if (!rg_config_cascades(config, i))
			len += (size_t) snprintf(buf + len, size - len, "%s%s", len == 0 ? "{" : ",", config->nodes[i].name);
	if (len < size)
		snprintf(buf + len, size - len, "}");
}

static int
write_first(RgInit *init, const RgIdentity *identity, RgError *err)
{
	const RgConfig *config = init->config;
	char		counter[32];
	char		voters[RG_NODES_MAX * (RG_NAME_MAX + 1) + 2];
	char		quorum[16];
	char		lease[32];
	const char *values[] = {identity->id, counter, config->nodes[init->primary].name, voters,
	config->durability, quorum, lease};
	PGresult   *result;
	int			rc;

	snprintf(counter, sizeof(counter), "%" PRId64, identity->counter);
	snprintf(quorum, sizeof(quorum), "%d", config->quorum);
	snprintf(lease, sizeof(lease), "%" PRId64 " ms", config->lease_ms);
	format_voters(config, voters, sizeof(voters));
	rc = rg_session_query(&init->nodes[init->primary].session,
						  "SELECT regent.write_rule($1::uuid, $2::bigint, 1, 1, $3, $4::text[], $5, $6::int,"
						  " '{}'::text[], $7::interval, NULL, 'regent init')",
						  7, values, RG_SESSION_QUERY_MS, &result, err);
	if (rc != 0)
		return rc;
	PQclear(result);
	rg_init_act(init, true, config->nodes[init->primary].name, "wrote the first rule: term 1, leader %s, voters %s",
				config->nodes[init->primary].name, voters);
	return 0;
}

/*
 * The primary was open as an adopted server; with the rule it needs a lease.  It
 * gets one here, so that writes go on until regentd speaks; after that one its
 * standbys give it leases.
 */
static int
grant_first(RgInit *init, const RgIdentity *identity, RgError *err)
{
	RgSession  *session = &init->nodes[init->primary].session;
	const char *name = init->config->nodes[init->primary].name;
	char		counter[32];
	char		lease[32];
	const char *values[6] = {identity->id, counter, lease};
	PGresult   *start;
	PGresult   *answer;
	int			rc;

	snprintf(counter, sizeof(counter), "%" PRId64, identity->counter);
	snprintf(lease, sizeof(lease), "%" PRId64, init->config->lease_ms);
	rc = rg_session_query(session, "SELECT boot_id, started_at, boottime_ms + $3::bigint"
						  " FROM regent.heartbeat($1::uuid, $2::bigint, NULL, NULL, 1, NULL)",
						  3, values, RG_SESSION_QUERY_MS, &start, err);
	if (rc != 0)
		return rc;
	for (int i = 0; i < 3; i++)
		values[i + 2] = PQntuples(start) == 1 ? PQgetvalue(start, 0, i) : "";
	rc = rg_session_query(session, "SELECT gate FROM regent.heartbeat($1::uuid, $2::bigint, $3::uuid, $4::timestamptz,"
						  " 1, $5::bigint)", 5, values, RG_SESSION_QUERY_MS, &answer, err);
	PQclear(start);
	if (rc != 0)
		return rc;
	if (PQntuples(answer) == 1 && strcmp(PQgetvalue(answer, 0, 0), "closed") != 0)
		rg_init_act(init, true, name, "granted its first lease, %s ms", lease);
	else
		rg_init_warn(init, name, "its gate is closed after the first lease; it opens when regentd speaks");
	PQclear(answer);
	return 0;
}

/* Durability stands in the rule; a configuration that says otherwise would be a promise that nobody keeps. */
static int
compare_durability(const RgInit *init, const PGresult *row, RgError *err)
{
	const RgConfig *config = init->config;
	int			rc;

	if (strcmp(PQgetvalue(row, 0, 3), config->durability) == 0
		&& (strcmp(config->durability, "async") == 0 || atoi(PQgetvalue(row, 0, 4)) == config->quorum))
		return 0;
	rc = rg_error_set(err, RGE_STATE, "the cluster's rule says durability %s with quorum %s, but %.200s says %s with %d",
					  PQgetvalue(row, 0, 3), PQgetvalue(row, 0, 4), config->file, config->durability, config->quorum);
	rg_error_hint(err, "This version can't change it: set durability = %s and quorum = %s.",
				  PQgetvalue(row, 0, 3), PQgetvalue(row, 0, 4));
	return rc;
}

/* A rule that is there already: is it ours?  Else this is not the watchdog to start. */
static int
accept_rule(RgInit *init, const PGresult *row, RgError *err)
{
	const char *name = init->config->nodes[init->primary].name;
	const char *watchdog = PQgetvalue(row, 0, 2);
	RgIdentity	identity = {.lock_fd = -1};
	RgError		reason = {0};
	int			rc;

	if (rg_identity_read(init->config->state_directory, &identity, &reason) != 0
		|| strcmp(identity.id, watchdog) != 0)
	{
		rc = rg_error_set(err, RGE_STATE, "the cluster obeys another watchdog: %s", watchdog);
		rg_error_detail(err, "Here, in %.200s, is %s.", init->config->state_directory,
						identity.id[0] != '\0' ? identity.id : "none that can be read");
		rg_error_hint(err, "Run regentd where that identity is, or bring its state directory back here while "
					  "no regentd uses it elsewhere.");
		return rc;
	}
	if (strcmp(PQgetvalue(row, 0, 1), name) != 0)
		rg_init_warn(init, name, "the rule of term %s names %s as leader; regentd will put that right or tell why not",
					 PQgetvalue(row, 0, 0), PQgetvalue(row, 0, 1));
	rc = compare_durability(init, row, err);
	if (rc == 0)
		rg_init_act(init, false, name, "rule of term %s, leader %s, this watchdog", PQgetvalue(row, 0, 0),
					PQgetvalue(row, 0, 1));
	return rc;
}

/* Standbys get the rule by WAL: a moment.  Only told, since regentd waits for it as well. */
static void
wait_for_replay(RgInit *init)
{
	const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
	int64_t		deadline = rg_clock_now_ms() + RULE_REPLAY_MS;

	for (int i = 0; i < init->config->nnodes; i++)
	{
		const char *name = init->config->nodes[i].name;
		char		term[32] = "";

		if (i == init->primary || !init->nodes[i].answers)
			continue;
		while (rg_init_value(init, i, "SELECT coalesce(max(term), 0) FROM regent.rule", NULL, term, sizeof(term), NULL) == 0
			   && strtoll(term, NULL, 10) == 0 && rg_clock_now_ms() < deadline)
			nanosleep(&pause, NULL);
		if (strtoll(term, NULL, 10) > 0)
			rg_init_act(init, false, name, "it holds the rule of term %s", term);
		else
			rg_init_warn(init, name, "the rule has not arrived yet; regent check tells whether it does");
	}
}

int
rg_init_rule(RgInit *init, RgError *err)
{
	RgIdentity	identity = {.lock_fd = -1};
	PGresult   *row;
	int			rc = rg_session_query(&init->nodes[init->primary].session,
									  "SELECT term, leader, watchdog, durability, quorum FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1",
									  0, NULL, RG_SESSION_QUERY_MS, &row, err);

	if (rc != 0)
		return rc;
	if (PQntuples(row) > 0)
		rc = accept_rule(init, row, err);
	else
	{
		rc = ensure_identity(init, &identity, err);
		if (rc == 0)
			rg_init_act(init, false, NULL, "this watchdog is %s", identity.id);
		if (rc == 0)
			rc = write_first(init, &identity, err);
		if (rc == 0)
			rc = grant_first(init, &identity, err);
	}
	PQclear(row);
	if (rc == 0)
		wait_for_replay(init);
	return rc;
}

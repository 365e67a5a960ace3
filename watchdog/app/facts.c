/*
 * facts.c
 *	  Parsing of heartbeats, promises and probes.
 */
#include "facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watchdog/base/utf8.h"
#include "watchdog/core/memory.h"

/* A server that comes up needs room for a segment of WAL. */
#define START_BYTES (16 * 1024 * 1024)

/* The column's text, or NULL where it is null or missing. */
static const char *
column(const PGresult *res, const char *name)
{
	int			i = PQfnumber(res, name);

	if (i < 0 || PQntuples(res) < 1 || PQgetisnull(res, 0, i))
		return NULL;
	return PQgetvalue(res, 0, i);
}

static int64_t
column_int(const PGresult *res, const char *name, int64_t missing)
{
	const char *text = column(res, name);

	return text != NULL ? (int64_t) strtoll(text, NULL, 10) : missing;
}

static bool
column_bool(const PGresult *res, const char *name)
{
	const char *text = column(res, name);

	return text != NULL && text[0] == 't';
}

static void
column_text(const PGresult *res, const char *name, char *buf, size_t size)
{
	const char *text = column(res, name);

	rg_text(buf, size, "%s", text != NULL ? text : "");
}

static uint64_t
column_lsn(const PGresult *res, const char *name)
{
	const char *text = column(res, name);
	uint64_t	lsn = 0;

	if (text != NULL)
		(void) rg_facts_lsn(text, &lsn);
	return lsn;
}

/* A database in SQL_ASCII sends whatever bytes it holds. */
static json_t *
column_json(const PGresult *res, const char *name)
{
	const char *text = column(res, name);
	json_t	   *json = text != NULL ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	char	   *mended = text != NULL && json == NULL ? strdup(text) : NULL;

	if (mended != NULL)
	{
		rg_utf8_mend(mended);
		json = json_loads(mended, JSON_REJECT_DUPLICATES, NULL);
		free(mended);
	}
	return json;
}

bool
rg_facts_lsn(const char *text, uint64_t *ret_lsn)
{
	unsigned	hi;
	unsigned	lo;
	char		end;

	if (sscanf(text, "%X/%X%c", &hi, &lo, &end) != 2)
		return false;
	*ret_lsn = (uint64_t) hi << 32 | lo;
	return true;
}

void
rg_facts_format_lsn(uint64_t lsn, char *buf, unsigned long size)
{
	(void) snprintf(buf, size, "%X/%X", (unsigned) (lsn >> 32), (unsigned) (lsn & 0xFFFFFFFF));
}

static void
json_text(const json_t *json, const char *key, char *buf, size_t size)
{
	const char *text = json_string_value(json_object_get(json, key));

	rg_text(buf, size, "%s", text != NULL ? text : "");
}

bool
rg_facts_rule(const json_t *json, RgRule *ret_rule)
{
	const json_t *voters = json_object_get(json, "voters");
	const json_t *left_out = json_object_get(json, "left_out");
	RgRule		rule;

	memset(&rule, 0, sizeof(rule));
	rule.term = json_integer_value(json_object_get(json, "term"));
	rule.seq = (int) json_integer_value(json_object_get(json, "seq"));
	if (rule.term <= 0 || json_array_size(voters) > RG_CORE_NODES_MAX)
		return false;
	json_text(json, "leader", rule.leader, sizeof(rule.leader));
	json_text(json, "durability", rule.durability, sizeof(rule.durability));
	json_text(json, "watchdog", rule.watchdog, sizeof(rule.watchdog));
	json_text(json, "reason", rule.reason, sizeof(rule.reason));
	rule.quorum = (int) json_integer_value(json_object_get(json, "quorum"));
	rule.lease_ms = json_integer_value(json_object_get(json, "lease_ms"));
	for (size_t i = 0; i < json_array_size(voters); i++)
	{
		const char *name = json_string_value(json_array_get(voters, i));

		rg_text(rule.voters[rule.nvoters++], RG_CORE_NAME_MAX, "%s", name ? name : "");
	}
	for (size_t i = 0; i < json_array_size(left_out); i++)
	{
		const char *name = json_string_value(json_array_get(left_out, i));
		int			voter = name != NULL ? rg_rule_voter(&rule, name) : -1;

		if (voter >= 0)
			rule.left_out |= UINT32_C(1) << voter;
	}
	*ret_rule = rule;
	return true;
}

/* followed_terms: the newest RG_TERMS_MAX of them */
static int
take_terms(const json_t *json, RgTermEnd *terms)
{
	size_t		n = json_array_size(json);
	size_t		skip = n > RG_TERMS_MAX ? n - RG_TERMS_MAX : 0;
	int			count = 0;

	for (size_t i = skip; i < n; i++)
	{
		const json_t *entry = json_array_get(json, i);
		const char *end = json_string_value(json_object_get(entry, "end_lsn"));

		terms[count].term = json_integer_value(json_object_get(entry, "term"));
		terms[count].timeline = (uint32_t) json_integer_value(json_object_get(entry, "timeline"));
		terms[count].end_lsn = 0;
		if (end != NULL)
			(void) rg_facts_lsn(end, &terms[count].end_lsn);
		count++;
	}
	return count;
}

static void
take_standbys(const json_t *json, const RgView *view, RgFacts *f)
{
	for (size_t i = 0; i < json_array_size(json); i++)
	{
		const json_t *entry = json_array_get(json, i);
		const char *name = json_string_value(json_object_get(entry, "node"));
		const char *state = json_string_value(json_object_get(entry, "state"));
		const char *sync = json_string_value(json_object_get(entry, "sync_state"));
		const char *flushed = json_string_value(json_object_get(entry, "flush_lsn"));
		int			node = name != NULL ? rg_view_find(view, name) : -1;

		if (node < 0 || state == NULL)
			continue;
		if (strcmp(state, "streaming") == 0)
			f->streaming_from_us |= (uint32_t) 1 << node;
		if (flushed != NULL)
			(void) rg_facts_lsn(flushed, &f->flushed_from_us[node]);
		if (sync != NULL && (strcmp(sync, "sync") == 0 || strcmp(sync, "quorum") == 0))
			f->sync_with_us |= (uint32_t) 1 << node;
	}
}

static void
take_start(const PGresult *res, RgHeartbeat *hb)
{
	RgServerStart *start = &hb->facts.start;

	column_text(res, "boot_id", start->boot_id, sizeof(start->boot_id));
	start->pid = (int) column_int(res, "postmaster_pid", 0);
	start->started_s = column_int(res, "started_epoch", 0);
	column_text(res, "boot_id", hb->echo.boot_id, sizeof(hb->echo.boot_id));
	column_text(res, "started_at", hb->echo.started_at, sizeof(hb->echo.started_at));
}

static RgGateView
gate_view(const char *word)
{
	return strcmp(word, "open") == 0 ? RG_GATEV_OPEN
		: strcmp(word, "closed") == 0 ? RG_GATEV_CLOSED
		: strcmp(word, "override") == 0 ? RG_GATEV_OVERRIDE
		: strcmp(word, "off") == 0 ? RG_GATEV_OFF : RG_GATEV_UNKNOWN;
}

/* Clock, gate and what speaks against it; an older extension lacks these columns: unknown. */
static void
take_gate(const PGresult *res, RgHeartbeat *hb)
{
	RgFacts    *f = &hb->facts;

	column_text(res, "gate", hb->gate, sizeof(hb->gate));
	f->gate = gate_view(hb->gate);
	f->boottime_ms = column_int(res, "boottime_ms", 0);
	f->lease_left_ms = column_int(res, "lease_left_ms", -1);
	f->wal_age_ms = column_int(res, "wal_age_ms", -1);
	f->start_lsn = column_lsn(res, "start_lsn");
	column_text(res, "ahead", f->ahead, sizeof(f->ahead));
	column_text(res, "intruder", f->intruder, sizeof(f->intruder));
	f->intruder_age_ms = column_int(res, "intruder_age_ms", -1);
}

static void
take_disk(const PGresult *res, RgFacts *f)
{
	char		state[16];

	column_text(res, "disk_state", state, sizeof(state));
	f->disk = rg_disk_find(state);
	f->disk_free_bytes = column_int(res, "disk_free_bytes", -1);
	f->disk_hung_ms = column_int(res, "disk_hung_ms", 0);
	column_text(res, "disk_text", f->disk_text, sizeof(f->disk_text));
	f->crash_restarts = (int) column_int(res, "crash_restarts", 0);
}

/* The first names, as one text: "a, b, …" */
static void
take_names(const json_t *names, int count, RgSlotNames *slots)
{
	size_t		len = 0;

	slots->count = count;
	slots->more = count > 0;
	for (size_t i = 0; i < json_array_size(names); i++)
	{
		const char *name = json_string_value(json_array_get(names, i));
		size_t		room = sizeof(slots->names) - len;

		/* there has to be room for "and more", too */
		if (name == NULL || strlen(name) + 14 > room)
			break;
		len += (size_t) snprintf(slots->names + len, room, "%s%s", len > 0 ? ", " : "", name);
		slots->more = i + 1 != (size_t) count;
	}
	if (slots->more)
		(void) snprintf(slots->names + len, sizeof(slots->names) - len, "%s", len > 0 ? ", and more" : "names too long");
}

static void
take_logical(const json_t *json, RgFacts *f)
{
	take_names(json_object_get(json, "names"), (int) json_integer_value(json_object_get(json, "count")), &f->logical_slots);
	take_names(json_object_get(json, "synced_names"), (int) json_integer_value(json_object_get(json, "synced")), &f->carried_slots);
}

/* What slots hold; an older extension lacks the column: nothing is known. */
static void
take_slots(const json_t *json, const RgView *view, RgFacts *f)
{
	const json_t *physical = json_object_get(json, "physical");
	const char *oldest = json_string_value(json_object_get(json, "oldest_lsn"));

	if (oldest != NULL)
		(void) rg_facts_lsn(oldest, &f->oldest_lsn);
	f->has_archive = json_is_true(json_object_get(json, "archive"));
	for (size_t i = 0; i < json_array_size(physical); i++)
	{
		const json_t *entry = json_array_get(physical, i);
		const char *name = json_string_value(json_object_get(entry, "node"));
		int			node = name != NULL ? rg_view_find(view, name) : -1;

		if (node >= 0 && json_is_true(json_object_get(entry, "released")))
			f->released |= (uint32_t) 1 << node;
	}
	take_logical(json_object_get(json, "logical"), f);
}

int
rg_facts_heartbeat(const PGresult *res, const RgView *view, RgHeartbeat *ret, RgError *err)
{
	RgHeartbeat hb;
	RgFacts    *f = &hb.facts;
	json_t	   *json;

	memset(&hb, 0, sizeof(hb));
	if (PQntuples(res) != 1 || column(res, "in_recovery") == NULL ||
		column(res, "postmaster_pid") == NULL || column(res, "system_identifier") == NULL)
		return rg_error_set(err, RGE_FORMAT, "heartbeat has another form than expected");
	f->valid = true;
	f->in_recovery = column_bool(res, "in_recovery");
	f->writable = column_bool(res, "writable");
	f->replay_paused = column_bool(res, "replay_paused");
	column_text(res, "walreceiver_state", hb.receiver_state, sizeof(hb.receiver_state));
	f->receiver_streaming = strcmp(hb.receiver_state, "streaming") == 0;
	f->timeline = (uint32_t) column_int(res, "timeline", 0);
	f->receive_lsn = column_lsn(res, "receive_lsn");
	f->replay_lsn = column_lsn(res, "replay_lsn");
	f->flush_lsn = column_lsn(res, "flush_lsn");
	f->current_lsn = column_lsn(res, "current_lsn");
	f->replay_lag_bytes = column_int(res, "replay_lag_bytes", -1);
	f->replay_lag_ms = column_int(res, "replay_lag_ms", -1);
	f->message_age_ms = column_int(res, "last_message_age_ms", -1);
	f->system_identifier = column_int(res, "system_identifier", 0);
	f->promised_term = column_int(res, "promised_term", 0);
	f->promoting_term = column_int(res, "promoting_term", 0);
	take_start(res, &hb);
	column_text(res, "node_name", hb.node_name, sizeof(hb.node_name));
	take_gate(res, &hb);
	take_disk(res, f);
	column_text(res, "upstream", hb.upstream, sizeof(hb.upstream));
	column_text(res, "server_version", hb.server_version, sizeof(hb.server_version));
	column_text(res, "extension_version", hb.extension_version, sizeof(hb.extension_version));
	json = column_json(res, "rule");
	if (json_is_object(json) && !rg_facts_rule(json, &f->rule))
	{
		json_decref(json);
		return rg_error_set(err, RGE_FORMAT, "heartbeat holds a rule of another form than expected");
	}
	f->settled = json_is_true(json_object_get(json, "settled"));
	json_decref(json);
	json = column_json(res, "followed_terms");
	f->nterms = take_terms(json, f->terms);
	json_decref(json);
	json = column_json(res, "standbys");
	take_standbys(json, view, f);
	json_decref(json);
	hb.requests = column_json(res, "requests");
	hb.slots = column_json(res, "slots");
	take_slots(hb.slots, view, f);
	*ret = hb;
	return 0;
}

int
rg_facts_promise(const PGresult *res, int64_t term, RgPromise *ret, RgError *err)
{
	RgPromise	p;
	RgRule		rule;
	json_t	   *json;

	memset(&p, 0, sizeof(p));
	memset(&rule, 0, sizeof(rule));
	if (PQntuples(res) != 1 || column(res, "complete") == NULL || column(res, "lsn") == NULL)
		return rg_error_set(err, RGE_FORMAT, "answer to promise has another form than expected");
	p.term = term;
	p.complete = column_bool(res, "complete");
	json = column_json(res, "rule");
	if (json_is_object(json))
		(void) rg_facts_rule(json, &rule);
	json_decref(json);
	p.rule = rule;
	p.position.rule_term = rule.term;
	p.position.rule_seq = rule.seq;
	p.position.timeline = (uint32_t) column_int(res, "timeline", 0);
	p.position.lsn = column_lsn(res, "lsn");
	p.last_wal_age_ms = column_int(res, "last_wal_age_ms", -1);
	p.held_lsn = column_lsn(res, "held_lsn");
	json = column_json(res, "followed_terms");
	p.nterms = take_terms(json, p.terms);
	json_decref(json);
	*ret = p;
	return 0;
}

void
rg_facts_diverged(const json_t *answer, RgLoss *ret)
{
	const char *from = json_string_value(json_object_get(answer, "diverged_from"));
	const char *to = json_string_value(json_object_get(answer, "diverged_to"));

	memset(ret, 0, sizeof(*ret));
	if (from == NULL || to == NULL || !rg_facts_lsn(from, &ret->from_lsn) || !rg_facts_lsn(to, &ret->to_lsn))
		return;
	ret->measured = true;
	ret->bytes = json_integer_value(json_object_get(answer, "diverged_bytes"));
	ret->transactions = json_integer_value(json_object_get(answer, "diverged_transactions"));
	json_text(answer, "kept", ret->kept, sizeof(ret->kept));
}

int
rg_facts_probe(const json_t *answer, RgProbe *ret, RgError *err)
{
	const char *pm = json_string_value(json_object_get(answer, "postmaster"));
	const char *sysid = json_string_value(json_object_get(answer, "system_identifier"));
	const char *lsn = json_string_value(json_object_get(answer, "checkpoint_lsn"));
	RgProbe		p;

	memset(&p, 0, sizeof(p));
	if (pm == NULL || sysid == NULL)
		return rg_error_set(err, RGE_FORMAT, "answer to probe has another form than expected");
	p.valid = true;
	p.postmaster = strcmp(pm, "alive") == 0 ? RG_PM_ALIVE
		: strcmp(pm, "frozen") == 0 ? RG_PM_FROZEN
		: strcmp(pm, "absent") == 0 ? RG_PM_ABSENT : RG_PM_UNKNOWN;
	p.pidfile = json_is_true(json_object_get(answer, "pidfile"));
	p.fenced = json_is_true(json_object_get(answer, "fenced"));
	p.rewinding = json_is_true(json_object_get(answer, "rewinding"));
	json_text(answer, "state", p.state, sizeof(p.state));
	json_text(answer, "recovery", p.recovery, sizeof(p.recovery));
	json_text(answer, "boot_id", p.start.boot_id, sizeof(p.start.boot_id));
	p.clean = strncmp(p.state, "shut down", 9) == 0;
	p.in_recovery = strstr(p.state, "recovery") != NULL && !p.clean;
	p.start.pid = (int) json_integer_value(json_object_get(answer, "pid"));
	p.start.started_s = json_integer_value(json_object_get(answer, "postmaster_start"));
	p.system_identifier = (int64_t) strtoull(sysid, NULL, 10);
	p.processes = (int) json_integer_value(json_object_get(answer, "processes"));
	p.disk_free_bytes = json_integer_value(json_object_get(answer, "disk_free_bytes"));
	p.disk_full = json_is_integer(json_object_get(answer, "disk_free_bytes")) && p.disk_free_bytes < START_BYTES;
	p.promised_term = json_integer_value(json_object_get(answer, "promised_term"));
	if (lsn != NULL)
		(void) rg_facts_lsn(lsn, &p.checkpoint_lsn);
	*ret = p;
	return 0;
}

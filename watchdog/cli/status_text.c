/*
 * status_text.c
 *	  What a DBA looks at first, and under stress.
 *
 * So: the verdict in the first line, one table, and below it one sentence for
 * each thing that is not as it should be.  Nothing that is well gets a line of
 * its own.
 */
#include "status_text.h"
#include "job_text.h"
#include "slot_text.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void
write_verdict(const json_t *status, FILE *out)
{
	const json_t *failover = json_object_get(status, "auto_failover");
	const char *reason = rg_json_text(failover, "reason", "");
	const char *trouble = rg_json_text(status, "trouble", "");

	if (rg_json_true(failover, "ready"))
		fprintf(out, "automatic failover: ready%s%s\n", *trouble != '\0' ? "; but " : "", trouble);
	else
		fprintf(out, "automatic failover: NO, because %s\n",
				*reason != '\0' ? reason : "regentd does not say why");
}

/* What that means for a commit now, who is left out, and what is wanted and not so yet. */
static void
write_guarantee(const json_t *status, FILE *out)
{
	const json_t *wanted = json_object_get(status, "wanted");
	const char *durability = rg_json_text(wanted, "durability", "");
	const json_t *node;
	size_t		i;

	if (*rg_json_text(status, "guarantee", "") != '\0')
		fprintf(out, "%s\n", rg_json_text(status, "guarantee", ""));
	json_array_foreach(json_object_get(status, "left_out"), i, node)
		fprintf(out, "%s %s since %s, because %s\n", rg_json_text(node, "node", "?"),
				rg_json_true(node, "counted") ? "is counted again, and no candidate before it has caught up; it was left out"
				: "is left out", rg_json_text(node, "since", "?"), rg_json_text(node, "reason", "?"));
	if (strcmp(durability, rg_json_text(status, "durability", "")) != 0 ||
		(strcmp(durability, "async") != 0 && rg_json_number(wanted, "quorum", 0) != rg_json_number(status, "quorum", 0)))
		fprintf(out, "wanted: durability %s, quorum %" PRId64 "\n", durability, rg_json_number(wanted, "quorum", 0));
}

/* async, or sync with quorum; and the lease of the leader. */
static void
write_durability(const json_t *status, FILE *out)
{
	const char *durability = rg_json_text(status, "durability", "");
	const char *leader = rg_json_text(status, "leader", "");
	char		lease[RG_TEXT_SHORT];
	char		left[RG_TEXT_SHORT];
	size_t		i;
	const json_t *node;

	if (*durability == '\0')
		return;
	fprintf(out, "durability %s", durability);
	if (strcmp(durability, "async") != 0)
		fprintf(out, ", quorum %" PRId64 " of %" PRId64, rg_json_number(status, "quorum", 0),
				rg_json_number(status, "counted", 0));
	fprintf(out, ", lease %s", rg_text_ms(rg_json_number(status, "lease_ms", 0), lease, sizeof(lease)));
	json_array_foreach(json_object_get(status, "nodes"), i, node)
		if (strcmp(rg_json_text(node, "name", "?"), leader) == 0 && rg_json_number(node, "lease_left_ms", -1) >= 0)
			fprintf(out, ", of which %s has %s left", leader,
					rg_text_ms(rg_json_number(node, "lease_left_ms", 0), left, sizeof(left)));
	fputc('\n', out);
	write_guarantee(status, out);
}

static void
write_cluster(const json_t *status, FILE *out)
{
	const char *text = rg_json_text(status, "diagnosis_text", "");
	const json_t *watchdog = json_object_get(status, "watchdog");

	fprintf(out, "cluster %s, term %" PRId64 ", leader %s, %s\n",
			rg_json_text(status, "cluster", "?"), rg_json_number(status, "term", 0),
			rg_json_text(status, "leader", "none"), rg_json_text(status, "phase", "?"));
	fprintf(out, "%s%s%s\n", rg_json_text(status, "diagnosis", "no diagnosis"),
			*text != '\0' ? ": " : "", text);
	write_durability(status, out);
	if (rg_json_true(watchdog, "in_doubt"))
		fprintf(out, "this watchdog's journal may be an old copy: %s\n", rg_json_text(watchdog, "doubt", "?"));
	fputc('\n', out);
}

/* The position that tells most about a node of this role. */
static const char *
node_position(const json_t *node)
{
	if (strcmp(rg_json_text(node, "role", ""), "primary") == 0)
		return rg_json_text(node, "current_lsn", "");
	return rg_json_text(node, "replay_lsn", "");
}

static void
add_node(RgTable *table, const json_t *node, const char *leader)
{
	char		name[RG_TABLE_CELL];
	char		role[RG_TABLE_CELL];
	const char *source = rg_json_text(node, "streams_from", "");
	char		timeline[RG_TEXT_SHORT] = "";
	char		lag[RG_TEXT_SHORT] = "";
	char		delay[RG_TEXT_SHORT] = "";
	char		seen[RG_TEXT_SHORT] = "never";
	char		priority[RG_TEXT_SHORT];
	char		weight[RG_TEXT_SHORT];
	char		address[RG_TABLE_CELL];
	bool		is_standby = strcmp(rg_json_text(node, "role", ""), "standby") == 0;
	int64_t		number;
	const char *cells[RG_TABLE_COLUMNS];
	int			n = 0;

	snprintf(name, sizeof(name), "%s%s", rg_json_text(node, "name", "?"),
			 strcmp(rg_json_text(node, "name", "?"), leader) == 0 ? " *" : "");
	if ((number = rg_json_number(node, "timeline", 0)) > 0)
		snprintf(timeline, sizeof(timeline), "%" PRId64, number);
	if (is_standby && (number = rg_json_number(node, "replay_lag_bytes", -1)) >= 0)
		rg_text_bytes(number, lag, sizeof(lag));
	if (is_standby && (number = rg_json_number(node, "replay_lag_ms", -1)) >= 0)
		rg_text_ms(number, delay, sizeof(delay));
	if ((number = rg_json_number(node, "last_seen_ms", -1)) >= 0)
		rg_text_ms(number, seen, sizeof(seen));
	snprintf(priority, sizeof(priority), "%" PRId64, rg_json_number(node, "priority", 0));
	snprintf(weight, sizeof(weight), "%" PRId64, rg_json_number(node, "weight", 0));
	snprintf(address, sizeof(address), "%.50s:%" PRId64, rg_json_text(node, "host", ""),
			 rg_json_number(node, "port", 0));

	/* from another node than the leader: that is worth a word */
	snprintf(role, sizeof(role), "%s%s%s", rg_json_text(node, "role", "unknown"),
			 is_standby && *source != '\0' && strcmp(source, leader) != 0 ? " of " : "",
			 is_standby && strcmp(source, leader) != 0 ? source : "");

	cells[n++] = name;
	cells[n++] = role;
	cells[n++] = rg_json_text(node, "state", "unknown");
	cells[n++] = rg_json_text(node, "gate", "unknown");
	cells[n++] = timeline;
	cells[n++] = node_position(node);
	cells[n++] = lag;
	cells[n++] = delay;
	cells[n++] = seen;
	cells[n++] = priority;
	cells[n++] = weight;
	cells[n++] = address;
	rg_table_row(table, cells);
}

static void
write_nodes(const json_t *status, FILE *out)
{
	static const char *const headings[] = {"node", "role", "state", "gate", "tli>", "lsn", "lag>",
	"delay>", "seen>", "prio>", "weight>", "address"};
	const json_t *nodes = json_object_get(status, "nodes");
	RgTable    *table = malloc(sizeof(*table));
	size_t		i;
	const json_t *node;

	if (table == NULL)
		return;
	rg_table_begin(table, sizeof(headings) / sizeof(headings[0]), headings);
	json_array_foreach(nodes, i, node)
		add_node(table, node, rg_json_text(status, "leader", ""));
	rg_table_print(table, out);
	free(table);
}

/* One sentence for each node that is not well, can't be promoted or can't be reached over SSH;
 * and for each that much WAL is kept for. */
static void
write_remarks(const json_t *status, FILE *out)
{
	const char *leader = rg_json_text(status, "leader", "");
	bool		is_first = true;
	size_t		i;
	const json_t *node;

	json_array_foreach(json_object_get(status, "nodes"), i, node)
	{
		const char *name = rg_json_text(node, "name", "?");
		const char *reason = rg_json_text(node, "reason", "");
		const json_t *candidate = json_object_get(node, "candidate");
		const char *why_not = rg_json_text(candidate, "reason", "");
		const char *ssh = rg_json_text(node, "ssh", "ready");
		bool		is_candidate = rg_json_true(candidate, "eligible") || strcmp(name, leader) == 0;
		int64_t		crashes = rg_json_number(node, "crashes", 0);
		const char *gap = is_first ? "\n" : "";

		if (*reason != '\0')
		{
			fprintf(out, "%s%s: %s\n", gap, name, reason);
			is_first = false;
			gap = "";
		}
		if (!is_candidate && *why_not != '\0' && strcmp(why_not, reason) != 0)
		{
			fprintf(out, "%s%s would not be promoted: %s\n", gap, name, why_not);
			is_first = false;
			gap = "";
		}
		if (strcmp(ssh, "ready") != 0 && *ssh != '\0')
		{
			fprintf(out, "%s%s: SSH: %s\n", gap, name, ssh);
			is_first = false;
			gap = "";
		}
		if (crashes > 0)
		{
			fprintf(out, "%s%s: crashed and came back by itself within crash_window: %" PRId64 "\n", gap, name, crashes);
			is_first = false;
		}
	}
	(void) rg_slots_write(status, is_first ? "\n" : "", out);
}

static void
write_jobs(const json_t *status, FILE *out)
{
	const json_t *jobs = json_object_get(status, "jobs");
	size_t		i;
	const json_t *job;

	if (json_array_size(jobs) > 0)
		fputc('\n', out);
	json_array_foreach(jobs, i, job)
	{
		rg_job_write(job, out);
		fputc('\n', out);
	}
}

/* What the old leader had and the new one has not. */
static void
write_loss(const json_t *loss, FILE *out)
{
	char		bytes[RG_TEXT_SHORT];

	if (!json_is_object(loss))
		return;
	fprintf(out, "               WAL given up: %s%s (%s to %s)", rg_json_true(loss, "measured") ? "" : "at least ",
			rg_text_bytes(rg_json_number(loss, "bytes", 0), bytes, sizeof(bytes)), rg_json_text(loss, "from_lsn", "?"),
			rg_json_text(loss, "to_lsn", "?"));
	if (rg_json_true(loss, "measured"))
		fprintf(out, ", %" PRId64 " transactions", rg_json_number(loss, "transactions", 0));
	if (*rg_json_text(loss, "kept", "") != '\0')
		fprintf(out, ", kept in %s", rg_json_text(loss, "kept", ""));
	fputc('\n', out);
}

static void
write_last_failover(const json_t *status, FILE *out)
{
	static const char *const phases[][2] = {
		{"detect_ms", "detect"}, {"fence_ms", "fence"}, {"bound_ms", "waiting for leases"}, {"recruit_ms", "recruit"},
		{"promote_ms", "promote"}, {"rule_ms", "rule"},
	};
	const json_t *last = json_object_get(status, "last_failover");
	const json_t *times = json_object_get(last, "phases");
	const char *separator = " (";
	int64_t		outage;

	if (!json_is_object(last))
		return;
	fprintf(out, "\nlast failover: term %" PRId64 ", %s to %s, %s, %s", rg_json_number(last, "term", 0),
			rg_json_text(last, "from", "?"), rg_json_text(last, "to", "?"),
			rg_json_text(last, "at", "time unknown"), rg_json_text(last, "diagnosis", "cause unknown"));
	outage = rg_json_number(last, "outage_ms", -1);
	if (outage >= 0)
		fprintf(out, "\n               %" PRId64 " ms", outage);
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
	{
		int64_t		ms = rg_json_number(times, phases[i][0], -1);

		if (ms < 0 || outage < 0 || (ms == 0 && strcmp(phases[i][0], "bound_ms") == 0))
			continue;
		fprintf(out, "%s%s %" PRId64, separator, phases[i][1], ms);
		separator = ", ";
	}
	fputs(strcmp(separator, ", ") == 0 ? ")\n" : "\n", out);
	write_loss(json_object_get(last, "loss"), out);
	if (*rg_json_text(last, "given_up", "") != '\0')
		fprintf(out, "               given up: %s\n", rg_json_text(last, "given_up", ""));
}

static void
write_last_switchover(const json_t *status, FILE *out)
{
	const json_t *last = json_object_get(status, "last_switchover");

	if (!json_is_object(last))
		return;
	fprintf(out, "\nlast switchover: %s to %s, %s, ", rg_json_text(last, "from", "?"), rg_json_text(last, "to", "?"),
			rg_json_text(last, "at", "time unknown"));
	if (rg_json_true(last, "ok"))
		fprintf(out, "%" PRId64 " ms without a primary%s%s\n", rg_json_number(last, "gap_ms", 0),
				*rg_json_text(last, "cause", "") != '\0' ? "; cause: " : "", rg_json_text(last, "cause", ""));
	else
		fprintf(out, "failed: %s\n", rg_json_text(last, "reason", "no reason was given"));
}

void
rg_status_write(const json_t *status, FILE *out)
{
	write_verdict(status, out);
	write_cluster(status, out);
	write_nodes(status, out);
	write_remarks(status, out);
	write_jobs(status, out);
	write_last_failover(status, out);
	write_last_switchover(status, out);
}

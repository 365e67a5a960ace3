/*
 * slot_text.c
 *	  WAL that a node keeps for another one.
 *
 * A slot that keeps a little is how it should be.  Worth a sentence is what comes
 * near the limit at which the WAL is released, or takes a part of the disk that
 * somebody should know of.  Told is the slot that its owner streams from: the same
 * slots on other nodes follow it there.
 */
#include "slot_text.h"
#include "text.h"

#include <inttypes.h>
#include <string.h>

#define LARGE_BYTES (INT64_C(1) << 30)
#define NEAR_PERCENT 80

static const json_t *
find_node(const json_t *status, const char *name)
{
	size_t		i;
	const json_t *node;

	json_array_foreach(json_object_get(status, "nodes"), i, node)
		if (strcmp(rg_json_text(node, "name", ""), name) == 0)
			return node;
	return NULL;
}

/* Does the owner of the slot get its WAL from this node? */
static bool
is_source(const json_t *node, const json_t *owner, const char *leader)
{
	const char *upstream = rg_json_text(owner, "upstream_node", "");

	return strcmp(rg_json_text(node, "name", "?"), *upstream != '\0' ? upstream : leader) == 0;
}

static bool
is_near(int64_t kept, int64_t limit)
{
	return limit > 0 && kept >= limit / 100 * NEAR_PERCENT;
}

static bool
is_being_rebuilt(const json_t *status, const char *name)
{
	size_t		i;
	const json_t *job;

	json_array_foreach(json_object_get(status, "jobs"), i, job)
		if (strcmp(rg_json_text(job, "node", ""), name) == 0 && strcmp(rg_json_text(job, "state", ""), "running") == 0)
			return true;
	return false;
}

static void
write_advice(const json_t *status, const json_t *slot, const char *source, bool is_limited, FILE *out)
{
	const char *name = rg_json_text(slot, "node", "?");

	if (is_being_rebuilt(status, name))
		fprintf(out, "it is being rebuilt, see: regent jobs");
	else if (rg_json_true(slot, "active"))
		fprintf(out, "it streams, but receives slower than %s writes: see its disk and the network", source);
	else
		fprintf(out, "bring it back; if it is gone for ever: regent node remove %s --lost", name);
	if (is_limited)
		fputs("; or give regent.slot_wal_limit more, as far as the disk has room", out);
	fputc('\n', out);
}

static void
write_slot(const json_t *status, const json_t *node, const json_t *slot, FILE *out)
{
	const char *name = rg_json_text(slot, "node", "?");
	const char *source = rg_json_text(node, "name", "?");
	int64_t		kept = rg_json_number(slot, "kept_bytes", 0);
	int64_t		limit = rg_json_number(slot, "limit_bytes", -1);
	int64_t		disk = rg_json_number(json_object_get(node, "disk"), "free_bytes", -1);
	char		buf[RG_TEXT_SHORT];

	fprintf(out, "%s keeps %s of WAL for %s", source, rg_text_bytes(kept, buf, sizeof(buf)), name);
	if (disk >= 0)
		fprintf(out, ", %s of its disk are free", rg_text_bytes(disk, buf, sizeof(buf)));
	if (limit > 0)
		fprintf(out, "; at %s that WAL is released, and %s needs an archive or is rebuilt", rg_text_bytes(limit, buf, sizeof(buf)),
				name);
	fputs(": ", out);
	write_advice(status, slot, source, is_near(kept, limit), out);
}

int
rg_slots_write(const json_t *status, const char *gap, FILE *out)
{
	const char *leader = rg_json_text(status, "leader", "");
	int			count = 0;
	size_t		i;
	size_t		k;
	const json_t *node;
	const json_t *slot;

	json_array_foreach(json_object_get(status, "nodes"), i, node)
		json_array_foreach(json_object_get(node, "slots"), k, slot)
		{
			const json_t *owner = find_node(status, rg_json_text(slot, "node", ""));
			int64_t		kept = rg_json_number(slot, "kept_bytes", 0);

			if (!is_source(node, owner, leader) ||
				(kept < LARGE_BYTES && !is_near(kept, rg_json_number(slot, "limit_bytes", -1))))
				continue;
			if (count++ == 0)
				fputs(gap, out);
			write_slot(status, node, slot, out);
		}
	return count;
}

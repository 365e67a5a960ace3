/*
 * slots.c
 *	  What replication slots tell.
 *
 * That a standby does not stream has many reasons, most of which pass.  One does
 * not: the WAL that it needs next is gone from its leader.  The leader says where
 * its WAL begins, the standby where it stands; the standby has asked for more (it has
 * read all that it had itself), and an archive, where it has one, has had its time.
 */
#include "slots.h"

#include <string.h>

#define DRY_MS 3000
#define DRY_WITH_ARCHIVE_MS 60000

bool
rg_slots_wal_is_gone(const RgView *view, RgDecision *d, int node, char *why)
{
	const RgFacts *f = &view->nodes[node].facts;
	const RgFacts *leader = &view->nodes[d->leader].facts;
	RgNodeMemory *mem = &d->memory.nodes[node];
	uint64_t	held = rg_facts_held_lsn(f);

	/* receive_lsn: it has come to the end of its own WAL and has asked for more in this start */
	if (f->receiver_streaming || f->receive_lsn == 0 || f->replay_paused || leader->oldest_lsn == 0 ||
		held >= leader->oldest_lsn)
	{
		mem->dry_ms = 0;
		return false;
	}
	if (mem->dry_ms == 0 || held != mem->dry_lsn)
	{
		mem->dry_ms = view->now_ms;
		mem->dry_lsn = held;
	}
	rg_text(why, RG_TEXT_MAX, "it has WAL up to " RG_LSN_FORMAT ", %s has none before " RG_LSN_FORMAT "%s",
			RG_LSN_ARGS(held), view->nodes[d->leader].name, RG_LSN_ARGS(leader->oldest_lsn),
			f->has_archive ? " and restore_command brings none" : "");
	return view->now_ms - mem->dry_ms >= (f->has_archive ? DRY_WITH_ARCHIVE_MS : DRY_MS);
}

void
rg_slots_tell_released(const RgView *view, RgDecision *d)
{
	uint32_t	released;

	if (d->leader < 0 || !rg_view_is_primary(view, d->leader))
		return;
	released = view->nodes[d->leader].facts.released;
	for (int i = 0; i < view->nnodes; i++)
	{
		RgNodeMemory *mem = &d->memory.nodes[i];
		bool		is_released = (released >> i & 1) != 0;
		unsigned long len = strlen(d->reasons[i]);

		if (is_released && !mem->released)
			rg_decision_note(d, RG_EVENT_SLOT_RELEASED, i, 0, true,
							 "%s keeps WAL for %s no longer: it was more than regent.slot_wal_limit, or max_slot_wal_keep_size, allows; "
							 "when %s is back it needs an archive, or is rebuilt",
							 view->nodes[d->leader].name, view->nodes[i].name, view->nodes[i].name);
		mem->released = is_released;
		if (is_released && d->states[i] != RG_STATE_OK)
			rg_text(d->reasons[i] + len, RG_TEXT_MAX - len, "%sWAL that it needs was released",
					len > 0 ? "; " : "");
	}
}

const char *
rg_slots_logical_text(const RgView *view, int node, char *buf)
{
	const RgFacts *f = &view->nodes[node].facts;

	buf[0] = '\0';
	if (f->valid && f->logical_slots.count > 0)
		rg_text(buf, RG_TEXT_MAX, "%d logical slot%s (%s)", f->logical_slots.count,
				f->logical_slots.count == 1 ? "" : "s", f->logical_slots.names);
	return buf;
}

/* Is this one of the names of a list "a, b"? */
static bool
is_in(const char *list, const char *name, size_t len)
{
	for (const char *at = list; at != NULL; at = strstr(at, ", "))
	{
		at += at != list ? 2 : 0;
		if (strncmp(at, name, len) == 0 && (at[len] == '\0' || at[len] == ','))
			return true;
	}
	return false;
}

/* Those of the first list that the second one lacks: how many, and as a list of at most the same size. */
static int
names_not_in(const RgSlotNames *all, const RgSlotNames *there, char *buf)
{
	size_t		used = 0;
	int			count = 0;

	buf[0] = '\0';
	for (const char *at = all->names; *at != '\0';)
	{
		size_t		len = strcspn(at, ",");

		if (!is_in(there->names, at, len))
		{
			rg_text(buf + used, sizeof(all->names) - used, "%s%.*s", used > 0 ? ", " : "", (int) len, at);
			used = strlen(buf);
			count++;
		}
		at += len + (at[len] == ',' ? 2 : 0);
	}
	return count;
}

/*
 * Those that the server carries over, and had not brought to this standby when it was
 * promoted: a slot comes with its subscriber's next progress only.
 */
static void
tell_not_carried(const RgView *view, RgDecision *d, int from, int to)
{
	const RgSlotNames *had = &view->nodes[from].facts.carried_slots;
	const RgSlotNames *has = &view->nodes[to].facts.carried_slots;
	char		names[sizeof(had->names)] = "see pg_replication_slots";
	int			lost = had->count - has->count;

	if (!view->nodes[from].facts.valid || !view->nodes[to].facts.valid)
		return;
	if (!had->more && !has->more)
		lost = names_not_in(had, has, names);
	if (lost > 0)
		rg_decision_note(d, RG_EVENT_LOGICAL_SLOTS_LOST, to, 0, true,
						 "%d of %d logical slots that PostgreSQL carries over had not come to %s yet (%s): make them anew there and synchronise their subscribers",
						 lost, had->count, view->nodes[to].name, names);
}

void
rg_slots_tell_logical(const RgView *view, RgDecision *d, int from, int to)
{
	char		slots[RG_TEXT_MAX];

	if (from < 0 || to < 0 || from == to)
		return;
	tell_not_carried(view, d, from, to);
	if (rg_slots_logical_text(view, from, slots)[0] == '\0')
		return;
	rg_decision_note(d, RG_EVENT_LOGICAL_SLOTS_LOST, to, 0, true,
					 "%.120s of %s did not go with the lead to %s: make them anew there and synchronise their subscribers, drop them on %s",
					 slots, view->nodes[from].name, view->nodes[to].name, view->nodes[from].name);
}

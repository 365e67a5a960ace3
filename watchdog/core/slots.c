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
	if (f->valid && f->logical_slots > 0)
		rg_text(buf, RG_TEXT_MAX, "%d logical slot%s (%s)", f->logical_slots, f->logical_slots == 1 ? "" : "s",
				f->logical_names);
	return buf;
}

void
rg_slots_tell_logical(const RgView *view, RgDecision *d, int from, int to)
{
	char		slots[RG_TEXT_MAX];

	if (from < 0 || to < 0 || from == to || rg_slots_logical_text(view, from, slots)[0] == '\0')
		return;
	rg_decision_note(d, RG_EVENT_LOGICAL_SLOTS_LOST, to, 0, true,
					 "%.120s of %s did not go with the lead to %s: make them anew there and synchronise their subscribers, drop them on %s",
					 slots, view->nodes[from].name, view->nodes[to].name, view->nodes[from].name);
}

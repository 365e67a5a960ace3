/*
 * events.c
 *	  A ring of JSON objects, oldest dropped first.
 */
#include "events.h"

#include <stdlib.h>

struct RgEvents
{
	json_t	   *ring[RG_EVENTS_KEPT];
	int64_t		count;			/* ever added */
};

RgEvents *
rg_events_new(void)
{
	return calloc(1, sizeof(RgEvents));
}

void
rg_events_free(RgEvents *events)
{
	if (events == NULL)
		return;
	for (int i = 0; i < RG_EVENTS_KEPT; i++)
		json_decref(events->ring[i]);
	free(events);
}

void
rg_events_add(RgEvents *events, const json_t *event)
{
	int			i = (int) (events->count++ % RG_EVENTS_KEPT);

	json_decref(events->ring[i]);
	events->ring[i] = json_deep_copy(event);
}

json_t *
rg_events_json(const RgEvents *events, int64_t after, int limit)
{
	json_t	   *list = json_array();
	int64_t		first = events->count > RG_EVENTS_KEPT ? events->count - RG_EVENTS_KEPT : 0;
	int64_t		last = after;
	int64_t		matching = 0;
	int64_t		skip;

	for (int64_t i = first; i < events->count; i++)
		if (json_integer_value(json_object_get(events->ring[i % RG_EVENTS_KEPT], "seq")) > after)
			matching++;
	/* the newest ones when somebody asks from the beginning, else in order */
	skip = after == 0 && matching > limit ? matching - limit : 0;
	for (int64_t i = first; i < events->count && (int) json_array_size(list) < limit; i++)
	{
		json_t	   *event = events->ring[i % RG_EVENTS_KEPT];
		int64_t		seq = json_integer_value(json_object_get(event, "seq"));

		if (seq <= after || skip-- > 0)
			continue;
		(void) json_array_append(list, event);
		last = seq;
	}
	return json_pack("{s:o,s:I}", "events", list, "last", (json_int_t) last);
}

json_t *
rg_events_note(const RgNote *note, const char *node, int64_t term)
{
	return json_pack("{s:s,s:s?,s:I,s:i,s:b,s:s}", "event", rg_event_name(note->event), "node", node, "term",
					 (json_int_t) term, "move", note->move, "alarm", note->alarm ? 1 : 0, "message", note->text);
}

/*
 * events.h
 *	  The last events of a cluster, for people: a ring in memory, lines of kind
 *	  "event" in the journal.
 */
#ifndef RG_APP_EVENTS_H
#define RG_APP_EVENTS_H

#include <jansson.h>
#include "watchdog/core/memory.h"

#define RG_EVENTS_KEPT 1000

typedef struct RgEvents RgEvents;

extern RgEvents *rg_events_new(void);
extern void rg_events_free(RgEvents *events);

/* Adds one; the object (borrowed) is what `regent --json events` prints. */
extern void rg_events_add(RgEvents *events, const json_t *event);

/* {"events":[…],"last":SEQ}: those after a sequence number, at most limit. */
extern json_t *rg_events_json(const RgEvents *events, int64_t after, int limit);

/* An event as JSON, without seq and at: the journal gives them. */
extern json_t *rg_events_note(const RgNote *note, const char *node, int64_t term);

#endif							/* RG_APP_EVENTS_H */

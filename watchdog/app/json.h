/*
 * json.h
 *	  JSON of parts: whole, or none.
 *
 * jansson's own functions leave out a member or an element that could not be made
 * (no memory, a text that is not UTF-8) and go on.  A journal line without one of
 * its jobs looks as good as a whole one, and a restart forgets the job.  Here what
 * lacks a part is NULL, as json_pack() has it, and NULL stays NULL on the way up
 * to whoever tells of it.
 */
#ifndef RG_JSON_H
#define RG_JSON_H

#include <jansson.h>

/* Both take over their container and value and return the container, or NULL where one is missing. */
extern json_t *rg_json_append(json_t *list, json_t *value);
extern json_t *rg_json_set(json_t *object, const char *key, json_t *value);

#endif							/* RG_JSON_H */

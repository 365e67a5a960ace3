/*
 * config_keys.h
 *	  The table of configuration keys: one row says everything about a key.
 *
 * Reading, defaults, limits, "did you mean", the documentation and the check
 * that README names every key all come from this table.  A new key is a new
 * row and a member of RgConfig or RgNodeConfig, nothing else.
 */
#ifndef RG_CONFIG_KEYS_H
#define RG_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RG_KEYS_MAX 40			/* rows of the table at most */

typedef enum RgKeyType
{
	RG_KEY_NAME,				/* [a-z0-9_]{1,40} */
	RG_KEY_ROLE,				/* of a role or database: letters, digits, _ . @ + - */
	RG_KEY_HOST,				/* name, address or a socket directory */
	RG_KEY_SSHHOST,				/* name or address */
	RG_KEY_LISTEN,				/* ADDRESS:PORT */
	RG_KEY_PATH,				/* absolute, on this host */
	RG_KEY_NODEPATH,			/* absolute, on the nodes; travels over SSH */
	RG_KEY_DURATION,			/* int64_t, milliseconds */
	RG_KEY_INTEGER,				/* int */
	RG_KEY_SIZE,				/* int64_t, bytes */
	RG_KEY_BOOLEAN,				/* bool */
	RG_KEY_CHOICE,				/* text, one of choices */
	RG_KEY_ENUM					/* int, the place in choices */
} RgKeyType;

typedef struct RgKey
{
	const char *section;		/* "cluster" or "node" */
	const char *name;
	RgKeyType	type;
	bool		is_required;
	bool		may_be_empty;	/* "key =" is allowed and means none */
	const char *value;			/* default, as one would write it */
	int64_t		least;			/* of numbers and durations */
	int64_t		most;
	const char *choices;		/* "a|b|c" */
	size_t		offset;			/* where it goes in RgConfig or RgNodeConfig */
	size_t		size;
	const char *doc;			/* "section.key|type|default|description" */
} RgKey;

extern const RgKey rg_keys[];
extern const int rg_nkeys;

/* The row of a key in a section, or -1. */
extern int	rg_key_find(const char *section, const char *name);

/* The row whose name looks most like name in that section, or -1 when none does. */
extern int	rg_key_nearest(const char *section, const char *name);

/* Letters to change to make one word of the other (at most 64 are looked at). */
extern int	rg_word_distance(const char *a, const char *b);

/* The word for people: "duration". */
extern const char *rg_key_type_name(RgKeyType type);

#endif							/* RG_CONFIG_KEYS_H */

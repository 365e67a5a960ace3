/*
 * config_check.h
 *	  What must hold between the values of a configuration.
 *
 * RgConfigSource remembers where each value came from while a file is read,
 * so that a combination that can't work is reported at the line of the key
 * that is wrong.
 */
#ifndef RG_CONFIG_CHECK_H
#define RG_CONFIG_CHECK_H

#include <stdio.h>
#include "config.h"
#include "config_keys.h"

#define RG_CONFIG_COMPLAINTS_MAX 50

typedef struct RgConfigSource
{
	const char *file;
	FILE	   *out;			/* may be NULL: count only */
	int			errors;
	int			warnings;
	/* of sections: 0 is [cluster], 1 + i is node i; 0 = not in the file */
	int			section_line[RG_NODES_MAX + 1];
	int			key_line[RG_NODES_MAX + 1][RG_KEYS_MAX];
} RgConfigSource;

/* Prints FILE:LINE: message and counts it; line 0 prints FILE: only. */
extern void rg_config_complain(RgConfigSource *source, int line, const char *fmt,...)
			__attribute__((format(printf, 3, 4)));
extern void rg_config_warn(RgConfigSource *source, int line, const char *fmt,...)
			__attribute__((format(printf, 3, 4)));

/* The line of a key, or of its section where the key is not written. */
extern int	rg_config_line(const RgConfigSource *source, int section, const char *key);

/* Called when every single value is good. */
extern void rg_config_check_combinations(const RgConfig *config, RgConfigSource *source);

#endif							/* RG_CONFIG_CHECK_H */

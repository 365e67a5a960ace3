/*
 * config_files.h
 *	  The files that a configuration names: there, readable, private, usable.
 *
 * Every finding is passed to a function, good ones too: regentd --check prints
 * them, regent check puts them beside its findings about the nodes.
 */
#ifndef RG_CONFIG_FILES_H
#define RG_CONFIG_FILES_H

#include "config.h"

typedef enum RgFinding
{
	RG_FINDING_OK = 0,
	RG_FINDING_WARNING,
	RG_FINDING_FAILED
} RgFinding;

/* node may be NULL; fix is "" when all is well. */
typedef void (*RgFindingFn) (void *arg, RgFinding verdict, const char *node,
							 const char *what, const char *fix);

extern void rg_config_files_each(const RgConfig *config, RgFindingFn fn, void *arg);

#endif							/* RG_CONFIG_FILES_H */

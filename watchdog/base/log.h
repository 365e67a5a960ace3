/*
 * log.h
 *	  One line per happening, on standard error (systemd's journal reads it).
 *
 * Line: TIME LEVEL event=NAME cluster=C node=N msg="..." detail="..." hint="...".
 * With a JOURNAL_STREAM that is this very fd the sd-daemon level prefix is
 * written instead of time and level.  A repeat (same event, cluster, node and
 * message) is counted and printed at most once a minute, with repeated=N.  The log
 * never blocks: what a full pipe does not take is dropped, and the next
 * line says dropped=N.  Passwords and connection strings are never passed
 * in here.
 */
#ifndef RG_LOG_H
#define RG_LOG_H

#include <stdbool.h>
#include "err.h"

typedef enum RgLogLevel
{
	RG_LOG_DEBUG,
	RG_LOG_INFO,
	RG_LOG_NOTICE,
	RG_LOG_WARNING,
	RG_LOG_ERROR
} RgLogLevel;

typedef struct RgLog RgLog;

/* A log that writes to fd (not closed by it).  NULL when out of memory. */
extern RgLog *rg_log_new(int fd, RgLogLevel least);
extern void rg_log_free(RgLog *log);

/* cluster and node may be NULL; event is a fixed lower-case name. log NULL: nothing. */
extern void rg_log(RgLog *log, RgLogLevel level, const char *event,
				   const char *cluster, const char *node, const char *fmt,...)
			__attribute__((format(printf, 6, 7)));

/* The same with an error's message, detail and hint. */
extern void rg_log_error(RgLog *log, RgLogLevel level, const char *event,
						 const char *cluster, const char *node, const RgError *err);

#endif							/* RG_LOG_H */

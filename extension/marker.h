/*
 * marker.h
 *	  WAL markers: life and lease of a leader while no watchdog speaks.
 */
#ifndef RG_MARKER_H
#define RG_MARKER_H

#include "postgres.h"

/*
 * One look, in the worker: writes a marker when one is due, takes the lease that
 * the standbys have given.  Returns after how many milliseconds it wants to be
 * called again.
 */
extern long rg_marker_work(void);

#endif							/* RG_MARKER_H */

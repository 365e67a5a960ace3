/*
 * worker.h
 *	  The background worker.
 */
#ifndef RG_WORKER_H
#define RG_WORKER_H

#include "postgres.h"

extern PGDLLEXPORT void rg_worker_main(Datum arg);

#endif							/* RG_WORKER_H */

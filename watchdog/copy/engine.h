/*
 * engine.h
 *	  Carries a plan out: workers read, hash and write, while the thread that
 *	  calls talks to the source.
 */
#ifndef RG_COPY_ENGINE_H
#define RG_COPY_ENGINE_H

#include <stdbool.h>

#include "base/err.h"
#include "copy/plan.h"
#include "copy/source.h"
#include "copy/tally.h"
#include "copy/target.h"

typedef struct RgEngine RgEngine;

/* Called between two answers: so many bytes are done, of all plans so far. */
typedef void (*RgEngineProgress) (void *arg, uint64_t bytes);

/* NULL when threads or memory can't be had.  source, target and rate outlive it. */
extern RgEngine *rg_engine_new(RgSource *source, RgTarget *target, RgRate *rate, uint64_t seed);
extern void rg_engine_free(RgEngine *engine);

extern void rg_engine_on_progress(RgEngine *engine, RgEngineProgress progress, void *arg);

/*
 * Copies the files of the plan, or what is left of it.  uses_old: compare with the old
 * directory; otherwise everything comes from the source.  until_us: begin nothing after
 * that, so that the source can be asked something else; 0: all of it.  Adds to *tally.
 * After an error the engine can only be freed.
 */
extern int	rg_engine_run(RgEngine *engine, RgPlan *plan, bool uses_old, uint64_t start_lsn, int64_t until_us,
						  RgTally *tally, RgError *err);

/* Bytes of all plans so far; not while one is run. */
extern uint64_t rg_engine_done(const RgEngine *engine);

#endif							/* RG_COPY_ENGINE_H */

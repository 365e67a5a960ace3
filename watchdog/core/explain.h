/*
 * explain.h
 *	  What would happen now, and why; or why not.
 */
#ifndef RG_EXPLAIN_H
#define RG_EXPLAIN_H

#include "memory.h"

/* Writes the explanation as lines of text; returns its length (cut to size - 1). */
extern unsigned long rg_explain(const RgView *view, const RgDecision *d, char *buf,
								unsigned long size);

/*
 * The quorum table of a rule: which sets of dead nodes allow a promotion, and why
 * not; by size, and for up to five nodes each set.  Returns the length (cut to
 * size - 1).
 */
extern int	rg_explain_quorum(const RgRule *rule, char *buf, unsigned long size);

/* The phase table as a graph for dot(1). */
extern unsigned long rg_explain_graph(char *buf, unsigned long size);

#endif							/* RG_EXPLAIN_H */

/*
 * sample.h
 *	  What the worker sees of this server: role, timeline, LSNs, rate.
 */
#ifndef RG_SAMPLE_H
#define RG_SAMPLE_H

/* Looks, keeps it in shared memory, shows it in the title, logs a change of role. */
extern void rg_sample_take(void);

#endif							/* RG_SAMPLE_H */

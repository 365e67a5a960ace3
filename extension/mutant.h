/*
 * mutant.h
 *	  Deliberate bugs, for the simulator only.
 *
 * `make -C test/sim mutants` builds the pure parts once per number with
 * -DRG_MUTATION=n and shows that the simulator catches each one; test/sim/mutants
 * lists what they are.  Without the flag the macro is 0 and leaves no trace.
 */
#ifndef RG_MUTANT_H
#define RG_MUTANT_H

#ifdef RG_MUTATION
#define RG_MUTANT(n) (RG_MUTATION == (n))
#else
#define RG_MUTANT(n) 0
#endif

#endif							/* RG_MUTANT_H */

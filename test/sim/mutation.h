/*
 * mutation.h
 *	  Which deliberate bug is on: read into every file of the build of `make mutants`.
 */
#ifndef SIM_MUTATION_H
#define SIM_MUTATION_H

extern int sim_mutation;

#endif							/* SIM_MUTATION_H */

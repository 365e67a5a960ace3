/*
 * args.h
 *	  The end of a program's command line.
 */
#ifndef RG_ARGS_H
#define RG_ARGS_H

#include <stdbool.h>

/* After getopt_long: nothing is left.  False after a message on standard error that names what is. */
extern bool rg_args_end(const char *program, int argc, char **argv);

#endif							/* RG_ARGS_H */

/*
 * args.c
 *	  What our programs without words of their own say about one.
 */
#include "args.h"

#include <getopt.h>
#include <stdio.h>

bool
rg_args_end(const char *program, int argc, char **argv)
{
	if (optind >= argc)
		return true;
	(void) fprintf(stderr, "%s: unexpected argument \"%s\"\nTry \"%s --help\".\n", program, argv[optind], program);
	return false;
}

/*
 * copylist.h
 *	  Which files of a data directory belong to a copy, and what they are.
 *
 * The list that a base backup keeps: what a server makes anew when it starts,
 * what only the running server can use, and what is written last by the backup
 * itself stays out.
 *
 * Pure C without server headers: unit-tested without a server.
 */
#ifndef RG_COPYLIST_H
#define RG_COPYLIST_H

#include <stdbool.h>
#include <stdint.h>

typedef enum RgCopyKind
{
	RG_COPY_LEAVE_OUT,
	RG_COPY_FILE,				/* any other file */
	RG_COPY_RELATION,			/* blocks with a page header; may have an init fork beside it */
	RG_COPY_DIRECTORY,
	RG_COPY_EMPTY_DIRECTORY		/* is there, without what is in it */
} RgCopyKind;

typedef struct RgCopyName
{
	uint32_t	number;			/* of the relation's file */
	uint32_t	segment;
	bool		is_init;		/* the init fork of an unlogged relation */
} RgCopyName;

/* What NAME in DIRECTORY is; DIRECTORY is relative, "" for the data directory itself. */
extern RgCopyKind rg_copy_kind(const char *directory, const char *name, bool is_directory);

/* Takes the name of a relation's file apart; false if it is none. */
extern bool rg_copy_parse_name(const char *name, RgCopyName *ret_name);

#endif							/* RG_COPYLIST_H */

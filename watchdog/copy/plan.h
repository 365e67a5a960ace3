/*
 * plan.h
 *	  What is asked of the source, in which order: a list of files, cut into
 *	  requests of bounded size.
 *
 * Pure: no file is touched and nothing is sent here.
 */
#ifndef RG_COPY_PLAN_H
#define RG_COPY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define RG_PLAN_FILES_MAX 4000000
#define RG_PLAN_PATHS_MAX (512u * 1024 * 1024)
#define RG_PLAN_RANGES_MAX 64		/* of one request */
#define RG_PLAN_REQUEST_MAX (2 * 1024 * 1024)	/* bytes of all its ranges */

typedef enum RgFileKind
{
	RG_FILE_RELATION,
	RG_FILE_OTHER,				/* replaced by rename, or appended to: may be longer than the list says */
	RG_FILE_FIXED				/* must be there, with this very size: WAL, control file */
} RgFileKind;

typedef struct RgPlanFile
{
	uint64_t	size;			/* as the list of the source says */
	int64_t		written_ns;		/* of a clone: when the old file was last written; 0: maybe a moment ago */
	uint32_t	path_at;		/* in paths */
	uint8_t		kind;
	bool		is_clone;		/* the new file began as a clone of the old one */
	bool		is_presized;	/* it was given its size before it was written */
	bool		is_changed;		/* something of it was transferred */
} RgPlanFile;

typedef struct RgPlan
{
	RgPlanFile *files;
	size_t		file_count;
	size_t		file_room;
	char	   *paths;
	size_t		paths_length;
	size_t		paths_room;
	uint64_t	bytes;			/* of all files */
	size_t		next_file;		/* where the next request begins */
	uint64_t	next_offset;
} RgPlan;

typedef struct RgRange
{
	RgPlanFile *file;
	uint64_t	offset;
	uint32_t	length;
	bool		is_first;		/* of its file */
	bool		is_last;
} RgRange;

extern int	rg_plan_add(RgPlan *plan, const char *path, RgFileKind kind, uint64_t size, RgError *err);
extern const char *rg_plan_path(const RgPlan *plan, const RgPlanFile *file);

/* Cuts the next request off; returns the number of its ranges, 0 at the end. */
extern int	rg_plan_next(RgPlan *plan, RgRange *ret_ranges);

/* Has all of it been cut off? */
extern bool rg_plan_is_done(const RgPlan *plan);

/* Can a path from the source be used?  Relative, without "..", not one of ours. */
extern bool rg_plan_path_is_good(const char *path);

extern void rg_plan_clear(RgPlan *plan);

#endif							/* RG_COPY_PLAN_H */

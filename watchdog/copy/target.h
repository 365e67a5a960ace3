/*
 * target.h
 *	  The two directories on this host: the old one, which is only read, and the
 *	  new one beside it, with what lies elsewhere and is linked from it.
 */
#ifndef RG_COPY_TARGET_H
#define RG_COPY_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "copy/places.h"
#include "copy/plan.h"

typedef struct RgTarget
{
	int			old_fd;
	int			new_fd;
	mode_t		directory_mode;	/* as the old directory has it */
	mode_t		file_mode;
	bool		is_durable;
	uint64_t	system_identifier;	/* of the old directory; 0: not known */
	int			major;			/* version of the old directory */
	RgPlaces	places;			/* of the new one; filled by the caller before it is made */
} RgTarget;

/* Looks at the old directory; one that can't be used is RGE_STATE.  Keeps target->places. */
extern int	rg_target_open(RgTarget *target, const char *old_path, bool is_durable, RgError *err);

/* Makes the new one, the first of the places, which must not exist yet. */
extern int	rg_target_make(RgTarget *target, RgError *err);
extern void rg_target_close(RgTarget *target);

/*
 * For rg_source_list; target is an RgTarget.  A directory that has a place of its
 * own is made there, as far as it is not there and empty already, and linked.
 */
extern int	rg_target_make_directory(void *target, const char *path, bool is_tablespace, RgError *err);

/*
 * Begins a file as a clone of the old one, where the file system shares blocks.
 * *ret_written_ns is when the old one was last written, if that was surely before: as
 * long as rg_target_written_ns says the same of it, the two have the same bytes.  Else 0.
 */
extern bool rg_target_clone(RgTarget *target, const char *path, int64_t *ret_written_ns);
extern int64_t rg_target_written_ns(int fd);

/* Begins a file with all its blocks; false if that can't be had. */
extern bool rg_target_presize(RgTarget *target, const char *path, uint64_t size);

/* Was every tablespace listed, and is there room for these files, on each file system? */
extern int	rg_target_check_list(RgTarget *target, const RgPlan *plan, RgError *err);

extern int	rg_target_write_file(RgTarget *target, const char *path, const char *text, size_t length,
								 RgError *err);

/* Gives a file its final size. */
extern int	rg_target_set_size(RgTarget *target, const char *path, uint64_t size, RgError *err);

/* Everything that was written is on disk when it has returned 0. */
extern int	rg_target_sync(RgTarget *target, RgError *err);

#endif							/* RG_COPY_TARGET_H */

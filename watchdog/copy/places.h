/*
 * places.h
 *	  Where the parts of a copy go: the new directory itself, and what lies
 *	  elsewhere behind a link in it: tablespaces, the WAL directory.
 *
 * Pure: descriptors and what is known of file systems are put in by target.c.
 */
#ifndef RG_COPY_PLACES_H
#define RG_COPY_PLACES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define RG_PLACES_MAX 256

typedef struct RgPlace
{
	char		link[32];		/* where it is within the directory: "", "pg_wal", "pg_tblspc/OID" */
	const char *path;			/* where it lies, absolute */
	bool		has_version;	/* the source has listed what is in the tablespace */
	int			fd;				/* -1: not made yet */
	bool		can_clone;		/* do files of the old place and the new one share blocks? */
	bool		can_direct;		/* does it write past the page cache? */
	uint64_t	device;			/* which file system */
	uint64_t	bytes;			/* of the files that belong there */
} RgPlace;

typedef struct RgPlaces
{
	int			count;			/* the first one is the directory itself */
	RgPlace		all[RG_PLACES_MAX];
} RgPlaces;

/* The directory itself. */
extern void rg_places_begin(RgPlaces *places, const char *path);

/* "OID=PATH", and where pg_wal goes.  path must live as long as places. */
extern int	rg_places_add_tablespace(RgPlaces *places, const char *word, RgError *err);
extern int	rg_places_add_wal(RgPlaces *places, const char *path, RgError *err);

/* The number of the place in which a path of the copy lies. */
extern int	rg_places_of(const RgPlaces *places, const char *path);

/* The number of the place that is behind this very link; 0: none. */
extern int	rg_places_behind(const RgPlaces *places, const char *link);

/* A directory was listed: is it what a tablespace must have? */
extern void rg_places_note_directory(RgPlaces *places, const char *path);

/* A tablespace that was made and has no directory of the source's version; NULL if all have. */
extern const RgPlace *rg_places_without_version(const RgPlaces *places);

/* Is this the first one on its file system?  What is done once for each asks so. */
extern bool rg_places_is_first(const RgPlaces *places, const RgPlace *place);

/* Bytes to be written on the file system of this place: clones need none. */
extern uint64_t rg_places_needed(const RgPlaces *places, const RgPlace *place);

#endif							/* RG_COPY_PLACES_H */

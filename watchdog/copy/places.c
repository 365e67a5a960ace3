/*
 * places.c
 *	  Where the parts of a copy go.
 *
 * The source names every file by its path in the data directory, and so does the
 * copy: a link in it leads to the place, in the old directory to where its own
 * lies.  So nothing but the making of a link, and what is known of a file
 * system, has to be told apart.
 */
#include "copy/places.h"

#include <stdio.h>
#include <string.h>

#define TABLESPACES "pg_tblspc/"

void
rg_places_begin(RgPlaces *places, const char *path)
{
	places->count = 1;
	places->all[0] = (RgPlace) {.path = path, .fd = -1};
}

/* link_length: of a link that need not be terminated */
static int
add(RgPlaces *places, const char *prefix, const char *link, size_t link_length, const char *path, RgError *err)
{
	RgPlace		place = {.path = path, .fd = -1};

	if (path[0] != '/')
		return rg_error_set(err, RGE_ARGUMENT, "\"%.100s\" is not an absolute path", path);
	if (places->count == RG_PLACES_MAX)
		return rg_error_set(err, RGE_STATE, "a delta copy takes no more than %d tablespaces", RG_PLACES_MAX - 2);
	(void) snprintf(place.link, sizeof(place.link), "%s%.*s", prefix, (int) link_length, link);
	for (int i = 0; i < places->count; i++)
		if ((i > 0 && strcmp(places->all[i].path, path) == 0) || strcmp(places->all[i].link, place.link) == 0)
			return rg_error_set(err, RGE_ARGUMENT, "two parts of the copy can't both be %s in \"%.100s\"",
								place.link, path);
	places->all[places->count++] = place;
	return 0;
}

int
rg_places_add_tablespace(RgPlaces *places, const char *word, RgError *err)
{
	size_t		digits = strspn(word, "0123456789");

	if (digits == 0 || digits > 10 || word[digits] != '=')
		return rg_error_set(err, RGE_ARGUMENT, "\"%.100s\" is not OID=PATH", word);
	return add(places, TABLESPACES, word, digits, word + digits + 1, err);
}

int
rg_places_add_wal(RgPlaces *places, const char *path, RgError *err)
{
	return add(places, "", "pg_wal", strlen("pg_wal"), path, err);
}

/* Is path the link, or below it? */
static bool
is_within(const char *path, const char *link)
{
	size_t		length = strlen(link);

	return strncmp(path, link, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

int
rg_places_of(const RgPlaces *places, const char *path)
{
	for (int i = 1; i < places->count; i++)
		if (is_within(path, places->all[i].link))
			return i;
	return 0;
}

int
rg_places_behind(const RgPlaces *places, const char *link)
{
	int			number = rg_places_of(places, link);

	return strcmp(places->all[number].link, link) == 0 ? number : 0;
}

static bool
is_tablespace(const RgPlace *place)
{
	return strncmp(place->link, TABLESPACES, strlen(TABLESPACES)) == 0;
}

void
rg_places_note_directory(RgPlaces *places, const char *path)
{
	RgPlace    *place = &places->all[rg_places_of(places, path)];
	size_t		length = strlen(place->link);

	if (is_tablespace(place) && path[length] == '/' && strchr(path + length + 1, '/') == NULL)
		place->has_version = true;
}

const RgPlace *
rg_places_without_version(const RgPlaces *places)
{
	for (int i = 1; i < places->count; i++)
	{
		const RgPlace *place = &places->all[i];

		if (place->fd >= 0 && is_tablespace(place) && !place->has_version)
			return place;
	}
	return NULL;
}

bool
rg_places_is_first(const RgPlaces *places, const RgPlace *place)
{
	const RgPlace *p = places->all;

	while (p < place && (p->fd < 0 || p->device != place->device))
		p++;
	return p == place && place->fd >= 0;
}

uint64_t
rg_places_needed(const RgPlaces *places, const RgPlace *place)
{
	uint64_t	needed = 0;

	for (int i = 0; i < places->count; i++)
		if (places->all[i].device == place->device && !places->all[i].can_clone)
			needed += places->all[i].bytes;
	return needed;
}
